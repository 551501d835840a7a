//! A runtime's numbers at one moment, as users see them.

use crate::scheduler::counters::{POLL_TIME_BUCKETS, poll_time_bucket_start};
use std::ops::Range;
use std::time::Duration;

/// What one worker has done since the runtime began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerMetrics {
    /// How many times it polled a task.
    pub polls: u64,
    /// How many times it went to sleep.
    pub parks: u64,
    /// How many times somebody woke it for new work.
    pub unparks: u64,
    /// How many tasks it took from other workers.
    pub steals: u64,
    /// In how many goes it took them.
    pub steal_operations: u64,
    /// How many times its queue was full, and half of it went into the queue that all workers share.
    pub overflows: u64,
    /// How many polls ended because the task had used its [budget](crate::coop) up.
    pub budget_forced_yields: u64,
    /// How long it was awake, up to when it last went to sleep; zero under a virtual clock.
    pub busy_duration: Duration,
    /// The mean time of a poll. Measured, when the histogram is enabled; else what the time awake comes to for each poll.
    pub mean_poll_time: Duration,
    /// How many polls took how long, by the classes of [`RuntimeMetrics::poll_time_histogram_bucket_range`]; empty unless
    /// [`Builder::enable_metrics_poll_time_histogram`](crate::Builder::enable_metrics_poll_time_histogram) was called.
    pub poll_time_histogram: Vec<u64>,
    /// How many tasks stand in its queue now.
    pub queue_depth: usize,
}

/// A runtime's numbers at one moment; each is exact, together they are only nearly simultaneous.
///
/// A snapshot, where tokio's is a view that is read anew with each call. The methods have tokio's names.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = wakeline_runtime::Builder::new_multi_thread().worker_threads(2).build()?;
/// let before = runtime.metrics();
/// runtime.block_on(runtime.spawn(async {}))?;
/// let after = runtime.metrics();
/// assert_eq!((after.num_workers(), after.spawned_tasks_count() - before.spawned_tasks_count()), (2, 1));
/// assert!(after.polls() > before.polls());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuntimeMetrics {
    /// Every worker's own numbers; their count is the number of workers.
    pub workers: Vec<WorkerMetrics>,
    /// How many tasks have been spawned and have not completed; blocking ones are not counted.
    pub live_tasks: usize,
    /// How many tasks have been spawned since the runtime began.
    pub spawned_tasks: u64,
    /// How many tasks wait in the queue that all workers share.
    pub injector_depth: usize,
    /// How many threads the blocking pool has.
    pub blocking_threads: usize,
    /// How many of them have nothing to do.
    pub idle_blocking_threads: usize,
    /// How many blocking closures wait for a thread.
    pub blocking_queue_depth: usize,
    /// How many timers are pending.
    pub timers: usize,
    /// How many sources of the operating system are registered.
    pub io_sources: usize,
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

    /// [`live_tasks`](RuntimeMetrics::live_tasks), by tokio's name.
    #[must_use]
    pub fn num_alive_tasks(&self) -> usize {
        self.live_tasks
    }

    /// [`spawned_tasks`](RuntimeMetrics::spawned_tasks), by tokio's name.
    #[must_use]
    pub fn spawned_tasks_count(&self) -> u64 {
        self.spawned_tasks
    }

    /// [`injector_depth`](RuntimeMetrics::injector_depth), by tokio's name.
    #[must_use]
    pub fn global_queue_depth(&self) -> usize {
        self.injector_depth
    }

    /// [`blocking_threads`](RuntimeMetrics::blocking_threads), by tokio's name.
    #[must_use]
    pub fn num_blocking_threads(&self) -> usize {
        self.blocking_threads
    }

    /// [`idle_blocking_threads`](RuntimeMetrics::idle_blocking_threads), by tokio's name.
    #[must_use]
    pub fn num_idle_blocking_threads(&self) -> usize {
        self.idle_blocking_threads
    }

    /// [`blocking_queue_depth`](RuntimeMetrics::blocking_queue_depth), by tokio's name.
    #[must_use]
    pub fn blocking_queue_depth(&self) -> usize {
        self.blocking_queue_depth
    }

    /// [`budget_forced_yields`](WorkerMetrics::budget_forced_yields) of all workers, by tokio's name.
    #[must_use]
    pub fn budget_forced_yield_count(&self) -> u64 {
        self.workers.iter().map(|worker| worker.budget_forced_yields).sum()
    }

    /// [`parks`](WorkerMetrics::parks) of one worker.
    ///
    /// # Panics
    /// When there is no such worker; so do the methods below.
    #[must_use]
    #[track_caller]
    pub fn worker_park_count(&self, worker: usize) -> u64 {
        self.worker(worker).parks
    }

    /// [`polls`](WorkerMetrics::polls) of one worker.
    #[must_use]
    #[track_caller]
    pub fn worker_poll_count(&self, worker: usize) -> u64 {
        self.worker(worker).polls
    }

    /// [`steals`](WorkerMetrics::steals) of one worker.
    #[must_use]
    #[track_caller]
    pub fn worker_steal_count(&self, worker: usize) -> u64 {
        self.worker(worker).steals
    }

    /// [`steal_operations`](WorkerMetrics::steal_operations) of one worker.
    #[must_use]
    #[track_caller]
    pub fn worker_steal_operations(&self, worker: usize) -> u64 {
        self.worker(worker).steal_operations
    }

    /// [`overflows`](WorkerMetrics::overflows) of one worker.
    #[must_use]
    #[track_caller]
    pub fn worker_overflow_count(&self, worker: usize) -> u64 {
        self.worker(worker).overflows
    }

    /// [`busy_duration`](WorkerMetrics::busy_duration) of one worker.
    #[must_use]
    #[track_caller]
    pub fn worker_total_busy_duration(&self, worker: usize) -> Duration {
        self.worker(worker).busy_duration
    }

    /// [`mean_poll_time`](WorkerMetrics::mean_poll_time) of one worker.
    #[must_use]
    #[track_caller]
    pub fn worker_mean_poll_time(&self, worker: usize) -> Duration {
        self.worker(worker).mean_poll_time
    }

    /// [`queue_depth`](WorkerMetrics::queue_depth) of one worker.
    #[must_use]
    #[track_caller]
    pub fn worker_local_queue_depth(&self, worker: usize) -> usize {
        self.worker(worker).queue_depth
    }

    /// Whether poll times are counted by class.
    #[must_use]
    pub fn poll_time_histogram_enabled(&self) -> bool {
        self.workers.iter().any(|worker| !worker.poll_time_histogram.is_empty())
    }

    /// How many classes of poll times there are.
    #[must_use]
    pub fn poll_time_histogram_num_buckets(&self) -> usize {
        if self.poll_time_histogram_enabled() { POLL_TIME_BUCKETS } else { 0 }
    }

    /// The poll times that a class holds. Each is as wide as all before it together; the first ends at 256 ns.
    ///
    /// # Panics
    /// When there is no such class.
    #[must_use]
    #[track_caller]
    pub fn poll_time_histogram_bucket_range(&self, bucket: usize) -> Range<Duration> {
        assert!(bucket < POLL_TIME_BUCKETS, "there are {POLL_TIME_BUCKETS} classes of poll times, and no {bucket}");
        let last = bucket == POLL_TIME_BUCKETS - 1;
        poll_time_bucket_start(bucket)..if last { Duration::MAX } else { poll_time_bucket_start(bucket + 1) }
    }

    /// How many polls of one worker fell into a class; 0 when they are not counted.
    ///
    /// # Panics
    /// When there is no such worker.
    #[must_use]
    #[track_caller]
    pub fn poll_time_histogram_bucket_count(&self, worker: usize, bucket: usize) -> u64 {
        self.worker(worker).poll_time_histogram.get(bucket).copied().unwrap_or(0)
    }

    #[track_caller]
    fn worker(&self, worker: usize) -> &WorkerMetrics {
        let count = self.workers.len();
        self.workers.get(worker).unwrap_or_else(|| panic!("the runtime has {count} workers, and no worker {worker}"))
    }
}
