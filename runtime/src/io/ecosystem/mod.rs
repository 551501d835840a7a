//! The traits of other ecosystems on streams that have those of `futures-io`, by the features `tokio` and `hyper`.
//!
//! [`reader`](crate::io::ecosystem::reader) and [`writer`](crate::io::ecosystem::writer) write the impls beside a type, in whichever
//! crate it is; the features are this crate's, so nobody else asks for them.

#[cfg(feature = "hyper")]
pub mod hyper;
#[cfg(not(feature = "hyper"))]
#[path = "no_hyper.rs"]
pub mod hyper;
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

/// Writing, for types that are `futures_io::AsyncWrite`; the expression says whether vectors reach the bottom.
#[doc(hidden)]
#[macro_export]
macro_rules! __writer {
    ($($stream:ty: |$this:ident| $vectored:expr),+) => {$(
        $crate::io::ecosystem::tokio::writer!($stream, |$this| $vectored);
        $crate::io::ecosystem::hyper::writer!($stream, |$this| $vectored);
    )+};
}

pub use {__reader as reader, __writer as writer};
