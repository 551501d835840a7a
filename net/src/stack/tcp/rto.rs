//! The retransmission timeout (RFC 6298) in microseconds, with Linux's care for its variation (`tcp_rtt_estimator`).

use crate::wire::tcp::SeqNumber;
use std::time::Duration;

/// Smoothed round-trip time, its variation, and the timeout that follows from them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RttEstimator {
    /// In eighths of a microsecond; zero until the first measurement.
    srtt_8: u32,
    /// The mean deviation, in quarters.
    mdev_4: u32,
    /// The largest of it in the round trip that ends at `until`, and what is made of that (`rttvar_us`, four times
    /// RFC 6298's).
    mdev_max_4: u32,
    rttvar_4: u32,
    until: SeqNumber,
    rto_us: u32,
    rto_min_us: u32,
    /// How often the timeout has been doubled.
    backoff: u8,
}

/// RFC 6298 (2.1).
const INITIAL: Duration = Duration::from_secs(1);
/// RFC 6298 (5.7): the timeout after a handshake in which the SYN had to be sent again.
const FALLBACK: Duration = Duration::from_secs(3);
/// `TCP_RTO_MIN`; RFC 6298 (2.4) asks for a second, and allows what is known to be right for the network.
pub(crate) const RTO_MIN: Duration = Duration::from_millis(200);
/// `TCP_RTO_MAX`, RFC 6298 (2.5).
pub(crate) const RTO_MAX: Duration = Duration::from_secs(120);

impl RttEstimator {
    /// Nothing measured yet.
    pub(crate) const fn new() -> RttEstimator {
        RttEstimator {
            srtt_8: 0,
            mdev_4: 0,
            mdev_max_4: 0,
            rttvar_4: 0,
            until: SeqNumber(0),
            rto_us: INITIAL.as_micros() as u32,
            rto_min_us: RTO_MIN.as_micros() as u32,
            backoff: 0,
        }
    }

    /// The same with a least timeout beyond the round trip of its own (`tcp_rto_min_us`).
    pub(crate) fn with_min(rto_min: Duration) -> RttEstimator {
        let rto_min_us = u32::try_from(rto_min.as_micros()).unwrap_or(u32::MAX).clamp(1, RTO_MAX.as_micros() as u32);
        RttEstimator { rto_min_us, ..RttEstimator::new() }
    }

    /// Takes a measurement, in microseconds, of a segment of which it is known which copy was acknowledged (Karn), which also ends the
    /// back-off. `una` and `nxt` are SND.UNA and SND.NXT: the variation is judged once for each round trip.
    #[inline]
    pub(crate) fn sample(&mut self, rtt_us: u32, una: SeqNumber, nxt: SeqNumber) {
        // Twice the longest timeout: anything longer is a mistake, and the arithmetic stays within its words.
        let r = rtt_us.clamp(1, 2 * RTO_MAX.as_micros() as u32);
        if self.srtt_8 == 0 {
            // (2.2)
            (self.srtt_8, self.mdev_4) = (r << 3, r << 1);
            self.rttvar_4 = self.mdev_4.max(self.rto_min_us);
            (self.mdev_max_4, self.until) = (self.rttvar_4, nxt);
        } else {
            self.smooth(r);
            self.track_variation(una, nxt);
        }
        self.rto_us = (self.srtt_8 >> 3).saturating_add(self.rttvar_4).min(RTO_MAX.as_micros() as u32);
        self.backoff = 0;
    }

    /// (2.3). When the round trip shrinks, the variation follows slowly: that is no reason for a longer timeout.
    #[inline]
    fn smooth(&mut self, r: u32) {
        let error = i64::from(r) - i64::from(self.srtt_8 >> 3);
        self.srtt_8 = (i64::from(self.srtt_8) + error).max(1) as u32;
        let mut deviation = error.abs() - i64::from(self.mdev_4 >> 2);
        if error < 0 && deviation > 0 {
            deviation >>= 3;
        }
        self.mdev_4 = (i64::from(self.mdev_4) + deviation).max(0) as u32;
    }

    #[inline]
    fn track_variation(&mut self, una: SeqNumber, nxt: SeqNumber) {
        if self.mdev_4 > self.mdev_max_4 {
            self.mdev_max_4 = self.mdev_4;
            self.rttvar_4 = self.rttvar_4.max(self.mdev_max_4);
        }
        if una.is_after(self.until) {
            if self.mdev_max_4 < self.rttvar_4 {
                self.rttvar_4 -= (self.rttvar_4 - self.mdev_max_4) >> 2;
            }
            (self.until, self.mdev_max_4) = (nxt, self.rto_min_us);
        }
    }

    /// (5.5): doubles the timeout.
    pub(crate) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1).min(16);
    }

    /// The peer's window has opened, or the handshake is over: what backed off was not the path.
    pub(crate) fn reset_backoff(&mut self) {
        self.backoff = 0;
    }

    /// How often the timeout has been doubled.
    pub(crate) fn backoff(&self) -> u8 {
        self.backoff
    }

    /// (5.7): the SYN was sent more than once; when no echo tells of the path either, nothing is known about it.
    pub(crate) fn fall_back(&mut self) {
        if self.srtt_8 == 0 {
            self.rto_us = FALLBACK.as_micros() as u32;
            self.backoff = 0;
        }
    }

    /// The timeout, doubled as often as there was no answer.
    pub(crate) fn rto(&self) -> Duration {
        Duration::from_nanos(self.rto_ns())
    }

    /// The same in nanoseconds.
    #[inline]
    pub(crate) fn rto_ns(&self) -> u64 {
        (u64::from(self.rto_us) << self.backoff).min(RTO_MAX.as_micros() as u64) * 1000
    }

    /// The smoothed round-trip time in microseconds.
    #[inline]
    pub(crate) fn srtt_us(&self) -> Option<u32> {
        (self.srtt_8 > 0).then_some(self.srtt_8 >> 3)
    }

    /// The smoothed round-trip time, or `None` before the first measurement.
    #[inline]
    pub(crate) fn srtt(&self) -> Option<Duration> {
        (self.srtt_8 > 0).then(|| Duration::from_micros((self.srtt_8 >> 3).into()))
    }

    /// Its mean deviation, as `tcp_info` reports it.
    pub(crate) fn rttvar(&self) -> Duration {
        Duration::from_micros((self.mdev_4 >> 2).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples, each of a round trip of its own.
    fn sample_all(samples_ms: &[u64]) -> RttEstimator {
        let mut rtt = RttEstimator::new();
        for (n, &ms) in samples_ms.iter().enumerate() {
            let seq = SeqNumber(n as u32 * 10);
            rtt.sample(ms as u32 * 1000, seq + 5, seq + 9);
        }
        rtt
    }

    fn check(samples_ms: &[u64], backoffs: u32, expected_ms: u64) {
        let mut rtt = sample_all(samples_ms);
        (0..backoffs).for_each(|_| rtt.back_off());
        assert_eq!(rtt.rto().as_millis(), u128::from(expected_ms), "{samples_ms:?} {backoffs}");
    }

    /// The least timeout is added to the round trip, as Linux does, and a variation is forgotten slowly.
    #[test]
    fn the_timeout_follows_rfc_6298_and_linux() {
        check(&[], 0, 1000);
        check(&[], 3, 8000);
        check(&[], 40, 120_000);
        check(&[100], 0, 300);
        check(&[100, 100], 0, 300);
        check(&[100, 300], 0, 475);
        check(&[100, 300, 100, 100], 0, 429);
        check(&[1], 0, 201);
        check(&[1], 2, 804);
        check(&[300, 100], 0, 881);
    }

    #[test]
    fn a_sample_ends_the_back_off() {
        let mut rtt = RttEstimator::new();
        rtt.back_off();
        rtt.fall_back();
        assert_eq!(rtt.rto(), Duration::from_secs(3));
        rtt.back_off();
        rtt.sample(100_000, SeqNumber(0), SeqNumber(1));
        rtt.fall_back();
        assert_eq!((rtt.rto(), rtt.srtt()), (Duration::from_millis(300), Some(Duration::from_millis(100))));
    }

    #[test]
    fn absurd_samples_do_no_harm() {
        let mut rtt = RttEstimator::new();
        for (n, us) in [0, u32::MAX, 0, u32::MAX, 0, 0].into_iter().enumerate() {
            rtt.sample(us, SeqNumber(n as u32), SeqNumber(n as u32));
            assert!((RTO_MIN..=RTO_MAX).contains(&rtt.rto()), "{:?}", rtt.rto());
        }
    }
}
