//! Who is told of what, and what becomes of it when they do not look.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use super::*;
use crate::atomic::Mutex as PlainMutex;
use crate::coop;
use crate::sync::spy::{OnDrop, OnWake, Spy, is_send, is_sync, is_unpin, is_unwind_safe};
use std::collections::VecDeque;

fn nobody_waits(notify: &Notify) -> bool {
    notify.waiters.lock().is_empty()
}

#[test]
fn a_permit_is_kept_for_the_next_and_only_one() {
    let notify = Notify::new();
    notify.notify_one();
    notify.notify_last();
    notify.notify_one();
    assert!(Spy::new(notify.notified()).poll().is_ready());
    assert!(Spy::new(notify.notified()).poll().is_pending());
    assert!(nobody_waits(&notify));
}

#[test]
fn one_is_told_the_longest_waiting_first() {
    let notify = Notify::new();
    let mut waiters: Vec<_> = (0..3).map(|_| Spy::waiting(notify.notified())).collect();
    for told in 1..=3 {
        notify.notify_one();
        let wakes: Vec<_> = waiters.iter().map(Spy::wakes).collect();
        assert_eq!(wakes, (0..3).map(|n| usize::from(n < told)).collect::<Vec<_>>());
    }
    assert!(waiters.iter_mut().all(|waiter| waiter.poll().is_ready()));
    assert!(Spy::new(notify.notified()).poll().is_pending(), "no permit is left over");
}

#[test]
fn notify_last_tells_who_came_last() {
    let notify = Notify::new();
    let mut waiters: Vec<_> = (0..3).map(|_| Spy::waiting(notify.notified())).collect();
    notify.notify_last();
    notify.notify_one();
    assert!(waiters[2].poll().is_ready() && waiters[0].poll().is_ready() && waiters[1].poll().is_pending());
    notify.notify_last();
    assert!(waiters[1].poll().is_ready());
}

#[test]
fn notify_waiters_tells_all_that_exist_and_keeps_nothing() {
    let notify = Notify::new();
    let mut polled: Vec<_> = (0..40).map(|_| Spy::waiting(notify.notified())).collect();
    let mut unpolled = Spy::new(notify.notified());
    notify.notify_waiters();
    let mut later = Spy::new(notify.notified());
    assert!(polled.iter().all(|waiter| waiter.wakes() == 1));
    assert!(polled.iter_mut().all(|waiter| waiter.poll().is_ready()));
    assert!(unpolled.poll().is_ready() && later.poll().is_pending());
}

#[test]
fn who_was_told_with_all_leaves_the_permit_to_another() {
    let notify = Notify::new();
    let mut early = Spy::new(notify.notified());
    notify.notify_one();
    notify.notify_waiters();
    assert!(early.poll().is_ready());
    assert!(Spy::new(notify.notified()).poll().is_ready(), "the permit is still there");
    assert!(Spy::new(notify.notified()).poll().is_pending());
}

#[test]
fn a_told_waiter_that_is_dropped_passes_it_to_the_next_in_the_same_order() {
    let notify = Notify::new();
    let mut waiters: Vec<_> = (0..4).map(|_| Spy::waiting(notify.notified())).collect();
    notify.notify_one();
    drop(waiters.remove(0));
    assert_eq!(waiters.iter().map(Spy::wakes).collect::<Vec<_>>(), [1, 0, 0]);
    assert!(waiters.remove(0).poll().is_ready());
    let third = Spy::waiting(notify.notified());
    notify.notify_last();
    assert_eq!(third.wakes(), 1);
    drop(third);
    assert_eq!(waiters.iter().map(Spy::wakes).collect::<Vec<_>>(), [0, 1], "the last of those who are left");
}

#[test]
fn what_nobody_is_there_to_take_over_becomes_the_permit() {
    for tell in [Notify::notify_one, Notify::notify_last] {
        let notify = Notify::new();
        let waiter = Spy::waiting(notify.notified());
        tell(&notify);
        drop(waiter);
        assert!(Spy::new(notify.notified()).poll().is_ready());
        assert!(Spy::new(notify.notified()).poll().is_pending());
    }
}

#[test]
fn what_all_were_told_is_not_passed_on() {
    let notify = Notify::new();
    let waiter = Spy::waiting(notify.notified());
    notify.notify_waiters();
    drop(waiter);
    assert!(Spy::new(notify.notified()).poll().is_pending());
}

#[test]
fn told_alone_and_then_with_all_it_still_passes_on_what_it_was_told_alone() {
    let notify = Notify::new();
    let waiter = Spy::waiting(notify.notified());
    notify.notify_one();
    notify.notify_waiters();
    drop(waiter);
    assert!(Spy::new(notify.notified()).poll().is_ready());
}

#[test]
fn a_waiter_that_leaves_is_forgotten_with_its_waker() {
    let notify = Notify::new();
    let (first, second) = (Spy::waiting(notify.notified()), Spy::waiting(notify.notified()));
    assert_eq!((first.wakers(), first.cancel()), (1, 0));
    assert!(!nobody_waits(&notify));
    assert_eq!(second.cancel(), 0);
    assert!(nobody_waits(&notify));
    notify.notify_one();
    assert!(Spy::new(notify.notified()).poll().is_ready(), "with nobody there it is kept");
}

#[test]
fn a_future_that_is_done_stays_done_and_passes_nothing_on() {
    let notify = Notify::new();
    let mut waiter = Spy::waiting(notify.notified());
    notify.notify_one();
    assert!(waiter.poll().is_ready() && waiter.poll().is_ready());
    assert!(waiter.pin().enable());
    drop(waiter);
    assert!(Spy::new(notify.notified()).poll().is_pending());
}

#[test]
fn enabling_enters_the_queue_without_a_waker() {
    let notify = Notify::new();
    let (mut first, mut second) = (Spy::new(notify.notified()), Spy::new(notify.notified()));
    assert!(!first.pin().enable() && !second.pin().enable());
    notify.notify_one();
    assert!(first.pin().enable() && !second.pin().enable());
    assert!(second.poll().is_pending(), "the waker takes the place of none");
    notify.notify_one();
    assert_eq!(second.wakes(), 1);
    assert!(first.poll().is_ready() && second.poll().is_ready());
}

#[test]
fn enabling_takes_the_permit_and_leaves_a_waker_where_it_is() {
    let notify = Notify::new();
    notify.notify_one();
    assert!(Spy::new(notify.notified()).pin().enable());
    let mut waiter = Spy::waiting(notify.notified());
    assert!(!waiter.pin().enable());
    notify.notify_one();
    assert_eq!(waiter.wakes(), 1);
}

#[test]
fn an_enabled_future_that_is_dropped_passes_on_too() {
    let notify = Notify::new();
    let mut enabled = Spy::new(notify.notified());
    assert!(!enabled.pin().enable());
    notify.notify_one();
    drop(enabled);
    assert!(Spy::new(notify.notified()).poll().is_ready());
}

#[test]
fn the_last_waker_counts() {
    let notify = Notify::new();
    let mut waiter = Spy::waiting(notify.notified());
    assert!(waiter.poll_with(Waker::noop()).is_pending());
    assert_eq!(waiter.wakers(), 0, "the one before was given back");
    assert!(waiter.poll().is_pending());
    notify.notify_one();
    assert_eq!(waiter.wakes(), 1);
}

#[test]
fn an_owned_future_keeps_its_notify() {
    let notify = Arc::new(Notify::new());
    let mut waiter = Spy::waiting(notify.clone().notified_owned());
    let weak = Arc::downgrade(&notify);
    notify.notify_one();
    drop(notify);
    assert!(weak.upgrade().is_some() && waiter.poll().is_ready());
    drop(waiter);
    assert!(weak.upgrade().is_none());
}

#[test]
fn an_owned_future_passes_on_and_enables_as_a_borrowed_one() {
    let notify = Arc::new(Notify::new());
    let mut first = Spy::new(notify.clone().notified_owned());
    let second = Spy::waiting(notify.clone().notified_owned());
    assert!(!first.pin().enable(), "behind the second");
    notify.notify_one();
    drop(second);
    assert!(first.pin().enable());
}

/// A waker may do anything when it is called or dropped, so neither happens under the lock.
#[test]
fn foreign_code_runs_under_no_lock() {
    static NOTIFY: Notify = Notify::const_new();
    let touch = || {
        NOTIFY.notify_waiters();
        NOTIFY.notify_one();
        assert!(Spy::new(NOTIFY.notified()).poll().is_ready());
    };
    let on_wake = Waker::from(Arc::new(OnWake(touch)));
    for tell in [Notify::notify_one, Notify::notify_last, Notify::notify_waiters] {
        let mut waiter = Spy::new(NOTIFY.notified());
        assert!(waiter.poll_with(&on_wake).is_pending());
        tell(&NOTIFY);
        assert!(waiter.poll().is_ready());
    }
    let mut replaced = Spy::new(NOTIFY.notified());
    assert!(replaced.poll_with(&Waker::from(Arc::new(OnDrop(touch)))).is_pending());
    assert!(replaced.poll_with(Waker::noop()).is_pending());
    assert!(replaced.poll().is_ready(), "the drop of the first waker told it");
    let mut left = Spy::new(NOTIFY.notified());
    assert!(left.poll_with(&Waker::from(Arc::new(OnDrop(touch)))).is_pending());
    drop(left);
}

#[test]
fn each_notification_costs_a_step_of_the_budget() {
    let notify = Notify::new();
    coop::with_budget(|| {
        let mut waiting = Spy::waiting(notify.notified());
        for _ in 0..1000 {
            assert!(waiting.poll().is_pending());
        }
        drop(waiting);
        let take = || {
            notify.notify_one();
            Spy::new(notify.notified()).poll().is_ready()
        };
        assert_eq!((0..1000).take_while(|_| take()).count(), usize::from(coop::BUDGET));
        assert!(Spy::new(notify.notified()).pin().enable(), "who only asks is told");
    });
}

#[test]
fn the_futures_are_what_they_promise() {
    is_send::<Notified<'_>>();
    is_sync::<Notified<'_>>();
    is_unpin::<Notified<'_>>();
    is_send::<OwnedNotified>();
    is_sync::<OwnedNotified>();
    is_unpin::<OwnedNotified>();
    is_unwind_safe::<Notify>();
}

/// The channel of the type's example, with receivers that give up at random.
#[test]
fn no_letter_is_left_behind_when_receivers_give_up() {
    const LETTERS: usize = 4_000;
    let world = Arc::new((PlainMutex::new(VecDeque::new()), Notify::new(), PlainMutex::new(0)));
    let receiver = |seed: u64| {
        let world = world.clone();
        move || {
            let (letters, came, received) = &*world;
            let mut rng = fastrand::Rng::with_seed(seed);
            while *received.lock() < LETTERS {
                let mut notified = Spy::new(came.notified());
                notified.pin().enable();
                if rng.bool() {
                    continue; // gives up, told or not
                }
                if letters.lock().pop_front().is_some() {
                    *received.lock() += 1;
                    continue;
                }
                while notified.poll().is_pending() && *received.lock() < LETTERS {
                    std::thread::yield_now();
                }
            }
        }
    };
    let threads: Vec<_> = (0..3).map(|seed| std::thread::spawn(receiver(seed))).collect();
    for letter in 0..LETTERS {
        world.0.lock().push_back(letter);
        world.1.notify_one();
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(nobody_waits(&world.1));
}

/// As many notifications as waits, from several threads, with nobody giving up: all waits end.
#[test]
fn threads_take_turns() {
    const TURNS: usize = 2_000;
    let sides = Arc::new([Notify::new(), Notify::new()]);
    let player = |me: usize| {
        let sides = sides.clone();
        move || {
            futures_lite::future::block_on(async {
                for _ in 0..TURNS {
                    sides[me].notified().await;
                    sides[1 - me].notify_one();
                }
            });
        }
    };
    let threads = [std::thread::spawn(player(0)), std::thread::spawn(player(1))];
    sides[0].notify_one();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
