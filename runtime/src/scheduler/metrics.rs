//! What a worker counts, and the snapshot that users see.

use std::sync::atomic::{AtomicU64, Ordering};

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
}

/// One worker's counters, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counters {
    pub(super) polls: Counter,
    pub(super) parks: Counter,
    pub(super) steals: Counter,
    pub(super) steal_operations: Counter,
    pub(super) unparks: Counter,
}

impl Counters {
    /// This worker took so many tasks at once from another.
    pub(super) fn stole(&self, count: u64) {
        self.steals.add(count);
        self.steal_operations.add(1);
    }
}

/// What one worker has done since the runtime began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerMetrics {
    /// How many times it polled a task.
    pub polls: u64,
    /// How many times it went to sleep.
    pub parks: u64,
    /// How many tasks it took from other workers.
    pub steals: u64,
    /// How many times somebody woke it for new work.
    pub unparks: u64,
    /// How many tasks stand in its queue now.
    pub queue_depth: usize,
}

/// A runtime's numbers at one moment; each is exact, together they are only nearly simultaneous.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuntimeMetrics {
    /// Every worker's own numbers; their count is the number of workers.
    pub workers: Vec<WorkerMetrics>,
    /// How many tasks have been spawned and have not completed; blocking ones are not counted.
    pub live_tasks: usize,
    /// How many tasks wait in the queue that all workers share.
    pub injector_depth: usize,
    /// How many threads the blocking pool has.
    pub blocking_threads: usize,
    /// How many of them have nothing to do.
    pub idle_blocking_threads: usize,
    /// How many blocking closures wait for a thread.
    pub blocking_queue_depth: usize,
}

impl RuntimeMetrics {
    /// How many workers there are.
    #[must_use]
    pub fn num_workers(&self) -> usize {
        self.workers.len()
    }

    /// Polls of all workers.
    #[must_use]
    pub fn polls(&self) -> u64 {
        self.workers.iter().map(|worker| worker.polls).sum()
    }

    /// Parks of all workers.
    #[must_use]
    pub fn parks(&self) -> u64 {
        self.workers.iter().map(|worker| worker.parks).sum()
    }

    /// Tasks stolen by all workers.
    #[must_use]
    pub fn steals(&self) -> u64 {
        self.workers.iter().map(|worker| worker.steals).sum()
    }

    /// Wake-ups issued to all workers.
    #[must_use]
    pub fn unparks(&self) -> u64 {
        self.workers.iter().map(|worker| worker.unparks).sum()
    }
}
