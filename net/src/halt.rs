//! What starts an engine again that has halted, as an interrupt does a processor.
//!
//! This is no wait queue: one task or thread runs an engine for its whole life, so there is nobody to queue, and each frame
//! rings. It costs a load while the engine runs, and one compare-exchange and the waker's own step when it has halted.
//!
//! # State
//! ```text
//!             halt (the engine; then it looks for work)
//!   running ---------------------------------------------> halted
//!      ^                                                     |
//!      +----- ring (whoever takes the word back wakes) ------+
//!      +----- wake_up (the engine, for a reason of its own) -+
//! ```
//! A wake-up is not lost because both sides write before they read, `SeqCst` all four: who rings has written what there is
//! to do and then looks at `is_halted`; the engine writes `is_halted` and then looks at what there is to do. At least one
//! of them sees the other's.

use crate::atomic::{AtomicBool, Ordering, in_total_order};
use std::sync::OnceLock;
use std::task::Waker;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Halt {
    is_halted: AtomicBool,
    /// Whoever runs the engine; a task's waker is the same at every poll.
    runner: OnceLock<Waker>,
}

impl Halt {
    /// There is work, which the caller has written with `SeqCst`. Called without a lock.
    pub(crate) fn ring(&self) {
        in_total_order();
        if self.is_halted.load(Ordering::SeqCst)
            && self.is_halted.compare_exchange(true, false, Ordering::SeqCst, Ordering::SeqCst).is_ok()
            && let Some(runner) = self.runner.get()
        {
            runner.wake_by_ref();
        }
    }

    /// The engine halts for `runner`. Afterwards it must look for work.
    pub(crate) fn halt(&self, runner: &Waker) {
        let known = self.runner.get_or_init(|| runner.clone());
        debug_assert!(known.will_wake(runner), "an engine has one runner");
        self.is_halted.store(true, Ordering::SeqCst);
        in_total_order();
    }

    /// The engine runs, whether or not somebody rang.
    pub(crate) fn wake_up(&self) {
        // Relaxed: who still sees it halted wakes it once for nothing.
        if self.is_halted.load(Ordering::Relaxed) {
            self.is_halted.store(false, Ordering::Relaxed);
        }
    }
}
