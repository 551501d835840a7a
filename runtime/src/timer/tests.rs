//! Shards and what they ask of the driver.

// Clippy knows tests by their attribute; these are what the tests here share.
#![allow(clippy::unwrap_used)]

use super::shard::{FIRED_MAX, Set, Touched};
use super::wheel::WheelKey;
use super::*;
use crate::clock::VirtualClock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;
use std::time::Duration;

#[derive(Default)]
struct Counted(AtomicUsize);

impl Counted {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn at(ms: u64) -> Instant {
    Instant::from_virtual_ns(ms * 1_000_000)
}

/// Timers by a virtual clock, and how often their driver was told to wake.
fn timers(workers: usize) -> (Timers, Arc<Counted>) {
    let driver = Arc::new(Counted::default());
    (Timers::new(workers, Clock::Virtual(VirtualClock::new()), Waker::from(driver.clone())), driver)
}

fn set(shard: &Shard, deadline: Instant, waker: &Waker) -> WheelKey {
    match shard.set(deadline, Instant::from_nanos(0), waker) {
        Set::Pending(key) => key,
        Set::Due => panic!("{deadline:?} is yet to come"),
        Set::Closed => panic!("the timers are open"),
    }
}

#[test]
fn the_driver_is_unparked_only_by_what_it_would_oversleep() {
    let (timers, driver) = timers(1);
    let insert = |ms, woken, why| {
        let before = driver.count();
        set(timers.here(), at(ms), Waker::noop());
        assert_eq!(driver.count() - before, woken, "{ms}: {why}");
    };
    insert(50, 0, "the driver is awake");
    assert_eq!(timers.plan_sleep(Precision::Bound), at(50));
    insert(60, 0, "it will be awake by then");
    insert(50, 0, "it will be awake just then");
    insert(40, 1, "it would oversleep");
    insert(45, 0, "the driver has been told of 40");
    timers.awake();
    insert(1, 0, "the driver is awake");
}

#[test]
fn what_is_known_to_be_past_is_due_and_not_set() {
    let (timers, _) = timers(1);
    let shard = timers.here();
    assert_eq!(shard.set(at(5), at(5), Waker::noop()), Set::Due);
    assert_eq!(shard.set(at(5), at(6), Waker::noop()), Set::Due);
    timers.fire(at(1000), &mut WakeBatch::new());
    let key = set(shard, at(1001), Waker::noop());
    timers.fire(at(1001), &mut WakeBatch::new());
    assert_eq!(shard.update(key, Waker::noop()), Touched::Gone);
    assert_eq!(shard.set(at(1000), Instant::from_nanos(0), Waker::noop()), Set::Due, "the wheel knows");
    assert_eq!(timers.pending(), 0);
}

#[test]
fn a_cancelled_timer_does_not_end_a_sleep() {
    let (timers, _) = timers(2);
    let key = set(timers.here(), at(5), Waker::noop());
    assert_eq!(timers.pending(), 1);
    timers.here().cancel(key);
    assert_eq!(timers.pending(), 0);
    assert_eq!(timers.plan_sleep(Precision::Bound), Instant::FAR_FUTURE);
    assert_eq!(timers.next_hint(), Instant::FAR_FUTURE);
}

#[test]
fn reset_keeps_the_waker() {
    let (timers, _) = timers(1);
    let counted = Arc::new(Counted::default());
    let shard = timers.here();
    let key = set(shard, at(5), &Waker::from(counted.clone()));
    let key = shard.reset(key, at(9)).unwrap();
    let mut wakes = WakeBatch::new();
    timers.fire(at(8), &mut wakes);
    assert!(wakes.is_empty());
    timers.fire(at(9), &mut wakes);
    wakes.wake_all();
    assert_eq!(counted.count(), 1);
    assert_eq!(shard.reset(key, at(10)), None, "it has fired");
    assert_eq!(shard.update(key, Waker::noop()), Touched::Gone);
}

#[test]
fn more_than_a_turn_may_fire_stays_due() {
    let (timers, _) = timers(1);
    for _ in 0..FIRED_MAX + 1 {
        set(timers.here(), at(1), Waker::noop());
    }
    let mut wakes = WakeBatch::new();
    timers.fire(at(2), &mut wakes);
    assert_eq!((wakes.len(), timers.pending()), (FIRED_MAX, 1));
    assert!(timers.next_hint() <= at(2), "the next sleep is none");
    assert!(timers.plan_sleep(Precision::Bound) <= at(2));
    timers.fire(at(2), &mut wakes);
    assert_eq!((wakes.len(), timers.pending()), (FIRED_MAX + 1, 0));
}

#[test]
fn after_shutdown_nothing_is_pending_and_nothing_goes_in() {
    let (timers, _) = timers(2);
    let counted = Arc::new(Counted::default());
    let shard = timers.here().clone();
    let key = set(&shard, at(5), &Waker::from(counted.clone()));
    let mut wakes = WakeBatch::new();
    timers.shutdown(&mut wakes);
    wakes.wake_all();
    assert_eq!(counted.count(), 1);
    assert_eq!(timers.pending(), 0);
    drop(timers);
    assert_eq!(shard.set(at(6), at(0), Waker::noop()), Set::Closed);
    assert_eq!(shard.update(key, Waker::noop()), Touched::Closed, "it has not fired");
    assert_eq!(shard.reset(key, at(6)), None);
    shard.cancel(key);
}

/// The last reference to a task may be its waker, and dropping it may drop a `Sleep`: of the same shard.
#[test]
fn a_waker_that_touches_the_timers_when_it_drops_does_not_deadlock() {
    struct Nested(Arc<Shard>, WheelKey);
    impl Wake for Nested {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Nested {
        fn drop(&mut self) {
            self.0.cancel(self.1);
        }
    }
    let (timers, _) = timers(1);
    let shard = timers.here();
    let nested = || {
        let inner = set(shard, at(7), Waker::noop());
        Waker::from(Arc::new(Nested(shard.clone(), inner)))
    };
    let key = set(shard, at(5), &nested());
    assert_eq!(shard.update(key, &nested()), Touched::Pending);
    shard.cancel(key);
    assert_eq!(timers.pending(), 0);
}

/// What two workers do at the same time meets in no lock: each has a shard, also for what the other one cancels.
#[test]
fn a_worker_sets_and_cancels_in_its_own_shard_while_another_holds_its_lock() {
    let (timers, _) = timers(2);
    let timers = Arc::new(timers);
    let on_worker = |index| {
        let timers = timers.clone();
        let set_one = move || {
            place::this_thread_is_worker(index);
            let shard = timers.here().clone();
            let key = set(&shard, at(5), Waker::noop());
            (shard, key)
        };
        std::thread::spawn(set_one).join().unwrap()
    };
    let (first, second) = (on_worker(0), on_worker(1));
    let outsider = timers.here().clone();
    assert!(!Arc::ptr_eq(&first.0, &second.0));
    assert!(!Arc::ptr_eq(&first.0, &outsider) && !Arc::ptr_eq(&second.0, &outsider));
    let _held = first.0.hold_lock();
    // A deadlock if any of this needed the first shard.
    second.0.cancel(second.1);
    let key = set(&outsider, at(5), Waker::noop());
    outsider.cancel(key);
    assert_eq!(timers.pending(), 1);
}

#[test]
fn threads_set_and_cancel_while_the_driver_fires() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 5_000;
    let timers = Arc::new(Timers::new(2, Clock::Real, Waker::noop().clone()));
    let counted = Arc::new(Counted::default());
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (timers, waker) = (timers.clone(), Waker::from(counted.clone()));
            std::thread::spawn(move || {
                if thread < 2 {
                    place::this_thread_is_worker(thread);
                }
                let shard = timers.here();
                let (mut cancelled, mut due) = (0, 0);
                for round in 0..ROUNDS {
                    let far = Duration::from_micros((round * 7 % 300) as u64);
                    let key = match shard.set(Instant::now_real() + far, Instant::from_nanos(0), &waker) {
                        Set::Pending(key) => key,
                        _ => {
                            due += 1;
                            continue;
                        }
                    };
                    if round % 3 == 0 && shard.update(key, &waker) == Touched::Pending {
                        // It may fire between the two; `reset` says which it was.
                        if shard.reset(key, Instant::FAR_FUTURE).is_some() {
                            cancelled += 1;
                        }
                    }
                }
                (cancelled, due)
            })
        })
        .collect();
    let mut wakes = WakeBatch::new();
    while threads.iter().any(|thread| !thread.is_finished()) {
        timers.fire(Instant::now_real(), &mut wakes);
        wakes.wake_all();
    }
    let (cancelled, due) = threads.into_iter().fold((0, 0), |sum, thread| {
        let (cancelled, due) = thread.join().unwrap();
        (sum.0 + cancelled, sum.1 + due)
    });
    while timers.pending() > cancelled {
        timers.fire(Instant::now_real(), &mut wakes);
        wakes.wake_all();
    }
    assert_eq!(counted.count(), THREADS * ROUNDS - cancelled - due);
}
