//! The blocking sockets: threads that park in the very wait queues in which tasks leave their wakers.
//!
//! The types have the standard library's names and methods. On the operating system's network they are the standard
//! library's sockets; on an emulated host a call that must wait puts the thread's parker into the socket's wait queue
//! and parks. They must not be used from tasks: they put the worker to sleep.
//!
//! A thread stands on the operating system's network until it enters a host with
//! [`Host::enter`](crate::emulated::Host::enter).

mod tcp;
mod tcp_socket;
mod udp;

pub use tcp::{Incoming, TcpListener, TcpStream};
pub use tcp_socket::TcpSocket;
pub use udp::UdpSocket;
