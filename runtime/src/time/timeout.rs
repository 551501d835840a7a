//! [`Timeout`]: a future with a deadline.

use crate::clock::{Instant, Tick};
use crate::time::sleep::{Sleep, sleep_until, with_timers};
use crate::timer::shard::Shard;
use crate::trace::Place;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Waits for `future`, at most for `duration`.
///
/// The future is polled first, so one that is ready wins over a timeout that has passed. A duration too long for the
/// clock, as `Duration::MAX`, never passes.
///
/// The time counts from this call. A future that is ready when it is first polled costs no timer and no look at the clock:
/// that is taken when it is not. So the time may count from the end of that first poll instead, when that comes within
/// 0.1 s of this call, and from up to 0.2 s behind this call when it comes later. It is never shorter. Under a clock that
/// stands it counts from this call exactly, as in tokio; [`timeout_at`] with a deadline does in any case.
///
/// # Errors
/// [`Elapsed`] when the time has passed first. The future is dropped with the `Timeout`.
///
/// # Panics
/// Outside a runtime, or in one that was built without `enable_time`. When it is polled and would have to wait, but its
/// runtime has shut down.
///
/// # Cancel safety
/// That of `future`.
///
/// # Examples
/// ```
/// use std::future::{pending, ready};
/// use std::time::Duration;
/// use wakeline_runtime::time::timeout;
///
/// # fn main() -> std::io::Result<()> {
/// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
/// # runtime.block_on(async {
/// assert_eq!(timeout(Duration::from_secs(1), ready(7)).await, Ok(7));
/// assert!(timeout(Duration::from_secs(1), pending::<()>()).await.is_err());
/// # });
/// # Ok(())
/// # }
/// ```
#[track_caller]
#[inline]
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    let at = Place::here();
    let limit = with_timers(|timers| {
        let shard = timers.here();
        let clock = shard.clock();
        let called = if clock.is_the_systems() { Called::About(Tick::last()) } else { Called::At(clock.now()) };
        Limit::Counting { shard: shard.clone(), duration, called, at }
    });
    Timeout { future: future.into_future(), limit }
}

/// Waits for `future`, at most until `deadline`; see [`timeout`].
///
/// # Errors
/// [`Elapsed`] when the deadline has passed first.
///
/// # Panics
/// Outside a runtime, or in one that was built without `enable_time`. When it is polled and would have to wait, but its
/// runtime has shut down.
///
/// # Cancel safety
/// That of `future`.
///
/// # Examples
/// Several steps under one deadline:
/// ```
/// use std::time::Duration;
/// use wakeline_runtime::time::{Instant, sleep, timeout_at};
///
/// # fn main() -> std::io::Result<()> {
/// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
/// # runtime.block_on(async {
/// let deadline = Instant::now() + Duration::from_millis(100);
/// assert!(timeout_at(deadline, sleep(Duration::from_millis(70))).await.is_ok());
/// assert!(timeout_at(deadline, sleep(Duration::from_millis(70))).await.is_err());
/// # });
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    Timeout { future: future.into_future(), limit: Limit::Set(sleep_until(deadline)) }
}

pin_project! {
    /// The future of [`timeout`] and [`timeout_at`].
    ///
    /// # Examples
    /// ```
    /// use std::future::{Ready, ready};
    /// use std::time::Duration;
    /// use wakeline_runtime::time::{Timeout, timeout};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().build()?;
    /// # runtime.block_on(async {
    /// let mut limited: Timeout<Ready<u8>> = timeout(Duration::from_secs(1), ready(3));
    /// *limited.get_mut() = ready(4);
    /// assert_eq!(limited.into_inner().await, 4);
    /// # });
    /// # Ok(())
    /// # }
    /// ```
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        limit: Limit,
    }
}

/// The deadline, or what it will be made of.
#[derive(Debug)]
enum Limit {
    /// The future has not been polled yet.
    Counting {
        shard: Arc<Shard>,
        duration: Duration,
        called: Called,
        at: Place,
    },
    Set(Sleep),
}

/// When `timeout` was called.
#[derive(Clone, Copy, Debug)]
enum Called {
    At(Instant),
    /// The clock runs: not long behind this.
    About(Tick),
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

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        this.limit.sleep().poll_unbudgeted(cx).map(|()| Err(Elapsed(())))
    }
}

impl Limit {
    /// The wait for the deadline, which is made now if it has not been yet.
    fn sleep(&mut self) -> &mut Sleep {
        if let Limit::Counting { shard, duration, called, at } = self {
            let now = shard.clock().now();
            let from = match *called {
                Called::At(moment) => moment,
                // Of a clock that was stopped in between it says nothing.
                Called::About(tick) if shard.clock().is_the_systems() => {
                    now.checked_sub(tick.passed()).expect("what has passed is less than the system's age")
                }
                Called::About(_) => now,
            };
            let sleep = Sleep::new(from.saturating_add(*duration), now, shard.clone());
            *self = Limit::Set(sleep.told_of(*at));
        }
        match self {
            Limit::Set(sleep) => sleep,
            Limit::Counting { .. } => unreachable!("it was set above"),
        }
    }
}

/// The deadline of a [`Timeout`] has passed before its future was ready.
///
/// # Examples
/// ```
/// use std::io;
/// use std::time::Duration;
/// use wakeline_runtime::time::{error::Elapsed, timeout};
///
/// # fn main() -> io::Result<()> {
/// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
/// # runtime.block_on(async {
/// let result: Result<(), Elapsed> = timeout(Duration::from_secs(1), std::future::pending()).await;
/// assert_eq!(result.map_err(io::Error::from).unwrap_err().kind(), io::ErrorKind::TimedOut);
/// # });
/// # Ok(())
/// # }
/// ```
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
