//! Synchronisation between tasks, and between tasks and threads: channels, locks, notifications, cancellation.
//!
//! The names and the semantics are tokio's. Everything that waits here stands in the runtime's one
//! [wait queue](crate::wait_queue) and needs nothing else of it: it works under any executor and on any thread.

pub mod broadcast;
mod cancellation_token;
mod notify;
pub mod watch;

pub use cancellation_token::{
    CancellationToken, DropGuard, DropGuardRef, WaitForCancellationFuture, WaitForCancellationFutureOwned,
};
pub use notify::Notify;

/// The futures of this module that have a name.
pub mod futures {
    pub use super::notify::{Notified, OwnedNotified};
}

#[cfg(all(test, not(loom)))]
#[path = "tests/spy.rs"]
mod spy;

#[cfg(all(test, loom))]
#[path = "tests/block_on.rs"]
mod block_on;
