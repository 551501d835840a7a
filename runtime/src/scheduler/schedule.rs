//! How tasks come in: spawned, woken, yielding; from a worker, or from outside.

use crate::scheduler::current::{self, BorrowedCore};
use crate::scheduler::shared::Shared;
use crate::scheduler::shutdown;
use crate::task::{self, Header, Id, JoinHandle, Notified, Origin, Owned, Schedule, Scheduled, SeededIds};
use crate::trace;
use std::future::Future;
use std::sync::Arc;
use std::thread;

impl Shared {
    /// Begins a task. The caller must [settle](Spawned::settle) the result where user code may run.
    #[inline]
    pub(crate) fn spawn<F>(self: &Arc<Self>, future: F, origin: Origin) -> Spawned<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_with(|id| task::new(future, self.clone(), id, origin))
    }

    /// Begins a task that stays on this thread. The caller must [settle](Spawned::settle) the result as that of `spawn`.
    pub(crate) fn spawn_local<F>(self: &Arc<Self>, future: F, origin: Origin) -> Spawned<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        assert!(self.is_owned_here(), "only the thread that drives a runtime may give it a future that is not `Send`");
        // SAFETY: tasks are run by whoever has the core and shut down by whoever took all cores, which with an owner is
        // the owner (see `Config::owner`). The registry's references leave it by `release` or by that shutdown.
        self.spawn_with(|id| unsafe { task::new_local(future, self.clone(), id, origin) })
    }

    /// Whether this thread alone drives the runtime.
    pub(crate) fn is_owned_here(&self) -> bool {
        self.config.owner.is_some_and(|owner| owner == thread::current().id())
    }

    #[inline]
    fn spawn_with<T>(self: &Arc<Self>, task: impl FnOnce(Id) -> New<T>) -> Spawned<T> {
        if trace::ON {
            // A span runs the user's subscriber, so the task is made while the core is in its place.
            let id = self.with_core(|here| self.next_id(here));
            let task = task(id);
            return self.with_core(|here| self.admit(here, task));
        }
        self.with_core(|mut here| {
            let id = self.next_id(here.as_deref_mut());
            self.admit(here, task(id))
        })
    }

    /// Runs `f` with the core of this thread, if it is a worker here.
    #[inline]
    fn with_core<R>(&self, f: impl FnOnce(Option<&mut BorrowedCore<'_>>) -> R) -> R {
        current::with(|context| f(context.and_then(|context| context.core_of(self)).as_mut()))
    }

    #[inline]
    fn next_id(&self, here: Option<&mut BorrowedCore<'_>>) -> Id {
        let from_outside = || SeededIds::with(self.config.ids.as_ref(), Id::next);
        here.map_or_else(from_outside, |core| core.parts().1.ids.next())
    }

    #[inline]
    fn admit<T>(self: &Arc<Self>, here: Option<&mut BorrowedCore<'_>>, (owned, notified, join): New<T>) -> Spawned<T> {
        if let Err(stillborn) = self.registry.insert(owned) {
            drop(notified);
            return Spawned { join, left: Some(Box::new(Left::Stillborn(self.clone(), stillborn))) };
        }
        match &here {
            Some(core) => self.workers[core.index()].counters.spawned.add(1),
            None => self.spawned_outside.add_shared(1),
        }
        if self.config.hooks.task_spawn.is_set() {
            return Spawned { join, left: Some(Box::new(Left::Unannounced(self.clone(), notified))) };
        }
        self.push_spawned(here, notified);
        Spawned { join, left: None }
    }

    #[inline]
    fn push_spawned(&self, here: Option<&mut BorrowedCore<'_>>, task: Notified) {
        match here {
            Some(core) => self.push_own(core.parts().1, task),
            None => self.push_from_outside(task),
        }
    }
}

/// A task for the registry, for a queue and for the user.
type New<T> = (Owned, Notified, JoinHandle<T>);

impl Schedule for Arc<Shared> {
    fn schedule(task: Scheduled<Self>) {
        current::with(|context| match context.and_then(|context| context.core_of(Arc::as_ptr(task.scheduler()))) {
            Some(mut here) => {
                let (shared, core) = here.parts();
                shared.push_own(core, task.into_notified());
            }
            None => {
                let shared = task.scheduler().clone();
                shared.push_from_outside(task.into_notified());
            }
        });
    }

    fn reschedule(task: Scheduled<Self>) {
        current::with(|context| {
            match context.and_then(|context| context.core_of(Arc::as_ptr(task.scheduler()))) {
                Some(mut here) => {
                    let (shared, core) = here.parts();
                    // It was this worker's and stays its: there is no more work than before, so nobody is woken.
                    core.push_back(task.into_notified(), &shared.injector);
                }
                None => {
                    let shared = task.scheduler().clone();
                    shared.push_from_outside(task.into_notified());
                }
            }
        });
    }

    fn panicked(&self) {
        if self.config.ends_on_panic {
            shutdown::begin(self);
        }
    }

    fn release(&self, task: &Header) -> bool {
        let removed = self.registry.remove(task);
        self.config.hooks.task_terminate.call(&task.meta());
        removed
    }
}

/// A task that has begun, or that came too late, or that a hook is still to be told of.
#[must_use = "it must be settled: the task may not have begun"]
pub(crate) struct Spawned<T> {
    join: JoinHandle<T>,
    /// Mostly nothing, and in a box, so that the whole is two words.
    left: Option<Box<Left>>,
}

/// What is left to do where user code may run.
enum Left {
    /// The runtime has ended.
    Stillborn(Arc<Shared>, Owned),
    /// It is queued when the hook has been told of it.
    Unannounced(Arc<Shared>, Notified),
}

impl<T> Spawned<T> {
    /// Tells the hook of the new task, or drops the future of one that came after the runtime's end, which is why no lock
    /// or thread-local borrow may be held here; the handle then says that it was cancelled.
    #[inline]
    pub(crate) fn settle(self) -> JoinHandle<T> {
        if let Some(left) = self.left {
            left.settle();
        }
        self.join
    }
}

impl Left {
    #[cold]
    fn settle(self) {
        match self {
            Left::Stillborn(shared, task) => {
                shared.config.hooks.task_spawn.call(&task.identity().meta());
                task.shutdown();
            }
            Left::Unannounced(shared, task) => {
                shared.config.hooks.task_spawn.call(&task.identity().meta());
                shared.with_core(|here| shared.push_spawned(here, task));
            }
        }
    }
}
