//! [`Timeout`]: a future with a deadline.

use crate::clock::Instant;
use crate::time::sleep::{Sleep, sleep, sleep_until};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Waits for `future`, at most for `duration`.
///
/// The future is polled first, so one that is ready wins over a timeout that has passed.
///
/// # Errors
/// [`Elapsed`] when the time has passed first. The future is dropped with the `Timeout`.
///
/// # Panics
/// Outside a runtime, or in one that was built without `enable_time`.
///
/// # Cancel safety
/// That of `future`.
///
/// # Examples
/// ```no_run
/// # async fn example() {
/// use std::time::Duration;
/// let never = std::future::pending::<()>();
/// assert!(wakeline_runtime::time::timeout(Duration::from_millis(10), never).await.is_err());
/// # }
/// ```
#[track_caller]
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    Timeout { future: future.into_future(), sleep: sleep(duration) }
}

/// Waits for `future`, at most until `deadline`; see [`timeout`].
///
/// # Errors
/// [`Elapsed`] when the deadline has passed first.
///
/// # Panics
/// Outside a runtime, or in one that was built without `enable_time`.
///
/// # Cancel safety
/// That of `future`.
#[track_caller]
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    Timeout { future: future.into_future(), sleep: sleep_until(deadline) }
}

pin_project! {
    /// The future of [`timeout`] and [`timeout_at`].
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        sleep: Sleep,
    }
}

impl<F> Timeout<F> {
    /// The future that is waited for.
    pub fn get_ref(&self) -> &F {
        &self.future
    }

    /// The future that is waited for.
    pub fn get_mut(&mut self) -> &mut F {
        &mut self.future
    }

    /// The future that is waited for, without the deadline.
    pub fn into_inner(self) -> F {
        self.future
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        this.sleep.poll_unbudgeted(cx).map(|()| Err(Elapsed(())))
    }
}

/// The deadline of a [`Timeout`] has passed before its future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadline has elapsed")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}
