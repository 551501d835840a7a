//! [`Mutex`].

use crate::sync::blocking;
use crate::sync::locked::{Alone, Exclusive, Lock, Locked};
use crate::sync::mutex::error::TryLockError;
use crate::sync::mutex::guard::MutexGuard;
use crate::sync::mutex::owned::OwnedMutexGuard;
use crate::trace::{Place, Resource, ResourceKind};
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// A mutual exclusion lock whose guard may be held across an `.await`, and which tasks wait for without blocking a thread.
///
/// Fair: the lock goes to whoever asked first, handed over by the one that unlocks, so nobody can overtake and nobody
/// starves. There is no poisoning: a panic while the lock is held unlocks it. It is usable under any executor.
///
/// Where the guard is *not* held across an `.await`, [`std::sync::Mutex`] is faster and just as good.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use wakeline_runtime::sync::Mutex;
///
/// # futures_lite::future::block_on(async {
/// let count = Arc::new(Mutex::new(0));
/// let other = count.clone();
/// let add = async move {
///     let mut count = other.lock().await;
///     *count += 1;
/// };
/// add.await;
/// assert_eq!(*count.lock().await, 1);
/// # });
/// ```
pub struct Mutex<T: ?Sized>(Locked<T, Alone>);

// SAFETY: it is always the one field.
unsafe impl<T: ?Sized> Lock for Mutex<T> {
    type Value = T;
    type Access = Alone;

    #[inline]
    fn locked(&self) -> &Locked<T, Alone> {
        &self.0
    }
}

impl<T> Mutex<T> {
    /// A mutex around `value`, unlocked.
    ///
    /// # Examples
    /// ```
    /// let lock = wakeline_runtime::sync::Mutex::new(5);
    /// ```
    #[track_caller]
    pub fn new(value: T) -> Mutex<T> {
        let resource = Resource::new("Mutex", ResourceKind::Sync, Place::here());
        resource.locked(false);
        Mutex(Locked::<T, Alone>::new(value).told_of(resource))
    }

    /// As [`new`](Mutex::new), for statics.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::Mutex;
    ///
    /// static LOCK: Mutex<i32> = Mutex::const_new(5);
    /// assert!(LOCK.try_lock().is_ok());
    /// ```
    #[cfg(not(loom))]
    pub const fn const_new(value: T) -> Mutex<T> {
        Mutex(Locked::<T, Alone>::new(value))
    }

    /// The value, with the lock gone.
    ///
    /// # Examples
    /// ```
    /// let lock = wakeline_runtime::sync::Mutex::new(5);
    /// assert_eq!(lock.into_inner(), 5);
    /// ```
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until the lock is free and takes it.
    ///
    /// # Cancel safety
    /// Dropped while it waits, it loses its place in the queue; dropped after the lock was handed to it, it hands it on.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::Mutex;
    ///
    /// # futures_lite::future::block_on(async {
    /// let lock = Mutex::new(1);
    /// let mut number = lock.lock().await;
    /// *number = 2;
    /// # drop(number);
    /// # assert_eq!(lock.into_inner(), 2);
    /// # });
    /// ```
    #[inline]
    pub fn lock(&self) -> impl Future<Output = MutexGuard<'_, T>> {
        Exclusive::acquire(self, "Mutex::lock", MutexGuard::of)
    }

    /// As [`lock`](Mutex::lock), with a guard that owns a reference to the mutex and so has no lifetime.
    ///
    /// # Cancel safety
    /// As [`lock`](Mutex::lock).
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use wakeline_runtime::sync::Mutex;
    ///
    /// # futures_lite::future::block_on(async {
    /// let lock = Arc::new(Mutex::new(1));
    /// let guard = lock.clone().lock_owned().await;
    /// std::thread::spawn(move || drop(guard)).join().expect("the thread only unlocks");
    /// assert!(lock.try_lock().is_ok());
    /// # });
    /// ```
    #[inline]
    pub fn lock_owned(self: Arc<Self>) -> impl Future<Output = OwnedMutexGuard<T>> {
        Exclusive::acquire(self, "Mutex::lock_owned", OwnedMutexGuard::of)
    }

    /// Takes the lock if it is free and nobody waits for it.
    ///
    /// # Errors
    /// [`TryLockError`] when somebody has it, or waits for it.
    ///
    /// # Examples
    /// ```
    /// let lock = wakeline_runtime::sync::Mutex::new(1);
    /// let guard = lock.try_lock()?;
    /// assert!(lock.try_lock().is_err());
    /// # Ok::<(), wakeline_runtime::sync::TryLockError>(())
    /// ```
    #[inline]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError> {
        Exclusive::try_acquire(self).map(MutexGuard::of)
    }

    /// As [`try_lock`](Mutex::try_lock), with a guard that owns a reference to the mutex.
    ///
    /// # Errors
    /// [`TryLockError`] when somebody has it, or waits for it.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use wakeline_runtime::sync::Mutex;
    ///
    /// let lock = Arc::new(Mutex::new(1));
    /// let guard = lock.clone().try_lock_owned()?;
    /// assert_eq!(*guard, 1);
    /// # Ok::<(), wakeline_runtime::sync::TryLockError>(())
    /// ```
    #[inline]
    pub fn try_lock_owned(self: Arc<Self>) -> Result<OwnedMutexGuard<T>, TryLockError> {
        Exclusive::try_acquire(self).map(OwnedMutexGuard::of)
    }

    /// As [`lock`](Mutex::lock) for threads: the calling one sleeps meanwhile, in the same queue as tasks.
    ///
    /// # Panics
    /// On a thread that drives tasks, which would sleep with it. Use [`lock`](Mutex::lock) there.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::Mutex;
    ///
    /// static LOCK: Mutex<i32> = Mutex::const_new(1);
    /// std::thread::spawn(|| *LOCK.blocking_lock() += 1).join().expect("adding one does not overflow");
    /// assert_eq!(*LOCK.blocking_lock(), 2);
    /// ```
    #[track_caller]
    pub fn blocking_lock(&self) -> MutexGuard<'_, T> {
        blocking::wait_for("Mutex::blocking_lock", "lock().await", self.lock())
    }

    /// As [`blocking_lock`](Mutex::blocking_lock), with a guard that owns a reference to the mutex.
    ///
    /// # Panics
    /// On a thread that drives tasks, which would sleep with it. Use [`lock_owned`](Mutex::lock_owned) there.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use wakeline_runtime::sync::Mutex;
    ///
    /// let lock = Arc::new(Mutex::new(1));
    /// *lock.clone().blocking_lock_owned() += 1;
    /// assert_eq!(*lock.blocking_lock(), 2);
    /// ```
    #[track_caller]
    pub fn blocking_lock_owned(self: Arc<Self>) -> OwnedMutexGuard<T> {
        blocking::wait_for("Mutex::blocking_lock_owned", "lock_owned().await", self.lock_owned())
    }

    /// The value, without locking: who has the mutex to itself needs no lock.
    ///
    /// # Examples
    /// ```
    /// let mut lock = wakeline_runtime::sync::Mutex::new(1);
    /// *lock.get_mut() = 2;
    /// assert_eq!(lock.into_inner(), 2);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Mutex::new(value)
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(value) => shown.field("data", &&*value),
            Err(_) => shown.field("data", &format_args!("<locked>")),
        };
        shown.finish()
    }
}
