//! [`Interval`]: ticks at a steady pace.

use crate::clock::Instant;
use crate::time::sleep::{Sleep, sleep_until, with_timers};
use crate::trace::{Place, Resource, ResourceKind};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Ticks at once and then every `period`.
///
/// The first tick is due when this is called. What happens when ticks come late is the
/// [`MissedTickBehavior`]'s; by default all are made up for.
///
/// # Panics
/// When `period` is zero; outside a runtime, or in one that was built without `enable_time`.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use wakeline_runtime::time::{Instant, interval};
///
/// # fn main() -> std::io::Result<()> {
/// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
/// # runtime.block_on(async {
/// let start = Instant::now();
/// let mut interval = interval(Duration::from_millis(10));
/// interval.tick().await; // at once
/// interval.tick().await; // after 10 ms
/// interval.tick().await; // after 20 ms
/// assert!(start.elapsed() >= Duration::from_millis(20));
/// # });
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    let now = with_timers(|timers| timers.here().clock().now());
    interval_at(now, period)
}

/// Ticks at `start` and then every `period`.
///
/// # Panics
/// When `period` is zero; outside a runtime, or in one that was built without `enable_time`.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use wakeline_runtime::time::{Instant, interval_at};
///
/// # fn main() -> std::io::Result<()> {
/// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
/// # runtime.block_on(async {
/// let start = Instant::now() + Duration::from_millis(50);
/// let mut interval = interval_at(start, Duration::from_millis(10));
/// assert_eq!(interval.tick().await, start);
/// assert_eq!(interval.tick().await, start + Duration::from_millis(10));
/// # });
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval needs a period that is not zero");
    let resource = Resource::new("Interval", ResourceKind::Timer, Place::here());
    Interval { sleep: sleep_until(start), period, missed: MissedTickBehavior::Burst, resource }
}

/// What an [`Interval`] does when it was not polled in time for a tick.
///
/// As in tokio, a tick counts as missed when it is taken more than 5 ms late: the everyday lateness of a scheduler does
/// not move the beat. Up to that, ticks follow each other as under `Burst`.
/// ```text
///   period 10 ms, the second tick is taken at 25 instead of 10
///   Burst   0   25  25  30  40  50      catches up
///   Delay   0   25  35  45  55          starts anew from the late tick
///   Skip    0   25  30  40  50          stays on the beat, leaves out what was missed
/// ```
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use wakeline_runtime::time::{MissedTickBehavior, interval, sleep};
///
/// # fn main() -> std::io::Result<()> {
/// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
/// # runtime.block_on(async {
/// let mut interval = interval(Duration::from_millis(10));
/// interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
/// let start = interval.tick().await;
/// sleep(Duration::from_millis(25)).await;
/// assert_eq!(interval.tick().await, start + Duration::from_millis(10)); // the late one
/// assert_eq!(interval.tick().await, start + Duration::from_millis(30)); // 20 is left out
/// # });
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTickBehavior {
    /// Ticks as often as it takes to catch up.
    #[default]
    Burst,
    /// Waits a whole period from the late tick.
    Delay,
    /// Waits for the next multiple of the period.
    Skip,
}

impl MissedTickBehavior {
    fn next(self, due: Instant, now: Instant, period: Duration) -> Instant {
        match self {
            MissedTickBehavior::Burst => due.saturating_add(period),
            MissedTickBehavior::Delay => now.saturating_add(period),
            MissedTickBehavior::Skip => {
                let late = now.saturating_duration_since(due).as_nanos();
                // Below the period, which is at most what the clock can name when anything was late.
                let into = u64::try_from(late % period.as_nanos()).unwrap_or(0);
                now.saturating_add(period - Duration::from_nanos(into))
            }
        }
    }
}

/// A lateness up to which a tick is not taken as missed.
const TOLERANCE: Duration = Duration::from_millis(5);

/// The ticks of [`interval`] and [`interval_at`].
///
/// # Examples
/// A tick beside other work:
/// ```
/// use std::time::Duration;
/// use wakeline_runtime::time::{Interval, interval};
///
/// struct Heart {
///     beat: Interval,
///     beats: u64,
/// }
///
/// impl Heart {
///     async fn run(&mut self, beats: u64) {
///         while self.beats < beats {
///             self.beat.tick().await;
///             self.beats += 1;
///         }
///     }
/// }
///
/// # fn main() -> std::io::Result<()> {
/// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
/// # runtime.block_on(async {
/// let mut heart = Heart { beat: interval(Duration::from_millis(800)), beats: 0 };
/// heart.run(3).await;
/// assert_eq!(heart.beats, 3);
/// # });
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Interval {
    sleep: Sleep,
    period: Duration,
    missed: MissedTickBehavior,
    /// What observers are told of it.
    resource: Resource,
}

impl Interval {
    /// Waits for the next tick, and says when it was due.
    ///
    /// # Panics
    /// When it would have to wait, but its runtime has shut down.
    ///
    /// # Cancel safety
    /// A tick that was not delivered stays due.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::{MissedTickBehavior, interval};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    /// # runtime.block_on(async {
    /// let mut interval = interval(Duration::from_millis(10));
    /// let first = interval.tick().await;
    /// assert_eq!(interval.tick().await - first, Duration::from_millis(10));
    /// # let _ = MissedTickBehavior::Burst;
    /// # });
    /// # Ok(())
    /// # }
    /// ```
    pub async fn tick(&mut self) -> Instant {
        let op = self.resource.op("Interval::tick");
        poll_fn(|cx| op.poll("poll_tick", || self.poll_tick(cx))).await
    }

    /// Ready with the moment at which the next tick was due when that has come; registers the task otherwise.
    ///
    /// # Panics
    /// When it would have to wait, but its runtime has shut down.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::{MissedTickBehavior, interval};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    /// # runtime.block_on(async {
    /// let mut interval = interval(Duration::from_millis(10));
    /// let first = std::future::poll_fn(|cx| interval.poll_tick(cx)).await;
    /// assert_eq!(interval.tick().await - first, Duration::from_millis(10));
    /// # let _ = MissedTickBehavior::Burst;
    /// # });
    /// # Ok(())
    /// # }
    /// ```
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.sleep).poll(cx));
        let due = self.sleep.deadline();
        let now = self.sleep.now();
        let missed = now.saturating_duration_since(due) > TOLERANCE;
        let behavior = if missed { self.missed } else { MissedTickBehavior::Burst };
        self.sleep.reset_at(behavior.next(due, now, self.period), now);
        Poll::Ready(due)
    }

    /// The next tick is one period from now.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::{MissedTickBehavior, interval};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    /// # runtime.block_on(async {
    /// let mut interval = interval(Duration::from_millis(10));
    /// let first = interval.tick().await;
    /// wakeline_runtime::time::sleep(Duration::from_millis(3)).await;
    /// interval.reset();
    /// assert_eq!(interval.tick().await - first, Duration::from_millis(13));
    /// # let _ = MissedTickBehavior::Burst;
    /// # });
    /// # Ok(())
    /// # }
    /// ```
    pub fn reset(&mut self) {
        self.reset_after(self.period);
    }

    /// The next tick is now.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::{MissedTickBehavior, interval};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    /// # runtime.block_on(async {
    /// let mut interval = interval(Duration::from_millis(10));
    /// let first = interval.tick().await;
    /// interval.reset_immediately();
    /// assert_eq!(interval.tick().await, first);
    /// # let _ = MissedTickBehavior::Burst;
    /// # });
    /// # Ok(())
    /// # }
    /// ```
    pub fn reset_immediately(&mut self) {
        self.reset_after(Duration::ZERO);
    }

    /// The next tick is `after` from now; the ones behind it follow at the period.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::{MissedTickBehavior, interval};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    /// # runtime.block_on(async {
    /// let mut interval = interval(Duration::from_millis(10));
    /// let first = interval.tick().await;
    /// interval.reset_after(Duration::from_millis(1));
    /// assert_eq!(interval.tick().await - first, Duration::from_millis(1));
    /// assert_eq!(interval.tick().await - first, Duration::from_millis(11));
    /// # let _ = MissedTickBehavior::Burst;
    /// # });
    /// # Ok(())
    /// # }
    /// ```
    pub fn reset_after(&mut self, after: Duration) {
        self.reset_at(self.sleep.now().saturating_add(after));
    }

    /// The next tick is at `deadline`; the ones behind it follow at the period. A task that waits is told then.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::{MissedTickBehavior, interval};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    /// # runtime.block_on(async {
    /// let mut interval = interval(Duration::from_millis(10));
    /// let first = interval.tick().await;
    /// interval.reset_at(first + Duration::from_millis(99));
    /// assert_eq!(interval.tick().await - first, Duration::from_millis(99));
    /// # let _ = MissedTickBehavior::Burst;
    /// # });
    /// # Ok(())
    /// # }
    /// ```
    pub fn reset_at(&mut self, deadline: Instant) {
        self.sleep.reset(deadline);
    }

    /// What happens when a tick is missed.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::{MissedTickBehavior, interval};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    /// # runtime.block_on(async {
    /// let mut interval = interval(Duration::from_millis(10));
    /// assert_eq!(interval.missed_tick_behavior(), MissedTickBehavior::Burst);
    /// # let _ = MissedTickBehavior::Burst;
    /// # });
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed
    }

    /// Sets what happens when a tick is missed.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::{MissedTickBehavior, interval};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    /// # runtime.block_on(async {
    /// let mut interval = interval(Duration::from_millis(10));
    /// interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    /// assert_eq!(interval.missed_tick_behavior(), MissedTickBehavior::Delay);
    /// # let _ = MissedTickBehavior::Burst;
    /// # });
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed = behavior;
    }

    /// The time between two ticks.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::{MissedTickBehavior, interval};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    /// # runtime.block_on(async {
    /// let mut interval = interval(Duration::from_millis(10));
    /// assert_eq!(interval.period(), Duration::from_millis(10));
    /// # let _ = MissedTickBehavior::Burst;
    /// # });
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }
}
