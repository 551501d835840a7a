//! A runtime that one thread owns, whose tasks therefore need not be `Send`.
//!
//! It is the current-thread runtime behind a face that can not leave its thread: the one worker's core is only ever taken
//! here, so a local task is a task like all others.

use crate::builder::Builder;
use crate::context::EnterGuard;
use crate::handle::Handle;
use crate::namespace;
use crate::runtime::Runtime;
use crate::scheduler::RuntimeMetrics;
use crate::task::{JoinHandle, Origin};
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::thread;
use std::time::Duration;

/// A current-thread runtime that stays on the thread that built it: [`spawn_local`](crate::spawn_local) works on it
/// without a [`LocalSet`](crate::LocalSet).
///
/// [`Handle::spawn`], [`Handle::spawn_blocking`] and wakers work from every thread, as with any runtime. Dropping it drops
/// all its tasks here; it panics in a task or in `block_on`, as dropping a [`Runtime`] does.
///
/// # Examples
/// ```
/// # fn main() -> std::io::Result<()> {
/// use std::{cell::Cell, rc::Rc};
/// use wakeline_runtime::{Builder, LocalOptions, spawn_local};
///
/// let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
/// let count = Rc::new(Cell::new(0));
/// let counted = count.clone();
/// runtime.block_on(async {
///     let task = spawn_local(async move { counted.set(counted.get() + 1) });
///     assert!(task.await.is_ok());
/// });
/// assert_eq!(count.get(), 1);
/// # Ok(())
/// # }
/// ```
pub struct LocalRuntime {
    runtime: Runtime,
    _here: PhantomData<*mut ()>,
}

impl LocalRuntime {
    /// A runtime for this thread, with I/O and time.
    ///
    /// # Errors
    /// What the operating system says when it gives no poll instance.
    pub fn new() -> io::Result<LocalRuntime> {
        Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
    }

    /// The handle, for other threads and to keep. It spawns what is `Send`.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Begins a task that stays on this thread.
    ///
    /// It stands in the caller's [namespace](crate::namespace), and is polled while [`block_on`](LocalRuntime::block_on)
    /// runs.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::rc::Rc;
    /// let runtime = wakeline_runtime::LocalRuntime::new()?;
    /// let shared = Rc::new(5);
    /// let task = runtime.spawn_local(async move { *shared + 1 });
    /// assert!(matches!(runtime.block_on(task), Ok(6)));
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_local<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.handle().shared.spawn_local(future, Origin::here(namespace::current())).settle()
    }

    /// As [`Handle::spawn_blocking`].
    #[track_caller]
    pub fn spawn_blocking<F, R>(&self, work: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.runtime.spawn_blocking(work)
    }

    /// Drives `future`, the tasks, timers and I/O, and gives the future's output.
    ///
    /// # Panics
    /// When the thread drives futures already, and when `future` panics.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// As [`Handle::enter`]; [`spawn_local`](crate::spawn_local) works there too.
    pub fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }

    /// As [`Handle::metrics`].
    #[must_use]
    pub fn metrics(&self) -> RuntimeMetrics {
        self.runtime.metrics()
    }

    /// As [`Runtime::shutdown_timeout`].
    ///
    /// # Panics
    /// In a task or in `block_on`, where waiting is not allowed.
    #[track_caller]
    pub fn shutdown_timeout(self, timeout: Duration) {
        self.runtime.shutdown_timeout(timeout);
    }

    /// As [`Runtime::shutdown_background`].
    pub fn shutdown_background(self) {
        self.runtime.shutdown_background();
    }
}

impl UnwindSafe for LocalRuntime {}
impl RefUnwindSafe for LocalRuntime {}

impl fmt::Debug for LocalRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalRuntime").field("handle", self.handle()).finish_non_exhaustive()
    }
}

/// What [`Builder::build_local`] is to observe; there is nothing yet but the default.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LocalOptions {
    // What comes may be bound to the thread.
    _here: PhantomData<*mut ()>,
}

impl Builder {
    /// Builds a runtime that stays on this thread; the builder may be used again.
    ///
    /// # Errors
    /// What the operating system says when it gives no poll instance.
    ///
    /// # Panics
    /// When the builder is a [`new_multi_thread`](Builder::new_multi_thread).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use wakeline_runtime::{Builder, LocalOptions};
    /// let runtime = Builder::new_current_thread().enable_time().build_local(LocalOptions::default())?;
    /// assert_eq!(runtime.block_on(async { 1 }), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn build_local(&mut self, options: LocalOptions) -> io::Result<LocalRuntime> {
        let LocalOptions { _here } = options;
        let runtime = self.build_for(Some(thread::current().id()))?;
        Ok(LocalRuntime { runtime, _here })
    }
}

#[cfg(test)]
mod tests;
