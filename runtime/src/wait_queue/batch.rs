//! What leaves a lock to be called after it.

use crate::unwind::contain;
use smallvec::SmallVec;
use std::task::Waker;

/// Wakers on their way out of a lock. Dropping it calls them too: a collected wake-up is never lost.
#[derive(Debug, Default)]
pub struct WakeBatch {
    wakers: SmallVec<[Waker; 4]>,
}

impl WakeBatch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> WakeBatch {
        WakeBatch { wakers: SmallVec::new() }
    }

    /// Adds one waker.
    pub fn push(&mut self, waker: Waker) {
        self.wakers.push(waker);
    }

    /// How many wakers wait to be called.
    #[must_use]
    pub fn len(&self) -> usize {
        self.wakers.len()
    }

    /// Whether there is nothing to call.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wakers.is_empty()
    }

    /// Calls every waker, in the order in which they were told, and leaves the batch empty for the next use.
    ///
    /// Must not be called while a lock is held that a woken task might want.
    #[inline]
    pub fn wake_all(&mut self) {
        if self.wakers.len() > 1 {
            self.wake_many();
        } else if let Some(waker) = self.wakers.pop() {
            waker.wake(); // most hand-overs have one to tell
        }
    }

    #[inline(never)]
    fn wake_many(&mut self) {
        let mut calls = Calls(self.wakers.drain(..));
        for waker in calls.0.by_ref() {
            waker.wake();
        }
    }
}

/// The calls of one batch. When a waker panics, the others are called all the same, and the panic goes on.
struct Calls<'a>(smallvec::Drain<'a, [Waker; 4]>);

impl Drop for Calls<'_> {
    fn drop(&mut self) {
        for waker in self.0.by_ref() {
            // A second panic has nowhere to go.
            contain(|| waker.wake());
        }
    }
}

impl Drop for WakeBatch {
    #[inline]
    fn drop(&mut self) {
        self.wake_all();
    }
}
