//! tokio's `AsyncRead` and `AsyncWrite`.

use super::scratch;
use futures_io::AsyncRead as Reads;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pub use tokio::io::{AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};

/// Reads into what `buf` has left.
pub fn poll_read<R: Reads>(reader: Pin<&mut R>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
    if buf.initialized().len() < buf.capacity() {
        return scratch::read(buf.remaining(), |room| reader.poll_read(cx, room), |bytes| buf.put_slice(bytes));
    }
    let n = ready!(reader.poll_read(cx, buf.initialize_unfilled()))?;
    buf.advance(n);
    Poll::Ready(Ok(()))
}

#[doc(hidden)]
#[macro_export]
macro_rules! __tokio_reader {
    ($stream:ty) => {
        impl $crate::io::ecosystem::tokio::AsyncRead for $stream {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &mut $crate::io::ecosystem::tokio::ReadBuf<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                $crate::io::ecosystem::tokio::poll_read(self, cx, buf)
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __tokio_writer {
    ($stream:ty) => {
        $crate::io::ecosystem::forward_writer!($crate::io::ecosystem::tokio::AsyncWrite, $stream);
    };
}

pub use {__tokio_reader as reader, __tokio_writer as writer};

#[cfg(test)]
mod tests;
