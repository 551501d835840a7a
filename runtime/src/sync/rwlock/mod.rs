//! A reader-writer lock that tasks wait for.
//!
//! `lock` is the lock; `guard` and `owned` are what it gives out: names for the guards of `crate::sync::locked`.

mod guard;
mod lock;
mod owned;

pub use self::{
    guard::{RwLockMappedWriteGuard, RwLockReadGuard, RwLockWriteGuard},
    lock::RwLock,
    owned::{OwnedRwLockMappedWriteGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard},
};

#[cfg(all(test, not(loom)))]
mod tests;
