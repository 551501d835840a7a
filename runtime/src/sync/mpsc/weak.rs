//! A sender of a bounded channel that does not keep it open.

use crate::sync::mpsc::ends::WeakTx;
use crate::sync::mpsc::sender::Sender;
use std::fmt;

/// A sender that does not keep the channel open; from [`Sender::downgrade`].
pub struct WeakSender<T> {
    tx: WeakTx<T>,
}

impl<T> WeakSender<T> {
    pub(super) fn new(tx: WeakTx<T>) -> WeakSender<T> {
        WeakSender { tx }
    }

    /// A sender, if there still is one.
    #[must_use]
    pub fn upgrade(&self) -> Option<Sender<T>> {
        self.tx.upgrade().map(Sender::new)
    }

    /// How many senders the channel has.
    #[must_use]
    pub fn strong_count(&self) -> usize {
        self.tx.state.lock().senders
    }

    /// How many weak senders the channel has.
    #[must_use]
    pub fn weak_count(&self) -> usize {
        self.tx.state.lock().weak
    }
}

impl<T> Clone for WeakSender<T> {
    fn clone(&self) -> WeakSender<T> {
        WeakSender { tx: self.tx.clone() }
    }
}

impl<T> fmt::Debug for WeakSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakSender").finish_non_exhaustive()
    }
}
