//! Room in a bounded channel, reserved before there is a value for it.

use crate::sync::mpsc::ends::Tx;
use crate::sync::mpsc::sender::Sender;
use std::fmt;
use std::iter::FusedIterator;
use std::mem;

/// Room for one value; from [`Sender::reserve`] and [`Sender::try_reserve`]. Dropping it gives the room back.
#[must_use = "dropping it gives the room back"]
pub struct Permit<'a, T> {
    tx: &'a Tx<T>,
}

impl<'a, T> Permit<'a, T> {
    /// For a permit that was taken from `tx`.
    pub(super) fn new(tx: &'a Tx<T>) -> Permit<'a, T> {
        Permit { tx }
    }

    /// Sends `value`, at once.
    ///
    /// Also when the channel was closed after the permit was given: the receiver waits for it. If the receiver is gone, the
    /// value is dropped.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::mpsc;
    /// # futures_lite::future::block_on(async {
    /// let (tx, mut rx) = mpsc::channel(1);
    /// let permit = tx.reserve().await?;
    /// assert!(tx.try_send("no room").is_err());
    /// permit.send("hello");
    /// assert_eq!(rx.recv().await, Some("hello"));
    /// # Ok::<(), mpsc::error::SendError<()>>(())
    /// # }).unwrap();
    /// ```
    pub fn send(self, value: T) {
        let tx = self.tx;
        // The permit goes with the value, not back.
        mem::forget(self);
        tx.send_permitted(value);
    }
}

impl<T> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        self.tx.release(1);
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

/// Room for some values, one [`Permit`] at a time; from [`Sender::reserve_many`] and [`Sender::try_reserve_many`].
///
/// Dropping it gives the rest of the room back.
#[must_use = "dropping it gives the room back"]
pub struct PermitIterator<'a, T> {
    tx: &'a Tx<T>,
    left: usize,
}

impl<'a, T> PermitIterator<'a, T> {
    /// For as many permits that were taken from `tx`.
    pub(super) fn new(tx: &'a Tx<T>, permits: usize) -> PermitIterator<'a, T> {
        PermitIterator { tx, left: permits }
    }
}

impl<'a, T> Iterator for PermitIterator<'a, T> {
    type Item = Permit<'a, T>;

    fn next(&mut self) -> Option<Permit<'a, T>> {
        self.left = self.left.checked_sub(1)?;
        Some(Permit::new(self.tx))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for PermitIterator<'_, T> {}
impl<T> FusedIterator for PermitIterator<'_, T> {}

impl<T> Drop for PermitIterator<'_, T> {
    fn drop(&mut self) {
        if self.left > 0 {
            self.tx.release(self.left);
        }
    }
}

impl<T> fmt::Debug for PermitIterator<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PermitIterator").field("left", &self.left).finish_non_exhaustive()
    }
}

/// Room for one value, together with the sender that reserved it; from [`Sender::reserve_owned`] and
/// [`Sender::try_reserve_owned`]. Dropping it gives the room back and drops the sender.
#[must_use = "dropping it gives the room back"]
pub struct OwnedPermit<T> {
    /// Taken out when the permit is used.
    tx: Option<Tx<T>>,
}

impl<T> OwnedPermit<T> {
    /// For a permit that was taken from `tx`.
    pub(super) fn new(tx: Tx<T>) -> OwnedPermit<T> {
        OwnedPermit { tx: Some(tx) }
    }

    /// Sends `value`, at once, and gives the sender back; see [`Permit::send`].
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::mpsc;
    /// # futures_lite::future::block_on(async {
    /// let (tx, mut rx) = mpsc::channel(1);
    /// let tx = tx.reserve_owned().await?.send("hello");
    /// assert_eq!(rx.recv().await, Some("hello"));
    /// assert_eq!(tx.capacity(), 1);
    /// # Ok::<(), mpsc::error::SendError<()>>(())
    /// # }).unwrap();
    /// ```
    pub fn send(mut self, value: T) -> Sender<T> {
        let tx = self.take();
        tx.send_permitted(value);
        Sender::new(tx)
    }

    /// Gives the room back, and the sender.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::mpsc;
    /// let (tx, _rx) = mpsc::channel::<()>(1);
    /// let permit = tx.try_reserve_owned().expect("there is room");
    /// let tx = permit.release();
    /// assert_eq!(tx.capacity(), 1);
    /// ```
    pub fn release(mut self) -> Sender<T> {
        let tx = self.take();
        tx.release(1);
        Sender::new(tx)
    }

    /// Whether both permits are for the same channel.
    #[must_use]
    pub fn same_channel(&self, other: &OwnedPermit<T>) -> bool {
        self.tx().same_channel(other.tx())
    }

    /// Whether the permit is for the channel of `sender`.
    #[must_use]
    pub fn same_channel_as_sender(&self, sender: &Sender<T>) -> bool {
        self.tx().same_channel(sender.tx())
    }

    fn tx(&self) -> &Tx<T> {
        self.tx.as_ref().expect("only what consumes the permit takes it")
    }

    fn take(&mut self) -> Tx<T> {
        self.tx.take().expect("only what consumes the permit takes it")
    }
}

impl<T> Drop for OwnedPermit<T> {
    fn drop(&mut self) {
        if let Some(tx) = self.tx.take() {
            tx.release(1);
        }
    }
}

impl<T> fmt::Debug for OwnedPermit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPermit").finish_non_exhaustive()
    }
}
