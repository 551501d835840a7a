//! The scheduler of tasks that stay on one thread: a queue that is worked off wherever its owner is polled.
//!
//! It has two halves. The near one belongs to the owner's thread and has no lock: the queue, and the registry of live
//! tasks. The far one is what wakers reach from anywhere: a second queue behind a lock, and those who poll the owner. A
//! wake that happens while the owner is polled here goes to the near queue and wakes nobody; any other goes to the far
//! queue and wakes them all. It does not know what its owner is, nor any runtime.
//!
//! # Safety
//! The futures need not be `Send`, so only the owner's thread may poll or drop them (the contract of `task::new_local`):
//! - Tasks are run in [`LocalScheduler::run_tasks`] and shut down in [`LocalScheduler::close`], and a `LocalScheduler` is
//!   neither `Send` nor `Sync`. The far half, which is both, queues and drops references and never runs one.
//! - The references of the registry leave it by `close`, which its drop calls too, or by `release` when the task completes.

use crate::atomic::Mutex;
use crate::coop;
use crate::task::{self, Header, IdBlock, JoinHandle, Notified, Origin, Owned, Schedule, Scheduled};
use crate::wait_queue::{Events, Mode, WaitList, WaitSlot, WakeBatch};
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::ptr;
use std::sync::Arc;
use std::task::Waker;

/// The near half.
pub(crate) struct LocalScheduler {
    far: Arc<Far>,
    /// No bound: a task stands in it once at most.
    queue: RefCell<VecDeque<Notified>>,
    tasks: RefCell<Slab<Owned>>,
    ids: RefCell<IdBlock>,
    closed: Cell<bool>,
    /// The first panic of a task is the end of all.
    ends_on_panic: Cell<bool>,
    /// That has happened.
    panicked: Cell<bool>,
}

/// The far half, which every task holds.
struct Far {
    state: Mutex<FarState>,
}

struct FarState {
    /// No bound: a task stands in it once at most.
    queue: VecDeque<Notified>,
    /// Those who poll the owner.
    pollers: WaitList,
    closed: bool,
}

/// How many tasks one poll of the owner polls; then others on this thread have their turn.
const TASKS_PER_POLL: usize = 61;

thread_local! {
    /// The scheduler whose owner is being polled on this thread.
    static POLLED: Cell<*const LocalScheduler> = const { Cell::new(ptr::null()) };
}

/// Runs `f` with the scheduler whose owner is being polled on this thread.
#[inline]
pub(crate) fn with_polled<R>(f: impl FnOnce(Option<&LocalScheduler>) -> R) -> R {
    // SAFETY: not null, it points to the scheduler that `as_polled` borrows for as long as the pointer stands in the slot,
    // on this thread's own stack; and `f` can not keep it.
    f(unsafe { POLLED.get().as_ref() })
}

/// Whether a scheduler's owner is being polled on this thread.
pub(crate) fn is_polled() -> bool {
    !POLLED.get().is_null()
}

impl LocalScheduler {
    pub(crate) fn new() -> LocalScheduler {
        let state = FarState { queue: VecDeque::new(), pollers: WaitList::new(), closed: false };
        LocalScheduler {
            far: Arc::new(Far { state: Mutex::new(state) }),
            queue: RefCell::default(),
            tasks: RefCell::default(),
            ids: RefCell::default(),
            closed: Cell::new(false),
            ends_on_panic: Cell::new(false),
            panicked: Cell::new(false),
        }
    }

    /// Begins a task. After [`close`](LocalScheduler::close) its future is dropped at once, and its handle says that it
    /// was cancelled.
    pub(crate) fn spawn<F>(&self, future: F, origin: Origin) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let id = self.ids.borrow_mut().next();
        // SAFETY: the module's argument.
        let (owned, notified, join) = unsafe { task::new_local(future, self.far.clone(), id, origin) };
        if self.closed.get() {
            drop(notified);
            owned.shutdown();
            return join;
        }
        let mut tasks = self.tasks.borrow_mut();
        let entry = tasks.vacant_entry();
        owned.set_slot(u32::try_from(entry.key()).expect("fewer than 2^32 tasks fit into memory"));
        entry.insert(owned);
        drop(tasks);
        if ptr::eq(POLLED.get(), self) {
            self.queue.borrow_mut().push_back(notified);
        } else {
            self.far.push(notified);
        }
        join
    }

    /// Whether all tasks have ended.
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.borrow().is_empty()
    }

    /// Has `waker` told of the next task that becomes ready elsewhere, and takes over those that have become so.
    ///
    /// To be called at the beginning of each poll of the owner, because who has been told is forgotten.
    pub(crate) fn attend(&self, slot: &mut WaitSlot, waker: &Waker) {
        let mut queue = self.queue.borrow_mut();
        let replaced = {
            let mut far = self.far.state.lock();
            if queue.is_empty() {
                std::mem::swap(&mut *queue, &mut far.queue);
            } else {
                queue.append(&mut far.queue);
            }
            far.pollers.join(slot, waker, Events::ANY, Mode::Shared)
        };
        // Outside of both: its drop may do anything.
        drop(queue);
        drop(replaced);
    }

    /// Forgets a poller.
    pub(crate) fn leave(&self, slot: &mut WaitSlot) {
        if slot.is_set() {
            // Told or not makes no difference: all are told at once, so none has to pass it on. What it was drops when
            // the lock is released.
            let removed = self.far.state.lock().pollers.remove(slot);
            drop(removed);
        }
    }

    /// Runs `f`, in which the owner is polled. When it leaves tasks in the queue, all who poll the owner are woken.
    pub(crate) fn as_polled<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Restore<'a>(&'a LocalScheduler, *const LocalScheduler);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                POLLED.set(self.1);
                if !self.0.queue.borrow().is_empty() {
                    self.0.far.wake_pollers();
                }
            }
        }
        let _restore = Restore(self, POLLED.replace(self));
        f()
    }

    /// Whether the first panic of a task is the end of all.
    pub(crate) fn set_ends_on_panic(&self, ends: bool) {
        self.ends_on_panic.set(ends);
    }

    /// Polls the tasks that are ready, [`TASKS_PER_POLL`] of them at most. Only inside
    /// [`as_polled`](LocalScheduler::as_polled).
    ///
    /// # Panics
    /// When a task has panicked and the scheduler is to end with it.
    #[track_caller]
    pub(crate) fn run_tasks(&self) {
        debug_assert!(ptr::eq(POLLED.get(), self));
        for _ in 0..TASKS_PER_POLL {
            let Some(task) = self.pop() else { break };
            coop::with_budget(|| task.run());
            if self.panicked.get() {
                self.end_tasks();
                break;
            }
        }
        assert!(!self.panicked.get(), "a task panicked, and the `LocalSet` is to shut down on an unhandled panic");
    }

    /// A statement of its own, because a task that runs may push.
    fn pop(&self) -> Option<Notified> {
        self.queue.borrow_mut().pop_front()
    }

    /// Drops every task, except one that is being polled, which its poll drops; from now on new ones are refused.
    pub(crate) fn close(&self) {
        // So that futures which spawn as they drop find this scheduler, and are refused by it.
        self.as_polled(|| self.end_tasks());
    }

    fn end_tasks(&self) {
        self.closed.set(true);
        let far = {
            let mut far = self.far.state.lock();
            far.closed = true;
            std::mem::take(&mut far.queue)
        };
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        tasks.into_iter().for_each(|(_, task)| task.shutdown());
        drop(far);
        drop(std::mem::take(&mut *self.queue.borrow_mut()));
    }
}

impl Drop for LocalScheduler {
    fn drop(&mut self) {
        self.close();
    }
}

impl Far {
    fn push(&self, task: Notified) {
        let mut wakes = WakeBatch::new();
        let late = {
            let mut state = self.state.lock();
            if state.closed {
                Some(task)
            } else {
                state.queue.push_back(task);
                state.pollers.wake_all(&mut wakes);
                None
            }
        };
        // Outside the lock: it may be the last reference.
        drop(late);
        wakes.wake_all();
    }

    fn wake_pollers(&self) {
        let mut wakes = WakeBatch::new();
        self.state.lock().pollers.wake_all(&mut wakes);
        wakes.wake_all();
    }
}

impl Schedule for Arc<Far> {
    #[inline]
    fn schedule(task: Scheduled<Self>) {
        with_polled(|polled| match polled.filter(|polled| Arc::ptr_eq(&polled.far, task.scheduler())) {
            Some(near) if near.closed.get() => drop(task),
            Some(near) => near.queue.borrow_mut().push_back(task.into_notified()),
            None => {
                let far = task.scheduler().clone();
                far.push(task.into_notified());
            }
        });
    }

    fn panicked(&self) {
        with_polled(|polled| {
            if let Some(near) = polled.filter(|polled| Arc::ptr_eq(&polled.far, self)) {
                near.panicked.set(near.ends_on_panic.get());
            }
        });
    }

    fn release(&self, task: &Header) -> bool {
        // A task that ends otherwise than by a poll of its owner is being shut down, and is not in the registry any more.
        with_polled(|polled| {
            let near = polled.filter(|polled| Arc::ptr_eq(&polled.far, self))?;
            near.tasks.borrow_mut().try_remove(task.slot() as usize)
        })
        .map(Owned::release)
        .is_some()
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
