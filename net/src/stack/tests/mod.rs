//! Two stacks and a wire under virtual time.

mod hostile;
mod link;
mod lossy;
mod tcp;
mod tcp_close;
mod tcp_listen;
mod udp;
mod world;
