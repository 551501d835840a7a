//! The process's standard streams, by the blocking pool: a terminal or a file can not be polled.

use crate::io::ecosystem;
use crate::io::offload::Offload;
use futures_io::{AsyncRead, AsyncWrite};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The standard input, made by [`stdin`].
#[derive(Debug)]
pub struct Stdin(Offload<io::Stdin>);

/// The standard output, made by [`stdout`].
#[derive(Debug)]
pub struct Stdout(Offload<io::Stdout>);

/// The standard error, made by [`stderr`].
#[derive(Debug)]
pub struct Stderr(Offload<io::Stderr>);

/// A handle for the standard input of the process.
///
/// Each read is a blocking call on the pool, through the buffer of [`std::io::stdin`], so it mixes with what the standard
/// library reads.
///
/// # Limits
/// A read that has begun can not be taken back. When the program ends its runtime while one waits for a terminal, the
/// runtime waits too; end it with `shutdown_background` then. For a dialogue with a user give stdin a thread of its own and a
/// channel. Two handles that read at the same time share the input out by chance.
///
/// # Panics
/// When it is read outside a runtime.
///
/// # Cancel safety
/// A read that is dropped goes on; what it reads is kept in this handle, for its next read.
///
/// # Examples
/// ```
/// # wakeline_runtime::Runtime::new()?.block_on(async {
/// use futures_lite::AsyncReadExt;
///
/// let mut all = Vec::new();
/// # if false {
/// wakeline_runtime::io::stdin().read_to_end(&mut all).await?;
/// # }
/// # std::io::Result::Ok(())
/// # })?;
/// # std::io::Result::Ok(())
/// ```
#[must_use]
pub fn stdin() -> Stdin {
    Stdin(Offload::new(io::stdin()))
}

/// A handle for the standard output of the process.
///
/// A write takes the bytes and has them written by the blocking pool; the next write waits for it, and tells whether it
/// failed. So does a flush. Once taken, bytes are written even if the handle is dropped or the runtime ends, unless the
/// runtime is ended without waiting (`shutdown_background`).
///
/// # Limits
/// Bytes of several handles come in the order in which the pool gets to them: whoever writes lines from several tasks
/// gives each line to one `write_all` of at most 2 MiB, or sends them to one task. As with [`std::io::stdout`], text after the last line
/// feed may stay in the standard library's buffer: flush before the program ends.
///
/// # Panics
/// When it is written to outside a runtime.
///
/// # Cancel safety
/// A write that is dropped before it is ready has taken nothing. `write_all` may have taken a part.
///
/// # Examples
/// ```
/// # wakeline_runtime::Runtime::new()?.block_on(async {
/// use futures_lite::AsyncWriteExt;
///
/// let mut out = wakeline_runtime::io::stdout();
/// out.write_all(b"hello\n").await?;
/// out.flush().await
/// # })?;
/// # std::io::Result::Ok(())
/// ```
#[must_use]
pub fn stdout() -> Stdout {
    Stdout(Offload::new(io::stdout()))
}

/// A handle for the standard error of the process, as [`stdout`] with its limits; nothing is buffered here.
///
/// # Panics
/// When it is written to outside a runtime.
///
/// # Cancel safety
/// As [`stdout`].
#[must_use]
pub fn stderr() -> Stderr {
    Stderr(Offload::new(io::stderr()))
}

impl AsyncRead for Stdin {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.get_mut().0.poll_read(cx, buf)
    }
}

macro_rules! writer {
    ($writer:ty) => {
        impl AsyncWrite for $writer {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                self.get_mut().0.poll_write(cx, std::iter::once(buf), nothing_was_read)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.get_mut().0.poll_write(cx, bufs.iter().map(|buf| &buf[..]), nothing_was_read)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.get_mut().0.poll_flush(cx)
            }

            /// Flushes; a standard stream is the process's and stays open.
            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.get_mut().0.poll_flush(cx)
            }
        }
    };
}

writer!(Stdout);
writer!(Stderr);

fn nothing_was_read<I>(_: &mut I, _: usize) -> io::Result<()> {
    Ok(())
}

ecosystem::reader!(Stdin);
ecosystem::writer!(Stdout, Stderr);

#[cfg(test)]
mod tests;
