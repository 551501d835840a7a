//! A channel whose every value goes to every receiver, for many senders and many receivers.
//!
//! A value is kept once, in a ring, until the last receiver that was there when it was sent has seen it; the others get
//! clones. [`Sender::subscribe`] adds a receiver, which begins with what is sent from then on.
//!
//! # Lagging
//! A sender never waits. When the ring is full, the next value overwrites the oldest, seen or not. A receiver that had yet
//! to see it hears so once, by [`Lagged`](error::RecvError::Lagged) with the number of values it has missed, and goes on with
//! the oldest that is left. The ring's length is the channel's capacity rounded up to the next power of two: with
//! `channel(3)` a receiver lags when it falls more than 4 values behind.
//!
//! # Closing
//! The channel is closed when the last [`Sender`] has gone. Receivers then receive what there is, and after that
//! [`Closed`](error::RecvError::Closed). A receiver that goes has seen all: values that only it had yet to see are dropped.
//!
//! # Examples
//! ```
//! # futures_lite::future::block_on(async {
//! use wakeline_runtime::sync::broadcast;
//!
//! let (tx, mut first) = broadcast::channel(16);
//! let mut second = tx.subscribe();
//! tx.send("hello").unwrap();
//! drop(tx);
//! assert_eq!(first.recv().await, Ok("hello"));
//! assert_eq!(second.recv().await, Ok("hello"));
//! assert_eq!(second.recv().await, Err(broadcast::error::RecvError::Closed));
//! # });
//! ```

pub mod error;
mod handles;
mod receiver;
mod sender;
mod shared;

pub use receiver::Receiver;
pub use sender::{Sender, WeakSender};

/// Creates a broadcast channel that keeps the last `capacity` values, rounded up to the next power of two.
///
/// The ring is allocated at once.
///
/// # Panics
/// When `capacity` is 0, over `usize::MAX / 2`, or more than can be allocated.
///
/// # Examples
/// ```
/// let (tx, mut rx) = wakeline_runtime::sync::broadcast::channel(2);
/// tx.send(1).unwrap();
/// assert_eq!(rx.try_recv(), Ok(1));
/// ```
#[must_use]
#[track_caller]
pub fn channel<T: Clone>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(capacity);
    let receiver = sender.subscribe();
    (sender, receiver)
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
