//! Permits on their way back: what the receiver has given back and the senders have not yet counted.
//!
//! The receiver takes many values under one lock, yet each gives its permit back only when it is received. It does so here,
//! with one addition; the senders collect under the channel's lock, and only when they have run out.
//!
//! # State
//! One word: a number of permits, and whether a sender waits. Only this file touches it.
//! - Everything but [`give_back`](Returned::give_back) happens under the channel's lock.
//! - A sender that is about to wait sets the mark with the same step that collects. So a permit was either given back before,
//!   and is collected now, or it is given back after, and whoever does so sees the mark and comes through the lock.
//! - The mark may outlive the waiting. It costs the receiver one turn through the lock, in which it is taken away.

use crate::atomic::{AtomicUsize, Ordering};

/// On lines of its own: the receiver writes it for each value, while senders write the lock.
#[repr(align(128))]
#[derive(Debug)]
pub(super) struct Returned(AtomicUsize);

const MARK: usize = 1;
const PERMIT: usize = 2;

/// What the receiver has to do after it gave permits back.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum GiveBack {
    /// Nothing: a sender that needs them will find them.
    Done,
    /// Somebody waits, or did: take the lock and hand out what is there.
    HandOut,
}

impl Returned {
    pub(super) fn new() -> Returned {
        Returned(AtomicUsize::new(0))
    }

    /// Gives back `permits`, without the lock.
    #[inline]
    pub(super) fn give_back(&self, permits: usize) -> GiveBack {
        // Release pairs with the Acquire of whoever collects: what the receiver did before is seen by who sends next.
        match self.0.fetch_add(permits * PERMIT, Ordering::Release) & MARK {
            0 => GiveBack::Done,
            _ => GiveBack::HandOut,
        }
    }

    /// Takes what was given back, and leaves the mark as it is.
    pub(super) fn collect(&self) -> usize {
        // A look first: while the receiver is behind there is nothing, and a write would take its line away from it.
        if self.0.load(Ordering::Relaxed) < PERMIT {
            return 0;
        }
        self.0.fetch_and(MARK, Ordering::Acquire) / PERMIT
    }

    /// Takes what was given back, and sets the mark: the caller is about to wait.
    pub(super) fn collect_and_mark(&self) -> usize {
        self.0.swap(MARK, Ordering::Acquire) / PERMIT
    }

    /// Takes what was given back, and takes the mark away: nobody waits.
    pub(super) fn collect_and_clear(&self) -> usize {
        self.0.swap(0, Ordering::Acquire) / PERMIT
    }

    /// How many wait to be collected.
    pub(super) fn len(&self) -> usize {
        self.0.load(Ordering::Acquire) / PERMIT
    }
}
