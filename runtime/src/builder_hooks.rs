//! What a runtime is to tell of: its threads, its tasks, polls that take too long, panics.

use crate::builder::{Builder, UnhandledPanic};
use crate::scheduler::{BlockedPoll, Hook, RuntimeFlavor, TaskHook};
use crate::task::TaskMeta;
use std::sync::Arc;
use std::time::Duration;

impl Builder {
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

    /// Counts how many polls took how long; see [`RuntimeMetrics::poll_time_histogram_bucket_range`](crate::RuntimeMetrics::poll_time_histogram_bucket_range).
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
}
