//! A CPU's high-resolution timers: what is to happen at a certain time without a packet.
//!
//! There are few, each named by what it is for, and armed at most once. While none is armed, which is the rule, a CPU pays one
//! load for them.

use crate::atomic::{AtomicU64, Ordering};
use parking_lot::Mutex;
use smallvec::SmallVec;
use wakeline_runtime::clock::Instant;

/// What a timer is for. The number is that of a queue of the device, or of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TimerFor {
    /// The device's interrupt moderation: `rx-usecs` have passed.
    Coalesce(u16),
    /// `napi_watchdog`
    NapiWatchdog(u16),
    /// The driver looks whether there is memory again.
    Refill(u16),
    /// `poll_spurious_irqs`
    SpuriousPoll(u16),
}

/// The armed timers of one CPU.
#[derive(Debug)]
pub(crate) struct HrTimers {
    /// The earliest of `armed`, in nanoseconds; `NEVER` when there is none.
    earliest_ns: AtomicU64,
    armed: Mutex<SmallVec<[(Instant, TimerFor); 4]>>,
}

const NEVER: u64 = u64::MAX;

impl Default for HrTimers {
    fn default() -> Self {
        HrTimers { earliest_ns: AtomicU64::new(NEVER), armed: Mutex::default() }
    }
}

impl HrTimers {
    /// Arms a timer, or moves it. Says whether the CPU has to be told, because nothing was to happen so early.
    #[must_use]
    pub(crate) fn arm(&self, timer: TimerFor, at: Instant) -> bool {
        let mut armed = self.armed.lock();
        let before = self.earliest_ns.load(Ordering::Relaxed);
        armed.retain(|&mut (_, other)| other != timer);
        armed.push((at, timer));
        self.publish(&armed);
        at.as_nanos() < before
    }

    /// Takes out the timers whose time has come, the earliest first, those of one moment in the order of their names.
    pub(crate) fn take_due(&self, now: Instant) -> SmallVec<[TimerFor; 4]> {
        if !self.is_due(now) {
            return SmallVec::new();
        }
        let mut armed = self.armed.lock();
        armed.sort_unstable();
        let due = armed.iter().take_while(|&&(at, _)| at <= now).count();
        let fired = armed.drain(..due).map(|(_, timer)| timer).collect();
        self.publish(&armed);
        fired
    }

    /// Whether the time of one has come.
    #[inline]
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.earliest_ns.load(Ordering::Relaxed) <= now.as_nanos()
    }

    /// When the earliest is due.
    #[inline]
    pub(crate) fn next(&self) -> Option<Instant> {
        if self.earliest_ns.load(Ordering::Relaxed) == NEVER {
            return None;
        }
        self.armed.lock().iter().map(|&(at, _)| at).min()
    }

    fn publish(&self, armed: &[(Instant, TimerFor)]) {
        // SeqCst, as `Halt` asks of whoever rings after it.
        let earliest = armed.iter().map(|(at, _)| at.as_nanos()).min();
        self.earliest_ns.store(earliest.unwrap_or(NEVER), Ordering::SeqCst);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_in_order_once_and_can_be_moved() {
        let at = Instant::from_virtual_ns;
        let timers = HrTimers::default();
        assert!(timers.next().is_none());
        assert!(timers.arm(TimerFor::Coalesce(1), at(50)));
        assert!(timers.arm(TimerFor::NapiWatchdog(0), at(30)));
        assert!(!timers.arm(TimerFor::Refill(0), at(40)), "an earlier one is armed");
        assert!(!timers.arm(TimerFor::NapiWatchdog(0), at(60)), "moved away");
        assert_eq!(timers.next(), Some(at(40)));
        assert!(timers.take_due(at(39)).is_empty());
        assert_eq!(timers.take_due(at(55))[..], [TimerFor::Refill(0), TimerFor::Coalesce(1)]);
        assert_eq!(timers.take_due(at(1000))[..], [TimerFor::NapiWatchdog(0)]);
        assert!(timers.next().is_none());
    }
}
