//! Tasks whose futures need not be `Send`: they stay on one thread.

use crate::builder::UnhandledPanic;
use crate::context;
use crate::local_scheduler::{self, LocalScheduler};
use crate::namespace;
use crate::runtime::Runtime;
use crate::task::{JoinHandle, Origin};
use crate::wait_queue::WaitSlot;
use pin_project_lite::pin_project;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Begins a task that stays on this thread: its future need not be `Send`.
///
/// It belongs to the [`LocalSet`] that is being polled or [entered](LocalSet::enter) here, the innermost if there are
/// several; outside one, to the [`LocalRuntime`](crate::LocalRuntime) that this thread owns and stands in. In tokio the
/// `LocalRuntime` comes first.
///
/// # Panics
/// When there is neither.
///
/// # Examples
/// ```
/// # fn main() -> std::io::Result<()> {
/// use std::rc::Rc;
/// use wakeline_runtime::{LocalSet, Runtime, spawn_local};
///
/// let runtime = Runtime::new()?;
/// let sum = LocalSet::new().block_on(&runtime, async {
///     let numbers = Rc::new(vec![1, 2, 3]);
///     let task = spawn_local(async move { numbers.iter().sum::<i32>() });
///     task.await
/// });
/// assert!(matches!(sum, Ok(6)));
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    spawn_local_as(future, Origin::here(namespace::current()))
}

/// As [`spawn_local`], for a task that comes from elsewhere or has a name.
#[track_caller]
pub(crate) fn spawn_local_as<F>(future: F, origin: Origin) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    if local_scheduler::is_polled() {
        return local_scheduler::with_polled(|set| set.expect("it is polled").spawn(future, origin));
    }
    if let Some(set) = ENTERED.try_with(|entered| entered.borrow().clone()).ok().flatten() {
        return set.spawn(future, origin);
    }
    match context::with_current(|handle| handle.shared.is_owned_here()) {
        Some(true) => {}
        Some(false) => no_set("this runtime is not a `LocalRuntime` of this thread"),
        None => no_set("there is no runtime here either"),
    }
    context::current().shared.spawn_local(future, origin).settle()
}

#[cold]
#[track_caller]
fn no_set(why: &str) -> ! {
    panic!(
        "`spawn_local` called from outside of a `LocalSet` or `LocalRuntime`, and {why}: call it inside \
         `LocalSet::run_until`, or inside `LocalRuntime::block_on`"
    )
}

thread_local! {
    /// The set whose [`LocalSet::enter`] guard is on this thread.
    static ENTERED: RefCell<Option<Rc<LocalScheduler>>> = const { RefCell::new(None) };
}

/// A set of tasks that stay on one thread, and are polled when the set is.
///
/// The set itself is `!Send`. It is driven by [`run_until`](LocalSet::run_until), by [`block_on`](LocalSet::block_on), or by
/// being awaited, on any runtime or executor; between polls its tasks rest. Their wakers may be used on every thread, also
/// after the set is gone.
///
/// Dropping the set drops all its tasks, on this thread; their handles say that they were cancelled.
///
/// Several may drive one set at once, for instance by `join!`; whichever is polled polls the tasks. In tokio only the one
/// that was polled last is woken.
///
/// # Examples
/// Awaiting the set itself ends when its last task has ended:
/// ```
/// # fn main() -> std::io::Result<()> {
/// use std::{cell::Cell, rc::Rc};
/// use wakeline_runtime::{Builder, LocalSet, spawn_local};
///
/// let count = Rc::new(Cell::new(0));
/// let set = LocalSet::new();
/// for _ in 0..3 {
///     let count = count.clone();
///     set.spawn_local(async move { spawn_local(async move { count.set(count.get() + 1) }) });
/// }
/// Builder::new_current_thread().build()?.block_on(set);
/// assert_eq!(count.get(), 3);
/// # Ok(())
/// # }
/// ```
pub struct LocalSet {
    scheduler: Rc<LocalScheduler>,
    /// The set's own place among those who poll it, for when it is awaited.
    place: WaitSlot,
}

impl LocalSet {
    /// An empty set, bound to this thread.
    #[must_use]
    pub fn new() -> LocalSet {
        LocalSet { scheduler: Rc::new(LocalScheduler::new()), place: WaitSlot::new() }
    }

    /// Begins a task in this set; it is polled when the set is.
    ///
    /// It stands in the caller's [namespace](crate::namespace).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::rc::Rc;
    /// use wakeline_runtime::{LocalSet, Runtime};
    ///
    /// let set = LocalSet::new();
    /// let text = Rc::new("not Send");
    /// let task = set.spawn_local(async move { text.len() });
    /// let length = set.block_on(&Runtime::new()?, task);
    /// assert!(matches!(length, Ok(8)));
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_local<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.spawn_local_as(future, Origin::here(namespace::current()))
    }

    /// As [`spawn_local`](LocalSet::spawn_local), for a task that comes from elsewhere or has a name.
    pub(crate) fn spawn_local_as<F>(&self, future: F, origin: Origin) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.scheduler.spawn(future, origin)
    }

    /// Makes this the set of [`spawn_local`] on this thread until the guard drops. It does not poll the set.
    ///
    /// A set that is being polled goes before one that is entered.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use wakeline_runtime::{Builder, LocalSet, spawn_local};
    ///
    /// let set = LocalSet::new();
    /// let task = {
    ///     let _here = set.enter();
    ///     spawn_local(async { 5 })
    /// };
    /// let five = set.block_on(&Builder::new_current_thread().build()?, task);
    /// assert!(matches!(five, Ok(5)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn enter(&self) -> LocalEnterGuard {
        let previous = ENTERED.try_with(|entered| entered.replace(Some(self.scheduler.clone()))).ok().flatten();
        LocalEnterGuard { previous }
    }

    /// Drives `future` and the tasks of this set on `runtime`, and gives the future's output.
    ///
    /// Tasks that have not ended by then stay in the set. This thread must not be driving futures already.
    ///
    /// # Panics
    /// When the thread drives futures already, and when `future` panics.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let runtime = wakeline_runtime::Runtime::new()?;
    /// let three = wakeline_runtime::LocalSet::new().block_on(&runtime, async { 1 + 2 });
    /// assert_eq!(three, 3);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn block_on<F: Future>(&self, runtime: &Runtime, future: F) -> F::Output {
        runtime.block_on(self.run_until(future))
    }

    /// Drives `future`, and the tasks of this set with it, until `future` is ready.
    ///
    /// Tasks that have not ended by then stay in the set, and rest until it is driven again. Each poll polls `future`
    /// first, then at most 61 tasks that are ready.
    ///
    /// # Panics
    /// When `future` does, and when a task has and [`unhandled_panic`](LocalSet::unhandled_panic) says that this is the end.
    ///
    /// # Cancel safety
    /// That of `future`; the tasks stay in the set.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// # wakeline_runtime::Runtime::new()?.block_on(async {
    /// use wakeline_runtime::{LocalSet, spawn_local};
    ///
    /// let set = LocalSet::new();
    /// let answer = set.run_until(async { spawn_local(async { 42 }).await }).await;
    /// assert!(matches!(answer, Ok(42)));
    /// # });
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run_until<F: Future>(&self, future: F) -> F::Output {
        RunUntil { set: &self.scheduler, place: WaitSlot::new(), future }.await
    }

    /// What happens when a task of this set panics; nothing unless set, but that its handle says so.
    ///
    /// After [`UnhandledPanic::ShutdownRuntime`] the first panic of a task drops all tasks of the set; to await the set, or
    /// to go on with `run_until`, panics then. In tokio this is unstable.
    ///
    /// # Examples
    /// ```should_panic
    /// # fn main() -> std::io::Result<()> {
    /// use wakeline_runtime::{LocalSet, Runtime, UnhandledPanic, spawn_local};
    ///
    /// let mut set = LocalSet::new();
    /// set.unhandled_panic(UnhandledPanic::ShutdownRuntime);
    /// set.block_on(&Runtime::new()?, async {
    ///     spawn_local(async { panic!("boom") });
    ///     std::future::pending::<()>().await // ends with a panic
    /// });
    /// # Ok(())
    /// # }
    /// ```
    pub fn unhandled_panic(&mut self, behavior: UnhandledPanic) -> &mut LocalSet {
        self.scheduler.set_ends_on_panic(behavior == UnhandledPanic::ShutdownRuntime);
        self
    }
}

impl Future for LocalSet {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let set = &mut *self;
        set.scheduler.attend(&mut set.place, cx.waker());
        set.scheduler.as_polled(|| set.scheduler.run_tasks());
        if !set.scheduler.is_empty() {
            return Poll::Pending;
        }
        set.scheduler.leave(&mut set.place);
        Poll::Ready(())
    }
}

impl Drop for LocalSet {
    fn drop(&mut self) {
        // A guard of `enter` may still hold the scheduler.
        self.scheduler.close();
    }
}

impl Default for LocalSet {
    fn default() -> LocalSet {
        LocalSet::new()
    }
}

impl fmt::Debug for LocalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSet").finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`LocalSet::run_until`].
    struct RunUntil<'a, F> {
        set: &'a LocalScheduler,
        place: WaitSlot,
        #[pin]
        future: F,
    }

    impl<F> PinnedDrop for RunUntil<'_, F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            this.set.leave(this.place);
        }
    }
}

impl<F: Future> Future for RunUntil<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.set.attend(this.place, cx.waker());
        this.set.as_polled(|| {
            let polled = this.future.poll(cx);
            if polled.is_pending() {
                this.set.run_tasks();
            }
            polled
        })
    }
}

/// Puts the thread's previous set back when it drops.
#[must_use = "the thread leaves the set when the guard drops"]
pub struct LocalEnterGuard {
    previous: Option<Rc<LocalScheduler>>,
}

impl Drop for LocalEnterGuard {
    fn drop(&mut self) {
        let own = ENTERED.try_with(|entered| entered.replace(self.previous.take()));
        // Outside the borrow: the last reference of a set drops its tasks.
        drop(own);
    }
}

impl fmt::Debug for LocalEnterGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalEnterGuard").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
