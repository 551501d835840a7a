//! A shard: a wheel behind a lock, and what its users ask of the driver.
//!
//! # State
//! - `Shard::next`: a moment before which nothing in the shard fires. Written under the shard's lock, read without.
//!   Inserting lowers it, the driver sets it right; removing leaves it, at the cost of one early look by the driver.
//! - `Shard::pending`: how many timers are in the wheel. Written under the lock, read without, by those who count.
//! - `Shared::sleep_until`: what the sleeping driver has planned. [`AWAKE`] while it does not sleep, [`PLANNING`] while
//!   it makes up its mind, else the moment at which it will wake by itself. Only the driver writes it.
//!
//! # No timer is overslept
//! ```text
//!   inserting thread (shard locked)            driver
//!   I1  next = deadline (when earlier)         D1  sleep_until = PLANNING
//!   I2  fence                                  D2  fence
//!   I3  read sleep_until                       D3  read next of each shard
//!       deadline < it: unpark the driver       D4  sleep_until = the least of them, sleep
//! ```
//! The fences are sequentially consistent, so either D3 sees I1 and the driver plans with the new deadline, or I3 sees
//! D1 or D4. `PLANNING` is later than any deadline, so I3 then unparks, and the notification is remembered if the sleep
//! has not begun. If it sees D4 the plan is known and the driver is unparked only when the plan is too late. A deadline
//! that does not lower `next` needs no look: the plan was made for `next`, or its owner went through I3 already.
//! `loom_tests` checks this.

use crate::atomic::{AtomicU64, AtomicUsize, Mutex, Ordering, fence};
use crate::clock::{Clock, Instant};
use crate::timer::wheel::{Polled, Wheel, WheelKey};
use crate::wait_queue::WakeBatch;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;

/// Some of a runtime's timers: those of one worker, mostly.
pub(crate) struct Shard {
    next: Line<AtomicU64>,
    /// Beside the lock under which it is written.
    pending: AtomicUsize,
    guarded: Mutex<Guarded>,
    shared: Arc<Shared>,
}

/// What all shards of a runtime have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    sleep_until: Line<AtomicU64>,
    clock: Clock,
    driver: Waker,
}

/// Two cache lines, which the processors of today fetch in pairs: what one thread writes there disturbs nobody's
/// neighbour.
#[derive(Debug)]
#[repr(align(128))]
struct Line<T>(T);

struct Guarded {
    wheel: Wheel,
    closed: bool,
}

/// What became of a timer that was to be set.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    /// It is pending.
    Pending(WheelKey),
    /// Its deadline has passed, as far as is known; nothing was set.
    Due,
    /// The timers are shut down; nothing was set.
    Closed,
}

/// What the thread that inserted a timer has to do.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    /// Nothing: the driver will see the timer in time.
    Knows,
    /// The driver sleeps past the deadline: unpark it.
    Oversleeps,
}

/// How a pending timer stood when it was touched.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touched {
    /// It is pending and will call the new waker.
    Pending,
    /// It has fired.
    Gone,
    /// It was taken out by the shutdown.
    Closed,
}

/// How well the end of a sleep must be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// It may lie before the next deadline, after a cancelled one: constant cost.
    Bound,
    /// It is the next deadline, because a clock will be set by it.
    Exact,
}

/// `sleep_until` of a driver that does not sleep: no deadline is earlier.
const AWAKE: u64 = 0;
/// `sleep_until` of a driver that is about to plan: every deadline is earlier.
const PLANNING: u64 = u64::MAX;
/// How many timers one shard fires per turn of the driver.
pub(super) const FIRED_MAX: usize = 1024;

impl Shard {
    pub(super) fn new(now: Instant, shared: Arc<Shared>) -> Shard {
        Shard {
            next: Line(AtomicU64::new(u64::MAX)),
            pending: AtomicUsize::new(0),
            guarded: Mutex::new(Guarded { wheel: Wheel::new(now), closed: false }),
            shared,
        }
    }

    /// The clock by which its timers go.
    #[inline]
    pub(crate) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Sets a timer, unless its deadline lies at or before `known`, a moment that has come, or one that the driver has
    /// seen to pass.
    pub(crate) fn set(&self, deadline: Instant, known: Instant, waker: &Waker) -> Set {
        let mut guarded = self.guarded.lock();
        if guarded.closed {
            return Set::Closed;
        }
        if deadline <= known || deadline <= guarded.wheel.turned_to() {
            return Set::Due;
        }
        let key = guarded.wheel.insert(deadline, waker.clone());
        let driver = self.inserted(&guarded.wheel, deadline);
        drop(guarded);
        self.tell(driver);
        Set::Pending(key)
    }

    /// Moves a pending timer to another deadline, with the waker it has; `None` when it is pending no more.
    pub(crate) fn reset(&self, key: WheelKey, deadline: Instant) -> Option<WheelKey> {
        let mut guarded = self.guarded.lock();
        let waker = guarded.wheel.remove(key)?;
        let key = guarded.wheel.insert(deadline, waker);
        let driver = self.inserted(&guarded.wheel, deadline);
        drop(guarded);
        self.tell(driver);
        Some(key)
    }

    /// Gives a pending timer another waker.
    pub(crate) fn update(&self, key: WheelKey, waker: &Waker) -> Touched {
        let mut guarded = self.guarded.lock();
        if guarded.closed {
            return Touched::Closed;
        }
        let Some(current) = guarded.wheel.waker_mut(key) else { return Touched::Gone };
        if !current.will_wake(waker) {
            let old = std::mem::replace(current, waker.clone());
            // Dropping a waker may run anything, so not under the lock.
            drop(guarded);
            drop(old);
        }
        Touched::Pending
    }

    /// Cancels a timer; nothing happens when it has fired.
    pub(crate) fn cancel(&self, key: WheelKey) {
        let waker = {
            let mut guarded = self.guarded.lock();
            let waker = guarded.wheel.remove(key);
            self.count(&guarded.wheel);
            waker
        };
        // The lock is released: dropping a waker may run anything.
        drop(waker);
    }

    /// A deadline went into the wheel, whose lock is held.
    #[inline]
    fn inserted(&self, wheel: &Wheel, deadline: Instant) -> Driver {
        self.count(wheel);
        let deadline = deadline.as_nanos();
        // Relaxed: written under the lock that is held.
        if deadline >= self.next.0.load(Ordering::Relaxed) {
            return Driver::Knows;
        }
        self.next.0.store(deadline, Ordering::Relaxed); // I1
        fence(Ordering::SeqCst); // I2, pairs with D2
        // I3
        if deadline < self.shared.sleep_until.0.load(Ordering::Relaxed) { Driver::Oversleeps } else { Driver::Knows }
    }

    #[inline]
    fn tell(&self, driver: Driver) {
        if driver == Driver::Oversleeps {
            self.shared.driver.wake_by_ref();
        }
    }

    #[inline]
    fn count(&self, wheel: &Wheel) {
        // Relaxed: a number to look at, nothing is decided by it.
        self.pending.store(wheel.len(), Ordering::Relaxed);
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// A moment before which nothing fires, without a lock.
    pub(super) fn next_hint(&self) -> Instant {
        // Relaxed: a timer that is missed here is seen at the next look; the driver sleeps only by `set_next_right`.
        Instant::from_nanos(self.next.0.load(Ordering::Relaxed))
    }

    /// The driver's, D3: sets `next` right.
    pub(super) fn set_next_right(&self, precision: Precision) -> Instant {
        if self.next_hint() == Instant::FAR_FUTURE {
            return Instant::FAR_FUTURE;
        }
        let mut guarded = self.guarded.lock();
        let next = match precision {
            Precision::Bound => guarded.wheel.next_bound(),
            Precision::Exact => guarded.wheel.next_deadline(),
        };
        let next = next.unwrap_or(Instant::FAR_FUTURE);
        self.next.0.store(next.as_nanos(), Ordering::Relaxed);
        next
    }

    /// The driver's: collects the wakers of what is due.
    pub(super) fn fire(&self, now: Instant, out: &mut WakeBatch) {
        let mut guarded = self.guarded.lock();
        let next = match guarded.wheel.poll(now, out, FIRED_MAX) {
            Polled::Done => guarded.wheel.next_bound().unwrap_or(Instant::FAR_FUTURE),
            // The rest is due already; the driver's next look takes it.
            Polled::MoreDue => now,
        };
        self.count(&guarded.wheel);
        self.next.0.store(next.as_nanos(), Ordering::Relaxed);
    }

    /// Takes every timer out and refuses new ones.
    pub(super) fn shutdown(&self, out: &mut WakeBatch) {
        let mut guarded = self.guarded.lock();
        guarded.closed = true;
        guarded.wheel.drain(out);
        self.count(&guarded.wheel);
        self.next.0.store(u64::MAX, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn new(clock: Clock, driver: Waker) -> Shared {
        Shared { sleep_until: Line(AtomicU64::new(AWAKE)), clock, driver }
    }

    /// The driver's: before it asks the shards for their next deadlines.
    pub(super) fn begin_plan(&self) {
        self.sleep_until.0.store(PLANNING, Ordering::Relaxed); // D1
        fence(Ordering::SeqCst); // D2, pairs with I2
    }

    /// The driver's: it will sleep until `next`.
    pub(super) fn end_plan(&self, next: Instant) {
        self.sleep_until.0.store(next.as_nanos(), Ordering::Relaxed); // D4
    }

    pub(super) fn awake(&self) {
        self.sleep_until.0.store(AWAKE, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
impl Shard {
    /// Keeps everybody out until the guard drops.
    pub(super) fn hold_lock(&self) -> impl Drop + '_ {
        self.guarded.lock()
    }
}

/// Short: a runtime may have a hundred thousand timers.
impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("pending", &self.pending())
            .field("next", &self.next_hint())
            .finish_non_exhaustive()
    }
}
