//! What leaves a lock to be called after it.

use crate::unwind::contain;
use crate::wait_queue::entry::Events;
use crate::wait_queue::func::WakeFn;
use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;

/// Wakers and callbacks on their way out of a lock. Dropping it calls them too: a collected wake-up is never lost.
#[derive(Debug, Default)]
pub struct WakeBatch {
    calls: SmallVec<[Call; INLINE]>,
}

/// How many calls need no allocation.
const INLINE: usize = 2;

/// One call that is still to be made.
enum Call {
    Waker(Waker),
    Callback(Arc<dyn WakeFn>, Events),
}

impl Call {
    #[inline]
    fn make(self) {
        match self {
            Call::Waker(waker) => waker.wake(),
            Call::Callback(func, key) => func.call(key),
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Call::Waker(waker) => waker.fmt(f),
            Call::Callback(func, key) => f.debug_tuple("Callback").field(&Arc::as_ptr(func)).field(key).finish(),
        }
    }
}

impl WakeBatch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> WakeBatch {
        WakeBatch { calls: SmallVec::new() }
    }

    /// Adds one waker.
    pub fn push(&mut self, waker: Waker) {
        self.calls.push(Call::Waker(waker));
    }

    /// Adds one callback, and what it is told.
    pub(crate) fn push_call(&mut self, func: Arc<dyn WakeFn>, key: Events) {
        self.calls.push(Call::Callback(func, key));
    }

    /// How many calls wait to be made.
    #[must_use]
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether there is nothing to call.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Calls everyone, in the order in which they were told, and leaves the batch empty for the next use.
    ///
    /// Must not be called while a lock is held that a woken task might want.
    #[inline]
    pub fn wake_all(&mut self) {
        if self.calls.len() > 1 {
            self.wake_many();
        } else if let Some(call) = self.calls.pop() {
            call.make(); // most hand-overs have one to tell
        }
    }

    #[inline(never)]
    fn wake_many(&mut self) {
        let mut calls = Calls(self.calls.drain(..));
        for call in calls.0.by_ref() {
            call.make();
        }
    }
}

/// The calls of one batch. When one panics, the others are made all the same, and the panic goes on.
struct Calls<'a>(smallvec::Drain<'a, [Call; INLINE]>);

impl Drop for Calls<'_> {
    fn drop(&mut self) {
        for call in self.0.by_ref() {
            // A second panic has nowhere to go.
            contain(|| call.make());
        }
    }
}

impl Drop for WakeBatch {
    #[inline]
    fn drop(&mut self) {
        self.wake_all();
    }
}
