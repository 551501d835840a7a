//! A value that is written once and read from then on.
//!
//! # State
//! ```text
//!            set: 1 CAS              set: 2 store
//!   EMPTY ---------------> WRITING ---------------> SET
//! ```
//! 1 lets one writer through, ever. 2 is a Release that pairs with the Acquire of `get`: who sees `SET` sees the value.

use crate::atomic::{AtomicU32, Ordering};
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

/// The value, or its place.
pub(crate) struct OnceValue<T> {
    state: AtomicU32,
    value: UnsafeCell<MaybeUninit<T>>,
}

const EMPTY: u32 = 0;
const WRITING: u32 = 1;
const SET: u32 = 2;

// SAFETY: it owns the value, and sending it sends that.
unsafe impl<T: Send> Send for OnceValue<T> {}

// SAFETY: through a shared reference one thread puts the value in and another may drop it (`Send`), and all may read it at
// the same time (`Sync`). Writing it is left to the one that step 1 lets through, and over before anybody reads.
unsafe impl<T: Send + Sync> Sync for OnceValue<T> {}

impl<T> OnceValue<T> {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> OnceValue<T> {
        OnceValue { state: AtomicU32::new(EMPTY), value: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    #[cfg(not(loom))]
    pub(crate) const fn with(value: T) -> OnceValue<T> {
        OnceValue { state: AtomicU32::new(SET), value: UnsafeCell::new(MaybeUninit::new(value)) }
    }

    #[cfg(loom)]
    pub(crate) fn new() -> OnceValue<T> {
        OnceValue { state: AtomicU32::new(EMPTY), value: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    #[cfg(loom)]
    pub(crate) fn with(value: T) -> OnceValue<T> {
        OnceValue { state: AtomicU32::new(SET), value: UnsafeCell::new(MaybeUninit::new(value)) }
    }

    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.state.load(Ordering::Acquire) == SET
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        if !self.is_set() {
            return None;
        }
        // SAFETY: the state is SET, so the one write is over, and happened before; nobody writes again through a shared
        // reference.
        let value: &MaybeUninit<T> = unsafe { &*self.value.get() };
        // SAFETY: the write has initialised it.
        Some(unsafe { value.assume_init_ref() })
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        if !self.is_set() {
            return None;
        }
        // SAFETY: the state is SET, so the write has initialised it.
        Some(unsafe { self.value.get_mut().assume_init_mut() })
    }

    /// Puts `value` in, and returns where it is now; or `value` again when somebody else has, or is about to.
    pub(crate) fn set(&self, value: T) -> Result<&T, T> {
        if self.state.compare_exchange(EMPTY, WRITING, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return Err(value);
        }
        // SAFETY: step 1 lets one caller through, and nobody reads before step 2: this is the only reference.
        let place: &mut MaybeUninit<T> = unsafe { &mut *self.value.get() };
        place.write(value);
        self.state.store(SET, Ordering::Release);
        Ok(self.get().expect("it was set a moment ago"))
    }

    /// Takes the value out and leaves the place empty.
    pub(crate) fn take(&mut self) -> Option<T> {
        if !self.is_set() {
            return None;
        }
        self.state.store(EMPTY, Ordering::Relaxed);
        let value = std::mem::replace(self.value.get_mut(), MaybeUninit::uninit());
        // SAFETY: the state was SET, so the write has initialised it; it is EMPTY now, so nobody takes it for initialised.
        Some(unsafe { value.assume_init() })
    }
}

impl<T> Drop for OnceValue<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}
