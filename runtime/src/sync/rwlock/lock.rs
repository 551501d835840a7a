//! [`RwLock`].

use crate::sync::blocking;
use crate::sync::locked::{Exclusive, Lock, Locked, Readers, Shared};
use crate::sync::mutex::error::TryLockError;
use crate::sync::rwlock::guard::{RwLockReadGuard, RwLockWriteGuard};
use crate::sync::rwlock::owned::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard};
use crate::trace::{Place, Resource, ResourceKind};
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// A lock that many readers or one writer may hold across an `.await`, and which tasks wait for without blocking a thread.
///
/// Fair, and so not biased towards readers: who comes is served in order. A writer that waits lets the readers before it
/// finish, and those who come after it wait for it; so a task that has a read guard must not ask for another one while a
/// writer may wait between the two. There is no poisoning. It is usable under any executor.
///
/// # Examples
/// ```
/// use wakeline_runtime::sync::RwLock;
///
/// # futures_lite::future::block_on(async {
/// let lock = RwLock::new(5);
/// {
///     let (one, other) = (lock.read().await, lock.read().await);
///     assert_eq!(*one + *other, 10);
/// }
/// *lock.write().await += 1;
/// assert_eq!(*lock.read().await, 6);
/// # });
/// ```
pub struct RwLock<T: ?Sized>(Locked<T, Readers>);

// SAFETY: it is always the one field.
unsafe impl<T: ?Sized> Lock for RwLock<T> {
    type Value = T;
    type Access = Readers;

    #[inline]
    fn locked(&self) -> &Locked<T, Readers> {
        &self.0
    }
}

/// As many readers as there may be.
const READERS_MAX: u32 = u32::MAX >> 3;

impl<T> RwLock<T> {
    /// A lock around `value`, unlocked, with room for `u32::MAX >> 3` readers at once.
    ///
    /// # Examples
    /// ```
    /// let lock = wakeline_runtime::sync::RwLock::new(5);
    /// ```
    #[track_caller]
    pub fn new(value: T) -> RwLock<T> {
        RwLock::with_max_readers(value, READERS_MAX)
    }

    /// As [`new`](RwLock::new), with room for at most `max_reads` readers at once; the next one waits.
    ///
    /// # Panics
    /// When `max_reads` is 0 or more than `u32::MAX >> 3`.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::RwLock;
    ///
    /// let lock = RwLock::with_max_readers(5, 1);
    /// let reader = lock.try_read()?;
    /// assert!(lock.try_read().is_err());
    /// # Ok::<(), wakeline_runtime::sync::TryLockError>(())
    /// ```
    #[track_caller]
    pub fn with_max_readers(value: T, max_reads: u32) -> RwLock<T> {
        assert_in_range(max_reads);
        let resource = Resource::new("RwLock", ResourceKind::Sync, Place::here());
        resource.max_readers(max_reads);
        resource.write_locked(false);
        resource.current_readers(0, "override");
        RwLock(Locked::<T, Readers>::new(value, max_reads).told_of(resource))
    }

    /// As [`new`](RwLock::new), for statics.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::RwLock;
    ///
    /// static LOCK: RwLock<i32> = RwLock::const_new(5);
    /// assert!(LOCK.try_read().is_ok());
    /// ```
    #[cfg(not(loom))]
    pub const fn const_new(value: T) -> RwLock<T> {
        RwLock(Locked::<T, Readers>::new(value, READERS_MAX))
    }

    /// As [`with_max_readers`](RwLock::with_max_readers), for statics.
    ///
    /// # Panics
    /// When `max_reads` is 0 or more than `u32::MAX >> 3`.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::RwLock;
    ///
    /// static LOCK: RwLock<i32> = RwLock::const_with_max_readers(5, 8);
    /// assert!(LOCK.try_read().is_ok());
    /// ```
    #[cfg(not(loom))]
    #[track_caller]
    pub const fn const_with_max_readers(value: T, max_reads: u32) -> RwLock<T> {
        assert_in_range(max_reads);
        RwLock(Locked::<T, Readers>::new(value, max_reads))
    }

    /// The value, with the lock gone.
    ///
    /// # Examples
    /// ```
    /// let lock = wakeline_runtime::sync::RwLock::new(5);
    /// assert_eq!(lock.into_inner(), 5);
    /// ```
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until nobody writes, nor waits before this call to write, and shares the value with other readers.
    ///
    /// # Cancel safety
    /// Dropped while it waits, it loses its place in the queue; dropped after its turn came, it passes that on.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::RwLock;
    ///
    /// # futures_lite::future::block_on(async {
    /// let lock = RwLock::new(5);
    /// let reader = lock.read().await;
    /// assert!(lock.try_read().is_ok() && lock.try_write().is_err());
    /// # drop(reader);
    /// # });
    /// ```
    #[inline]
    pub fn read(&self) -> impl Future<Output = RwLockReadGuard<'_, T>> {
        Shared::acquire(self, "RwLock::read", RwLockReadGuard::of)
    }

    /// Waits until nobody reads or writes, nor waits before this call to do so, and has the value alone.
    ///
    /// # Cancel safety
    /// Dropped while it waits, it loses its place in the queue, and readers that waited behind it go on; dropped after its
    /// turn came, it passes that on.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::RwLock;
    ///
    /// # futures_lite::future::block_on(async {
    /// let lock = RwLock::new(5);
    /// *lock.write().await = 6;
    /// assert_eq!(*lock.read().await, 6);
    /// # });
    /// ```
    #[inline]
    pub fn write(&self) -> impl Future<Output = RwLockWriteGuard<'_, T>> {
        Exclusive::acquire(self, "RwLock::write", RwLockWriteGuard::of)
    }

    /// As [`read`](RwLock::read), with a guard that owns a reference to the lock and so has no lifetime.
    ///
    /// # Cancel safety
    /// As [`read`](RwLock::read).
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use wakeline_runtime::sync::RwLock;
    ///
    /// # futures_lite::future::block_on(async {
    /// let reader = Arc::new(RwLock::new(5)).read_owned().await;
    /// std::thread::spawn(move || assert_eq!(*reader, 5)).join().expect("it is 5");
    /// # });
    /// ```
    #[inline]
    pub fn read_owned(self: Arc<Self>) -> impl Future<Output = OwnedRwLockReadGuard<T>> {
        Shared::acquire(self, "RwLock::read_owned", OwnedRwLockReadGuard::of)
    }

    /// As [`write`](RwLock::write), with a guard that owns a reference to the lock and so has no lifetime.
    ///
    /// # Cancel safety
    /// As [`write`](RwLock::write).
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use wakeline_runtime::sync::RwLock;
    ///
    /// # futures_lite::future::block_on(async {
    /// let lock = Arc::new(RwLock::new(5));
    /// let mut writer = lock.clone().write_owned().await;
    /// std::thread::spawn(move || *writer = 6).join().expect("the thread only writes");
    /// assert_eq!(*lock.read().await, 6);
    /// # });
    /// ```
    #[inline]
    pub fn write_owned(self: Arc<Self>) -> impl Future<Output = OwnedRwLockWriteGuard<T>> {
        Exclusive::acquire(self, "RwLock::write_owned", OwnedRwLockWriteGuard::of)
    }

    /// Shares the value if nobody writes or waits.
    ///
    /// # Errors
    /// [`TryLockError`] when somebody writes, or waits, or there are as many readers as there may be.
    ///
    /// # Examples
    /// ```
    /// let lock = wakeline_runtime::sync::RwLock::new(5);
    /// assert_eq!(*lock.try_read()?, 5);
    /// # Ok::<(), wakeline_runtime::sync::TryLockError>(())
    /// ```
    #[inline]
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, TryLockError> {
        Shared::try_acquire(self).map(RwLockReadGuard::of)
    }

    /// Takes the value alone if nobody reads, writes or waits.
    ///
    /// # Errors
    /// [`TryLockError`] when somebody does.
    ///
    /// # Examples
    /// ```
    /// let lock = wakeline_runtime::sync::RwLock::new(5);
    /// *lock.try_write()? = 6;
    /// assert_eq!(lock.into_inner(), 6);
    /// # Ok::<(), wakeline_runtime::sync::TryLockError>(())
    /// ```
    #[inline]
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, TryLockError> {
        Exclusive::try_acquire(self).map(RwLockWriteGuard::of)
    }

    /// As [`try_read`](RwLock::try_read), with a guard that owns a reference to the lock.
    ///
    /// # Errors
    /// As [`try_read`](RwLock::try_read).
    ///
    /// # Examples
    /// ```
    /// let lock = std::sync::Arc::new(wakeline_runtime::sync::RwLock::new(5));
    /// assert_eq!(*lock.try_read_owned()?, 5);
    /// # Ok::<(), wakeline_runtime::sync::TryLockError>(())
    /// ```
    #[inline]
    pub fn try_read_owned(self: Arc<Self>) -> Result<OwnedRwLockReadGuard<T>, TryLockError> {
        Shared::try_acquire(self).map(OwnedRwLockReadGuard::of)
    }

    /// As [`try_write`](RwLock::try_write), with a guard that owns a reference to the lock.
    ///
    /// # Errors
    /// As [`try_write`](RwLock::try_write).
    ///
    /// # Examples
    /// ```
    /// let lock = std::sync::Arc::new(wakeline_runtime::sync::RwLock::new(5));
    /// *lock.clone().try_write_owned()? = 6;
    /// assert_eq!(*lock.try_read()?, 6);
    /// # Ok::<(), wakeline_runtime::sync::TryLockError>(())
    /// ```
    #[inline]
    pub fn try_write_owned(self: Arc<Self>) -> Result<OwnedRwLockWriteGuard<T>, TryLockError> {
        Exclusive::try_acquire(self).map(OwnedRwLockWriteGuard::of)
    }

    /// As [`read`](RwLock::read) for threads: the calling one sleeps meanwhile, in the same queue as tasks.
    ///
    /// # Panics
    /// On a thread that drives tasks, which would sleep with it. Use [`read`](RwLock::read) there.
    ///
    /// # Examples
    /// ```
    /// let lock = wakeline_runtime::sync::RwLock::new(5);
    /// assert_eq!(*lock.blocking_read(), 5);
    /// ```
    #[track_caller]
    pub fn blocking_read(&self) -> RwLockReadGuard<'_, T> {
        blocking::wait_for("RwLock::blocking_read", "read().await", self.read())
    }

    /// As [`write`](RwLock::write) for threads: the calling one sleeps meanwhile, in the same queue as tasks.
    ///
    /// # Panics
    /// On a thread that drives tasks, which would sleep with it. Use [`write`](RwLock::write) there.
    ///
    /// # Examples
    /// ```
    /// let lock = wakeline_runtime::sync::RwLock::new(5);
    /// *lock.blocking_write() += 1;
    /// assert_eq!(lock.into_inner(), 6);
    /// ```
    #[track_caller]
    pub fn blocking_write(&self) -> RwLockWriteGuard<'_, T> {
        blocking::wait_for("RwLock::blocking_write", "write().await", self.write())
    }

    /// The value, without locking: who has the lock to itself needs none.
    ///
    /// # Examples
    /// ```
    /// let mut lock = wakeline_runtime::sync::RwLock::new(5);
    /// *lock.get_mut() = 6;
    /// assert_eq!(lock.into_inner(), 6);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

#[track_caller]
const fn assert_in_range(max_reads: u32) {
    assert!(max_reads != 0, "a RwLock may not be created with 0 readers");
    assert!(max_reads <= READERS_MAX, "a RwLock may not be created with more than u32::MAX >> 3 readers");
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        RwLock::new(value)
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        RwLock::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(value) => shown.field("data", &&*value),
            Err(_) => shown.field("data", &format_args!("<locked>")),
        };
        shown.finish()
    }
}
