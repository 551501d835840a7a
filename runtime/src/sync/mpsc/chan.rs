//! The channel: what both ends share, under one short lock.
//!
//! # References
//! A [`Chan`] is held by its senders, which `senders` counts, by weak senders, which `weak` counts, and by one receiver. The
//! counts decide what the ends hear; the memory belongs to the `Arc` around it.
//!
//! # Permits
//! A bounded channel has `max` permits. Each is in one place at any time:
//! ```text
//!        try_take: 1              push: 3                take: 4                  pop: 5
//!  free -------------> a sender -----------> the queue -----------> the receiver -------> returned
//!   ^ \                 ^    |                                                              |
//!   |  \--- release: 2 -/    | release: 2 (dropped permit, cancelled sender)                |
//!   +------------------------+------------------------ collect: 6 --------------------------+
//! ```
//! 1 succeeds only while nobody waits: who waits is served first, in order, by 2, and then the permits are its own though it
//! has not been polled yet. 5 happens without the lock; see [`Returned`].
//!
//! # Fields
//! Everything in [`State`] is touched under the lock only. No waker is called and no value is dropped under it: wakers leave
//! by return value or in a `WakeBatch`.

use crate::atomic::Mutex;
use crate::sync::mpsc::queue::Queue;
use crate::sync::mpsc::returned::Returned;
use crate::wait_queue::{Events, Mode, Removed, WaitList, WaitSlot, WakeBatch};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::task::Waker;

#[derive(Debug)]
pub(super) struct Chan<T> {
    pub(super) state: Mutex<State<T>>,
    pub(super) returned: Returned,
    /// The number of permits; [`UNBOUNDED`] for a channel that has none.
    pub(super) max: usize,
}

#[derive(Debug)]
pub(super) struct State<T> {
    pub(super) queue: Queue<T>,
    /// Permits that nobody has. While somebody waits they are not enough for the first of them.
    pub(super) free: usize,
    /// The receiver closed the channel, or is gone: no more permits for anybody.
    pub(super) closed: bool,
    /// The receiver is gone: values are dropped instead of queued.
    pub(super) abandoned: bool,
    /// The receiver, while it waits. There is only one, so its place needs no list.
    pub(super) receiver: Option<Waker>,
    /// Who waits for permits, in order.
    pub(super) waiting: WaitList,
    /// Who waits for the channel to close.
    pub(super) closers: WaitList,
    pub(super) senders: usize,
    pub(super) weak: usize,
}

/// What stands for "no bound".
pub(super) const UNBOUNDED: usize = usize::MAX;

/// The note for those who waited for permits when the channel closed: they were told, and got none.
const CLOSED: u8 = 1;

/// How an attempt to get permits went. Wakers in it are for after the lock.
#[must_use]
#[derive(Debug)]
pub(super) enum Permits {
    Granted,
    /// There are none any more. With the receiver to be woken, if it waits for the permits that the caller has given up.
    Closed(Option<Waker>),
    /// The caller has joined those who wait. With the waker that its own took the place of.
    Waiting(Option<Waker>),
}

impl<T> Chan<T> {
    /// A channel with one sender.
    pub(super) fn new(max: usize) -> Chan<T> {
        let state = State {
            queue: Queue::new(),
            free: max,
            closed: false,
            abandoned: false,
            receiver: None,
            waiting: WaitList::new(),
            closers: WaitList::new(),
            senders: 1,
            weak: 0,
        };
        Chan { state: Mutex::new(state), returned: Returned::new(), max }
    }

    pub(super) fn is_bounded(&self) -> bool {
        self.max != UNBOUNDED
    }

    /// Sends with a permit that the caller has.
    pub(super) fn send_permitted(&self, value: T) {
        let mut state = self.state.lock();
        if state.abandoned {
            state.free += 1;
            drop(state);
            drop(value);
            return;
        }
        let receiver = state.push(value);
        drop(state);
        wake(receiver);
    }

    /// Gives back permits that were not used.
    pub(super) fn release(&self, permits: usize) {
        let mut wakes = WakeBatch::new();
        self.state.lock().release(permits, self, &mut wakes);
        wakes.wake_all();
    }

    /// Gives what the receiver gave back to those who wait.
    #[cold]
    pub(super) fn hand_out(&self) {
        let mut wakes = WakeBatch::new();
        let mut state = self.state.lock();
        state.release(0, self, &mut wakes);
        if state.waiting.is_empty() {
            state.free += self.returned.collect_and_clear();
        }
        drop(state);
        wakes.wake_all();
    }

    /// Gives up the place of somebody who waited for `permits`.
    #[cold]
    pub(super) fn leave(&self, permits: usize, slot: &mut WaitSlot) {
        let mut wakes = WakeBatch::new();
        let mut state = self.state.lock();
        let removed = state.waiting.remove(slot);
        // Told and not come for them: they are the next one's. And who stood behind may want less than this one did.
        let unused = if matches!(removed, Removed::Told) { permits } else { 0 };
        state.release(unused, self, &mut wakes);
        drop(state);
        drop(removed);
        wakes.wake_all();
    }

    /// No more permits for anybody; those who wait for one, or for this, hear of it.
    pub(super) fn close(&self) {
        let mut wakes = WakeBatch::new();
        self.state.lock().close(&mut wakes);
        wakes.wake_all();
    }

    /// How many permits a sender could have at once.
    pub(super) fn capacity(&self) -> usize {
        let state = self.state.lock();
        if state.waiting.is_empty() { state.free + self.returned.len() } else { 0 }
    }
}

impl<T> State<T> {
    /// Queues a value; returns the receiver if it waits, to be woken after the lock.
    #[inline]
    #[must_use = "wake it when the lock is released"]
    pub(super) fn push(&mut self, value: T) -> Option<Waker> {
        self.queue.push(value);
        self.receiver.take()
    }

    /// Takes permits if they are there and nobody waits for them.
    #[inline]
    pub(super) fn try_take(&mut self, permits: usize, chan: &Chan<T>) -> bool {
        if permits == 0 {
            return true;
        }
        if !self.waiting.is_empty() {
            return false;
        }
        if self.free < permits {
            self.free += chan.returned.collect();
            if self.free < permits {
                return false;
            }
        }
        self.free -= permits;
        true
    }

    /// Takes permits, or joins those who wait for some.
    #[inline]
    pub(super) fn poll_take(&mut self, permits: u32, slot: &mut WaitSlot, waker: &Waker, chan: &Chan<T>) -> Permits {
        if slot.is_set() {
            return self.poll_joined(permits, slot, waker, chan);
        }
        if self.closed {
            return Permits::Closed(None);
        }
        if self.try_take(permits as usize, chan) {
            return Permits::Granted;
        }
        self.join(permits, slot, waker, chan)
    }

    fn join(&mut self, permits: u32, slot: &mut WaitSlot, waker: &Waker, chan: &Chan<T>) -> Permits {
        if self.waiting.is_empty() {
            // The first to wait: from here on the receiver comes through the lock. What it gave back before is here now.
            self.free += chan.returned.collect_and_mark();
            if self.free >= permits as usize {
                self.free -= permits as usize;
                return Permits::Granted;
            }
        }
        Permits::Waiting(self.waiting.join_weighted(slot, waker, permits))
    }

    fn poll_joined(&mut self, permits: u32, slot: &mut WaitSlot, waker: &Waker, chan: &Chan<T>) -> Permits {
        if self.waiting.is_waiting(slot) {
            return Permits::Waiting(self.waiting.join_weighted(slot, waker, permits));
        }
        let removed = self.waiting.remove(slot);
        if !self.closed {
            return Permits::Granted;
        }
        // Closed meanwhile: permits that were granted before are worth nothing, but the receiver counts them.
        if matches!(removed, Removed::Told) {
            self.free += permits as usize;
            if self.is_idle(chan) {
                return Permits::Closed(self.receiver.take());
            }
        }
        Permits::Closed(None)
    }

    /// Makes permits free and hands them to those who wait, in order; tells the receiver when it waits for the last ones.
    pub(super) fn release(&mut self, permits: usize, chan: &Chan<T>, wakes: &mut WakeBatch) {
        self.free += permits;
        if !self.waiting.is_empty() {
            self.free += chan.returned.collect();
            self.waiting.wake_weighted(&mut self.free, wakes);
        }
        if self.closed
            && self.is_idle(chan)
            && let Some(receiver) = self.receiver.take()
        {
            wakes.push(receiver);
        }
    }

    /// Whether every permit is free.
    fn is_idle(&self, chan: &Chan<T>) -> bool {
        !chan.is_bounded() || self.free + chan.returned.len() == chan.max
    }

    /// Whether a receiver that has found nothing will never find anything.
    pub(super) fn is_over(&self, chan: &Chan<T>) -> bool {
        self.senders == 0 || (self.closed && self.is_idle(chan))
    }

    pub(super) fn close(&mut self, wakes: &mut WakeBatch) {
        self.closed = true;
        self.waiting.wake_with(CLOSED, usize::MAX, wakes);
        self.closers.wake_all(wakes);
    }

    /// Waits for the channel to close; `None` when it is closed.
    pub(super) fn poll_closed(&mut self, slot: &mut WaitSlot, waker: &Waker) -> Option<Option<Waker>> {
        (!self.closed).then(|| self.closers.join(slot, waker, Events::HUP, Mode::Shared))
    }
}

// A value is in the queue or not, and no code of its owner runs under the lock: a panic leaves nothing half done.
impl<T> UnwindSafe for Chan<T> {}
impl<T> RefUnwindSafe for Chan<T> {}

/// Calls a waker that came out of the lock.
#[inline]
pub(super) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
