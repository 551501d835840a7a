//! [`Ref`]: the channel's value, borrowed.

use crate::atomic::RwLockReadGuard;
use std::fmt;
use std::ops::Deref;

/// The value of a watch channel, borrowed: by [`Receiver::borrow`](crate::sync::watch::Receiver::borrow) and its like.
///
/// It holds a read lock: as long as it lives a sender blocks its thread. Keep it short, and never across an `.await`. Do
/// not take a second one on the same thread while it lives: a sender that waits in between may keep both waiting.
pub struct Ref<'a, T> {
    value: RwLockReadGuard<'a, T>,
    has_changed: bool,
}

impl<'a, T> Ref<'a, T> {
    pub(crate) fn new(value: RwLockReadGuard<'a, T>, has_changed: bool) -> Ref<'a, T> {
        Ref { value, has_changed }
    }

    /// Whether the receiver had not seen this value before. False when a sender has borrowed it.
    ///
    /// It is a fact about the value, not about the channel, and so does not fail when that is closed.
    ///
    /// # Examples
    /// ```
    /// let (tx, mut rx) = wakeline_runtime::sync::watch::channel(1);
    /// tx.send(2)?;
    /// assert!(rx.borrow().has_changed());
    /// assert!(rx.borrow_and_update().has_changed());
    /// assert!(!rx.borrow().has_changed());
    /// # Ok::<_, wakeline_runtime::sync::watch::error::SendError<i32>>(())
    /// ```
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.has_changed
    }
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ref").field("value", &**self).field("has_changed", &self.has_changed).finish()
    }
}
