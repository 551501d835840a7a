//! The sleep protocol under every interleaving that loom can make.

use super::*;
use loom::sync::Arc;
use loom::thread;

fn at(ms: u64) -> Instant {
    Instant::from_virtual_ns(ms * 1_000_000)
}

fn unparks(inserted: Inserted) -> bool {
    matches!(inserted, Inserted::UnparkDriver(_))
}

/// Whatever the order: the driver plans with the new deadline, or it is unparked.
#[test]
fn loom_a_timer_is_planned_for_or_unparks() {
    loom::model(|| {
        let timers = Arc::new(Timers::new(2, at(0)));
        let inserting = {
            let timers = timers.clone();
            thread::spawn(move || unparks(timers.insert_into(0, at(5), Waker::noop().clone())))
        };
        let planned = timers.plan_sleep(Precision::Bound);
        let unparked = inserting.join().unwrap();
        assert!(planned <= at(5) || unparked, "the driver sleeps until {planned:?} and nobody unparks it");
    });
}

/// The driver goes to sleep for the second time, with the word of its first sleep still in the caches.
#[test]
fn loom_a_second_sleep_is_planned_as_well() {
    loom::model(|| {
        let timers = Arc::new(Timers::new(1, at(0)));
        let _ = timers.insert_into(0, at(9), Waker::noop().clone());
        let inserting = {
            let timers = timers.clone();
            thread::spawn(move || unparks(timers.insert_into(0, at(5), Waker::noop().clone())))
        };
        let first = timers.plan_sleep(Precision::Bound);
        timers.awake();
        let second = timers.plan_sleep(Precision::Bound);
        let unparked = inserting.join().unwrap();
        assert!(second <= at(5) || unparked, "slept until {first:?}, then {second:?}");
    });
}

/// Two threads and one shard: the earlier deadline counts, whoever is first.
#[test]
fn loom_the_earlier_of_two_timers_is_kept() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let timers = Arc::new(Timers::new(1, at(0)));
        let threads: Vec<_> = [5, 7]
            .into_iter()
            .map(|ms| {
                let timers = timers.clone();
                thread::spawn(move || unparks(timers.insert_into(0, at(ms), Waker::noop().clone())))
            })
            .collect();
        let planned = timers.plan_sleep(Precision::Bound);
        let unparked = threads.into_iter().fold(false, |any, thread| thread.join().unwrap() | any);
        assert!(planned <= at(5) || unparked);
        timers.awake();
        assert_eq!(timers.plan_sleep(Precision::Bound), at(5));
    });
}
