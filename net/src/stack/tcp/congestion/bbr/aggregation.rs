//! How much more arrives at once than the bandwidth explains (`bbr_update_ack_aggregation`): receivers and links gather
//! acknowledgements, and between two bunches the window must not run dry.

use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// The most excess of the last five to ten rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aggregation {
    /// Of this window of rounds and the one before.
    extra: [u32; 2],
    rounds: u8,
    epoch_start: Instant,
    epoch_acked: u64,
}

/// `bbr_extra_acked_win_rtts`
const WINDOW_ROUNDS: u8 = 5;
/// `bbr_ack_epoch_acked_reset_thresh`, for segments of 1 kB.
const EPOCH_ACKED_MAX: u64 = 1 << 30;

impl Aggregation {
    pub(crate) fn new(now: Instant) -> Aggregation {
        Aggregation { extra: [0; 2], rounds: 0, epoch_start: now, epoch_acked: 0 }
    }

    /// Begins to measure anew, after an idle time.
    pub(crate) fn restart(&mut self, now: Instant) {
        (self.epoch_start, self.epoch_acked) = (now, 0);
    }

    /// `delivered` bytes have arrived, at a bandwidth of `bw` bytes a second. No more than a window is excess.
    pub(crate) fn on_ack(&mut self, now: Instant, delivered: u32, bw: u64, is_round_start: bool, cwnd: u32) {
        if is_round_start {
            self.rounds += 1;
            if self.rounds >= WINDOW_ROUNDS {
                self.rounds = 0;
                self.extra = [0, self.extra[0]];
            }
        }
        let epoch = now.saturating_duration_since(self.epoch_start);
        let mut expected = in_time(bw, epoch);
        if self.epoch_acked <= expected || self.epoch_acked + u64::from(delivered) >= EPOCH_ACKED_MAX {
            self.restart(now);
            expected = 0;
        }
        self.epoch_acked += u64::from(delivered);
        let extra = u32::try_from(self.epoch_acked.saturating_sub(expected)).unwrap_or(u32::MAX).min(cwnd);
        self.extra[0] = self.extra[0].max(extra);
    }

    pub(crate) fn extra(&self) -> u32 {
        self.extra[0].max(self.extra[1])
    }
}

/// How many bytes `rate` bytes a second are in `time`.
pub(crate) fn in_time(rate: u64, time: Duration) -> u64 {
    let bytes = u128::from(rate) * time.as_micros() / 1_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_bunches_is_excess_for_five_to_ten_rounds() {
        let at = |ms: u64| Instant::from_virtual_ns(ms * 1_000_000);
        let mut aggregation = Aggregation::new(at(0));
        // 1 MB/s, evenly: 1000 bytes a millisecond.
        for ms in 1..100 {
            aggregation.on_ack(at(ms), 1000, 1_000_000, false, 100_000);
        }
        assert!(aggregation.extra() <= 1000, "{}", aggregation.extra());
        // Ten at once after ten milliseconds of silence, twice.
        aggregation.on_ack(at(110), 10_000, 1_000_000, false, 100_000);
        aggregation.on_ack(at(120), 10_000, 1_000_000, false, 100_000);
        assert_eq!(aggregation.extra(), 10_000);
        for round in 0..10 {
            assert_eq!(aggregation.extra(), 10_000, "{round}");
            aggregation.on_ack(at(200 + round), 1, 1_000_000, true, 100_000);
        }
        assert!(aggregation.extra() < 100);
    }
}
