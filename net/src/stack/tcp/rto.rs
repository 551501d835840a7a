//! The retransmission timeout (RFC 6298), in microseconds.

use std::time::Duration;

/// Smoothed round-trip time, its variation, and the timeout that follows from them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RttEstimator {
    /// Zero until the first measurement.
    srtt_us: u32,
    rttvar_us: u32,
    rto_us: u32,
    /// How often the timeout has been doubled.
    backoff: u8,
}

/// RFC 6298 (2.1).
const INITIAL: Duration = Duration::from_secs(1);
/// RFC 6298 (5.7): the timeout after a handshake in which the SYN had to be sent again.
const FALLBACK: Duration = Duration::from_secs(3);
/// `TCP_RTO_MIN`; RFC 6298 (2.4) asks for a second, and allows what is known to be right for the network.
const MIN: Duration = Duration::from_millis(200);
/// `TCP_RTO_MAX`, RFC 6298 (2.5).
const MAX: Duration = Duration::from_secs(120);

impl RttEstimator {
    /// Nothing measured yet.
    pub(crate) const fn new() -> RttEstimator {
        RttEstimator { srtt_us: 0, rttvar_us: 0, rto_us: INITIAL.as_micros() as u32, backoff: 0 }
    }

    /// Takes a measurement of a segment that was sent only once (Karn), which also ends the back-off.
    pub(crate) fn sample(&mut self, rtt: Duration) {
        let r = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX).clamp(1, MAX.as_micros() as u32);
        if self.srtt_us == 0 {
            // (2.2)
            self.srtt_us = r;
            self.rttvar_us = r / 2;
        } else {
            // (2.3), the variation first: it uses the old mean.
            self.rttvar_us = self.rttvar_us - self.rttvar_us / 4 + self.srtt_us.abs_diff(r) / 4;
            self.srtt_us = (self.srtt_us - self.srtt_us / 8 + r / 8).max(1);
        }
        // The clock's granularity is below a microsecond.
        let rto = self.srtt_us.saturating_add(self.rttvar_us.saturating_mul(4).max(1));
        self.rto_us = rto.clamp(MIN.as_micros() as u32, MAX.as_micros() as u32);
        self.backoff = 0;
    }

    /// (5.5): doubles the timeout.
    pub(crate) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1).min(10);
    }

    /// The peer's window has opened, or the handshake is over: what backed off was not the path.
    pub(crate) fn reset_backoff(&mut self) {
        self.backoff = 0;
    }

    /// (5.7): the SYN was sent more than once, so nothing is known about the path.
    pub(crate) fn fall_back(&mut self) {
        self.rto_us = FALLBACK.as_micros() as u32;
        self.backoff = 0;
    }

    /// The timeout, doubled as often as there was no answer.
    #[inline]
    pub(crate) fn rto(&self) -> Duration {
        Duration::from_micros(u64::from(self.rto_us) << self.backoff).min(MAX)
    }

    /// The smoothed round-trip time, or `None` before the first measurement.
    pub(crate) fn srtt(&self) -> Option<Duration> {
        (self.srtt_us > 0).then(|| Duration::from_micros(self.srtt_us.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(samples_ms: &[u64], backoffs: u32, expected_ms: u64) {
        let mut rtt = RttEstimator::new();
        samples_ms.iter().for_each(|&ms| rtt.sample(Duration::from_millis(ms)));
        (0..backoffs).for_each(|_| rtt.back_off());
        assert_eq!(rtt.rto().as_millis(), u128::from(expected_ms), "{samples_ms:?} {backoffs}");
    }

    #[test]
    fn the_timeout_follows_rfc_6298() {
        check(&[], 0, 1000);
        check(&[], 3, 8000);
        check(&[], 40, 120_000);
        check(&[100], 0, 300);
        check(&[100, 100], 0, 250);
        check(&[100, 300], 0, 475);
        check(&[1], 0, 200);
        check(&[1], 2, 800);
    }

    #[test]
    fn a_sample_ends_the_back_off() {
        let mut rtt = RttEstimator::new();
        rtt.back_off();
        rtt.sample(Duration::from_millis(100));
        assert_eq!(rtt.rto(), Duration::from_millis(300));
        rtt.fall_back();
        assert_eq!(rtt.rto(), Duration::from_secs(3));
        assert_eq!(rtt.srtt(), Some(Duration::from_millis(100)));
    }

    #[test]
    fn absurd_samples_do_no_harm() {
        let mut rtt = RttEstimator::new();
        for ns in [0, u64::MAX, 0, u64::MAX] {
            rtt.sample(Duration::from_nanos(ns));
            assert!((MIN..=MAX).contains(&rtt.rto()));
        }
    }
}
