//! The runtime's timers: one wheel per shard, so that no two workers need the same lock to set, cancel or fire one.
//!
//! Each worker has a shard of its own ([`place`]); threads that are no workers share some others. A timer is set in the
//! shard of the thread that made it, and whoever owns the timer keeps a reference to that [`Shard`]: so it is cancelled
//! there from whichever thread, after the runtime's end as well, and no two workers count references in one word. The
//! driver fires all shards.

pub(crate) mod place;
pub(crate) mod shard;
pub(crate) mod wheel;

use crate::clock::{Clock, Instant};
use crate::wait_queue::WakeBatch;
use place::Places;
use shard::{Precision, Shard, Shared};
use std::sync::Arc;
use std::task::Waker;

/// All timers of one runtime.
#[derive(Debug)]
pub(crate) struct Timers {
    shards: Box<[Arc<Shard>]>,
    places: Places,
    shared: Arc<Shared>,
}

impl Timers {
    /// Timers for so many workers, by `clock`. `driver` is woken when it would oversleep one.
    pub(crate) fn new(workers: usize, clock: Clock, driver: Waker) -> Timers {
        let now = clock.now();
        let shared = Arc::new(Shared::new(clock, driver));
        let places = Places::new(workers);
        let shards = (0..places.count()).map(|_| Arc::new(Shard::new(now, shared.clone()))).collect();
        Timers { shards, places, shared }
    }

    /// The shard in which the calling thread sets its timers.
    #[inline]
    pub(crate) fn here(&self) -> &Arc<Shard> {
        &self.shards[self.places.of_this_thread()]
    }

    /// How many timers are pending: those that were set and have neither fired nor been cancelled.
    ///
    /// Takes no lock, so it is what it was a moment ago.
    pub(crate) fn pending(&self) -> usize {
        self.shards.iter().map(|shard| shard.pending()).sum()
    }

    /// The driver's: a moment before which nothing fires, from what can be read without a lock.
    pub(crate) fn next_hint(&self) -> Instant {
        self.shards.iter().map(|shard| shard.next_hint()).min().unwrap_or(Instant::FAR_FUTURE)
    }

    /// The driver's: announces a sleep and says when it has to end. [`awake`](Timers::awake) must follow the sleep.
    pub(crate) fn plan_sleep(&self, precision: Precision) -> Instant {
        self.shared.begin_plan();
        let next = self.shards.iter().map(|shard| shard.set_next_right(precision)).min();
        let next = next.unwrap_or(Instant::FAR_FUTURE);
        self.shared.end_plan(next);
        next
    }

    /// The driver's: it has woken, nobody needs to unpark it for the sake of a timer.
    pub(crate) fn awake(&self) {
        self.shared.awake();
    }

    /// The driver's: collects the wakers of what is due.
    pub(crate) fn fire(&self, now: Instant, out: &mut WakeBatch) {
        for shard in &self.shards {
            if shard.next_hint() <= now {
                shard.fire(now, out);
            }
        }
    }

    /// Takes every timer out and refuses new ones.
    pub(crate) fn shutdown(&self, out: &mut WakeBatch) {
        for shard in &self.shards {
            shard.shutdown(out);
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
