//! The primitives that everything concurrent here is built from: the standard library's, or loom's under `--cfg loom`.
//!
//! The one file that knows which of the two is in use. Locks are `parking_lot`'s: a panic while one is held does not poison
//! it, because a panicking task must stay in that task's `JoinHandle`, and an uncontended one costs two instructions with a
//! `lock` prefix and nothing else.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(loom)]
use loom::sync::{Mutex as RawLock, RwLock as RawRwLock};
#[cfg(loom)]
pub(crate) use loom::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};
#[cfg(not(loom))]
use parking_lot::{Mutex as RawLock, RwLock as RawRwLock};
#[cfg(not(loom))]
pub(crate) use parking_lot::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::PoisonError;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use std::time::Duration;

/// A mutual exclusion that does not know poison.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(RawLock<T>);

// What a panic left behind is as good as before: no user code runs in the middle of a change.
impl<T> UnwindSafe for Mutex<T> {}
impl<T> RefUnwindSafe for Mutex<T> {}

impl<T> Mutex<T> {
    #[cfg(not(loom))]
    pub(crate) const fn new(value: T) -> Self {
        Mutex(RawLock::new(value))
    }

    #[cfg(loom)]
    pub(crate) fn new(value: T) -> Self {
        Mutex(RawLock::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        #[cfg(loom)]
        return self.0.lock().unwrap_or_else(PoisonError::into_inner);
        #[cfg(not(loom))]
        return self.0.lock();
    }

    /// The guard, or `None` when another thread holds the lock now.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        #[cfg(loom)]
        return self.0.try_lock().ok();
        #[cfg(not(loom))]
        return self.0.try_lock();
    }

    /// What is in it: who has it alone needs no lock.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> &mut T {
        #[cfg(loom)]
        return self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        #[cfg(not(loom))]
        return self.0.get_mut();
    }
}

/// A lock for many readers or one writer, that does not know poison either.
#[derive(Debug)]
pub(crate) struct RwLock<T>(RawRwLock<T>);

// As for `Mutex`; the value that a user's closure changes is the user's.
impl<T> UnwindSafe for RwLock<T> {}
impl<T> RefUnwindSafe for RwLock<T> {}

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> Self {
        RwLock(RawRwLock::new(value))
    }

    #[inline]
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        #[cfg(loom)]
        return self.0.read().unwrap_or_else(PoisonError::into_inner);
        #[cfg(not(loom))]
        return self.0.read();
    }

    #[inline]
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        #[cfg(loom)]
        return self.0.write().unwrap_or_else(PoisonError::into_inner);
        #[cfg(not(loom))]
        return self.0.write();
    }
}

/// A cell whose every access is a closure, so that loom can see two of them overlap.
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(RawUnsafeCell<T>);

#[cfg(loom)]
use loom::cell::UnsafeCell as RawUnsafeCell;
#[cfg(not(loom))]
use std::cell::UnsafeCell as RawUnsafeCell;

impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> Self {
        UnsafeCell(RawUnsafeCell::new(value))
    }

    /// Runs `f` with a pointer that is good for reading, if nobody writes meanwhile.
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        #[cfg(loom)]
        return self.0.with(f);
        #[cfg(not(loom))]
        return f(self.0.get());
    }

    /// Runs `f` with a pointer that is good for writing, if nobody else has one meanwhile.
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        #[cfg(loom)]
        return self.0.with_mut(f);
        #[cfg(not(loom))]
        return f(self.0.get());
    }
}

/// A thread's bell: a condition variable and its lock, the system's own (a thread that parks gains nothing from a table).
#[derive(Debug)]
pub(crate) struct Bell {
    lock: RawMutex<()>,
    condvar: RawCondvar,
}

/// Held between looking at a condition and [`Bell::wait`].
pub(crate) type BellGuard<'a> = RawMutexGuard<'a, ()>;

#[cfg(loom)]
use loom::sync::{Condvar as RawCondvar, Mutex as RawMutex, MutexGuard as RawMutexGuard};
#[cfg(not(loom))]
use std::sync::{Condvar as RawCondvar, Mutex as RawMutex, MutexGuard as RawMutexGuard};

impl Bell {
    pub(crate) fn new() -> Self {
        Bell { lock: RawMutex::new(()), condvar: RawCondvar::new() }
    }

    pub(crate) fn lock(&self) -> BellGuard<'_> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ring(&self) {
        self.condvar.notify_one();
    }

    /// Waits for [`ring`](Bell::ring), at most `timeout`; may return early, as any condition variable may.
    pub(crate) fn wait<'a>(&self, guard: BellGuard<'a>, timeout: Option<Duration>) -> BellGuard<'a> {
        match timeout {
            None => self.condvar.wait(guard).unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => self.condvar.wait_timeout(guard, timeout).unwrap_or_else(PoisonError::into_inner).0,
        }
    }
}
