//! The receiver of a bounded channel.

use crate::sync::blocking;
use crate::sync::mpsc::ends::Rx;
use crate::sync::mpsc::error::TryRecvError;
use futures_core::Stream;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The receiving half of a [`channel`](crate::sync::mpsc::channel).
///
/// Dropping it closes the channel and drops what is left in it. It is a [`Stream`] of the values.
pub struct Receiver<T> {
    rx: Rx<T>,
}

impl<T> Receiver<T> {
    pub(super) fn new(rx: Rx<T>) -> Receiver<T> {
        Receiver { rx }
    }

    /// Waits for the next value; `None` when there will never be another: all senders are gone, or the channel was closed
    /// and every permit has come back.
    ///
    /// # Cancel safety
    /// Yes: a value is received when the future is ready, not before.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::mpsc;
    /// # futures_lite::future::block_on(async {
    /// let (tx, mut rx) = mpsc::channel(10);
    /// tx.send("hello").await?;
    /// drop(tx);
    /// assert_eq!(rx.recv().await, Some("hello"));
    /// assert_eq!(rx.recv().await, None);
    /// # Ok::<(), mpsc::error::SendError<&str>>(())
    /// # }).unwrap();
    /// ```
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| self.rx.poll_recv(cx)).await
    }

    /// Waits until there is at least one value, and appends to `buffer` what is there, at most `limit`; returns how many.
    ///
    /// Zero means the end, as `None` does for [`recv`](Receiver::recv), or that `limit` is zero. One step of the task's
    /// budget, whatever the number.
    ///
    /// # Cancel safety
    /// Yes: values are received when the future is ready, not before.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::mpsc;
    /// # futures_lite::future::block_on(async {
    /// let (tx, mut rx) = mpsc::channel(10);
    /// for n in 0..5 {
    ///     tx.send(n).await?;
    /// }
    /// let mut buffer = Vec::new();
    /// assert_eq!(rx.recv_many(&mut buffer, 3).await, 3);
    /// assert_eq!(rx.recv_many(&mut buffer, 3).await, 2);
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
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::mpsc::{self, error::TryRecvError};
    ///
    /// let (tx, mut rx) = mpsc::channel(10);
    /// tx.try_send("hello").expect("there is room");
    /// assert_eq!(rx.try_recv(), Ok("hello"));
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    /// drop(tx);
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.rx.try_recv()
    }

    /// As [`recv`](Receiver::recv), and the thread sleeps while it waits.
    ///
    /// # Panics
    /// Where the thread drives tasks, as a worker does.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::mpsc;
    /// let (tx, mut rx) = mpsc::channel(10);
    /// let thread = std::thread::spawn(move || rx.blocking_recv());
    /// tx.blocking_send("hello").expect("the receiver waits");
    /// assert_eq!(thread.join().expect("it does not panic"), Some("hello"));
    /// ```
    #[track_caller]
    pub fn blocking_recv(&mut self) -> Option<T> {
        blocking::wait("blocking_recv", "recv().await", |cx| self.rx.poll_recv(cx))
    }

    /// As [`recv_many`](Receiver::recv_many), and the thread sleeps while it waits.
    ///
    /// # Panics
    /// Where the thread drives tasks, as a worker does.
    #[track_caller]
    pub fn blocking_recv_many(&mut self, buffer: &mut Vec<T>, limit: usize) -> usize {
        blocking::wait("blocking_recv_many", "recv_many(..).await", |cx| self.rx.poll_recv_many(cx, buffer, limit))
    }

    /// Closes the channel: no more values but those that are in it, and those for which there is a permit.
    ///
    /// Receive until `None` to get them all.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::mpsc;
    /// # futures_lite::future::block_on(async {
    /// let (tx, mut rx) = mpsc::channel(10);
    /// let permit = tx.reserve().await?;
    /// rx.close();
    /// assert!(tx.try_send("too late").is_err());
    /// permit.send("in time");
    /// assert_eq!(rx.recv().await, Some("in time"));
    /// assert_eq!(rx.recv().await, None);
    /// # Ok::<(), mpsc::error::SendError<()>>(())
    /// # }).unwrap();
    /// ```
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

    /// How many more values could be sent now without waiting: the bound, less values and permits.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.rx.chan().capacity()
    }

    /// The bound with which the channel was made.
    #[must_use]
    pub fn max_capacity(&self) -> usize {
        self.rx.chan().max
    }

    /// How many [`Sender`](crate::sync::mpsc::Sender)s there are.
    #[must_use]
    pub fn sender_strong_count(&self) -> usize {
        self.rx.chan().state.lock().senders
    }

    /// How many [`WeakSender`](crate::sync::mpsc::WeakSender)s there are.
    #[must_use]
    pub fn sender_weak_count(&self) -> usize {
        self.rx.chan().state.lock().weak
    }

    /// [`recv`](Receiver::recv) for those who write futures by hand. The waker of the last call is the one that is woken.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.rx.poll_recv(cx)
    }

    /// [`recv_many`](Receiver::recv_many) for those who write futures by hand. The waker of the last call is the one that is
    /// woken.
    pub fn poll_recv_many(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<T>, limit: usize) -> Poll<usize> {
        self.rx.poll_recv_many(cx, buffer, limit)
    }
}

impl<T> Stream for Receiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.rx.poll_recv(cx)
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).finish_non_exhaustive()
    }
}
