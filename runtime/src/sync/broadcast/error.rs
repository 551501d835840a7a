//! What can go wrong with a broadcast channel.

use std::error::Error;
use std::fmt;

/// No receiver is there; carries the value that was not sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("channel closed")
    }
}

impl<T> Error for SendError<T> {}

/// Why [`Receiver::recv`](crate::sync::broadcast::Receiver::recv) has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// All was received, and no sender is there any more.
    Closed,
    /// So many values were overwritten before this receiver came to them. It stays subscribed; the next value it receives
    /// is the oldest that is left.
    Lagged(u64),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Closed => f.write_str("channel closed"),
            RecvError::Lagged(missed) => write!(f, "channel lagged by {missed}"),
        }
    }
}

impl Error for RecvError {}

/// Why [`Receiver::try_recv`](crate::sync::broadcast::Receiver::try_recv) has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// All was received; more may come.
    Empty,
    /// All was received, and no sender is there any more.
    Closed,
    /// So many values were overwritten before this receiver came to them. It stays subscribed; the next value it receives
    /// is the oldest that is left.
    Lagged(u64),
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryRecvError::Empty => f.write_str("channel empty"),
            TryRecvError::Closed => f.write_str("channel closed"),
            TryRecvError::Lagged(missed) => write!(f, "channel lagged by {missed}"),
        }
    }
}

impl Error for TryRecvError {}
