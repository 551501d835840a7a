//! A mutual exclusion lock that tasks wait for.
//!
//! `lock` is the lock and `guard` and `owned` are what it gives out: names for the guards of `crate::sync::locked`.

pub(crate) mod error;
mod guard;
mod lock;
mod owned;

pub use self::{
    error::TryLockError,
    guard::{MappedMutexGuard, MutexGuard},
    lock::Mutex,
    owned::{OwnedMappedMutexGuard, OwnedMutexGuard},
};

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
