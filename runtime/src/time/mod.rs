//! Waiting for moments: [`sleep`], [`timeout`], [`interval`].
//!
//! The names and the semantics are tokio's. What differs:
//! - timers are exact to about a microsecond, where tokio's tick in milliseconds;
//! - [`Sleep`] is `Unpin`, since the timers hold no pointer into it;
//! - a moment too far for the clock is waited for without end, where tokio stops after 30 years;
//! - [`advance`] goes from deadline to deadline; a clock that [begins paused](crate::Builder::start_paused) begins at the
//!   same moment in every run;
//! - [`timeout`] says when it counts from a little later than its call.
//!
//! # Examples
//! ```no_run
//! use std::time::Duration;
//! use wakeline_runtime::time::{self, Instant};
//!
//! async fn two_ticks() {
//!     let start = Instant::now();
//!     let mut interval = time::interval(Duration::from_millis(10));
//!     interval.tick().await; // at once
//!     interval.tick().await; // 10 ms later
//!     assert!(start.elapsed() >= Duration::from_millis(10));
//! }
//! ```

#[cfg(all(feature = "hyper", not(loom)))]
pub(crate) mod ahead;
mod interval;
mod pause;
mod send_timeout;
mod sleep;
mod timeout;

pub use crate::clock::Instant;
pub use interval::{Interval, MissedTickBehavior, interval, interval_at};
pub use pause::{advance, pause, resume};
pub use sleep::{Sleep, sleep, sleep_until};
pub use std::time::Duration;
pub use timeout::{Timeout, timeout, timeout_at};

use crate::context;

/// What can go wrong with time.
pub mod error {
    pub use super::timeout::Elapsed;
}

impl Instant {
    /// The present moment: by the clock of the runtime when called inside one, by the operating system's otherwise.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::time::Instant;
    ///
    /// let start = Instant::now();
    /// assert!(Instant::now() >= start);
    /// ```
    #[must_use]
    pub fn now() -> Instant {
        context::with_current(|handle| handle.driver().clock().now()).unwrap_or_else(Instant::now_real)
    }

    /// The time that has passed since this moment, by the same clock as [`now`](Instant::now); zero when it is yet to come.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::time::Instant;
    ///
    /// let ahead = Instant::now() + Duration::from_secs(3600);
    /// assert_eq!(ahead.elapsed(), Duration::ZERO);
    /// ```
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Instant::now().saturating_duration_since(self)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
