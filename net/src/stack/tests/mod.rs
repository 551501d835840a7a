//! Two stacks and a wire under virtual time.

mod autoconf;
mod device_sums;
mod forward;
mod fragments;
mod hostile;
mod icmp;
mod icmp_errors;
mod ipv6;
mod link;
mod lossy;
mod ndp;
mod syn_queue;
mod tcp;
mod tcp_close;
mod tcp_ecn;
mod tcp_limits;
mod tcp_listen;
mod tcp_patience;
mod tcp_recovery;
mod tcp_timestamps;
mod transitions;
mod udp;
mod wake;
