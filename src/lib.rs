#![doc = include_str!("../README.md")]

#[cfg(feature = "hyper")]
pub use wakeline_runtime::hyper;
pub use wakeline_runtime::{clock, coop, fs, namespace, park, rng, sync, time, wait_queue};
pub use wakeline_runtime::{join, pin, select, try_join};
pub use wakeline_runtime::{main, spawn, spawn_blocking, task_local, test};
#[cfg(unix)]
pub use wakeline_runtime::{process, signal};

/// The guide's code, for `cargo test` to compile.
#[cfg(all(doctest, unix))]
#[doc = include_str!("../docs/from-tokio.md")]
struct FromTokio;

/// Runtimes: building them, holding them, asking them.
pub mod runtime {
    pub use wakeline_runtime::{
        BlockedPoll, Builder, EnterGuard, Handle, Runtime, RuntimeFlavor, RuntimeId as Id, RuntimeMetrics,
        TryCurrentError, UnhandledPanic, WorkerMetrics,
    };
    pub use wakeline_runtime::{IoDriver, LocalOptions, LocalRuntime};
}

/// Tasks: spawning them, waiting for them, ending them.
pub mod task {
    pub use wakeline_runtime::TaskBuilder as Builder;
    pub use wakeline_runtime::task::*;
    pub use wakeline_runtime::{GroupHandle, TaskGroup, group};
    pub use wakeline_runtime::{JoinSet, join_set};
    pub use wakeline_runtime::{LocalEnterGuard, LocalSet, spawn_local};
    pub use wakeline_runtime::{block_in_place, spawn, spawn_blocking, yield_now};

    /// Futures that have a name.
    pub mod futures {
        pub use wakeline_runtime::task::TaskLocalFuture;
    }
}

/// Networking: sockets, for tasks and for threads, and the emulated network.
pub mod net {
    #[doc(inline)]
    pub use wakeline_net::*;
}

/// Asynchronous input and output: the traits of `futures-io` with the extension methods of `futures-lite`, and the streams
/// that need the runtime.
///
/// The feature `tokio` gives every stream of wakeline tokio's `AsyncRead` and `AsyncWrite` beside these, and a
/// [`File`](crate::fs::File) its `AsyncSeek`; the feature `hyper` gives them hyper's `Read` and `Write`.
pub mod io {
    pub use futures_lite::future::try_zip;
    pub use futures_lite::io::*;
    pub use wakeline_runtime::io::*;
}
