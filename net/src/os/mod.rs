//! The operating system's sockets: non-blocking, registered with the runtime's reactor.
//!
//! The one part of the network half that makes system calls for sockets. It knows nothing of emulated hosts; the API
//! above chooses between the two.
//!
//! # Polling
//! The primitives take `&self`, a `Context` and the caller's [`WaitSlot`](wakeline_runtime::wait_queue::WaitSlot), so a
//! socket can be shared by any number of tasks, each with a slot of its own; the async functions bring their own slot.
//! Only the `AsyncRead` and `AsyncWrite` of a stream use slots that live in the stream, one for each direction.

pub(crate) mod error_queue;
mod listener;
mod message;
pub(crate) mod options;
mod raw;
mod tcp;
mod transfer;
mod udp;
#[cfg(unix)]
pub(crate) mod unix;

pub use listener::TcpListener;
pub use tcp::TcpStream;
pub use udp::UdpSocket;
