//! Spawning with a name.

use crate::context;
use crate::handle::Handle;
use crate::local_set::{LocalSet, spawn_local_as};
use crate::namespace;
use crate::task::{JoinHandle, Origin};
use std::future::Future;
use std::io;

/// Gives a task a name before it is spawned: hooks and reports about the task then tell it.
///
/// The name is copied. A task without one costs nothing more. The methods return a `Result` as tokio's do; there is no
/// error yet.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use wakeline_runtime::{Builder, TaskBuilder};
///
/// let runtime = Builder::new_current_thread()
///     .on_task_spawn(|task| assert_eq!(task.name(), Some("adder")))
///     .build()?;
/// let sum = runtime.block_on(async {
///     let task = TaskBuilder::new().name("adder").spawn(async { 1 + 2 })?;
///     Ok::<_, Box<dyn std::error::Error>>(task.await?)
/// })?;
/// assert_eq!(sum, 3);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Builder<'a> {
    name: Option<&'a str>,
}

impl<'a> Builder<'a> {
    /// A task without a name, so far.
    #[must_use]
    pub fn new() -> Builder<'a> {
        Builder { name: None }
    }

    /// Names the task.
    #[must_use]
    pub fn name(&self, name: &'a str) -> Builder<'a> {
        Builder { name: Some(name) }
    }

    /// As [`spawn`](crate::spawn).
    ///
    /// # Errors
    /// None so far.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> io::Result<JoinHandle<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_on(future, &context::current())
    }

    /// As [`Handle::spawn`].
    ///
    /// # Errors
    /// None so far.
    #[track_caller]
    pub fn spawn_on<F>(self, future: F, handle: &Handle) -> io::Result<JoinHandle<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Ok(handle.shared.spawn(future, self.origin()).settle())
    }

    /// As [`spawn_local`](crate::spawn_local()).
    ///
    /// # Errors
    /// None so far.
    ///
    /// # Panics
    /// Outside a [`LocalSet`] and a [`LocalRuntime`](crate::LocalRuntime).
    #[track_caller]
    pub fn spawn_local<F>(self, future: F) -> io::Result<JoinHandle<F::Output>>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        Ok(spawn_local_as(future, self.origin()))
    }

    /// As [`LocalSet::spawn_local`].
    ///
    /// # Errors
    /// None so far.
    #[track_caller]
    pub fn spawn_local_on<F>(self, future: F, local: &LocalSet) -> io::Result<JoinHandle<F::Output>>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        Ok(local.spawn_local_as(future, self.origin()))
    }

    /// As [`spawn_blocking`](crate::spawn_blocking).
    ///
    /// # Errors
    /// None so far.
    ///
    /// # Panics
    /// Outside a runtime, and when the operating system gives no thread and the pool has none.
    #[track_caller]
    pub fn spawn_blocking<F, R>(self, work: F) -> io::Result<JoinHandle<R>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.spawn_blocking_on(work, &context::current())
    }

    /// As [`Handle::spawn_blocking`].
    ///
    /// # Errors
    /// None so far.
    ///
    /// # Panics
    /// When the operating system gives no thread and the pool has none.
    #[track_caller]
    pub fn spawn_blocking_on<F, R>(self, work: F, handle: &Handle) -> io::Result<JoinHandle<R>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        Ok(handle.spawn_blocking_as(work, self.origin()))
    }

    #[track_caller]
    fn origin(self) -> Origin {
        Origin::here(namespace::current()).named(self.name)
    }
}
