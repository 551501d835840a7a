//! How many sleep on an epoll, as one word that may be asked under the lock of a socket's wait queue.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The length of `ep->wq`, less the sleepers that an exclusive item has counted on and that are not woken yet.
///
/// Written under the epoll's lock whenever the queue changes; taken from by [`claim`](Sleepers::claim), which holds
/// another lock. Relaxed throughout: the word guards nothing. A claim that sees too many has its event told all the same
/// and is found by the next sleeper; one that sees too few lets the walk go on to another epoll.
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
}
