//! The sleep protocol under every interleaving that loom can make.

use super::shard::Set;
use super::*;
use crate::clock::VirtualClock;
use loom::thread;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

fn at(ms: u64) -> Instant {
    Instant::from_virtual_ns(ms * 1_000_000)
}

/// Whether the driver was unparked; read when all threads are joined, so the model need not know of it.
#[derive(Default)]
struct Unparked(AtomicBool);

impl Wake for Unparked {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn timers() -> (Arc<Timers>, Arc<Unparked>) {
    let unparked = Arc::new(Unparked::default());
    let clock = Clock::Virtual(VirtualClock::new());
    (Arc::new(Timers::new(1, clock, Waker::from(unparked.clone()))), unparked)
}

fn set(timers: &Timers, ms: u64) {
    let set = timers.here().set(at(ms), at(0), Waker::noop());
    assert!(matches!(set, Set::Pending(_)));
}

/// Whatever the order: the driver plans with the new deadline, or it is unparked.
#[test]
fn loom_a_timer_is_planned_for_or_unparks() {
    loom::model(|| {
        let (timers, unparked) = timers();
        let inserting = {
            let timers = timers.clone();
            thread::spawn(move || set(&timers, 5))
        };
        let planned = timers.plan_sleep(Precision::Bound);
        inserting.join().unwrap();
        let unparked = unparked.0.load(Ordering::Relaxed);
        assert!(planned <= at(5) || unparked, "the driver sleeps until {planned:?} and nobody unparks it");
    });
}

/// The driver goes to sleep for the second time, with the word of its first sleep still in the caches.
#[test]
fn loom_a_second_sleep_is_planned_as_well() {
    loom::model(|| {
        let (timers, unparked) = timers();
        set(&timers, 9);
        let inserting = {
            let timers = timers.clone();
            thread::spawn(move || set(&timers, 5))
        };
        let first = timers.plan_sleep(Precision::Bound);
        timers.awake();
        let second = timers.plan_sleep(Precision::Bound);
        inserting.join().unwrap();
        let unparked = unparked.0.load(Ordering::Relaxed);
        assert!(second <= at(5) || unparked, "slept until {first:?}, then {second:?}");
    });
}

/// Two threads and one shard: the earlier deadline counts, whoever is first.
#[test]
fn loom_the_earlier_of_two_timers_is_kept() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (timers, unparked) = timers();
        let threads: Vec<_> = [5, 7]
            .into_iter()
            .map(|ms| {
                let timers = timers.clone();
                thread::spawn(move || set(&timers, ms))
            })
            .collect();
        let planned = timers.plan_sleep(Precision::Bound);
        for thread in threads {
            thread.join().unwrap();
        }
        let unparked = unparked.0.load(Ordering::Relaxed);
        assert!(planned <= at(5) || unparked);
        timers.awake();
        assert_eq!(timers.plan_sleep(Precision::Bound), at(5));
    });
}
