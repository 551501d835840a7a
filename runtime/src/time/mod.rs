//! Waiting for moments: [`sleep`], [`timeout`], [`interval`].
//!
//! The names and the semantics are tokio's. What differs: timers are exact to about a microsecond where tokio's tick in
//! milliseconds; [`Sleep`] is `Unpin`, since the timers hold no pointer into it; and the time is the clock's of the
//! runtime, which is virtual in a simulation.
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
    #[must_use]
    pub fn now() -> Instant {
        context::with_current(|handle| handle.driver().clock().now()).unwrap_or_else(Instant::now_real)
    }

    /// The time that has passed since this moment; zero when it is yet to come.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Instant::now().saturating_duration_since(self)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
