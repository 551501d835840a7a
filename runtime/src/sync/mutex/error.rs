//! Why a lock was not taken at once.

use std::error::Error;
use std::fmt;

/// Somebody else has the lock, or waits for it. From `try_lock`, `try_read`, `try_write` and their variants.
#[derive(Debug)]
pub struct TryLockError(());

impl TryLockError {
    pub(crate) fn new() -> TryLockError {
        TryLockError(())
    }
}

impl fmt::Display for TryLockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("operation would block")
    }
}

impl Error for TryLockError {}
