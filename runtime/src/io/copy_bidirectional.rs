//! Bytes in both directions between two streams: what a proxy does.

use crate::coop;
use futures_io::{AsyncRead, AsyncWrite};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Copies from `a` to `b` and from `b` to `a` until both have ended; gives how many bytes went from `a` to `b`, and from `b`
/// to `a`.
///
/// When one stream has ended, what it sent is flushed and the other stream closed (`poll_close`, which for a socket is its
/// FIN); the other direction goes on until it ends too. What has been read is written at once, and flushed when there
/// is nothing more to read. It takes a buffer of 8 KiB for each direction.
///
/// # Errors
/// The first error of either stream, which ends both directions; `WriteZero` when a stream takes no byte. Bytes that were
/// read and not written are lost then.
///
/// # Cancel safety
/// No: when the future is dropped, bytes that were read and not written are lost.
///
/// # Examples
/// ```no_run
/// # async fn example<S: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin>(mut client: S, mut server: S) -> std::io::Result<()> {
/// let (up, down) = wakeline_runtime::io::copy_bidirectional(&mut client, &mut server).await?;
/// println!("{up} bytes up, {down} bytes down");
/// # Ok(())
/// # }
/// ```
pub async fn copy_bidirectional<A, B>(a: &mut A, b: &mut B) -> io::Result<(u64, u64)>
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    copy_bidirectional_with_sizes(a, b, BUFFER_BYTES, BUFFER_BYTES).await
}

/// As [`copy_bidirectional`], with buffers of so many bytes.
///
/// # Errors
/// As [`copy_bidirectional`].
///
/// # Panics
/// When a buffer has no byte.
///
/// # Cancel safety
/// As [`copy_bidirectional`].
pub async fn copy_bidirectional_with_sizes<A, B>(
    a: &mut A,
    b: &mut B,
    a_to_b_bytes: usize,
    b_to_a_bytes: usize,
) -> io::Result<(u64, u64)>
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    assert!(a_to_b_bytes > 0 && b_to_a_bytes > 0, "a buffer without room copies nothing");
    let (mut up, mut down) = (Direction::new(a_to_b_bytes), Direction::new(b_to_a_bytes));
    poll_fn(|cx| {
        let up = up.poll(cx, Pin::new(&mut *a), Pin::new(&mut *b))?;
        let down = down.poll(cx, Pin::new(&mut *b), Pin::new(&mut *a))?;
        match (up, down) {
            (Poll::Ready(up), Poll::Ready(down)) => Poll::Ready(Ok((up, down))),
            _ => Poll::Pending,
        }
    })
    .await
}

const BUFFER_BYTES: usize = 8 << 10;

/// One direction: what was read lies between `start` and `end`.
struct Direction {
    buf: Box<[u8]>,
    start: usize,
    end: usize,
    copied: u64,
    unflushed: bool,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Copying,
    /// The reader has ended; what is left is written.
    Ending,
    /// All is written and flushed; the writer is being closed.
    Closing,
    Done,
}

impl Direction {
    fn new(bytes: usize) -> Direction {
        let buf = vec![0; bytes].into_boxed_slice();
        Direction { buf, start: 0, end: 0, copied: 0, unflushed: false, stage: Stage::Copying }
    }

    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: Pin<&mut R>,
        mut writer: Pin<&mut W>,
    ) -> Poll<io::Result<u64>>
    where
        R: AsyncRead + ?Sized,
        W: AsyncWrite + ?Sized,
    {
        if matches!(self.stage, Stage::Copying | Stage::Ending) {
            ready!(self.poll_copy(cx, reader, writer.as_mut()))?;
            self.stage = Stage::Closing;
        }
        if self.stage == Stage::Closing {
            ready!(writer.as_mut().poll_close(cx))?;
            self.stage = Stage::Done;
        }
        Poll::Ready(Ok(self.copied))
    }

    /// Ready when the reader has ended, and all it sent is written and flushed.
    fn poll_copy<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        mut reader: Pin<&mut R>,
        mut writer: Pin<&mut W>,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + ?Sized,
        W: AsyncWrite + ?Sized,
    {
        loop {
            // Streams of others may know no budget.
            let progress = ready!(coop::poll_proceed(cx));
            let reads = self.stage == Stage::Copying && self.end < self.buf.len();
            let read_waits = reads && self.poll_read(cx, reader.as_mut())?.is_pending();
            if self.start < self.end {
                let write_waits = self.poll_write(cx, writer.as_mut())?.is_pending();
                let may_read = self.stage == Stage::Copying && self.end < self.buf.len() && !read_waits;
                if write_waits && !may_read {
                    return Poll::Pending;
                }
                progress.made();
                continue;
            }
            if self.unflushed {
                ready!(writer.as_mut().poll_flush(cx))?;
                self.unflushed = false;
            }
            return if self.stage == Stage::Ending { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
    }

    fn poll_read<R: AsyncRead + ?Sized>(&mut self, cx: &mut Context<'_>, reader: Pin<&mut R>) -> Poll<io::Result<()>> {
        match ready!(reader.poll_read(cx, &mut self.buf[self.end..]))? {
            0 => self.stage = Stage::Ending,
            n => self.end += n,
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write<W: AsyncWrite + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        writer: Pin<&mut W>,
    ) -> Poll<io::Result<()>> {
        let n = ready!(writer.poll_write(cx, &self.buf[self.start..self.end]))?;
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.start += n;
        self.copied += n as u64;
        self.unflushed = true;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
