//! Cancellation: asking tasks to end, alone or with all that they have begun.

mod guard;
mod token;
mod tree;

pub use guard::{DropGuard, DropGuardRef};
pub use token::{CancellationToken, WaitForCancellationFuture, WaitForCancellationFutureOwned};

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
