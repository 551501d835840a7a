//! The runtime's timers: one wheel per shard, so that no two workers need the same lock to set or to cancel one.
//!
//! A thread always inserts into the same shard; the shard is remembered in the [`TimerKey`], so whichever thread drops
//! the timer finds it. The driver fires all shards.
//!
//! # State
//! - `Shard::next`: a moment before which nothing in the shard fires. Written under the shard's lock, read without.
//!   Inserting lowers it, the driver sets it right; removing leaves it, at the cost of one early look by the driver.
//! - `Timers::sleep_until`: what the sleeping driver has planned. [`AWAKE`] while it does not sleep, [`PLANNING`] while
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

pub(crate) mod wheel;

use crate::atomic::{AtomicU64, Mutex, Ordering, fence};
use crate::clock::Instant;
use crate::wait_queue::WakeBatch;
use std::task::Waker;
use wheel::{Polled, Wheel, WheelKey};

/// All timers of one runtime.
#[derive(Debug)]
pub(crate) struct Timers {
    shards: Box<[Shard]>,
    sleep_until: AtomicU64,
}

/// Two cache lines: the processors of today fetch them in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    next: AtomicU64,
    wheel: Mutex<Guarded>,
}

#[derive(Debug)]
struct Guarded {
    wheel: Wheel,
    closed: bool,
}

/// A pending timer: in which shard, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey {
    shard: u32,
    key: WheelKey,
}

/// What the thread that inserted a timer has to do.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// The driver will see the timer in time.
    Done(TimerKey),
    /// The driver sleeps past the deadline: unpark it.
    UnparkDriver(TimerKey),
    /// The timers are shut down; nothing was inserted.
    Closed,
}

/// How a pending timer stood when it was touched.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touched {
    /// It is pending and will call the new waker.
    Pending,
    /// It has fired, or was shut down.
    Gone,
}

/// `sleep_until` of a driver that does not sleep: no deadline is earlier.
const AWAKE: u64 = 0;
/// `sleep_until` of a driver that is about to plan: every deadline is earlier.
const PLANNING: u64 = u64::MAX;
/// How many timers one shard fires per turn of the driver.
const FIRED_MAX: usize = 1024;

impl Timers {
    /// Timers for `shards` threads that set some, from `now` on.
    pub(crate) fn new(shards: usize, now: Instant) -> Timers {
        // A power of two, so that a mask finds the shard.
        let shards = shards.max(1).next_power_of_two();
        let new_shard = |_| Shard {
            next: AtomicU64::new(u64::MAX),
            wheel: Mutex::new(Guarded { wheel: Wheel::new(now), closed: false }),
        };
        Timers { shards: (0..shards).map(new_shard).collect(), sleep_until: AtomicU64::new(AWAKE) }
    }

    /// Adds a timer to the calling thread's shard.
    pub(crate) fn insert(&self, deadline: Instant, waker: &Waker) -> Inserted {
        let at = shard_of_this_thread() & (self.shards.len() - 1);
        self.insert_into(at, deadline, waker.clone())
    }

    fn insert_into(&self, at: usize, deadline: Instant, waker: Waker) -> Inserted {
        let shard = &self.shards[at];
        let mut guarded = shard.wheel.lock();
        if guarded.closed {
            drop(guarded);
            return Inserted::Closed;
        }
        let key = TimerKey { shard: at as u32, key: guarded.wheel.insert(deadline, waker) };
        let deadline = deadline.as_nanos();
        // Relaxed: written under the lock that is held.
        if deadline >= shard.next.load(Ordering::Relaxed) {
            return Inserted::Done(key);
        }
        shard.next.store(deadline, Ordering::Relaxed); // I1
        fence(Ordering::SeqCst); // I2, pairs with D2
        // I3
        if deadline < self.sleep_until.load(Ordering::Relaxed) {
            Inserted::UnparkDriver(key)
        } else {
            Inserted::Done(key)
        }
    }

    /// Gives a pending timer another waker.
    pub(crate) fn update(&self, key: TimerKey, waker: &Waker) -> Touched {
        let mut guarded = self.shards[key.shard as usize].wheel.lock();
        let Some(current) = guarded.wheel.waker_mut(key.key) else { return Touched::Gone };
        if !current.will_wake(waker) {
            let old = std::mem::replace(current, waker.clone());
            // Dropping a waker may run anything, so not under the lock.
            drop(guarded);
            drop(old);
        }
        Touched::Pending
    }

    /// Moves a pending timer to another deadline, with the waker it has; `None` when it is pending no more.
    pub(crate) fn reset(&self, key: TimerKey, deadline: Instant) -> Option<Inserted> {
        let waker = self.shards[key.shard as usize].wheel.lock().wheel.remove(key.key)?;
        Some(self.insert_into(key.shard as usize, deadline, waker))
    }

    /// Cancels a timer; nothing happens when it has fired.
    pub(crate) fn remove(&self, key: TimerKey) {
        let waker = self.shards[key.shard as usize].wheel.lock().wheel.remove(key.key);
        // The lock is released: dropping a waker may run anything.
        drop(waker);
    }

    /// How many timers are pending.
    pub(crate) fn pending(&self) -> usize {
        self.shards.iter().map(|shard| shard.wheel.lock().wheel.len()).sum()
    }

    /// The driver's: a moment before which nothing fires, from what can be read without a lock.
    pub(crate) fn next_hint(&self) -> Instant {
        // Relaxed: a timer that is missed here is seen at the next look; the driver sleeps only by `plan_sleep`.
        let next = self.shards.iter().map(|shard| shard.next.load(Ordering::Relaxed)).min();
        Instant::from_nanos(next.unwrap_or(u64::MAX))
    }

    /// The driver's: announces a sleep and says when it has to end. [`awake`](Timers::awake) must follow the sleep.
    pub(crate) fn plan_sleep(&self, precision: Precision) -> Instant {
        self.sleep_until.store(PLANNING, Ordering::Relaxed); // D1
        fence(Ordering::SeqCst); // D2, pairs with I2
        let next = self.shards.iter().map(|shard| shard.set_next_right(precision)).min(); // D3
        let next = next.unwrap_or(u64::MAX);
        self.sleep_until.store(next, Ordering::Relaxed); // D4
        Instant::from_nanos(next)
    }

    /// The driver's: it has woken, nobody needs to unpark it for the sake of a timer.
    pub(crate) fn awake(&self) {
        self.sleep_until.store(AWAKE, Ordering::Relaxed);
    }

    /// The driver's: collects the wakers of what is due.
    pub(crate) fn fire(&self, now: Instant, out: &mut WakeBatch) {
        for shard in &self.shards {
            if shard.next.load(Ordering::Relaxed) <= now.as_nanos() {
                shard.fire(now, out);
            }
        }
    }

    /// Takes every timer out and refuses new ones.
    pub(crate) fn shutdown(&self, out: &mut WakeBatch) {
        for shard in &self.shards {
            let mut guarded = shard.wheel.lock();
            guarded.closed = true;
            guarded.wheel.drain(out);
            shard.next.store(u64::MAX, Ordering::Relaxed);
        }
    }
}

/// How well the end of a sleep must be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// It may lie before the next deadline, after a cancelled one: constant cost.
    Bound,
    /// It is the next deadline, because a clock will be set by it.
    Exact,
}

impl Shard {
    fn set_next_right(&self, precision: Precision) -> u64 {
        if self.next.load(Ordering::Relaxed) == u64::MAX {
            return u64::MAX;
        }
        let mut guarded = self.wheel.lock();
        let next = match precision {
            Precision::Bound => guarded.wheel.next_bound(),
            Precision::Exact => guarded.wheel.next_deadline(),
        };
        let next = next.unwrap_or(Instant::FAR_FUTURE).as_nanos();
        self.next.store(next, Ordering::Relaxed);
        next
    }

    fn fire(&self, now: Instant, out: &mut WakeBatch) {
        let mut guarded = self.wheel.lock();
        let next = match guarded.wheel.poll(now, out, FIRED_MAX) {
            Polled::Done => guarded.wheel.next_bound().unwrap_or(Instant::FAR_FUTURE),
            // The rest is due already; the driver's next look takes it.
            Polled::MoreDue => now,
        };
        self.next.store(next.as_nanos(), Ordering::Relaxed);
    }
}

/// A number that is the calling thread's own, as far as there are enough shards.
fn shard_of_this_thread() -> usize {
    use std::cell::Cell;
    use std::sync::atomic::AtomicUsize;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    let draw = || NEXT.fetch_add(1, Ordering::Relaxed);
    // Late in thread exit there is no thread-local: any shard will do.
    MINE.try_with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(draw());
        }
        mine.get()
    })
    .unwrap_or(0)
}

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
