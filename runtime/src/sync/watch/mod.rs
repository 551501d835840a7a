//! A channel that keeps only the last value sent, for many senders and many receivers.
//!
//! It is for what changes and whose newest state is all that matters: a configuration, a progress, a "please stop". The
//! channel always has a value, from its creation on. Each [`Receiver`] remembers which one it has seen;
//! [`changed`](Receiver::changed) waits for another. A slow receiver misses values, and no sender ever waits for one.
//!
//! # Seen and unseen
//! | call | counts as seen | at the end of the channel |
//! |---|---|---|
//! | [`borrow`](Receiver::borrow) | nothing | goes on working |
//! | [`borrow_and_update`](Receiver::borrow_and_update) | the present value | goes on working |
//! | [`has_changed`](Receiver::has_changed) | nothing | error, at once |
//! | [`changed`](Receiver::changed) | the value that it was ready for | error, after the last value |
//! | [`wait_for`](Receiver::wait_for) | every value it looked at | error, after the last value |
//!
//! A new receiver counts the value that it finds as seen.
//!
//! # Examples
//! ```
//! # futures_lite::future::block_on(async {
//! use wakeline_runtime::sync::watch;
//!
//! let (tx, mut rx) = watch::channel("hello");
//! let reader = async move {
//!     let mut read = Vec::new();
//!     loop {
//!         read.push(*rx.borrow_and_update()); // the first value too
//!         if rx.changed().await.is_err() {
//!             return read;
//!         }
//!     }
//! };
//! let writer = async move { tx.send("world").map(|()| drop(tx)) };
//! let (sent, read) = futures_lite::future::zip(writer, reader).await;
//! assert_eq!(read.last(), Some(&"world"));
//! # sent.unwrap();
//! # });
//! ```

mod borrowed;
pub mod error;
mod receiver;
mod sender;
mod shared;
mod state;

pub use borrowed::Ref;
pub use receiver::Receiver;
pub use sender::Sender;

/// Creates a watch channel whose first value is `init`.
///
/// # Examples
/// ```
/// let (tx, rx) = wakeline_runtime::sync::watch::channel("hello");
/// assert_eq!(*rx.borrow(), "hello");
/// tx.send("world").unwrap();
/// assert_eq!(*rx.borrow(), "world");
/// ```
#[must_use]
pub fn channel<T>(init: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(init);
    let receiver = sender.subscribe();
    (sender, receiver)
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
