//! The traits of other ecosystems on streams that have those of `futures-io`, by the features `tokio` and `hyper`.
//!
//! [`reader`](crate::io::ecosystem::reader) and [`writer`](crate::io::ecosystem::writer) write the impls beside a type, in whichever
//! crate it is; the features are this crate's, so nobody else asks for them.

#[cfg(feature = "hyper")]
pub mod hyper;
#[cfg(not(feature = "hyper"))]
#[path = "no_hyper.rs"]
pub mod hyper;
#[cfg(any(feature = "hyper", feature = "tokio"))]
mod scratch;
#[cfg(not(feature = "tokio"))]
#[path = "no_tokio.rs"]
pub mod tokio;
#[cfg(feature = "tokio")]
pub mod tokio;

/// Reading, for types that are `futures_io::AsyncRead`.
#[doc(hidden)]
#[macro_export]
macro_rules! __reader {
    ($($stream:ty),+) => {$(
        $crate::io::ecosystem::tokio::reader!($stream);
        $crate::io::ecosystem::hyper::reader!($stream);
    )+};
}

/// Writing, for types that are `futures_io::AsyncWrite` and take all buffers of a vector in one call.
#[doc(hidden)]
#[macro_export]
macro_rules! __writer {
    ($($stream:ty),+) => {$(
        $crate::io::ecosystem::tokio::writer!($stream);
        $crate::io::ecosystem::hyper::writer!($stream);
    )+};
}

/// tokio's trait and hyper's have the same methods, by the same names.
#[doc(hidden)]
#[macro_export]
macro_rules! __forward_writer {
    ($trait:path, $stream:ty) => {
        impl $trait for $stream {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                futures_io::AsyncWrite::poll_write(self, cx, buf)
            }

            fn poll_write_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bufs: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                futures_io::AsyncWrite::poll_write_vectored(self, cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                futures_io::AsyncWrite::poll_flush(self, cx)
            }

            fn poll_shutdown(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                futures_io::AsyncWrite::poll_close(self, cx)
            }
        }
    };
}

pub use {__forward_writer as forward_writer, __reader as reader, __writer as writer};
