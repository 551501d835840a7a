//! How the driver sleeps, in one word: whoever wants it awake reads there what it takes.
//!
//! ```text
//!            begin: 1 CAS                      unpark: 2 swap
//!   EMPTY ------------------> FUTEX or POLL ------------------> NOTIFIED
//!     ^ ^                          |                             ^    |
//!     | +--------- end: 3 swap ----+        unpark: 2 swap       |    |
//!     |                 EMPTY -----------------------------------+    |
//!     +------------------------- end: 3 swap -------------------------+
//! ```
//! A notification given before `begin` makes `begin` fail, so the sleep does not start. One given after it finds `FUTEX`
//! or `POLL` and so knows whom to tell: the parker, or the poller's own event. Either remembers it, so it does not
//! matter whether the thread has fallen asleep by then. If the sleep ended by itself meanwhile, the event stays behind
//! and ends the next sleep early, which costs one turn.

use crate::atomic::{AtomicU32, Ordering};

/// The word.
#[derive(Debug)]
pub(crate) struct SleepWord(AtomicU32);

/// In which way the driver is about to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// On its parker.
    Futex,
    /// In the poller.
    Poll,
}

/// What the driver has to do.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Sleep, then call [`SleepWord::end`].
    Sleep,
    /// A notification was there and is consumed by this: do not sleep.
    Notified,
}

/// What whoever unparks has to do.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unpark {
    /// Nothing: the driver is awake and will see the notification before it sleeps.
    Noted,
    /// Unpark its parker.
    Futex,
    /// Wake the poller.
    Poll,
}

const EMPTY: u32 = 0;
const FUTEX: u32 = 1;
const POLL: u32 = 2;
const NOTIFIED: u32 = 3;

impl SleepWord {
    pub(crate) fn new() -> SleepWord {
        SleepWord(AtomicU32::new(EMPTY))
    }

    /// The driver announces a sleep.
    pub(crate) fn begin(&self, how: How) -> Begin {
        let asleep = match how {
            How::Futex => FUTEX,
            How::Poll => POLL,
        };
        // Acquire on failure pairs with the Release of `unpark`; success publishes nothing to the other side but the
        // word itself.
        match self.0.compare_exchange(EMPTY, asleep, Ordering::Relaxed, Ordering::Acquire) {
            Ok(_) => Begin::Sleep,
            Err(_) => {
                self.end();
                Begin::Notified
            }
        }
    }

    /// The driver is awake; a notification is consumed. Says whether there was one.
    pub(crate) fn end(&self) -> bool {
        // Acquire pairs with the Release of `unpark`: what was written before it is seen by the turn that follows.
        self.0.swap(EMPTY, Ordering::Acquire) == NOTIFIED
    }

    /// Notifies the driver.
    pub(crate) fn unpark(&self) -> Unpark {
        match self.0.swap(NOTIFIED, Ordering::Release) {
            FUTEX => Unpark::Futex,
            POLL => Unpark::Poll,
            _ => Unpark::Noted,
        }
    }
}
