//! What a source is known to be ready for, and who waits for it to be more.
//!
//! # State
//! One word; only this file touches it. The low half holds [`Events`] bits and [`GONE`], the high half a tick that
//! counts the events the operating system has sent.
//! ```text
//!    63        tick        32 31 30    events     0
//!   +------------------------+--+------------------+
//!   |  +1 with each `set`    |G | `set` adds,      |
//!   |                        |  | `clear` takes    |
//!   +------------------------+--+------------------+
//! ```
//! # Clearing
//! The operating system tells of a change once. An operation that fails with `WouldBlock` means that what was told is no
//! longer so, but between the failure and the clearing another event may come, and clearing that one would be for ever:
//! ```text
//!   task: looks (tick 7, IN)   reads: WouldBlock                     clears IN if the tick is 7: it is not
//!   driver:                                       set(IN), tick 8
//! ```
//! # Waiting
//! A waiter joins the queue and looks again; the driver sets the bits and looks for waiters. Both have a full barrier
//! between their store and their load (those of `WaitQueue`), so one of them sees the other.

use crate::atomic::{AtomicU64, Ordering};
use crate::wait_queue::{Events, Mode, WaitQueue, WaitSlot, WakeBatch};
use std::io;
use std::task::Waker;

/// One source's readiness and its waiters.
#[derive(Debug)]
pub(crate) struct SourceState {
    word: AtomicU64,
    waiters: WaitQueue,
}

/// What a look at a source found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    /// The events that the look asked for and that have been told.
    pub(crate) events: Events,
    tick: u32,
}

/// The driver is gone: no event will come.
const GONE: u64 = 1 << 31;
const EVENTS: u64 = GONE - 1;
const TICK: u64 = 1 << 32;

impl SourceState {
    /// Ready for nothing, until the operating system says so.
    pub(crate) fn new() -> SourceState {
        SourceState { word: AtomicU64::new(0), waiters: WaitQueue::new() }
    }

    /// The operating system told of `events`.
    pub(crate) fn set(&self, events: Events, out: &mut WakeBatch) {
        let added = u64::from(events.bits()) & EVENTS;
        // Release, so that a waiter that sees the bits sees what led to them; the barrier against a waiter that joins
        // meanwhile is that of `has_sleeper`.
        let _ =
            self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| Some(word.wrapping_add(TICK) | added));
        self.wake(events, out);
    }

    /// Presumes readiness that nobody has told of: an operation that is likely to succeed may then be tried at once.
    pub(crate) fn presume(&self, events: Events) {
        self.word.fetch_or(u64::from(events.bits()) & EVENTS, Ordering::AcqRel);
    }

    /// The driver is gone.
    pub(crate) fn shutdown(&self, out: &mut WakeBatch) {
        self.word.fetch_or(GONE, Ordering::AcqRel);
        self.wake(Events::ANY, out);
    }

    /// What of `interest` has been told; `None` when nothing has.
    ///
    /// # Errors
    /// The driver is gone.
    #[inline]
    pub(crate) fn look(&self, interest: Events) -> io::Result<Option<Ready>> {
        let word = self.word.load(Ordering::Acquire);
        let events = Events::from_bits_truncate(word as u32) & of_interest(interest);
        if !events.is_empty() {
            return Ok(Some(Ready { events, tick: (word >> 32) as u32 }));
        }
        if word & GONE != 0 { Err(gone()) } else { Ok(None) }
    }

    /// As [`look`](SourceState::look), but before it says `None` it puts `waker` into the queue.
    ///
    /// # Errors
    /// The driver is gone.
    #[inline]
    pub(crate) fn look_or_wait(
        &self,
        waker: &Waker,
        slot: &mut WaitSlot,
        interest: Events,
    ) -> io::Result<Option<Ready>> {
        match self.look(interest) {
            Ok(None) => self.wait(waker, slot, interest),
            looked => looked,
        }
    }

    #[inline(never)]
    fn wait(&self, waker: &Waker, slot: &mut WaitSlot, interest: Events) -> io::Result<Option<Ready>> {
        self.waiters.prepare(slot, waker, of_interest(interest), Mode::Shared);
        let again = self.look(interest);
        if !matches!(again, Ok(None)) {
            self.release(slot);
        }
        again
    }

    /// An operation for `interest` would have blocked, which is all there is to say of what `ready` saw, unless another
    /// event has come since.
    ///
    /// Takes closing and error bits too: a closed direction answers and does not block, and an error that another
    /// operation has fetched is an error no more. Were they kept, a waiter would go round and round.
    pub(crate) fn clear(&self, ready: Ready, interest: Events) {
        self.take(ready, of_interest(interest));
    }

    /// A transfer for `interest` took all there was, unless another event has come since. Closing and error bits stay:
    /// no other event will tell of them.
    #[inline]
    pub(crate) fn clear_drained(&self, ready: Ready, interest: Events) {
        self.take(ready, of_interest(interest) & (Events::READABLE | Events::WRITABLE));
    }

    /// Gives up a place in the queue.
    pub(crate) fn release(&self, slot: &mut WaitSlot) {
        // Every waiter is shared: one that was told has nothing to pass on.
        let _ = self.waiters.finish(slot);
    }

    #[inline]
    fn take(&self, ready: Ready, events: Events) {
        let taken = u64::from(events.bits()) & EVENTS;
        let _ = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            let unchanged = (word >> 32) as u32 == ready.tick && word & taken != 0;
            unchanged.then_some(word & !taken)
        });
    }

    fn wake(&self, events: Events, out: &mut WakeBatch) {
        if self.waiters.has_sleeper() {
            self.waiters.collect(events, usize::MAX, out);
        }
    }
}

/// An interest with what ends it: whoever wants to read must hear that nothing will come.
#[inline]
fn of_interest(interest: Events) -> Events {
    let mut all = Events::ERR;
    if interest.intersects(Events::READABLE) {
        all |= Events::READABLE | Events::RDHUP;
    }
    if interest.intersects(Events::WRITABLE) {
        all |= Events::WRITABLE | Events::HUP;
    }
    all
}

/// What a source says when its runtime is gone.
#[cold]
pub(crate) fn gone() -> io::Error {
    io::Error::other("the runtime is shutting down: its I/O driver is gone")
}

#[cfg(all(test, loom))]
mod loom_tests;
