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
//!   `IN_DRIVER` it pulls out with `DriverHandle::unpark`, and both of these are remembered by the one who sleeps next.
//! - 2 is a `Release`, 3 and 4 are `Acquire`: what the waker wrote before is visible to the woken worker.
//! - A remembered `DriverHandle::unpark` that comes late makes some later sleeper in the driver return once for nothing.

use crate::atomic::{AtomicU32, Mutex, Ordering};
use crate::driver::{Driver, DriverHandle};
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

    /// Puts the worker to sleep until it is unparked, something happens in the driver if it holds that, or `limit`.
    /// May return early.
    pub(super) fn sleep(
        &self,
        parker: &Parker,
        driver: &Mutex<Driver>,
        handle: &DriverHandle,
        limit: Option<Duration>,
    ) {
        match driver.try_lock() {
            Some(mut driver) => self.sleep_as(IN_DRIVER, || driver.park(handle, limit)),
            None => self.sleep_as(ON_PARKER, || match limit {
                None => parker.park(),
                Some(limit) => {
                    parker.park_timeout(limit);
                }
            }),
        }
    }

    fn sleep_as(&self, place: u32, sleep: impl FnOnce()) {
        // 1, or 4 when it fails.
        if self.word.compare_exchange(AWAKE, place, Ordering::Acquire, Ordering::Acquire).is_ok() {
            sleep();
        }
        // 3, 4
        self.word.swap(AWAKE, Ordering::Acquire);
    }

    /// Wakes the worker, or makes its next sleep return at once.
    pub(super) fn unpark(&self, handle: &DriverHandle) {
        // 2
        match self.word.swap(NOTIFIED, Ordering::Release) {
            ON_PARKER => {
                self.unparker.unpark();
            }
            IN_DRIVER => handle.unpark(),
            _ => {}
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::driver::{self, DriverConfig};
    use std::sync::Arc;

    #[test]
    fn two_workers_wake_each_other_whoever_has_the_driver() {
        let config = DriverConfig { io: false, time: false, clock: Clock::Real, timer_shards: 1 };
        let (driver, handle) = driver::new(config).unwrap();
        let (here, there) = (Parker::new(), Parker::new());
        let seats = [Seat::new(&here), Seat::new(&there)];
        // Counts of how often each has told the other; a lost wake-up hangs the test.
        let told = [AtomicU32::new(0), AtomicU32::new(0)];
        let world = Arc::new((Mutex::new(driver), handle, seats, told));
        let play = |me: usize, parker: Parker, world: Arc<(Mutex<Driver>, DriverHandle, [Seat; 2], [AtomicU32; 2])>| {
            let (driver, handle, seats, told) = &*world;
            for round in 1..=5000 {
                told[me].store(round, Ordering::Release);
                seats[1 - me].unpark(handle);
                while told[1 - me].load(Ordering::Acquire) < round {
                    seats[me].sleep(&parker, driver, handle, None);
                }
            }
        };
        let other = {
            let world = world.clone();
            std::thread::spawn(move || play(1, there, world))
        };
        play(0, here, world);
        other.join().unwrap();
    }

    #[test]
    fn a_notification_is_remembered_and_consumed() {
        let config = DriverConfig { io: false, time: false, clock: Clock::Real, timer_shards: 1 };
        let (driver, handle) = driver::new(config).unwrap();
        let (driver, parker) = (Mutex::new(driver), Parker::new());
        let seat = Seat::new(&parker);
        seat.unpark(&handle);
        seat.unpark(&handle);
        seat.sleep(&parker, &driver, &handle, None);
        assert_eq!(seat.word.load(Ordering::Relaxed), AWAKE);
        let held = driver.lock();
        seat.unpark(&handle);
        seat.sleep(&parker, &driver, &handle, None);
        drop(held);
    }
}
