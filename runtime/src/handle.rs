//! The handle: a runtime, as seen by those who give it work.
//!
//! What needs the thread's ambient runtime (`current`, `enter`, `block_on`, `spawn_blocking`) is in [`crate::context`].

use crate::clock::Clock;
use crate::driver::{DriverHandle, IoDriver};
use crate::namespace;
use crate::scheduler::{RuntimeFlavor, RuntimeId, RuntimeMetrics, Shared};
use crate::task::{JoinHandle, Origin};
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// A reference to a runtime: spawns tasks from anywhere. Cheap to clone; does not keep the runtime from ending.
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Handle {
    /// Begins a task, which goes on whether or not the [`JoinHandle`] is kept.
    ///
    /// It stands in the caller's [namespace](crate::namespace). When the runtime has ended, the future is dropped and the
    /// handle says that the task was cancelled.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let runtime = wakeline_runtime::Runtime::new()?;
    /// let task = runtime.handle().spawn(async { "hello" });
    /// assert_eq!(runtime.block_on(task)?, "hello");
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.shared.spawn(future, Origin::here(namespace::current())).settle()
    }

    /// What the runtime has done and has to do, now.
    #[must_use]
    pub fn metrics(&self) -> RuntimeMetrics {
        self.shared.metrics()
    }

    /// Which kind of runtime this is.
    #[must_use]
    pub fn runtime_flavor(&self) -> RuntimeFlavor {
        self.shared.flavor()
    }

    /// The name that [`Builder::name`](crate::Builder::name) gave the runtime.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.shared.name()
    }

    /// What tells this runtime from all others of the process.
    #[must_use]
    pub fn id(&self) -> RuntimeId {
        self.shared.id()
    }

    /// By what the runtime hears of the operating system's sources; `None` when it was built without I/O.
    #[must_use]
    pub fn io_driver(&self) -> Option<IoDriver> {
        self.driver().io_driver()
    }

    /// Why that is not what [`Builder::io_driver`](crate::Builder::io_driver) asked for; `None` when it is.
    #[must_use]
    pub fn io_driver_refusal(&self) -> Option<&str> {
        self.driver().io_driver_refusal()
    }

    /// The clock by which this runtime's timers go.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        self.driver().clock()
    }

    /// The driver's shared half, for sources and timers.
    pub(crate) fn driver(&self) -> &DriverHandle {
        self.shared.driver()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("workers", &self.shared.num_workers()).finish_non_exhaustive()
    }
}
