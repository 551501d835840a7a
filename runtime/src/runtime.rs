//! Building, running and ending a runtime.

use crate::blocking_pool::{BlockingPool, PoolConfig};
use crate::clock::{Clock, PausableClock, VirtualClock};
use crate::context::EnterGuard;
use crate::crew::Crew;
use crate::driver::{self, DriverConfig};
use crate::handle::Handle;
use crate::park::{Parker, Unparker};
use crate::rng::Rng;
use crate::scheduler::{
    self, BlockedPoll, Config, Detector, Hook, Hooks, Report, RuntimeFlavor, RuntimeMetrics, Shared, TaskHook,
};
use crate::task::{JoinHandle, SeededIds, TaskMeta};
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// The executor, its driver and its threads.
///
/// Dropping it drops every task that is not being polled at that moment, waits for those that are, for the workers and
/// for the closures that run in the blocking pool, and returns. It panics in a task or in `block_on`, where waiting
/// is not allowed; [`shutdown_background`](Runtime::shutdown_background) does not wait.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use wakeline_runtime::Builder;
///
/// let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
/// let sum = runtime.block_on(async {
///     let tasks: Vec<_> = (0..10).map(|i| wakeline_runtime::spawn(async move { i })).collect();
///     let mut sum = 0;
///     for task in tasks {
///         sum += task.await?;
///     }
///     Ok::<_, wakeline_runtime::task::JoinError>(sum)
/// })?;
/// assert_eq!(sum, 45);
/// # Ok(())
/// # }
/// ```
pub struct Runtime {
    handle: Handle,
    kind: RuntimeFlavor,
    workers: Arc<Crew>,
    /// Ends the thread that watches for blocked workers.
    watchdog: Option<Unparker>,
    ended: bool,
}

impl Runtime {
    /// A runtime with one worker thread per CPU, I/O and time.
    ///
    /// # Errors
    /// What the operating system says when it gives no thread or no poll instance.
    pub fn new() -> io::Result<Runtime> {
        Builder::new_multi_thread().enable_all().build()
    }

    /// The handle, for other threads and to keep.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// As [`Handle::spawn`].
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn(future)
    }

    /// As [`Handle::spawn_blocking`].
    #[track_caller]
    pub fn spawn_blocking<F, R>(&self, work: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.handle.spawn_blocking(work)
    }

    /// Drives `future` on the calling thread and gives its output.
    ///
    /// On a current-thread runtime the calling thread also drives the tasks, timers and I/O; of several threads that
    /// call it at once, one does, and another takes over when that one is done. On a multi-thread runtime the
    /// workers do.
    ///
    /// # Panics
    /// When the thread drives futures already, and when `future` panics; also when a task does, or has done, if that
    /// [ends the runtime](Builder::unhandled_panic).
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        if self.kind == RuntimeFlavor::MultiThread {
            return self.handle.block_on(future);
        }
        match self.handle.block_on_with(|| scheduler::as_worker(&self.handle.shared, future)) {
            Some(output) => output,
            None => panic!(
                "a spawned task panicked, and the runtime is configured to end then (`UnhandledPanic::ShutdownRuntime`): \
                 see the panic above, or build the runtime with `UnhandledPanic::Ignore`"
            ),
        }
    }

    /// As [`Handle::enter`].
    pub fn enter(&self) -> EnterGuard<'_> {
        self.handle.enter()
    }

    /// As [`Handle::metrics`].
    #[must_use]
    pub fn metrics(&self) -> RuntimeMetrics {
        self.handle.metrics()
    }

    /// Ends the runtime and waits at most `timeout` for what is running. What has not ended by then is left to itself.
    ///
    /// # Panics
    /// In a task or in `block_on`, where waiting is not allowed.
    #[track_caller]
    pub fn shutdown_timeout(mut self, timeout: Duration) {
        refuse_where_waiting_is_not_allowed("shutdown_timeout");
        self.end(Some(timeout));
    }

    /// Ends the runtime and waits for nothing: tasks and closures that run go on until they return.
    pub fn shutdown_background(mut self) {
        self.end(Some(Duration::ZERO));
    }

    /// Ends everything in order: no more work comes in, the tasks go, then the pool.
    fn end(&mut self, limit: Option<Duration>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let left = || deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let shared = &self.handle.shared;
        if let Some(watchdog) = &self.watchdog {
            watchdog.unpark();
        }
        scheduler::begin_shutdown(shared);
        shared.blocking().close();
        let waits = limit != Some(Duration::ZERO);
        if self.kind == RuntimeFlavor::CurrentThread || (waits && self.workers.wait(left())) {
            let _here = self.handle.enter();
            scheduler::finish_shutdown(shared);
        }
        if waits {
            shared.blocking().wait(left());
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if scheduler::is_entered() {
            self.end(Some(Duration::ZERO));
            if !thread::panicking() {
                refuse_where_waiting_is_not_allowed("dropping a runtime");
            }
            return;
        }
        self.end(None);
    }
}

#[track_caller]
fn refuse_where_waiting_is_not_allowed(what: &str) {
    if scheduler::is_entered() {
        panic!(
            "{what} waits for its tasks and threads, which is not allowed where this thread drives tasks: move the \
             runtime out of the task, or call `shutdown_background`"
        );
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("kind", &self.kind).field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// The settings of a runtime to be.
pub struct Builder {
    kind: RuntimeFlavor,
    name: Option<String>,
    workers: Option<usize>,
    thread_name: Arc<dyn Fn() -> String + Send + Sync>,
    thread_stack_size: Option<usize>,
    blocking_threads_max: usize,
    blocking_keep_alive: Duration,
    io: bool,
    time: bool,
    virtual_clock: Option<VirtualClock>,
    start_paused: bool,
    event_interval: u32,
    global_queue_interval: u32,
    rng_seed: Option<u64>,
    hooks: Hooks,
    blocked_after: Option<Duration>,
    on_blocked_poll: Report,
    poll_time_histogram: bool,
    unhandled_panic: UnhandledPanic,
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
            time: false,
            virtual_clock: None,
            start_paused: false,
            event_interval: 61,
            global_queue_interval: 61,
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

    /// How many polls a busy worker makes between two looks at the queue that all share; 61 unless set.
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

    /// Has `f` called by each thread that the runtime starts, before it does anything else.
    ///
    /// A panic in this or any other of these functions is contained: the panic hook tells of it, and the thread goes on.
    /// There is no current runtime in it.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    /// use wakeline_runtime::Builder;
    ///
    /// let threads = Arc::new(AtomicUsize::new(0));
    /// let (started, stopped) = (threads.clone(), threads.clone());
    /// let runtime = Builder::new_multi_thread()
    ///     .worker_threads(2)
    ///     .on_thread_start(move || { started.fetch_add(1, Ordering::SeqCst); })
    ///     .on_thread_stop(move || { stopped.fetch_sub(1, Ordering::SeqCst); })
    ///     .build()?;
    /// drop(runtime);
    /// assert_eq!(threads.load(Ordering::SeqCst), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_thread_start<F>(&mut self, f: F) -> &mut Builder
    where
        F: Fn() + Send + Sync + 'static,
    {
        self.hooks.thread_start = Hook::new(f);
        self
    }

    /// Has `f` called by each thread that the runtime has started, before it ends.
    pub fn on_thread_stop<F>(&mut self, f: F) -> &mut Builder
    where
        F: Fn() + Send + Sync + 'static,
    {
        self.hooks.thread_stop = Hook::new(f);
        self
    }

    /// Has `f` called by each worker that has nothing to do, before it goes to sleep.
    ///
    /// It may spawn and wake tasks, and then the worker goes on with them. On a current-thread runtime it is called by
    /// whoever drives it, whenever nothing is ready but its own future has not been woken.
    pub fn on_thread_park<F>(&mut self, f: F) -> &mut Builder
    where
        F: Fn() + Send + Sync + 'static,
    {
        self.hooks.thread_park = Hook::new(f);
        self
    }

    /// Has `f` called by each worker that has slept, before it goes on.
    pub fn on_thread_unpark<F>(&mut self, f: F) -> &mut Builder
    where
        F: Fn() + Send + Sync + 'static,
    {
        self.hooks.thread_unpark = Hook::new(f);
        self
    }

    /// Has `f` called with each new task, by whoever spawns it, before the task can be polled.
    ///
    /// Blocking closures, and tasks of a `LocalSet`, are not told of, here and below.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::sync::{Arc, Mutex};
    /// use wakeline_runtime::Builder;
    ///
    /// let log = Arc::new(Mutex::new(Vec::new()));
    /// let (spawned, gone) = (log.clone(), log.clone());
    /// let runtime = Builder::new_current_thread()
    ///     .on_task_spawn(move |task| spawned.lock().expect("no holder panics").push(("spawned", task.id())))
    ///     .on_task_terminate(move |task| gone.lock().expect("no holder panics").push(("gone", task.id())))
    ///     .build()?;
    /// let task = runtime.spawn(async {});
    /// let id = task.id();
    /// runtime.block_on(task).expect("it does not panic");
    /// assert_eq!(*log.lock().expect("no holder panics"), [("spawned", id), ("gone", id)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_task_spawn<F>(&mut self, f: F) -> &mut Builder
    where
        F: Fn(&TaskMeta<'_>) + Send + Sync + 'static,
    {
        self.hooks.task_spawn = TaskHook::new(f);
        self
    }

    /// Has `f` called with each task that has ended, by itself, by a panic, aborted or with the runtime, when its future is
    /// gone and before its `JoinHandle` gives the result.
    pub fn on_task_terminate<F>(&mut self, f: F) -> &mut Builder
    where
        F: Fn(&TaskMeta<'_>) + Send + Sync + 'static,
    {
        self.hooks.task_terminate = TaskHook::new(f);
        self
    }

    /// Has `f` called before each poll of a task, by its worker.
    pub fn on_before_task_poll<F>(&mut self, f: F) -> &mut Builder
    where
        F: Fn(&TaskMeta<'_>) + Send + Sync + 'static,
    {
        self.hooks.before_poll = TaskHook::new(f);
        self
    }

    /// Has `f` called after each poll of a task, by the same thread.
    pub fn on_after_task_poll<F>(&mut self, f: F) -> &mut Builder
    where
        F: Fn(&TaskMeta<'_>) + Send + Sync + 'static,
    {
        self.hooks.after_poll = TaskHook::new(f);
        self
    }

    /// Reports polls that take longer than `limit`: such a task keeps its worker from all others.
    ///
    /// Each site, that is, each place in the program that spawns, is reported once: while the poll is still stuck, by a
    /// thread of its own that looks at the workers twice within the limit (at least each second and at most each
    /// millisecond), and with the full time when it has ended. A poll that ends before that thread sees it is reported at
    /// its end only. The report is a line on stderr, or what [`on_blocked_poll`](Builder::on_blocked_poll) makes of it.
    ///
    /// What blocks rightly, in [`spawn_blocking`](crate::spawn_blocking) or [`block_in_place`](crate::block_in_place), is not
    /// reported, nor is the future given to `block_on`. Without a limit a poll costs one branch for it; with one, two looks
    /// at the clock and two short locks.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    /// use wakeline_runtime::Builder;
    ///
    /// let (reports, reported) = mpsc::channel();
    /// let runtime = Builder::new_multi_thread()
    ///     .worker_threads(2)
    ///     .detect_blocking(Duration::from_millis(5))
    ///     .on_blocked_poll(move |poll| reports.send((poll.spawned_at().line(), poll.is_over())).unwrap_or(()))
    ///     .build()?;
    /// let line = line!() + 1;
    /// let task = runtime.spawn(async move { reported.recv().map(|(site, is_over)| (site == line, is_over)) });
    /// // It waits, stuck, for the report that it is stuck.
    /// assert_eq!(runtime.block_on(task)??, (true, false));
    /// # Ok(())
    /// # }
    /// ```
    pub fn detect_blocking(&mut self, limit: Duration) -> &mut Builder {
        self.blocked_after = Some(limit);
        self
    }

    /// What is done with a poll that takes longer than [`detect_blocking`](Builder::detect_blocking) allows; a line on
    /// stderr unless set.
    ///
    /// Called by the worker when the poll is over, by another thread while it is not. A panic in it is contained.
    pub fn on_blocked_poll<F>(&mut self, f: F) -> &mut Builder
    where
        F: Fn(&BlockedPoll) + Send + Sync + 'static,
    {
        self.on_blocked_poll = Arc::new(f);
        self
    }

    /// Counts how many polls took how long; see [`RuntimeMetrics::poll_time_histogram_bucket_range`].
    ///
    /// Each poll then costs two looks at the clock. The classes are fixed, each twice as wide as the one before; tokio lets
    /// choose them.
    pub fn enable_metrics_poll_time_histogram(&mut self) -> &mut Builder {
        self.poll_time_histogram = true;
        self
    }

    /// What a panic in a task means for the runtime; [`UnhandledPanic::Ignore`] unless set.
    ///
    /// # Panics
    /// When a multi-thread runtime is to shut down: only a current-thread one has a `block_on` that could tell of it.
    ///
    /// # Examples
    /// ```should_panic
    /// # fn main() -> std::io::Result<()> {
    /// use wakeline_runtime::{Builder, UnhandledPanic, spawn};
    ///
    /// let runtime = Builder::new_current_thread().unhandled_panic(UnhandledPanic::ShutdownRuntime).build()?;
    /// runtime.block_on(async {
    ///     spawn(async { panic!("nobody joins this task") });
    ///     std::future::pending::<()>().await; // panics here, instead of waiting for ever
    /// });
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn unhandled_panic(&mut self, behavior: UnhandledPanic) -> &mut Builder {
        assert!(
            self.kind == RuntimeFlavor::CurrentThread || behavior == UnhandledPanic::Ignore,
            "`UnhandledPanic::ShutdownRuntime` is for current-thread runtimes: build one by `Builder::new_current_thread`, or \
             look at the results of the tasks"
        );
        self.unhandled_panic = behavior;
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
        let driver_config = DriverConfig { io: self.io, time: self.time, clock: clock.clone(), workers };
        let (driver, driver_handle) = driver::new(driver_config)?;
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
        // From here on the runtime's drop ends what has begun, if a later thread does not start.
        let workers_crew = Arc::new(Crew::default());
        let mut runtime = Runtime { handle, kind: self.kind, workers: workers_crew, watchdog: None, ended: false };
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
    fn pool_thread_life(&self, handle: &Handle) -> Box<dyn Fn(&mut dyn FnMut()) + Send + Sync> {
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

impl Runtime {
    fn start_worker(&self, thread: thread::Builder, hooks: Hooks) -> io::Result<()> {
        let handle = self.handle.clone();
        self.workers.start(thread, move || {
            hooks.thread_start.call();
            {
                let _here = handle.enter();
                scheduler::drive(handle.shared.clone());
            }
            hooks.thread_stop.call();
        })
    }

    fn start_watchdog(&mut self, thread: thread::Builder, detector: Arc<Detector>) -> io::Result<()> {
        let parker = Parker::new();
        self.watchdog = Some(parker.unparker());
        self.workers.start(thread, move || detector.watch(&parker))
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

#[cfg(test)]
mod tests;
