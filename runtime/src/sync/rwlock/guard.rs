//! The guards that borrow their lock.

use crate::sync::locked::{Borrowed, Exclusive, Readers, Shared, forward_to_value};
use crate::sync::rwlock::lock::RwLock;

/// The right to read the value of an [`RwLock`], or a part of it; from [`RwLock::read`]. Dropping it ends that.
///
/// It may be held across an `.await` and sent to another thread.
///
/// # Examples
/// See [`RwLock`].
#[clippy::has_significant_drop]
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockReadGuard<'a, T: ?Sized>(Shared<Borrowed<'a, Readers>, T>);

/// The right to the value of an [`RwLock`]; from [`RwLock::write`]. Dropping it unlocks.
///
/// It may be held across an `.await` and sent to another thread.
///
/// # Examples
/// See [`RwLock`].
#[clippy::has_significant_drop]
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockWriteGuard<'a, T: ?Sized>(Exclusive<&'a RwLock<T>, T>);

/// As [`RwLockWriteGuard`], for a part of the value; from [`RwLockWriteGuard::map`].
///
/// # Examples
/// See [`RwLockWriteGuard::map`].
#[clippy::has_significant_drop]
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockMappedWriteGuard<'a, T: ?Sized>(Exclusive<Borrowed<'a, Readers>, T>);

forward_to_value!(RwLockReadGuard<'a, T> to T, read);
forward_to_value!(RwLockWriteGuard<'a, T> to T, write);
forward_to_value!(RwLockMappedWriteGuard<'a, T> to T, write);

impl<'a, T: ?Sized> RwLockReadGuard<'a, T> {
    /// The guard of a caller that has what it takes.
    #[inline]
    pub(crate) fn of(shared: Shared<&'a RwLock<T>, T>) -> Self {
        RwLockReadGuard(shared.forget_lock())
    }

    /// Narrows the guard to the part of the value that `f` picks.
    ///
    /// An associated function, to be called as `RwLockReadGuard::map(..)`: a method would hide one of the value's.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::{RwLock, RwLockReadGuard};
    ///
    /// # futures_lite::future::block_on(async {
    /// let lock = RwLock::new((1, "one"));
    /// let name = RwLockReadGuard::map(lock.read().await, |pair| pair.1);
    /// assert_eq!(&*name, "one");
    /// # });
    /// ```
    #[inline]
    pub fn map<F, U: ?Sized>(this: Self, f: F) -> RwLockReadGuard<'a, U>
    where
        F: FnOnce(&T) -> &U,
    {
        RwLockReadGuard(this.0.map(f))
    }

    /// As [`map`](RwLockReadGuard::map), when `f` may find nothing to pick.
    ///
    /// # Errors
    /// The guard itself when `f` returns `None`.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::{RwLock, RwLockReadGuard};
    ///
    /// # futures_lite::future::block_on(async {
    /// let lock = RwLock::new(vec![1, 2]);
    /// let guard = RwLockReadGuard::try_map(lock.read().await, |list| list.get(5)).expect_err("there is no sixth");
    /// assert!(RwLockReadGuard::try_map(guard, |list| list.get(1)).is_ok());
    /// # });
    /// ```
    #[inline]
    pub fn try_map<F, U: ?Sized>(this: Self, f: F) -> Result<RwLockReadGuard<'a, U>, Self>
    where
        F: FnOnce(&T) -> Option<&U>,
    {
        this.0.try_map(f).map(RwLockReadGuard).map_err(RwLockReadGuard)
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// The guard of a caller that has what it takes.
    #[inline]
    pub(crate) fn of(held: Exclusive<&'a RwLock<T>, T>) -> Self {
        RwLockWriteGuard(held)
    }

    /// Narrows the guard to the part of the value that `f` picks.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::{RwLock, RwLockWriteGuard};
    ///
    /// # futures_lite::future::block_on(async {
    /// let lock = RwLock::new((1, "one"));
    /// *RwLockWriteGuard::map(lock.write().await, |pair| &mut pair.0) = 2;
    /// assert_eq!(*lock.read().await, (2, "one"));
    /// # });
    /// ```
    #[inline]
    pub fn map<F, U: ?Sized>(this: Self, f: F) -> RwLockMappedWriteGuard<'a, U>
    where
        F: FnOnce(&mut T) -> &mut U,
    {
        RwLockMappedWriteGuard(this.0.map(f).forget_lock())
    }

    /// As [`map`](RwLockWriteGuard::map), when `f` may find nothing to pick.
    ///
    /// # Errors
    /// The guard itself when `f` returns `None`.
    ///
    /// # Examples
    /// See [`RwLockReadGuard::try_map`].
    #[inline]
    pub fn try_map<F, U: ?Sized>(this: Self, f: F) -> Result<RwLockMappedWriteGuard<'a, U>, Self>
    where
        F: FnOnce(&mut T) -> Option<&mut U>,
    {
        match this.0.try_map(f) {
            Ok(part) => Ok(RwLockMappedWriteGuard(part.forget_lock())),
            Err(whole) => Err(RwLockWriteGuard(whole)),
        }
    }

    /// The whole value, with the type of a guard of a part: so that one type can hold either.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::{RwLock, RwLockMappedWriteGuard, RwLockWriteGuard};
    ///
    /// # futures_lite::future::block_on(async {
    /// let lock = RwLock::new(5);
    /// let guard: RwLockMappedWriteGuard<'_, i32> = RwLockWriteGuard::into_mapped(lock.write().await);
    /// # drop(guard);
    /// # });
    /// ```
    #[inline]
    pub fn into_mapped(this: Self) -> RwLockMappedWriteGuard<'a, T> {
        RwLockMappedWriteGuard(this.0.forget_lock())
    }

    /// Becomes a reader without letting a writer in between; readers that wait next come in, too.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::RwLock;
    ///
    /// # futures_lite::future::block_on(async {
    /// let lock = RwLock::new(5);
    /// let mut writer = lock.write().await;
    /// *writer = 6;
    /// let reader = writer.downgrade();
    /// assert_eq!((*reader, *lock.read().await), (6, 6));
    /// # });
    /// ```
    #[inline]
    pub fn downgrade(self) -> RwLockReadGuard<'a, T> {
        RwLockReadGuard(self.0.forget_lock().downgrade())
    }

    /// Becomes a reader of the part that `f` picks; see [`downgrade`](RwLockWriteGuard::downgrade).
    ///
    /// Not the same as [`map`](RwLockWriteGuard::map) and a downgrade, which is not offered: `f` gets `&T`, so that what it
    /// picks can not be something that only a writer may share.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::{RwLock, RwLockWriteGuard};
    ///
    /// # futures_lite::future::block_on(async {
    /// let lock = RwLock::new((1, "one"));
    /// let number = RwLockWriteGuard::downgrade_map(lock.write().await, |pair| &pair.0);
    /// assert_eq!((*number, lock.read().await.1), (1, "one"));
    /// # });
    /// ```
    #[inline]
    pub fn downgrade_map<F, U: ?Sized>(this: Self, f: F) -> RwLockReadGuard<'a, U>
    where
        F: FnOnce(&T) -> &U,
    {
        RwLockReadGuard(this.0.downgrade_map(f).forget_lock())
    }

    /// As [`downgrade_map`](RwLockWriteGuard::downgrade_map), when `f` may find nothing to pick.
    ///
    /// # Errors
    /// The guard itself, still the writer's, when `f` returns `None`.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::{RwLock, RwLockWriteGuard};
    ///
    /// # futures_lite::future::block_on(async {
    /// let lock = RwLock::new(vec![1, 2]);
    /// let writer = lock.write().await;
    /// let writer = RwLockWriteGuard::try_downgrade_map(writer, |list| list.get(5)).expect_err("there is no sixth");
    /// assert!(RwLockWriteGuard::try_downgrade_map(writer, |list| list.get(1)).is_ok());
    /// # });
    /// ```
    #[inline]
    pub fn try_downgrade_map<F, U: ?Sized>(this: Self, f: F) -> Result<RwLockReadGuard<'a, U>, Self>
    where
        F: FnOnce(&T) -> Option<&U>,
    {
        match this.0.try_downgrade_map(f) {
            Ok(part) => Ok(RwLockReadGuard(part.forget_lock())),
            Err(whole) => Err(RwLockWriteGuard(whole)),
        }
    }
}

impl<'a, T: ?Sized> RwLockMappedWriteGuard<'a, T> {
    /// Narrows the guard further; see [`RwLockWriteGuard::map`].
    ///
    /// # Examples
    /// See [`RwLockWriteGuard::map`].
    #[inline]
    pub fn map<F, U: ?Sized>(this: Self, f: F) -> RwLockMappedWriteGuard<'a, U>
    where
        F: FnOnce(&mut T) -> &mut U,
    {
        RwLockMappedWriteGuard(this.0.map(f))
    }

    /// As [`map`](RwLockMappedWriteGuard::map), when `f` may find nothing to pick.
    ///
    /// # Errors
    /// The guard itself when `f` returns `None`.
    ///
    /// # Examples
    /// See [`RwLockReadGuard::try_map`].
    #[inline]
    pub fn try_map<F, U: ?Sized>(this: Self, f: F) -> Result<RwLockMappedWriteGuard<'a, U>, Self>
    where
        F: FnOnce(&mut T) -> Option<&mut U>,
    {
        this.0.try_map(f).map(RwLockMappedWriteGuard).map_err(RwLockMappedWriteGuard)
    }
}
