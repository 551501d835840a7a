//! A measured run: a warm-up that counts for nothing, then requests until there were enough.

use std::time::{Duration, Instant};

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// After this many requests, behind a warm-up of a tenth of them.
    Requests(u64),
    /// After this time, behind a warm-up of a fifth of it.
    Elapsed(Duration),
}

/// What a run has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Requests that were answered after the warm-up.
    pub requests: u64,
    /// How long they took together.
    pub elapsed: Duration,
}

impl Measured {
    /// Requests per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }
}

/// A run in progress. It costs a request one addition and one comparison; the clock is read every 16 requests, or before
/// each [long one](Run::of_long).
///
/// # Examples
/// ```
/// use wakeline_benches::run::{Run, Until};
///
/// let mut run = Run::new(Until::Requests(1000));
/// while run.goes_on() {
///     // one request and its answer
/// }
/// assert_eq!(run.finish().requests, 1000);
/// ```
#[derive(Debug)]
pub struct Run {
    until: Until,
    count: u64,
    /// The count at which to think again.
    next_look: u64,
    /// Requests between two looks at the clock.
    stride: u64,
    began: Instant,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Measuring,
    Done(Measured),
}

/// Requests between two looks at the clock, where a look costs as much as a request.
const STRIDE: u64 = 16;

/// How many requests a run of `requests` makes, its warm-up included.
#[must_use]
pub fn with_warm_up(requests: u64) -> u64 {
    requests + warm_up_of(requests)
}

fn warm_up_of(requests: u64) -> u64 {
    requests / 10 + 1
}

impl Run {
    /// A run that begins now.
    #[must_use]
    pub fn new(until: Until) -> Run {
        Run::with_stride(until, STRIDE)
    }

    /// A run that begins now, and whose requests are long: the clock is read before each.
    #[must_use]
    pub fn of_long(until: Until) -> Run {
        Run::with_stride(until, 1)
    }

    fn with_stride(until: Until, stride: u64) -> Run {
        let next_look = match until {
            Until::Requests(requests) => warm_up_of(requests),
            Until::Elapsed(_) => stride,
        };
        Run { until, count: 0, next_look, stride, began: Instant::now(), phase: Phase::WarmUp }
    }

    /// Whether the warm-up is over, so that the request that goes on now counts.
    #[must_use]
    pub fn is_warm(&self) -> bool {
        self.phase != Phase::WarmUp
    }

    /// Whether one more request is wanted. Called before each.
    pub fn goes_on(&mut self) -> bool {
        if self.count == self.next_look && !self.look() {
            return false;
        }
        self.count += 1;
        true
    }

    #[cold]
    fn look(&mut self) -> bool {
        let elapsed = self.began.elapsed();
        match (self.phase, self.until) {
            (Phase::WarmUp, Until::Requests(requests)) => self.start(requests),
            (Phase::WarmUp, Until::Elapsed(time)) if elapsed >= time / 5 => self.start(self.stride),
            (Phase::Measuring, Until::Elapsed(time)) if elapsed < time => self.next_look += self.stride,
            (Phase::WarmUp, Until::Elapsed(_)) => self.next_look += self.stride,
            (Phase::Measuring, _) => self.phase = Phase::Done(Measured { requests: self.count, elapsed }),
            (Phase::Done(_), _) => {}
        }
        !matches!(self.phase, Phase::Done(_))
    }

    fn start(&mut self, next_look: u64) {
        self.phase = Phase::Measuring;
        self.count = 0;
        self.next_look = next_look;
        self.began = Instant::now();
    }

    /// The result, once [`Run::goes_on`] has said no.
    ///
    /// # Panics
    /// While the run goes on.
    #[must_use]
    pub fn finish(self) -> Measured {
        match self.phase {
            Phase::Done(measured) => measured,
            _ => panic!("a run is finished when it goes on no more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_requests_counts_them_after_its_warm_up() {
        let mut run = Run::new(Until::Requests(100));
        let mut all = 0;
        while run.goes_on() {
            all += 1;
        }
        assert_eq!((run.finish().requests, all), (100, 111));
        assert_eq!(with_warm_up(100), 111);
    }

    #[test]
    fn a_run_of_long_requests_looks_before_each() {
        let mut run = Run::of_long(Until::Elapsed(Duration::ZERO));
        let mut warm = Vec::new();
        while run.goes_on() {
            warm.push(run.is_warm());
        }
        assert_eq!((warm, run.finish().requests), (vec![false, true], 1));
    }

    #[test]
    fn a_run_of_time_takes_it() {
        let time = Duration::from_millis(2);
        let mut run = Run::new(Until::Elapsed(time));
        while run.goes_on() {}
        let measured = run.finish();
        assert!(measured.elapsed >= time && measured.requests > 0, "{measured:?}");
    }
}
