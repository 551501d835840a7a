//! Notifiers against waiters that come and go, under every interleaving that loom can make.

use super::*;
use crate::sync::block_on::{block_on, poll_once};
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;

fn model(check: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(check);
}

#[test]
fn loom_notify_one_is_never_missed() {
    loom::model(|| {
        let notify = Arc::new(Notify::new());
        let notifier = thread::spawn({
            let notify = notify.clone();
            move || notify.notify_one()
        });
        block_on(notify.notified());
        notifier.join().unwrap();
        assert!(!poll_once(&mut notify.notified()), "once");
    });
}

#[test]
fn loom_notify_waiters_reaches_whoever_exists() {
    loom::model(|| {
        let notify = Arc::new(Notify::new());
        let notified = notify.clone().notified_owned();
        let notifier = thread::spawn({
            let notify = notify.clone();
            move || notify.notify_waiters()
        });
        block_on(notified);
        notifier.join().unwrap();
        assert!(!poll_once(&mut notify.notified()), "nothing is kept");
    });
}

/// Two notifications, two waiters that may both be between looking and waiting.
#[test]
fn loom_two_notifications_for_two_enabled_waiters() {
    model(|| {
        let notify = Arc::new(Notify::new());
        let mut first = notify.clone().notified_owned();
        let mut second = notify.clone().notified_owned();
        assert!(!Pin::new(&mut first).enable() && !Pin::new(&mut second).enable());
        let notifiers = [Notify::notify_one, Notify::notify_last].map(|tell| {
            let notify = notify.clone();
            thread::spawn(move || tell(&notify))
        });
        block_on(first);
        block_on(second);
        notifiers.into_iter().for_each(|notifier| notifier.join().unwrap());
    });
}

/// The first of two gives up at any moment: the second is told, by the notifier or by the first.
#[test]
fn loom_a_waiter_that_gives_up_passes_it_on() {
    model(|| {
        let notify = Arc::new(Notify::new());
        let mut first = notify.clone().notified_owned();
        assert!(!poll_once(&mut first));
        let second = thread::spawn({
            let notify = notify.clone();
            move || block_on(notify.notified())
        });
        let notifier = thread::spawn({
            let notify = notify.clone();
            move || notify.notify_one()
        });
        drop(first);
        second.join().unwrap();
        notifier.join().unwrap();
        assert!(!poll_once(&mut notify.notified()), "it was given once");
    });
}

/// One notifier tells all, another tells one; whoever gives up in between does not lose the one's.
#[test]
fn loom_notify_one_beside_notify_waiters() {
    model(|| {
        let notify = Arc::new(Notify::new());
        let mut waiter = notify.clone().notified_owned();
        assert!(!poll_once(&mut waiter));
        let one = thread::spawn({
            let notify = notify.clone();
            move || notify.notify_one()
        });
        let all = thread::spawn({
            let notify = notify.clone();
            move || notify.notify_waiters()
        });
        drop(waiter);
        one.join().unwrap();
        all.join().unwrap();
        // Told alone it passed it on; told with all, or gone before, the permit found nobody.
        assert!(poll_once(&mut notify.notified()));
    });
}

/// What a notifier wrote before is seen by who was notified, also when its permit became one with another's.
#[test]
fn loom_both_who_gave_one_permit_happen_before_it_is_taken() {
    loom::model(|| {
        let world = Arc::new((Notify::new(), AtomicUsize::new(0), AtomicBool::new(false)));
        let notifier = thread::spawn({
            let world = world.clone();
            move || {
                world.1.store(1, Ordering::Relaxed);
                world.0.notify_one();
                world.2.store(true, Ordering::Relaxed);
            }
        });
        world.0.notify_one();
        // Relaxed: it says that both have given, and orders nothing.
        if world.2.load(Ordering::Relaxed) {
            block_on(world.0.notified());
            assert_eq!(world.1.load(Ordering::Relaxed), 1);
        }
        notifier.join().unwrap();
    });
}
