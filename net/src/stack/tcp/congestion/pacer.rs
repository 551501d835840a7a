//! Pacing: text leaves at a rate, in small bursts, instead of a window at once.
//!
//! The release times are virtual: each burst moves the next one's by what it takes at the rate. Nothing ticks; a control
//! block that is held back by its pace is called when the next burst is due, and not otherwise.

use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pacer {
    /// Bytes a second; 0 for no pacing.
    rate: u64,
    /// When what was sent has left at that rate.
    release_at: Instant,
    /// Text waits for `release_at`.
    is_held: bool,
}

/// What leaves at once: about a millisecond's worth, as `tcp_tso_autosize` (`sk_pacing_shift` 10), at least two segments
/// and at most what a super-segment holds.
pub(crate) fn quantum(rate: u64, mss: u32) -> u32 {
    let most = u64::from(BURST_MAX.max(2 * mss));
    (rate >> 10).clamp(u64::from(2 * mss), most) as u32
}

/// `GSO_LEGACY_MAX_SIZE`
const BURST_MAX: u32 = 65_536;

impl Pacer {
    pub(crate) const fn new() -> Pacer {
        Pacer { rate: 0, release_at: Instant::from_virtual_ns(0), is_held: false }
    }

    /// Sets the rate, in bytes a second; `None` for no pacing.
    #[inline]
    pub(crate) fn set_rate(&mut self, rate: Option<u64>) {
        self.rate = rate.map_or(0, |rate| rate.max(1));
        self.is_held &= self.rate > 0;
    }

    #[inline]
    pub(crate) fn has_rate(&self) -> bool {
        self.rate > 0
    }

    /// Whether a segment may leave now. If not, [`held_until`](Self::held_until) says when.
    #[inline]
    pub(crate) fn may_send(&mut self, now: Instant, mss: u32) -> bool {
        if self.rate == 0 {
            return true;
        }
        let ahead = self.release_at.saturating_duration_since(now);
        // A burst may run ahead of its release by what it takes; then the next begins when all of it has left.
        self.is_held = if self.is_held { !ahead.is_zero() } else { ahead >= self.time_of(quantum(self.rate, mss)) };
        !self.is_held
    }

    /// `len` bytes have left.
    #[inline]
    pub(crate) fn on_transmit(&mut self, now: Instant, len: u32, mss: u32) {
        if self.rate == 0 {
            return;
        }
        // A timer that was late is made up for, an idle time is not.
        let earliest = now.checked_sub(self.time_of(quantum(self.rate, mss))).unwrap_or(now);
        self.release_at = self.release_at.max(earliest).saturating_add(self.time_of(len));
    }

    /// When text that is held back may leave; [`Instant::FAR_FUTURE`] if none is.
    #[inline]
    pub(crate) fn held_until(&self) -> Instant {
        if self.is_held { self.release_at } else { Instant::FAR_FUTURE }
    }

    /// Nothing waits any more, or it waits for something else.
    #[inline]
    pub(crate) fn let_go(&mut self) {
        self.is_held = false;
    }

    fn time_of(&self, bytes: u32) -> Duration {
        Duration::from_nanos(u64::from(bytes) * 1_000_000_000 / self.rate.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;

    fn at(us: u64) -> Instant {
        Instant::from_virtual_ns(us * 1000)
    }

    /// Sends whatever may leave; returns how many segments.
    fn burst(pacer: &mut Pacer, now: Instant) -> u32 {
        let mut sent = 0;
        while pacer.may_send(now, MSS) {
            pacer.on_transmit(now, MSS, MSS);
            sent += 1;
            assert!(sent < 1000, "no end");
        }
        sent
    }

    #[test]
    fn a_second_carries_the_rate_in_bursts_of_a_millisecond() {
        // 10 MB/s: a burst is 9766 bytes.
        let mut pacer = Pacer::new();
        pacer.set_rate(Some(10_000_000));
        let (mut now, mut total, mut wakes) = (at(5000), 0, 0);
        while now < at(1_005_000) {
            total += burst(&mut pacer, now);
            wakes += 1;
            now = pacer.held_until();
        }
        assert!((10_000..=10_040).contains(&total), "{total}");
        assert!((1000..1050).contains(&wakes), "{wakes}");
    }

    #[test]
    fn a_late_timer_is_made_up_for_and_idleness_is_not() {
        let mut pacer = Pacer::new();
        pacer.set_rate(Some(1_000_000));
        assert_eq!(burst(&mut pacer, at(10_000)), 4, "at first there is a burst's credit");
        assert_eq!(pacer.held_until(), at(12_000));
        assert_eq!(burst(&mut pacer, at(13_000)), 3);
        assert_eq!(pacer.held_until(), at(15_000));
        assert_eq!(burst(&mut pacer, at(900_000)), 4);
    }

    #[test]
    fn without_a_rate_nothing_is_held() {
        let mut pacer = Pacer::new();
        pacer.on_transmit(at(0), 1 << 30, MSS);
        assert!(pacer.may_send(at(0), MSS));
        assert_eq!(pacer.held_until(), Instant::FAR_FUTURE);
        pacer.set_rate(Some(0));
        pacer.on_transmit(at(0), u32::MAX, MSS);
        assert!(!pacer.may_send(at(0), MSS));
        pacer.set_rate(None);
        assert_eq!(pacer.held_until(), Instant::FAR_FUTURE);
    }
}
