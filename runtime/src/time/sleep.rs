//! [`Sleep`]: a future that is ready at a moment.

use crate::clock::Instant;
use crate::context;
use crate::coop;
use crate::timer::Timers;
use crate::timer::shard::{Set, Shard, Touched};
use crate::timer::wheel::WheelKey;
use crate::trace::{Op, Place, Resource, ResourceKind};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Waits until `duration` has passed, counted from this call.
///
/// A duration too long for the clock, as `Duration::MAX`, never passes. A duration of zero has passed.
///
/// # Panics
/// Outside a runtime, or in one that was built without `enable_time`.
///
/// # Cancel safety
/// Dropping the future takes its timer out; nothing else is lost.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use wakeline_runtime::time::{Instant, sleep};
///
/// # fn main() -> std::io::Result<()> {
/// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
/// # runtime.block_on(async {
/// let start = Instant::now();
/// sleep(Duration::from_millis(100)).await;
/// assert!(start.elapsed() >= Duration::from_millis(100));
/// # });
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    let sleep = with_timers(|timers| {
        let shard = timers.here();
        let now = shard.clock().now();
        Sleep::new(now.saturating_add(duration), now, shard.clone())
    });
    sleep.told_of(Place::here())
}

/// Waits until `deadline`. One that has passed is ready at once.
///
/// # Panics
/// Outside a runtime, or in one that was built without `enable_time`.
///
/// # Cancel safety
/// Dropping the future takes its timer out; nothing else is lost.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use wakeline_runtime::time::{Instant, sleep_until};
///
/// # fn main() -> std::io::Result<()> {
/// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
/// # runtime.block_on(async {
/// let deadline = Instant::now() + Duration::from_millis(100);
/// sleep_until(deadline).await;
/// assert!(Instant::now() >= deadline);
/// # });
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    let shard = with_timers(|timers| timers.here().clone());
    Sleep { deadline, state: State::Unknown, shard, op: Op::NONE }.told_of(Place::here())
}

/// The future of [`sleep`] and [`sleep_until`].
///
/// It sets its timer when it is first polled: making and dropping one costs next to nothing. Unlike tokio's it is
/// `Unpin`, so it can be kept in a struct and polled without pinning; code that pins it works as well.
///
/// Once it was ready it stays so until [`reset`](Sleep::reset); polling it again is no mistake.
///
/// # Panics
/// When it is polled and would have to wait, but its runtime has shut down.
///
/// # Examples
/// One deadline for several steps:
/// ```
/// use std::time::Duration;
/// use wakeline_runtime::time::{Instant, Sleep, sleep};
///
/// # fn main() -> std::io::Result<()> {
/// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
/// # runtime.block_on(async {
/// let mut idle: Sleep = sleep(Duration::from_secs(60));
/// for _ in 0..3 {
///     // .. something happened: the minute begins anew
///     idle.reset(Instant::now() + Duration::from_secs(60));
/// }
/// (&mut idle).await;
/// assert!(idle.is_elapsed());
/// # });
/// # Ok(())
/// # }
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct Sleep {
    deadline: Instant,
    state: State,
    /// Where the timer is set: the shard of the thread that made this. Not the whole runtime, so that workers do not
    /// meet in one reference count.
    shard: Arc<Shard>,
    /// What observers are told of it.
    op: Op,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// No timer is set, and nobody has looked whether the deadline has passed.
    Unknown,
    /// No timer is set, and the deadline lay ahead when this was made: the wheel will tell when it is due.
    Ahead,
    /// A timer was set; it may have fired.
    Waiting(WheelKey),
    /// The deadline has passed.
    Elapsed,
}

impl State {
    #[inline]
    fn of(deadline: Instant, now: Instant) -> State {
        if deadline > now { State::Ahead } else { State::Elapsed }
    }
}

impl Sleep {
    /// A wait in `shard`, by somebody who has just looked at its clock.
    pub(super) fn new(deadline: Instant, now: Instant, shard: Arc<Shard>) -> Sleep {
        Sleep { deadline, state: State::of(deadline, now), shard, op: Op::NONE }
    }

    /// Tells observers of it.
    #[inline]
    pub(super) fn told_of(mut self, at: Place) -> Sleep {
        self.op = Resource::new("Sleep", ResourceKind::Timer, at).op("Sleep::new_timeout");
        self
    }

    /// The moment for which it waits; [`Instant::FAR_FUTURE`] when the clock can not name it.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::{Instant, sleep, sleep_until};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    /// # runtime.block_on(async {
    /// let deadline = Instant::now() + Duration::from_secs(1);
    /// assert_eq!(sleep_until(deadline).deadline(), deadline);
    /// # drop(sleep(Duration::ZERO));
    /// # });
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the deadline has passed.
    ///
    /// Unlike tokio's it looks at the clock, so that it needs no driver and no poll to become true.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::{Instant, sleep, sleep_until};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    /// # runtime.block_on(async {
    /// let mut sleep = sleep_until(Instant::now() + Duration::from_secs(1));
    /// assert!(!sleep.is_elapsed());
    /// (&mut sleep).await;
    /// assert!(sleep.is_elapsed());
    /// # drop(wakeline_runtime::time::sleep(Duration::ZERO));
    /// # });
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_elapsed(&self) -> bool {
        matches!(self.state, State::Elapsed) || self.deadline <= self.now()
    }

    /// Waits for another moment instead, whether or not the first one has passed.
    ///
    /// A task that waits already is told at the new moment without polling again. Costs no allocation. When the runtime
    /// has shut down, the next poll says so.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::{Instant, sleep, sleep_until};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    /// # runtime.block_on(async {
    /// let start = Instant::now();
    /// let mut sleep = sleep(Duration::from_secs(1));
    /// sleep.reset(start + Duration::from_secs(5));
    /// sleep.await;
    /// assert_eq!(start.elapsed(), Duration::from_secs(5));
    /// # drop(sleep_until(start));
    /// # });
    /// # Ok(())
    /// # }
    /// ```
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        self.op.duration(|| self.remaining_ms());
        self.state = match self.state {
            State::Waiting(key) => self.shard.reset(key, deadline).map_or(State::Unknown, State::Waiting),
            _ => State::Unknown,
        };
    }

    /// As [`reset`](Sleep::reset), by somebody who has just looked at the clock.
    pub(super) fn reset_at(&mut self, deadline: Instant, now: Instant) {
        self.reset(deadline);
        if matches!(self.state, State::Unknown) {
            self.state = State::of(deadline, now);
        }
    }

    /// As `poll`, but free of the task's budget: a timeout must be heard beside a future that uses the budget up.
    #[inline]
    pub(crate) fn poll_unbudgeted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let op = std::mem::take(&mut self.op);
        let polled = op.poll("poll_elapsed", || self.poll_elapsed(cx, &op));
        self.op = op;
        polled
    }

    #[inline]
    fn poll_elapsed(&mut self, cx: &mut Context<'_>, op: &Op) -> Poll<()> {
        let known = match self.state {
            State::Elapsed => return Poll::Ready(()),
            State::Waiting(key) => return self.poll_waiting(key, cx),
            State::Unknown => self.now(),
            // The look at the operating system's clock is most of what a timer costs.
            State::Ahead => self.shard.clock().now_if_standing().unwrap_or(NEVER),
        };
        match self.shard.set(self.deadline, known, cx.waker()) {
            Set::Pending(key) => {
                op.duration(|| self.remaining_ms());
                self.state = State::Waiting(key);
                Poll::Pending
            }
            Set::Due => {
                self.state = State::Elapsed;
                Poll::Ready(())
            }
            Set::Closed => closed(),
        }
    }

    fn poll_waiting(&mut self, key: WheelKey, cx: &mut Context<'_>) -> Poll<()> {
        // A running clock is left to the driver; one that stands costs nothing to look at.
        if self.shard.clock().now_if_standing().is_some_and(|now| self.deadline <= now) {
            self.shard.cancel(key);
            self.state = State::Elapsed;
            return Poll::Ready(());
        }
        match self.shard.update(key, cx.waker()) {
            Touched::Pending => Poll::Pending,
            Touched::Gone => {
                self.state = State::Elapsed;
                Poll::Ready(())
            }
            Touched::Closed => closed(),
        }
    }

    /// What is left until the deadline.
    fn remaining_ms(&self) -> u64 {
        u64::try_from(self.deadline.saturating_duration_since(self.now()).as_millis()).unwrap_or(u64::MAX)
    }

    /// The present moment, by the clock that this waits for.
    pub(super) fn now(&self) -> Instant {
        self.shard.clock().now()
    }
}

impl Future for Sleep {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let progress = ready!(coop::poll_proceed(cx));
        ready!(self.poll_unbudgeted(cx));
        progress.made();
        Poll::Ready(())
    }
}

impl Drop for Sleep {
    #[inline]
    fn drop(&mut self) {
        if let State::Waiting(key) = self.state {
            self.shard.cancel(key);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).field("state", &self.state).finish_non_exhaustive()
    }
}

/// A moment that passed before any deadline.
const NEVER: Instant = Instant::from_nanos(0);

/// Runs `f`, which runs no user code, with the timers of the calling thread's runtime.
#[inline]
#[track_caller]
pub(super) fn with_timers<R>(f: impl FnOnce(&Timers) -> R) -> R {
    match context::with_current(|handle| handle.driver().timers().map(f)) {
        Some(Some(result)) => result,
        Some(None) => no_timers(),
        None => context::no_runtime(),
    }
}

#[cold]
#[track_caller]
pub(super) fn no_timers() -> ! {
    panic!("this runtime has no timers: call `enable_time()` or `enable_all()` on its Builder")
}

#[cold]
fn closed() -> ! {
    panic!("the runtime of this timer has shut down: no deadline will come any more")
}
