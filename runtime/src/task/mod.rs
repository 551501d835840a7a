//! The task: one allocation with a future in it, and everything that may happen to it.
//!
//! It knows that there is a `Schedule` which takes it when it is ready, and nothing of queues, workers or threads.
//!
//! # References
//! All are counted in the state word; whoever gives up the last one frees the allocation.
//! - `Owned`, at most one: the registry's. It goes when the task completes, or turns into a shutdown.
//! - `Notified`, at most one: it exists while `NOTIFIED` is set and `RUNNING` is not, and stands in a queue. A poll
//!   takes it over, and so the poller always has a reference too.
//! - [`JoinHandle`], at most one; it stands for `JOIN_INTEREST`.
//! - [`AbortHandle`], any number.
//! - `Waker`, any number. The one that a poll shows to its future borrows the poller's reference.
//!
//! # State
//! ```text
//!         1 wake_*, abort: Schedule         2 start_poll: Poll
//!   idle --------------------------> notified ----------------> running ---+
//!    ^                                ^   ^                     | | | ^    | 5 wake_*, abort: Done
//!    |                          new --+   |                     | | | +----+   (NOTIFIED, CANCELLED remembered)
//!    |                                    | 4 finish_poll: Again| | |
//!    |                                    +---------------------+ | |
//!    | 3 finish_poll: Idle                                        | |
//!    +------------------------------------------------------------+ | 6 complete: after Ready, a panic, 7 or 8
//!                                                                   v
//!   7 shutdown: Cancel (from idle and notified) and             complete
//!     start_poll: Cancel (from notified) lead to running too,
//!     where the future is not polled but dropped; so does
//!   8 finish_poll: Cancel, which stays there for it
//! ```
//! Woken any number of times while running, a task is queued once (4). `CANCELLED` is only ever set, and means nothing after 6.
//!
//! # Fields
//! | field | who may touch it, when |
//! |---|---|
//! | state | anyone with a reference; only `state.rs` knows how |
//! | vtable, id, spawned_at, name, traced | anyone; never change |
//! | slot | written by the registry before the task is first queued, read by it when the task completes |
//! | scheduler | anyone; never changes |
//! | stage | whoever has `RUNNING`; after `COMPLETE`, the `JoinHandle`; if there is none, who completed the task |
//! | namespace | whoever has `RUNNING` |
//! | joiner, member | before `COMPLETE`: the `JoinHandle` while `JOIN_WAKER` is clear, nobody while it is set; after: who completed the task if the bit was set then, else the `JoinHandle` |
//!
//! # Safety
//! - A stage is never touched by two: `RUNNING` is taken by a compare-and-exchange out of a word without it
//!   (`start_poll`, `shutdown`), and `COMPLETE`, which never goes away, keeps both from succeeding again.
//! - The future is never moved: it is built in the box, polled there, and dropped by assignment to the stage.
//! - A future that is `!Sync` is only ever reached by one thread at a time, and `new` asks for `Send`.
//! - A future that is `!Send` comes in by `new_local`, whose caller polls and shuts down on one thread. The registry's
//!   reference lives until then, so whoever gives up the last one, on any thread, finds a stage without future. Nor is
//!   there an output: who completes without a handle drops it, else the handle does, which is as `Send` as the output.
//! - A waker used after completion finds `COMPLETE`, and only counts down. One used after its runtime is gone finds the
//!   same, because a runtime completes all its tasks before it goes; the scheduler in the task keeps what is left alive.
//! - A panic in a poll, in a drop of the future or of an unread output stays in the task. A panicking drop of an output
//!   that has been handed to its reader is the reader's.

mod cell;
mod error;
mod handles;
mod harness;
mod id;
mod join;
mod joiner;
mod ledger;
mod origin;
mod schedule;
mod state;
mod task_local;
mod waker;

use crate::trace;
use std::future::Future;

pub(crate) use cell::Header;
pub use error::JoinError;
pub(crate) use handles::{Notified, Owned, Scheduled};
pub use id::{Id, id, try_id};
pub(crate) use id::{IdBlock, SeededIds};
pub use join::{AbortHandle, JoinHandle};
pub(crate) use joiner::Finished;
pub(crate) use ledger::{Ledger, Places, Seat, Until, hand_in};
pub use origin::TaskMeta;
#[cfg(all(test, not(loom)))]
pub(crate) use origin::identity_for_tests;
pub(crate) use origin::{Identity, Origin};
pub(crate) use schedule::Schedule;
pub use task_local::{AccessError, LocalKey, TaskLocalFuture};
pub use waker::is_awake;

/// A new task: for the registry, for a queue and for the user.
pub(crate) fn new<F, S>(future: F, scheduler: S, id: Id, origin: Origin) -> (Owned, Notified, JoinHandle<F::Output>)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
    S: Schedule,
{
    // SAFETY: what is `Send` may be polled and dropped by any thread.
    unsafe { registered("task", future, scheduler, id, origin) }
}

/// As [`new`], of a future that is bound to the calling thread.
///
/// # Safety
/// The calling thread alone runs the `Notified` (this one and all that `scheduler` is given), and shuts the `Owned` down.
/// The `Owned` is not dropped before it is shut down or released, only leaked at worst.
pub(crate) unsafe fn new_local<F, S>(
    future: F,
    scheduler: S,
    id: Id,
    origin: Origin,
) -> (Owned, Notified, JoinHandle<F::Output>)
where
    F: Future + 'static,
    F::Output: 'static,
    S: Schedule,
{
    // SAFETY: the caller's promise.
    unsafe { registered("local", future, scheduler, id, origin) }
}

/// # Safety
/// As [`new_local`], or the future is `Send`.
unsafe fn registered<F, S>(
    kind: &'static str,
    future: F,
    scheduler: S,
    id: Id,
    origin: Origin,
) -> (Owned, Notified, JoinHandle<F::Output>)
where
    F: Future + 'static,
    F::Output: 'static,
    S: Schedule,
{
    let future = trace::task(future, || origin.about(kind, id));
    let task = cell::allocate(future, scheduler, id, origin, 3);
    // SAFETY: one of the three references.
    let owned = unsafe { Owned::from_raw(task) };
    // SAFETY: one of the three references; a new task is notified.
    let notified = unsafe { Notified::from_raw(task) };
    // SAFETY: one of the three references; a new task has join interest, and its output is the future's.
    let join = unsafe { JoinHandle::from_raw(task) };
    (owned, notified, join)
}

/// A new task that no registry knows, for a queue and for the user; it runs a `W` that may block.
pub(crate) fn unregistered<W, F, S>(
    future: F,
    scheduler: S,
    id: Id,
    origin: Origin,
) -> (Notified, JoinHandle<F::Output>)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
    S: Schedule,
{
    let future = trace::blocking::<W, _>(future, || origin.about("blocking", id));
    let task = cell::allocate(future, scheduler, id, origin, 2);
    // SAFETY: one of the two references; a new task is notified.
    let notified = unsafe { Notified::from_raw(task) };
    // SAFETY: one of the two references; a new task has join interest, and its output is the future's.
    let join = unsafe { JoinHandle::from_raw(task) };
    (notified, join)
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
