//! The pool of threads for closures that block.
//!
//! A closure is a task whose one poll runs it. Idle threads stand on a stack, the last one on top, so the same few work
//! and the rest run out of their keep-alive. It knows no scheduler and no ambient runtime; who wants its threads to have
//! one wraps them ([`BlockingPool::set_thread_life`]).
//!
//! # Who is called
//! A closure may block, on another closure too, so each that is queued must get a thread sooner or later, up to the bound.
//! But most are short, and a thread that is called for each would mostly come too late. So threads come up one by one: a
//! closure that is queued calls one, idle or new, unless one is on its way already; and whoever arrives and leaves
//! something in the queue calls the next before it begins ([`State::arrive`]). When nothing was taken between the call and
//! the arrival, though others are at work, those are blocked, and several are called at once.
//!
//! So, whenever the lock is free: is something queued, then a thread is on its way, or all there may be are at work.

use crate::atomic::Mutex;
use crate::clock::Clock;
use crate::coop;
use crate::crew::Crew;
use crate::park::{Parker, Unparker};
use crate::task::{self, Header, Id, JoinHandle, Notified, Origin, Schedule, Scheduled};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::future::Future;
use std::hint;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

/// The pool; dropping it does not end it, [`close`](BlockingPool::close) does.
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
}

/// What a thread does around its work.
pub(crate) type ThreadLife = Box<dyn Fn(&mut dyn FnMut()) + Send + Sync>;

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
    thread_life: OnceLock<ThreadLife>,
}

#[derive(Default)]
struct State {
    /// No bound: it is the users' memory, as with tokio; each closure is one allocation that the user asked for.
    queue: VecDeque<Queued>,
    /// The waking side of each idle thread, with a number to find its own by.
    idle: Vec<(u64, Unparker)>,
    /// Started and not ended.
    threads: usize,
    /// Those of them that were called and have not arrived.
    coming: usize,
    started: u64,
    /// Closures taken since the beginning, and how many that were at the last call.
    taken: u64,
    taken_at_call: u64,
    /// An idle thread looks for a call without sleeping.
    spinning: bool,
    closed: bool,
}

/// A closure that waits for a thread.
struct Queued {
    task: Notified,
    fate: Fate,
}

/// What becomes of a closure that is still queued when the pool is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is cancelled.
    Cancelled,
    /// It is run all the same: its caller has been told that it will be, as who writes to a file is.
    Run,
}

/// A thread to be called when the lock is released.
enum Call {
    Wake(Unparker),
    /// Start one with this number.
    Start(u64),
}

type Calls = SmallVec<[Call; CALLS_MAX]>;

/// How many threads may be on their way at a time, while those at work are blocked.
const CALLS_MAX: usize = 4;
/// How long an idle thread waits for a call without sleeping, if the last one came soon: about as long as it takes who
/// waited for its closure to wake up and to give it the next.
const SPIN: Duration = Duration::from_micros(40);
/// What is soon.
const SOON: Duration = Duration::from_micros(150);

impl BlockingPool {
    pub(crate) fn new(config: PoolConfig) -> BlockingPool {
        let state = Mutex::new(State::default());
        let inner = Inner { state, crew: Arc::new(Crew::default()), config, thread_life: OnceLock::new() };
        BlockingPool { inner: Arc::new(inner) }
    }

    /// From now on each thread calls `life` with its work, which it must call once. The first time counts.
    pub(crate) fn set_thread_life(&self, life: ThreadLife) {
        let _ = self.inner.thread_life.set(life);
    }

    /// Runs `work` on a thread of the pool. After the shutdown the handle says that it was cancelled.
    ///
    /// # Panics
    /// When the operating system gives no thread and the pool has none.
    #[track_caller]
    pub(crate) fn spawn<F, R>(&self, work: F, origin: Origin, fate: Fate) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let (task, join) = task::unregistered::<F, _, _>(Blocking { work: Some(work) }, OneShot, Id::next(), origin);
        let submitted = {
            let mut state = self.inner.state.lock();
            if state.closed {
                Err(task)
            } else {
                self.inner.config.clock.hold();
                Ok(state.submit(Queued { task, fate }, self.inner.config.threads_max))
            }
        };
        match submitted {
            Err(task) => task.cancel(),
            Ok(None) => {}
            Ok(Some(call)) => {
                if let Err(error) = self.inner.call(call) {
                    panic!("the operating system gave no thread for `spawn_blocking`: {error}");
                }
            }
        }
        join
    }

    pub(crate) fn load(&self) -> PoolLoad {
        let state = self.inner.state.lock();
        PoolLoad { threads: state.threads, idle: state.idle.len(), queued: state.queue.len() }
    }

    /// Cancels what is queued and need not run, and tells the threads to end; what runs, runs on.
    pub(crate) fn close(&self) {
        let (cancelled, idle) = {
            let mut state = self.inner.state.lock();
            state.closed = true;
            let idle = std::mem::take(&mut state.idle);
            // They are called, if only to end.
            state.coming += idle.len();
            let queue = std::mem::take(&mut state.queue);
            let (kept, cancelled) = queue.into_iter().partition(|queued| queued.fate == Fate::Run);
            // As before, somebody is on the way to them, or all there may be are at work.
            state.queue = kept;
            (cancelled, idle)
        };
        for (_, unparker) in idle {
            unparker.unpark();
        }
        self.inner.cancel(cancelled);
    }

    /// Waits until all threads have ended, or for `limit`; says whether they have.
    pub(crate) fn wait(&self, limit: Option<Duration>) -> bool {
        self.inner.crew.wait(limit)
    }
}

impl State {
    /// Queues a closure; somebody may have to be called for it.
    fn submit(&mut self, queued: Queued, threads_max: usize) -> Option<Call> {
        self.queue.push_back(queued);
        if self.coming > 0 { None } else { self.call(threads_max) }
    }

    /// Counts a thread as coming that must be called then; `None` when all there may be are at work.
    fn call(&mut self, threads_max: usize) -> Option<Call> {
        let call = match self.idle.pop() {
            Some((_, idle)) => Call::Wake(idle),
            None if self.threads < threads_max => {
                self.threads += 1;
                self.started += 1;
                Call::Start(self.started)
            }
            None => return None,
        };
        self.coming += 1;
        self.taken_at_call = self.taken;
        Some(call)
    }

    /// A thread that was called is here, and takes the first; the others that it has to call then.
    fn arrive(&mut self, threads_max: usize) -> (Option<Notified>, Calls) {
        self.coming -= 1;
        let others_at_work = self.threads - self.idle.len() - self.coming - 1;
        let blocked = others_at_work > 0 && self.taken == self.taken_at_call;
        let task = self.take();
        let wanted = self.queue.len().min(if blocked { CALLS_MAX } else { 1 });
        let mut calls = Calls::new();
        while self.coming < wanted {
            let Some(call) = self.call(threads_max) else { break };
            calls.push(call);
        }
        (task, calls)
    }

    fn take(&mut self) -> Option<Notified> {
        let queued = self.queue.pop_front()?;
        self.taken += 1;
        Some(queued.task)
    }

    /// A thread has nothing to do; says whether it may wait for its call without sleeping.
    fn rest(&mut self, number: u64, unparker: Unparker, wants_to_spin: bool) -> bool {
        self.idle.push((number, unparker));
        let spins = wants_to_spin && !self.spinning;
        self.spinning |= spins;
        spins
    }

    /// A thread has waited; says whether it was called. If not, it is not idle any more either.
    fn was_called(&mut self, number: u64, spun: bool) -> bool {
        self.spinning &= !spun;
        // Whoever calls a thread takes it off the stack first.
        let Some(place) = self.idle.iter().position(|(idle, _)| *idle == number) else { return true };
        self.idle.remove(place);
        false
    }
}

impl Inner {
    /// Calls a thread that is counted as coming.
    ///
    /// # Errors
    /// When none can be started and there is no other: then what was queued is cancelled.
    fn call(self: &Arc<Self>, call: Call) -> io::Result<()> {
        let number = match call {
            Call::Wake(idle) => {
                idle.unpark();
                return Ok(());
            }
            Call::Start(number) => number,
        };
        let inner = self.clone();
        let life = move || match inner.thread_life.get() {
            Some(life) => life(&mut || inner.work(number)),
            None => inner.work(number),
        };
        let started = (self.config.thread)().and_then(|thread| self.crew.start(thread, life));
        let Err(error) = started else { return Ok(()) };
        let mut state = self.state.lock();
        state.threads -= 1;
        state.coming -= 1;
        if state.threads > 0 {
            // Another thread will come to it.
            return Ok(());
        }
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        self.cancel(queue);
        Err(error)
    }

    /// Cancels what was queued.
    fn cancel(&self, queue: VecDeque<Queued>) {
        for queued in queue {
            queued.task.cancel();
            self.config.clock.let_go();
        }
    }

    /// A thread's life.
    fn work(self: &Arc<Self>, number: u64) {
        let parker = Parker::new();
        let (mut called, mut called_soon) = (true, false);
        loop {
            let mut state = self.state.lock();
            let (task, calls) = if std::mem::take(&mut called) {
                state.arrive(self.config.threads_max)
            } else {
                (state.take(), Calls::new())
            };
            if let Some(task) = task {
                drop(state);
                self.run(task, calls);
                continue;
            }
            if state.closed {
                state.threads -= 1;
                return;
            }
            let spins = state.rest(number, parker.unparker(), called_soon);
            drop(state);
            let waited = wait(&parker, spins, self.config.keep_alive);
            let mut state = self.state.lock();
            called = state.was_called(number, spins);
            called_soon = called && waited == Waited::Soon;
            // A notification without a call is one that came late for the last wait.
            if !called && waited == Waited::InVain {
                state.threads -= 1;
                return;
            }
        }
    }

    fn run(self: &Arc<Self>, task: Notified, calls: Calls) {
        for call in calls {
            // A thread that does not start leaves its work to this one and to others.
            let _ = self.call(call);
        }
        task.run();
        // Whoever waits for it has been woken.
        self.config.clock.let_go();
    }
}

/// How a wait for a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waited {
    /// Notified within [`SOON`].
    Soon,
    /// Notified later.
    Long,
    /// Not notified.
    InVain,
}

/// Waits for a notification, `limit` at most.
fn wait(parker: &Parker, spins: bool, limit: Duration) -> Waited {
    let since = Instant::now();
    while spins && since.elapsed() < SPIN {
        if parker.park_timeout(Duration::ZERO) {
            return Waited::Soon;
        }
        hint::spin_loop();
        thread::yield_now();
    }
    match parker.park_timeout(limit) {
        false => Waited::InVain,
        true if since.elapsed() < SOON => Waited::Soon,
        true => Waited::Long,
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
