//! The guards that borrow their mutex.

use crate::sync::locked::{Alone, Borrowed, Exclusive, forward_to_value};
use crate::sync::mutex::lock::Mutex;

/// The right to the value of a locked [`Mutex`]; from [`Mutex::lock`]. Dropping it unlocks.
///
/// It may be held across an `.await` and sent to another thread.
///
/// # Examples
/// ```
/// use wakeline_runtime::sync::Mutex;
///
/// # futures_lite::future::block_on(async {
/// let lock = Mutex::new(vec![1]);
/// lock.lock().await.push(2);
/// assert_eq!(*lock.lock().await, [1, 2]);
/// # });
/// ```
#[clippy::has_significant_drop]
#[must_use = "if unused the Mutex will immediately unlock"]
pub struct MutexGuard<'a, T: ?Sized>(Exclusive<&'a Mutex<T>, T>);

/// As [`MutexGuard`], for a part of the value; from [`MutexGuard::map`].
///
/// # Examples
/// See [`MutexGuard::map`].
#[clippy::has_significant_drop]
#[must_use = "if unused the Mutex will immediately unlock"]
pub struct MappedMutexGuard<'a, T: ?Sized>(Exclusive<Borrowed<'a, Alone>, T>);

forward_to_value!(MutexGuard<'a, T> to T, write);
forward_to_value!(MappedMutexGuard<'a, T> to T, write);

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// The guard of a caller that has what it takes.
    #[inline]
    pub(crate) fn of(held: Exclusive<&'a Mutex<T>, T>) -> Self {
        MutexGuard(held)
    }

    /// Narrows the guard to the part of the value that `f` picks.
    ///
    /// An associated function, to be called as `MutexGuard::map(..)`: a method would hide one of the value's.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::{Mutex, MutexGuard};
    ///
    /// # futures_lite::future::block_on(async {
    /// let lock = Mutex::new((1, "one"));
    /// let mut number = MutexGuard::map(lock.lock().await, |pair| &mut pair.0);
    /// *number = 2;
    /// drop(number);
    /// assert_eq!(*lock.lock().await, (2, "one"));
    /// # });
    /// ```
    #[inline]
    pub fn map<U: ?Sized, F>(this: Self, f: F) -> MappedMutexGuard<'a, U>
    where
        F: FnOnce(&mut T) -> &mut U,
    {
        MappedMutexGuard(this.0.map(f).forget_lock())
    }

    /// As [`map`](MutexGuard::map), when `f` may find nothing to pick.
    ///
    /// # Errors
    /// The guard itself when `f` returns `None`.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::{Mutex, MutexGuard};
    ///
    /// # futures_lite::future::block_on(async {
    /// let lock = Mutex::new(vec![1, 2]);
    /// let guard = MutexGuard::try_map(lock.lock().await, |list| list.get_mut(5)).expect_err("there is no sixth");
    /// assert!(MutexGuard::try_map(guard, |list| list.get_mut(1)).is_ok());
    /// # });
    /// ```
    #[inline]
    pub fn try_map<U: ?Sized, F>(this: Self, f: F) -> Result<MappedMutexGuard<'a, U>, Self>
    where
        F: FnOnce(&mut T) -> Option<&mut U>,
    {
        match this.0.try_map(f) {
            Ok(part) => Ok(MappedMutexGuard(part.forget_lock())),
            Err(whole) => Err(MutexGuard(whole)),
        }
    }

    /// The mutex that this guard has locked.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::{Mutex, MutexGuard};
    ///
    /// async fn unlock_and_lock_again<'a>(guard: MutexGuard<'a, u32>) -> MutexGuard<'a, u32> {
    ///     let mutex = MutexGuard::mutex(&guard);
    ///     drop(guard);
    ///     mutex.lock().await
    /// }
    /// # futures_lite::future::block_on(async {
    /// # let lock = Mutex::new(1);
    /// # assert_eq!(*unlock_and_lock_again(lock.lock().await).await, 1);
    /// # });
    /// ```
    #[inline]
    pub fn mutex(this: &Self) -> &'a Mutex<T> {
        this.0.keeper()
    }
}

impl<'a, T: ?Sized> MappedMutexGuard<'a, T> {
    /// Narrows the guard further; see [`MutexGuard::map`].
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::{MappedMutexGuard, Mutex, MutexGuard};
    ///
    /// # futures_lite::future::block_on(async {
    /// let lock = Mutex::new(((1, 2), 3));
    /// let pair = MutexGuard::map(lock.lock().await, |both| &mut both.0);
    /// assert_eq!(*MappedMutexGuard::map(pair, |pair| &mut pair.1), 2);
    /// # });
    /// ```
    #[inline]
    pub fn map<U: ?Sized, F>(this: Self, f: F) -> MappedMutexGuard<'a, U>
    where
        F: FnOnce(&mut T) -> &mut U,
    {
        MappedMutexGuard(this.0.map(f))
    }

    /// As [`map`](MappedMutexGuard::map), when `f` may find nothing to pick.
    ///
    /// # Errors
    /// The guard itself when `f` returns `None`.
    ///
    /// # Examples
    /// See [`MutexGuard::try_map`].
    #[inline]
    pub fn try_map<U: ?Sized, F>(this: Self, f: F) -> Result<MappedMutexGuard<'a, U>, Self>
    where
        F: FnOnce(&mut T) -> Option<&mut U>,
    {
        this.0.try_map(f).map(MappedMutexGuard).map_err(MappedMutexGuard)
    }
}
