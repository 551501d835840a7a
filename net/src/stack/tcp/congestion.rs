//! How much may be in flight (RFC 5681), behind a small trait.
//!
//! The control block detects loss and says so here; what follows for the window is decided here and nowhere else.

pub(crate) mod choice;

/// A congestion window and the rules that move it. All numbers are bytes.
pub(crate) trait CongestionControl {
    /// How much may be in flight.
    fn cwnd(&self) -> u32;
    /// `acked` new bytes were acknowledged outside recovery; `limited` says whether the window was what held us back.
    fn on_ack(&mut self, acked: u32, limited: bool);
    /// A segment is taken for lost after duplicate acknowledgements, with `flight` bytes outstanding.
    fn on_loss(&mut self, flight: u32);
    /// Another duplicate acknowledgement during recovery: a segment has left the network.
    fn on_duplicate_ack(&mut self);
    /// An acknowledgement during recovery covered `acked` bytes, but not everything.
    fn on_partial_ack(&mut self, acked: u32);
    /// Recovery is over, with `flight` bytes outstanding.
    fn on_recovered(&mut self, flight: u32);
    /// The retransmission timer fired; `first` says whether it did so for the first time for this data.
    fn on_timeout(&mut self, flight: u32, first: bool);
    /// Nothing was sent for a retransmission timeout (RFC 5681 4.1).
    fn on_idle(&mut self);
}

/// NewReno: RFC 5681 and, during recovery, RFC 6582.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewReno {
    cwnd: u32,
    ssthresh: u32,
    mss: u16,
}

/// RFC 6928, in segments.
const INITIAL_WINDOW: u32 = 10;
/// More than any window can carry.
const CWND_MAX: u32 = 1 << 30;

impl NewReno {
    /// The initial window.
    pub(crate) fn new(mss: u16) -> NewReno {
        NewReno { cwnd: INITIAL_WINDOW * u32::from(mss), ssthresh: u32::MAX, mss }
    }

    /// Where slow start ends.
    #[cfg(test)]
    pub(crate) fn ssthresh(&self) -> u32 {
        self.ssthresh
    }

    fn mss(&self) -> u32 {
        self.mss.into()
    }

    /// RFC 5681 (4).
    fn halve(&mut self, flight: u32) {
        self.ssthresh = (flight / 2).max(2 * self.mss());
    }
}

impl CongestionControl for NewReno {
    #[inline]
    fn cwnd(&self) -> u32 {
        self.cwnd
    }

    #[inline]
    fn on_ack(&mut self, acked: u32, limited: bool) {
        if !limited {
            return;
        }
        let mss = self.mss();
        self.cwnd += if self.cwnd < self.ssthresh {
            // RFC 5681 (2), with the limit of RFC 3465 for acknowledgements that cover two segments.
            acked.min(2 * mss)
        } else {
            // RFC 5681 (3).
            (u64::from(mss) * u64::from(acked.min(self.cwnd)) / u64::from(self.cwnd)).max(1) as u32
        };
        self.cwnd = self.cwnd.min(CWND_MAX);
    }

    fn on_loss(&mut self, flight: u32) {
        // RFC 5681 3.2 steps 2 and 3: three segments have left the network.
        self.halve(flight);
        self.cwnd = self.ssthresh + 3 * self.mss();
    }

    fn on_duplicate_ack(&mut self) {
        // Step 4.
        self.cwnd = (self.cwnd + self.mss()).min(CWND_MAX);
    }

    fn on_partial_ack(&mut self, acked: u32) {
        // RFC 6582 3.2 step 3, partial acknowledgements: deflate, and one segment back when at least one left.
        let back = if acked >= self.mss() { self.mss() } else { 0 };
        self.cwnd = (self.cwnd.saturating_sub(acked) + back).max(self.mss());
    }

    fn on_recovered(&mut self, flight: u32) {
        // RFC 6582 3.2 step 3, full acknowledgements (1): no burst.
        self.cwnd = self.ssthresh.min(flight.max(self.mss()) + self.mss());
    }

    fn on_timeout(&mut self, flight: u32, first: bool) {
        if first {
            self.halve(flight);
        }
        self.cwnd = self.mss();
    }

    fn on_idle(&mut self) {
        self.cwnd = self.cwnd.min(INITIAL_WINDOW * self.mss());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u16 = 1000;

    #[test]
    fn slow_start_doubles_and_avoidance_adds_a_segment_per_round_trip() {
        let mut reno = NewReno::new(MSS);
        (0..10).for_each(|_| reno.on_ack(1000, true));
        assert_eq!(reno.cwnd(), 20_000);
        reno.on_timeout(20_000, true);
        assert_eq!((reno.cwnd(), reno.ssthresh()), (1000, 10_000));
        (0..9).for_each(|_| reno.on_ack(1000, true));
        assert_eq!(reno.cwnd(), 10_000);
        (0..10).for_each(|_| reno.on_ack(1000, true));
        assert!((10_900..=11_000).contains(&reno.cwnd()), "{}", reno.cwnd());
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut reno = NewReno::new(MSS);
        reno.on_ack(1000, false);
        assert_eq!(reno.cwnd(), 10_000);
    }

    #[test]
    fn recovery_inflates_deflates_and_ends_at_half() {
        let mut reno = NewReno::new(MSS);
        reno.on_loss(20_000);
        assert_eq!(reno.cwnd(), 13_000);
        reno.on_duplicate_ack();
        assert_eq!(reno.cwnd(), 14_000);
        reno.on_partial_ack(5000);
        assert_eq!(reno.cwnd(), 10_000);
        reno.on_recovered(3000);
        assert_eq!((reno.cwnd(), reno.ssthresh()), (4000, 10_000));
        reno.on_timeout(1000, true);
        assert_eq!((reno.cwnd(), reno.ssthresh()), (1000, 2000));
        reno.on_timeout(100_000, false);
        assert_eq!(reno.ssthresh(), 2000, "the same loss counts once");
    }
}
