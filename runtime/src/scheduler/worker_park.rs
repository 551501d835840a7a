//! How one worker sleeps: in the driver when nobody else does, else on its own parker.
//!
//! # State
//! One word per worker; only this file touches it.
//! ```text
//!              1 sleep: CAS                2 unpark: swap
//!   AWAKE ------------------> ON_PARKER or ---------------> NOTIFIED
//!     ^ ^                     IN_DRIVER                       |  ^ |
//!     | +-- 3 sleep's end: swap ---+                          |  | |
//!     |                                     2 from AWAKE -----|--+ |
//!     +------------- 4 sleep: consumes ------------------------+---+
//! ```
//! - A notification between 1 and the sleep itself is not lost: whom 2 finds `ON_PARKER` it also unparks, whom it finds
//!   `IN_DRIVER` it pulls out of there, and both of these are remembered until the next sleep in the same place.
//! - 2 is a `Release`, 3 and 4 are `Acquire`: what the waker wrote before is visible to the woken worker.
//! - A pull that comes late, or meets a sleeper that was on its way out, makes some later sleep in the driver return once
//!   for nothing.

use crate::atomic::{AtomicU32, Ordering};
use crate::park::{Parker, Unparker};
use std::time::Duration;

/// The side of a worker's sleep that everyone sees.
#[derive(Debug)]
pub(super) struct Seat {
    word: AtomicU32,
    unparker: Unparker,
}

const AWAKE: u32 = 0;
const ON_PARKER: u32 = 1;
const IN_DRIVER: u32 = 2;
const NOTIFIED: u32 = 3;

impl Seat {
    /// For the worker that has this parker.
    pub(super) fn new(parker: &Parker) -> Seat {
        Seat { word: AtomicU32::new(AWAKE), unparker: parker.unparker() }
    }

    /// Sleeps on the worker's own parker until [`unpark`](Seat::unpark), or until `limit` has passed.
    pub(super) fn sleep_on_parker(&self, parker: &Parker, limit: Option<Duration>) {
        self.sleep_as(ON_PARKER, || match limit {
            None => parker.park(),
            // An unpark that comes too late for this sleep ends the next one on the parker, for nothing.
            Some(limit) => drop(parker.park_timeout(limit)),
        });
    }

    /// Sleeps by `park`, in the driver that the caller holds, until something happens there or somebody pulls it out.
    pub(super) fn sleep_in_driver(&self, park: impl FnOnce()) {
        self.sleep_as(IN_DRIVER, park);
    }

    fn sleep_as(&self, place: u32, sleep: impl FnOnce()) {
        // 1, or 4 when it fails.
        if self.word.compare_exchange(AWAKE, place, Ordering::Acquire, Ordering::Acquire).is_ok() {
            sleep();
        }
        // 3, 4
        self.word.swap(AWAKE, Ordering::Acquire);
    }

    /// Wakes the worker, or makes its next sleep return at once. `pull` makes the present or the next sleep in the driver
    /// return.
    pub(super) fn unpark(&self, pull: impl FnOnce()) {
        // 2
        match self.word.swap(NOTIFIED, Ordering::Release) {
            ON_PARKER => {
                self.unparker.unpark();
            }
            IN_DRIVER => pull(),
            _ => {}
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_notification_is_remembered_once_wherever_the_next_sleep_is() {
        let (parker, driver) = (Parker::new(), Parker::new());
        let seat = Seat::new(&parker);
        let nobody_there = || unreachable!("the worker is awake");
        seat.unpark(nobody_there);
        seat.unpark(nobody_there);
        seat.sleep_in_driver(|| unreachable!("it was notified"));
        let mut pulled = false;
        seat.sleep_in_driver(|| seat.unpark(|| pulled = true));
        assert!(pulled);
        seat.unpark(nobody_there);
        seat.sleep_on_parker(&parker, None);
        assert!(!parker.park_timeout(std::time::Duration::ZERO) && !driver.park_timeout(std::time::Duration::ZERO));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::atomic::Mutex;
    use loom::sync::Arc;
    use loom::thread;

    /// Two workers and one driver (a parker) between them. Each must come out of its sleep when it is told once, whoever has
    /// the driver; a lost wake-up is a deadlock.
    #[test]
    fn loom_a_sleeper_is_reached_wherever_it_sleeps() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let parkers = [Parker::new(), Parker::new()];
            let seats = [Seat::new(&parkers[0]), Seat::new(&parkers[1])];
            let driver = Parker::new();
            let pull = driver.unparker();
            let told = [AtomicU32::new(0), AtomicU32::new(0)];
            let world = Arc::new((seats, told, pull, Mutex::new(driver)));
            let threads: Vec<_> = (0..2)
                .zip(parkers)
                .map(|(me, parker)| {
                    let world = world.clone();
                    thread::spawn(move || {
                        let (seats, told, _, driver) = &*world;
                        while told[me].load(Ordering::Relaxed) == 0 {
                            match driver.try_lock() {
                                Some(driver) => seats[me].sleep_in_driver(|| driver.park()),
                                None => seats[me].sleep_on_parker(&parker, None),
                            }
                        }
                    })
                })
                .collect();
            let (seats, told, pull, _) = &*world;
            for (seat, told) in seats.iter().zip(told) {
                told.store(1, Ordering::Relaxed);
                seat.unpark(|| {
                    pull.unpark();
                });
            }
            for thread in threads {
                thread.join().unwrap();
            }
        });
    }
}
