//! The scheduler as everyone sees it: the workers' public halves and what they share.

use crate::atomic::Mutex;
use crate::blocking_pool::BlockingPool;
use crate::clock::Clock;
use crate::driver::{Driver, DriverHandle};
use crate::park::Parker;
use crate::rng::Rng;
use crate::scheduler::core::{Core, Pushed};
use crate::scheduler::counters::{Counter, Counters};
use crate::scheduler::detector::Detector;
use crate::scheduler::hooks::Hooks;
use crate::scheduler::id::RuntimeId;
use crate::scheduler::idle::Idle;
use crate::scheduler::inject::Injector;
use crate::scheduler::metrics::{RuntimeMetrics, WorkerMetrics};
use crate::scheduler::observe;
use crate::scheduler::queue::{self, Remote};
use crate::scheduler::registry::Registry;
use crate::scheduler::worker_park::Seat;
use crate::task::{Notified, SeededIds};
use crate::wait_queue::{Events, WaitQueue};
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;

/// Which of the two kinds a runtime is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuntimeFlavor {
    /// Whoever calls `block_on` drives it.
    CurrentThread,
    /// It has worker threads of its own, be it one.
    MultiThread,
}

/// How the workers go about their work.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) flavor: RuntimeFlavor,
    pub(crate) name: Option<String>,
    pub(crate) workers: usize,
    /// Polls between two looks at the driver.
    pub(crate) event_interval: u32,
    /// Polls between two looks at the injector, for a worker that has enough to do.
    pub(crate) global_queue_interval: u32,
    /// Decides where thieves begin, and whatever else is left to chance.
    pub(crate) rng: Rng,
    /// The tasks' identities, when the seed decides them too.
    pub(crate) ids: Option<Arc<SeededIds>>,
    /// The one thread that may take the core of a single worker: tasks need not be `Send` there.
    pub(crate) owner: Option<ThreadId>,
    pub(crate) hooks: Hooks,
    /// Reports polls that take too long.
    pub(crate) detector: Option<Arc<Detector>>,
    /// Whether poll times are counted by class.
    pub(crate) poll_time_histogram: bool,
    /// Whether a panic in a task is the end of the runtime.
    pub(crate) ends_on_panic: bool,
}

/// The shared half of a runtime. Aligned, so that what all read does not lie beside its count of references.
#[repr(align(128))]
pub(crate) struct Shared {
    pub(super) workers: Box<[Worker]>,
    pub(super) injector: Injector<Notified>,
    pub(super) idle: Idle,
    pub(super) registry: Registry,
    /// Held by the worker that sleeps in it.
    pub(super) driver: Mutex<Driver>,
    pub(super) driver_handle: DriverHandle,
    /// Where cores are that nobody works with: before the first worker begins, after the last has ended, for a single
    /// worker between two `block_on`s, and while one thread hands a core to another.
    #[expect(clippy::vec_box, reason = "a core moves about as one pointer")]
    cores: Mutex<Vec<Box<Core>>>,
    /// Those who wait for a core to be put back.
    pub(super) core_free: WaitQueue,
    pub(super) config: Config,
    /// Whether polls are [observed](observe); from `config`.
    pub(super) observed: bool,
    /// Tasks that were spawned by no worker.
    pub(super) spawned_outside: Counter,
    id: RuntimeId,
    blocking: BlockingPool,
}

/// A worker's public half.
pub(super) struct Worker {
    pub(super) queue: Remote<Notified>,
    pub(super) seat: Seat,
    pub(super) counters: Counters,
}

impl Worker {
    fn metrics(&self, config: &Config) -> WorkerMetrics {
        let counters = &self.counters;
        let polls = counters.polls.get();
        let busy = counters.busy();
        let in_polls = if config.poll_time_histogram { counters.polling() } else { busy };
        WorkerMetrics {
            polls,
            parks: counters.parks.get(),
            unparks: counters.unparks.get(),
            steals: counters.steals.get(),
            steal_operations: counters.steal_operations.get(),
            overflows: self.queue.overflows() as u64,
            budget_forced_yields: counters.budget_yields.get(),
            busy_duration: busy,
            mean_poll_time: mean(in_polls, polls),
            poll_time_histogram: if config.poll_time_histogram { counters.poll_times() } else { Vec::new() },
            queue_depth: self.queue.ring_len(),
        }
    }
}

impl Shared {
    /// A scheduler at rest: its cores lie in [`Shared::take_core`]'s shelf.
    pub(crate) fn new(
        mut config: Config,
        driver: Driver,
        driver_handle: DriverHandle,
        blocking: BlockingPool,
    ) -> Arc<Shared> {
        let mut cores = Vec::with_capacity(config.workers);
        let mut workers = Vec::with_capacity(config.workers);
        for index in 0..config.workers {
            let (local, remote) = queue::new(config.workers == 1);
            let parker = Parker::new();
            workers.push(Worker { queue: remote, seat: Seat::new(&parker), counters: Counters::default() });
            let rng = config.rng.fork();
            cores.push(Box::new(Core::new(index, local, parker, rng, config.workers, config.global_queue_interval)));
        }
        // The first core is taken first.
        cores.reverse();
        Arc::new(Shared {
            workers: workers.into(),
            injector: Injector::new(),
            idle: Idle::new(config.workers, matches!(driver_handle.clock(), Clock::Real)),
            registry: Registry::new(config.workers),
            driver: Mutex::new(driver),
            driver_handle,
            cores: Mutex::new(cores),
            core_free: WaitQueue::new(),
            observed: observe::is_wanted(&config),
            spawned_outside: Counter::default(),
            config,
            id: RuntimeId::next(),
            blocking,
        })
    }

    /// What tells this runtime from others.
    pub(crate) fn id(&self) -> RuntimeId {
        self.id
    }

    /// Which kind it is.
    pub(crate) fn flavor(&self) -> RuntimeFlavor {
        self.config.flavor
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.config.name.as_deref()
    }

    /// The driver's shared half.
    pub(crate) fn driver(&self) -> &DriverHandle {
        &self.driver_handle
    }

    /// The pool for closures that block.
    pub(crate) fn blocking(&self) -> &BlockingPool {
        &self.blocking
    }

    /// How many workers there are.
    pub(crate) fn num_workers(&self) -> usize {
        self.workers.len()
    }

    /// The numbers as they are now.
    pub(crate) fn metrics(&self) -> RuntimeMetrics {
        let pool = self.blocking.load();
        let driver = self.driver_handle.load();
        let spawned: u64 = self.workers.iter().map(|worker| worker.counters.spawned.get()).sum();
        RuntimeMetrics {
            workers: self.workers.iter().map(|worker| worker.metrics(&self.config)).collect(),
            live_tasks: self.registry.len(),
            spawned_tasks: spawned + self.spawned_outside.get(),
            injector_depth: self.injector.len(),
            blocking_threads: pool.threads,
            idle_blocking_threads: pool.idle,
            blocking_queue_depth: pool.queued,
            timers: driver.timers,
            io_sources: driver.sources,
        }
    }

    /// Takes a core off the shelf.
    pub(super) fn take_core(&self) -> Option<Box<Core>> {
        self.cores.lock().pop()
    }

    /// Takes one worker's core off the shelf, if it is there.
    pub(super) fn take_core_of(&self, index: usize) -> Option<Box<Core>> {
        let mut cores = self.cores.lock();
        let at = cores.iter().position(|core| core.index == index)?;
        Some(cores.swap_remove(at))
    }

    /// Takes all cores off the shelf, if all are there.
    #[expect(clippy::vec_box, reason = "a core moves about as one pointer")]
    pub(super) fn take_all_cores(&self) -> Option<Vec<Box<Core>>> {
        let mut cores = self.cores.lock();
        (cores.len() == self.workers.len()).then(|| std::mem::take(&mut *cores))
    }

    /// Lays a core on the shelf and tells one of those who wait for it.
    pub(super) fn put_core_back(&self, core: Box<Core>) {
        self.cores.lock().push(core);
        self.core_free.wake(Events::ANY, 1);
    }

    /// Queues a task on the worker that calls.
    pub(super) fn push_own(&self, core: &mut Core, task: Notified) {
        let pushed = core.push(task, &self.injector);
        // Without its parker the worker is still in the driver: events come in batches, and it wakes others at the end.
        if pushed == Pushed::ForAnyone && self.workers.len() > 1 && core.parker.is_some() {
            self.wake(self.idle.for_own_work());
        }
    }

    /// Queues a task from a thread that is no worker of this scheduler.
    pub(super) fn push_from_outside(&self, task: Notified) {
        self.injector.push(task);
        self.wake(self.idle.for_new_work());
    }

    /// Wakes a worker that [`Idle`] named.
    pub(super) fn wake(&self, worker: Option<usize>) {
        if let Some(index) = worker {
            let worker = &self.workers[index];
            worker.counters.unparks.add_shared(1);
            worker.seat.unpark(|| self.driver_handle.unpark());
        }
    }

    /// Wakes a sleeper that has become the watch.
    pub(super) fn rouse(&self, watch: Option<usize>) {
        if let Some(index) = watch {
            self.workers[index].seat.unpark(|| self.driver_handle.unpark());
        }
    }

    /// Wakes every worker, asleep or about to be.
    pub(super) fn wake_all(&self) {
        for worker in &self.workers {
            worker.seat.unpark(|| self.driver_handle.unpark());
        }
    }

    /// What [`Idle`] asks of a worker that stops being one of whom others expect that it finds new work.
    pub(super) fn look_again(&self) {
        if self.injector.len() > 0 || self.workers.iter().any(|worker| worker.queue.ring_len() > 0) {
            self.wake(self.idle.for_own_work());
        }
    }
}

fn mean(time: Duration, count: u64) -> Duration {
    if count == 0 { Duration::ZERO } else { time.div_f64(count as f64) }
}
