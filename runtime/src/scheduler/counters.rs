//! What a worker counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number with one writer and any number of readers: counting costs no locked instruction.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// Only the thread that drives the worker may call it; a second one would lose counts.
    #[inline]
    pub(super) fn add(&self, count: u64) {
        // Relaxed throughout: the number guards nothing.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// The same from any thread.
    pub(super) fn add_shared(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add_time(&self, time: Duration) {
        self.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    fn get_time(&self) -> Duration {
        Duration::from_nanos(self.get())
    }
}

/// One worker's counters, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counters {
    pub(super) polls: Counter,
    pub(super) spawned: Counter,
    pub(super) parks: Counter,
    pub(super) steals: Counter,
    pub(super) steal_operations: Counter,
    pub(super) budget_yields: Counter,
    /// Nanoseconds not asleep, up to the last sleep's beginning.
    busy: Counter,
    /// Nanoseconds in polls, if they are measured.
    polling: Counter,
    poll_times: [Counter; POLL_TIME_BUCKETS],
    pub(super) unparks: Counter,
}

/// How many classes of poll times there are.
pub(super) const POLL_TIME_BUCKETS: usize = 24;
/// The first class ends below `2^FIRST_BITS` ns, each other at twice the one before, and the last one never.
const FIRST_BITS: u32 = 8;

impl Counters {
    /// This worker took so many tasks at once from another.
    pub(super) fn stole(&self, count: u64) {
        self.steals.add(count);
        self.steal_operations.add(1);
    }

    /// This worker was awake for so long.
    pub(super) fn was_busy(&self, time: Duration) {
        self.busy.add_time(time);
    }

    /// This worker was in one poll for so long.
    pub(super) fn polled(&self, time: Duration) {
        self.polling.add_time(time);
        self.poll_times[poll_time_bucket(time)].add(1);
    }

    pub(super) fn busy(&self) -> Duration {
        self.busy.get_time()
    }

    pub(super) fn polling(&self) -> Duration {
        self.polling.get_time()
    }

    pub(super) fn poll_times(&self) -> Vec<u64> {
        self.poll_times.iter().map(Counter::get).collect()
    }
}

fn poll_time_bucket(time: Duration) -> usize {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let bits = u64::BITS - nanos.leading_zeros();
    (bits.saturating_sub(FIRST_BITS) as usize).min(POLL_TIME_BUCKETS - 1)
}

/// Where a class of poll times begins.
pub(super) fn poll_time_bucket_start(bucket: usize) -> Duration {
    if bucket == 0 { Duration::ZERO } else { Duration::from_nanos(1 << (FIRST_BITS as usize + bucket - 1)) }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_poll_time_falls_into_the_class_that_holds_it() {
        let ranges: Vec<_> = (0..POLL_TIME_BUCKETS).map(poll_time_bucket_start).collect();
        assert_eq!(ranges[..3], [0, 256, 512].map(Duration::from_nanos));
        for (bucket, &start) in ranges.iter().enumerate() {
            assert_eq!(poll_time_bucket(start), bucket);
            let end = ranges.get(bucket + 1).copied().unwrap_or(Duration::MAX);
            assert_eq!(poll_time_bucket(end - Duration::from_nanos(1)), bucket);
        }
    }
}
