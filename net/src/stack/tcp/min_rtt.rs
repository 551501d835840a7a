//! The least round-trip time of the last minutes (`minmax_running_min`): the path without its queues.

use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// A windowed minimum in three samples (Kathleen Nichols' algorithm): the best, and the best of what came after it, twice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MinRtt {
    samples: [Sample; 3],
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at_ms: u32,
    rtt_us: u32,
}

/// `tcp_min_rtt_wlen`
const WINDOW_MS: u32 = 300_000;

/// The time since `earlier` in microseconds, as far as they fit.
#[inline]
pub(crate) fn micros_since(now: Instant, earlier: Instant) -> u32 {
    u32::try_from(now.as_nanos().saturating_sub(earlier.as_nanos()) / 1000).unwrap_or(u32::MAX)
}

impl MinRtt {
    /// Nothing measured.
    pub(crate) const fn new() -> MinRtt {
        MinRtt { samples: [Sample { at_ms: 0, rtt_us: u32::MAX }; 3] }
    }

    /// The minimum, or nothing before the first sample.
    #[inline]
    pub(crate) fn get(&self) -> Option<Duration> {
        let least = self.samples[0].rtt_us;
        (least != u32::MAX).then(|| Duration::from_micros(least.into()))
    }

    /// The same in microseconds; 0 before the first sample.
    #[inline]
    pub(crate) fn us(&self) -> u32 {
        self.samples[0].rtt_us.checked_add(1).map_or(0, |us| us - 1)
    }

    /// Takes a sample in microseconds.
    #[inline]
    pub(crate) fn sample(&mut self, rtt_us: u32, now: Instant) {
        let rtt_us = rtt_us.clamp(1, u32::MAX - 1);
        let sample = Sample { at_ms: (now.as_nanos() / 1_000_000) as u32, rtt_us };
        let [best, _, third] = &self.samples;
        let outdated = sample.at_ms.wrapping_sub(third.at_ms) > WINDOW_MS;
        if rtt_us <= best.rtt_us || outdated {
            self.samples = [sample; 3];
            return;
        }
        if rtt_us <= self.samples[1].rtt_us {
            (self.samples[1], self.samples[2]) = (sample, sample);
        } else if rtt_us <= self.samples[2].rtt_us {
            self.samples[2] = sample;
        }
        self.age(sample);
    }

    /// `minmax_subwin_update`: the best goes when its time is over, and the others are renewed while it lasts.
    fn age(&mut self, sample: Sample) {
        let [best, second, _] = self.samples;
        let passed = sample.at_ms.wrapping_sub(best.at_ms);
        if passed > WINDOW_MS {
            self.samples = [second, self.samples[2], sample];
            if sample.at_ms.wrapping_sub(self.samples[0].at_ms) > WINDOW_MS {
                self.samples = [self.samples[1], self.samples[2], sample];
            }
        } else if second.at_ms == best.at_ms && passed > WINDOW_MS / 4 {
            (self.samples[1], self.samples[2]) = (sample, sample);
        } else if self.samples[2].at_ms == second.at_ms && passed > WINDOW_MS / 2 {
            self.samples[2] = sample;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_five_minutes_is_remembered() {
        let at = |s: u64| Instant::from_virtual_ns(s * 1_000_000_000);
        let ms = Duration::from_millis;
        let us = |ms: u64| ms as u32 * 1000;
        let mut min = MinRtt::new();
        assert_eq!(min.get(), None);
        for (s, rtt, expected) in [(0, 20, 20), (1, 10, 10), (100, 30, 10), (200, 25, 10), (300, 40, 10), (302, 40, 25)]
        {
            min.sample(us(rtt), at(s));
            assert_eq!(min.get(), Some(ms(expected)), "{s} s");
        }
        min.sample(us(50), at(2000));
        assert_eq!(min.get(), Some(ms(50)));
    }
}
