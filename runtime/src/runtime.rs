//! Building, running and ending a runtime.

use crate::blocking_pool::{BlockingPool, PoolConfig};
use crate::clock::{Clock, PausableClock, VirtualClock};
use crate::context::EnterGuard;
use crate::crew::Crew;
use crate::driver::{self, DriverConfig};
use crate::handle::Handle;
use crate::rng::Rng;
use crate::scheduler::{self, Config, RuntimeMetrics, Shared};
use crate::task::{JoinHandle, SeededIds};
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
    kind: Kind,
    workers: Arc<Crew>,
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    CurrentThread,
    MultiThread,
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
    /// When the thread drives futures already, and when `future` panics.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        match self.kind {
            Kind::CurrentThread => self.handle.block_on_with(|| scheduler::as_worker(&self.handle.shared, future)),
            Kind::MultiThread => self.handle.block_on(future),
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
        scheduler::begin_shutdown(shared);
        shared.blocking().close();
        let waits = limit != Some(Duration::ZERO);
        if self.kind == Kind::CurrentThread || (waits && self.workers.wait(left())) {
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
    kind: Kind,
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
}

impl Builder {
    /// A runtime without threads of its own: whoever calls [`Runtime::block_on`] drives it.
    #[must_use]
    pub fn new_current_thread() -> Builder {
        Builder::new(Kind::CurrentThread)
    }

    /// A runtime with worker threads that take work from each other.
    #[must_use]
    pub fn new_multi_thread() -> Builder {
        Builder::new(Kind::MultiThread)
    }

    fn new(kind: Kind) -> Builder {
        Builder {
            kind,
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
        }
    }

    /// How many worker threads a multi-thread runtime has; as many as there are CPUs unless set.
    ///
    /// # Panics
    /// When `count` is 0.
    #[track_caller]
    pub fn worker_threads(&mut self, count: usize) -> &mut Builder {
        assert!(count > 0, "a runtime needs at least one worker: `worker_threads` takes a number above 0");
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
    pub fn thread_name(&mut self, name: impl Into<String>) -> &mut Builder {
        let name = name.into();
        self.thread_name_fn(move || name.clone())
    }

    /// As [`thread_name`](Builder::thread_name), with a name for each thread.
    pub fn thread_name_fn(&mut self, name: impl Fn() -> String + Send + Sync + 'static) -> &mut Builder {
        self.thread_name = Arc::new(name);
        self
    }

    /// The stack of the threads that the runtime starts, in bytes; what the standard library has unless set.
    pub fn thread_stack_size(&mut self, bytes: usize) -> &mut Builder {
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

    /// Whether the runtime's clock stands from the beginning, as if [`time::pause`](crate::time::pause) had been called.
    ///
    /// For tests. The clock begins at a moment that is the same in every run, where tokio's begins at the present: so
    /// that, together with [`rng_seed`](Builder::rng_seed), the whole run is.
    ///
    /// # Deterministic runs
    /// A current-thread runtime with a clock that stands and a seed does the same in every run, on every machine: tasks run
    /// in the order in which they became ready, timers fire in the order of their deadlines (equal ones in the order in
    /// which they were set), and whatever is left to chance is decided by the seed. What comes from outside is as it
    /// comes: other threads, the blocking pool, the operating system's I/O.
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
            (None, Kind::CurrentThread) if self.start_paused => Clock::Pausable(PausableClock::paused()),
            (None, Kind::CurrentThread) => Clock::Pausable(PausableClock::running()),
            (None, Kind::MultiThread) => {
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
    /// What the operating system says when it gives no thread or no poll instance.
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
            owner.is_none() || self.kind == Kind::CurrentThread,
            "a `LocalRuntime` has no threads of its own: build it from `Builder::new_current_thread()`"
        );
        let workers = match self.kind {
            Kind::CurrentThread => 1,
            Kind::MultiThread => self.workers.unwrap_or_else(cpus),
        };
        let clock = self.clock();
        let driver_config = DriverConfig { io: self.io, time: self.time, clock: clock.clone(), workers };
        let (driver, driver_handle) = driver::new(driver_config)?;
        let config = Config {
            workers,
            event_interval: self.event_interval,
            global_queue_interval: self.global_queue_interval,
            rng: self.rng_seed.map_or_else(Rng::from_entropy, Rng::seeded),
            // With several workers it is chance which of them spawns what.
            ids: self.rng_seed.filter(|_| workers == 1).map(|seed| Arc::new(SeededIds::new(seed))),
            owner,
        };
        let thread = self.thread_builder();
        let pool = BlockingPool::new(PoolConfig {
            threads_max: self.blocking_threads_max,
            keep_alive: self.blocking_keep_alive,
            clock,
            thread: Box::new(self.thread_builder()),
        });
        let handle = Handle { shared: Shared::new(config, driver, driver_handle, pool) };
        // From here on the runtime's drop ends what has begun, if a later thread does not start.
        let runtime = Runtime { handle, kind: self.kind, workers: Arc::new(Crew::default()), ended: false };
        if self.kind == Kind::MultiThread {
            for _ in 0..workers {
                runtime.start_worker(thread())?;
            }
        }
        Ok(runtime)
    }

    fn thread_builder(&self) -> impl Fn() -> thread::Builder + Send + Sync + 'static {
        let (name, stack_size) = (self.thread_name.clone(), self.thread_stack_size);
        move || {
            let thread = thread::Builder::new().name(name());
            match stack_size {
                Some(bytes) => thread.stack_size(bytes),
                None => thread,
            }
        }
    }
}

impl Runtime {
    fn start_worker(&self, thread: thread::Builder) -> io::Result<()> {
        let handle = self.handle.clone();
        self.workers.start(thread, move || {
            let _here = handle.enter();
            scheduler::drive(handle.shared.clone());
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("kind", &self.kind).field("workers", &self.workers).finish_non_exhaustive()
    }
}

fn cpus() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests;
