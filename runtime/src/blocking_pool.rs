//! The pool of threads for closures that block.
//!
//! A closure is a task whose one poll runs it. Idle threads stand on a stack, the last one on top, so the same few work
//! and the rest run out of their keep-alive. It knows no scheduler and no ambient runtime; who wants the closure to
//! have one wraps it.

use crate::atomic::Mutex;
use crate::clock::Clock;
use crate::coop;
use crate::crew::Crew;
use crate::park::{Parker, Unparker};
use crate::task::{self, Header, Id, JoinHandle, Notified, Origin, Schedule, Scheduled};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

/// The pool; dropping it does not end it, [`shutdown`](BlockingPool::shutdown) does.
pub(crate) struct BlockingPool {
    inner: Arc<Inner>,
}

/// What kind of threads, and how many.
pub(crate) struct PoolConfig {
    pub(crate) threads_max: usize,
    /// How long a thread waits for work before it ends.
    pub(crate) keep_alive: Duration,
    /// Held while there is something queued or running: a paused clock must not run ahead of it.
    pub(crate) clock: Clock,
    pub(crate) thread: Box<dyn Fn() -> io::Result<thread::Builder> + Send + Sync>,
    /// Called by each thread first, and last.
    pub(crate) on_start: Box<dyn Fn() + Send + Sync>,
    pub(crate) on_stop: Box<dyn Fn() + Send + Sync>,
}

/// How much the pool has to do.
#[derive(Debug)]
pub(crate) struct PoolLoad {
    pub(crate) threads: usize,
    pub(crate) idle: usize,
    pub(crate) queued: usize,
}

struct Inner {
    state: Mutex<State>,
    crew: Arc<Crew>,
    config: PoolConfig,
}

#[derive(Default)]
struct State {
    /// No bound: it is the users' memory, as with tokio; each closure is one allocation that the user asked for.
    queue: VecDeque<Notified>,
    /// The waking side of each idle thread, with a number to find its own by.
    idle: Vec<(u64, Unparker)>,
    /// Started and not ended.
    threads: usize,
    started: u64,
    closed: bool,
}

impl BlockingPool {
    pub(crate) fn new(config: PoolConfig) -> BlockingPool {
        BlockingPool {
            inner: Arc::new(Inner { state: Mutex::new(State::default()), crew: Arc::new(Crew::default()), config }),
        }
    }

    /// Runs `work` on a thread of the pool. After the shutdown the handle says that it was cancelled.
    ///
    /// # Panics
    /// When the operating system gives no thread and the pool has none.
    #[track_caller]
    pub(crate) fn spawn<F, R>(&self, work: F, origin: Origin) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let (task, join) = task::unregistered(Blocking { work: Some(work) }, OneShot, Id::next(), origin);
        match self.inner.submit(task) {
            Submitted::Queued => {}
            Submitted::Closed(task) => task.cancel(),
            Submitted::NeedsThread(number) => self.start_thread(number),
        }
        join
    }

    #[track_caller]
    fn start_thread(&self, number: u64) {
        let inner = self.inner.clone();
        let work = move || {
            (inner.config.on_start)();
            inner.work(number);
            (inner.config.on_stop)();
        };
        let started = (self.inner.config.thread)().and_then(|thread| self.inner.crew.start(thread, work));
        if let Err(error) = started {
            let mut state = self.inner.state.lock();
            state.threads -= 1;
            if state.threads > 0 {
                // Another thread will come to it.
                return;
            }
            let queue = std::mem::take(&mut state.queue);
            drop(state);
            self.inner.cancel(queue);
            panic!("the operating system gave no thread for `spawn_blocking`: {error}");
        }
    }

    pub(crate) fn load(&self) -> PoolLoad {
        let state = self.inner.state.lock();
        PoolLoad { threads: state.threads, idle: state.idle.len(), queued: state.queue.len() }
    }

    /// Cancels what is queued and tells the threads to end; what runs, runs on.
    pub(crate) fn close(&self) {
        let (queue, idle) = {
            let mut state = self.inner.state.lock();
            state.closed = true;
            (std::mem::take(&mut state.queue), std::mem::take(&mut state.idle))
        };
        for (_, unparker) in idle {
            unparker.unpark();
        }
        self.inner.cancel(queue);
    }

    /// Waits until all threads have ended, or for `limit`; says whether they have.
    pub(crate) fn wait(&self, limit: Option<Duration>) -> bool {
        self.inner.crew.wait(limit)
    }
}

#[must_use]
enum Submitted {
    Queued,
    Closed(Notified),
    /// Queued, and a thread with this number, counted already, must be started for it.
    NeedsThread(u64),
}

impl Inner {
    fn submit(&self, task: Notified) -> Submitted {
        let mut state = self.state.lock();
        if state.closed {
            return Submitted::Closed(task);
        }
        self.config.clock.hold();
        state.queue.push_back(task);
        if let Some((_, idle)) = state.idle.pop() {
            drop(state);
            idle.unpark();
            return Submitted::Queued;
        }
        if state.threads >= self.config.threads_max {
            return Submitted::Queued;
        }
        state.threads += 1;
        state.started += 1;
        Submitted::NeedsThread(state.started)
    }

    /// Cancels what was queued.
    fn cancel(&self, queue: VecDeque<Notified>) {
        for task in queue {
            task.cancel();
            self.config.clock.let_go();
        }
    }

    /// A thread's life.
    fn work(&self, number: u64) {
        let parker = Parker::new();
        let mut state = self.state.lock();
        loop {
            if let Some(task) = state.queue.pop_front() {
                drop(state);
                task.run();
                // Whoever waits for it has been woken.
                self.config.clock.let_go();
                state = self.state.lock();
                continue;
            }
            if state.closed {
                break;
            }
            state.idle.push((number, parker.unparker()));
            drop(state);
            parker.park_timeout(self.config.keep_alive);
            state = self.state.lock();
            // Whoever wakes a thread takes it off the stack first, so a thread that is still on it waited in vain.
            if let Some(place) = state.idle.iter().position(|(idle, _)| *idle == number) {
                state.idle.remove(place);
                break;
            }
        }
        state.threads -= 1;
    }
}

/// A closure as a future that is ready at its first poll.
struct Blocking<F> {
    work: Option<F>,
}

// The closure is moved out before it runs, so it is never pinned.
impl<F> Unpin for Blocking<F> {}

impl<F: FnOnce() -> R, R> Future for Blocking<F> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<R> {
        let work = self.work.take().expect("a task is not polled after it was ready");
        coop::without_budget(|| Poll::Ready(work()))
    }
}

/// The scheduler of tasks that are polled once.
struct OneShot;

impl Schedule for OneShot {
    fn schedule(task: Scheduled<Self>) {
        // Nobody has its waker, and an abort finds it queued or running.
        drop(task);
    }

    fn release(&self, _task: &Header) -> bool {
        false
    }
}
