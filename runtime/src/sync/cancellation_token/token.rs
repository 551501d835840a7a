//! [`CancellationToken`] and the futures that wait for it.

use crate::coop;
use crate::sync::cancellation_token::guard::{DropGuard, DropGuardRef};
use crate::sync::cancellation_token::tree::Node;
use crate::wait_queue::WaitSlot;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Asks tasks to end: one side calls [`cancel`](CancellationToken::cancel), the other waits for
/// [`cancelled`](CancellationToken::cancelled), or looks.
///
/// Clones are the same token. A [child](CancellationToken::child_token) is one of its own: it is cancelled with its parent,
/// and can be cancelled alone. A cancelled token stays cancelled.
///
/// Names and semantics are those of `tokio_util::sync::CancellationToken`. When a token is seen to be cancelled, all its
/// descendants are, which tokio-util does not promise.
///
/// # Examples
/// ```
/// # futures_lite::future::block_on(async {
/// use wakeline_runtime::sync::CancellationToken;
///
/// let token = CancellationToken::new();
/// let worker = std::thread::spawn({
///     let token = token.child_token();
///     move || while !token.is_cancelled() { std::thread::yield_now() }
/// });
/// token.cancel();
/// token.cancelled().await; // at once
/// worker.join().unwrap();
/// # });
/// ```
pub struct CancellationToken {
    node: Arc<Node>,
}

impl CancellationToken {
    /// A token that is not cancelled and has no parent.
    ///
    /// # Examples
    /// ```
    /// assert!(!wakeline_runtime::sync::CancellationToken::new().is_cancelled());
    /// ```
    #[must_use]
    pub fn new() -> CancellationToken {
        CancellationToken { node: Node::new() }
    }

    /// A token that is cancelled when this one is, and can be cancelled alone. Of a cancelled token it is cancelled.
    ///
    /// # Examples
    /// ```
    /// let token = wakeline_runtime::sync::CancellationToken::new();
    /// let (first, second) = (token.child_token(), token.child_token());
    /// first.cancel();
    /// assert!(first.is_cancelled() && !token.is_cancelled() && !second.is_cancelled());
    /// token.cancel();
    /// assert!(second.is_cancelled() && token.child_token().is_cancelled());
    /// ```
    #[must_use]
    pub fn child_token(&self) -> CancellationToken {
        CancellationToken { node: self.node.child() }
    }

    /// Cancels this token and all its descendants, and wakes all who wait for one of them. Again it does nothing.
    ///
    /// They are not cancelled in one instant: another thread may meanwhile see one that is and one that is not yet. But each
    /// is cancelled before its parent, and when this returns they all are.
    ///
    /// # Examples
    /// ```
    /// let token = wakeline_runtime::sync::CancellationToken::new();
    /// let grandchild = token.child_token().child_token();
    /// token.cancel();
    /// assert!(grandchild.is_cancelled());
    /// ```
    pub fn cancel(&self) {
        self.node.cancel();
    }

    /// Whether it is cancelled. One load.
    ///
    /// # Examples
    /// ```
    /// let token = wakeline_runtime::sync::CancellationToken::new();
    /// assert!(!token.is_cancelled());
    /// token.cancel();
    /// assert!(token.is_cancelled());
    /// ```
    #[inline]
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.node.is_cancelled()
    }

    /// Waits until it is cancelled; ready at once if it is.
    ///
    /// # Cancel safety
    /// Yes.
    ///
    /// # Examples
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let token = wakeline_runtime::sync::CancellationToken::new();
    /// let canceller = std::thread::spawn({ let token = token.clone(); move || token.cancel() });
    /// token.cancelled().await;
    /// # canceller.join().unwrap();
    /// # });
    /// ```
    #[inline]
    pub fn cancelled(&self) -> WaitForCancellationFuture<'_> {
        WaitForCancellationFuture { token: self, place: WaitSlot::new() }
    }

    /// As [`cancelled`](CancellationToken::cancelled), with a future that owns the token.
    ///
    /// # Cancel safety
    /// Yes.
    ///
    /// # Examples
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let token = wakeline_runtime::sync::CancellationToken::new();
    /// let cancelled = token.clone().cancelled_owned();
    /// token.cancel();
    /// cancelled.await;
    /// # });
    /// ```
    pub fn cancelled_owned(self) -> WaitForCancellationFutureOwned {
        WaitForCancellationFutureOwned { token: self, place: WaitSlot::new() }
    }

    /// A guard that cancels this token when it drops, unless it is [disarmed](DropGuard::disarm).
    ///
    /// # Examples
    /// ```
    /// let token = wakeline_runtime::sync::CancellationToken::new();
    /// drop(token.clone().drop_guard());
    /// assert!(token.is_cancelled());
    /// ```
    pub fn drop_guard(self) -> DropGuard {
        DropGuard::new(self)
    }

    /// As [`drop_guard`](CancellationToken::drop_guard), with a guard that borrows the token.
    ///
    /// # Examples
    /// ```
    /// let token = wakeline_runtime::sync::CancellationToken::new();
    /// drop(token.drop_guard_ref());
    /// assert!(token.is_cancelled());
    /// ```
    pub fn drop_guard_ref(&self) -> DropGuardRef<'_> {
        DropGuardRef::new(self)
    }

    /// Runs `fut` to its end, and returns its output; or drops it and returns `None` when the token is cancelled before.
    ///
    /// Of a token that is cancelled already, `fut` is not polled. Later it is polled first: when both come at the same time,
    /// its output is returned.
    ///
    /// # Cancel safety
    /// That of `fut`.
    ///
    /// # Examples
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let token = wakeline_runtime::sync::CancellationToken::new();
    /// assert_eq!(token.run_until_cancelled(async { 1 }).await, Some(1));
    /// token.cancel();
    /// assert_eq!(token.run_until_cancelled(async { 1 }).await, None);
    /// # });
    /// ```
    pub async fn run_until_cancelled<F>(&self, fut: F) -> Option<F::Output>
    where
        F: Future,
    {
        if self.is_cancelled() {
            return None;
        }
        RunUntilCancelled { cancelled: self.cancelled(), future: fut }.await
    }

    /// As [`run_until_cancelled`](CancellationToken::run_until_cancelled), with a future that owns the token.
    ///
    /// # Cancel safety
    /// That of `fut`.
    ///
    /// # Examples
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let token = wakeline_runtime::sync::CancellationToken::new();
    /// assert_eq!(token.run_until_cancelled_owned(async { 1 }).await, Some(1));
    /// # });
    /// ```
    pub async fn run_until_cancelled_owned<F>(self, fut: F) -> Option<F::Output>
    where
        F: Future,
    {
        self.run_until_cancelled(fut).await
    }
}

impl Clone for CancellationToken {
    fn clone(&self) -> CancellationToken {
        self.node.add_token();
        CancellationToken { node: self.node.clone() }
    }
}

impl Drop for CancellationToken {
    #[inline]
    fn drop(&mut self) {
        self.node.remove_token();
    }
}

impl Default for CancellationToken {
    fn default() -> CancellationToken {
        CancellationToken::new()
    }
}

impl fmt::Debug for CancellationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancellationToken").field("is_cancelled", &self.is_cancelled()).finish()
    }
}

/// The future of [`CancellationToken::cancelled`]. Unlike tokio-util's it is `Unpin`.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct WaitForCancellationFuture<'a> {
    token: &'a CancellationToken,
    place: WaitSlot,
}

/// The future of [`CancellationToken::cancelled_owned`]. Unlike tokio-util's it is `Unpin`.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct WaitForCancellationFutureOwned {
    token: CancellationToken,
    place: WaitSlot,
}

impl WaitForCancellationFuture<'_> {
    fn is_cancelled_or_wait(&mut self, cx: &mut Context<'_>) -> bool {
        is_cancelled_or_wait(&self.token.node, &mut self.place, cx)
    }
}

fn is_cancelled_or_wait(node: &Node, place: &mut WaitSlot, cx: &mut Context<'_>) -> bool {
    let is_cancelled = node.is_cancelled_or_wait(place, cx.waker());
    if is_cancelled {
        // It was told before the token was seen to be cancelled: the place is in no list.
        *place = WaitSlot::new();
    }
    is_cancelled
}

fn poll_within_budget(node: &Node, place: &mut WaitSlot, cx: &mut Context<'_>) -> Poll<()> {
    let progress = ready!(coop::poll_proceed(cx));
    if !is_cancelled_or_wait(node, place, cx) {
        return Poll::Pending;
    }
    progress.made();
    Poll::Ready(())
}

impl Future for WaitForCancellationFuture<'_> {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        poll_within_budget(&this.token.node, &mut this.place, cx)
    }
}

impl Drop for WaitForCancellationFuture<'_> {
    #[inline]
    fn drop(&mut self) {
        self.token.node.leave(&mut self.place);
    }
}

impl Future for WaitForCancellationFutureOwned {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        poll_within_budget(&this.token.node, &mut this.place, cx)
    }
}

impl Drop for WaitForCancellationFutureOwned {
    fn drop(&mut self) {
        self.token.node.leave(&mut self.place);
    }
}

pin_project_lite::pin_project! {
    /// The future of [`CancellationToken::run_until_cancelled`].
    struct RunUntilCancelled<'a, F> {
        cancelled: WaitForCancellationFuture<'a>,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for RunUntilCancelled<'_, F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Some(output));
        }
        // Past the budget: a future that has used it up can be cancelled all the same.
        match this.cancelled.is_cancelled_or_wait(cx) {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    }
}
