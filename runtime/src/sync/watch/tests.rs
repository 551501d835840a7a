//! What counts as seen, who is told, and how the channel ends.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use super::*;
use crate::coop;
use crate::sync::spy::{OnDrop, OnWake, Spy, is_send, is_sync, is_unpin, is_unwind_safe};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Poll, Waker};

fn panics(f: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

#[test]
fn the_first_value_counts_as_seen_and_the_next_does_not() {
    let (tx, mut rx) = channel(1);
    assert!(!rx.has_changed().unwrap());
    assert!(Spy::new(rx.changed()).poll().is_pending());
    tx.send(2).unwrap();
    assert!(rx.has_changed().unwrap());
    Spy::new(rx.changed()).output().unwrap();
    assert!(!rx.has_changed().unwrap());
    assert_eq!(*rx.borrow(), 2);
}

#[test]
fn a_waiting_receiver_is_woken_once_and_many_values_are_one_change() {
    let (tx, mut rx) = channel(1);
    let mut changed = Spy::waiting(rx.changed());
    for value in 2..9 {
        tx.send(value).unwrap();
    }
    assert_eq!(changed.wakes(), 1);
    changed.output().unwrap();
    drop(changed);
    assert_eq!(*rx.borrow(), 8);
    assert!(Spy::new(rx.changed()).poll().is_pending());
}

#[test]
fn the_same_value_again_is_a_change() {
    let (tx, rx) = channel(1);
    tx.send(1).unwrap();
    assert!(rx.has_changed().unwrap());
}

#[test]
fn borrowing_counts_as_seen_only_with_update() {
    let (tx, mut rx) = channel(1);
    assert!(!rx.borrow().has_changed() && !tx.borrow().has_changed());
    tx.send(2).unwrap();
    assert!(rx.borrow().has_changed() && rx.borrow().has_changed() && !tx.borrow().has_changed());
    assert!(rx.borrow_and_update().has_changed() && !rx.borrow_and_update().has_changed());
    assert_eq!((*tx.borrow(), *rx.borrow()), (2, 2));
    tx.send(3).unwrap();
    drop(tx);
    assert!(rx.borrow().has_changed(), "closed or not");
}

#[test]
fn marks_change_what_counts_as_seen() {
    let (tx, mut rx) = channel(1);
    rx.mark_changed();
    assert!(rx.has_changed().unwrap());
    rx.mark_changed();
    Spy::new(rx.changed()).output().unwrap();
    assert!(!rx.has_changed().unwrap());
    tx.send(2).unwrap();
    rx.mark_unchanged();
    assert!(Spy::new(rx.changed()).poll().is_pending());
    drop(tx);
    rx.mark_changed();
    assert!(Spy::new(rx.changed()).output().is_ok() && Spy::new(rx.changed()).output().is_err());
}

#[test]
fn a_clone_has_seen_what_the_original_has_and_a_new_one_has_seen_all() {
    let (tx, mut rx) = channel(1);
    tx.send(2).unwrap();
    let before = rx.clone();
    rx.mark_unchanged();
    assert!(before.has_changed().unwrap() && !rx.clone().has_changed().unwrap());
    assert!(!tx.subscribe().has_changed().unwrap());
}

#[test]
fn without_receivers_send_fails_and_the_others_do_not() {
    let (tx, rx) = channel(1);
    drop(rx);
    assert_eq!(tx.send(2), Err(error::SendError(2)));
    assert_eq!(*tx.borrow(), 1);
    assert_eq!(tx.send_replace(3), 1);
    tx.send_modify(|value| *value += 1);
    assert!(tx.send_if_modified(|value| std::mem::replace(value, 5) == 4));
    let rx = tx.subscribe();
    assert_eq!(*rx.borrow(), 5);
    assert!(!rx.has_changed().unwrap());
    tx.send(6).unwrap();
    assert!(rx.has_changed().unwrap());
}

#[test]
fn a_change_without_a_true_is_silent() {
    let (tx, mut rx) = channel(1);
    let changed = Spy::waiting(rx.changed());
    assert!(!tx.send_if_modified(|value| {
        *value = 2;
        false
    }));
    assert_eq!(changed.wakes(), 0);
    drop(changed);
    assert_eq!(*rx.borrow(), 2);
    assert!(!rx.has_changed().unwrap() && !rx.borrow().has_changed());
}

#[test]
fn a_panic_while_modifying_leaves_the_channel_usable_and_tells_nobody() {
    let (tx, mut rx) = channel(1);
    let mut waiting = rx.clone();
    let mut changed = Spy::waiting(waiting.changed());
    assert!(panics(|| tx.send_modify(|value| {
        *value = 2;
        panic!("on purpose");
    })));
    assert!(panics(|| {
        tx.send_if_modified(|_| panic!("on purpose"));
    }));
    assert_eq!(changed.wakes(), 0);
    assert_eq!(*rx.borrow_and_update(), 2, "as it was left");
    tx.send(3).unwrap();
    changed.output().unwrap();
    assert_eq!(*rx.borrow(), 3);
}

#[test]
fn a_panic_while_judging_a_value_leaves_the_channel_usable() {
    let (tx, mut rx) = channel(1);
    assert!(panics(|| drop(Spy::new(rx.wait_for(|_| panic!("on purpose"))).poll())));
    tx.send(2).unwrap();
    assert_eq!(*Spy::new(rx.wait_for(|value| *value == 2)).output().unwrap(), 2);
}

#[test]
fn a_cancelled_wait_has_seen_nothing_and_leaves_nothing_behind() {
    let (tx, mut rx) = channel(1);
    let changed = Spy::waiting(rx.changed());
    assert_eq!((changed.wakers(), changed.cancel()), (1, 0));
    let changed = Spy::waiting(rx.changed());
    tx.send(2).unwrap();
    assert_eq!((changed.wakes(), changed.cancel()), (1, 0));
    assert!(rx.has_changed().unwrap());
    let waited = Spy::waiting(rx.wait_for(|value| *value == 3));
    tx.send(3).unwrap();
    assert_eq!(waited.cancel(), 0);
    assert!(rx.has_changed().unwrap(), "3 was never met");
    let closed = Spy::waiting(tx.closed());
    assert_eq!((closed.wakers(), closed.cancel()), (1, 0));
}

#[test]
fn waiting_for_a_value_looks_at_the_present_one_first() {
    let (tx, mut rx) = channel(1);
    tx.send(2).unwrap();
    {
        let mut wait = Spy::new(rx.wait_for(|value| *value == 2));
        let value = wait.output().unwrap();
        assert!(*value == 2 && value.has_changed());
    }
    assert!(!rx.has_changed().unwrap());
    assert!(!Spy::new(rx.wait_for(|_| true)).output().unwrap().has_changed(), "seen or not");
}

#[test]
fn waiting_for_a_value_passes_over_those_that_are_declined() {
    let (tx, mut rx) = channel(0);
    let met = std::cell::RefCell::new(Vec::new());
    let mut wait = Spy::waiting(rx.wait_for(|value| {
        met.borrow_mut().push(*value);
        *value >= 3
    }));
    tx.send(1).unwrap();
    assert!(wait.poll().is_pending());
    tx.send(2).unwrap();
    tx.send(3).unwrap();
    assert_eq!(*wait.output().unwrap(), 3);
    drop(wait);
    assert_eq!(*met.borrow(), [0, 1, 3]);
}

#[test]
fn waiting_for_a_value_ends_when_the_last_was_declined() {
    let (tx, mut rx) = channel(0);
    let mut met = Vec::new();
    let mut wait = Spy::waiting(rx.wait_for(|value| {
        met.push(*value);
        false
    }));
    tx.send(1).unwrap();
    drop(tx);
    assert!(wait.output().is_err());
    drop(wait);
    assert_eq!(met, [0, 1]);
    assert!(Spy::new(rx.wait_for(|value| *value == 1)).output().is_ok(), "the last value stays");
    assert!(Spy::new(rx.wait_for(|_| false)).output().is_err());
}

#[test]
fn the_end_comes_after_the_last_value() {
    let (tx, mut rx) = channel(1);
    let second = tx.clone();
    assert_eq!((tx.sender_count(), tx.receiver_count()), (2, 1));
    let mut changed = Spy::waiting(rx.changed());
    drop(tx);
    assert_eq!(changed.wakes(), 0);
    second.send(2).unwrap();
    drop(second);
    assert_eq!(changed.wakes(), 1);
    assert!(changed.output().is_ok());
    drop(changed);
    assert!(rx.has_changed().is_err() && rx.is_closed());
    assert!(Spy::new(rx.changed()).output().is_err());
    assert_eq!(*rx.borrow(), 2);
}

#[test]
fn who_waits_is_told_of_the_end() {
    let (tx, mut rx) = channel(1);
    let mut others: Vec<_> = (0..20).map(|_| rx.clone()).collect();
    let mut waits: Vec<_> = others.iter_mut().map(|rx| Spy::waiting(rx.changed())).collect();
    let mut wait = Spy::waiting(rx.changed());
    drop(tx);
    assert!(waits.iter().all(|wait| wait.wakes() == 1));
    assert!(waits.iter_mut().all(|wait| wait.output().is_err()) && wait.output().is_err());
}

#[test]
fn a_sender_hears_that_nobody_is_there() {
    let (tx, rx) = channel(1);
    let second = rx.clone();
    let mut closed = Spy::waiting(tx.closed());
    drop(rx);
    assert!(closed.poll().is_pending() && !tx.is_closed());
    drop(second);
    assert!(closed.wakes() == 1 && tx.is_closed());
    let third = tx.subscribe();
    assert!(closed.poll().is_pending(), "it was open again");
    drop(third);
    assert!(closed.poll().is_ready() && Spy::new(tx.closed()).poll().is_ready());
}

/// More receivers than crowds: each is told of each change exactly once, wherever it stands.
#[test]
fn every_receiver_is_told_of_every_change_once() {
    let tx = Sender::new(0);
    let mut receivers: Vec<_> = (0..100).map(|_| tx.subscribe()).collect();
    for value in 1..4 {
        let mut waits: Vec<_> = receivers.iter_mut().map(|rx| Spy::waiting(rx.changed())).collect();
        waits.drain(..10);
        tx.send(value).unwrap();
        assert!(waits.iter().all(|wait| wait.wakes() == 1));
        assert!(waits.iter_mut().all(|wait| wait.output().is_ok()));
        drop(waits);
        receivers.iter_mut().for_each(Receiver::mark_unchanged);
    }
    assert_eq!(tx.receiver_count(), 100);
}

#[test]
fn the_last_waker_counts() {
    let (tx, mut rx) = channel(0);
    let mut changed = Spy::waiting(rx.changed());
    assert!(changed.poll_with(Waker::noop()).is_pending());
    assert_eq!(changed.wakers(), 0);
    assert!(changed.poll().is_pending());
    tx.send(1).unwrap();
    assert_eq!(changed.wakes(), 1);
}

/// A value whose drop looks at the channel that it was in: it must not be dropped under the channel's lock.
#[test]
fn old_values_are_dropped_under_no_lock_and_none_is_left() {
    struct Looks(Arc<()>, Option<Receiver<Option<Looks>>>);
    impl Drop for Looks {
        fn drop(&mut self) {
            if let Some(rx) = &self.1 {
                assert!(rx.borrow().is_none() && Arc::strong_count(&self.0) >= 2);
            }
        }
    }
    let alive = Arc::new(());
    let (tx, rx) = channel(None);
    tx.send(Some(Looks(alive.clone(), Some(rx.clone())))).unwrap();
    tx.send(None).unwrap();
    assert_eq!(Arc::strong_count(&alive), 1);
    tx.send(Some(Looks(alive.clone(), None))).unwrap();
    assert!(tx.send_replace(None).is_some());
    tx.send(Some(Looks(alive.clone(), None))).unwrap();
    drop((tx, rx));
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn foreign_code_runs_under_no_lock() {
    let (tx, mut rx) = channel(0);
    let touch = {
        let (tx, rx) = (tx.clone(), std::sync::Mutex::new(rx.clone()));
        move || {
            tx.send_modify(|value| *value += 1);
            let _ = Spy::new(rx.lock().unwrap().changed()).poll();
        }
    };
    let touch = Arc::new(touch);
    let (waking, dropping) = (touch.clone(), touch);
    let on_wake = Waker::from(Arc::new(OnWake(move || waking())));
    let mut changed = Spy::new(rx.changed());
    assert!(changed.poll_with(&on_wake).is_pending());
    tx.send(10).unwrap();
    assert!(changed.poll().is_ready());
    drop(changed);
    rx.mark_unchanged();
    let on_drop = Waker::from(Arc::new(OnDrop(move || dropping())));
    let mut changed = Spy::new(rx.changed());
    assert!(changed.poll_with(&on_drop).is_pending());
    drop(on_drop);
    assert!(changed.poll_with(Waker::noop()).is_pending());
    assert!(changed.poll().is_ready(), "the drop of the first waker sent");
}

#[test]
fn every_change_costs_a_step_of_the_budget() {
    let (tx, mut rx) = channel(0);
    coop::with_budget(|| {
        let mut step = || {
            tx.send(1).unwrap();
            Spy::new(rx.changed()).poll().is_ready()
        };
        assert_eq!((0..1000).take_while(|_| step()).count(), usize::from(coop::BUDGET));
    });
    coop::with_budget(|| {
        let mut step = || Spy::new(rx.wait_for(|_| true)).poll().is_ready();
        assert_eq!((0..1000).take_while(|_| step()).count(), usize::from(coop::BUDGET));
    });
    drop(rx);
    coop::with_budget(|| {
        let step = || Spy::new(tx.closed()).poll().is_ready();
        assert_eq!((0..1000).take_while(|_| step()).count(), usize::from(coop::BUDGET));
    });
}

#[test]
fn handles_know_their_channel() {
    let ((tx, rx), (other, stranger)) = (channel(0), channel(0));
    assert!(tx.same_channel(&tx.clone()) && !tx.same_channel(&other));
    assert!(rx.same_channel(&tx.subscribe()) && !rx.same_channel(&stranger));
    assert_eq!(*Sender::<u8>::default().borrow(), 0);
}

#[test]
fn the_errors_and_handles_print() {
    let (tx, rx) = channel(7);
    assert!(format!("{tx:?}").contains("value") && format!("{rx:?}").contains("seen"));
    assert_eq!(format!("{:?}", rx.borrow()), "Ref { value: 7, has_changed: false }");
    assert_eq!(error::SendError(NoDebug).to_string(), "channel closed");
    assert_eq!(format!("{:?}", error::SendError(NoDebug)), "SendError { .. }");
    drop(tx);
    assert_eq!(rx.has_changed().unwrap_err().to_string(), "channel closed");
}

struct NoDebug;

#[test]
fn the_handles_are_what_they_promise() {
    is_send::<Sender<u8>>();
    is_sync::<Sender<u8>>();
    is_unpin::<Sender<u8>>();
    is_unwind_safe::<Sender<u8>>();
    is_send::<Receiver<u8>>();
    is_sync::<Receiver<u8>>();
    is_unpin::<Receiver<u8>>();
    is_unwind_safe::<Receiver<u8>>();
    is_sync::<Ref<'_, u8>>();
    fn futures_are_send(tx: &Sender<u8>, rx: &mut Receiver<u8>) {
        fn check(_: impl Send) {}
        check(tx.closed());
        check(rx.changed());
    }
    let _ = futures_are_send;
}

/// Several senders, more receivers than crowds, some giving up: nobody ever goes back, and all meet the last value.
#[test]
fn threads_see_ever_newer_values_and_in_the_end_the_last() {
    const SENDS: u64 = 3_000;
    let (tx, rx) = channel(0_u64);
    let reader = |mut rx: Receiver<u64>, seed: u64| {
        move || {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut last = 0;
            loop {
                if rng.u8(..) < 32 {
                    let _ = Spy::new(rx.changed()).poll(); // gives up, unless it is ready
                }
                let ended = futures_lite::future::block_on(rx.changed()).is_err();
                let now = *rx.borrow_and_update();
                assert!(now >= last, "{now} after {last}");
                last = now;
                if ended {
                    return last;
                }
            }
        }
    };
    let readers: Vec<_> = (0..10).map(|seed| std::thread::spawn(reader(rx.clone(), seed))).collect();
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let tx = tx.clone();
            std::thread::spawn(move || (0..SENDS).for_each(|_| tx.send_modify(|value| *value += 1)))
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    drop(tx);
    for reader in readers {
        assert_eq!(reader.join().unwrap(), 2 * SENDS);
    }
    assert!(matches!(Spy::new(rx.clone().wait_for(|_| true)).poll(), Poll::Ready(Ok(_))));
}
