//! How tasks come in: spawned, woken, yielding; from a worker, or from outside.

use crate::namespace::Namespace;
use crate::scheduler::current;
use crate::scheduler::shared::Shared;
use crate::task::{self, Header, Id, JoinHandle, Owned, Schedule, Scheduled};
use std::future::Future;
use std::sync::Arc;

impl Shared {
    /// Begins a task. The caller must [settle](Spawned::settle) the result where user code may run.
    #[inline]
    pub(crate) fn spawn<F>(self: &Arc<Self>, future: F, namespace: Option<Namespace>) -> Spawned<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        current::with(|context| {
            let mut here = context.and_then(|context| context.core_of(Arc::as_ptr(self)));
            let id = here.as_mut().map_or_else(Id::next, |core| core.parts().1.ids.next());
            let (owned, notified, join) = task::new(future, self.clone(), id, namespace);
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
