//! [`Tick`]: about when something was, for less than a look at the clock.

use crate::clock::system;
use std::time::Duration;

/// The operating system's last look at its own clock: some milliseconds back, and a third of the cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick(u64);

/// A system ticks every 1 to 10 ms, and a virtual machine that was not run may miss some ticks.
const SLACK: Duration = Duration::from_millis(100);

impl Tick {
    /// The last one.
    #[inline]
    pub(crate) fn last() -> Tick {
        Tick(system::tick_ns())
    }

    /// A time that has certainly passed since this was the last tick, at most 0.2 s less than the time that has.
    pub(crate) fn passed(self) -> Duration {
        self.passed_at(Tick::last())
    }

    fn passed_at(self, last: Tick) -> Duration {
        Duration::from_nanos(last.0.saturating_sub(self.0)).saturating_sub(SLACK)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_tick_lies_behind_the_clock() {
        let tick = Tick::last();
        assert!(tick.0 <= system::now_ns());
    }

    #[test]
    fn what_has_passed_is_never_too_much() {
        let ms = |ms: u64| Tick(ms * 1_000_000);
        for (since, last, passed) in [(5, 5, 0), (5, 105, 0), (5, 106, 1), (0, 3_000, 2_900), (7, 6, 0)] {
            assert_eq!(ms(since).passed_at(ms(last)), Duration::from_millis(passed), "{since} to {last}");
        }
    }
}
