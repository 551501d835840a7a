//! OS sources for whoever builds sockets and pipes on them: a [`Source`] is registered with the reactor of the runtime
//! in which it was made, and tells when it is worth trying.
//!
//! The traits for reading and writing are those of `futures-io`; this module has only what stands between them and the
//! operating system.

pub(crate) mod source;

pub use source::{Source, Transfer};
