//! HyStart++ (RFC 9406): leaves the first slow start when round trips grow, before the queue overflows.
//!
//! Slow start goes on while a round's shortest round trip is about that of the round before. When it is longer, growth
//! continues at a quarter of the pace for five rounds (conservative slow start); if the delay was only a jitter, that
//! shows in a shorter round trip, and slow start resumes.

use crate::stack::tcp::congestion::sample::AckSample;
use crate::stack::tcp::congestion::window::Window;
use crate::wire::tcp::SeqNumber;

/// See the [module](self). Round trips are microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HyStart {
    last_round_min: u32,
    current_round_min: u32,
    samples: u8,
    /// SND.NXT when the round began.
    window_end: Option<SeqNumber>,
    conservative: Option<Conservative>,
}

/// Conservative slow start (CSS).
#[derive(Clone, Copy, Debug)]
struct Conservative {
    baseline_min: u32,
    rounds: u8,
}

// RFC 9406 4.3.
const MIN_RTT_THRESH_US: u32 = 4_000;
const MAX_RTT_THRESH_US: u32 = 16_000;
const MIN_RTT_DIVISOR: u32 = 8;
const RTT_SAMPLES: u8 = 8;
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u8 = 5;
/// `L` where text is not paced, in segments: one acknowledgement must not release a burst.
const GROWTH_MAX: u32 = 8;

impl HyStart {
    /// A connection begins.
    pub(crate) const fn new() -> HyStart {
        HyStart {
            last_round_min: u32::MAX,
            current_round_min: u32::MAX,
            samples: 0,
            window_end: None,
            conservative: None,
        }
    }

    /// Takes an acknowledgement in slow start: returns how many of its bytes the window may grow by. May end slow start
    /// by setting ssthresh to the window.
    pub(crate) fn on_ack(&mut self, window: &mut Window, ack: &AckSample, paced: bool) -> u32 {
        if self.window_end.is_none_or(|end| !ack.una.is_before(end)) {
            self.next_round(window, ack.nxt);
        }
        if let Some(rtt) = ack.rtt {
            let rtt_us = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX - 1);
            self.current_round_min = self.current_round_min.min(rtt_us);
            self.samples = self.samples.saturating_add(1);
            self.judge();
        }
        let growth = if paced { ack.acked } else { ack.acked.min(GROWTH_MAX * window.mss()) };
        if self.conservative.is_some() { growth / CSS_GROWTH_DIVISOR } else { growth }
    }

    fn next_round(&mut self, window: &mut Window, nxt: SeqNumber) {
        self.window_end = Some(nxt);
        self.last_round_min = self.current_round_min;
        self.current_round_min = u32::MAX;
        self.samples = 0;
        if let Some(css) = &mut self.conservative {
            css.rounds += 1;
            if css.rounds >= CSS_ROUNDS {
                window.ssthresh = window.cwnd;
            }
        }
    }

    /// 4.2, once a round has enough samples.
    fn judge(&mut self) {
        if self.samples < RTT_SAMPLES {
            return;
        }
        match self.conservative {
            None if self.last_round_min != u32::MAX => {
                let thresh = (self.last_round_min / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH_US, MAX_RTT_THRESH_US);
                if self.current_round_min >= self.last_round_min.saturating_add(thresh) {
                    self.conservative = Some(Conservative { baseline_min: self.current_round_min, rounds: 0 });
                }
            }
            // The delay was none: back to slow start.
            Some(css) if self.current_round_min < css.baseline_min => self.conservative = None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use wakeline_runtime::clock::Instant;

    const MSS: u32 = 1000;

    /// One round: an acknowledgement for each segment of the window, all with the same round trip. Returns the window.
    fn round(hystart: &mut HyStart, window: &mut Window, una: &mut u32, rtt_ms: u64) -> u32 {
        let segments = window.cwnd / MSS;
        let end = *una + segments * MSS;
        for n in 1..=segments {
            if !window.is_slow_start() {
                break;
            }
            let ack = AckSample {
                now: Instant::from_virtual_ns(0),
                acked: MSS,
                delivered: MSS,
                lost: 0,
                prior_in_flight: 0,
                in_flight: 0,
                rtt: Some(Duration::from_millis(rtt_ms)),
                srtt: None,
                // The first one of a round covers what the round before ended with.
                una: SeqNumber(*una + (n - 1) * MSS),
                nxt: SeqNumber(end),
                rate: None,
            };
            let growth = hystart.on_ack(window, &ack, false);
            window.slow_start(growth);
        }
        *una = end;
        window.cwnd
    }

    fn check(rtts_ms: &[u64], expected: &[u32]) {
        let (mut hystart, mut window, mut una) = (HyStart::new(), Window::new(MSS as u16), 0);
        let windows: Vec<u32> =
            rtts_ms.iter().map(|&rtt| round(&mut hystart, &mut window, &mut una, rtt) / MSS).collect();
        assert_eq!(windows, expected, "{rtts_ms:?}");
    }

    #[test]
    fn steady_round_trips_double_the_window() {
        check(&[20, 20, 20, 20], &[20, 40, 80, 160]);
    }

    #[test]
    fn a_growing_delay_slows_down_and_ends_slow_start_after_five_rounds() {
        // The threshold is 4 ms: 3 ms more are nothing. It is crossed with the eighth sample of the round.
        check(&[20, 20, 23, 28, 28, 28, 28, 28, 28], &[20, 40, 80, 105, 131, 164, 205, 256, 256]);
    }

    #[test]
    fn a_jitter_is_forgiven() {
        check(&[20, 20, 30, 29, 29], &[20, 40, 55, 105, 210]);
    }

    #[test]
    fn one_acknowledgement_releases_no_burst() {
        let (mut hystart, mut window) = (HyStart::new(), Window::new(MSS as u16));
        let ack = AckSample {
            now: Instant::from_virtual_ns(0),
            acked: 50 * MSS,
            delivered: 0,
            lost: 0,
            prior_in_flight: 0,
            in_flight: 0,
            rtt: None,
            srtt: None,
            una: SeqNumber(0),
            nxt: SeqNumber(0),
            rate: None,
        };
        assert_eq!(hystart.on_ack(&mut window, &ack, false), 8 * MSS);
        assert_eq!(hystart.on_ack(&mut window, &ack, true), 50 * MSS);
    }
}
