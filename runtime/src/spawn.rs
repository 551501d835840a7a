//! Tasks, for those who stand in one: free functions on the current runtime.

use crate::context;
use crate::local_scheduler;
use crate::namespace;
use crate::scheduler::{self, OnlyThread};
use crate::task::{JoinHandle, Origin};
use crate::trace;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Begins a task on the current runtime. It goes on whether or not the [`JoinHandle`] is kept.
///
/// # Panics
/// Outside a runtime.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = wakeline_runtime::Runtime::new()?;
/// let answer = runtime.block_on(async {
///     let task = wakeline_runtime::spawn(async { 6 * 7 });
///     task.await
/// })?;
/// assert_eq!(answer, 42);
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let origin = Origin::here(namespace::current());
    if trace::ON {
        // Without a borrow of the ambient handle, which a subscriber may want to replace.
        return context::current().shared.spawn(future, origin).settle();
    }
    match context::with_current(|handle| handle.shared.spawn(future, origin)) {
        Some(spawned) => spawned.settle(),
        None => context::no_runtime(),
    }
}

/// Runs `work`, which may block, on a thread of the current runtime's pool.
///
/// # Panics
/// Outside a runtime, and when the operating system gives no thread and the pool has none.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = wakeline_runtime::Runtime::new()?;
/// let text = runtime.block_on(async {
///     wakeline_runtime::spawn_blocking(|| std::fs::read_to_string("/proc/self/comm")).await
/// })?;
/// # let _ = text;
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn spawn_blocking<F, R>(work: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    context::current().spawn_blocking(work)
}

/// Runs `work`, which may block, where it stands: in a task, without holding up the other tasks of its worker.
///
/// On a worker of a multi-thread runtime another thread, of the blocking pool, takes over what the worker has to do beside
/// this task; if it has begun when `work` is done, it stays the worker. The calling task itself waits, and with it all that
/// is joined into it: `select!`, `join!`. Within `work` there is no [budget](crate::coop), and `block_on` is allowed. In
/// the future given to the `block_on` of a multi-thread runtime, in `spawn_blocking` and outside a runtime `work` is merely run.
///
/// When the pool has no thread to spare, the worker's tasks wait until one comes free, or `work` is done, unless another
/// worker steals them.
///
/// # Panics
/// On the thread that drives a current-thread runtime, and in a `LocalSet`, where nobody else could go on; and when `work` panics.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = wakeline_runtime::Builder::new_multi_thread().worker_threads(1).build()?;
/// let line = runtime.block_on(runtime.spawn(async {
///     wakeline_runtime::block_in_place(|| std::fs::read_to_string("/proc/self/comm"))
/// }))?;
/// # let _ = line;
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn block_in_place<F, R>(work: F) -> R
where
    F: FnOnce() -> R,
{
    let result = if local_scheduler::is_polled() { Err(OnlyThread) } else { context::block_in_place(work) };
    match result {
        Ok(result) => result,
        Err(OnlyThread) => panic!(
            "`block_in_place` can not be called on a current-thread runtime, nor in a `LocalSet`: there is no other \
             thread to go on with the tasks; use `spawn_blocking`, or a runtime of `Builder::new_multi_thread`"
        ),
    }
}

/// The number of the present poll, if it is one of the only worker of its runtime and no other task is ready: what the caller
/// leaves for a task to do could as well be done here and now. Another poll of the worker has another number.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use wakeline_runtime::{Builder, lone_poll, spawn};
///
/// let runtime = Builder::new_current_thread().build()?;
/// runtime.block_on(async {
///     assert!(lone_poll().is_some());
///     let _other = spawn(async {});
///     assert_eq!(lone_poll(), None, "the other one is ready");
/// });
/// assert_eq!(lone_poll(), None, "no worker polls this");
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn lone_poll() -> Option<u64> {
    scheduler::lone_poll()
}

/// Goes to the end of the queue, so that other tasks, and every so often the driver, have a turn.
///
/// # Cancel safety
/// Yes: dropping it has no effect.
pub async fn yield_now() {
    YieldNow { yielded: false }.await;
}

struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        // Woken while it runs, a task goes behind all others.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
