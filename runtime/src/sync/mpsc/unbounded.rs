//! The two halves of a channel without a bound.

use crate::sync::blocking;
use crate::sync::mpsc::chan::{UNBOUNDED, wake};
use crate::sync::mpsc::ends::{self, Rx, Tx, WeakTx};
use crate::sync::mpsc::error::{SendError, TryRecvError};
use crate::sync::mpsc::wait::Closed;
use futures_core::Stream;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

/// A channel without a bound: sending never waits, and memory is the limit.
///
/// # Examples
/// ```
/// # use wakeline_runtime::sync::mpsc;
/// # futures_lite::future::block_on(async {
/// let (tx, mut rx) = mpsc::unbounded_channel();
/// tx.send("hello")?;
/// assert_eq!(rx.recv().await, Some("hello"));
/// # Ok::<(), mpsc::error::SendError<&str>>(())
/// # }).unwrap();
/// ```
#[must_use]
pub fn unbounded_channel<T>() -> (UnboundedSender<T>, UnboundedReceiver<T>) {
    let (tx, rx) = ends::channel(UNBOUNDED);
    (UnboundedSender { tx }, UnboundedReceiver { rx })
}

/// A sending half of an [`unbounded_channel`]. Clone it for more senders; the receiver ends when the last is gone.
pub struct UnboundedSender<T> {
    tx: Tx<T>,
}

impl<T> UnboundedSender<T> {
    /// Sends `value`, at once: from a task, a thread, a callback.
    ///
    /// That it was sent does not say that it will be received: the receiver may go away first.
    ///
    /// # Errors
    /// When the channel is closed; with the value.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::mpsc;
    /// let (tx, rx) = mpsc::unbounded_channel();
    /// assert!(tx.send(1).is_ok());
    /// drop(rx);
    /// assert_eq!(tx.send(2).unwrap_err().0, 2);
    /// ```
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        let mut state = self.tx.state.lock();
        if state.closed {
            return Err(SendError(value));
        }
        let receiver = state.push(value);
        drop(state);
        wake(receiver);
        Ok(())
    }

    /// Waits until the channel is closed: the receiver is gone or has closed it.
    ///
    /// # Cancel safety
    /// Yes.
    pub fn closed(&self) -> impl Future<Output = ()> {
        Closed::new(&self.tx)
    }

    /// Whether the channel is closed: the receiver is gone or has closed it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.tx.state.lock().closed
    }

    /// Whether both send into the same channel.
    #[must_use]
    pub fn same_channel(&self, other: &UnboundedSender<T>) -> bool {
        self.tx.same_channel(&other.tx)
    }

    /// A sender that does not keep the channel open.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::mpsc;
    /// let (tx, rx) = mpsc::unbounded_channel::<()>();
    /// let weak = tx.downgrade();
    /// assert!(weak.upgrade().is_some());
    /// drop(tx);
    /// assert!(weak.upgrade().is_none());
    /// assert!(rx.is_closed());
    /// ```
    #[must_use = "the sender itself stays one"]
    pub fn downgrade(&self) -> WeakUnboundedSender<T> {
        WeakUnboundedSender { tx: self.tx.downgrade() }
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

impl<T> Clone for UnboundedSender<T> {
    fn clone(&self) -> UnboundedSender<T> {
        UnboundedSender { tx: self.tx.clone() }
    }
}

impl<T> fmt::Debug for UnboundedSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnboundedSender").finish_non_exhaustive()
    }
}

/// A sender that does not keep the channel open; from [`UnboundedSender::downgrade`].
pub struct WeakUnboundedSender<T> {
    tx: WeakTx<T>,
}

impl<T> WeakUnboundedSender<T> {
    /// A sender, if there still is one.
    #[must_use]
    pub fn upgrade(&self) -> Option<UnboundedSender<T>> {
        self.tx.upgrade().map(|tx| UnboundedSender { tx })
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

impl<T> Clone for WeakUnboundedSender<T> {
    fn clone(&self) -> WeakUnboundedSender<T> {
        WeakUnboundedSender { tx: self.tx.clone() }
    }
}

impl<T> fmt::Debug for WeakUnboundedSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakUnboundedSender").finish_non_exhaustive()
    }
}

/// The receiving half of an [`unbounded_channel`].
///
/// Dropping it closes the channel and drops what is left in it. It is a [`Stream`] of the values.
pub struct UnboundedReceiver<T> {
    rx: Rx<T>,
}

impl<T> UnboundedReceiver<T> {
    /// Waits for the next value; `None` when there will never be another: all senders are gone, or the channel was closed.
    ///
    /// # Cancel safety
    /// Yes: a value is received when the future is ready, not before.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| self.rx.poll_recv(cx)).await
    }

    /// Waits until there is at least one value, and appends to `buffer` what is there, at most `limit`; returns how many.
    ///
    /// Zero means the end, as `None` does for [`recv`](UnboundedReceiver::recv), or that `limit` is zero. One step of the
    /// task's budget, whatever the number.
    ///
    /// # Cancel safety
    /// Yes: values are received when the future is ready, not before.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::mpsc;
    /// # futures_lite::future::block_on(async {
    /// let (tx, mut rx) = mpsc::unbounded_channel();
    /// (0..5).try_for_each(|n| tx.send(n))?;
    /// let mut buffer = Vec::new();
    /// assert_eq!(rx.recv_many(&mut buffer, 100).await, 5);
    /// assert_eq!(buffer, [0, 1, 2, 3, 4]);
    /// # Ok::<(), mpsc::error::SendError<i32>>(())
    /// # }).unwrap();
    /// ```
    pub async fn recv_many(&mut self, buffer: &mut Vec<T>, limit: usize) -> usize {
        poll_fn(|cx| self.rx.poll_recv_many(cx, buffer, limit)).await
    }

    /// The next value, if it is there.
    ///
    /// # Errors
    /// [`Empty`](TryRecvError::Empty) when there may be one later, [`Disconnected`](TryRecvError::Disconnected) when not.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.rx.try_recv()
    }

    /// As [`recv`](UnboundedReceiver::recv), and the thread sleeps while it waits.
    ///
    /// # Panics
    /// Where the thread drives tasks, as a worker does.
    #[track_caller]
    pub fn blocking_recv(&mut self) -> Option<T> {
        blocking::wait("blocking_recv", "recv().await", |cx| self.rx.poll_recv(cx))
    }

    /// As [`recv_many`](UnboundedReceiver::recv_many), and the thread sleeps while it waits.
    ///
    /// # Panics
    /// Where the thread drives tasks, as a worker does.
    #[track_caller]
    pub fn blocking_recv_many(&mut self, buffer: &mut Vec<T>, limit: usize) -> usize {
        blocking::wait("blocking_recv_many", "recv_many(..).await", |cx| self.rx.poll_recv_many(cx, buffer, limit))
    }

    /// Closes the channel: no more values but those that are in it.
    ///
    /// Receive until `None` to get them all.
    pub fn close(&mut self) {
        self.rx.close();
    }

    /// Whether the channel is closed, or all senders are gone. Values may still be in it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.rx.is_closed()
    }

    /// Whether there is no value to receive.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rx.len() == 0
    }

    /// How many values there are to receive.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rx.len()
    }

    /// How many [`UnboundedSender`]s there are.
    #[must_use]
    pub fn sender_strong_count(&self) -> usize {
        self.rx.chan().state.lock().senders
    }

    /// How many [`WeakUnboundedSender`]s there are.
    #[must_use]
    pub fn sender_weak_count(&self) -> usize {
        self.rx.chan().state.lock().weak
    }

    /// [`recv`](UnboundedReceiver::recv) for those who write futures by hand. The waker of the last call is the one that is
    /// woken.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.rx.poll_recv(cx)
    }

    /// [`recv_many`](UnboundedReceiver::recv_many) for those who write futures by hand. The waker of the last call is the one
    /// that is woken.
    pub fn poll_recv_many(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<T>, limit: usize) -> Poll<usize> {
        self.rx.poll_recv_many(cx, buffer, limit)
    }
}

impl<T> Stream for UnboundedReceiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.rx.poll_recv(cx)
    }
}

impl<T> fmt::Debug for UnboundedReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnboundedReceiver").field("len", &self.len()).finish_non_exhaustive()
    }
}
