//! Two stacks and a wire under virtual time.

mod forge;
mod forward;
mod fragments;
mod hostile;
mod icmp;
mod icmp_errors;
mod ipv6;
mod link;
mod lossy;
mod ndp;
mod tcp;
mod tcp_close;
mod tcp_listen;
mod tcp_timestamps;
mod udp;
mod world;
