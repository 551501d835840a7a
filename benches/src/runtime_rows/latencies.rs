//! The latencies of one run, and the beats by which wake-ups are timed.

use crate::signal::Signal;
use hdrhistogram::Histogram;
use std::io;
use std::time::{Duration, Instant};

/// How long things took.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

const MINUTE_NS: u64 = 60_000_000_000;

impl Latencies {
    pub(crate) fn new() -> Latencies {
        Latencies(Histogram::new_with_bounds(1, MINUTE_NS, 3).expect("the bounds are good ones"))
    }

    /// Takes in one more. What is longer than a minute counts as a minute.
    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(MINUTE_NS));
    }

    /// Takes in all of another's.
    pub(crate) fn add(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("the bounds are the same");
    }

    /// p50 and p99, in microseconds.
    pub(crate) fn quantiles(&self) -> io::Result<Vec<f64>> {
        if self.0.is_empty() {
            return Err(io::Error::other("the run ended before anything was measured"));
        }
        Ok([0.50, 0.99].iter().map(|&quantile| self.0.value_at_quantile(quantile) as f64 / 1e3).collect())
    }
}

/// What is sent to a task whose wake-ups are timed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Beat {
    /// Sent at this moment.
    At {
        moment: Instant,
        /// Not in the warm-up.
        counts: bool,
    },
    /// There will be no more.
    Last,
}

impl Beat {
    pub(crate) fn now(counts: bool) -> Beat {
        Beat::At { moment: Instant::now(), counts }
    }
}

/// Waits for beats until the last; `heard` is called after each.
pub(crate) async fn hear(beats: &Signal<Beat>, mut heard: impl FnMut()) -> Latencies {
    let mut latencies = Latencies::new();
    while let Beat::At { moment, counts } = beats.taken().await {
        let late = moment.elapsed();
        if counts {
            latencies.record(late);
        }
        heard();
    }
    latencies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_in_microseconds() {
        let mut latencies = Latencies::new();
        (1..=100).for_each(|us| latencies.record(Duration::from_micros(us)));
        let mut twice = Latencies::new();
        twice.add(&latencies);
        twice.add(&latencies);
        let quantiles = twice.quantiles().unwrap();
        assert!((quantiles[0] - 50.0).abs() < 0.1 && (quantiles[1] - 99.0).abs() < 0.1, "{quantiles:?}");
        assert!(Latencies::new().quantiles().is_err());
    }
}
