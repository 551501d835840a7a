//! The list with a lock of its own, its barrier pair, and `wait_event` for tasks and for threads.

use crate::atomic::{AtomicUsize, Mutex, Ordering, fence};
use crate::park::{Parker, might_sleep, with_thread_parker};
use crate::wait_queue::batch::WakeBatch;
use crate::wait_queue::entry::{Events, Mode, Removed, WaitSlot};
use crate::wait_queue::func::{Func, WakeFn};
use crate::wait_queue::list::WaitList;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// A [`WaitList`] with its own lock, for conditions that live in atomics or under another lock.
///
/// # Protocol
/// Waiter: [`prepare`](WaitQueue::prepare), then test the condition, then sleep or return `Pending`; when done,
/// [`finish`](WaitQueue::finish). Waker: make the condition true, then [`wake`](WaitQueue::wake). Both sides have a full
/// barrier between their store and their load, so at least one of them sees the other.
/// [`wait_until`](WaitQueue::wait_until) and [`wait_until_blocking`](WaitQueue::wait_until_blocking) are the protocol
/// ready made.
///
/// # Examples
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use wakeline_runtime::wait_queue::{Events, Mode, WaitQueue};
///
/// static READY: AtomicBool = AtomicBool::new(false);
/// static QUEUE: WaitQueue = WaitQueue::new();
///
/// let waker = std::thread::spawn(|| {
///     READY.store(true, Ordering::Release);
///     QUEUE.wake(Events::IN, 1);
/// });
/// QUEUE.wait_until_blocking(Events::IN, Mode::Shared, None, || READY.load(Ordering::Acquire).then_some(()));
/// waker.join().expect("the waking thread does not panic");
/// ```
#[derive(Debug)]
pub struct WaitQueue {
    /// The length of `list`, written under its lock; read without it by a waker that hopes to find nobody.
    waiting: AtomicUsize,
    list: Mutex<WaitList>,
    /// Which barriers a model leaves out, to see that it is found out.
    #[cfg(loom)]
    pub(super) without: Option<Barrier>,
}

/// The two barriers of the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Barrier {
    /// Between joining and looking at the condition (`set_current_state`).
    Waiter,
    /// Between making the condition true and looking for waiters (`skwq_has_sleeper`).
    Waker,
}

impl WaitQueue {
    /// A queue in which nobody waits.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> WaitQueue {
        WaitQueue { waiting: AtomicUsize::new(0), list: Mutex::new(WaitList::new()) }
    }

    #[cfg(loom)]
    #[allow(missing_docs)]
    pub fn new() -> WaitQueue {
        WaitQueue { waiting: AtomicUsize::new(0), list: Mutex::new(WaitList::new()), without: None }
    }

    /// A full barrier: store-load, which Release and Acquire are not. With them alone the waiter's look at the condition
    /// could move above its joining, and the waker's look for waiters above its store of the condition, and neither would
    /// see the other.
    #[inline]
    fn barrier(&self, barrier: Barrier) {
        #[cfg(loom)]
        if self.without == Some(barrier) {
            return;
        }
        let _ = barrier;
        fence(Ordering::SeqCst);
    }

    /// Whether somebody waits; the waker's half of the barrier pair.
    ///
    /// When this says no, everyone who prepares from now on will see what the caller wrote before the call.
    #[must_use]
    pub fn has_sleeper(&self) -> bool {
        self.barrier(Barrier::Waker);
        self.waiting.load(Ordering::Relaxed) != 0
    }

    /// Joins the queue, or refreshes the place that `slot` has in it. Afterwards the caller must test its condition.
    pub fn prepare(&self, slot: &mut WaitSlot, waker: &Waker, interest: Events, mode: Mode) {
        let replaced = {
            let mut list = self.list.lock();
            let replaced = list.join(slot, waker, interest, mode);
            self.waiting.store(list.len(), Ordering::Relaxed);
            replaced
        };
        drop(replaced);
        self.barrier(Barrier::Waiter);
    }

    /// As [`WaitList::add`]: an entry that stays. Afterwards the caller must look at what it waits for.
    #[must_use = "drop it when no lock is held"]
    pub fn add(&self, slot: &mut WaitSlot, func: Arc<dyn WakeFn>, interest: Events, mode: Mode) -> Option<Func> {
        let replaced = {
            let mut list = self.list.lock();
            let replaced = list.add(slot, func, interest, mode);
            self.waiting.store(list.len(), Ordering::Relaxed);
            replaced
        };
        self.barrier(Barrier::Waiter);
        replaced
    }

    /// Leaves the queue and empties `slot`.
    pub fn finish(&self, slot: &mut WaitSlot) -> Removed {
        if !slot.is_set() {
            return Removed::Absent;
        }
        let mut list = self.list.lock();
        let removed = list.remove(slot);
        self.waiting.store(list.len(), Ordering::Relaxed);
        removed
    }

    /// Tells every shared waiter and at most `exclusive` exclusive ones whose interest meets `key`; returns how many.
    ///
    /// Costs a barrier and a load when nobody waits.
    pub fn wake(&self, key: Events, exclusive: usize) -> usize {
        if !self.has_sleeper() {
            return 0;
        }
        let mut batch = WakeBatch::new();
        let told = self.collect(key, exclusive, &mut batch);
        batch.wake_all();
        told
    }

    /// Tells every waiter.
    pub fn wake_all(&self) -> usize {
        self.wake(Events::ANY, usize::MAX)
    }

    /// As [`wake`](WaitQueue::wake), but leaves the calls to the caller, who still holds some lock.
    pub fn collect(&self, key: Events, exclusive: usize, out: &mut WakeBatch) -> usize {
        let mut list = self.list.lock();
        let told = list.wake(key, exclusive, out);
        self.waiting.store(list.len(), Ordering::Relaxed);
        told
    }

    /// Waits until `condition` gives a value; the asynchronous `wait_event`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue; an exclusive waiter that had been told passes the wake on.
    pub fn wait_until<T, F>(&self, interest: Events, mode: Mode, condition: F) -> WaitUntil<'_, F>
    where
        F: FnMut() -> Option<T>,
    {
        WaitUntil { queue: self, interest, mode, slot: WaitSlot::new(), condition }
    }

    /// Parks the calling thread until `condition` gives a value or `timeout` has passed (`None`: no limit); the blocking
    /// `wait_event`, in the same queue and order as tasks.
    ///
    /// Must not be called from a task: it would put the worker to sleep.
    pub fn wait_until_blocking<T>(
        &self,
        interest: Events,
        mode: Mode,
        timeout: Option<Duration>,
        mut condition: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        if timeout != Some(Duration::ZERO) {
            might_sleep();
        }
        if let Some(value) = condition() {
            return Some(value);
        }
        let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
        with_thread_parker(|parker| {
            let mut place = Place { queue: self, interest, mode, slot: WaitSlot::new() };
            let waker = parker.waker();
            loop {
                self.prepare(&mut place.slot, &waker, interest, mode);
                if let Some(value) = condition() {
                    place.leave();
                    return Some(value);
                }
                if !park_until(parker, deadline) {
                    // Out of time, yet the condition may have come true while this thread was getting here.
                    let value = condition();
                    if value.is_some() {
                        place.leave();
                    }
                    return value;
                }
            }
        })
    }
}

fn park_until(parker: &Parker, deadline: Option<Instant>) -> bool {
    match deadline {
        None => {
            parker.park();
            true
        }
        Some(deadline) => parker.park_timeout(deadline.saturating_duration_since(Instant::now())),
    }
}

impl Default for WaitQueue {
    fn default() -> Self {
        WaitQueue::new()
    }
}

/// A waiter's place, given up properly however its owner ends.
struct Place<'a> {
    queue: &'a WaitQueue,
    interest: Events,
    mode: Mode,
    slot: WaitSlot,
}

impl Place<'_> {
    /// The waiter got what it waited for: nothing to pass on.
    fn leave(&mut self) {
        let _ = self.queue.finish(&mut self.slot);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.queue.finish(&mut self.slot).is_told() && self.mode != Mode::Shared {
            self.queue.wake(self.interest, 1);
        }
    }
}

/// The future of [`WaitQueue::wait_until`].
#[must_use = "futures do nothing unless polled"]
#[derive(Debug)]
pub struct WaitUntil<'a, F> {
    queue: &'a WaitQueue,
    interest: Events,
    mode: Mode,
    slot: WaitSlot,
    condition: F,
}

// Nothing in here is pinned: the list holds copies, not pointers.
impl<F> Unpin for WaitUntil<'_, F> {}

impl<T, F: FnMut() -> Option<T>> Future for WaitUntil<'_, F> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        let mut value = (this.condition)();
        if value.is_none() {
            this.queue.prepare(&mut this.slot, cx.waker(), this.interest, this.mode);
            value = (this.condition)();
        }
        match value {
            Some(value) => {
                let _ = this.queue.finish(&mut this.slot);
                Poll::Ready(value)
            }
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for WaitUntil<'_, F> {
    fn drop(&mut self) {
        if self.queue.finish(&mut self.slot).is_told() && self.mode != Mode::Shared {
            self.queue.wake(self.interest, 1);
        }
    }
}
