//! Asynchronous input and output.
//!
//! The traits are those of `futures-io`, for whose extension methods any library of its family will do. Here are the
//! streams and the copying that need the runtime, and what stands between the traits and the operating system: a
//! [`Source`] is registered with the reactor of the runtime in which it was made and tells when it is worth trying;
//! [`AsyncFd`] is one for any descriptor.

#[cfg(unix)]
mod async_fd;
mod copy_bidirectional;
mod duplex;
#[doc(hidden)]
pub mod ecosystem;
pub(crate) mod offload;
pub(crate) mod source;
mod stdio;

#[doc(hidden)]
pub use crate::reactor::ring::Descriptor;
#[cfg(unix)]
pub use async_fd::{AsyncFd, AsyncFdGuard, AsyncFdReadyGuard, AsyncFdReadyMutGuard, AsyncFdTryNewError, TryIoError};
pub use copy_bidirectional::{copy_bidirectional, copy_bidirectional_with_sizes};
pub use duplex::{DuplexStream, SimplexReader, SimplexWriter, duplex, simplex};
pub use source::{Inlet, Source, Transfer};
pub use stdio::{Stderr, Stdin, Stdout, stderr, stdin, stdout};
