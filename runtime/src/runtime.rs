//! Running and ending a runtime.

use crate::builder::Builder;
use crate::context::{self, EnterGuard};
use crate::crew::Crew;
use crate::handle::Handle;
use crate::park::{Parker, Unparker};
use crate::scheduler::{self, Detector, Hooks, RuntimeFlavor, RuntimeMetrics};
use crate::task::JoinHandle;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The executor, its driver and its threads.
///
/// Dropping it drops every task that is not being polled at that moment, waits for those that are, for the workers and
/// for the closures that run in the blocking pool, and returns. It panics in a task or in `block_on`, where waiting
/// is not allowed; [`shutdown_background`](Runtime::shutdown_background) does not wait.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use wakeline_runtime::Builder;
///
/// let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
/// let sum = runtime.block_on(async {
///     let tasks: Vec<_> = (0..10).map(|i| wakeline_runtime::spawn(async move { i })).collect();
///     let mut sum = 0;
///     for task in tasks {
///         sum += task.await?;
///     }
///     Ok::<_, wakeline_runtime::task::JoinError>(sum)
/// })?;
/// assert_eq!(sum, 45);
/// # Ok(())
/// # }
/// ```
pub struct Runtime {
    handle: Handle,
    kind: RuntimeFlavor,
    workers: Arc<Crew>,
    /// Ends the thread that watches for blocked workers.
    watchdog: Option<Unparker>,
    ended: bool,
}

impl Runtime {
    /// A runtime with one worker thread per CPU, I/O and time.
    ///
    /// # Errors
    /// What the operating system says when it gives no thread or no poll instance.
    pub fn new() -> io::Result<Runtime> {
        Builder::new_multi_thread().enable_all().build()
    }

    /// The handle, for other threads and to keep.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// As [`Handle::spawn`].
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn(future)
    }

    /// As [`Handle::spawn_blocking`].
    #[track_caller]
    pub fn spawn_blocking<F, R>(&self, work: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.handle.spawn_blocking(work)
    }

    /// Drives `future` on the calling thread and gives its output.
    ///
    /// On a current-thread runtime the calling thread also drives the tasks, timers and I/O; of several threads that
    /// call it at once, one does, and another takes over when that one is done. On a multi-thread runtime the
    /// workers do.
    ///
    /// # Panics
    /// When the thread drives futures already, and when `future` panics; also when a task does, or has done, if that
    /// [ends the runtime](Builder::unhandled_panic).
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        if self.kind == RuntimeFlavor::MultiThread {
            return self.handle.block_on(future);
        }
        let future = context::main_future(future);
        match self.handle.block_on_with(|| scheduler::as_worker(&self.handle.shared, future)) {
            Some(output) => output,
            None => panic!(
                "a spawned task panicked, and the runtime is configured to end then (`UnhandledPanic::ShutdownRuntime`): \
                 see the panic above, or build the runtime with `UnhandledPanic::Ignore`"
            ),
        }
    }

    /// As [`Handle::enter`].
    pub fn enter(&self) -> EnterGuard<'_> {
        self.handle.enter()
    }

    /// As [`Handle::metrics`].
    #[must_use]
    pub fn metrics(&self) -> RuntimeMetrics {
        self.handle.metrics()
    }

    /// Ends the runtime and waits at most `timeout` for what is running. What has not ended by then is left to itself.
    ///
    /// # Panics
    /// In a task or in `block_on`, where waiting is not allowed.
    #[track_caller]
    pub fn shutdown_timeout(mut self, timeout: Duration) {
        refuse_where_waiting_is_not_allowed("shutdown_timeout");
        self.end(Some(timeout));
    }

    /// Ends the runtime and waits for nothing: tasks and closures that run go on until they return.
    pub fn shutdown_background(mut self) {
        self.end(Some(Duration::ZERO));
    }

    /// Ends everything in order: no more work comes in, the tasks go, then the pool.
    fn end(&mut self, limit: Option<Duration>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let left = || deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let shared = &self.handle.shared;
        if let Some(watchdog) = &self.watchdog {
            watchdog.unpark();
        }
        scheduler::begin_shutdown(shared);
        shared.blocking().close();
        let waits = limit != Some(Duration::ZERO);
        if self.kind == RuntimeFlavor::CurrentThread || (waits && self.workers.wait(left())) {
            let _here = self.handle.enter();
            scheduler::finish_shutdown(shared);
        }
        if waits {
            shared.blocking().wait(left());
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if scheduler::is_entered() {
            self.end(Some(Duration::ZERO));
            if !thread::panicking() {
                refuse_where_waiting_is_not_allowed("dropping a runtime");
            }
            return;
        }
        self.end(None);
    }
}

#[track_caller]
fn refuse_where_waiting_is_not_allowed(what: &str) {
    if scheduler::is_entered() {
        panic!(
            "{what} waits for its tasks and threads, which is not allowed where this thread drives tasks: move the \
             runtime out of the task, or call `shutdown_background`"
        );
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("kind", &self.kind).field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl Runtime {
    /// A runtime whose workers are still to be started. Its drop ends what has begun, if a later thread does not start.
    pub(crate) fn without_threads(handle: Handle, kind: RuntimeFlavor) -> Runtime {
        Runtime { handle, kind, workers: Arc::new(Crew::default()), watchdog: None, ended: false }
    }

    pub(crate) fn start_worker(&self, thread: thread::Builder, hooks: Hooks) -> io::Result<()> {
        let handle = self.handle.clone();
        self.workers.start(thread, move || {
            hooks.thread_start.call();
            {
                let _here = handle.enter();
                scheduler::drive(handle.shared.clone());
            }
            hooks.thread_stop.call();
        })
    }

    pub(crate) fn start_watchdog(&mut self, thread: thread::Builder, detector: Arc<Detector>) -> io::Result<()> {
        let parker = Parker::new();
        self.watchdog = Some(parker.unparker());
        self.workers.start(thread, move || detector.watch(&parker))
    }
}

#[cfg(test)]
mod tests;
