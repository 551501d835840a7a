//! The guards that own a reference to their lock.

use crate::sync::locked::{Exclusive, Shared, forward_to_value};
use crate::sync::rwlock::lock::RwLock;
use std::sync::Arc;

/// As [`RwLockReadGuard`](crate::sync::RwLockReadGuard), with a reference to the lock of its own and so without a lifetime;
/// from [`RwLock::read_owned`].
///
/// # Examples
/// See [`RwLock::read_owned`].
#[clippy::has_significant_drop]
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct OwnedRwLockReadGuard<T: ?Sized, U: ?Sized = T>(Shared<Arc<RwLock<T>>, U>);

/// As [`RwLockWriteGuard`](crate::sync::RwLockWriteGuard), with a reference to the lock of its own and so without a
/// lifetime; from [`RwLock::write_owned`].
///
/// # Examples
/// See [`RwLock::write_owned`].
#[clippy::has_significant_drop]
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct OwnedRwLockWriteGuard<T: ?Sized>(Exclusive<Arc<RwLock<T>>, T>);

/// As [`OwnedRwLockWriteGuard`], for a part of the value; from [`OwnedRwLockWriteGuard::map`].
///
/// # Examples
/// See [`OwnedRwLockWriteGuard::map`].
#[clippy::has_significant_drop]
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct OwnedRwLockMappedWriteGuard<T: ?Sized, U: ?Sized = T>(Exclusive<Arc<RwLock<T>>, U>);

forward_to_value!(OwnedRwLockReadGuard<T, U> to U, read);
forward_to_value!(OwnedRwLockWriteGuard<T> to T, write);
forward_to_value!(OwnedRwLockMappedWriteGuard<T, U> to U, write);

impl<T: ?Sized, U: ?Sized> OwnedRwLockReadGuard<T, U> {
    /// The guard of a caller that has what it takes.
    #[inline]
    pub(crate) fn of(held: Shared<Arc<RwLock<T>>, U>) -> Self {
        OwnedRwLockReadGuard(held)
    }

    /// Narrows the guard to the part of the value that `f` picks.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use wakeline_runtime::sync::{OwnedRwLockReadGuard, RwLock};
    ///
    /// # futures_lite::future::block_on(async {
    /// let lock = Arc::new(RwLock::new((1, "one")));
    /// let name = OwnedRwLockReadGuard::map(lock.read_owned().await, |pair| pair.1);
    /// assert_eq!(&*name, "one");
    /// # });
    /// ```
    #[inline]
    pub fn map<F, V: ?Sized>(this: Self, f: F) -> OwnedRwLockReadGuard<T, V>
    where
        F: FnOnce(&U) -> &V,
    {
        OwnedRwLockReadGuard(this.0.map(f))
    }

    /// As [`map`](OwnedRwLockReadGuard::map), when `f` may find nothing to pick.
    ///
    /// # Errors
    /// The guard itself when `f` returns `None`.
    ///
    /// # Examples
    /// See [`RwLockReadGuard::try_map`](crate::sync::RwLockReadGuard::try_map).
    #[inline]
    pub fn try_map<F, V: ?Sized>(this: Self, f: F) -> Result<OwnedRwLockReadGuard<T, V>, Self>
    where
        F: FnOnce(&U) -> Option<&V>,
    {
        this.0.try_map(f).map(OwnedRwLockReadGuard).map_err(OwnedRwLockReadGuard)
    }

    /// The lock that this guard reads.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use wakeline_runtime::sync::{OwnedRwLockReadGuard, RwLock};
    ///
    /// let lock = Arc::new(RwLock::new(5));
    /// let guard = lock.clone().try_read_owned()?;
    /// assert!(Arc::ptr_eq(&lock, OwnedRwLockReadGuard::rwlock(&guard)));
    /// # Ok::<(), wakeline_runtime::sync::TryLockError>(())
    /// ```
    #[inline]
    pub fn rwlock(this: &Self) -> &Arc<RwLock<T>> {
        this.0.keeper()
    }
}

impl<T: ?Sized> OwnedRwLockWriteGuard<T> {
    /// The guard of a caller that has what it takes.
    #[inline]
    pub(crate) fn of(held: Exclusive<Arc<RwLock<T>>, T>) -> Self {
        OwnedRwLockWriteGuard(held)
    }

    /// Narrows the guard to the part of the value that `f` picks.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use wakeline_runtime::sync::{OwnedRwLockWriteGuard, RwLock};
    ///
    /// # futures_lite::future::block_on(async {
    /// let lock = Arc::new(RwLock::new((1, "one")));
    /// *OwnedRwLockWriteGuard::map(lock.clone().write_owned().await, |pair| &mut pair.0) = 2;
    /// assert_eq!(*lock.read().await, (2, "one"));
    /// # });
    /// ```
    #[inline]
    pub fn map<F, U: ?Sized>(this: Self, f: F) -> OwnedRwLockMappedWriteGuard<T, U>
    where
        F: FnOnce(&mut T) -> &mut U,
    {
        OwnedRwLockMappedWriteGuard(this.0.map(f))
    }

    /// As [`map`](OwnedRwLockWriteGuard::map), when `f` may find nothing to pick.
    ///
    /// # Errors
    /// The guard itself when `f` returns `None`.
    ///
    /// # Examples
    /// See [`RwLockReadGuard::try_map`](crate::sync::RwLockReadGuard::try_map).
    #[inline]
    pub fn try_map<F, U: ?Sized>(this: Self, f: F) -> Result<OwnedRwLockMappedWriteGuard<T, U>, Self>
    where
        F: FnOnce(&mut T) -> Option<&mut U>,
    {
        this.0.try_map(f).map(OwnedRwLockMappedWriteGuard).map_err(OwnedRwLockWriteGuard)
    }

    /// The whole value, with the type of a guard of a part: so that one type can hold either.
    ///
    /// # Examples
    /// See [`RwLockWriteGuard::into_mapped`](crate::sync::RwLockWriteGuard::into_mapped).
    #[inline]
    pub fn into_mapped(this: Self) -> OwnedRwLockMappedWriteGuard<T> {
        OwnedRwLockMappedWriteGuard(this.0)
    }

    /// Becomes a reader without letting a writer in between; readers that wait next come in, too.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use wakeline_runtime::sync::RwLock;
    ///
    /// # futures_lite::future::block_on(async {
    /// let lock = Arc::new(RwLock::new(5));
    /// let reader = lock.clone().write_owned().await.downgrade();
    /// assert_eq!((*reader, *lock.read().await), (5, 5));
    /// # });
    /// ```
    #[inline]
    pub fn downgrade(self) -> OwnedRwLockReadGuard<T> {
        OwnedRwLockReadGuard(self.0.downgrade())
    }

    /// Becomes a reader of the part that `f` picks; see [`downgrade`](OwnedRwLockWriteGuard::downgrade).
    ///
    /// # Examples
    /// See [`RwLockWriteGuard::downgrade_map`](crate::sync::RwLockWriteGuard::downgrade_map).
    #[inline]
    pub fn downgrade_map<F, U: ?Sized>(this: Self, f: F) -> OwnedRwLockReadGuard<T, U>
    where
        F: FnOnce(&T) -> &U,
    {
        OwnedRwLockReadGuard(this.0.downgrade_map(f))
    }

    /// As [`downgrade_map`](OwnedRwLockWriteGuard::downgrade_map), when `f` may find nothing to pick.
    ///
    /// # Errors
    /// The guard itself, still the writer's, when `f` returns `None`.
    ///
    /// # Examples
    /// See [`RwLockWriteGuard::try_downgrade_map`](crate::sync::RwLockWriteGuard::try_downgrade_map).
    #[inline]
    pub fn try_downgrade_map<F, U: ?Sized>(this: Self, f: F) -> Result<OwnedRwLockReadGuard<T, U>, Self>
    where
        F: FnOnce(&T) -> Option<&U>,
    {
        this.0.try_downgrade_map(f).map(OwnedRwLockReadGuard).map_err(OwnedRwLockWriteGuard)
    }

    /// The lock that this guard writes.
    ///
    /// # Examples
    /// See [`OwnedRwLockReadGuard::rwlock`].
    #[inline]
    pub fn rwlock(this: &Self) -> &Arc<RwLock<T>> {
        this.0.keeper()
    }
}

impl<T: ?Sized, U: ?Sized> OwnedRwLockMappedWriteGuard<T, U> {
    /// Narrows the guard further; see [`OwnedRwLockWriteGuard::map`].
    ///
    /// # Examples
    /// See [`OwnedRwLockWriteGuard::map`].
    #[inline]
    pub fn map<F, V: ?Sized>(this: Self, f: F) -> OwnedRwLockMappedWriteGuard<T, V>
    where
        F: FnOnce(&mut U) -> &mut V,
    {
        OwnedRwLockMappedWriteGuard(this.0.map(f))
    }

    /// As [`map`](OwnedRwLockMappedWriteGuard::map), when `f` may find nothing to pick.
    ///
    /// # Errors
    /// The guard itself when `f` returns `None`.
    ///
    /// # Examples
    /// See [`RwLockReadGuard::try_map`](crate::sync::RwLockReadGuard::try_map).
    #[inline]
    pub fn try_map<F, V: ?Sized>(this: Self, f: F) -> Result<OwnedRwLockMappedWriteGuard<T, V>, Self>
    where
        F: FnOnce(&mut U) -> Option<&mut V>,
    {
        this.0.try_map(f).map(OwnedRwLockMappedWriteGuard).map_err(OwnedRwLockMappedWriteGuard)
    }

    /// The lock that this guard writes.
    ///
    /// # Examples
    /// See [`OwnedRwLockReadGuard::rwlock`].
    #[inline]
    pub fn rwlock(this: &Self) -> &Arc<RwLock<T>> {
        this.0.keeper()
    }
}
