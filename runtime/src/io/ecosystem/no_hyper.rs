//! Without the feature `hyper` there is nothing to write.

/// Nothing.
#[doc(hidden)]
#[macro_export]
macro_rules! __hyper_reader {
    ($stream:ty) => {};
}

/// Nothing.
#[doc(hidden)]
#[macro_export]
macro_rules! __hyper_writer {
    ($stream:ty) => {};
}

pub use {__hyper_reader as reader, __hyper_writer as writer};
