//! [`Sender`] and [`WeakSender`].

use crate::coop;
use crate::sync::broadcast::error::SendError;
use crate::sync::broadcast::receiver::Receiver;
use crate::sync::broadcast::shared::Shared;
use crate::wait_queue::WaitSlot;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// The sending end of a [broadcast channel](crate::sync::broadcast). Cheap to clone.
///
/// When the last one goes, the channel is closed: receivers hear of it when they have received all there is.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// A sending end that does not keep the channel open.
///
/// # Examples
/// ```
/// let (tx, _rx) = wakeline_runtime::sync::broadcast::channel::<()>(2);
/// let weak = tx.downgrade();
/// assert!(weak.upgrade().is_some());
/// drop(tx);
/// assert!(weak.upgrade().is_none());
/// ```
pub struct WeakSender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Creates a channel without a receiver yet; `capacity` as in [`channel`](crate::sync::broadcast::channel).
    ///
    /// # Panics
    /// As [`channel`](crate::sync::broadcast::channel).
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::broadcast;
    ///
    /// let tx = broadcast::Sender::new(2);
    /// assert!(tx.send(1).is_err(), "nobody is there");
    /// let mut rx = tx.subscribe();
    /// tx.send(2).unwrap();
    /// assert_eq!(rx.try_recv(), Ok(2));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn new(capacity: usize) -> Sender<T> {
        Sender { shared: Arc::new(Shared::new(capacity)) }
    }

    /// Sends a value to all receivers, and returns how many they are. Never waits: when the ring is full, the oldest value is
    /// overwritten.
    ///
    /// That a value was sent does not say that anybody will see it: receivers may go, or lag.
    ///
    /// # Errors
    /// When there is no receiver; the value comes back in the error.
    ///
    /// # Examples
    /// ```
    /// let (tx, rx) = wakeline_runtime::sync::broadcast::channel(2);
    /// let second = tx.subscribe();
    /// assert_eq!(tx.send(1).unwrap(), 2);
    /// drop((rx, second));
    /// assert_eq!(tx.send(2).unwrap_err().0, 2);
    /// ```
    pub fn send(&self, value: T) -> Result<usize, SendError<T>> {
        self.shared.send(value).map_err(SendError)
    }

    /// Adds a receiver, which begins with what is sent from now on.
    ///
    /// # Examples
    /// ```
    /// let (tx, _rx) = wakeline_runtime::sync::broadcast::channel(2);
    /// tx.send(1).unwrap();
    /// let mut second = tx.subscribe();
    /// tx.send(2).unwrap();
    /// assert_eq!(second.try_recv(), Ok(2));
    /// ```
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::new(self.shared.clone())
    }

    /// A sender that does not keep the channel open.
    ///
    /// # Examples
    /// ```
    /// let (tx, rx) = wakeline_runtime::sync::broadcast::channel::<()>(2);
    /// let _weak = tx.downgrade();
    /// drop(tx);
    /// assert!(rx.is_closed());
    /// ```
    #[must_use]
    pub fn downgrade(&self) -> WeakSender<T> {
        self.shared.handles.add_weak();
        WeakSender { shared: self.shared.clone() }
    }

    /// How many values are in the ring: sent, not overwritten, and not yet seen by every receiver that was there when they
    /// were sent.
    ///
    /// # Examples
    /// ```
    /// let (tx, mut rx) = wakeline_runtime::sync::broadcast::channel(4);
    /// tx.send(1).unwrap();
    /// tx.send(2).unwrap();
    /// assert_eq!(tx.len(), 2);
    /// rx.try_recv().unwrap();
    /// assert_eq!(tx.len(), 1);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether no value is in the ring; see [`len`](Sender::len).
    ///
    /// # Examples
    /// ```
    /// let (tx, mut rx) = wakeline_runtime::sync::broadcast::channel(4);
    /// assert!(tx.is_empty());
    /// tx.send(1).unwrap();
    /// assert!(!tx.is_empty());
    /// rx.try_recv().unwrap();
    /// assert!(tx.is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.is_empty()
    }

    /// How many receivers there are now.
    ///
    /// # Examples
    /// ```
    /// let (tx, _rx) = wakeline_runtime::sync::broadcast::channel::<()>(4);
    /// let _second = tx.subscribe();
    /// assert_eq!(tx.receiver_count(), 2);
    /// ```
    #[must_use]
    pub fn receiver_count(&self) -> usize {
        self.shared.receivers()
    }

    /// How many receivers are in the list of those who wait, for the models.
    #[cfg(all(test, loom))]
    pub(crate) fn waiting(&self) -> usize {
        self.shared.waiting()
    }

    /// Whether both belong to one channel.
    ///
    /// # Examples
    /// ```
    /// let (tx, _rx) = wakeline_runtime::sync::broadcast::channel::<()>(4);
    /// assert!(tx.same_channel(&tx.clone()));
    /// ```
    #[must_use]
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Waits until there is no receiver. [`subscribe`](Sender::subscribe) may add one again.
    ///
    /// # Cancel safety
    /// Yes.
    ///
    /// # Examples
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let (tx, rx) = wakeline_runtime::sync::broadcast::channel::<()>(4);
    /// let thread = std::thread::spawn(move || drop(rx));
    /// tx.closed().await;
    /// # thread.join().unwrap();
    /// # });
    /// ```
    pub async fn closed(&self) {
        Closed { shared: &self.shared, place: WaitSlot::new() }.await;
    }

    /// How many senders there are now.
    ///
    /// # Examples
    /// ```
    /// let (tx, _rx) = wakeline_runtime::sync::broadcast::channel::<()>(4);
    /// let _second = tx.clone();
    /// assert_eq!(tx.strong_count(), 2);
    /// ```
    #[must_use]
    pub fn strong_count(&self) -> usize {
        self.shared.handles.strong()
    }

    /// How many weak senders there are now.
    ///
    /// # Examples
    /// ```
    /// let (tx, _rx) = wakeline_runtime::sync::broadcast::channel::<()>(4);
    /// let _weak = tx.downgrade();
    /// assert_eq!(tx.weak_count(), 1);
    /// ```
    #[must_use]
    pub fn weak_count(&self) -> usize {
        self.shared.handles.weak()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.handles.add_strong();
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.shared.handles.remove_strong() {
            self.shared.close();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("broadcast::Sender").field("senders", &self.strong_count()).finish_non_exhaustive()
    }
}

impl<T> WeakSender<T> {
    /// A sender that keeps the channel open, unless it is closed.
    ///
    /// # Examples
    /// See [`WeakSender`].
    #[must_use]
    pub fn upgrade(&self) -> Option<Sender<T>> {
        self.shared.handles.try_add_strong().then(|| Sender { shared: self.shared.clone() })
    }

    /// How many senders there are now.
    #[must_use]
    pub fn strong_count(&self) -> usize {
        self.shared.handles.strong()
    }

    /// How many weak senders there are now.
    #[must_use]
    pub fn weak_count(&self) -> usize {
        self.shared.handles.weak()
    }
}

impl<T> Clone for WeakSender<T> {
    fn clone(&self) -> WeakSender<T> {
        self.shared.handles.add_weak();
        WeakSender { shared: self.shared.clone() }
    }
}

impl<T> Drop for WeakSender<T> {
    fn drop(&mut self) {
        self.shared.handles.remove_weak();
    }
}

impl<T> fmt::Debug for WeakSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("broadcast::WeakSender").field("senders", &self.strong_count()).finish_non_exhaustive()
    }
}

/// The future of [`Sender::closed`].
struct Closed<'a, T> {
    shared: &'a Shared<T>,
    place: WaitSlot,
}

impl<T> Future for Closed<'_, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let progress = ready!(coop::poll_proceed(cx));
        let Closed { shared, place } = self.get_mut();
        if shared.is_deserted_or_wait(place, cx.waker()) {
            progress.made();
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl<T> Drop for Closed<'_, T> {
    fn drop(&mut self) {
        self.shared.leave_closing(&mut self.place);
    }
}
