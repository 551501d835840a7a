//! How tasks come in: spawned, woken, yielding; from a worker, or from outside.

use crate::namespace::Namespace;
use crate::scheduler::current;
use crate::scheduler::shared::Shared;
use crate::task::{self, Header, Id, JoinHandle, Notified, Owned, Schedule, Scheduled, SeededIds};
use std::future::Future;
use std::sync::Arc;
use std::thread;

impl Shared {
    /// Begins a task. The caller must [settle](Spawned::settle) the result where user code may run.
    #[inline]
    pub(crate) fn spawn<F>(self: &Arc<Self>, future: F, namespace: Option<Namespace>) -> Spawned<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_with(|id| task::new(future, self.clone(), id, namespace))
    }

    /// Begins a task that stays on this thread. The caller must [settle](Spawned::settle) the result as that of `spawn`.
    pub(crate) fn spawn_local<F>(self: &Arc<Self>, future: F, namespace: Option<Namespace>) -> Spawned<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        assert!(self.is_owned_here(), "only the thread that drives a runtime may give it a future that is not `Send`");
        // SAFETY: tasks are run by whoever has the core and shut down by whoever took all cores, which with an owner is
        // the owner (see `Config::owner`). The registry's references leave it by `release` or by that shutdown.
        self.spawn_with(|id| unsafe { task::new_local(future, self.clone(), id, namespace) })
    }

    /// Whether this thread alone drives the runtime.
    pub(crate) fn is_owned_here(&self) -> bool {
        self.config.owner.is_some_and(|owner| owner == thread::current().id())
    }

    #[inline]
    fn spawn_with<T>(&self, task: impl FnOnce(Id) -> (Owned, Notified, JoinHandle<T>)) -> Spawned<T> {
        current::with(|context| {
            let mut here = context.and_then(|context| context.core_of(self));
            let from_outside = || SeededIds::with(self.config.ids.as_ref(), Id::next);
            let id = here.as_mut().map_or_else(from_outside, |core| core.parts().1.ids.next());
            let (owned, notified, join) = task(id);
            if let Err(stillborn) = self.registry.insert(owned) {
                drop(notified);
                return Spawned { join, stillborn: Some(stillborn) };
            }
            match &mut here {
                Some(core) => self.push_own(core.parts().1, notified),
                None => self.push_from_outside(notified),
            }
            Spawned { join, stillborn: None }
        })
    }
}

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

    fn release(&self, task: &Header) -> bool {
        self.registry.remove(task)
    }
}

/// A task that has begun, or that came too late.
#[must_use = "a task that came too late must be settled"]
pub(crate) struct Spawned<T> {
    join: JoinHandle<T>,
    stillborn: Option<Owned>,
}

impl<T> Spawned<T> {
    /// Drops the future of a task that came after the runtime's end, which is why no lock or thread-local borrow may be
    /// held here; its handle says that it was cancelled.
    #[inline]
    pub(crate) fn settle(self) -> JoinHandle<T> {
        if let Some(stillborn) = self.stillborn {
            stillborn.shutdown();
        }
        self.join
    }
}
