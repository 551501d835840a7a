//! How many handles send: strong ones, which keep the channel open, and weak ones.

use crate::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
pub(crate) struct Handles {
    strong: AtomicUsize,
    weak: AtomicUsize,
}

impl Handles {
    /// One strong handle.
    pub(crate) fn new() -> Handles {
        Handles { strong: AtomicUsize::new(1), weak: AtomicUsize::new(0) }
    }

    /// Another strong handle, made from one.
    pub(crate) fn add_strong(&self) {
        // Relaxed: the handle that it is made from keeps the count above zero.
        self.strong.fetch_add(1, Ordering::Relaxed);
    }

    /// Another strong handle, made from a weak one; false when there is none left: zero is final.
    #[must_use]
    pub(crate) fn try_add_strong(&self) -> bool {
        self.strong.fetch_update(Ordering::Relaxed, Ordering::Acquire, |n| (n != 0).then(|| n + 1)).is_ok()
    }

    /// Returns whether it was the last.
    #[must_use]
    pub(crate) fn remove_strong(&self) -> bool {
        // AcqRel: whoever closes the channel does so after all that the other handles did.
        self.strong.fetch_sub(1, Ordering::AcqRel) == 1
    }

    pub(crate) fn add_weak(&self) {
        self.weak.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove_weak(&self) {
        self.weak.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn strong(&self) -> usize {
        self.strong.load(Ordering::Acquire)
    }

    pub(crate) fn weak(&self) -> usize {
        self.weak.load(Ordering::Acquire)
    }
}
