//! A counting semaphore that tasks wait for.
//!
//! `counting` is the semaphore, `permit` what it gives out, `error` why it gives nothing. How it waits and who comes first
//! is in `crate::sync::permits`.

mod counting;
pub(crate) mod error;
mod permit;

pub use self::{
    counting::Semaphore,
    error::{AcquireError, TryAcquireError},
    permit::{OwnedSemaphorePermit, SemaphorePermit},
};

#[cfg(all(test, not(loom)))]
mod tests;
