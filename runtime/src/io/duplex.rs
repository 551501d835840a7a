//! Pipes within the process: bytes from one task to another, with a bound.
//!
//! A pipe is a ring of bytes under a lock, with the waiters of its two ends in one wait list. A [`DuplexStream`] is the
//! reading end of one pipe and the writing end of another; a [`SimplexReader`] and a [`SimplexWriter`] are the ends of one.

use crate::atomic::Mutex;
use crate::coop;
use crate::io::ecosystem::{reader, writer};
use crate::wait_queue::{Events, Mode, Removed, WaitList, WaitSlot, WakeBatch};
use futures_io::{AsyncRead, AsyncWrite};
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Two streams, each of which reads what the other writes, with room for `bytes_max` bytes on their way in each direction.
///
/// A write waits while there is no room. Closing a stream, as `AsyncWrite::poll_close` does, or dropping it, is the end of the
/// other's reading, after what was written; dropping it makes the other's writes fail too.
///
/// # Panics
/// When `bytes_max` is 0.
///
/// # Examples
/// ```
/// # futures_lite::future::block_on(async {
/// use futures_lite::{AsyncReadExt, AsyncWriteExt};
///
/// let (mut client, mut server) = wakeline_runtime::io::duplex(64);
/// client.write_all(b"ping").await?;
/// let mut question = [0; 4];
/// server.read_exact(&mut question).await?;
/// server.write_all(b"pong").await?;
/// drop(server);
/// let mut answer = String::new();
/// client.read_to_string(&mut answer).await?;
/// assert_eq!((&question, answer.as_str()), (b"ping", "pong"));
/// # std::io::Result::Ok(())
/// # })?;
/// # std::io::Result::Ok(())
/// ```
#[must_use]
#[track_caller]
pub fn duplex(bytes_max: usize) -> (DuplexStream, DuplexStream) {
    let (one, other) = (simplex(bytes_max), simplex(bytes_max));
    (DuplexStream { reader: one.0, writer: other.1 }, DuplexStream { reader: other.0, writer: one.1 })
}

/// A pipe: its reading end and its writing end, with room for `bytes_max` bytes on their way; one half of a [`duplex`].
///
/// # Panics
/// When `bytes_max` is 0.
#[must_use]
#[track_caller]
pub fn simplex(bytes_max: usize) -> (SimplexReader, SimplexWriter) {
    assert!(bytes_max > 0, "a pipe without room carries nothing");
    let state = State { bytes: VecDeque::new(), read_dropped: false, written: false, waiters: WaitList::new() };
    let pipe = Arc::new(Pipe { state: Mutex::new(state), bytes_max });
    (SimplexReader { pipe: pipe.clone(), slot: WaitSlot::new() }, SimplexWriter { pipe, slot: WaitSlot::new() })
}

/// One of the two streams of [`duplex`].
///
/// # Errors
/// Reading never fails. Writing fails with `BrokenPipe` when the other stream is gone, or this one was closed.
///
/// # Cancel safety
/// A read or write that is dropped before it is ready has moved no byte.
#[derive(Debug)]
pub struct DuplexStream {
    reader: SimplexReader,
    writer: SimplexWriter,
}

/// The reading end of a [`simplex`] pipe. It reads the end when the writing end is closed or gone and nothing is left.
///
/// # Cancel safety
/// A read that is dropped before it is ready has taken nothing.
#[derive(Debug)]
pub struct SimplexReader {
    pipe: Arc<Pipe>,
    slot: WaitSlot,
}

/// The writing end of a [`simplex`] pipe.
///
/// # Errors
/// `BrokenPipe` when the reading end is gone, or this one was closed.
///
/// # Cancel safety
/// A write that is dropped before it is ready has given nothing.
#[derive(Debug)]
pub struct SimplexWriter {
    pipe: Arc<Pipe>,
    slot: WaitSlot,
}

#[derive(Debug)]
struct Pipe {
    state: Mutex<State>,
    bytes_max: usize,
}

#[derive(Debug)]
struct State {
    bytes: VecDeque<u8>,
    read_dropped: bool,
    /// The writing end was closed, or is gone.
    written: bool,
    /// The reader waits for `IN`, the writer for `OUT`.
    waiters: WaitList,
}

impl DuplexStream {
    /// The two directions apart, for two tasks.
    #[must_use]
    pub fn into_split(self) -> (SimplexReader, SimplexWriter) {
        (self.reader, self.writer)
    }
}

impl Pipe {
    /// Does `step` with the pipe; when it can not, `slot` waits for `event`. When it can, the other end hears of `told`.
    fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        (event, told): (Events, Events),
        step: impl FnOnce(&mut State) -> Option<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let progress = ready!(coop::poll_proceed(cx));
        let mut wakes = WakeBatch::new();
        let (result, _left) = {
            let mut state = self.state.lock();
            match step(&mut state) {
                Some(result) => {
                    state.waiters.wake(told, usize::MAX, &mut wakes);
                    (Poll::Ready(result), Left::Slot(state.waiters.remove(slot)))
                }
                None => (Poll::Pending, Left::Waker(state.waiters.join(slot, cx.waker(), event, Mode::Shared))),
            }
        };
        wakes.wake_all();
        if result.is_ready() {
            progress.made();
        }
        result
    }

    /// An end is closed, or goes away with its slot.
    fn end(&self, slot: &mut WaitSlot, end: impl FnOnce(&mut State)) {
        let mut wakes = WakeBatch::new();
        let left = {
            let mut state = self.state.lock();
            end(&mut state);
            let left = state.waiters.remove(slot);
            state.waiters.wake(Events::ANY, usize::MAX, &mut wakes);
            left
        };
        wakes.wake_all();
        drop(left);
    }
}

/// What drops when the lock is free: a waker's drop is foreign code.
#[allow(dead_code, reason = "held for its drop")]
enum Left {
    Slot(Removed),
    Waker(Option<std::task::Waker>),
}

impl SimplexReader {
    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut VecDeque<u8>) -> usize,
    ) -> Poll<io::Result<usize>> {
        self.pipe.poll(cx, &mut self.slot, (Events::IN, Events::OUT), |state| {
            (!state.bytes.is_empty() || state.written).then(|| Ok(take(&mut state.bytes)))
        })
    }
}

impl SimplexWriter {
    /// `give` takes the bytes and the room there is for more.
    fn poll_give(
        &mut self,
        cx: &mut Context<'_>,
        give: impl FnOnce(&mut VecDeque<u8>, usize) -> usize,
    ) -> Poll<io::Result<usize>> {
        let bytes_max = self.pipe.bytes_max;
        self.pipe.poll(cx, &mut self.slot, (Events::OUT, Events::IN), |state| {
            if state.read_dropped || state.written {
                return Some(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let room = bytes_max - state.bytes.len();
            (room > 0).then(|| Ok(give(&mut state.bytes, room)))
        })
    }

    fn close(&mut self) {
        self.pipe.end(&mut self.slot, |state| state.written = true);
    }
}

impl Drop for SimplexReader {
    fn drop(&mut self) {
        self.pipe.end(&mut self.slot, |state| {
            state.read_dropped = true;
            state.bytes = VecDeque::new();
        });
    }
}

impl Drop for SimplexWriter {
    fn drop(&mut self) {
        self.close();
    }
}

impl AsyncRead for SimplexReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.get_mut().poll_take(cx, |bytes| read(bytes, buf))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        self.get_mut().poll_take(cx, |bytes| bufs.iter_mut().map(|buf| read(bytes, buf)).sum())
    }
}

impl AsyncWrite for SimplexWriter {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_give(cx, |bytes, room| write(bytes, room, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .poll_give(cx, |bytes, room| bufs.iter().fold(0, |given, buf| given + write(bytes, room - given, buf)))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().close();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for DuplexStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().reader).poll_read(cx, buf)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().reader).poll_read_vectored(cx, bufs)
    }
}

impl AsyncWrite for DuplexStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().writer).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().writer).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().writer).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().writer).poll_close(cx)
    }
}

fn read(bytes: &mut VecDeque<u8>, buf: &mut [u8]) -> usize {
    let n = buf.len().min(bytes.len());
    io::Read::read_exact(bytes, &mut buf[..n]).expect("memory does not fail, and there are as many");
    n
}

fn write(bytes: &mut VecDeque<u8>, room: usize, buf: &[u8]) -> usize {
    let n = buf.len().min(room);
    bytes.extend(&buf[..n]);
    n
}

reader!(DuplexStream, SimplexReader);
writer!(DuplexStream, SimplexWriter);

#[cfg(test)]
mod tests;
