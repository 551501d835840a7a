//! What a worker owns and nobody else touches. Whoever has the core is the worker.

use crate::park::Parker;
use crate::rng::Rng;
use crate::scheduler::inject::Injector;
use crate::scheduler::queue::{CAPACITY, Item, Local, Overflowed};
use crate::task::{Header, IdBlock, Notified};
use std::ptr::NonNull;

/// A worker's private half.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) index: usize,
    pub(super) queue: Local<Notified>,
    /// What the worker sleeps on; elsewhere while it sleeps.
    pub(super) parker: Option<Parker>,
    pub(super) rng: Rng,
    pub(super) ids: IdBlock,
    /// Whether this worker is counted as searching.
    pub(super) searching: bool,
    /// Looks for a task until it is the injector's turn; never zero.
    until_injector: u32,
    /// How many of the injector's tasks, at most, are older than those in the ring: what overflowed, and what was before it.
    older: usize,
    /// Tasks taken from the LIFO slot one after another.
    lifo_streak: u32,
    /// Other workers exist: woken tasks go through the LIFO slot.
    lifo: bool,
    global_queue_interval: u32,
}

/// After so many tasks out of the LIFO slot, one from the ring: two tasks that wake each other must not keep it waiting.
const MAX_LIFO_STREAK: u32 = 3;

/// Whether the push left work that another worker could take.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// Something waits in the ring.
    ForAnyone,
    /// Only the LIFO slot filled: this worker will take it next.
    ForMe,
}

impl Core {
    pub(super) fn new(
        index: usize,
        queue: Local<Notified>,
        parker: Parker,
        rng: Rng,
        workers: usize,
        global_queue_interval: u32,
    ) -> Core {
        Core {
            index,
            queue,
            parker: Some(parker),
            rng,
            ids: IdBlock::default(),
            searching: false,
            until_injector: global_queue_interval,
            older: 0,
            lifo_streak: 0,
            lifo: workers > 1,
            global_queue_interval,
        }
    }

    /// Queues a task that was woken or spawned on this worker.
    ///
    /// With several workers it goes to the LIFO slot: what it works on is in this worker's cache, and nobody need be woken
    /// for it. A single worker takes all in the order in which they came.
    pub(super) fn push(&mut self, task: Notified, injector: &Injector<Notified>) -> Pushed {
        let task = if self.lifo {
            match self.queue.push_lifo(task) {
                None => return Pushed::ForMe,
                Some(displaced) => displaced,
            }
        } else {
            task
        };
        self.push_back(task, injector);
        Pushed::ForAnyone
    }

    /// Queues a task that yielded: behind all others.
    pub(super) fn push_back(&mut self, task: Notified, injector: &Injector<Notified>) {
        if self.queue.push(task, injector) == Overflowed(true) {
            self.older = injector.len();
        }
    }

    /// Whether there is no other worker, and nothing in this one's queue.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        !self.lifo && self.queue.is_empty()
    }

    /// The next task to poll, without looking at other workers.
    ///
    /// After an overflow the older tasks are the injector's: they come first, or those that a full ring pushed out would wait
    /// for all that became ready after them. Otherwise it is the injector's turn now and then.
    pub(super) fn next_task(&mut self, injector: &Injector<Notified>, workers: usize) -> Option<Notified> {
        self.until_injector -= 1;
        if self.until_injector == 0 {
            self.until_injector = self.global_queue_interval;
            if self.older == 0
                && let Some(task) = self.next_from(injector, workers)
            {
                return Some(task);
            }
        }
        if let Some(task) = self.next_lifo().or_else(|| self.next_older(injector)) {
            return Some(task);
        }
        let task = self.queue.pop().or_else(|| if self.lifo { self.queue.pop_lifo() } else { None });
        task.or_else(|| self.next_from(injector, workers))
    }

    fn next_lifo(&mut self) -> Option<Notified> {
        if self.lifo
            && self.lifo_streak < MAX_LIFO_STREAK
            && let Some(task) = self.queue.pop_lifo()
        {
            self.lifo_streak += 1;
            return Some(task);
        }
        self.lifo_streak = 0;
        None
    }

    /// One of what overflowed. Each that this worker takes is one less, whoever else takes some: no more than that is put before
    /// the ring.
    fn next_older(&mut self, injector: &Injector<Notified>) -> Option<Notified> {
        self.older = self.older.checked_sub(1)?;
        let task = injector.pop();
        if task.is_none() {
            self.older = 0;
        }
        task
    }

    /// Takes this worker's share of the injector: one to run, and as many more as the ring has room for.
    ///
    /// As many, because what overflows from the others' rings comes to the injector as fast as tasks are polled.
    pub(super) fn next_from(&mut self, injector: &Injector<Notified>, workers: usize) -> Option<Notified> {
        let mut first = None;
        let room = CAPACITY - self.queue.ring_len();
        let (queue, max) = (&mut self.queue, (1 + room).min(CAPACITY / 2));
        injector.pop_share(workers, max, |task| {
            if first.is_none() {
                first = Some(task);
            } else {
                queue.push(task, injector);
            }
        });
        first
    }
}

impl Item for Notified {
    fn into_raw(self) -> NonNull<()> {
        Notified::into_raw(self).cast()
    }

    unsafe fn from_raw(raw: NonNull<()>) -> Notified {
        // SAFETY: `raw` comes from `into_raw`, which gave up a notified task's reference, and is used once.
        unsafe { Notified::from_raw(raw.cast::<Header>()) }
    }
}
