//! A clock that stands, the driver that moves it, and the pool that holds it, under every interleaving.

use super::*;
use crate::atomic::{AtomicBool, Ordering};
use crate::clock::PausableClock;
use crate::timer::shard::Set;
use loom::thread;

fn world() -> (Driver, Arc<DriverHandle>, PausableClock) {
    let clock = PausableClock::paused();
    let config = DriverConfig {
        io: false,
        io_driver: IoDriver::Mio,
        time: true,
        clock: Clock::Pausable(clock.clone()),
        workers: 1,
    };
    let (driver, handle) = new(config).unwrap();
    (driver, Arc::new(handle), clock)
}

fn set_timer(handle: &DriverHandle, deadline: Instant) {
    let set = handle.timers().unwrap().here().set(deadline, Instant::from_nanos(0), Waker::noop());
    assert!(matches!(set, Set::Pending(_)));
}

/// A closure ends: it wakes whoever waits for it, then lets the clock go. The driver must not move the clock before it
/// has come back to look for whom was woken, and must not sleep for ever either.
#[test]
fn loom_the_clock_does_not_overtake_what_the_pool_has_woken() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (mut driver, handle, clock) = world();
        let start = clock.now();
        set_timer(&handle, start + Duration::from_secs(1));
        clock.hold();
        let woken = Arc::new(AtomicBool::new(false));
        let pool = {
            let (handle, clock, woken) = (handle.clone(), clock.clone(), woken.clone());
            thread::spawn(move || {
                woken.store(true, Ordering::Relaxed);
                handle.unpark();
                clock.let_go();
            })
        };
        while !woken.load(Ordering::Relaxed) {
            assert_eq!(clock.now(), start);
            driver.park(&handle, None);
        }
        assert_eq!(clock.now(), start);
        while clock.now() == start {
            driver.park(&handle, None);
        }
        pool.join().unwrap();
    });
}

/// Somebody asks for the clock to be moved while the driver falls asleep because it may not.
#[test]
fn loom_a_goal_reaches_a_driver_that_falls_asleep() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (mut driver, handle, clock) = world();
        let start = clock.now();
        let goal = start + Duration::from_secs(1);
        clock.hold();
        let asking = {
            let (handle, clock) = (handle.clone(), clock.clone());
            thread::spawn(move || {
                assert_eq!(clock.advance(Duration::from_secs(1)), Some(goal));
                set_timer(&handle, goal);
            })
        };
        while clock.now() != goal {
            driver.park(&handle, None);
        }
        asking.join().unwrap();
    });
}
