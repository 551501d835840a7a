//! [`SetOnce`].

use crate::atomic::Mutex;
use crate::coop;
use crate::sync::once_value::OnceValue;
use crate::wait_queue::{Events, Mode, Removed, WaitList, WaitSlot, WakeBatch};
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A value that somebody sets once, and that any number of tasks may wait for.
///
/// As [`OnceCell`](crate::sync::OnceCell) without a computation. It is usable under any executor.
///
/// # Examples
/// ```
/// use wakeline_runtime::sync::SetOnce;
///
/// static ADDRESS: SetOnce<String> = SetOnce::const_new();
///
/// let server = std::thread::spawn(|| ADDRESS.set("127.0.0.1:80".to_owned()));
/// # futures_lite::future::block_on(async {
/// assert_eq!(ADDRESS.wait().await, "127.0.0.1:80");
/// # });
/// assert!(server.join().expect("setting does not panic").is_ok());
/// ```
pub struct SetOnce<T> {
    value: OnceValue<T>,
    /// The value is set under this lock, and told of after it.
    waiters: Mutex<WaitList>,
}

impl<T> SetOnce<T> {
    /// An empty one.
    ///
    /// # Examples
    /// ```
    /// let once = wakeline_runtime::sync::SetOnce::<i32>::new();
    /// assert!(!once.initialized());
    /// ```
    #[must_use]
    pub fn new() -> SetOnce<T> {
        SetOnce { value: OnceValue::new(), waiters: Mutex::new(WaitList::new()) }
    }

    /// As [`new`](SetOnce::new), for statics.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::SetOnce;
    ///
    /// static ONCE: SetOnce<i32> = SetOnce::const_new();
    /// assert_eq!(ONCE.get(), None);
    /// ```
    #[cfg(not(loom))]
    #[must_use]
    pub const fn const_new() -> SetOnce<T> {
        SetOnce { value: OnceValue::new(), waiters: Mutex::new(WaitList::new()) }
    }

    /// One with this value, or an empty one.
    ///
    /// # Examples
    /// ```
    /// let once = wakeline_runtime::sync::SetOnce::new_with(Some(1));
    /// assert_eq!(once.get(), Some(&1));
    /// ```
    #[must_use]
    pub fn new_with(value: Option<T>) -> SetOnce<T> {
        value.map_or_else(SetOnce::new, SetOnce::from)
    }

    /// One with this value, for statics.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::SetOnce;
    ///
    /// static ONCE: SetOnce<i32> = SetOnce::const_new_with(1);
    /// assert_eq!(ONCE.get(), Some(&1));
    /// ```
    #[cfg(not(loom))]
    #[must_use]
    pub const fn const_new_with(value: T) -> SetOnce<T> {
        SetOnce { value: OnceValue::with(value), waiters: Mutex::new(WaitList::new()) }
    }

    /// Whether the value is there.
    ///
    /// # Examples
    /// See [`new`](SetOnce::new).
    #[must_use]
    pub fn initialized(&self) -> bool {
        self.value.is_set()
    }

    /// The value, if it is there.
    ///
    /// # Examples
    /// See [`set`](SetOnce::set).
    #[inline]
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// Sets the value, and tells everybody who waits.
    ///
    /// # Errors
    /// [`SetOnceError`] with `value` when it was set before.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::{SetOnce, SetOnceError};
    ///
    /// let once = SetOnce::new();
    /// once.set(1)?;
    /// assert_eq!(once.set(2), Err(SetOnceError(2)));
    /// assert_eq!(once.get(), Some(&1));
    /// # Ok::<(), SetOnceError<i32>>(())
    /// ```
    pub fn set(&self, value: T) -> Result<(), SetOnceError<T>> {
        if self.initialized() {
            return Err(SetOnceError(value));
        }
        let mut wakes = WakeBatch::new();
        {
            let mut waiters = self.waiters.lock();
            if let Err(value) = self.value.set(value) {
                return Err(SetOnceError(value));
            }
            waiters.wake_all(&mut wakes);
        }
        wakes.wake_all();
        Ok(())
    }

    /// Waits until the value is set.
    ///
    /// # Cancel safety
    /// Yes: dropped while it waits, it leaves the queue.
    ///
    /// # Examples
    /// See [`SetOnce`].
    #[inline]
    pub async fn wait(&self) -> &T {
        Wait { once: self, slot: WaitSlot::new() }.await;
        self.get().expect("the wait ends when the value is set")
    }

    /// The value, if it is there, with its owner gone.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(wakeline_runtime::sync::SetOnce::from(1).into_inner(), Some(1));
    /// ```
    #[must_use]
    pub fn into_inner(mut self) -> Option<T> {
        self.value.take()
    }
}

/// Ready when the value is set.
struct Wait<'a, T> {
    once: &'a SetOnce<T>,
    slot: WaitSlot,
}

impl<T> Future for Wait<'_, T> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let progress = ready!(coop::poll_proceed(cx));
        // Whoever set the value has emptied the list, so a slot that is still set stands for nothing.
        if self.once.initialized() || self.join(cx) {
            self.slot = WaitSlot::new();
            progress.made();
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl<T> Wait<'_, T> {
    /// Joins the list, or keeps its place with the waker of this poll; says whether the value was set meanwhile.
    #[cold]
    fn join(&mut self, cx: &Context<'_>) -> bool {
        let mut waiters = self.once.waiters.lock();
        if self.once.initialized() {
            return true;
        }
        // As an exclusive waiter, since those are told in the order in which they came.
        let replaced = waiters.join(&mut self.slot, cx.waker(), Events::ANY, Mode::Exclusive);
        drop(waiters);
        drop(replaced);
        false
    }
}

impl<T> Drop for Wait<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.slot.is_set() && !self.once.initialized() {
            let removed: Removed = self.once.waiters.lock().remove(&mut self.slot);
            drop(removed);
        }
    }
}

impl<T> Default for SetOnce<T> {
    fn default() -> Self {
        SetOnce::new()
    }
}

impl<T> From<T> for SetOnce<T> {
    fn from(value: T) -> Self {
        SetOnce { value: OnceValue::with(value), waiters: Mutex::new(WaitList::new()) }
    }
}

impl<T: Clone> Clone for SetOnce<T> {
    fn clone(&self) -> Self {
        SetOnce::new_with(self.get().cloned())
    }
}

impl<T: PartialEq> PartialEq for SetOnce<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for SetOnce<T> {}

impl<T: fmt::Debug> fmt::Debug for SetOnce<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetOnce").field("value", &self.get()).finish()
    }
}

/// The value was set before; from [`SetOnce::set`], which gives its own back.
#[derive(Debug, PartialEq, Eq)]
pub struct SetOnceError<T>(pub T);

impl<T> fmt::Display for SetOnceError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SetOnceError")
    }
}

impl<T: fmt::Debug> Error for SetOnceError<T> {}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
