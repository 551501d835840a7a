//! The ambient runtime of a thread, and what of [`Handle`] needs it. Only the API reads it.

use crate::blocking_pool::Fate;
use crate::handle::Handle;
use crate::namespace;
use crate::park::might_sleep;
use crate::scheduler::{self, OnlyThread};
use crate::task::{Id, JoinHandle, Origin};
use crate::trace;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

thread_local! {
    static CURRENT: RefCell<Option<Handle>> = const { RefCell::new(None) };
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// The runtime of the calling thread.
#[track_caller]
pub(crate) fn current() -> Handle {
    match try_current() {
        Some(handle) => handle,
        None => no_runtime(),
    }
}

/// The runtime of the calling thread, if it has one.
pub(crate) fn try_current() -> Option<Handle> {
    with_current(Handle::clone)
}

/// Runs `f` with the runtime of the calling thread. `f` must run no user code: it might enter another runtime.
pub(crate) fn with_current<R>(f: impl FnOnce(&Handle) -> R) -> Option<R> {
    CURRENT.try_with(|current| current.borrow().as_ref().map(f)).ok().flatten()
}

#[cold]
#[track_caller]
pub(crate) fn no_runtime() -> ! {
    panic!("there is no wakeline runtime here: call this from a task, or inside Runtime::enter()")
}

/// Runs `work` where it stands; what this thread would do beside it, a thread of the blocking pool does.
pub(crate) fn block_in_place<R>(work: impl FnOnce() -> R) -> Result<R, OnlyThread> {
    scheduler::block_in_place(work, |shared| {
        let worker = shared.clone();
        drop(shared.blocking().spawn(move || scheduler::drive(worker), Origin::here(None), Fate::Cancelled));
    })
}

impl Handle {
    /// The runtime of the calling task or thread.
    ///
    /// # Panics
    /// When there is none: outside tasks, `block_on`, `spawn_blocking` and [`Handle::enter`].
    #[must_use]
    #[track_caller]
    pub fn current() -> Handle {
        current()
    }

    /// The runtime of the calling task or thread.
    ///
    /// # Errors
    /// When there is none, or the thread is ending and can not tell any more.
    pub fn try_current() -> Result<Handle, TryCurrentError> {
        match CURRENT.try_with(|current| current.borrow().clone()) {
            Ok(Some(handle)) => Ok(handle),
            Ok(None) => Err(TryCurrentError { thread_ending: false }),
            Err(_) => Err(TryCurrentError { thread_ending: true }),
        }
    }

    /// Makes this the calling thread's runtime until the guard drops; then `spawn` and the like work there.
    ///
    /// The guard must not be held across an `.await`, and guards must drop in the reverse of their order.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let runtime = wakeline_runtime::Runtime::new()?;
    /// let _here = runtime.enter();
    /// let task = wakeline_runtime::spawn(async { 7 });
    /// assert_eq!(runtime.block_on(task)?, 7);
    /// # Ok(())
    /// # }
    /// ```
    pub fn enter(&self) -> EnterGuard<'_> {
        let previous = CURRENT.try_with(|current| current.replace(Some(self.clone()))).ok().flatten();
        let depth = DEPTH.get() + 1;
        DEPTH.set(depth);
        EnterGuard { previous, depth, _handle: PhantomData }
    }

    /// Drives `future` on the calling thread and gives its output; tasks that it spawns run on this runtime.
    ///
    /// On a current-thread runtime this drives neither tasks nor timers nor I/O, as only
    /// [`Runtime::block_on`](crate::Runtime::block_on) does.
    ///
    /// # Panics
    /// When the thread drives futures already, and when `future` panics.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let future = main_future(future);
        self.block_on_with(|| scheduler::alone(future))
    }

    /// Runs `drive` with this thread marked as one that drives futures.
    #[track_caller]
    pub(crate) fn block_on_with<R>(&self, drive: impl FnOnce() -> R) -> R {
        let Some(_entered) = scheduler::enter() else {
            panic!(
                "there is a runtime inside a runtime here: this thread drives tasks already, and `block_on` would hold \
                 them up; use `.await`, or call it on a thread of its own, as `spawn_blocking` has"
            )
        };
        might_sleep();
        let _here = self.enter();
        drive()
    }

    /// Runs `work`, which may block, on a thread of the runtime's pool.
    ///
    /// There this runtime is the current one, and the namespace that of the caller. A closure that has begun can not be
    /// aborted.
    ///
    /// # Panics
    /// When the operating system gives no thread and the pool has none.
    #[track_caller]
    pub fn spawn_blocking<F, R>(&self, work: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.spawn_blocking_as(work, Origin::here(namespace::current()))
    }

    /// As [`spawn_blocking`](Handle::spawn_blocking).
    #[track_caller]
    pub(crate) fn spawn_blocking_as<F, R>(&self, work: F, origin: Origin) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.shared.blocking().spawn(work, origin, Fate::Cancelled)
    }

    /// As [`spawn_blocking`](Handle::spawn_blocking), for work that its caller has been told is done: once it is queued it
    /// runs, even if the runtime ends before.
    #[track_caller]
    pub(crate) fn spawn_promised<F, R>(&self, work: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.shared.blocking().spawn(work, Origin::here(namespace::current()), Fate::Run)
    }
}

/// The future of a `block_on`, of which observers are told as of a task.
#[inline]
#[track_caller]
pub(crate) fn main_future<F: Future>(future: F) -> trace::Task<F> {
    let origin = Origin::here(None);
    trace::task(future, || origin.about("block_on", Id::next())).0
}

/// Puts the thread's previous runtime back when it drops.
#[must_use = "the thread leaves the runtime when the guard drops"]
pub struct EnterGuard<'a> {
    previous: Option<Handle>,
    depth: usize,
    _handle: PhantomData<(&'a Handle, *const ())>,
}

impl Drop for EnterGuard<'_> {
    #[track_caller]
    fn drop(&mut self) {
        if DEPTH.get() != self.depth {
            if std::thread::panicking() {
                return;
            }
            panic!("guards of `enter` must drop in the reverse of the order in which they were made");
        }
        DEPTH.set(self.depth - 1);
        let own = CURRENT.try_with(|current| current.replace(self.previous.take()));
        // Outside the borrow: the last handle of a runtime drops much.
        drop(own);
    }
}

impl fmt::Debug for EnterGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnterGuard").finish_non_exhaustive()
    }
}

/// Why [`Handle::try_current`] found no runtime.
#[derive(Debug)]
pub struct TryCurrentError {
    thread_ending: bool,
}

impl TryCurrentError {
    /// The thread is in no runtime.
    #[must_use]
    pub fn is_missing_context(&self) -> bool {
        !self.thread_ending
    }

    /// The thread is ending, and its thread-locals are gone.
    #[must_use]
    pub fn is_thread_local_destroyed(&self) -> bool {
        self.thread_ending
    }
}

impl fmt::Display for TryCurrentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.thread_ending {
            "the thread is ending and can not tell its runtime any more"
        } else {
            "there is no wakeline runtime here: call this from a task, or inside Runtime::enter()"
        })
    }
}

impl std::error::Error for TryCurrentError {}
