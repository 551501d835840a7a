//! How many bytes exist in buffers, and how many may.

use std::sync::atomic::{AtomicUsize, Ordering};

/// See the [module](self).
pub(super) struct Account {
    bytes: AtomicUsize,
    max_bytes: usize,
}

impl Account {
    /// Nothing yet, and so many bytes at most.
    pub(super) fn new(max_bytes: usize) -> Account {
        Account { bytes: AtomicUsize::new(0), max_bytes }
    }

    /// Charges `n` bytes, unless the bound forbids it.
    pub(super) fn charge(&self, n: usize) -> bool {
        // Relaxed, here and below: the count guards no other memory; only its own sum must be right.
        let charge = |bytes: usize| bytes.checked_add(n).filter(|&sum| sum <= self.max_bytes);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charge).is_ok()
    }

    /// Charges `n` bytes, beyond the bound if need be.
    pub(super) fn charge_forced(&self, n: usize) {
        self.bytes.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, n: usize) {
        self.bytes.fetch_sub(n, Ordering::Relaxed);
    }

    pub(super) fn in_use(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn max_bytes(&self) -> usize {
        self.max_bytes
    }
}
