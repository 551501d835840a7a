//! The sender of a bounded channel.

use crate::sync::blocking;
use crate::sync::mpsc::chan::wake;
use crate::sync::mpsc::ends::{self, Tx};
use crate::sync::mpsc::error::{SendError, TrySendError};
use crate::sync::mpsc::permit::{OwnedPermit, Permit, PermitIterator};
use crate::sync::mpsc::receiver::Receiver;
use crate::sync::mpsc::wait::{Closed, Reserve, SendValue};
use crate::sync::mpsc::weak::WeakSender;
use std::fmt;
use std::future::Future;
use std::pin::pin;

/// A channel that holds at most `buffer` values; senders wait while it is full.
///
/// Memory is taken when it is needed, not for the whole bound at once.
///
/// # Panics
/// When `buffer` is zero or above `usize::MAX >> 3`.
///
/// # Examples
/// ```
/// # use wakeline_runtime::sync::mpsc;
/// let (tx, mut rx) = mpsc::channel(1);
/// assert!(tx.try_send("in").is_ok());
/// assert!(tx.try_send("no room").is_err());
/// assert_eq!(rx.try_recv(), Ok("in"));
/// ```
#[track_caller]
#[must_use]
pub fn channel<T>(buffer: usize) -> (Sender<T>, Receiver<T>) {
    assert!(
        buffer > 0,
        "mpsc: a bounded channel needs room for at least one value, and was to have room for none: use `channel(1)`, or a \
         `Barrier` or `Notify` where the two sides are to meet"
    );
    assert!(
        buffer <= MAX_CAPACITY,
        "mpsc: a bounded channel holds at most {MAX_CAPACITY} values, and was to hold {buffer}: use `unbounded_channel()` \
         where there is to be no bound"
    );
    let (tx, rx) = ends::channel(buffer);
    (Sender::new(tx), Receiver::new(rx))
}

/// As a semaphore's.
const MAX_CAPACITY: usize = usize::MAX >> 3;

/// A sending half of a [`channel`]. Clone it for more senders; the receiver ends when the last is gone.
pub struct Sender<T> {
    tx: Tx<T>,
}

impl<T> Sender<T> {
    pub(super) fn new(tx: Tx<T>) -> Sender<T> {
        Sender { tx }
    }

    pub(super) fn tx(&self) -> &Tx<T> {
        &self.tx
    }

    /// Sends `value`, and waits for room first. Those who wait are served in order.
    ///
    /// That it was sent does not say that it will be received: the receiver may go away first.
    ///
    /// # Errors
    /// When the channel is closed, or becomes so while waiting; with the value.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it has not sent: the value is dropped with it, and so is the place in the line. To keep the
    /// value, [`reserve`](Sender::reserve) first.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::mpsc;
    /// # futures_lite::future::block_on(async {
    /// let (tx, mut rx) = mpsc::channel(1);
    /// tx.send("hello").await?;
    /// assert_eq!(rx.recv().await, Some("hello"));
    /// drop(rx);
    /// assert_eq!(tx.send("anybody?").await.unwrap_err().0, "anybody?");
    /// # Ok::<(), mpsc::error::SendError<&str>>(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn send(&self, value: T) -> impl Future<Output = Result<(), SendError<T>>> {
        SendValue::new(&self.tx, value)
    }

    /// Sends `value` if there is room now, and nobody waits for it.
    ///
    /// # Errors
    /// [`Closed`](TrySendError::Closed) or [`Full`](TrySendError::Full), with the value.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::mpsc::{self, error::TrySendError};
    ///
    /// let (tx, rx) = mpsc::channel(1);
    /// assert_eq!(tx.try_send(1), Ok(()));
    /// assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
    /// drop(rx);
    /// assert_eq!(tx.try_send(3), Err(TrySendError::Closed(3)));
    /// ```
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let mut state = self.tx.state.lock();
        if state.closed {
            return Err(TrySendError::Closed(value));
        }
        if !state.try_take(1, &self.tx) {
            return Err(TrySendError::Full(value));
        }
        let receiver = state.push(value);
        drop(state);
        wake(receiver);
        Ok(())
    }

    /// As [`send`](Sender::send), and the thread sleeps while it waits, in the same line as tasks.
    ///
    /// # Errors
    /// When the channel is closed; with the value.
    ///
    /// # Panics
    /// Where the thread drives tasks, as a worker does.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::mpsc;
    /// let (tx, mut rx) = mpsc::channel(1);
    /// let thread = std::thread::spawn(move || (0..3).try_for_each(|n| tx.blocking_send(n)));
    /// assert_eq!(std::iter::from_fn(|| rx.blocking_recv()).collect::<Vec<_>>(), [0, 1, 2]);
    /// assert!(thread.join().expect("it does not panic").is_ok());
    /// ```
    #[track_caller]
    pub fn blocking_send(&self, value: T) -> Result<(), SendError<T>> {
        let mut send = pin!(SendValue::new(&self.tx, value));
        blocking::wait("blocking_send", "send(..).await", |cx| send.as_mut().poll(cx))
    }

    /// Waits for room for one value, and keeps it for the caller.
    ///
    /// # Errors
    /// When the channel is closed, or becomes so while waiting.
    ///
    /// # Cancel safety
    /// Yes: it only loses its place in the line.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::mpsc;
    /// # futures_lite::future::block_on(async {
    /// let (tx, mut rx) = mpsc::channel(1);
    /// let permit = tx.reserve().await?;
    /// let costly = "made only when there is room for it";
    /// permit.send(costly);
    /// assert_eq!(rx.recv().await, Some(costly));
    /// # Ok::<(), mpsc::error::SendError<()>>(())
    /// # }).unwrap();
    /// ```
    pub async fn reserve(&self) -> Result<Permit<'_, T>, SendError<()>> {
        Reserve::new(&self.tx, 1).await?;
        Ok(Permit::new(&self.tx))
    }

    /// Waits for room for `n` values at once, and keeps it for the caller.
    ///
    /// Nobody overtakes who waits for much: those who want less wait behind it.
    ///
    /// # Errors
    /// When the channel is closed, or becomes so while waiting, and when `n` is above its
    /// [`max_capacity`](Sender::max_capacity).
    ///
    /// # Panics
    /// When `n` does not fit in 32 bits.
    ///
    /// # Cancel safety
    /// Yes: it only loses its place in the line.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::mpsc;
    /// # futures_lite::future::block_on(async {
    /// let (tx, mut rx) = mpsc::channel(2);
    /// for (permit, value) in tx.reserve_many(2).await?.zip(["one", "two"]) {
    ///     permit.send(value);
    /// }
    /// assert_eq!(rx.recv().await, Some("one"));
    /// assert_eq!(rx.recv().await, Some("two"));
    /// assert!(tx.reserve_many(3).await.is_err(), "there will never be room for three");
    /// # Ok::<(), mpsc::error::SendError<()>>(())
    /// # }).unwrap();
    /// ```
    pub async fn reserve_many(&self, n: usize) -> Result<PermitIterator<'_, T>, SendError<()>> {
        if n > self.max_capacity() {
            return Err(SendError(()));
        }
        let permits = u32::try_from(n).expect("at most 2^32 - 1 permits can be waited for at once: reserve fewer");
        Reserve::new(&self.tx, permits).await?;
        Ok(PermitIterator::new(&self.tx, n))
    }

    /// As [`reserve`](Sender::reserve), and the permit keeps the sender.
    ///
    /// # Errors
    /// When the channel is closed, or becomes so while waiting.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it drops the sender.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::mpsc;
    /// # futures_lite::future::block_on(async {
    /// let (tx, mut rx) = mpsc::channel(1);
    /// let permit = tx.clone().reserve_owned().await?;
    /// std::thread::spawn(move || permit.send("from elsewhere"));
    /// assert_eq!(rx.recv().await, Some("from elsewhere"));
    /// # Ok::<(), mpsc::error::SendError<()>>(())
    /// # }).unwrap();
    /// ```
    pub async fn reserve_owned(self) -> Result<OwnedPermit<T>, SendError<()>> {
        Reserve::new(&self.tx, 1).await?;
        Ok(OwnedPermit::new(self.tx))
    }

    /// Room for one value, if there is some now and nobody waits for it.
    ///
    /// # Errors
    /// [`Closed`](TrySendError::Closed) or [`Full`](TrySendError::Full).
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::mpsc;
    /// let (tx, mut rx) = mpsc::channel(1);
    /// let permit = tx.try_reserve().expect("there is room");
    /// assert!(tx.try_reserve().is_err());
    /// permit.send("hello");
    /// assert_eq!(rx.try_recv(), Ok("hello"));
    /// ```
    pub fn try_reserve(&self) -> Result<Permit<'_, T>, TrySendError<()>> {
        self.try_take(1)?;
        Ok(Permit::new(&self.tx))
    }

    /// Room for `n` values, if there is so much now and nobody waits for it.
    ///
    /// # Errors
    /// [`Closed`](TrySendError::Closed) or [`Full`](TrySendError::Full); full also when `n` is above the bound.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::mpsc;
    /// let (tx, mut rx) = mpsc::channel(2);
    /// let mut permits = tx.try_reserve_many(2).expect("there is room");
    /// permits.next().expect("one of two").send("hello");
    /// drop(permits);
    /// assert_eq!(tx.capacity(), 1);
    /// assert_eq!(rx.try_recv(), Ok("hello"));
    /// ```
    pub fn try_reserve_many(&self, n: usize) -> Result<PermitIterator<'_, T>, TrySendError<()>> {
        if n > self.max_capacity() {
            return Err(TrySendError::Full(()));
        }
        self.try_take(n)?;
        Ok(PermitIterator::new(&self.tx, n))
    }

    /// As [`try_reserve`](Sender::try_reserve), and the permit keeps the sender.
    ///
    /// # Errors
    /// [`Closed`](TrySendError::Closed) or [`Full`](TrySendError::Full), with the sender.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::mpsc;
    /// let (tx, mut rx) = mpsc::channel(1);
    /// let tx = tx.try_reserve_owned().expect("there is room").send("hello");
    /// let tx = tx.try_reserve_owned().expect_err("there is none").into_inner();
    /// assert_eq!(rx.try_recv(), Ok("hello"));
    /// assert_eq!(tx.capacity(), 1);
    /// ```
    pub fn try_reserve_owned(self) -> Result<OwnedPermit<T>, TrySendError<Self>> {
        match self.try_take(1) {
            Ok(()) => Ok(OwnedPermit::new(self.tx)),
            Err(TrySendError::Closed(())) => Err(TrySendError::Closed(self)),
            Err(TrySendError::Full(())) => Err(TrySendError::Full(self)),
        }
    }

    fn try_take(&self, permits: usize) -> Result<(), TrySendError<()>> {
        let mut state = self.tx.state.lock();
        if state.closed {
            return Err(TrySendError::Closed(()));
        }
        if state.try_take(permits, &self.tx) { Ok(()) } else { Err(TrySendError::Full(())) }
    }

    /// Waits until the channel is closed: the receiver is gone or has closed it.
    ///
    /// # Cancel safety
    /// Yes.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::mpsc;
    /// # futures_lite::future::block_on(async {
    /// let (tx, rx) = mpsc::channel::<()>(1);
    /// std::thread::spawn(move || drop(rx));
    /// tx.closed().await; // nobody wants the result any more
    /// # });
    /// ```
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
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        self.tx.same_channel(&other.tx)
    }

    /// How many more values could be sent now without waiting: the bound, less values and permits; none while somebody waits.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.tx.capacity()
    }

    /// The bound with which the channel was made.
    #[must_use]
    pub fn max_capacity(&self) -> usize {
        self.tx.max
    }

    /// A sender that does not keep the channel open.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::mpsc;
    /// let (tx, mut rx) = mpsc::channel(1);
    /// let weak = tx.downgrade();
    /// assert!(weak.upgrade().expect("there is a sender").try_send("hello").is_ok());
    /// drop(tx);
    /// assert!(weak.upgrade().is_none());
    /// assert_eq!(rx.blocking_recv(), Some("hello"));
    /// assert_eq!(rx.blocking_recv(), None);
    /// ```
    #[must_use = "the sender itself stays one"]
    pub fn downgrade(&self) -> WeakSender<T> {
        WeakSender::new(self.tx.downgrade())
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

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender { tx: self.tx.clone() }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}
