//! The wait queue: who wants to know when something becomes ready, and in which order they are told.
//!
//! Linux's wait-queue entry is `{flags, private, func}`; whoever makes a resource ready calls each entry's `func`. A
//! Rust [`Waker`] is exactly the pair `private` and `func`: for a task `func` schedules it, for a parked thread it
//! unparks it (see [`crate::park`]). So one list serves every way to wait.
//!
//! - [`WaitList`] is the list alone. It has no lock: it lives under the lock of what it guards, and checking a condition
//!   and joining the list under that one lock is what keeps a wake-up from being lost. Sockets hold one.
//! - [`WaitQueue`] is a list with a lock of its own, for conditions that are atomics, with the store-load barrier pair
//!   that Linux calls `skwq_has_sleeper`.
//! - [`WakeBatch`] carries wakers out of a lock. No waker is ever called while a lock is held.
//!
//! # Order
//! As `__wake_up_common`: shared (non-exclusive) entries stand at the head, newest first; exclusive ones at the tail,
//! oldest first. A wake tells every matching shared entry and at most a given number of exclusive ones. An entry leaves
//! the list when it is told (`autoremove_wake_function`), so telling it twice is impossible and its slot is stale.
//!
//! # A waiter that gives up
//! An exclusive waiter that was told and then drops without looking at the resource must pass the wake on, or the
//! resource is ready and nobody knows. [`WaitList::remove`] says whether that happened; [`WaitQueue::wait_until`] does it.

mod batch;
mod entry;
mod list;
mod queue;

pub use self::{
    batch::WakeBatch,
    entry::{Events, Mode, Removed, WaitSlot},
    list::WaitList,
    queue::{WaitQueue, WaitUntil},
};

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
