//! Tasks, for those who stand in one: free functions on the current runtime.

use crate::context;
use crate::namespace;
use crate::task::JoinHandle;
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
    let namespace = namespace::current();
    match context::with_current(|handle| handle.shared.spawn(future, namespace)) {
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
