//! The guards that own a reference to their mutex.

use crate::sync::locked::{Exclusive, forward_to_value};
use crate::sync::mutex::lock::Mutex;
use std::sync::Arc;

/// As [`MutexGuard`](crate::sync::MutexGuard), with a reference to the mutex of its own and so without a lifetime; from
/// [`Mutex::lock_owned`].
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use wakeline_runtime::sync::{Mutex, OwnedMutexGuard};
///
/// # futures_lite::future::block_on(async {
/// let guard: OwnedMutexGuard<i32> = Arc::new(Mutex::new(1)).lock_owned().await;
/// assert_eq!(*guard, 1);
/// # });
/// ```
#[clippy::has_significant_drop]
#[must_use = "if unused the Mutex will immediately unlock"]
pub struct OwnedMutexGuard<T: ?Sized>(Exclusive<Arc<Mutex<T>>, T>);

/// As [`OwnedMutexGuard`], for a part of the value; from [`OwnedMutexGuard::map`].
///
/// # Examples
/// See [`OwnedMutexGuard::map`].
#[clippy::has_significant_drop]
#[must_use = "if unused the Mutex will immediately unlock"]
pub struct OwnedMappedMutexGuard<T: ?Sized, U: ?Sized = T>(Exclusive<Arc<Mutex<T>>, U>);

forward_to_value!(OwnedMutexGuard<T> to T, write);
forward_to_value!(OwnedMappedMutexGuard<T, U> to U, write);

impl<T: ?Sized> OwnedMutexGuard<T> {
    /// The guard of a caller that has what it takes.
    #[inline]
    pub(crate) fn of(held: Exclusive<Arc<Mutex<T>>, T>) -> Self {
        OwnedMutexGuard(held)
    }

    /// Narrows the guard to the part of the value that `f` picks.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use wakeline_runtime::sync::{Mutex, OwnedMutexGuard};
    ///
    /// # futures_lite::future::block_on(async {
    /// let lock = Arc::new(Mutex::new((1, "one")));
    /// let mut number = OwnedMutexGuard::map(lock.clone().lock_owned().await, |pair| &mut pair.0);
    /// *number = 2;
    /// drop(number);
    /// assert_eq!(*lock.lock().await, (2, "one"));
    /// # });
    /// ```
    #[inline]
    pub fn map<U: ?Sized, F>(this: Self, f: F) -> OwnedMappedMutexGuard<T, U>
    where
        F: FnOnce(&mut T) -> &mut U,
    {
        OwnedMappedMutexGuard(this.0.map(f))
    }

    /// As [`map`](OwnedMutexGuard::map), when `f` may find nothing to pick.
    ///
    /// # Errors
    /// The guard itself when `f` returns `None`.
    ///
    /// # Examples
    /// See [`MutexGuard::try_map`](crate::sync::MutexGuard::try_map).
    #[inline]
    pub fn try_map<U: ?Sized, F>(this: Self, f: F) -> Result<OwnedMappedMutexGuard<T, U>, Self>
    where
        F: FnOnce(&mut T) -> Option<&mut U>,
    {
        this.0.try_map(f).map(OwnedMappedMutexGuard).map_err(OwnedMutexGuard)
    }

    /// The mutex that this guard has locked.
    ///
    /// # Examples
    /// See [`MutexGuard::mutex`](crate::sync::MutexGuard::mutex).
    #[inline]
    pub fn mutex(this: &Self) -> &Arc<Mutex<T>> {
        this.0.keeper()
    }
}

impl<T: ?Sized, U: ?Sized> OwnedMappedMutexGuard<T, U> {
    /// Narrows the guard further; see [`OwnedMutexGuard::map`].
    ///
    /// # Examples
    /// See [`MappedMutexGuard::map`](crate::sync::MappedMutexGuard::map).
    #[inline]
    pub fn map<S: ?Sized, F>(this: Self, f: F) -> OwnedMappedMutexGuard<T, S>
    where
        F: FnOnce(&mut U) -> &mut S,
    {
        OwnedMappedMutexGuard(this.0.map(f))
    }

    /// As [`map`](OwnedMappedMutexGuard::map), when `f` may find nothing to pick.
    ///
    /// # Errors
    /// The guard itself when `f` returns `None`.
    ///
    /// # Examples
    /// See [`MutexGuard::try_map`](crate::sync::MutexGuard::try_map).
    #[inline]
    pub fn try_map<S: ?Sized, F>(this: Self, f: F) -> Result<OwnedMappedMutexGuard<T, S>, Self>
    where
        F: FnOnce(&mut U) -> Option<&mut S>,
    {
        this.0.try_map(f).map(OwnedMappedMutexGuard).map_err(OwnedMappedMutexGuard)
    }
}
