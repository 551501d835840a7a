//! Unix sockets of the operating system: streams, listeners, datagrams.
//!
//! They are a matter of the machine and its file system, not of a network: they are the same wherever the caller stands,
//! on an emulated host too.

mod addr;
#[cfg(target_os = "linux")]
mod credentials;
mod datagram;
mod listener;
mod split;
mod stream;

#[cfg(target_os = "linux")]
pub use credentials::UCred;
pub use datagram::UnixDatagram;
pub use listener::{Incoming, UnixListener};
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use std::os::unix::net::SocketAddr;
pub use stream::UnixStream;

#[cfg(test)]
#[path = "tests/unix.rs"]
mod tests;
