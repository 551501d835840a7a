//! Shards and what they ask of the driver.

use super::*;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::Wake;
use std::time::Duration;

#[derive(Default)]
struct Counted(AtomicUsize);

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn at(ms: u64) -> Instant {
    Instant::from_virtual_ns(ms * 1_000_000)
}

fn key_of(inserted: Inserted) -> TimerKey {
    match inserted {
        Inserted::Done(key) | Inserted::UnparkDriver(key) => key,
        Inserted::Closed => panic!("the timers are open"),
    }
}

#[test]
fn the_driver_is_unparked_only_by_what_it_would_oversleep() {
    let timers = Timers::new(1, at(0));
    let waker = Waker::noop();
    assert!(matches!(timers.insert(at(50), waker), Inserted::Done(_)), "the driver is awake");
    assert_eq!(timers.plan_sleep(Precision::Bound), at(50));
    assert!(matches!(timers.insert(at(60), waker), Inserted::Done(_)));
    assert!(matches!(timers.insert(at(50), waker), Inserted::Done(_)));
    assert!(matches!(timers.insert(at(40), waker), Inserted::UnparkDriver(_)));
    assert!(matches!(timers.insert(at(45), waker), Inserted::Done(_)), "the driver has been told of 40");
    timers.awake();
    assert!(matches!(timers.insert(at(1), waker), Inserted::Done(_)));
}

#[test]
fn a_cancelled_timer_does_not_end_a_sleep() {
    let timers = Timers::new(2, at(0));
    let key = key_of(timers.insert(at(5), Waker::noop()));
    assert_eq!(timers.pending(), 1);
    timers.remove(key);
    assert_eq!(timers.pending(), 0);
    assert_eq!(timers.plan_sleep(Precision::Bound), Instant::FAR_FUTURE);
    assert_eq!(timers.next_hint(), Instant::FAR_FUTURE);
}

#[test]
fn reset_keeps_the_waker() {
    let timers = Timers::new(1, at(0));
    let counted = Arc::new(Counted::default());
    let key = key_of(timers.insert(at(5), &Waker::from(counted.clone())));
    let key = key_of(timers.reset(key, at(9)).unwrap());
    let mut wakes = WakeBatch::new();
    timers.fire(at(8), &mut wakes);
    assert!(wakes.is_empty());
    timers.fire(at(9), &mut wakes);
    wakes.wake_all();
    assert_eq!(counted.0.load(Ordering::Relaxed), 1);
    assert_eq!(timers.reset(key, at(10)), None, "it has fired");
    assert_eq!(timers.update(key, Waker::noop()), Touched::Gone);
}

#[test]
fn more_than_a_turn_may_fire_stays_due() {
    let timers = Timers::new(1, at(0));
    for _ in 0..FIRED_MAX + 1 {
        let _ = timers.insert(at(1), Waker::noop());
    }
    let mut wakes = WakeBatch::new();
    timers.fire(at(2), &mut wakes);
    assert_eq!(wakes.len(), FIRED_MAX);
    assert!(timers.next_hint() <= at(2), "the next sleep is none");
    assert!(timers.plan_sleep(Precision::Bound) <= at(2));
    timers.fire(at(2), &mut wakes);
    assert_eq!(wakes.len(), FIRED_MAX + 1);
}

#[test]
fn after_shutdown_nothing_is_pending_and_nothing_goes_in() {
    let timers = Timers::new(2, at(0));
    let counted = Arc::new(Counted::default());
    let key = key_of(timers.insert(at(5), &Waker::from(counted.clone())));
    let mut wakes = WakeBatch::new();
    timers.shutdown(&mut wakes);
    wakes.wake_all();
    assert_eq!(counted.0.load(Ordering::Relaxed), 1);
    assert_eq!(timers.insert(at(6), Waker::noop()), Inserted::Closed);
    timers.remove(key);
    assert_eq!(timers.pending(), 0);
}

/// The last reference to a task may be its waker, and dropping it may drop a `Sleep`: of the same shard.
#[test]
fn a_waker_that_touches_the_timers_when_it_drops_does_not_deadlock() {
    struct Nested(Arc<Timers>, TimerKey);
    impl Wake for Nested {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Nested {
        fn drop(&mut self) {
            self.0.remove(self.1);
        }
    }
    let timers = Arc::new(Timers::new(1, at(0)));
    let nested = || {
        let inner = key_of(timers.insert(at(7), Waker::noop()));
        Waker::from(Arc::new(Nested(timers.clone(), inner)))
    };
    let key = key_of(timers.insert(at(5), &nested()));
    assert_eq!(timers.update(key, &nested()), Touched::Pending);
    timers.remove(key);
    assert_eq!(timers.pending(), 0);
}

#[test]
fn threads_set_and_cancel_while_the_driver_fires() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 5_000;
    let timers = Arc::new(Timers::new(2, Instant::now_real()));
    let counted = Arc::new(Counted::default());
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (timers, waker) = (timers.clone(), Waker::from(counted.clone()));
            std::thread::spawn(move || {
                let mut cancelled = 0;
                for round in 0..ROUNDS {
                    let far = Duration::from_micros((round * 7 % 300) as u64);
                    let key = key_of(timers.insert(Instant::now_real() + far, &waker));
                    if round % 3 == 0 && timers.update(key, &waker) == Touched::Pending {
                        // It may fire between the two; `reset` says which it was.
                        if timers.reset(key, Instant::FAR_FUTURE).is_some() {
                            cancelled += 1;
                        }
                    }
                }
                cancelled
            })
        })
        .collect();
    let mut wakes = WakeBatch::new();
    while threads.iter().any(|thread| !thread.is_finished()) {
        timers.fire(Instant::now_real(), &mut wakes);
        wakes.wake_all();
    }
    let cancelled: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    while timers.pending() > cancelled {
        timers.fire(Instant::now_real(), &mut wakes);
        wakes.wake_all();
    }
    assert_eq!(counted.0.load(Ordering::Relaxed), THREADS * ROUNDS - cancelled);
}
