//! The word that the two halves share: who may touch what, and who frees it.
//!
//! # State
//! Bits, all empty at first. Only this file touches the word.
//!
//! | bit | set by | meaning |
//! |---|---|---|
//! | `SENT` | sender | it has ended, with a value or without; never after `CLOSED` |
//! | `CLOSED` | receiver | it wants no value |
//! | `RX_WAKER` | receiver | its waker is in its place |
//! | `TX_WAKER` | sender | its waker is in its place |
//! | `TX_GONE` | sender | it touches nothing any more |
//! | `RX_GONE` | receiver | it touches nothing any more |
//!
//! # Fields
//! - The value's place is the sender's until `SENT`, the receiver's afterwards.
//! - The receiver's waker is the receiver's while `RX_WAKER` is not set. The step that sets `SENT` and finds `RX_WAKER` makes
//!   it the sender's, for good. After a `CLOSED` that found no `SENT` it is the receiver's again: `SENT` can not come any more.
//! - The sender's waker is the sender's while `TX_WAKER` is not set. The step that sets `CLOSED` and finds `TX_WAKER`, and no
//!   `SENT`, makes it the receiver's. After a `SENT` it is the sender's again.
//! - The memory is freed by the half that finds the other gone when it goes.
//!
//! # Orderings
//! Each step that gives something away is a `Release`, each that takes is an `Acquire`; where a step may do both it is both.

use crate::atomic::{AtomicU32, Ordering};

#[derive(Debug)]
pub(super) struct State(AtomicU32);

const SENT: u32 = 1;
const CLOSED: u32 = 1 << 1;
const RX_WAKER: u32 = 1 << 2;
const TX_WAKER: u32 = 1 << 3;
const TX_GONE: u32 = 1 << 4;
const RX_GONE: u32 = 1 << 5;

/// What the sender has to do after it tried to end.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The receiver has closed: the value's place is still the sender's. Then [`State::sender_goes`].
    Refused,
    /// Done, and gone: touch nothing any more.
    Gone,
    /// Done. Take the receiver's waker, if it is there, and the sender's; then [`State::sender_goes`], then wake.
    TakeWakers { receiver: bool },
}

/// What the receiver sees.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The sender has ended: the value's place is the receiver's. `sender_gone`: so is everything else.
    Sent { sender_gone: bool },
    /// The receiver has closed, and nothing had been sent.
    Closed,
    /// Neither; and whether the receiver's waker is in its place.
    Pending { registered: bool },
}

/// What the receiver has to do after it closed.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// The sender has ended before: the value's place is the receiver's.
    Sent,
    /// Take the receiver's waker if it is there, and the sender's if it is said so.
    TakeWakers { sender: bool },
    /// It had closed before.
    Again,
}

/// Whether the one who goes is the last, and frees the memory.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gone {
    Last,
    First,
}

impl State {
    pub(super) fn new() -> State {
        State(AtomicU32::new(0))
    }

    /// The sender ends; a value, if it has one, is in its place.
    #[inline]
    pub(super) fn end(&self) -> Ended {
        let mut state = self.0.load(Ordering::Relaxed);
        loop {
            if state & CLOSED != 0 {
                return Ended::Refused;
            }
            // With no waker to take there is nothing left to touch: one step for both.
            let wakers = state & (RX_WAKER | TX_WAKER) != 0;
            let next = state | SENT | if wakers { 0 } else { TX_GONE };
            // Release gives the value to `look`. Acquire takes the waker that `register` gave.
            match self.0.compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if wakers => return Ended::TakeWakers { receiver: state & RX_WAKER != 0 },
                Ok(_) => return Ended::Gone,
                Err(now) => state = now,
            }
        }
    }

    /// The sender touches nothing after this, unless it is the last.
    pub(super) fn sender_goes(&self) -> Gone {
        // Release: all that the sender did comes before the receiver's freeing. Acquire: the other way round.
        gone(self.0.fetch_or(TX_GONE, Ordering::AcqRel) & RX_GONE)
    }

    /// The receiver touches nothing after this, unless it is the last.
    pub(super) fn receiver_goes(&self) -> Gone {
        gone(self.0.fetch_or(RX_GONE, Ordering::AcqRel) & TX_GONE)
    }

    /// What the receiver finds.
    #[inline]
    pub(super) fn look(&self) -> Seen {
        // Acquire takes the value that `end` gave, and all that `sender_goes` left.
        seen(self.0.load(Ordering::Acquire))
    }

    /// The receiver has put its waker into its place. Unless it is `Pending` now, the place is still the receiver's.
    #[inline]
    pub(super) fn register_receiver(&self) -> Seen {
        // Release gives the waker to `end`; Acquire as in `look`.
        seen(self.0.fetch_or(RX_WAKER, Ordering::AcqRel))
    }

    /// The receiver takes its waker back. Unless it is `Pending` now, the waker is the sender's.
    pub(super) fn unregister_receiver(&self) -> Seen {
        // Acquire as in `look`.
        seen(self.0.fetch_and(!RX_WAKER, Ordering::AcqRel))
    }

    /// Whether the receiver has closed.
    pub(super) fn is_closed(&self) -> bool {
        // Acquire: who sees it closed sees what the receiver did before.
        self.0.load(Ordering::Acquire) & CLOSED != 0
    }

    /// The sender has put its waker into its place; true when the receiver has closed before, and the place is still the
    /// sender's.
    pub(super) fn register_sender(&self) -> bool {
        // Release gives the waker to `close`.
        self.0.fetch_or(TX_WAKER, Ordering::AcqRel) & CLOSED != 0
    }

    /// The sender takes its waker back, if it had one in its place; true when the receiver has closed before, and the waker,
    /// if there was one, is the receiver's.
    pub(super) fn unregister_sender(&self) -> bool {
        if self.0.load(Ordering::Acquire) & (TX_WAKER | CLOSED) == 0 {
            return false;
        }
        self.0.fetch_and(!TX_WAKER, Ordering::AcqRel) & CLOSED != 0
    }

    /// The receiver wants no value.
    pub(super) fn close(&self) -> Closing {
        // Acquire takes the sender's waker that `register_sender` gave, or the value. Release: as `is_closed` says.
        let before = self.0.fetch_or(CLOSED, Ordering::AcqRel);
        if before & SENT != 0 {
            Closing::Sent
        } else if before & CLOSED != 0 {
            Closing::Again
        } else {
            Closing::TakeWakers { sender: before & TX_WAKER != 0 }
        }
    }
}

#[inline]
fn seen(state: u32) -> Seen {
    if state & SENT != 0 {
        Seen::Sent { sender_gone: state & TX_GONE != 0 }
    } else if state & CLOSED != 0 {
        Seen::Closed
    } else {
        Seen::Pending { registered: state & RX_WAKER != 0 }
    }
}

fn gone(other: u32) -> Gone {
    if other != 0 { Gone::Last } else { Gone::First }
}
