//! hyper's `Read` and `Write`.

use super::scratch;
use futures_io::AsyncRead as Reads;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

pub use hyper::rt::{Read, ReadBufCursor, Write};

/// Reads into what `buf` has left.
pub fn poll_read<R: Reads>(
    reader: Pin<&mut R>,
    cx: &mut Context<'_>,
    mut buf: ReadBufCursor<'_>,
) -> Poll<io::Result<()>> {
    scratch::read(buf.remaining(), |room| reader.poll_read(cx, room), |bytes| buf.put_slice(bytes))
}

#[doc(hidden)]
#[macro_export]
macro_rules! __hyper_reader {
    ($stream:ty) => {
        impl $crate::io::ecosystem::hyper::Read for $stream {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: $crate::io::ecosystem::hyper::ReadBufCursor<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                $crate::io::ecosystem::hyper::poll_read(self, cx, buf)
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __hyper_writer {
    ($stream:ty) => {
        $crate::io::ecosystem::forward_writer!($crate::io::ecosystem::hyper::Write, $stream);
    };
}

pub use {__hyper_reader as reader, __hyper_writer as writer};
