//! [`Sender`]: changes the value, and tells those who wait for it.

use crate::coop;
use crate::sync::watch::borrowed::Ref;
use crate::sync::watch::error::SendError;
use crate::sync::watch::receiver::Receiver;
use crate::sync::watch::shared::Shared;
use crate::wait_queue::{Events, Mode};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

/// The writing end of a [watch channel](crate::sync::watch). Cheap to clone.
///
/// When the last one goes, so does the channel: receivers hear of it when they have seen the last value.
#[derive(Debug)]
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Creates a channel without a receiver yet.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::watch;
    ///
    /// let tx = watch::Sender::new(0);
    /// assert!(tx.send(1).is_err(), "nobody is there");
    /// let rx = tx.subscribe();
    /// tx.send(2).unwrap();
    /// assert_eq!(*rx.borrow(), 2);
    /// ```
    #[must_use]
    pub fn new(init: T) -> Sender<T> {
        Sender { shared: Arc::new(Shared::new(init)) }
    }

    /// Sends a value, which takes the place of the present one.
    ///
    /// # Errors
    /// When there is no receiver; the value comes back in the error, and the channel keeps the one it has. To change it all
    /// the same, use [`send_replace`](Sender::send_replace).
    ///
    /// # Examples
    /// ```
    /// let (tx, rx) = wakeline_runtime::sync::watch::channel(1);
    /// tx.send(2).unwrap();
    /// drop(rx);
    /// assert_eq!(tx.send(3).unwrap_err().0, 3);
    /// ```
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.is_closed() {
            return Err(SendError(value));
        }
        // The old value drops here, after the lock.
        drop(self.send_replace(value));
        Ok(())
    }

    /// Changes the value in place and tells all receivers. There need not be any.
    ///
    /// `modify` is called under the value's lock.
    ///
    /// # Panics
    /// When `modify` does. The channel stays usable, the value is as `modify` left it, and nobody is told.
    ///
    /// # Examples
    /// ```
    /// let (tx, rx) = wakeline_runtime::sync::watch::channel(vec![1]);
    /// tx.send_modify(|list| list.push(2));
    /// assert_eq!(*rx.borrow(), [1, 2]);
    /// ```
    pub fn send_modify<F>(&self, modify: F)
    where
        F: FnOnce(&mut T),
    {
        self.send_if_modified(|value| {
            modify(value);
            true
        });
    }

    /// Changes the value in place, and tells all receivers if `modify` returns true, as this then does too.
    ///
    /// `modify` is called under the value's lock. A change without a `true` is seen by who looks, and nobody is told.
    ///
    /// # Panics
    /// When `modify` does. The channel stays usable, the value is as `modify` left it, and nobody is told.
    ///
    /// # Examples
    /// ```
    /// let (tx, rx) = wakeline_runtime::sync::watch::channel(1);
    /// let raise_to = |floor: i32| move |value: &mut i32| {
    ///     let is_less = *value < floor;
    ///     if is_less { *value = floor; }
    ///     is_less
    /// };
    /// assert!(!tx.send_if_modified(raise_to(0)) && !rx.has_changed().unwrap());
    /// assert!(tx.send_if_modified(raise_to(5)) && rx.has_changed().unwrap());
    /// ```
    pub fn send_if_modified<F>(&self, modify: F) -> bool
    where
        F: FnOnce(&mut T) -> bool,
    {
        let mut value = self.shared.value.write();
        if !modify(&mut value) {
            return false;
        }
        let published = self.shared.state.publish();
        drop(value);
        self.shared.tell(published);
        true
    }

    /// Sends a value and returns the one before. There need not be a receiver.
    ///
    /// # Examples
    /// ```
    /// let (tx, _rx) = wakeline_runtime::sync::watch::channel(1);
    /// assert_eq!(tx.send_replace(2), 1);
    /// ```
    pub fn send_replace(&self, mut value: T) -> T {
        self.send_modify(|old| std::mem::swap(old, &mut value));
        value
    }

    /// Borrows the present value. The borrow holds a read lock; see [`Ref`].
    ///
    /// # Examples
    /// ```
    /// let (tx, _rx) = wakeline_runtime::sync::watch::channel("hello");
    /// assert_eq!(*tx.borrow(), "hello");
    /// ```
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref::new(self.shared.value.read(), false)
    }

    /// Whether there is no receiver now. [`subscribe`](Sender::subscribe) opens the channel again.
    ///
    /// # Examples
    /// ```
    /// let (tx, rx) = wakeline_runtime::sync::watch::channel(());
    /// assert!(!tx.is_closed());
    /// drop(rx);
    /// assert!(tx.is_closed());
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.receiver_count() == 0
    }

    /// Waits until there is no receiver.
    ///
    /// A channel without one for a moment only, because [`subscribe`](Sender::subscribe) was called, may go unnoticed.
    ///
    /// # Cancel safety
    /// Yes.
    ///
    /// # Examples
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let (tx, rx) = wakeline_runtime::sync::watch::channel("hello");
    /// let reader = std::thread::spawn(move || println!("{}", *rx.borrow()));
    /// tx.closed().await;
    /// # reader.join().unwrap();
    /// # });
    /// ```
    pub async fn closed(&self) {
        let is_closed = || self.is_closed().then_some(());
        let mut closed = self.shared.closing.wait_until(Events::HUP, Mode::Shared, is_closed);
        std::future::poll_fn(move |cx| {
            let progress = ready!(coop::poll_proceed(cx));
            ready!(Pin::new(&mut closed).poll(cx));
            progress.made();
            Poll::Ready(())
        })
        .await;
    }

    /// Adds a receiver, which counts the present value as seen.
    ///
    /// # Examples
    /// ```
    /// let tx = wakeline_runtime::sync::watch::Sender::new(1);
    /// let rx = tx.subscribe();
    /// assert!(!rx.has_changed().unwrap());
    /// ```
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        let seen = self.shared.state.load().version();
        Receiver::new(self.shared.clone(), seen)
    }

    /// How many receivers there are now.
    ///
    /// # Examples
    /// ```
    /// let (tx, rx) = wakeline_runtime::sync::watch::channel(());
    /// let _second = rx.clone();
    /// assert_eq!(tx.receiver_count(), 2);
    /// ```
    #[must_use]
    pub fn receiver_count(&self) -> usize {
        self.shared.state.receivers()
    }

    /// How many senders there are now.
    ///
    /// # Examples
    /// ```
    /// let (tx, _rx) = wakeline_runtime::sync::watch::channel(());
    /// let _second = tx.clone();
    /// assert_eq!(tx.sender_count(), 2);
    /// ```
    #[must_use]
    pub fn sender_count(&self) -> usize {
        self.shared.state.senders()
    }

    /// Whether both belong to one channel.
    ///
    /// # Examples
    /// ```
    /// let (tx, _rx) = wakeline_runtime::sync::watch::channel(());
    /// assert!(tx.same_channel(&tx.clone()));
    /// ```
    #[must_use]
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.state.add_sender();
        Sender { shared: self.shared.clone() }
    }
}

impl<T: Default> Default for Sender<T> {
    fn default() -> Sender<T> {
        Sender::new(T::default())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.shared.state.remove_sender() {
            let closed = self.shared.state.close();
            self.shared.tell(closed);
        }
    }
}
