//! hyper's `Read` and `Write`.

use futures_io::AsyncRead as Reads;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pub use hyper::rt::{Read, ReadBufCursor, Write};

/// Reads into what `buf` has left.
pub fn poll_read<R: Reads>(
    reader: Pin<&mut R>,
    cx: &mut Context<'_>,
    mut buf: ReadBufCursor<'_>,
) -> Poll<io::Result<()>> {
    // hyper offers much room, of which all has to be zeroed for a reader that takes bytes.
    let room = buf.remaining().min(READ_BYTES_MAX);
    let room = buf.initialize_unfilled_to(room);
    let len = room.len();
    let n = ready!(reader.poll_read(cx, room))?;
    assert!(n <= len, "a reader said that it read more than there was room for");
    // SAFETY: `advance` wants the `n` bytes initialized. So are the first `len`, by the call above, and `n` is at most that.
    unsafe { buf.advance(n) };
    Poll::Ready(Ok(()))
}

const READ_BYTES_MAX: usize = 64 << 10;

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
