//! The operating system's sockets: non-blocking, registered with the runtime's reactor.
//!
//! The one part of the network half that makes system calls for sockets. It knows nothing of emulated hosts; the API
//! above chooses between the two.
//!
//! # Polling
//! The primitives take `&self`, a `Context` and the caller's [`WaitSlot`](wakeline_runtime::wait_queue::WaitSlot), so a
//! socket can be shared by any number of tasks, each with a slot of its own; the async functions bring their own slot.
//! Only the `AsyncRead` and `AsyncWrite` of a stream use slots that live in the stream, one for each direction.

mod tcp;
mod udp;

pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;

use std::io;
use wakeline_runtime::io::Transfer;

/// What a transfer of `n` bytes out of `asked` tells of its socket.
///
/// A short transfer means that the kernel's queue is empty, or full. `epoll` tells of every change from there, so the
/// readiness can be given up at once and the try that would only return `EAGAIN` is saved. Nothing (the end of a
/// stream) tells nothing: it stays readable.
fn transfer(n: usize, asked: usize) -> Transfer<usize> {
    if cfg!(any(target_os = "linux", target_os = "android")) && 0 < n && n < asked {
        Transfer::Drained(n)
    } else {
        Transfer::Partial(n)
    }
}

fn sum(lengths: impl Iterator<Item = usize>) -> usize {
    lengths.fold(0, usize::saturating_add)
}

/// An operation that was interrupted by a signal before it did anything is done again.
fn retry<R>(mut op: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        match op() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
