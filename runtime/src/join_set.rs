//! Several tasks, awaited in the order in which they end.

use crate::coop;
use crate::handle::Handle;
use crate::local_set::{LocalSet, spawn_local};
use crate::spawn::{spawn, spawn_blocking};
use crate::task::{AbortHandle, Finished, Id, JoinError, JoinHandle};
use crate::task_builder;
use slab::Slab;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A set of tasks that all give a `T`; each is given out when it has ended, the first to end first.
///
/// Dropping the set aborts all its tasks. To let them go on, [`detach_all`](JoinSet::detach_all).
///
/// A task that ends tells the set its number in the set, so a look at the set costs as much as there is to give out,
/// however many tasks go on.
///
/// # Examples
/// ```
/// # fn main() -> std::io::Result<()> {
/// use wakeline_runtime::{JoinSet, Runtime};
///
/// let sum = Runtime::new()?.block_on(async {
///     let mut set = JoinSet::new();
///     for i in 0..10 {
///         set.spawn(async move { i });
///     }
///     let mut sum = 0;
///     while let Some(result) = set.join_next().await {
///         sum += result?;
///     }
///     Ok::<_, wakeline_runtime::JoinError>(sum)
/// })?;
/// assert_eq!(sum, 45);
/// # Ok(())
/// # }
/// ```
pub struct JoinSet<T> {
    members: Slab<JoinHandle<T>>,
    /// Where members put their keys when they end.
    finished: Arc<Finished>,
    /// Those taken from there that have not been given out. A key stands in one of the two, once, until its member leaves.
    ready: VecDeque<u32>,
}

impl<T> JoinSet<T> {
    /// An empty set.
    #[must_use]
    pub fn new() -> JoinSet<T> {
        JoinSet { members: Slab::new(), finished: Arc::default(), ready: VecDeque::new() }
    }

    /// How many tasks are in the set: running, or ended and not given out.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl<T: 'static> JoinSet<T> {
    /// A task with settings of its own, to be begun in this set.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// # wakeline_runtime::Runtime::new()?.block_on(async {
    /// let mut set = wakeline_runtime::JoinSet::new();
    /// set.build_task().name("adder").spawn(async { 1 + 2 })?;
    /// assert!(matches!(set.join_next().await, Some(Ok(3))));
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn build_task(&mut self) -> Builder<'_, T> {
        Builder { set: self, task: task_builder::Builder::new() }
    }

    /// Begins a task on the current runtime.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn spawn<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        self.insert(spawn(future))
    }

    /// Begins a task on the runtime of `handle`.
    #[track_caller]
    pub fn spawn_on<F>(&mut self, future: F, handle: &Handle) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        self.insert(handle.spawn(future))
    }

    /// Begins a task that stays on this thread; see [`spawn_local`](crate::spawn_local()).
    ///
    /// # Panics
    /// Outside a [`LocalSet`] and a [`LocalRuntime`](crate::LocalRuntime).
    #[track_caller]
    pub fn spawn_local<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.insert(spawn_local(future))
    }

    /// Begins a task in `local`.
    #[track_caller]
    pub fn spawn_local_on<F>(&mut self, future: F, local: &LocalSet) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.insert(local.spawn_local(future))
    }

    /// Runs `work`, which may block, on a thread of the current runtime's pool. Once begun it can not be aborted.
    ///
    /// # Panics
    /// Outside a runtime, and when the operating system gives no thread and the pool has none.
    #[track_caller]
    pub fn spawn_blocking<F>(&mut self, work: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.insert(spawn_blocking(work))
    }

    /// As [`spawn_blocking`](JoinSet::spawn_blocking), in the pool of `handle`.
    ///
    /// # Panics
    /// When the operating system gives no thread and the pool has none.
    #[track_caller]
    pub fn spawn_blocking_on<F>(&mut self, work: F, handle: &Handle) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.insert(handle.spawn_blocking(work))
    }

    /// Takes a task in.
    fn insert(&mut self, mut task: JoinHandle<T>) -> AbortHandle {
        let abort = task.abort_handle();
        let entry = self.members.vacant_entry();
        let key = u32::try_from(entry.key()).expect("fewer than 2^32 tasks fit into memory");
        if !task.report_to(&self.finished, key) {
            self.ready.push_back(key);
        }
        entry.insert(task);
        abort
    }

    /// Waits until a task ends and gives its result; `None` when the set is empty.
    ///
    /// # Errors
    /// The inner one says that the task was aborted or panicked.
    ///
    /// # Cancel safety
    /// Yes: a task that has ended stays in the set until it is given out.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        poll_fn(|cx| self.poll_join_next(cx)).await
    }

    /// As [`join_next`](JoinSet::join_next), with the task's identity; that of a task which failed is in its
    /// [`JoinError`].
    ///
    /// # Errors
    /// The inner one says that the task was aborted or panicked.
    ///
    /// # Cancel safety
    /// Yes: a task that has ended stays in the set until it is given out.
    pub async fn join_next_with_id(&mut self) -> Option<Result<(Id, T), JoinError>> {
        poll_fn(|cx| self.poll_join_next_with_id(cx)).await
    }

    /// Gives the result of a task that has ended; `None` when there is none, also when the set is empty.
    ///
    /// # Errors
    /// The inner one says that the task was aborted or panicked.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// # wakeline_runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let mut set = wakeline_runtime::JoinSet::new();
    /// set.spawn(async { 1 });
    /// assert!(set.try_join_next().is_none());
    /// wakeline_runtime::yield_now().await;
    /// assert!(matches!(set.try_join_next(), Some(Ok(1))));
    /// # });
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.try_join_next_with_id().map(without_id)
    }

    /// As [`try_join_next`](JoinSet::try_join_next), with the task's identity.
    ///
    /// # Errors
    /// The inner one says that the task was aborted or panicked.
    pub fn try_join_next_with_id(&mut self) -> Option<Result<(Id, T), JoinError>> {
        if self.ready.is_empty() && !self.finished.take(&mut self.ready) {
            return None;
        }
        Some(self.take_ready())
    }

    /// Polls for a task that has ended: its result, `Ready(None)` when the set is empty, or `Pending`; then the task of
    /// `cx` is woken by the next that ends.
    ///
    /// Only the waker that was shown last is woken. `Pending` also says that the calling task's [budget](crate::coop) is
    /// spent.
    ///
    /// # Errors
    /// The inner one says that the task was aborted or panicked.
    pub fn poll_join_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        self.poll_join_next_with_id(cx).map(|next| next.map(without_id))
    }

    /// As [`poll_join_next`](JoinSet::poll_join_next), with the task's identity.
    ///
    /// # Errors
    /// The inner one says that the task was aborted or panicked.
    pub fn poll_join_next_with_id(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(Id, T), JoinError>>> {
        if self.members.is_empty() {
            return Poll::Ready(None);
        }
        let progress = ready!(coop::poll_proceed(cx));
        if self.ready.is_empty() {
            ready!(self.finished.poll_take(&mut self.ready, cx.waker()));
        }
        progress.made();
        Poll::Ready(Some(self.take_ready()))
    }

    /// Gives out the first of those that are ready; there is one.
    fn take_ready(&mut self) -> Result<(Id, T), JoinError> {
        let key = self.ready.pop_front().expect("the caller has seen that there is one");
        let mut task = self.members.remove(key as usize);
        let id = task.id();
        let result = task.try_join().expect("a task that reports is complete");
        result.map(|output| (id, output))
    }

    /// Aborts all tasks and waits until they have ended. Results are dropped.
    ///
    /// A `spawn_blocking` closure that has begun runs to its end, and is waited for.
    ///
    /// # Cancel safety
    /// Yes: all tasks are aborted by the first poll, and those that have not been waited for stay in the set.
    pub async fn shutdown(&mut self) {
        self.abort_all();
        while self.join_next().await.is_some() {}
    }

    /// Waits for all tasks and gives their outputs, in the order in which they ended.
    ///
    /// # Panics
    /// When a task panicked, with its panic, and when one was aborted. The others are aborted then.
    ///
    /// # Cancel safety
    /// No: dropping it aborts the tasks, and drops the outputs of those that have ended.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// # wakeline_runtime::Runtime::new()?.block_on(async {
    /// let set: wakeline_runtime::JoinSet<_> = (0..4).map(|i| async move { i * i }).collect();
    /// let mut squares = set.join_all().await;
    /// squares.sort();
    /// assert_eq!(squares, [0, 1, 4, 9]);
    /// # });
    /// # Ok(())
    /// # }
    /// ```
    pub async fn join_all(mut self) -> Vec<T> {
        let mut outputs = Vec::with_capacity(self.len());
        while let Some(result) = self.join_next().await {
            match result.map_err(JoinError::try_into_panic) {
                Ok(output) => outputs.push(output),
                Err(Ok(panic)) => std::panic::resume_unwind(panic),
                Err(Err(cancelled)) => panic!("{cancelled}, and `join_all` has no output for it"),
            }
        }
        outputs
    }

    /// Aborts all tasks. They stay in the set until they are given out, as cancelled if they had not ended before.
    pub fn abort_all(&mut self) {
        self.members.iter().for_each(|(_, task)| task.abort());
    }

    /// Empties the set. Its tasks go on alone; the outputs of those that have ended are dropped.
    pub fn detach_all(&mut self) {
        self.ready.clear();
        // A task that ends at this moment reports to where nobody looks any more, and not under a key that is used again.
        self.finished = Arc::default();
        self.members.clear();
    }
}

fn without_id<T>(result: Result<(Id, T), JoinError>) -> Result<T, JoinError> {
    result.map(|(_, output)| output)
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.members.iter().for_each(|(_, task)| task.abort());
    }
}

impl<T> Default for JoinSet<T> {
    fn default() -> JoinSet<T> {
        JoinSet::new()
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet").field("len", &self.len()).finish()
    }
}

/// Spawns all futures of an iterator on the current runtime.
///
/// # Panics
/// Outside a runtime.
impl<T, F> FromIterator<F> for JoinSet<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    #[track_caller]
    fn from_iter<I: IntoIterator<Item = F>>(futures: I) -> JoinSet<T> {
        let mut set = JoinSet::new();
        set.extend(futures);
        set
    }
}

/// Spawns all futures of an iterator on the current runtime.
///
/// # Panics
/// Outside a runtime.
impl<T, F> Extend<F> for JoinSet<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    #[track_caller]
    fn extend<I: IntoIterator<Item = F>>(&mut self, futures: I) {
        for future in futures {
            self.spawn(future);
        }
    }
}

/// Gives a task of a [`JoinSet`] a name before it is spawned; made by [`JoinSet::build_task`].
///
/// The methods return a `Result` as tokio's do; there is no error yet.
#[derive(Debug)]
#[must_use = "nothing is spawned yet"]
pub struct Builder<'a, T> {
    set: &'a mut JoinSet<T>,
    task: task_builder::Builder<'a>,
}

impl<'a, T: 'static> Builder<'a, T> {
    /// Names the task.
    pub fn name(self, name: &'a str) -> Builder<'a, T> {
        Builder { task: self.task.name(name), ..self }
    }

    /// As [`JoinSet::spawn`].
    ///
    /// # Errors
    /// None so far.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> io::Result<AbortHandle>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        Ok(self.set.insert(self.task.spawn(future)?))
    }

    /// As [`JoinSet::spawn_on`].
    ///
    /// # Errors
    /// None so far.
    #[track_caller]
    pub fn spawn_on<F>(self, future: F, handle: &Handle) -> io::Result<AbortHandle>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        Ok(self.set.insert(self.task.spawn_on(future, handle)?))
    }

    /// As [`JoinSet::spawn_local`].
    ///
    /// # Errors
    /// None so far.
    ///
    /// # Panics
    /// Outside a [`LocalSet`] and a [`LocalRuntime`](crate::LocalRuntime).
    #[track_caller]
    pub fn spawn_local<F>(self, future: F) -> io::Result<AbortHandle>
    where
        F: Future<Output = T> + 'static,
    {
        Ok(self.set.insert(self.task.spawn_local(future)?))
    }

    /// As [`JoinSet::spawn_local_on`].
    ///
    /// # Errors
    /// None so far.
    #[track_caller]
    pub fn spawn_local_on<F>(self, future: F, local: &LocalSet) -> io::Result<AbortHandle>
    where
        F: Future<Output = T> + 'static,
    {
        Ok(self.set.insert(self.task.spawn_local_on(future, local)?))
    }

    /// As [`JoinSet::spawn_blocking`].
    ///
    /// # Errors
    /// None so far.
    ///
    /// # Panics
    /// Outside a runtime, and when the operating system gives no thread and the pool has none.
    #[track_caller]
    pub fn spawn_blocking<F>(self, work: F) -> io::Result<AbortHandle>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        Ok(self.set.insert(self.task.spawn_blocking(work)?))
    }

    /// As [`JoinSet::spawn_blocking_on`].
    ///
    /// # Errors
    /// None so far.
    ///
    /// # Panics
    /// When the operating system gives no thread and the pool has none.
    #[track_caller]
    pub fn spawn_blocking_on<F>(self, work: F, handle: &Handle) -> io::Result<AbortHandle>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        Ok(self.set.insert(self.task.spawn_blocking_on(work, handle)?))
    }
}

#[cfg(test)]
mod tests;
