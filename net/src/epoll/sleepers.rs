//! How many sleep on an epoll, as one word that may be asked under the lock of a socket's wait queue.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The length of `ep->wq`, less the sleepers that an exclusive item has counted on and that are not woken yet.
///
/// Written under the epoll's lock whenever the queue changes; taken from by [`claim`](Sleepers::claim), which holds
/// another lock. Relaxed throughout: the word guards nothing. A claim that sees too many is passed on to the next epoll
/// when its event is told and nobody sleeps; one that sees too few lets the walk go on to another epoll at once.
#[derive(Debug, Default)]
pub(crate) struct Sleepers(AtomicUsize);

impl Sleepers {
    /// So many sleep now.
    pub(crate) fn set(&self, sleepers: usize) {
        self.0.store(sleepers, Ordering::Relaxed);
    }

    /// Takes one sleeper for an event; says whether there was one left.
    pub(crate) fn claim(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sleepers| sleepers.checked_sub(1)).is_ok()
    }
}

/// How many events an exclusive item has claimed for its epoll and has not been told of yet. Relaxed, for the same reason.
#[derive(Debug, Default)]
pub(crate) struct Claims(AtomicUsize);

impl Claims {
    /// One more.
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The item is told of one; says whether it was claimed.
    pub(crate) fn take(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |claims| claims.checked_sub(1)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sleeper_is_claimed_once() {
        let sleepers = Sleepers::default();
        assert!(!sleepers.claim());
        sleepers.set(2);
        assert!(sleepers.claim() && sleepers.claim() && !sleepers.claim());
    }

    #[test]
    fn a_claim_is_taken_once() {
        let claims = Claims::default();
        claims.add();
        assert!(claims.take() && !claims.take());
    }
}
