//! The congestion window, and whether it is what limits the sender (RFC 7661's question, with Linux's answer).

use crate::stack::tcp::congestion::sample::Transmitted;
use crate::wire::tcp::SeqNumber;

/// What all algorithms move. All numbers are bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) cwnd: u32,
    pub(crate) ssthresh: u32,
    /// The largest text of a segment.
    mss: u16,
    pub(crate) phase: Phase,
    /// Text leaves at a pace, not in bursts.
    pub(crate) paced: bool,
    /// The window held text back during the window of data that ends at `usage_until`.
    filled: bool,
    /// The most that was in flight during it.
    used: u32,
    usage_until: Option<SeqNumber>,
}

/// What is being done about congestion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing.
    Open,
    /// The window goes down to ssthresh, after a loss or a mark.
    Reduction,
    /// After a timeout, until everything that was out is acknowledged: slow start.
    Loss,
}

/// RFC 6928, in segments.
pub(crate) const INITIAL_WINDOW: u32 = 10;
/// More than any window can carry (RFC 7323 2.3).
pub(crate) const CWND_MAX: u32 = 1 << 30;

impl Window {
    /// The initial window.
    pub(crate) fn new(mss: u16) -> Window {
        Window {
            cwnd: INITIAL_WINDOW * u32::from(mss),
            ssthresh: u32::MAX,
            mss,
            phase: Phase::Open,
            paced: false,
            filled: false,
            used: 0,
            usage_until: None,
        }
    }

    pub(crate) fn set_mss(&mut self, mss: u16) {
        self.mss = mss;
    }

    #[inline]
    pub(crate) fn mss(&self) -> u32 {
        self.mss.into()
    }

    #[inline]
    pub(crate) fn is_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// Lets the window grow.
    #[inline]
    pub(crate) fn grow(&mut self, bytes: u32) {
        self.cwnd = self.cwnd.saturating_add(bytes).min(CWND_MAX);
    }

    /// Slow start (RFC 5681 (2)): returns what of `acked` is left when it has ended at ssthresh.
    ///
    /// As Linux, it counts every acknowledged byte; RFC 3465's limit guards against a receiver that acknowledges what it
    /// has not got, which the check of the ACK field has refused already.
    #[inline]
    pub(crate) fn slow_start(&mut self, acked: u32) -> u32 {
        let room = self.ssthresh.saturating_sub(self.cwnd);
        let growth = acked.min(room);
        self.grow(growth);
        acked - growth
    }

    /// `tcp_cwnd_validate`: remembers how much of the window is used.
    #[inline]
    pub(crate) fn on_transmit(&mut self, sent: &Transmitted) {
        let filled = sent.in_flight + self.mss() > self.cwnd;
        let is_new = self.usage_until.is_none_or(|until| !sent.una.is_before(until));
        if is_new || filled || (!self.filled && sent.in_flight > self.used) {
            self.filled = filled;
            self.used = sent.in_flight;
            self.usage_until = Some(sent.nxt);
        }
    }

    /// `tcp_is_cwnd_limited`: whether acknowledgements may let the window grow. In slow start half a window in use is
    /// enough, so that it can double while it is being filled.
    #[inline]
    pub(crate) fn is_limited(&self) -> bool {
        self.filled || (self.is_slow_start() && self.cwnd < self.used.saturating_mul(2))
    }

    /// `tcp_current_ssthresh`: what has been reached is remembered when the window is given up.
    pub(crate) fn remembered_ssthresh(&self) -> u32 {
        match self.phase {
            Phase::Open => self.ssthresh.max(self.cwnd / 4 * 3),
            Phase::Reduction | Phase::Loss => self.ssthresh,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use wakeline_runtime::clock::Instant;

    fn sent(window: &mut Window, in_flight: u32, una: u32, nxt: u32) {
        let (una, nxt) = (SeqNumber(una), SeqNumber(nxt));
        let now = Instant::from_virtual_ns(0);
        window.on_transmit(&Transmitted { now, len: 1000, in_flight, idle: Duration::ZERO, una, nxt });
    }

    #[test]
    fn only_a_window_that_is_used_may_grow() {
        let mut window = Window::new(1000);
        assert!(!window.is_limited());
        sent(&mut window, 5000, 0, 5000);
        assert!(!window.is_limited(), "half of it is in use");
        sent(&mut window, 6000, 0, 6000);
        assert!(window.is_limited(), "more than half, in slow start");
        window.ssthresh = 5000;
        assert!(!window.is_limited(), "not enough in congestion avoidance");
        sent(&mut window, 10_000, 0, 10_000);
        assert!(window.is_limited());
        sent(&mut window, 3000, 8000, 11_000);
        assert!(window.is_limited(), "for this window of data");
        sent(&mut window, 3000, 10_000, 13_000);
        assert!(!window.is_limited(), "no longer in the next one");
    }
}
