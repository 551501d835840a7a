//! Sleeping and being woken, with a driver and nothing else.

// Clippy knows tests by their attribute; these are what the tests here share.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::clock::{PausableClock, VirtualClock};
use crate::timer::shard::{Set, Touched};
use crate::timer::wheel::WheelKey;
use mio::Interest;
use mio::net::UnixStream;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

#[derive(Default)]
struct Counted(AtomicUsize);

impl Counted {
    fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

fn driver(clock: Clock) -> (Driver, DriverHandle) {
    new(DriverConfig { io: true, io_driver: IoDriver::Mio, time: true, clock, workers: 2 }).unwrap()
}

fn set_timer(handle: &DriverHandle, deadline: Instant, waker: &Waker) -> WheelKey {
    match handle.timers().unwrap().here().set(deadline, Instant::from_nanos(0), waker) {
        Set::Pending(key) => key,
        other => panic!("{other:?}"),
    }
}

fn register(handle: &DriverHandle, stream: &mut UnixStream) -> Registration {
    let registered = handle.reactor().unwrap().register(stream, Interest::READABLE).unwrap();
    handle.after_register(registered)
}

/// Longer than any test takes; a park that lasts so long was not woken.
const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_notification_is_remembered_once_and_ends_one_park() {
    for with_source in [false, true] {
        let (mut driver, handle) = driver(Clock::Real);
        let (mut ours, _theirs) = UnixStream::pair().unwrap();
        let registration = with_source.then(|| register(&handle, &mut ours));
        driver.park(&handle, Some(Duration::ZERO));
        handle.unpark();
        handle.unpark();
        let start = std::time::Instant::now();
        driver.park(&handle, Some(LONG));
        assert!(start.elapsed() < LONG / 2);
        driver.park(&handle, Some(Duration::from_millis(2)));
        assert!(start.elapsed() >= Duration::from_millis(2), "with a source: {with_source}");
        drop(registration);
    }
}

#[test]
fn a_turn_leaves_the_notification_for_the_park() {
    let (mut driver, handle) = driver(Clock::Real);
    handle.unpark();
    driver.turn(&handle);
    let start = std::time::Instant::now();
    driver.park(&handle, Some(LONG));
    assert!(start.elapsed() < LONG / 2);
}

#[test]
fn the_first_source_gets_the_driver_off_its_futex() {
    for _ in 0..200 {
        let (mut driver, handle) = driver(Clock::Real);
        let handle = Arc::new(handle);
        let counted = Arc::new(Counted::default());
        let other = {
            let (handle, counted) = (handle.clone(), counted.clone());
            std::thread::spawn(move || {
                let (mut ours, mut theirs) = UnixStream::pair().unwrap();
                let registration = register(&handle, &mut ours);
                let mut slot = crate::wait_queue::WaitSlot::new();
                let interest = crate::wait_queue::Events::READABLE;
                let found = registration.state().look_or_wait(&Waker::from(counted), &mut slot, interest).unwrap();
                theirs.write_all(b"!").unwrap();
                (ours, theirs, registration, found)
            })
        };
        let start = std::time::Instant::now();
        // The write happens in any case; only the poller can hear of it.
        let mut ready = false;
        while !ready && start.elapsed() < LONG {
            driver.park(&handle, Some(LONG));
            ready = counted.count() > 0 || other.is_finished();
        }
        let (mut ours, _theirs, registration, _) = other.join().unwrap();
        driver.turn(&handle);
        assert!(registration.state().look(crate::wait_queue::Events::READABLE).unwrap().is_some());
        assert!(start.elapsed() < LONG / 2);
        handle.reactor().unwrap().deregister(&registration, &mut ours).unwrap();
        assert!(!handle.has_sources());
    }
}

#[test]
fn timers_end_a_park_in_time_with_and_without_sources() {
    for with_source in [false, true] {
        let (mut driver, handle) = driver(Clock::Real);
        let (mut ours, _theirs) = UnixStream::pair().unwrap();
        let registration = with_source.then(|| register(&handle, &mut ours));
        let counted = Arc::new(Counted::default());
        for round in 1..=20 {
            let deadline = handle.clock().now() + Duration::from_micros(1500);
            set_timer(&handle, deadline, &Waker::from(counted.clone()));
            while counted.count() < round {
                driver.park(&handle, None);
            }
            assert!(handle.clock().now() >= deadline, "no timer fires early");
        }
        drop(registration);
    }
}

#[test]
fn an_earlier_timer_from_another_thread_shortens_the_sleep() {
    for with_source in [false, true] {
        let (mut driver, handle) = driver(Clock::Real);
        let (mut ours, _theirs) = UnixStream::pair().unwrap();
        let registration = with_source.then(|| register(&handle, &mut ours));
        let handle = Arc::new(handle);
        let counted = Arc::new(Counted::default());
        set_timer(&handle, handle.clock().now() + LONG, Waker::noop());
        let start = std::time::Instant::now();
        for round in 1..=100 {
            let (there, waker) = (handle.clone(), Waker::from(counted.clone()));
            let other = std::thread::spawn(move || {
                set_timer(&there, there.clock().now() + Duration::from_micros(50), &waker);
            });
            while counted.count() < round {
                driver.park(&handle, None);
            }
            other.join().unwrap();
        }
        assert!(start.elapsed() < LONG / 2);
        drop(registration);
    }
}

#[test]
fn a_virtual_clock_jumps_from_deadline_to_deadline() {
    let clock = VirtualClock::new();
    let (mut driver, handle) = driver(Clock::Virtual(clock.clone()));
    let start = clock.now();
    let counted = Arc::new(Counted::default());
    let waker = Waker::from(counted.clone());
    let year = Duration::from_secs(365 * 86_400);
    set_timer(&handle, start + year, &waker);
    set_timer(&handle, start + Duration::from_nanos(1), &waker);
    let cancelled = set_timer(&handle, start + Duration::from_nanos(1500), &waker);
    handle.timers().unwrap().here().cancel(cancelled);
    driver.park(&handle, None);
    assert_eq!((clock.now() - start, counted.count()), (Duration::from_nanos(1), 1));
    driver.park(&handle, None);
    assert_eq!((clock.now() - start, counted.count()), (year, 2), "a cancelled deadline is no stop on the way");
    driver.park(&handle, Some(Duration::from_secs(1)));
    assert_eq!(clock.now() - start, year + Duration::from_secs(1), "a limit is a deadline");
}

#[test]
fn a_virtual_clock_stands_while_something_is_ready() {
    let clock = VirtualClock::new();
    let (mut driver, handle) = driver(Clock::Virtual(clock.clone()));
    let start = clock.now();
    let key = set_timer(&handle, start + Duration::from_secs(1), Waker::noop());
    handle.unpark();
    driver.park(&handle, None);
    assert_eq!(clock.now(), start);
    assert_eq!(handle.timers().unwrap().here().update(key, Waker::noop()), Touched::Pending);
    driver.park(&handle, None);
    assert_eq!(clock.now() - start, Duration::from_secs(1));
}

#[test]
fn without_anything_a_virtual_driver_waits_for_the_world_outside() {
    let (mut driver, handle) = driver(Clock::Virtual(VirtualClock::new()));
    let handle = Arc::new(handle);
    let there = handle.clone();
    let other = std::thread::spawn(move || there.unpark());
    driver.park(&handle, None);
    other.join().unwrap();
}

#[test]
fn many_rounds_of_unpark_lose_nothing() {
    for with_source in [false, true] {
        let (mut driver, handle) = driver(Clock::Real);
        let (mut ours, _theirs) = UnixStream::pair().unwrap();
        let registration = with_source.then(|| register(&handle, &mut ours));
        let handle = Arc::new(handle);
        let (rounds, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        const ROUNDS: usize = 5_000;
        let other = {
            let (handle, rounds, seen) = (handle.clone(), rounds.clone(), seen.clone());
            std::thread::spawn(move || {
                for round in 1..=ROUNDS {
                    rounds.store(round, Ordering::Release);
                    handle.unpark();
                    while seen.load(Ordering::Acquire) < round {
                        std::thread::yield_now();
                    }
                }
            })
        };
        while seen.load(Ordering::Acquire) < ROUNDS {
            if rounds.load(Ordering::Acquire) == seen.load(Ordering::Acquire) {
                // Only the other thread's unpark can end this.
                driver.park(&handle, None);
            }
            seen.store(rounds.load(Ordering::Acquire), Ordering::Release);
        }
        other.join().unwrap();
        drop(registration);
    }
}

#[test]
fn shutdown_wakes_everybody_and_lets_nobody_in() {
    let (mut driver, handle) = driver(Clock::Real);
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    let registration = register(&handle, &mut ours);
    let counted = Arc::new(Counted::default());
    let waker = Waker::from(counted.clone());
    let mut slot = crate::wait_queue::WaitSlot::new();
    let readable = crate::wait_queue::Events::READABLE;
    assert!(registration.state().look_or_wait(&waker, &mut slot, readable).unwrap().is_none());
    set_timer(&handle, handle.clock().now() + LONG, &waker);
    driver.shutdown(&handle);
    assert_eq!(counted.count(), 2);
    let error = registration.state().look(readable).unwrap_err();
    assert_eq!(error.to_string(), "the runtime is shutting down: its I/O driver is gone");
    assert!(handle.reactor().unwrap().register(&mut theirs, Interest::READABLE).is_err());
    let now = handle.clock().now();
    assert_eq!(handle.timers().unwrap().here().set(now, now, &waker), Set::Closed);
}

#[test]
fn wakers_run_with_no_lock_held() {
    /// Registers a source and sets a timer from within the waker.
    struct Busy(Arc<DriverHandle>, AtomicUsize);
    impl Wake for Busy {
        fn wake(self: Arc<Self>) {
            let (mut ours, _) = UnixStream::pair().unwrap();
            let registration = register(&self.0, &mut ours);
            self.0.reactor().unwrap().deregister(&registration, &mut ours).unwrap();
            set_timer(&self.0, self.0.clock().now() + LONG, Waker::noop());
            self.1.fetch_add(1, Ordering::AcqRel);
        }
    }
    let (mut driver, handle) = driver(Clock::Real);
    let handle = Arc::new(handle);
    let busy = Arc::new(Busy(handle.clone(), AtomicUsize::new(0)));
    let waker = Waker::from(busy.clone());
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    let registration = register(&handle, &mut ours);
    let mut slot = crate::wait_queue::WaitSlot::new();
    let readable = crate::wait_queue::Events::READABLE;
    assert!(registration.state().look_or_wait(&waker, &mut slot, readable).unwrap().is_none());
    set_timer(&handle, handle.clock().now(), &waker);
    theirs.write_all(b"!").unwrap();
    driver.turn(&handle);
    assert_eq!(busy.1.load(Ordering::Acquire), 2);
    let mut byte = [0];
    ours.read_exact(&mut byte).unwrap();
}

#[test]
fn a_clock_that_is_held_stands_until_it_is_let_go() {
    let clock = PausableClock::paused();
    let (mut driver, handle) = driver(Clock::Pausable(clock.clone()));
    let handle = Arc::new(handle);
    let start = clock.now();
    set_timer(&handle, start + LONG, Waker::noop());
    clock.hold();
    let there = handle.clone();
    let other = std::thread::spawn(move || there.unpark());
    driver.park(&handle, None);
    other.join().unwrap();
    assert_eq!(clock.now(), start, "it was woken, the clock was not moved");

    let there = clock.clone();
    let other = std::thread::spawn(move || there.let_go());
    while clock.now() == start {
        // Ends by itself when the clock was let go before, or by being told of it.
        driver.park(&handle, None);
    }
    other.join().unwrap();
    assert_eq!(clock.now(), start + LONG);
}

#[test]
fn a_clock_that_is_held_goes_as_far_as_it_is_asked_to() {
    let clock = PausableClock::paused();
    let (mut driver, handle) = driver(Clock::Pausable(clock.clone()));
    let start = clock.now();
    let ms = Duration::from_millis;
    clock.hold();
    set_timer(&handle, start + ms(2), Waker::noop());
    set_timer(&handle, start + ms(5), Waker::noop());
    set_timer(&handle, start + ms(9), Waker::noop());
    assert_eq!(clock.advance(ms(5)), Some(start + ms(5)));
    // Asking has told the driver.
    driver.park(&handle, None);
    driver.park(&handle, None);
    assert_eq!(clock.now(), start + ms(2));
    driver.park(&handle, None);
    assert_eq!(clock.now(), start + ms(5));
    handle.unpark();
    driver.park(&handle, None);
    assert_eq!(clock.now(), start + ms(5));
}

#[test]
fn a_driver_that_never_parks_moves_the_clock_after_some_turns() {
    let clock = PausableClock::paused();
    let (mut driver, handle) = driver(Clock::Pausable(clock.clone()));
    let start = clock.now();
    let counted = Arc::new(Counted::default());
    set_timer(&handle, start + Duration::from_millis(2), &Waker::from(counted.clone()));
    for _ in 0..10 * PATIENCE {
        driver.turn(&handle);
    }
    assert_eq!((clock.now(), counted.count()), (start, 0), "nobody asked");
    assert!(clock.advance(Duration::from_millis(3)).is_some());
    for _ in 0..PATIENCE {
        assert_eq!(counted.count(), 0);
        driver.turn(&handle);
    }
    assert_eq!((clock.now(), counted.count()), (start + Duration::from_millis(2), 1));
    for _ in 0..PATIENCE {
        driver.turn(&handle);
    }
    assert_eq!(clock.now(), start + Duration::from_millis(3));
}
