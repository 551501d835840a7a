//! A value that can be reached only with permits: all of them to change it, one to read it. What `Mutex` and `RwLock` are.
//!
//! A mutex is such a value with one permit, a reader-writer lock one with as many as it has readers. A guard is three
//! things: the *keeper*, through which the permits go back and the value stays alive (a reference, or an `Arc`); the address
//! of the value, or of a part of it; and the promise of how many permits it holds. So there are two guards, [`Exclusive`]
//! and [`Shared`], over two kinds of keepers, and every public guard is one of these under a name.
//!
//! # Safety
//! All that is unsafe in the locks is in this file, but for the two implementations of [`Lock`].
//! - *The value is not moved and not freed while a guard lives*: the keeper borrows the lock or owns a reference to it.
//! - *Nobody writes while another one reads*: an [`Exclusive`] exists only while its maker has all permits, and a [`Shared`]
//!   only while its maker has one of them. [`Permits`] never gives more than there are, and each guard gives its own back
//!   exactly once, when it drops. The permits' Acquire and Release order one holder's accesses before the next one's.
//! - *What crosses threads*: see the `unsafe impl`s.

use crate::sync::mutex::error::TryLockError;
use crate::sync::permits::{Acquire, Permits, Source};
use crate::trace::Resource;
use std::cell::UnsafeCell;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// How many permits there are, and what observers are told when a guard takes some or is about to give them back.
pub(crate) trait Access {
    fn all(&self) -> u32;

    fn told_exclusive(resource: &Resource, taken: bool);
}

/// One: whoever comes in is alone.
#[derive(Debug)]
pub(crate) struct Alone;

impl Access for Alone {
    #[inline]
    fn all(&self) -> u32 {
        1
    }

    #[inline]
    fn told_exclusive(resource: &Resource, taken: bool) {
        resource.locked(taken);
    }
}

/// As many as there may be readers.
#[derive(Debug)]
pub(crate) struct Readers(u32);

impl Access for Readers {
    #[inline]
    fn all(&self) -> u32 {
        self.0
    }

    #[inline]
    fn told_exclusive(resource: &Resource, taken: bool) {
        resource.write_locked(taken);
    }
}

/// A lock without its value.
#[derive(Debug)]
pub(crate) struct Gate<A> {
    permits: Permits,
    access: A,
}

/// A value behind permits.
#[derive(Debug)]
pub(crate) struct Locked<T: ?Sized, A> {
    gate: Gate<A>,
    value: UnsafeCell<T>,
}

// SAFETY: the lock owns the value, and sending it sends that.
unsafe impl<T: ?Sized + Send, A: Send> Send for Locked<T, A> {}

// SAFETY: threads that share it take turns with the value, as if it was sent from one to the next. They never have it at
// the same time: with one permit, `Shared` is as alone as `Exclusive`.
unsafe impl<T: ?Sized + Send> Sync for Locked<T, Alone> {}

// SAFETY: as with `Alone`; and those who share the lock may read the value at the same time, for which it must be `Sync`.
unsafe impl<T: ?Sized + Send + Sync> Sync for Locked<T, Readers> {}

impl<T> Locked<T, Alone> {
    #[cfg(not(loom))]
    pub(crate) const fn new(value: T) -> Self {
        Locked { gate: Gate { permits: Permits::new(1), access: Alone }, value: UnsafeCell::new(value) }
    }

    #[cfg(loom)]
    pub(crate) fn new(value: T) -> Self {
        Locked { gate: Gate { permits: Permits::new(1), access: Alone }, value: UnsafeCell::new(value) }
    }
}

impl<T> Locked<T, Readers> {
    #[cfg(not(loom))]
    pub(crate) const fn new(value: T, readers_max: u32) -> Self {
        let permits = Permits::new(readers_max as usize);
        Locked { gate: Gate { permits, access: Readers(readers_max) }, value: UnsafeCell::new(value) }
    }

    #[cfg(loom)]
    pub(crate) fn new(value: T, readers_max: u32) -> Self {
        let permits = Permits::new(readers_max as usize);
        Locked { gate: Gate { permits, access: Readers(readers_max) }, value: UnsafeCell::new(value) }
    }
}

impl<T, A> Locked<T, A> {
    /// The same, of which observers are told.
    #[inline]
    pub(crate) fn told_of(mut self, resource: Resource) -> Self {
        self.gate.permits = self.gate.permits.told_of(resource);
        self
    }
}

impl<T: ?Sized, A> Locked<T, A> {
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    pub(crate) fn into_inner(self) -> T
    where
        T: Sized,
    {
        self.value.into_inner()
    }

    fn address(&self) -> NonNull<T> {
        NonNull::new(self.value.get()).expect("a cell has an address")
    }
}

/// A public lock: what has a [`Locked`] in it.
///
/// # Safety
/// `locked` returns the same field of `self` each time.
pub(crate) unsafe trait Lock {
    type Value: ?Sized;
    type Access: Access;
    fn locked(&self) -> &Locked<Self::Value, Self::Access>;
}

/// What a guard holds on to.
///
/// # Safety
/// The gate is the same each time, and lives at least as long as the keeper, wherever that moves. A keeper that derefs to a
/// [`Lock`] derefs to the one with that gate, which stays where it is as long as the keeper lives.
pub(crate) unsafe trait Keeper {
    type Access: Access;
    fn gate(&self) -> &Gate<Self::Access>;
}

// SAFETY: the lock is borrowed for as long as the reference lives, and `Lock` promises that it is always the same.
unsafe impl<L: Lock + ?Sized> Keeper for &L {
    type Access = L::Access;

    #[inline]
    fn gate(&self) -> &Gate<L::Access> {
        &self.locked().gate
    }
}

// SAFETY: the `Arc` keeps the lock alive and in its place, and `Lock` promises that it is always the same.
unsafe impl<L: Lock + ?Sized> Keeper for Arc<L> {
    type Access = L::Access;

    #[inline]
    fn gate(&self) -> &Gate<L::Access> {
        &self.locked().gate
    }
}

impl<K: Keeper> Source for K {
    #[inline]
    fn permits(&self) -> &Permits {
        &self.gate().permits
    }
}

/// What is left of a borrowed lock when the type of its value was forgotten.
#[derive(Debug)]
pub(crate) struct Borrowed<'a, A>(&'a Gate<A>);

// SAFETY: the gate is borrowed for as long as the keeper lives.
unsafe impl<A: Access> Keeper for Borrowed<'_, A> {
    type Access = A;

    #[inline]
    fn gate(&self) -> &Gate<A> {
        self.0
    }
}

/// The one who may touch the value, or the part of it at `value`.
#[clippy::has_significant_drop]
pub(crate) struct Exclusive<K: Keeper, U: ?Sized> {
    keeper: K,
    value: NonNull<U>,
    /// It lends `&mut U`, so it must not be taken for a guard of a subtype.
    _invariant: PhantomData<*mut U>,
}

/// One of those who may read the value, or the part of it at `value`.
#[clippy::has_significant_drop]
pub(crate) struct Shared<K: Keeper, U: ?Sized> {
    keeper: K,
    value: NonNull<U>,
}

// SAFETY: it can be used from another thread to reach the value (`U: Send`), and to give the permits back through the keeper
// (`K: Send`). An `Arc` as a keeper is `Send` only if the value may be dropped there, too.
unsafe impl<K: Keeper + Send, U: ?Sized + Send> Send for Exclusive<K, U> {}

// SAFETY: a shared guard lends `&U` and `&K` only.
unsafe impl<K: Keeper + Sync, U: ?Sized + Sync> Sync for Exclusive<K, U> {}

// SAFETY: it lends `&U` to another thread while other guards lend it here, hence `U: Sync`; the keeper as above.
unsafe impl<K: Keeper + Send, U: ?Sized + Sync> Send for Shared<K, U> {}

// SAFETY: a shared guard lends `&U` and `&K` only.
unsafe impl<K: Keeper + Sync, U: ?Sized + Sync> Sync for Shared<K, U> {}

impl<K, L> Exclusive<K, L::Value>
where
    K: Keeper<Access = L::Access> + Deref<Target = L>,
    L: Lock + ?Sized,
{
    /// Waits until nobody else has the value, and makes a public guard.
    #[inline]
    pub(crate) fn acquire<R>(keeper: K, name: &'static str, make: impl Fn(Self) -> R) -> impl Future<Output = R> {
        let all = keeper.gate().access.all();
        Acquire::all(keeper, all, name, move |keeper| make(Exclusive::of(keeper.expect(NEVER_CLOSED))))
    }

    #[inline]
    pub(crate) fn try_acquire(keeper: K) -> Result<Self, TryLockError> {
        let gate = keeper.gate();
        if gate.permits.try_take_all(gate.access.all() as usize) {
            Ok(Exclusive::of(keeper))
        } else {
            Err(TryLockError::new())
        }
    }

    /// The guard of a caller that has taken all permits.
    #[inline]
    fn of(keeper: K) -> Self {
        K::Access::told_exclusive(keeper.gate().permits.resource(), true);
        let value = keeper.locked().address();
        Exclusive { keeper, value, _invariant: PhantomData }
    }
}

impl<K, L> Shared<K, L::Value>
where
    K: Keeper<Access = Readers> + Deref<Target = L>,
    L: Lock<Access = Readers> + ?Sized,
{
    /// Waits until nobody who came before writes, or waits to write, and makes a public guard.
    #[inline]
    pub(crate) fn acquire<R>(keeper: K, name: &'static str, make: impl Fn(Self) -> R) -> impl Future<Output = R> {
        Acquire::some(keeper, 1, name, move |keeper| make(Shared::of(keeper.expect(NEVER_CLOSED))))
    }

    #[inline]
    pub(crate) fn try_acquire(keeper: K) -> Result<Self, TryLockError> {
        match keeper.gate().permits.try_take(1) {
            Ok(()) => Ok(Shared::of(keeper)),
            Err(_) => Err(TryLockError::new()),
        }
    }

    /// The guard of a caller that has taken one permit.
    #[inline]
    fn of(keeper: K) -> Self {
        keeper.gate().permits.resource().current_readers(1, "add");
        let value = keeper.locked().address();
        Shared { keeper, value }
    }
}

impl<K: Keeper, U: ?Sized> Exclusive<K, U> {
    #[inline]
    pub(crate) fn keeper(&self) -> &K {
        &self.keeper
    }

    /// The guard of the part of the value that `part` picks; or `self` again when it picks none.
    #[inline]
    pub(crate) fn try_map<V: ?Sized>(
        mut self,
        part: impl FnOnce(&mut U) -> Option<&mut V>,
    ) -> Result<Exclusive<K, V>, Self> {
        match part(&mut self).map(NonNull::from) {
            Some(value) => Ok(Exclusive { keeper: self.into_keeper(), value, _invariant: PhantomData }),
            None => Err(self),
        }
    }

    #[inline]
    pub(crate) fn map<V: ?Sized>(mut self, part: impl FnOnce(&mut U) -> &mut V) -> Exclusive<K, V> {
        let value = NonNull::from(part(&mut self));
        Exclusive { keeper: self.into_keeper(), value, _invariant: PhantomData }
    }

    /// Lets readers in, and becomes one of them.
    #[inline]
    pub(crate) fn downgrade(self) -> Shared<K, U> {
        let value = self.value;
        self.downgrade_to(value)
    }

    /// As `downgrade`, to a reader of the part that `part` picks.
    #[inline]
    pub(crate) fn downgrade_map<V: ?Sized>(self, part: impl FnOnce(&U) -> &V) -> Shared<K, V> {
        let value = NonNull::from(part(&self));
        self.downgrade_to(value)
    }

    /// As `downgrade_map`; or `self` again when `part` picks none.
    #[inline]
    pub(crate) fn try_downgrade_map<V: ?Sized>(
        self,
        part: impl FnOnce(&U) -> Option<&V>,
    ) -> Result<Shared<K, V>, Self> {
        match part(&self).map(NonNull::from) {
            Some(value) => Ok(self.downgrade_to(value)),
            None => Err(self),
        }
    }

    /// `value` is the value that this guard has, or a part of it.
    #[inline]
    fn downgrade_to<V: ?Sized>(self, value: NonNull<V>) -> Shared<K, V> {
        let shared = Shared { keeper: self.into_keeper(), value };
        let gate = shared.keeper.gate();
        K::Access::told_exclusive(gate.permits.resource(), false);
        gate.permits.resource().current_readers(1, "add");
        gate.permits.give(gate.access.all() as usize - 1);
        shared
    }

    /// Ends the guard without giving the permits back: they are the caller's now.
    #[inline]
    fn into_keeper(self) -> K {
        let guard = ManuallyDrop::new(self);
        // SAFETY: the field is valid to read, and nobody uses or drops it afterwards: `guard` is never touched again.
        unsafe { ptr::read(&guard.keeper) }
    }
}

impl<'a, L: Lock + ?Sized, U: ?Sized> Exclusive<&'a L, U> {
    /// Forgets of which type the whole value is.
    #[inline]
    pub(crate) fn forget_lock(self) -> Exclusive<Borrowed<'a, L::Access>, U> {
        let value = self.value;
        let keeper = Borrowed(&self.into_keeper().locked().gate);
        Exclusive { keeper, value, _invariant: PhantomData }
    }
}

impl<K: Keeper, U: ?Sized> Shared<K, U> {
    #[inline]
    pub(crate) fn keeper(&self) -> &K {
        &self.keeper
    }

    /// The guard of the part of the value that `part` picks; or `self` again when it picks none.
    #[inline]
    pub(crate) fn try_map<V: ?Sized>(self, part: impl FnOnce(&U) -> Option<&V>) -> Result<Shared<K, V>, Self> {
        match part(&self).map(NonNull::from) {
            Some(value) => Ok(Shared { keeper: self.into_keeper(), value }),
            None => Err(self),
        }
    }

    #[inline]
    pub(crate) fn map<V: ?Sized>(self, part: impl FnOnce(&U) -> &V) -> Shared<K, V> {
        let value = NonNull::from(part(&self));
        Shared { keeper: self.into_keeper(), value }
    }

    /// Ends the guard without giving the permit back: it is the caller's now.
    #[inline]
    fn into_keeper(self) -> K {
        let guard = ManuallyDrop::new(self);
        // SAFETY: the field is valid to read, and nobody uses or drops it afterwards: `guard` is never touched again.
        unsafe { ptr::read(&guard.keeper) }
    }
}

impl<'a, L: Lock + ?Sized, U: ?Sized> Shared<&'a L, U> {
    /// Forgets of which type the whole value is.
    #[inline]
    pub(crate) fn forget_lock(self) -> Shared<Borrowed<'a, L::Access>, U> {
        let value = self.value;
        Shared { keeper: Borrowed(&self.into_keeper().locked().gate), value }
    }
}

impl<K: Keeper, U: ?Sized> Drop for Exclusive<K, U> {
    #[inline]
    fn drop(&mut self) {
        let gate = self.keeper.gate();
        // Before the next one takes them, whose news comes after it.
        K::Access::told_exclusive(gate.permits.resource(), false);
        gate.permits.give_all(gate.access.all() as usize);
    }
}

impl<K: Keeper, U: ?Sized> Drop for Shared<K, U> {
    #[inline]
    fn drop(&mut self) {
        let permits = &self.keeper.gate().permits;
        permits.resource().current_readers(1, "sub");
        permits.give(1);
    }
}

impl<K: Keeper, U: ?Sized> Deref for Exclusive<K, U> {
    type Target = U;

    #[inline]
    fn deref(&self) -> &U {
        // SAFETY: the keeper keeps the value alive, and this guard has all permits: nobody else has a reference to it.
        unsafe { self.value.as_ref() }
    }
}

impl<K: Keeper, U: ?Sized> DerefMut for Exclusive<K, U> {
    #[inline]
    fn deref_mut(&mut self) -> &mut U {
        // SAFETY: as for `deref`, and `&mut self` makes it the only reference that this guard has lent.
        unsafe { self.value.as_mut() }
    }
}

impl<K: Keeper, U: ?Sized> Deref for Shared<K, U> {
    type Target = U;

    #[inline]
    fn deref(&self) -> &U {
        // SAFETY: the keeper keeps the value alive, and this guard has a permit: nobody has all of them, so nobody writes.
        unsafe { self.value.as_ref() }
    }
}

const NEVER_CLOSED: &str = "a lock's permits are never closed";

/// The traits of a public guard, which are those of the value that it guards.
macro_rules! forward_to_value {
    ($guard:ident<$($lifetime:lifetime,)? $($type:ident),+> to $value:ident, read) => {
        impl<$($lifetime,)? $($type: ?Sized),+> std::ops::Deref for $guard<$($lifetime,)? $($type),+> {
            type Target = $value;

            #[inline]
            fn deref(&self) -> &$value {
                &self.0
            }
        }

        impl<$($lifetime,)? $($type: ?Sized),+> std::fmt::Debug for $guard<$($lifetime,)? $($type),+>
        where
            $value: std::fmt::Debug,
        {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&**self, f)
            }
        }

        impl<$($lifetime,)? $($type: ?Sized),+> std::fmt::Display for $guard<$($lifetime,)? $($type),+>
        where
            $value: std::fmt::Display,
        {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&**self, f)
            }
        }
    };
    ($guard:ident<$($lifetime:lifetime,)? $($type:ident),+> to $value:ident, write) => {
        forward_to_value!($guard<$($lifetime,)? $($type),+> to $value, read);

        impl<$($lifetime,)? $($type: ?Sized),+> std::ops::DerefMut for $guard<$($lifetime,)? $($type),+> {
            #[inline]
            fn deref_mut(&mut self) -> &mut $value {
                &mut self.0
            }
        }
    };
}
pub(crate) use forward_to_value;

#[cfg(all(test, not(loom)))]
mod tests;
