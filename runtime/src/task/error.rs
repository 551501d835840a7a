//! Why a task gave no output.

use crate::task::id::Id;
use std::any::Any;
use std::fmt;
use std::sync::Mutex;

/// A task was aborted, or it panicked.
///
/// Two words: every task has room for one.
pub struct JoinError {
    id: Id,
    /// What the panic carried; none means cancelled.
    panic: Option<Box<Payload>>,
}

/// In a mutex because a payload need not be `Sync` and an error should be; nobody else ever locks it.
type Payload = Mutex<Box<dyn Any + Send + 'static>>;

impl JoinError {
    pub(crate) fn cancelled(id: Id) -> JoinError {
        JoinError { id, panic: None }
    }

    pub(crate) fn panic(id: Id, payload: Box<dyn Any + Send + 'static>) -> JoinError {
        JoinError { id, panic: Some(Box::new(Mutex::new(payload))) }
    }

    /// Whether the task was aborted, or its runtime shut down.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.panic.is_none()
    }

    /// Whether the task panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        self.panic.is_some()
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
        match self.panic {
            Some(payload) => Ok(payload.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())),
            None => Err(self),
        }
    }

    /// The task that gave no output.
    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    /// The text of the panic, when it had one.
    fn message(&self) -> Option<String> {
        let payload = self.panic.as_ref()?.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        payload.downcast_ref::<String>().cloned().or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string))
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.panic, self.message()) {
            (None, _) => write!(f, "task {} was cancelled", self.id),
            (Some(_), Some(message)) => write!(f, "task {} panicked with message {message:?}", self.id),
            (Some(_), None) => write!(f, "task {} panicked", self.id),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.panic, self.message()) {
            (None, _) => write!(f, "JoinError::Cancelled({:?})", self.id),
            (Some(_), Some(message)) => write!(f, "JoinError::Panic({:?}, {message:?}, ...)", self.id),
            (Some(_), None) => write!(f, "JoinError::Panic({:?}, ...)", self.id),
        }
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for std::io::Error {
    fn from(error: JoinError) -> std::io::Error {
        std::io::Error::other(error)
    }
}
