//! The wait queue: who wants to know when something becomes ready, and in which order they are told.
//!
//! Linux's wait-queue entry is `{flags, private, func}`; whoever makes a resource ready calls each entry's `func`. A
//! Rust [`Waker`](std::task::Waker) is exactly the pair `private` and `func`: for a task `func` schedules it, for a parked
//! thread it unparks it (see [`crate::park`]). What is no waiter but wants to hear of every wake is a [`WakeFn`], as
//! `ep_poll_callback` is. So one list serves every way to wait.
//!
//! - [`WaitList`] is the list alone. It has no lock: it lives under the lock of what it guards, and checking a condition
//!   and joining the list under that one lock is what keeps a wake-up from being lost. Sockets hold one.
//! - [`WaitQueue`] is a list with a lock of its own, for conditions that are atomics, with the store-load barrier pair
//!   that Linux calls `skwq_has_sleeper`.
//! - [`WakeBatch`] carries wakers and callbacks out of a lock. Nobody is ever called while a lock is held.
//!
//! # Order
//! As `__wake_up_common`: shared (non-exclusive) entries stand at the head, newest first; exclusive ones at the tail,
//! oldest first. A wake tells every matching shared entry and at most a given number of exclusive ones. A waker's entry
//! leaves the list when it is told (`autoremove_wake_function`), so telling it twice is impossible and its slot is stale; a
//! callback's stays until it is removed.
//!
//! # What `func` returns, without calling it
//! Linux calls `func` under the list's lock, and its result decides whether the quota is used up: 0 when the task runs
//! already, or when nobody sleeps on an epoll set, and then the next exclusive entry is told as well. Here the result is asked
//! first, under the lock, and the call follows when the lock is released. That is exact for what is known: a key that does not
//! fit is known to the list; whether somebody takes a callback's wake, its [`claim`](WakeFn::claim) says, and takes him off
//! the count; whether a waker's task is awake, the [`IsAwake`] says with which it has joined. A waker of which nothing is known
//! counts. What was claimed under the lock is still so when the call comes, for nobody else can claim it; what a task sees when
//! it runs was written before the lock was released. `WQ_FLAG_PRIORITY` is not there: no entry of a socket has it.
//!
//! # A waiter that gives up
//! An exclusive waiter that was told and then drops without looking at the resource must pass the wake on, or the
//! resource is ready and nobody knows. [`WaitList::remove`] says whether that happened; [`WaitQueue::wait_until`] does it.

mod batch;
mod entries;
mod entry;
mod func;
mod list;
mod queue;

pub use self::{
    batch::{Wake, WakeBatch},
    entry::{Events, Mode, Removed, WaitSlot},
    func::{Func, IsAwake, WakeFn},
    list::WaitList,
    queue::{WaitQueue, WaitUntil},
};

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
