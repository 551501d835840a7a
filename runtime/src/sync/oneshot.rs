//! One value, from one sender to one receiver: an answer, a result, a signal.
//!
//! The receiver is a future. The sender never waits, and can learn that nobody wants its value.
//!
//! # Examples
//! ```
//! use wakeline_runtime::sync::oneshot;
//!
//! # fn main() -> std::io::Result<()> {
//! # wakeline_runtime::Builder::new_current_thread().build()?.block_on(async {
//! let (tx, rx) = oneshot::channel();
//! wakeline_runtime::spawn(async move { tx.send(6 * 7) });
//! assert_eq!(rx.await, Ok(42));
//! # });
//! # Ok(())
//! # }
//! ```
//! A request that carries the way back for its answer:
//! ```
//! use wakeline_runtime::sync::{mpsc, oneshot};
//!
//! # futures_lite::future::block_on(async {
//! let (tx, mut rx) = mpsc::channel::<(u32, oneshot::Sender<u32>)>(8);
//! let server = async {
//!     while let Some((n, reply)) = rx.recv().await {
//!         let _ = reply.send(n * n); // who asked may have gone away: then nobody misses it
//!     }
//! };
//! let client = async move {
//!     let (reply, answer) = oneshot::channel();
//!     tx.send((7, reply)).await.expect("the server lives as long as its clients");
//!     assert_eq!(answer.await, Ok(49));
//! };
//! futures_lite::future::zip(server, client).await;
//! # });
//! ```

mod halves;
mod state;

use crate::coop;
use crate::sync::blocking;
use crate::sync::oneshot::error::{RecvError, TryRecvError};
use crate::sync::oneshot::halves::{ReceiverHalf, SenderHalf, halves};
use crate::sync::oneshot::state::Seen;
use crate::trace::{Op, Place, Resource, ResourceKind};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A channel for one value.
///
/// # Examples
/// ```
/// # use wakeline_runtime::sync::oneshot;
/// let (tx, mut rx) = oneshot::channel();
/// assert!(rx.try_recv().is_err());
/// assert!(tx.send("hello").is_ok());
/// assert_eq!(rx.try_recv(), Ok("hello"));
/// ```
#[track_caller]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let resource = Resource::new("Sender|Receiver", ResourceKind::Sync, Place::here());
    let op = resource.op("Receiver::await");
    let (sender, receiver) = halves();
    (Sender { half: sender, resource }, Receiver { half: Some(receiver), op })
}

/// Sends the value. Dropped without, it lets the receiver fail with [`RecvError`].
pub struct Sender<T> {
    half: SenderHalf<T>,
    /// What observers are told of the channel.
    resource: Resource,
}

impl<T> Sender<T> {
    /// Sends `value`, at once.
    ///
    /// That it was sent does not say that it will be received: the receiver may go away first.
    ///
    /// # Errors
    /// When the receiver is gone or has [closed](Receiver::close); with the value.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::oneshot;
    /// let (tx, rx) = oneshot::channel();
    /// drop(rx);
    /// assert_eq!(tx.send("anybody?"), Err("anybody?"));
    /// ```
    pub fn send(self, value: T) -> Result<(), T> {
        self.half.end(Some(value)).map_err(|value| value.expect("what was refused comes back"))
    }

    /// Waits until the receiver is gone or has closed: nobody wants the value.
    ///
    /// # Cancel safety
    /// Yes.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::oneshot;
    /// # futures_lite::future::block_on(async {
    /// let (mut tx, rx) = oneshot::channel::<()>();
    /// std::thread::spawn(move || drop(rx));
    /// tx.closed().await; // no need to compute it
    /// # });
    /// ```
    pub async fn closed(&mut self) {
        let op = self.resource.op("Sender::closed");
        poll_fn(|cx| op.poll("poll_closed", || self.poll_closed(cx))).await;
    }

    /// Whether the receiver is gone or has closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.half.is_closed()
    }

    /// [`closed`](Sender::closed) for those who write futures by hand. The waker of the last call is the one that is woken.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let progress = ready!(coop::poll_proceed(cx));
        if self.half.poll_closed(cx.waker()) {
            progress.made();
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("state", &self.half).finish()
    }
}

/// Receives the value: a future of it.
///
/// # Errors
/// The future gives [`RecvError`] when the sender was dropped without sending, or the receiver had
/// [closed](Receiver::close) before.
///
/// # Panics
/// When it is polled after it was ready, which a loop around `select!` may do: see
/// [`is_terminated`](Receiver::is_terminated).
///
/// # Cancel safety
/// `&mut receiver` can be awaited, dropped and awaited again; nothing is lost.
#[must_use = "futures do nothing unless polled"]
pub struct Receiver<T> {
    /// Taken out with the result.
    half: Option<ReceiverHalf<T>>,
    op: Op,
}

impl<T> Receiver<T> {
    /// Wants no value any more; one that was sent before can still be received.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::oneshot;
    /// let (tx, mut rx) = oneshot::channel();
    /// rx.close();
    /// assert!(tx.is_closed());
    /// assert_eq!(tx.send("too late"), Err("too late"));
    /// assert!(rx.blocking_recv().is_err());
    /// ```
    pub fn close(&mut self) {
        if let Some(half) = &mut self.half {
            // What was sent before stays to be received.
            let _ = half.close();
        }
    }

    /// Whether the result was given: then there is nothing more to await.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::oneshot;
    /// # futures_lite::future::block_on(async {
    /// let (tx, mut rx) = oneshot::channel();
    /// assert!(tx.send(1).is_ok());
    /// assert!(!rx.is_terminated());
    /// assert_eq!((&mut rx).await, Ok(1));
    /// assert!(rx.is_terminated());
    /// # });
    /// ```
    #[must_use]
    pub fn is_terminated(&self) -> bool {
        self.half.is_none()
    }

    /// Whether there is no value to receive now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Some(half) = &self.half else { return true };
        !(matches!(half.look(), Seen::Sent { .. }) && half.has_value())
    }

    /// The value, if it is there.
    ///
    /// # Errors
    /// [`Empty`](TryRecvError::Empty) when it may come later; [`Closed`](TryRecvError::Closed) when not, because the sender was
    /// dropped without sending, the receiver has closed, or the result was given before.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::oneshot::{self, error::TryRecvError};
    ///
    /// let (tx, mut rx) = oneshot::channel();
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    /// assert!(tx.send("hello").is_ok());
    /// assert_eq!(rx.try_recv(), Ok("hello"));
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    /// ```
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match self.half.as_ref().map(ReceiverHalf::look) {
            Some(Seen::Pending { .. }) => Err(TryRecvError::Empty),
            Some(seen) => self.finish(seen).ok_or(TryRecvError::Closed),
            None => Err(TryRecvError::Closed),
        }
    }

    /// Waits for the value, and the thread sleeps meanwhile.
    ///
    /// # Errors
    /// As awaiting it.
    ///
    /// # Panics
    /// Where the thread drives tasks, as a worker does.
    ///
    /// # Examples
    /// ```
    /// # use wakeline_runtime::sync::oneshot;
    /// let (tx, rx) = oneshot::channel();
    /// std::thread::spawn(move || tx.send("hello"));
    /// assert_eq!(rx.blocking_recv(), Ok("hello"));
    /// ```
    #[track_caller]
    pub fn blocking_recv(mut self) -> Result<T, RecvError> {
        blocking::wait("blocking_recv", "receiver.await", |cx| Pin::new(&mut self).poll(cx))
    }

    /// Takes the result, and goes. The sender has ended, or the receiver has closed.
    #[inline]
    fn finish(&mut self, seen: Seen) -> Option<T> {
        let half = self.half.take()?;
        match seen {
            Seen::Sent { sender_gone } => half.receive(sender_gone),
            Seen::Closed | Seen::Pending { .. } => None,
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(half) = &mut this.half else {
            panic!(
                "oneshot: the receiver was polled after it had given its result; ask `is_terminated` before polling it \
                 again, for example in the precondition of a `select!` branch"
            );
        };
        let progress = ready!(coop::poll_proceed(cx));
        let seen = ready!(this.op.poll("poll_recv", || match half.poll(cx.waker()) {
            Seen::Pending { .. } => Poll::Pending,
            seen => Poll::Ready(seen),
        }));
        progress.made();
        Poll::Ready(self.finish(seen).ok_or(RecvError(())))
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("state", &self.half).finish()
    }
}

/// What the receiver can fail with.
pub mod error {
    use std::error::Error;
    use std::fmt;

    /// There will be no value: the sender was dropped without sending one, or the receiver had closed before.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct RecvError(pub(super) ());

    impl fmt::Display for RecvError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("channel closed")
        }
    }

    impl Error for RecvError {}

    /// Why there is no value.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum TryRecvError {
        /// There is none yet.
        Empty,
        /// There will be none.
        Closed,
    }

    impl fmt::Display for TryRecvError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(match self {
                TryRecvError::Empty => "channel empty",
                TryRecvError::Closed => "channel closed",
            })
        }
    }

    impl Error for TryRecvError {}
}

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
