//! What leaves a lock to be called after it.

use crate::unwind::contain;
use crate::wait_queue::entry::Events;
use crate::wait_queue::func::WakeFn;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;

/// Wakers and callbacks on their way out of a lock. Dropping it calls them too: a collected wake-up is never lost.
#[derive(Debug, Default)]
pub struct WakeBatch {
    /// Most hand-overs have one to tell. When there is none here, there are none in `rest`.
    first: Option<Call>,
    rest: Vec<Call>,
}

/// One call that is still to be made.
enum Call {
    /// With what it waited for.
    Waker(Waker, Events),
    /// With what it is told.
    Callback(Arc<dyn WakeFn>, Events),
}

impl Call {
    #[inline]
    fn make(self) {
        match self {
            Call::Waker(waker, _) => waker.wake(),
            Call::Callback(func, key) => func.call(key),
        }
    }
}

/// One call out of a batch; see [`WakeBatch::pop`]. Who does not make it loses the wake-up.
#[must_use]
#[derive(Debug)]
pub struct Wake(Call);

impl Wake {
    /// What the waiter whose waker it is had joined its list with; none for a callback.
    #[must_use]
    pub fn interest(&self) -> Option<Events> {
        match self.0 {
            Call::Waker(_, interest) => Some(interest),
            Call::Callback(..) => None,
        }
    }

    /// Makes the call.
    pub fn call(self) {
        self.0.make();
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Call::Waker(waker, _) => waker.fmt(f),
            Call::Callback(func, key) => f.debug_tuple("Callback").field(&Arc::as_ptr(func)).field(key).finish(),
        }
    }
}

impl WakeBatch {
    /// An empty batch.
    #[must_use]
    pub const fn new() -> WakeBatch {
        WakeBatch { first: None, rest: Vec::new() }
    }

    /// Adds one waker.
    #[inline]
    pub fn push(&mut self, waker: Waker) {
        self.push_told(waker, Events::empty());
    }

    /// Adds the waker of one who waited for `interest`.
    #[inline]
    pub(crate) fn push_told(&mut self, waker: Waker, interest: Events) {
        self.add(Call::Waker(waker, interest));
    }

    /// Adds one callback, and what it is told.
    pub fn push_call(&mut self, func: Arc<dyn WakeFn>, key: Events) {
        self.add(Call::Callback(func, key));
    }

    #[inline]
    fn add(&mut self, call: Call) {
        if self.first.is_none() {
            self.first = Some(call);
        } else {
            self.rest.push(call);
        }
    }

    /// How many calls wait to be made.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// Whether there is nothing to call.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Takes out the call that comes next, for who makes one at a time because he has something to say about each.
    pub fn pop(&mut self) -> Option<Wake> {
        let first = self.first.take()?;
        if !self.rest.is_empty() {
            self.first = Some(self.rest.remove(0));
        }
        Some(Wake(first))
    }

    /// Calls everyone, in the order in which they were told, and leaves the batch empty for the next use.
    ///
    /// Must not be called while a lock is held that a woken task might want.
    #[inline]
    pub fn wake_all(&mut self) {
        let Some(first) = self.first.take() else { return };
        if self.rest.is_empty() {
            first.make();
        } else {
            self.wake_many(first);
        }
    }

    /// When nobody has said `wake_all`.
    #[cold]
    fn wake_late(&mut self) {
        self.wake_all();
    }

    #[inline(never)]
    fn wake_many(&mut self, first: Call) {
        let mut rest = Calls(self.rest.drain(..));
        first.make();
        for call in rest.0.by_ref() {
            call.make();
        }
    }
}

/// The calls of one batch. When one panics, the others are made all the same, and the panic goes on.
struct Calls<'a>(std::vec::Drain<'a, Call>);

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
        if !self.is_empty() {
            self.wake_late();
        }
    }
}
