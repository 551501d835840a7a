//! [`Sleep`]: a future that is ready at a moment.

use crate::clock::Instant;
use crate::context;
use crate::coop;
use crate::handle::Handle;
use crate::timer::{TimerKey, Timers, Touched};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Waits until `duration` has passed.
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
/// ```no_run
/// # async fn example() {
/// wakeline_runtime::time::sleep(std::time::Duration::from_millis(1)).await;
/// # }
/// ```
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    let handle = current_with_time();
    let deadline = handle.driver().clock().now().saturating_add(duration);
    Sleep { deadline, state: State::Idle, handle }
}

/// Waits until `deadline`.
///
/// # Panics
/// Outside a runtime, or in one that was built without `enable_time`.
///
/// # Cancel safety
/// Dropping the future takes its timer out; nothing else is lost.
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline, state: State::Idle, handle: current_with_time() }
}

/// The future of [`sleep`] and [`sleep_until`].
///
/// It sets its timer when it is first polled: making and dropping one costs next to nothing. Unlike tokio's it is
/// `Unpin`, so it can be kept in a struct and polled without pinning.
///
/// # Panics
/// When it is polled and would have to wait, but its runtime has shut down.
#[must_use = "futures do nothing unless polled"]
#[derive(Debug)]
pub struct Sleep {
    deadline: Instant,
    state: State,
    handle: Handle,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// No timer is set.
    Idle,
    /// A timer was set; it may have fired.
    Waiting(TimerKey),
    /// The deadline has been seen to have passed.
    Elapsed,
}

impl Sleep {
    /// The moment for which it waits.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the deadline has passed.
    #[must_use]
    pub fn is_elapsed(&self) -> bool {
        matches!(self.state, State::Elapsed) || self.deadline <= self.now()
    }

    /// Waits for another moment instead, whether or not the first one has passed.
    ///
    /// A task that waits already is told at the new moment without polling again. Costs no allocation.
    ///
    /// # Panics
    /// When a timer has to be moved and the runtime has shut down.
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        if let State::Waiting(key) = self.state {
            let moved = self.timers().reset(key, deadline);
            self.state = match moved {
                Some(inserted) => State::Waiting(must(self.handle.driver().after_insert(inserted))),
                None => State::Idle,
            };
        } else {
            self.state = State::Idle;
        }
    }

    /// As `poll`, but free of the task's budget: a timeout must be heard beside a future that uses the budget up.
    pub(crate) fn poll_unbudgeted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self.state, State::Elapsed) {
            return Poll::Ready(());
        }
        if self.deadline <= self.now() {
            self.cancel();
            self.state = State::Elapsed;
            return Poll::Ready(());
        }
        if let State::Waiting(key) = self.state
            && self.timers().update(key, cx.waker()) == Touched::Pending
        {
            return Poll::Pending;
        }
        let driver = self.handle.driver();
        let inserted = self.timers().insert(self.deadline, cx.waker());
        self.state = State::Waiting(must(driver.after_insert(inserted)));
        Poll::Pending
    }

    /// The present moment, by the clock that this waits for.
    pub(super) fn now(&self) -> Instant {
        self.handle.driver().clock().now()
    }

    fn cancel(&mut self) {
        if let State::Waiting(key) = self.state {
            self.timers().remove(key);
            self.state = State::Idle;
        }
    }

    fn timers(&self) -> &Timers {
        self.handle.driver().timers().expect("a Sleep is made only where there are timers")
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let progress = ready!(coop::poll_proceed(cx));
        ready!(self.poll_unbudgeted(cx));
        progress.made();
        Poll::Ready(())
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}

#[track_caller]
pub(super) fn current_with_time() -> Handle {
    let handle = context::current();
    assert!(
        handle.driver().timers().is_some(),
        "this runtime has no timers: call `enable_time()` or `enable_all()` on its Builder"
    );
    handle
}

fn must(key: Option<TimerKey>) -> TimerKey {
    key.expect("the runtime of this timer has shut down: no deadline will come any more")
}
