//! Why a task gave no output.

use crate::task::id::Id;
use std::any::Any;
use std::fmt;
use std::sync::Mutex;

/// A task was aborted, or it panicked.
pub struct JoinError {
    id: Id,
    cause: Cause,
}

enum Cause {
    Cancelled,
    /// In a mutex because a payload need not be `Sync` and an error should be; nobody ever locks it.
    Panic(Mutex<Box<dyn Any + Send + 'static>>),
}

impl JoinError {
    pub(crate) fn cancelled(id: Id) -> JoinError {
        JoinError { id, cause: Cause::Cancelled }
    }

    pub(crate) fn panic(id: Id, payload: Box<dyn Any + Send + 'static>) -> JoinError {
        JoinError { id, cause: Cause::Panic(Mutex::new(payload)) }
    }

    /// Whether the task was aborted, or its runtime shut down.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self.cause, Cause::Cancelled)
    }

    /// Whether the task panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(self.cause, Cause::Panic(_))
    }

    /// The payload of the panic, for [`std::panic::resume_unwind`].
    ///
    /// # Panics
    /// When the task did not panic; [`JoinError::try_into_panic`] does not.
    #[must_use]
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn Any + Send + 'static> {
        self.try_into_panic().expect("the task was cancelled, it did not panic: ask `is_panic()` first")
    }

    /// The payload of the panic.
    ///
    /// # Errors
    /// Gives the error back when the task did not panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send + 'static>, JoinError> {
        match self.cause {
            Cause::Panic(payload) => Ok(payload.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())),
            Cause::Cancelled => Err(self),
        }
    }

    /// The task that gave no output.
    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    /// The text of the panic, when it had one.
    fn message(&self) -> Option<String> {
        let Cause::Panic(payload) = &self.cause else { return None };
        let payload = payload.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        payload.downcast_ref::<String>().cloned().or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string))
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.cause, self.message()) {
            (Cause::Cancelled, _) => write!(f, "task {} was cancelled", self.id),
            (Cause::Panic(_), Some(message)) => write!(f, "task {} panicked with message {message:?}", self.id),
            (Cause::Panic(_), None) => write!(f, "task {} panicked", self.id),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.cause, self.message()) {
            (Cause::Cancelled, _) => write!(f, "JoinError::Cancelled({:?})", self.id),
            (Cause::Panic(_), Some(message)) => write!(f, "JoinError::Panic({:?}, {message:?}, ...)", self.id),
            (Cause::Panic(_), None) => write!(f, "JoinError::Panic({:?}, ...)", self.id),
        }
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for std::io::Error {
    fn from(error: JoinError) -> std::io::Error {
        std::io::Error::other(error)
    }
}
