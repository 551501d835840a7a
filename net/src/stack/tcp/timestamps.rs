//! Timestamps (RFC 7323): the clock that we send, the peer's that we echo, and protection against wrapped sequence
//! numbers (PAWS).
//!
//! Our clock ticks once a millisecond, as Linux's, from an offset that only this host knows (section 7.1).

use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// One connection's two clocks. See the [module](self).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timestamps {
    offset: u32,
    /// TS.Recent: the peer's value that is echoed.
    recent: u32,
    recent_at: Instant,
}

/// 5.5: after so long without a segment TS.Recent says nothing any more (`TCP_PAWS_24DAYS`).
const OUTDATED: Duration = Duration::from_secs(60 * 60 * 24 * 24);
/// `TCP_PAWS_WINDOW`: a peer with several CPUs may send values that are off by a tick.
pub(crate) const PAWS_WINDOW: i32 = 1;

impl Timestamps {
    /// Nothing heard of the peer yet.
    pub(crate) const fn new(offset: u32) -> Timestamps {
        Timestamps { offset, recent: 0, recent_at: Instant::from_virtual_ns(0) }
    }

    /// TSval of a segment that is sent now.
    #[inline]
    pub(crate) fn value(&self, now: Instant) -> u32 {
        ((now.as_nanos() / 1_000_000) as u32).wrapping_add(self.offset)
    }

    /// TS.Recent, which is TSecr of a segment that is sent now.
    #[inline]
    pub(crate) fn recent(&self) -> u32 {
        self.recent
    }

    /// Section 4.3 (2): the caller has seen that the segment covers Last.ACK.sent. A value that lies before TS.Recent
    /// changes nothing.
    #[inline]
    pub(crate) fn update(&mut self, value: u32, now: Instant) {
        if !self.is_old(value, 0, now) {
            (self.recent, self.recent_at) = (value, now);
        }
    }

    /// 5.3 R1: whether a segment with this TSval is older than what was heard before, by more than `slack` ticks. As in
    /// Linux a TS.Recent of zero proves nothing: there are systems whose SYN says so.
    #[inline]
    pub(crate) fn is_old(&self, value: u32, slack: i32, now: Instant) -> bool {
        self.behind(value) > slack && self.recent != 0 && now < self.recent_at.saturating_add(OUTDATED)
    }

    /// How many of the peer's ticks a value lies before TS.Recent.
    #[inline]
    pub(crate) fn behind(&self, value: u32) -> i32 {
        self.recent.wrapping_sub(value).cast_signed()
    }

    /// Section 4.1: the time since we sent the value that is echoed; nothing when that is absurd. Less than a tick
    /// counts as one.
    pub(crate) fn since(&self, echo: u32, now: Instant) -> Option<Duration> {
        let ticks = self.value(now).wrapping_sub(echo);
        let absurd = echo == 0 || ticks > (i32::MAX / 1000).cast_unsigned();
        (!absurd).then(|| Duration::from_millis(ticks.max(1).into()))
    }
}

/// Whether a value of our clock was sent before another (RFC 3522).
#[inline]
pub(crate) fn is_before(value: u32, other: u32) -> bool {
    value.wrapping_sub(other).cast_signed() < 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_virtual_ns(ms * 1_000_000)
    }

    #[test]
    fn our_clock_ticks_in_milliseconds_and_wraps() {
        let start = Timestamps::new(0).value(at(0));
        let stamps = Timestamps::new((u32::MAX - 9).wrapping_sub(start));
        assert_eq!((stamps.value(at(9)), stamps.value(at(10))), (u32::MAX, 0));
        assert_eq!(stamps.since(u32::MAX, at(30)), Some(Duration::from_millis(21)));
        assert_eq!(stamps.since(20, at(30)), Some(Duration::from_millis(1)), "less than a tick");
        assert_eq!(stamps.since(21, at(30)), None, "never sent");
        assert_eq!(stamps.since(0, at(30)), None, "no echo");
    }

    #[test]
    fn old_values_are_known_across_the_wrap_and_for_twenty_four_days() {
        let mut stamps = Timestamps::new(0);
        assert!(!stamps.is_old(u32::MAX, 0, at(0)), "nothing is known yet");
        stamps.update(5, at(0));
        stamps.update(u32::MAX, at(0));
        assert_eq!(stamps.recent(), 5, "it does not go back");
        assert!(stamps.is_old(4, 0, at(1)) && !stamps.is_old(4, PAWS_WINDOW, at(1)));
        assert!(stamps.is_old(u32::MAX, PAWS_WINDOW, at(1)));
        let later = at(0).saturating_add(OUTDATED);
        assert!(!stamps.is_old(u32::MAX, PAWS_WINDOW, later));
        stamps.update(u32::MAX, later);
        assert_eq!(stamps.recent(), u32::MAX);
    }
}
