//! Task groups: tasks that end before the one that began them goes on.

use crate::atomic::Mutex;
use crate::handle::Handle;
use crate::local_set::spawn_local;
use crate::spawn::spawn;
use crate::task::{JoinHandle, Ledger, Places, Seat, TaskLocalFuture, Until, hand_in};
use pin_project_lite::pin_project;
use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Runs `body`, which may spawn children into the group, and ends when it and they have ended.
///
/// `body` is a closure that is given the [`GroupHandle`] and returns a future, such as an `async` closure. That future is
/// polled in place: it may borrow from the caller. The children are tasks of the runtime, run beside it, and give a
/// `Result` with the group's error type.
///
/// - **Waiting.** The group's future is ready when `body` and all children have ended: their futures have been dropped.
/// - **First error.** When `body` or a child gives an error, `body` is dropped, all children are aborted, and when they
///   have ended the error is what the group gives. Later errors are dropped, and so are those of children that were
///   aborted before by [`GroupHandle::cancel`].
/// - **Panics** count as errors: when all have ended the first one goes on in the owner, as with [`std::thread::scope`].
/// - **Dropping** the group's future aborts the children and does not wait for them, because a drop can not;
///   [`shutdown`](TaskGroup::shutdown) does.
/// - **Nesting.** A group made in the body or in a child of another belongs to it: its children are children of the outer
///   group too, which aborts them and waits for them, even if the inner group is dropped.
///
/// # What it is not
/// Children can not borrow from the owner, they are `'static`. A scope whose tasks may borrow would have to end them before
/// the borrowed goes away; but its owner may be dropped at any `.await`, when it can not wait for a task that another
/// thread polls at that moment, or leaked by [`std::mem::forget`], when nobody learns of it. Only blocking the
/// thread would be sound, as the standard library's scope does. So: share by `Arc`, or borrow in `body`.
///
/// A closure of `spawn_blocking` can not be aborted; await its handle inside a child.
///
/// tokio has no such thing; [`JoinSet`](crate::JoinSet) aborts on drop, but knows no errors and no nesting.
///
/// # Errors
/// The first error that `body` or a child gives.
///
/// # Panics
/// With the first panic of `body` or a child.
///
/// # Cancel safety
/// Dropping it drops `body` and aborts all children.
///
/// # Examples
/// ```
/// # fn main() -> std::io::Result<()> {
/// # let runtime = wakeline_runtime::Runtime::new()?;
/// async fn length(word: &'static str) -> Result<usize, String> {
///     if word.is_empty() { Err("a word is empty".to_owned()) } else { Ok(word.len()) }
/// }
///
/// async fn total(words: &[&'static str]) -> Result<usize, String> {
///     wakeline_runtime::group(|group| async move {
///         let children: Vec<_> = words.iter().map(|word| group.spawn(length(word))).collect();
///         let mut total = 0;
///         for child in children {
///             // A failed child ends the whole group, so nobody comes here to see it.
///             total += child.await.map_err(|error| error.to_string())?;
///         }
///         Ok(total)
///     })
///     .await
/// }
///
/// runtime.block_on(async {
///     assert_eq!(total(&["one", "three"]).await, Ok(8));
///     assert_eq!(total(&["one", "", "three"]).await, Err("a word is empty".to_owned()));
/// });
/// # Ok(())
/// # }
/// ```
pub fn group<T, E, F, B>(body: F) -> TaskGroup<T, E, B>
where
    F: FnOnce(GroupHandle<E>) -> B,
    B: Future<Output = Result<T, E>>,
{
    let ledger = Arc::new(Ledger::new(ENCLOSING.try_get().ok()));
    let shared = Arc::new(Shared { ledger: ledger.clone(), failure: Mutex::new(None) });
    let handle = GroupHandle { shared: shared.clone() };
    let body = ENCLOSING.sync_scope(ledger.clone(), || body(handle));
    TaskGroup { body: Some(ENCLOSING.scope(ledger, body)), value: None, shared }
}

crate::task_local! {
    /// The ledger of the group in whose body or child this thread is.
    static ENCLOSING: Arc<Ledger>;
}

struct Shared<E> {
    ledger: Arc<Ledger>,
    /// The first.
    failure: Mutex<Option<Failure<E>>>,
}

enum Failure<E> {
    Error(E),
    Panic(Box<dyn Any + Send>),
}

impl<E> Shared<E> {
    /// The body has failed.
    fn fail(&self, failure: Failure<E>) {
        let late = {
            let mut first = self.failure.lock();
            if first.is_none() { first.replace(failure) } else { Some(failure) }
        };
        self.ledger.cancel();
        // Last, and outside the lock: it is the user's.
        drop(late);
    }

    /// A child has failed. That the group is cancelled by it and why are stored under one lock, so an owner that learns
    /// the one finds the other.
    fn fail_by_child(&self, failure: Failure<E>) {
        let mut first = self.failure.lock();
        let cancel = self.ledger.fail();
        let late = if cancel.is_some() { first.replace(failure) } else { Some(failure) };
        drop(first);
        if let Some(cancel) = cancel {
            cancel.carry_out();
        }
        // Last, and outside the lock: it is the user's.
        drop(late);
    }

    fn take_failure(&self) -> Option<Failure<E>> {
        self.failure.lock().take()
    }
}

pin_project! {
    /// The future of [`group`].
    #[must_use = "a group does nothing unless polled"]
    pub struct TaskGroup<T, E, B> {
        // Empty when it has ended, or must not go on.
        #[pin]
        body: Option<TaskLocalFuture<Arc<Ledger>, B>>,
        value: Option<T>,
        shared: Arc<Shared<E>>,
    }

    impl<T, E, B> PinnedDrop for TaskGroup<T, E, B> {
        fn drop(this: Pin<&mut Self>) {
            this.project().shared.ledger.cancel();
        }
    }
}

impl<T, E, B> TaskGroup<T, E, B> {
    /// Drops the body, aborts all children, and waits until they have ended. What they gave is dropped, and so is a panic.
    ///
    /// Afterwards the group must not be polled.
    ///
    /// # Cancel safety
    /// Yes: the first poll has aborted the children, and calling it again goes on waiting.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// # wakeline_runtime::Runtime::new()?.block_on(async {
    /// use std::{future::{pending, poll_fn}, pin::pin, task::Poll};
    ///
    /// let mut group = pin!(wakeline_runtime::group(|group| async move {
    ///     group.spawn(pending::<Result<(), ()>>());
    ///     pending::<Result<(), ()>>().await
    /// }));
    /// // Polled once, for instance as a branch of `select!` ..
    /// poll_fn(|cx| Poll::Ready(group.as_mut().poll(cx).is_pending())).await;
    /// // .. and then not wanted any more.
    /// group.shutdown().await;
    /// # });
    /// # Ok(())
    /// # }
    /// ```
    pub async fn shutdown(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.shared.ledger.cancel();
        this.body.set(None);
        *this.value = None;
        let shared = this.shared;
        poll_fn(|cx| if shared.ledger.has_come(Until::Empty, cx.waker()) { Poll::Ready(()) } else { Poll::Pending })
            .await;
        drop(shared.take_failure());
    }
}

impl<T, E, B> Future for TaskGroup<T, E, B>
where
    B: Future<Output = Result<T, E>>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        let mut this = self.project();
        if this.body.is_some() {
            // Asked before the body is polled: a child that fails from here on wakes the owner.
            if !this.shared.ledger.has_come(Until::Failed, cx.waker()) {
                match catch_unwind(AssertUnwindSafe(|| poll_body(this.body.as_mut(), cx))) {
                    Ok(Poll::Pending) => return Poll::Pending,
                    Ok(Poll::Ready(Ok(value))) => *this.value = Some(value),
                    Ok(Poll::Ready(Err(error))) => this.shared.fail(Failure::Error(error)),
                    Err(panic) => this.shared.fail(Failure::Panic(panic)),
                }
            }
            this.body.set(None);
        }
        if !this.shared.ledger.has_come(Until::Empty, cx.waker()) {
            return Poll::Pending;
        }
        match this.shared.take_failure() {
            None => Poll::Ready(Ok(this.value.take().expect("`TaskGroup` polled after completion"))),
            Some(Failure::Error(error)) => Poll::Ready(Err(error)),
            Some(Failure::Panic(panic)) => resume_unwind(panic),
        }
    }
}

/// Polls what is there, and drops it when it is ready.
fn poll_body<F: Future>(mut body: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<F::Output> {
    let future = body.as_mut().as_pin_mut().expect("the caller has seen that it is there");
    let output = ready!(future.poll(cx));
    body.set(None);
    Poll::Ready(output)
}

impl<T, E, B> fmt::Debug for TaskGroup<T, E, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup").field("children", &self.shared.ledger.live()).finish_non_exhaustive()
    }
}

/// Spawns children into a [`group`]; the body and the children may clone it and pass it on.
///
/// It may outlive the group. What is spawned then is cancelled at once.
///
/// # Examples
/// A child that spawns children:
/// ```
/// # fn main() -> std::io::Result<()> {
/// # wakeline_runtime::Runtime::new()?.block_on(async {
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use wakeline_runtime::GroupHandle;
///
/// static VISITED: AtomicU32 = AtomicU32::new(0);
///
/// fn visit(group: &GroupHandle<()>, depth: u32) {
///     let inner = group.clone();
///     group.spawn(async move {
///         VISITED.fetch_add(1, Ordering::Relaxed);
///         (0..depth).for_each(|_| visit(&inner, depth - 1));
///         Ok(())
///     });
/// }
///
/// let done = wakeline_runtime::group(|group| async move { Ok(visit(&group, 2)) }).await;
/// assert_eq!((done, VISITED.load(Ordering::Relaxed)), (Ok(()), 5));
/// # });
/// # Ok(())
/// # }
/// ```
pub struct GroupHandle<E> {
    shared: Arc<Shared<E>>,
}

impl<E: Send + 'static> GroupHandle<E> {
    /// Begins a child on the current runtime.
    ///
    /// The handle gives what is in its `Ok`. When the child fails, is aborted, or comes too late, it says that the task was
    /// cancelled; the error, or the panic, is the group's. Aborting a child by its handle is no failure. Dropping the
    /// handle leaves the child in the group.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn spawn<F, V>(&self, future: F) -> JoinHandle<V>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
        V: Send + 'static,
    {
        let (child, places) = self.enter(future);
        handed_in(places, spawn(child))
    }

    /// Begins a child on the runtime of `handle`.
    #[track_caller]
    pub fn spawn_on<F, V>(&self, future: F, handle: &Handle) -> JoinHandle<V>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
        V: Send + 'static,
    {
        let (child, places) = self.enter(future);
        handed_in(places, handle.spawn(child))
    }

    /// Begins a child that stays on this thread; see [`spawn_local`](crate::spawn_local()).
    ///
    /// # Panics
    /// Outside a [`LocalSet`](crate::LocalSet) and a [`LocalRuntime`](crate::LocalRuntime).
    #[track_caller]
    pub fn spawn_local<F, V>(&self, future: F) -> JoinHandle<V>
    where
        F: Future<Output = Result<V, E>> + 'static,
        V: 'static,
    {
        let (child, places) = self.enter(future);
        handed_in(places, spawn_local(child))
    }

    /// A child that is to be spawned, and where it stands then.
    fn enter<F: Future>(&self, future: F) -> (Child<F, E>, Places) {
        let seat = self.shared.ledger.enter();
        let places = seat.places();
        let future = if seat.refused { None } else { Some(ENCLOSING.scope(self.shared.ledger.clone(), future)) };
        (Child { future, shared: self.shared.clone(), _seat: seat }, places)
    }
}

/// A child has been spawned: from now on its group can abort it.
fn handed_in<V>(places: Places, child: JoinHandle<V>) -> JoinHandle<V> {
    hand_in(places, &child.abort_handle());
    child
}

impl<E> GroupHandle<E> {
    /// Aborts all children, and each that is spawned from now on. The body goes on, and what it gives is the group's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// # wakeline_runtime::Runtime::new()?.block_on(async {
    /// let answer = wakeline_runtime::group(|group| async move {
    ///     group.spawn(std::future::pending::<Result<(), ()>>()); // serves the body as long as that runs
    ///     group.cancel();
    ///     Ok(42)
    /// });
    /// assert_eq!(answer.await, Ok(42));
    /// # });
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancel(&self) {
        self.shared.ledger.cancel();
    }

    /// Whether children are aborted as they come: the group was cancelled, has failed, was dropped or is over.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.shared.ledger.is_cancelled()
    }

    /// How many children have not ended, those of inner groups included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.ledger.live()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<E> Clone for GroupHandle<E> {
    fn clone(&self) -> GroupHandle<E> {
        GroupHandle { shared: self.shared.clone() }
    }
}

impl<E> fmt::Debug for GroupHandle<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupHandle").field("children", &self.len()).finish_non_exhaustive()
    }
}

pin_project! {
    /// A child's future. The fields drop in this order: the seat is given up when the rest is gone.
    struct Child<F, E> {
        // Empty when the child has failed or was refused: then an abort is on its way.
        #[pin]
        future: Option<TaskLocalFuture<Arc<Ledger>, F>>,
        shared: Arc<Shared<E>>,
        _seat: Seat,
    }
}

impl<F, V, E> Future for Child<F, E>
where
    F: Future<Output = Result<V, E>>,
{
    type Output = V;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<V> {
        let mut this = self.project();
        if this.future.is_none() {
            return Poll::Pending;
        }
        let failure = match catch_unwind(AssertUnwindSafe(|| poll_body(this.future.as_mut(), cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(value))) => return Poll::Ready(value),
            Ok(Poll::Ready(Err(error))) => Failure::Error(error),
            Err(panic) => Failure::Panic(panic),
        };
        this.shared.fail_by_child(failure);
        this.future.set(None);
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
