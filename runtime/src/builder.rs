//! Building a runtime: its settings, and how they become one. What it is to tell of is in [`crate::builder_hooks`].

use crate::blocking_pool::{BlockingPool, PoolConfig, ThreadLife};
use crate::clock::{Clock, PausableClock, VirtualClock};
use crate::driver::{self, DriverConfig, IoDriver};
use crate::handle::Handle;
use crate::rng::Rng;
use crate::runtime::Runtime;
use crate::scheduler::{Config, Detector, Hooks, Report, RuntimeFlavor, Shared};
use crate::task::SeededIds;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Duration;

/// The settings of a runtime to be.
pub struct Builder {
    pub(crate) kind: RuntimeFlavor,
    name: Option<String>,
    workers: Option<usize>,
    thread_name: Arc<dyn Fn() -> String + Send + Sync>,
    thread_stack_size: Option<usize>,
    blocking_threads_max: usize,
    blocking_keep_alive: Duration,
    io: bool,
    io_driver: IoDriver,
    time: bool,
    virtual_clock: Option<VirtualClock>,
    start_paused: bool,
    event_interval: u32,
    global_queue_interval: u32,
    rng_seed: Option<u64>,
    pub(crate) hooks: Hooks,
    pub(crate) blocked_after: Option<Duration>,
    pub(crate) on_blocked_poll: Report,
    pub(crate) poll_time_histogram: bool,
    pub(crate) unhandled_panic: UnhandledPanic,
}

/// What a panic in a task means for its runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnhandledPanic {
    /// Nothing: the panic stays in the task's `JoinHandle`.
    #[default]
    Ignore,
    /// The runtime ends: every task is dropped, and [`Runtime::block_on`] panics. Whether the task's `JoinHandle` is held
    /// makes no difference.
    ShutdownRuntime,
}

impl Builder {
    /// A runtime without threads of its own: whoever calls [`Runtime::block_on`] drives it.
    #[must_use]
    pub fn new_current_thread() -> Builder {
        Builder::new(RuntimeFlavor::CurrentThread)
    }

    /// A runtime with worker threads that take work from each other.
    #[must_use]
    pub fn new_multi_thread() -> Builder {
        Builder::new(RuntimeFlavor::MultiThread)
    }

    fn new(kind: RuntimeFlavor) -> Builder {
        Builder {
            kind,
            name: None,
            workers: None,
            thread_name: Arc::new(|| "wakeline-worker".to_owned()),
            thread_stack_size: None,
            blocking_threads_max: 512,
            blocking_keep_alive: Duration::from_secs(10),
            io: false,
            io_driver: IoDriver::Mio,
            time: false,
            virtual_clock: None,
            start_paused: false,
            event_interval: 61,
            global_queue_interval: 8,
            rng_seed: None,
            hooks: Hooks::default(),
            blocked_after: None,
            on_blocked_poll: Arc::new(|poll| eprintln!("wakeline: {poll}")),
            poll_time_histogram: false,
            unhandled_panic: UnhandledPanic::Ignore,
        }
    }

    /// The runtime's name, which [`Handle::name`] tells. Its threads have [another](Builder::thread_name).
    ///
    /// # Panics
    /// When `name` is empty.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let runtime = wakeline_runtime::Builder::new_current_thread().name("storage").build()?;
    /// assert_eq!(runtime.handle().name(), Some("storage"));
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn name(&mut self, name: impl Into<String>) -> &mut Builder {
        let name = name.into();
        assert!(!name.is_empty(), "a runtime's name has at least one character: leave `name` out for one without");
        self.name = Some(name);
        self
    }

    /// How many worker threads a multi-thread runtime has; as many as there are CPUs unless set.
    ///
    /// # Panics
    /// When `count` is 0, or above 32,768.
    #[track_caller]
    pub fn worker_threads(&mut self, count: usize) -> &mut Builder {
        assert!(count > 0, "a runtime needs at least one worker: `worker_threads` takes a number above 0");
        assert!(
            count <= WORKERS_MAX,
            "`worker_threads` takes at most {WORKERS_MAX}, and {count} were asked for: more workers than CPUs do not run \
             more tasks at a time"
        );
        self.workers = Some(count);
        self
    }

    /// How many threads the pool of `spawn_blocking` may have; 512 unless set.
    ///
    /// # Panics
    /// When `count` is 0.
    #[track_caller]
    pub fn max_blocking_threads(&mut self, count: usize) -> &mut Builder {
        assert!(
            count > 0,
            "the blocking pool needs at least one thread: `max_blocking_threads` takes a number above 0"
        );
        self.blocking_threads_max = count;
        self
    }

    /// How long a thread of the blocking pool waits for work before it ends; 10 s unless set.
    pub fn thread_keep_alive(&mut self, duration: Duration) -> &mut Builder {
        self.blocking_keep_alive = duration;
        self
    }

    /// The name of the threads that the runtime starts; "wakeline-worker" unless set.
    ///
    /// # Panics
    /// When there is a NUL byte in it.
    #[track_caller]
    pub fn thread_name(&mut self, name: impl Into<String>) -> &mut Builder {
        let name = name.into();
        assert!(!name.contains('\0'), "the name of a thread can not hold a NUL byte: `thread_name` was given {name:?}");
        self.thread_name_fn(move || name.clone())
    }

    /// As [`thread_name`](Builder::thread_name), with a name for each thread. A name with a NUL byte makes
    /// [`build`](Builder::build) fail, or `spawn_blocking` panic, when it comes to a thread of the pool.
    pub fn thread_name_fn(&mut self, name: impl Fn() -> String + Send + Sync + 'static) -> &mut Builder {
        self.thread_name = Arc::new(name);
        self
    }

    /// The stack of the threads that the runtime starts, in bytes; what the standard library has unless set.
    ///
    /// # Panics
    /// When it is more than a quarter of what can be addressed. What is less, and too much for the operating system, makes
    /// [`build`](Builder::build) fail.
    #[track_caller]
    pub fn thread_stack_size(&mut self, bytes: usize) -> &mut Builder {
        assert!(
            bytes <= usize::MAX / 4,
            "`thread_stack_size` takes bytes, and {bytes} of them do not fit into memory: ask for some mebibytes"
        );
        self.thread_stack_size = Some(bytes);
        self
    }

    /// Lets sources of the operating system be waited for.
    pub fn enable_io(&mut self) -> &mut Builder {
        self.io = true;
        self
    }

    /// By what the runtime hears of sources; [`IoDriver::Mio`] unless set. It does not enable I/O.
    ///
    /// Where the kernel refuses what [`IoDriver::IoUring`] needs (Linux 6.0 at least, no sandbox that forbids it), or the crate
    /// was built without the feature `io-uring`, the runtime goes by `mio` and says why on standard error, and in
    /// [`Handle::io_driver_refusal`].
    pub fn io_driver(&mut self, io_driver: IoDriver) -> &mut Builder {
        self.io_driver = io_driver;
        self
    }

    /// Lets time be waited for.
    pub fn enable_time(&mut self) -> &mut Builder {
        self.time = true;
        self
    }

    /// Enables I/O and time.
    pub fn enable_all(&mut self) -> &mut Builder {
        self.enable_io().enable_time()
    }

    /// How many polls a worker makes between two looks at the driver; 61 unless set.
    ///
    /// # Panics
    /// When `polls` is 0.
    #[track_caller]
    pub fn event_interval(&mut self, polls: u32) -> &mut Builder {
        assert!(polls > 0, "a worker polls tasks between two looks at the driver: `event_interval` must be above 0");
        self.event_interval = polls;
        self
    }

    /// How many polls a busy worker makes between two looks at the queue that all share; 8 unless set.
    ///
    /// # Panics
    /// When `polls` is 0.
    #[track_caller]
    pub fn global_queue_interval(&mut self, polls: u32) -> &mut Builder {
        assert!(polls > 0, "a worker has polls between two looks at the shared queue: the interval must be above 0");
        self.global_queue_interval = polls;
        self
    }

    /// Decides whatever is left to chance: which worker is robbed first, which branch `select!` asks first, and in a
    /// current-thread runtime what identities tasks have. See [`start_paused`](Builder::start_paused) for runs that
    /// repeat themselves.
    pub fn rng_seed(&mut self, seed: u64) -> &mut Builder {
        self.rng_seed = Some(seed);
        self
    }

    /// Whether the runtime's clock stands from the beginning, as if [`time::pause`](crate::time::pause) had been called.
    ///
    /// For tests. The clock begins at a moment that is the same in every run, where tokio's begins at the present: so
    /// that, together with [`rng_seed`](Builder::rng_seed), the whole run is.
    ///
    /// # Deterministic runs
    /// A current-thread runtime with a clock that stands and a seed does the same in every run, on every machine: tasks run
    /// in the order in which they became ready, timers fire in the order of their deadlines (equal ones in the order in
    /// which they were set), and whatever is left to chance is decided by the seed: the branch that `select!` asks first,
    /// the identities of tasks. What comes from outside is as it comes: other threads, the blocking pool, the operating
    /// system's I/O, and the runtime's own `Id`, which is counted across the process.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use wakeline_runtime::{Builder, time};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let runtime = Builder::new_current_thread().enable_time().start_paused(true).rng_seed(7).build()?;
    /// runtime.block_on(async {
    ///     let start = time::Instant::now();
    ///     time::sleep(Duration::from_secs(3600)).await; // at once
    ///     assert_eq!(start.elapsed(), Duration::from_secs(3600));
    /// });
    /// # Ok(())
    /// # }
    /// ```
    pub fn start_paused(&mut self, start_paused: bool) -> &mut Builder {
        self.start_paused = start_paused;
        self
    }

    /// Puts the runtime on a clock that stands still while a task is ready and jumps to the next deadline when none is.
    #[doc(hidden)]
    pub fn virtual_clock(&mut self, clock: VirtualClock) -> &mut Builder {
        self.virtual_clock = Some(clock);
        self
    }

    #[track_caller]
    fn clock(&self) -> Clock {
        match (&self.virtual_clock, self.kind) {
            (Some(clock), _) => Clock::Virtual(clock.clone()),
            (None, RuntimeFlavor::CurrentThread) if self.start_paused => Clock::Pausable(PausableClock::paused()),
            (None, RuntimeFlavor::CurrentThread) => Clock::Pausable(PausableClock::running()),
            (None, RuntimeFlavor::MultiThread) => {
                assert!(
                    !self.start_paused,
                    "`start_paused` works in a current-thread runtime only, where one thread does everything: build it by \
                     `Builder::new_current_thread`"
                );
                Clock::Real
            }
        }
    }

    /// Builds the runtime; the builder may be used again.
    ///
    /// # Errors
    /// What the operating system says when it gives no thread or no poll instance; `InvalidInput` when the name of a thread
    /// can not be one.
    ///
    /// # Panics
    /// When a multi-thread runtime is to [start paused](Builder::start_paused).
    #[track_caller]
    pub fn build(&mut self) -> io::Result<Runtime> {
        self.build_for(None)
    }

    /// As [`build`](Builder::build). With an owner, the caller promises that only that thread ever has the result.
    ///
    /// # Panics
    /// When there is an owner and workers have threads of their own.
    #[track_caller]
    pub(crate) fn build_for(&mut self, owner: Option<ThreadId>) -> io::Result<Runtime> {
        assert!(
            owner.is_none() || self.kind == RuntimeFlavor::CurrentThread,
            "a `LocalRuntime` has no threads of its own: build it from `Builder::new_current_thread()`"
        );
        let workers = match self.kind {
            RuntimeFlavor::CurrentThread => 1,
            RuntimeFlavor::MultiThread => self.workers.unwrap_or_else(cpus),
        };
        let clock = self.clock();
        let driver_config =
            DriverConfig { io: self.io, io_driver: self.io_driver, time: self.time, clock: clock.clone(), workers };
        let (driver, driver_handle) = driver::new(driver_config)?;
        if let Some(why) = driver_handle.io_driver_refusal() {
            eprintln!("wakeline: no io_uring driver, mio takes its place: {why}");
        }
        let config = Config {
            flavor: self.kind,
            name: self.name.clone(),
            workers,
            event_interval: self.event_interval,
            global_queue_interval: self.global_queue_interval,
            rng: self.rng_seed.map_or_else(Rng::from_entropy, Rng::seeded),
            // With several workers it is chance which of them spawns what.
            ids: self.rng_seed.filter(|_| workers == 1).map(|seed| Arc::new(SeededIds::new(seed))),
            owner,
            hooks: self.hooks.clone(),
            detector: self.blocked_after.map(|limit| self.detector(workers, limit)),
            poll_time_histogram: self.poll_time_histogram,
            ends_on_panic: self.unhandled_panic == UnhandledPanic::ShutdownRuntime,
        };
        let detector = config.detector.clone();
        let thread = self.thread_builder();
        let pool = BlockingPool::new(PoolConfig {
            threads_max: self.blocking_threads_max,
            keep_alive: self.blocking_keep_alive,
            clock,
            thread: Box::new(self.thread_builder()),
        });
        let handle = Handle { shared: Shared::new(config, driver, driver_handle, pool) };
        handle.shared.blocking().set_thread_life(self.pool_thread_life(&handle));
        let mut runtime = Runtime::without_threads(handle, self.kind);
        if let Some(detector) = detector {
            runtime.start_watchdog(thread()?, detector)?;
        }
        if self.kind == RuntimeFlavor::MultiThread {
            for _ in 0..workers {
                runtime.start_worker(thread()?, self.hooks.clone())?;
            }
        }
        Ok(runtime)
    }

    fn thread_builder(&self) -> impl Fn() -> io::Result<thread::Builder> + Send + Sync + 'static {
        let (name, stack_size) = (self.thread_name.clone(), self.thread_stack_size);
        move || {
            let name = name();
            if name.contains('\0') {
                let text = format!("the name of a thread can not hold a NUL byte: `thread_name_fn` gave {name:?}");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            let thread = thread::Builder::new().name(name);
            Ok(match stack_size {
                Some(bytes) => thread.stack_size(bytes),
                None => thread,
            })
        }
    }

    /// A thread of the pool has this runtime for its current one. The pool, being a part of the runtime, must not keep it.
    fn pool_thread_life(&self, handle: &Handle) -> ThreadLife {
        let (hooks, runtime) = (self.hooks.clone(), Arc::downgrade(&handle.shared));
        Box::new(move |work| {
            hooks.thread_start.call();
            if let Some(shared) = runtime.upgrade() {
                let handle = Handle { shared };
                let _here = handle.enter();
                work();
            }
            hooks.thread_stop.call();
        })
    }

    fn detector(&self, workers: usize, limit: Duration) -> Arc<Detector> {
        Arc::new(Detector::new(workers, limit, self.on_blocked_poll.clone()))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("kind", &self.kind).field("workers", &self.workers).finish_non_exhaustive()
    }
}

/// A bound on what is surely a mistake.
const WORKERS_MAX: usize = 1 << 15;

fn cpus() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
