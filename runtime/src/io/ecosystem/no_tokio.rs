//! Without the feature `tokio` there is nothing to write.

/// Nothing.
#[doc(hidden)]
#[macro_export]
macro_rules! __tokio_reader {
    ($stream:ty) => {};
}

/// Nothing.
#[doc(hidden)]
#[macro_export]
macro_rules! __tokio_writer {
    ($stream:ty) => {};
}

pub use {__tokio_reader as reader, __tokio_writer as writer};
