//! A queue with many senders and one receiver, with a bound or without.
//!
//! - [`channel`] has a bound: when it is full, senders wait, in order. That is how a slow receiver slows its senders down.
//! - [`unbounded_channel`] has none: sending never waits, and the queue grows with what is not received.
//!
//! Values of one sender are received in the order in which they were sent.
//!
//! # The end
//! When all senders are gone, the receiver gets what is left, then `None`. When the receiver is gone, or has
//! [closed](Receiver::close) the channel, sending fails and gives the value back. A receiver that closes and then receives
//! until `None` has lost nothing: values that were sent before, and those for which a [`Permit`] was given, still come.
//!
//! # Tasks and threads
//! Any executor can drive the futures, and threads have `blocking_send` and `blocking_recv`. Everything is usable from
//! anywhere; nothing here needs a runtime but [`Sender::send_timeout`], which needs its timers.
//!
//! # Examples
//! ```
//! use wakeline_runtime::sync::mpsc;
//!
//! # fn main() -> std::io::Result<()> {
//! # wakeline_runtime::Builder::new_current_thread().build()?.block_on(async {
//! let (tx, mut rx) = mpsc::channel(16);
//! for name in ["one", "two"] {
//!     let tx = tx.clone();
//!     wakeline_runtime::spawn(async move { tx.send(name).await });
//! }
//! drop(tx); // the receiver ends when the last sender does
//!
//! let mut names = Vec::new();
//! while let Some(name) = rx.recv().await {
//!     names.push(name);
//! }
//! names.sort();
//! assert_eq!(names, ["one", "two"]);
//! # });
//! # Ok(())
//! # }
//! ```
//!
//! # Differences from tokio
//! The receivers are [`Stream`](futures_core::Stream)s themselves. A sender that waits for many permits at once does not
//! hold some of them meanwhile; still nobody overtakes it.

mod chan;
mod ends;
pub mod error;
mod permit;
mod queue;
mod receiver;
mod returned;
mod sender;
mod unbounded;
mod wait;
mod weak;

pub use self::permit::{OwnedPermit, Permit, PermitIterator};
pub use self::receiver::Receiver;
pub use self::sender::{Sender, channel};
pub use self::unbounded::{UnboundedReceiver, UnboundedSender, WeakUnboundedSender, unbounded_channel};
pub use self::weak::WeakSender;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
