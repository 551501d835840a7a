//! [`VirtualClock`]: the clock of a simulation.

use crate::atomic::{AtomicU64, Ordering};
use crate::clock::instant::Instant;
use std::sync::Arc;

/// A clock that moves only when told to. Clones share one time.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use wakeline_runtime::clock::VirtualClock;
///
/// let clock = VirtualClock::new();
/// let start = clock.now();
/// clock.advance_to(start + Duration::from_secs(1));
/// assert_eq!(clock.clone().now() - start, Duration::from_secs(1));
/// ```
#[derive(Clone, Debug)]
pub struct VirtualClock(Arc<AtomicU64>);

impl VirtualClock {
    /// A clock that shows the start of virtual time.
    #[must_use]
    pub fn new() -> VirtualClock {
        VirtualClock(Arc::new(AtomicU64::new(Instant::from_virtual_ns(0).as_nanos())))
    }

    /// The moment the clock shows.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Acquire))
    }

    /// Moves the clock to `moment`; a clock never goes back, so an earlier moment changes nothing.
    pub fn advance_to(&self, moment: Instant) {
        self.0.fetch_max(moment.as_nanos(), Ordering::AcqRel);
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        VirtualClock::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_virtual_clock_only_moves_forward_and_is_shared() {
        let clock = VirtualClock::new();
        let same = clock.clone();
        let start = same.now();
        clock.advance_to(start + Duration::from_millis(5));
        clock.advance_to(start + Duration::from_millis(3));
        assert_eq!(same.now() - start, Duration::from_millis(5));
    }
}
