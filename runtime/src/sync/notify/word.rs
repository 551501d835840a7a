//! The word of a `Notify`: whether a permit is stored, whether somebody waits, and how often all were notified.
//!
//! # State
//! The two lowest bits are one of three states; the others count the calls of `notify_waiters`, and wrap.
//! ```text
//!              permit: 1                        join: 3
//!   PERMIT <--------------- EMPTY ------------------------------> WAITING
//!          ----------------^  | ^                                    |
//!     take, join: 2           | +------------------------------------+
//!                             |    nobody_waits: 4, all_told: 5
//! ```
//! - `WAITING` says that the list is not empty. It is entered (3) and left (4, 5) only by who holds the list's lock, and
//!   while it stands nobody without that lock changes any bit of the word.
//! - 1 and 2 need no lock: that is what a notification costs that finds nobody.
//! - The count and the state are one word, so whoever enters `WAITING` knows in the same step that nobody has called
//!   `notify_waiters` since it was created.

use crate::atomic::{AtomicUsize, Ordering};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Word(AtomicUsize);

/// How often `notify_waiters` had been called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Calls(usize);

/// What someone who looks for a permit has to do.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It is notified: by a permit, which is now taken, or because all were since its creation.
    Notified,
    /// Wait.
    Wait,
}

/// What a notifier has to do.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notifier {
    /// Nothing: nobody waits, and the word says all there is to say.
    Done,
    /// Somebody waits: take the list's lock, and look again.
    SomebodyWaits,
}

const EMPTY: usize = 0;
const PERMIT: usize = 1;
const WAITING: usize = 2;
const STATE: usize = 3;
const ONE_CALL: usize = 4;

impl Word {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Word {
        Word(AtomicUsize::new(EMPTY))
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Word {
        Word(AtomicUsize::new(EMPTY))
    }

    #[inline]
    pub(crate) fn calls(&self) -> Calls {
        // Acquire pairs with the Release of `call`: who sees the call sees what was written before it.
        Calls(self.0.load(Ordering::Acquire) & !STATE)
    }

    /// Without the lock: takes the permit, if there is one, unless all were notified since `since`.
    #[inline]
    pub(crate) fn take(&self, since: Calls) -> Look {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            if word & !STATE != since.0 {
                // A broadcast came: it is what wakes this one, and the permit stays for another.
                return Look::Notified;
            }
            if word & STATE != PERMIT {
                return Look::Wait;
            }
            match self.replace(word, EMPTY) {
                Ok(()) => return Look::Notified,
                Err(now) => word = now,
            }
        }
    }

    /// Under the list's lock: as [`take`](Word::take), and when there is nothing to take the word says `WAITING` from now on;
    /// the caller must join the list before it lets go of the lock.
    pub(crate) fn join(&self, since: Calls) -> Look {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            if word & !STATE != since.0 {
                return Look::Notified;
            }
            let (next, look) = match word & STATE {
                WAITING => return Look::Wait,
                PERMIT => (EMPTY, Look::Notified),
                _ => (WAITING, Look::Wait),
            };
            match self.replace(word, next) {
                Ok(()) => return look,
                Err(now) => word = now,
            }
        }
    }

    /// Stores a permit, unless somebody waits. With the lock and without: under the lock, [`Notifier::SomebodyWaits`] says
    /// that the list is not empty.
    #[inline]
    pub(crate) fn permit(&self) -> Notifier {
        let mut word = self.0.load(Ordering::Relaxed);
        while word & STATE != WAITING {
            // From PERMIT to PERMIT too: of two permits that become one, both happen before it is taken.
            match self.replace(word, PERMIT) {
                Ok(()) => return Notifier::Done,
                Err(now) => word = now,
            }
        }
        Notifier::SomebodyWaits
    }

    /// Counts a call of `notify_waiters`, unless somebody waits. With the lock and without, as [`permit`](Word::permit).
    #[inline]
    pub(crate) fn call(&self) -> Notifier {
        let mut word = self.0.load(Ordering::Relaxed);
        while word & STATE != WAITING {
            let next = word.wrapping_add(ONE_CALL);
            match self.0.compare_exchange(word, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Notifier::Done,
                Err(now) => word = now,
            }
        }
        Notifier::SomebodyWaits
    }

    /// Under the list's lock, in `WAITING`: the last waiter has left the list.
    pub(crate) fn nobody_waits(&self) {
        let word = self.0.load(Ordering::Relaxed);
        debug_assert_eq!(word & STATE, WAITING, "only with the lock is it left");
        self.0.store(word & !STATE | EMPTY, Ordering::Release);
    }

    /// Under the list's lock, in `WAITING`: counts a call of `notify_waiters`, which has emptied the list.
    pub(crate) fn all_told(&self) {
        let word = self.0.load(Ordering::Relaxed);
        debug_assert_eq!(word & STATE, WAITING, "only with the lock is it left");
        self.0.store((word & !STATE).wrapping_add(ONE_CALL) | EMPTY, Ordering::Release);
    }

    fn replace(&self, word: usize, state: usize) -> Result<(), usize> {
        // Release and Acquire: a taker sees what every notifier of its permit wrote before.
        let next = word & !STATE | state;
        self.0.compare_exchange(word, next, Ordering::AcqRel, Ordering::Acquire).map(drop)
    }
}
