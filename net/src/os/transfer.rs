//! What every socket's operations have in common.

use std::io::{self, IoSliceMut};
use wakeline_runtime::io::Transfer;

/// What a transfer of `n` bytes out of `asked` tells of its socket.
///
/// A short transfer means that the kernel's queue is empty, or full. `epoll` tells of every change from there, so the
/// readiness can be given up at once and the try that would only return `EAGAIN` is saved. Nothing (the end of a
/// stream) tells nothing: it stays readable.
pub(super) fn transfer(n: usize, asked: usize) -> Transfer<usize> {
    if cfg!(any(target_os = "linux", target_os = "android")) && 0 < n && n < asked {
        Transfer::Drained(n)
    } else {
        Transfer::Partial(n)
    }
}

/// The bytes that several buffers hold together.
pub(super) fn sum(lengths: impl Iterator<Item = usize>) -> usize {
    lengths.fold(0, usize::saturating_add)
}

/// Copies what fits, and says how much.
pub(super) fn copy_out(bytes: &[u8], buf: &mut [u8]) -> usize {
    let n = bytes.len().min(buf.len());
    buf[..n].copy_from_slice(&bytes[..n]);
    n
}

/// As [`copy_out`], into several buffers in turn.
pub(super) fn copy_out_to_all(bytes: &[u8], bufs: &mut [IoSliceMut<'_>]) -> usize {
    let mut done = 0;
    for buf in bufs {
        done += copy_out(&bytes[done..], buf);
    }
    done
}

/// An operation that was interrupted by a signal before it did anything is done again.
pub(super) fn retry<R>(mut op: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        match op() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
