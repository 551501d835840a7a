//! [`Interval`]: ticks at a steady pace.

use super::sleep::{Sleep, current_with_time, sleep_until};
use crate::clock::Instant;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Ticks at once and then every `period`.
///
/// # Panics
/// When `period` is zero; outside a runtime, or in one that was built without `enable_time`.
///
/// # Examples
/// ```no_run
/// # async fn example() {
/// let mut interval = wakeline_runtime::time::interval(std::time::Duration::from_millis(10));
/// interval.tick().await; // at once
/// interval.tick().await; // after 10 ms
/// # }
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    let now = current_with_time().driver().clock().now();
    interval_at(now, period)
}

/// Ticks at `start` and then every `period`.
///
/// # Panics
/// When `period` is zero; outside a runtime, or in one that was built without `enable_time`.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval needs a period that is not zero");
    Interval { sleep: sleep_until(start), period, missed: MissedTickBehavior::Burst }
}

/// What an [`Interval`] does when it was not polled in time for a tick.
///
/// A tick counts as missed when it is delivered late by a whole period, or by more than 5 ms: the everyday lateness of
/// a scheduler does not move the beat.
/// ```text
///   period 10, the second tick is taken at 25 instead of 10
///   Burst   0   25  25  30  40  50      catches up
///   Delay   0   25  35  45  55          starts anew from the late tick
///   Skip    0   25  30  40  50          stays on the beat, leaves out what was missed
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
#[derive(Debug)]
pub struct Interval {
    sleep: Sleep,
    period: Duration,
    missed: MissedTickBehavior,
}

impl Interval {
    /// Waits for the next tick, and says when it was due.
    ///
    /// # Cancel safety
    /// A tick that was not delivered stays due.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// Ready with the moment of the next tick when it has come.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.sleep).poll(cx));
        let due = self.sleep.deadline();
        let now = self.sleep.now();
        let late = now.saturating_duration_since(due);
        let missed = late > TOLERANCE.min(self.period);
        let behavior = if missed { self.missed } else { MissedTickBehavior::Burst };
        self.sleep.reset(behavior.next(due, now, self.period));
        Poll::Ready(due)
    }

    /// The next tick is one period from now.
    pub fn reset(&mut self) {
        self.reset_after(self.period);
    }

    /// The next tick is now.
    pub fn reset_immediately(&mut self) {
        self.reset_after(Duration::ZERO);
    }

    /// The next tick is `after` from now.
    pub fn reset_after(&mut self, after: Duration) {
        self.reset_at(self.sleep.now().saturating_add(after));
    }

    /// The next tick is at `deadline`.
    pub fn reset_at(&mut self, deadline: Instant) {
        self.sleep.reset(deadline);
    }

    /// What happens when a tick is missed.
    #[must_use]
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed
    }

    /// Sets what happens when a tick is missed.
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed = behavior;
    }

    /// The time between two ticks.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }
}
