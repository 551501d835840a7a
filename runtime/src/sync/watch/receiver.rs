//! [`Receiver`]: reads the value, and waits for the next.

use crate::coop;
use crate::sync::watch::borrowed::Ref;
use crate::sync::watch::error::RecvError;
use crate::sync::watch::shared::Shared;
use crate::sync::watch::state::{CROWDS, Snapshot, Version};
use crate::wait_queue::WaitSlot;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// The reading end of a [watch channel](crate::sync::watch). It remembers which value it has seen.
///
/// A clone has seen what the original has seen.
#[derive(Debug)]
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: Version,
    /// Where it waits.
    crowd: usize,
}

impl<T> Receiver<T> {
    pub(crate) fn new(shared: Arc<Shared<T>>, seen: Version) -> Receiver<T> {
        let crowd = shared.state.add_receiver() % CROWDS;
        Receiver { shared, seen, crowd }
    }

    /// One for the models, which need two in one crowd.
    #[cfg(all(test, loom))]
    pub(crate) fn in_first_crowd(shared: Arc<Shared<T>>, seen: Version) -> Receiver<T> {
        let mut receiver = Receiver::new(shared, seen);
        receiver.crowd = 0;
        receiver
    }

    /// Borrows the present value, without counting it as seen.
    ///
    /// The borrow holds a read lock; see [`Ref`].
    ///
    /// # Examples
    /// ```
    /// let (_tx, rx) = wakeline_runtime::sync::watch::channel("hello");
    /// assert_eq!(*rx.borrow(), "hello");
    /// ```
    pub fn borrow(&self) -> Ref<'_, T> {
        let value = self.shared.value.read();
        // Under the lock: the version is this value's.
        let has_changed = self.shared.state.load().version() != self.seen;
        Ref::new(value, has_changed)
    }

    /// Borrows the present value, which counts as seen from now on.
    ///
    /// In a loop with [`changed`](Receiver::changed) this is the one to take: with [`borrow`](Receiver::borrow), a value sent
    /// between the two would be met twice. The borrow holds a read lock; see [`Ref`].
    ///
    /// # Examples
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let (tx, mut rx) = wakeline_runtime::sync::watch::channel(0);
    /// tx.send(1)?;
    /// drop(tx);
    /// while rx.changed().await.is_ok() {
    ///     assert_eq!(*rx.borrow_and_update(), 1);
    /// }
    /// # Ok::<_, wakeline_runtime::sync::watch::error::SendError<i32>>(())
    /// # }).unwrap();
    /// ```
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let value = self.shared.value.read();
        let version = self.shared.state.load().version();
        let has_changed = version != self.seen;
        self.seen = version;
        Ref::new(value, has_changed)
    }

    /// Whether there is a value that this receiver has not seen. One load.
    ///
    /// Values are not compared: the same one sent again is a new one.
    ///
    /// # Errors
    /// When the last sender is gone, even if there is an unseen value.
    ///
    /// # Examples
    /// ```
    /// let (tx, mut rx) = wakeline_runtime::sync::watch::channel(1);
    /// assert!(!rx.has_changed().unwrap());
    /// tx.send(1).unwrap();
    /// assert!(rx.has_changed().unwrap());
    /// rx.mark_unchanged();
    /// assert!(!rx.has_changed().unwrap());
    /// drop(tx);
    /// assert!(rx.has_changed().is_err());
    /// ```
    #[inline]
    pub fn has_changed(&self) -> Result<bool, RecvError> {
        let now = self.shared.state.load();
        if now.is_closed() {
            return Err(RecvError::new());
        }
        Ok(now.version() != self.seen)
    }

    /// Whether the last sender is gone.
    ///
    /// # Examples
    /// ```
    /// let (tx, rx) = wakeline_runtime::sync::watch::channel(());
    /// assert!(!rx.is_closed());
    /// drop(tx);
    /// assert!(rx.is_closed());
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.state.load().is_closed()
    }

    /// Counts the present value as unseen: the next [`changed`](Receiver::changed) is ready at once.
    ///
    /// # Examples
    /// ```
    /// let (_tx, mut rx) = wakeline_runtime::sync::watch::channel(1);
    /// rx.mark_changed();
    /// assert!(rx.has_changed().unwrap());
    /// ```
    pub fn mark_changed(&mut self) {
        self.seen = self.shared.state.load().version().before();
    }

    /// Counts the present value as seen.
    ///
    /// # Examples
    /// ```
    /// let (tx, mut rx) = wakeline_runtime::sync::watch::channel(1);
    /// tx.send(2).unwrap();
    /// rx.mark_unchanged();
    /// assert!(!rx.has_changed().unwrap());
    /// ```
    pub fn mark_unchanged(&mut self) {
        self.seen = self.shared.state.load().version();
    }

    /// Waits for a value that this receiver has not seen, and counts it as seen; ready at once when there is one.
    ///
    /// # Errors
    /// When the last sender is gone and its last value has been seen.
    ///
    /// # Cancel safety
    /// Yes: dropped before it is ready, it has counted nothing as seen.
    ///
    /// # Examples
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let (tx, mut rx) = wakeline_runtime::sync::watch::channel("hello");
    /// let sender = std::thread::spawn(move || tx.send("goodbye"));
    /// assert!(rx.changed().await.is_ok());
    /// assert_eq!(*rx.borrow_and_update(), "goodbye");
    /// assert!(rx.changed().await.is_err(), "the sender is gone");
    /// # sender.join().unwrap().unwrap();
    /// # });
    /// ```
    pub async fn changed(&mut self) -> Result<(), RecvError> {
        Changed { shared: &self.shared, seen: &mut self.seen, crowd: self.crowd, slot: WaitSlot::new() }.await
    }

    /// Waits for a value for which `f` is true, and borrows it; ready at once when the present one is such a value, seen or
    /// not. The value counts as seen, and so does every one that `f` has declined.
    ///
    /// `f` is called under the value's read lock, always on the newest value: when several are sent quickly, some may never
    /// meet it. The borrow holds the read lock; see [`Ref`].
    ///
    /// # Errors
    /// When the last sender is gone and `f` has declined its last value.
    ///
    /// # Panics
    /// When `f` does. The channel stays usable.
    ///
    /// # Cancel safety
    /// Yes: dropped before it is ready, `f` has declined the last value that counts as seen.
    ///
    /// # Examples
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let (tx, mut rx) = wakeline_runtime::sync::watch::channel(0);
    /// let sender = std::thread::spawn(move || (1..=5).try_for_each(|n| tx.send(n)));
    /// assert_eq!(*rx.wait_for(|n| *n == 5).await.unwrap(), 5);
    /// # sender.join().unwrap().unwrap();
    /// # });
    /// ```
    pub async fn wait_for(&mut self, mut f: impl FnMut(&T) -> bool) -> Result<Ref<'_, T>, RecvError> {
        coop::consume_budget().await;
        loop {
            {
                let value = self.shared.value.read();
                let version = self.shared.state.load().version();
                let has_changed = version != self.seen;
                self.seen = version;
                if f(&value) {
                    return Ok(Ref::new(value, has_changed));
                }
            }
            // The error says that the value seen, which `f` has just declined, was the last.
            Changed { shared: &self.shared, seen: &mut self.seen, crowd: self.crowd, slot: WaitSlot::new() }.await?;
        }
    }

    /// Whether both belong to one channel.
    ///
    /// # Examples
    /// ```
    /// let (tx, rx) = wakeline_runtime::sync::watch::channel(());
    /// assert!(rx.same_channel(&rx.clone()) && rx.same_channel(&tx.subscribe()));
    /// ```
    #[must_use]
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        Receiver::new(self.shared.clone(), self.seen)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if self.shared.state.remove_receiver() {
            self.shared.closing.wake_all();
        }
    }
}

/// Waits for a version other than the one seen.
struct Changed<'a, T> {
    shared: &'a Shared<T>,
    seen: &'a mut Version,
    crowd: usize,
    slot: WaitSlot,
}

impl<T> Changed<'_, T> {
    fn poll_news(&mut self, cx: &mut Context<'_>) -> Poll<Snapshot> {
        let now = self.shared.state.load();
        if now.version() != *self.seen || now.is_closed() {
            self.shared.leave(self.crowd, &mut self.slot);
            return Poll::Ready(now);
        }
        match self.shared.wait(self.crowd, &mut self.slot, cx.waker(), *self.seen) {
            Some(now) => Poll::Ready(now),
            None => Poll::Pending,
        }
    }
}

impl<T> Future for Changed<'_, T> {
    type Output = Result<(), RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), RecvError>> {
        let progress = ready!(coop::poll_proceed(cx));
        let now = ready!(self.poll_news(cx));
        progress.made();
        if now.version() == *self.seen {
            return Poll::Ready(Err(RecvError::new()));
        }
        *self.seen = now.version();
        Poll::Ready(Ok(()))
    }
}

impl<T> Drop for Changed<'_, T> {
    fn drop(&mut self) {
        self.shared.leave(self.crowd, &mut self.slot);
    }
}
