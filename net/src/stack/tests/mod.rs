//! Two stacks and a wire under virtual time.

mod forge;
mod hostile;
mod icmp;
mod ipv6;
mod link;
mod lossy;
mod syn_queue;
mod tcp;
mod tcp_close;
mod tcp_ecn;
mod tcp_listen;
mod tcp_recovery;
mod tcp_timestamps;
mod udp;
mod world;
