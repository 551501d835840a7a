//! The driver: the one place where a worker sleeps, and where it learns why it woke.
//!
//! It joins what can end a sleep: readiness of OS sources (the reactor), deadlines (the timers) and another thread's
//! [`DriverHandle::unpark`]. It knows no task and no worker: it collects wakers and calls them with no lock held, on the
//! thread that parks.
//!
//! # Two ways to sleep
//! While no OS source is registered it sleeps on a futex, which costs one system call on either side and nothing when
//! the notification came first. With sources it sleeps in the poller. Registering the first source unparks it, so a
//! sleep on the futex never outlives the moment at which the poller is needed: see [`DriverHandle::register`].
//!
//! # Time
//! By a clock that stands it does not sleep while a timer is pending, but moves the clock to the next deadline: see
//! [`Driver::park_standing`].

mod io_driver;
mod slack;
mod sleep_word;
mod unpark;

use crate::clock::{Clock, Instant, Standing};
use crate::park::{Parker, might_sleep};
use crate::reactor::{PollWaker, Poller, ReactorHandle, Registered, Registration};
use crate::timer::Timers;
use crate::timer::shard::Precision;
use crate::wait_queue::WakeBatch;
use io_driver::Choice;
pub use io_driver::IoDriver;
pub(crate) use slack::let_this_thread_wake_in_time;
use sleep_word::{Begin, How};
use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;
use unpark::DriverUnpark;

/// What a runtime wants its driver to do.
#[derive(Debug)]
pub(crate) struct DriverConfig {
    /// Whether OS sources can be registered.
    pub(crate) io: bool,
    /// By what it should hear of them.
    pub(crate) io_driver: IoDriver,
    /// Whether timers can be set.
    pub(crate) time: bool,
    /// Whose time it is.
    pub(crate) clock: Clock,
    /// How many workers set timers without sharing a lock.
    pub(crate) workers: usize,
}

/// The sleeping half, held by one worker at a time.
#[derive(Debug)]
pub(crate) struct Driver {
    parker: Parker,
    poller: Option<Poller>,
    /// Turns without a sleep while somebody waits for a clock that stands to be moved.
    impatience: u32,
    /// Kept for its memory; empty between turns.
    wakes: WakeBatch,
}

/// The half that all threads share.
#[derive(Debug)]
pub(crate) struct DriverHandle {
    unpark: Arc<DriverUnpark>,
    clock: Clock,
    timers: Option<Timers>,
    reactor: Option<ReactorHandle>,
    /// By what the reactor goes, when there is one.
    io: Option<Choice>,
}

/// How much the driver has to look after.
#[derive(Debug)]
pub(crate) struct DriverLoad {
    /// Timers that are pending.
    pub(crate) timers: usize,
    /// Sources of the operating system.
    pub(crate) sources: usize,
}

/// How many turns of a busy runtime make [`Driver::lose_patience`].
const PATIENCE: u32 = 16;

/// Makes a driver.
///
/// # Errors
/// When the operating system refuses a poller, for want of file descriptors mostly.
pub(crate) fn new(config: DriverConfig) -> io::Result<(Driver, DriverHandle)> {
    let mut io = None;
    let (poller, reactor) = if config.io {
        let ring = |poll: &mio::Poll, waker: &PollWaker| {
            let (choice, ring) = Choice::make(config.io_driver, poll, waker, config.workers == 1);
            io = Some(choice);
            ring
        };
        Some(Poller::new(ring)?).unzip()
    } else {
        (None, None)
    };
    let parker = Parker::new();
    let poll_waker = reactor.as_ref().map(|reactor: &ReactorHandle| reactor.waker().clone());
    let unpark = Arc::new(DriverUnpark::new(parker.unparker(), poll_waker));
    let waker = Waker::from(unpark.clone());
    config.clock.set_driver(&waker);
    let timers = config.time.then(|| Timers::new(config.workers, config.clock.clone(), waker));
    let handle = DriverHandle { unpark, clock: config.clock, timers, reactor, io };
    Ok((Driver { parker, poller, impatience: 0, wakes: WakeBatch::new() }, handle))
}

impl Driver {
    /// Sleeps until I/O is ready, a timer is due, [`DriverHandle::unpark`] or `limit`, then wakes whom it concerns.
    ///
    /// May return early. A notification that came first is consumed, and there is no sleep.
    pub(crate) fn park(&mut self, handle: &DriverHandle, limit: Option<Duration>) {
        self.impatience = 0;
        match handle.clock.standing() {
            None => self.park_real(handle, limit),
            Some(clock) => self.park_standing(handle, clock, limit),
        }
    }

    /// What [`park`](Driver::park) does, without sleeping; a notification is left for the next `park`.
    ///
    /// Without an OS source it makes no system call, and without a due timer it takes no lock.
    pub(crate) fn turn(&mut self, handle: &DriverHandle) {
        self.poll(handle);
        if let Some(goal) = handle.clock.standing().and_then(Standing::goal) {
            self.lose_patience(handle, goal);
        }
        self.fire(handle);
    }

    /// Wakes every waiter of every source and timer; they see an error, or that the runtime is gone.
    pub(crate) fn shutdown(&mut self, handle: &DriverHandle) {
        if let Some(reactor) = &handle.reactor {
            reactor.shutdown(&mut self.wakes);
        }
        if let Some(timers) = &handle.timers {
            timers.shutdown(&mut self.wakes);
        }
        self.wakes.wake_all();
    }

    fn park_real(&mut self, handle: &DriverHandle, limit: Option<Duration>) {
        let next = handle.timers.as_ref().map_or(Instant::FAR_FUTURE, |timers| timers.plan_sleep(Precision::Bound));
        let until_next = (next != Instant::FAR_FUTURE).then(|| next.saturating_duration_since(handle.clock.now()));
        let wait = match (until_next, limit) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.sleep(handle, wait);
        if let Some(timers) = &handle.timers {
            timers.awake();
        }
        self.fire(handle);
    }

    /// A park by a clock that stands: what is ready now comes first; then the clock moves to the next deadline, if it may.
    fn park_standing(&mut self, handle: &DriverHandle, clock: Standing<'_>, limit: Option<Duration>) {
        // Asked before the notification: who lets the clock go has unparked whoever it was for.
        let idle_limit = clock.idle_limit();
        if self.poll(handle) || self.fire(handle) || handle.unpark.word.end() {
            return;
        }
        let next = handle.timers.as_ref().map_or(Instant::FAR_FUTURE, |timers| timers.plan_sleep(Precision::Exact));
        let until = limit.map_or(next, |limit| next.min(clock.now().saturating_add(limit)));
        if until == Instant::FAR_FUTURE || until > idle_limit {
            // Only the world outside can go on from here.
            self.sleep(handle, None);
        } else {
            clock.advance_to(until);
        }
        if let Some(timers) = &handle.timers {
            timers.awake();
        }
        self.fire(handle);
    }

    /// Somebody waits for the clock to be moved, and the runtime is never idle: after some turns it moves all the same.
    fn lose_patience(&mut self, handle: &DriverHandle, goal: Instant) {
        self.impatience += 1;
        if self.impatience < PATIENCE {
            return;
        }
        self.impatience = 0;
        if let (Some(clock), Some(timers)) = (handle.clock.standing(), &handle.timers) {
            let next = timers.plan_sleep(Precision::Exact);
            timers.awake();
            clock.advance_to(next.min(goal));
        }
    }

    /// Sleeps for `wait` (`None`: without limit), in the poller when there is something to poll, and wakes waiters of I/O.
    fn sleep(&mut self, handle: &DriverHandle, wait: Option<Duration>) {
        if wait != Some(Duration::ZERO) {
            might_sleep();
        }
        let how = if handle.has_sources() { How::Poll } else { How::Futex };
        match handle.unpark.word.begin(how) {
            Begin::Sleep => {
                match how {
                    How::Poll => self.collect(handle, wait),
                    How::Futex => self.sleep_on_futex(wait),
                }
                // Before the wakers run: what they unpark should not make a system call for a driver that is awake.
                handle.unpark.word.end();
            }
            Begin::Notified => self.collect(handle, Some(Duration::ZERO)),
        }
        self.wake();
    }

    fn sleep_on_futex(&self, wait: Option<Duration>) {
        match wait {
            None => self.parker.park(),
            Some(Duration::ZERO) => {}
            Some(wait) => {
                let_this_thread_wake_in_time();
                self.parker.park_timeout(wait);
            }
        }
    }

    /// Collects the waiters of what the poller finds ready, when there is something to poll.
    fn collect(&mut self, handle: &DriverHandle, wait: Option<Duration>) {
        if let (Some(poller), Some(reactor)) = (&mut self.poller, &handle.reactor)
            && reactor.has_sources()
        {
            poller.poll(reactor, wait, &mut self.wakes);
        }
    }

    /// Wakes the waiters of what is ready now; says whether there were any.
    fn poll(&mut self, handle: &DriverHandle) -> bool {
        self.collect(handle, Some(Duration::ZERO));
        self.wake()
    }

    /// Fires what is due; says whether anybody was woken.
    fn fire(&mut self, handle: &DriverHandle) -> bool {
        let Some(timers) = &handle.timers else { return false };
        let next = timers.next_hint();
        if next == Instant::FAR_FUTURE {
            return false;
        }
        let now = handle.clock.now();
        if next > now {
            return false;
        }
        timers.fire(now, &mut self.wakes);
        self.wake()
    }

    fn wake(&mut self) -> bool {
        let any = !self.wakes.is_empty();
        self.wakes.wake_all();
        any
    }
}

impl DriverHandle {
    /// Makes the present or the next [`Driver::park`] return at once. Remembered once; one atomic when nobody sleeps.
    pub(crate) fn unpark(&self) {
        self.unpark.unpark();
    }

    /// What is registered now.
    pub(crate) fn load(&self) -> DriverLoad {
        DriverLoad {
            timers: self.timers.as_ref().map_or(0, Timers::pending),
            sources: self.reactor.as_ref().map_or(0, ReactorHandle::len),
        }
    }

    /// Whose time it is.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The timers; `None` when the runtime was built without.
    pub(crate) fn timers(&self) -> Option<&Timers> {
        self.timers.as_ref()
    }

    /// The reactor; `None` when the runtime was built without.
    pub(crate) fn reactor(&self) -> Option<&ReactorHandle> {
        self.reactor.as_ref()
    }

    /// By what it hears of sources; `None` when the runtime was built without.
    pub(crate) fn io_driver(&self) -> Option<IoDriver> {
        self.io.as_ref().map(|choice| choice.driver)
    }

    /// Why that is not what was asked for.
    pub(crate) fn io_driver_refusal(&self) -> Option<&str> {
        self.io.as_ref()?.refusal.as_deref()
    }

    /// Carries out what a registration with the reactor asks for.
    ///
    /// The first source has to get the driver off its futex. `unpark` alone is enough: if it comes before the driver
    /// announces its sleep, that announcement fails (or an earlier one has consumed it, with `Acquire`), so the look at
    /// [`ReactorHandle::has_sources`] that precedes the next sleep sees the source; if it comes after, it ends the sleep.
    pub(crate) fn after_register(&self, registered: Registered) -> Registration {
        match registered {
            Registered::Another(registration) => registration,
            Registered::First(registration) => {
                self.unpark();
                registration
            }
        }
    }

    fn has_sources(&self) -> bool {
        self.reactor.as_ref().is_some_and(ReactorHandle::has_sources)
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
