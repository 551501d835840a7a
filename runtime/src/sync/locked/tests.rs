//! What may cross threads, compiled; the rest is tested through the locks.

use crate::sync::{
    MappedMutexGuard, Mutex, MutexGuard, OnceCell, OwnedMappedMutexGuard, OwnedMutexGuard, OwnedRwLockMappedWriteGuard,
    OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, RwLockMappedWriteGuard, RwLockReadGuard, RwLockWriteGuard,
    SetOnce,
};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::MutexGuard as StdGuard;

/// Compiles only if the type has the trait.
macro_rules! is {
    ($trait:ident: $($type:ty),+ $(,)?) => { $({ fn check<T: $trait>() {} check::<$type>(); })+ };
}

/// Compiles only if the type lacks the trait: otherwise it is not clear which `check` is meant.
macro_rules! is_not {
    ($trait:ident: $($type:ty),+ $(,)?) => { $({
        trait Ambiguous<A> { fn check() {} }
        impl<T: ?Sized> Ambiguous<()> for T {}
        struct Has;
        impl<T: ?Sized + $trait> Ambiguous<Has> for T {}
        <$type as Ambiguous<_>>::check();
    })+ };
}

/// `Send` but not `Sync`.
type Local = Cell<u8>;
/// `Sync` but not `Send`.
type Fixed = StdGuard<'static, u8>;
/// Neither.
type Bound = Rc<u8>;
/// Both.
type Free = u8;

#[test]
fn the_locks_cross_threads_as_what_is_in_them_allows() {
    is!(Send: Mutex<Free>, Mutex<Local>, RwLock<Free>, RwLock<Local>, OnceCell<Local>, SetOnce<Local>);
    is!(Sync: Mutex<Free>, Mutex<Local>, RwLock<Free>, OnceCell<Free>, SetOnce<Free>);
    is_not!(Send: Mutex<Fixed>, Mutex<Bound>, RwLock<Fixed>, OnceCell<Fixed>, SetOnce<Bound>);
    is_not!(Sync: Mutex<Fixed>, RwLock<Local>, RwLock<Fixed>, OnceCell<Local>, OnceCell<Fixed>, SetOnce<Local>, SetOnce<Fixed>);
    is!(Unpin: Mutex<Free>, RwLock<Free>, MutexGuard<'_, Free>, OwnedMutexGuard<Free>, RwLockReadGuard<'_, Free>);
}

/// A guard that has the value alone sends it as the value itself would be sent.
#[test]
fn exclusive_guards_cross_threads_as_the_value_does() {
    is!(Send: MutexGuard<'_, Local>, MappedMutexGuard<'_, Local>, OwnedMutexGuard<Local>);
    is!(Send: OwnedMappedMutexGuard<Local, Local>, RwLockWriteGuard<'_, Free>, RwLockMappedWriteGuard<'_, Free>);
    is!(Send: OwnedRwLockWriteGuard<Free>, OwnedRwLockMappedWriteGuard<Free>);
    is!(Sync: MutexGuard<'_, Free>, MappedMutexGuard<'_, Fixed>, OwnedMutexGuard<Free>, OwnedMappedMutexGuard<Free>);
    is!(Sync: RwLockWriteGuard<'_, Free>, RwLockMappedWriteGuard<'_, Free>, OwnedRwLockWriteGuard<Free>);
    is_not!(Send: MutexGuard<'_, Fixed>, MappedMutexGuard<'_, Fixed>, OwnedMutexGuard<Fixed>);
    is_not!(Send: OwnedMappedMutexGuard<Bound, Free>, OwnedMappedMutexGuard<Free, Bound>);
    is_not!(Send: RwLockWriteGuard<'_, Fixed>, RwLockWriteGuard<'_, Local>, RwLockMappedWriteGuard<'_, Bound>);
    is_not!(Sync: MutexGuard<'_, Local>, MappedMutexGuard<'_, Local>, OwnedMutexGuard<Local>);
    is_not!(Sync: OwnedMappedMutexGuard<Free, Local>, RwLockWriteGuard<'_, Local>, OwnedRwLockWriteGuard<Local>);
    is_not!(Sync: OwnedRwLockMappedWriteGuard<Free, Local>, RwLockMappedWriteGuard<'_, Local>);
}

/// Readers share the value, so their guards are sent only where it may be shared; an owned one may also be the last to hold
/// the lock, and drop the value there.
#[test]
fn shared_guards_cross_threads_as_references_do() {
    is!(Send: RwLockReadGuard<'_, Free>, RwLockReadGuard<'_, Fixed>, OwnedRwLockReadGuard<Free>);
    is!(Sync: RwLockReadGuard<'_, Free>, RwLockReadGuard<'_, Fixed>, OwnedRwLockReadGuard<Free>);
    is_not!(Send: RwLockReadGuard<'_, Local>, RwLockReadGuard<'_, Bound>, OwnedRwLockReadGuard<Local>);
    is_not!(Send: OwnedRwLockReadGuard<Fixed>, OwnedRwLockReadGuard<Fixed, Free>, OwnedRwLockReadGuard<Free, Local>);
    is_not!(Sync: RwLockReadGuard<'_, Local>, OwnedRwLockReadGuard<Local>, OwnedRwLockReadGuard<Free, Local>);
}

/// One reader's guard may stand for one of a shorter life; a writer's may not, or one could write a shorter life into it.
#[test]
fn readers_guards_are_covariant() {
    fn shorten<'long: 'short, 'short, 'a>(guard: RwLockReadGuard<'a, &'long str>) -> RwLockReadGuard<'a, &'short str> {
        guard
    }
    let lock = RwLock::new("static");
    let guard = lock.try_read().expect("nobody writes");
    assert_eq!(*shorten(guard), "static");
}
