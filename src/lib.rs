//! An async runtime whose network can be the operating system's or its own. This crate re-exports; see the README.

#[doc(inline)]
pub use wakeline_runtime::{clock, coop, namespace, park, rng, runtime, task, time, wait_queue};
pub use wakeline_runtime::{main, spawn, test};

/// Networking: sockets, for tasks and for threads, and the emulated network.
pub mod net {
    #[doc(inline)]
    pub use wakeline_net::*;
}

/// Asynchronous input and output: the traits of `futures-io`, and their extension methods.
pub mod io {
    pub use futures_lite::future::try_zip;
    pub use futures_lite::io::*;
}
