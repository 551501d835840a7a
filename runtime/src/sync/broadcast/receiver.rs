//! [`Receiver`]: receives every value sent since it subscribed.

use crate::coop;
use crate::sync::blocking;
use crate::sync::broadcast::error::{RecvError, TryRecvError};
use crate::sync::broadcast::shared::{Found, Shared};
use crate::wait_queue::WaitSlot;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// The receiving end of a [broadcast channel](crate::sync::broadcast): it receives every value sent since it subscribed.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The position of what it receives next.
    next: u64,
}

impl<T> Receiver<T> {
    #[track_caller]
    pub(crate) fn new(shared: Arc<Shared<T>>) -> Receiver<T> {
        let next = shared.subscribe();
        Receiver { shared, next }
    }

    /// How many values were sent that this receiver has not received, those included that were overwritten meanwhile.
    ///
    /// When it is more than the channel's capacity, the next [`recv`](Receiver::recv) returns
    /// [`Lagged`](RecvError::Lagged).
    ///
    /// # Examples
    /// ```
    /// let (tx, rx) = wakeline_runtime::sync::broadcast::channel(2);
    /// for n in 0..3 {
    ///     tx.send(n).unwrap();
    /// }
    /// assert_eq!(rx.len(), 3);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.sent_since(self.next) as usize
    }

    /// Whether this receiver has received all that was sent.
    ///
    /// # Examples
    /// ```
    /// let (tx, rx) = wakeline_runtime::sync::broadcast::channel(2);
    /// assert!(rx.is_empty());
    /// tx.send(1).unwrap();
    /// assert!(!rx.is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both belong to one channel.
    ///
    /// # Examples
    /// ```
    /// let (tx, rx) = wakeline_runtime::sync::broadcast::channel::<()>(2);
    /// assert!(rx.same_channel(&tx.subscribe()));
    /// ```
    #[must_use]
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Whether the last sender is gone. There may still be values to receive.
    ///
    /// # Examples
    /// ```
    /// let (tx, rx) = wakeline_runtime::sync::broadcast::channel::<()>(2);
    /// assert!(!rx.is_closed());
    /// drop(tx);
    /// assert!(rx.is_closed());
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender_strong_count() == 0
    }

    /// How many [`Sender`](crate::sync::broadcast::Sender)s there are now.
    ///
    /// # Examples
    /// ```
    /// let (_tx, rx) = wakeline_runtime::sync::broadcast::channel::<()>(2);
    /// assert_eq!(rx.sender_strong_count(), 1);
    /// ```
    #[must_use]
    pub fn sender_strong_count(&self) -> usize {
        self.shared.handles.strong()
    }

    /// How many [`WeakSender`](crate::sync::broadcast::WeakSender)s there are now.
    ///
    /// # Examples
    /// ```
    /// let (tx, rx) = wakeline_runtime::sync::broadcast::channel::<()>(2);
    /// let _weak = tx.downgrade();
    /// assert_eq!(rx.sender_weak_count(), 1);
    /// ```
    #[must_use]
    pub fn sender_weak_count(&self) -> usize {
        self.shared.handles.weak()
    }

    /// Passes over the values before `end`, as if it had received them.
    fn skip_until(&mut self, end: u64) {
        while self.next < end {
            match self.shared.find(self.next, None) {
                Found::Value(mut slot) => {
                    self.next += 1;
                    let last = slot.pass();
                    drop(slot);
                    drop(last);
                }
                Found::Lagged { oldest } => self.next = oldest,
                Found::Nothing | Found::Closed => unreachable!("`end` was the tail"),
            }
        }
    }
}

impl<T: Clone> Receiver<T> {
    /// Another receiver of this channel, which begins with what is sent from now on.
    ///
    /// # Examples
    /// ```
    /// let (tx, mut rx) = wakeline_runtime::sync::broadcast::channel(2);
    /// tx.send(1).unwrap();
    /// let mut second = rx.resubscribe();
    /// tx.send(2).unwrap();
    /// assert_eq!((rx.try_recv(), second.try_recv()), (Ok(1), Ok(2)));
    /// ```
    #[must_use]
    pub fn resubscribe(&self) -> Receiver<T> {
        Receiver::new(self.shared.clone())
    }

    /// Waits for the next value.
    ///
    /// Of the receivers that have yet to see it all but the last get a clone; the last gets the value itself, where tokio
    /// clones it once more. `Clone` is called under the lock of the value's slot: it must not send to the same channel.
    ///
    /// # Errors
    /// - [`Closed`](RecvError::Closed): all was received, and no sender is there any more.
    /// - [`Lagged`](RecvError::Lagged): so many values were overwritten before this receiver came to them. The next call
    ///   returns the oldest that is left.
    ///
    /// # Panics
    /// When the value's `Clone` does. The value counts as received, and the channel stays usable.
    ///
    /// # Cancel safety
    /// Yes: dropped before it is ready, it has received nothing.
    ///
    /// # Examples
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use wakeline_runtime::sync::broadcast::{self, error::RecvError};
    ///
    /// let (tx, mut rx) = broadcast::channel(2);
    /// for n in 1..=3 {
    ///     tx.send(n).unwrap(); // 3 takes the place of 1
    /// }
    /// drop(tx);
    /// assert_eq!(rx.recv().await, Err(RecvError::Lagged(1)));
    /// assert_eq!(rx.recv().await, Ok(2));
    /// assert_eq!(rx.recv().await, Ok(3));
    /// assert_eq!(rx.recv().await, Err(RecvError::Closed));
    /// # });
    /// ```
    pub async fn recv(&mut self) -> Result<T, RecvError> {
        Recv { receiver: self, place: WaitSlot::new() }.await
    }

    /// Takes the next value, if there is one now.
    ///
    /// # Errors
    /// - [`Empty`](TryRecvError::Empty): all was received; more may come.
    /// - [`Closed`](TryRecvError::Closed) and [`Lagged`](TryRecvError::Lagged): as [`recv`](Receiver::recv).
    ///
    /// # Panics
    /// As [`recv`](Receiver::recv).
    ///
    /// # Examples
    /// ```
    /// let (tx, mut rx) = wakeline_runtime::sync::broadcast::channel(2);
    /// assert!(rx.try_recv().is_err());
    /// tx.send(1).unwrap();
    /// assert_eq!(rx.try_recv(), Ok(1));
    /// ```
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match self.shared.find(self.next, None) {
            Found::Value(mut slot) => {
                self.next += 1;
                Ok(slot.receive())
            }
            Found::Nothing => Err(TryRecvError::Empty),
            Found::Closed => Err(TryRecvError::Closed),
            Found::Lagged { oldest } => {
                let missed = oldest - self.next;
                self.next = oldest;
                Err(TryRecvError::Lagged(missed))
            }
        }
    }

    /// Parks the calling thread until there is a value: [`recv`](Receiver::recv) for threads.
    ///
    /// # Errors
    /// As [`recv`](Receiver::recv).
    ///
    /// # Panics
    /// Where this thread drives tasks: use [`recv`](Receiver::recv) there. And when the value's `Clone` does.
    ///
    /// # Examples
    /// ```
    /// let (tx, mut rx) = wakeline_runtime::sync::broadcast::channel(2);
    /// let thread = std::thread::spawn(move || rx.blocking_recv());
    /// tx.send(1).unwrap();
    /// assert_eq!(thread.join().unwrap(), Ok(1));
    /// ```
    #[track_caller]
    pub fn blocking_recv(&mut self) -> Result<T, RecvError> {
        let mut recv = pin!(self.recv());
        blocking::wait("blocking_recv", "recv().await", |cx| recv.as_mut().poll(cx))
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        /// The last to go tells so when its values are gone, even if the drop of one panics.
        struct Tell<'a, T>(&'a mut Receiver<T>);
        impl<T> Drop for Tell<'_, T> {
            fn drop(&mut self) {
                self.0.shared.tell_if_deserted();
            }
        }
        let end = self.shared.unsubscribe();
        Tell(self).0.skip_until(end);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("broadcast::Receiver").field("next", &self.next).finish_non_exhaustive()
    }
}

/// The future of [`Receiver::recv`].
struct Recv<'a, T> {
    receiver: &'a mut Receiver<T>,
    place: WaitSlot,
}

impl<T: Clone> Future for Recv<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        let progress = ready!(coop::poll_proceed(cx));
        let Recv { receiver, place } = self.get_mut();
        let found = receiver.shared.find(receiver.next, Some((place, cx.waker())));
        if matches!(found, Found::Nothing) {
            return Poll::Pending;
        }
        progress.made();
        // Whoever sent or closed since this one joined the list has told it, before there was anything to find.
        *place = WaitSlot::new();
        Poll::Ready(match found {
            Found::Value(mut slot) => {
                receiver.next += 1;
                Ok(slot.receive())
            }
            Found::Lagged { oldest } => {
                let missed = oldest - receiver.next;
                receiver.next = oldest;
                Err(RecvError::Lagged(missed))
            }
            Found::Closed | Found::Nothing => Err(RecvError::Closed),
        })
    }
}

impl<T> Drop for Recv<'_, T> {
    fn drop(&mut self) {
        self.receiver.shared.leave(&mut self.place);
    }
}
