//! Who receives what, what becomes of values that nobody has yet to see, and how the channel ends.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use super::error::{RecvError, SendError, TryRecvError};
use super::*;
use crate::coop;
use crate::sync::spy::{OnDrop, OnWake, Spy, is_send, is_sync, is_unpin, is_unwind_safe};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

fn drain<T: Clone>(rx: &mut Receiver<T>) -> Vec<T> {
    std::iter::from_fn(|| rx.try_recv().ok()).collect()
}

fn panic_text(f: impl FnOnce()) -> String {
    let payload: Box<dyn Any + Send> = catch_unwind(AssertUnwindSafe(f)).expect_err("it should panic");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast_ref::<&str>().expect("a text")).to_owned(),
    }
}

/// Counts its clones, and how many of it are alive.
struct Counted {
    clones: Arc<AtomicUsize>,
    alive: Arc<()>,
}

impl Counted {
    fn new() -> Counted {
        Counted { clones: Arc::default(), alive: Arc::default() }
    }

    /// The same once more, without counting it as a clone.
    fn another(&self) -> Counted {
        Counted { clones: self.clones.clone(), alive: self.alive.clone() }
    }

    /// How many are in the channel or with receivers, besides this.
    fn others(&self) -> usize {
        Arc::strong_count(&self.alive) - 1
    }
}

impl Clone for Counted {
    fn clone(&self) -> Counted {
        self.clones.fetch_add(1, Ordering::SeqCst);
        self.another()
    }
}

#[test]
fn every_receiver_receives_every_value_in_order() {
    let (tx, mut first) = channel(8);
    let mut second = tx.subscribe();
    for value in 0..5 {
        assert_eq!(tx.send(value).unwrap(), 2);
    }
    assert_eq!(drain(&mut first), [0, 1, 2, 3, 4]);
    assert_eq!(drain(&mut second), [0, 1, 2, 3, 4]);
    assert_eq!(first.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn a_receiver_begins_where_it_subscribes() {
    let (tx, mut first) = channel(8);
    tx.send(1).unwrap();
    let mut second = tx.subscribe();
    tx.send(2).unwrap();
    let mut third = first.resubscribe();
    tx.send(3).unwrap();
    assert_eq!(drain(&mut first), [1, 2, 3]);
    assert_eq!(drain(&mut second), [2, 3]);
    assert_eq!(drain(&mut third), [3]);
}

#[test]
fn a_lagging_receiver_hears_how_much_it_missed_and_goes_on_with_the_oldest() {
    let (tx, mut rx) = channel(2);
    for value in 0..7 {
        tx.send(value).unwrap();
    }
    assert_eq!((rx.len(), tx.len()), (7, 2));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Lagged(5)));
    assert_eq!(rx.try_recv(), Ok(5));
    tx.send(7).unwrap();
    tx.send(8).unwrap();
    assert_eq!(Spy::new(rx.recv()).output(), Err(RecvError::Lagged(1)));
    drop(tx);
    assert_eq!(drain(&mut rx), [7, 8]);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn the_capacity_is_rounded_up_to_a_power_of_two() {
    for (capacity, kept) in [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (9, 16)] {
        let (tx, mut rx) = channel(capacity);
        (0..kept).for_each(|value| assert!(tx.send(value).is_ok()));
        assert_eq!(rx.len(), kept);
        tx.send(kept).unwrap();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Lagged(1)), "capacity {capacity}");
        assert_eq!(drain(&mut rx), (1..=kept).collect::<Vec<_>>());
    }
}

#[test]
fn capacities_that_make_no_sense_are_refused_with_advice() {
    assert!(panic_text(|| drop(channel::<u8>(0))).contains("give it a capacity of 1 or more"));
    assert!(panic_text(|| drop(channel::<u8>(usize::MAX / 2 + 1))).contains("at most usize::MAX / 2"));
    assert!(panic_text(|| drop(Sender::<u8>::new(usize::MAX / 2))).contains("give it a smaller capacity"));
}

#[test]
fn a_waiting_receiver_is_told_once_and_the_longest_waiting_first() {
    let (tx, mut first) = channel(4);
    let mut second = tx.subscribe();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let named = |name| {
        let order = order.clone();
        Waker::from(Arc::new(OnWake(move || order.lock().unwrap().push(name))))
    };
    let (mut one, mut two) = (Spy::new(first.recv()), Spy::new(second.recv()));
    assert!(one.poll_with(&named(1)).is_pending() && two.poll_with(&named(2)).is_pending());
    tx.send(7).unwrap();
    tx.send(8).unwrap();
    assert_eq!(*order.lock().unwrap(), [1, 2]);
    assert_eq!((one.output(), two.output()), (Ok(7), Ok(7)));
}

#[test]
fn nobody_there_gives_the_value_back() {
    let (tx, rx) = channel(4);
    drop(rx);
    assert_eq!(tx.send(1), Err(SendError(1)));
    let mut rx = tx.subscribe();
    tx.send(2).unwrap();
    assert_eq!(drain(&mut rx), [2]);
    let tx = Sender::new(4);
    assert_eq!(tx.send(1), Err(SendError(1)));
    assert!(tx.is_empty() && tx.receiver_count() == 0);
}

#[test]
fn the_end_comes_after_the_last_value() {
    let (tx, mut rx) = channel(4);
    let second = tx.clone();
    tx.send(1).unwrap();
    drop(tx);
    assert!(!rx.is_closed());
    drop(second);
    assert!(rx.is_closed());
    assert_eq!(Spy::new(rx.recv()).output(), Ok(1));
    assert_eq!(Spy::new(rx.recv()).output(), Err(RecvError::Closed));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(rx.resubscribe().try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn who_waits_is_told_of_the_end() {
    let (tx, mut rx) = channel::<u8>(4);
    let weak = tx.downgrade();
    let mut recv = Spy::waiting(rx.recv());
    drop(tx);
    assert_eq!((recv.wakes(), recv.output()), (1, Err(RecvError::Closed)));
    assert!(weak.upgrade().is_none());
}

#[test]
fn weak_senders_do_not_keep_the_channel_open_but_become_strong_while_it_is() {
    let (tx, mut rx) = channel(4);
    let weak = tx.downgrade();
    let strong = weak.upgrade().unwrap();
    assert_eq!((tx.strong_count(), weak.strong_count(), rx.sender_strong_count()), (2, 2, 2));
    let another = weak.clone();
    assert_eq!((tx.weak_count(), weak.weak_count(), rx.sender_weak_count()), (2, 2, 2));
    drop((tx, another));
    strong.send(1).unwrap();
    drop(strong);
    assert_eq!((weak.strong_count(), weak.weak_count()), (0, 1));
    assert!(weak.upgrade().is_none());
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn the_last_who_is_to_see_a_value_gets_it_without_a_clone() {
    let value = Counted::new();
    let (tx, mut first) = channel(4);
    let mut second = tx.subscribe();
    assert!(tx.send(value.another()).is_ok());
    let one = first.try_recv().ok().unwrap();
    assert_eq!((value.clones.load(Ordering::SeqCst), value.others()), (1, 2));
    let two = second.try_recv().ok().unwrap();
    assert_eq!((value.clones.load(Ordering::SeqCst), value.others()), (1, 2), "the channel has none any more");
    drop((one, two));
    assert_eq!(value.others(), 0);
}

#[test]
fn values_go_when_they_are_overwritten_passed_over_or_left() {
    let value = Counted::new();
    let (tx, mut fast) = channel(2);
    let slow = tx.subscribe();
    for _ in 0..2 {
        assert!(tx.send(value.another()).is_ok());
        drop(fast.try_recv());
    }
    assert_eq!((value.others(), tx.len()), (2, 2), "the slow one has yet to see them");
    assert!(tx.send(value.another()).is_ok());
    assert_eq!(value.others(), 2, "one was overwritten");
    drop(slow);
    assert_eq!((value.others(), tx.len()), (1, 1), "what only the slow one was to see went with it");
    drop(tx);
    assert_eq!(value.others(), 1);
    drop(fast);
    assert_eq!(value.others(), 0);
}

#[test]
fn a_receiver_that_lags_can_go() {
    let value = Counted::new();
    let (tx, rx) = channel(2);
    let second = tx.subscribe();
    (0..5).for_each(|_| assert!(tx.send(value.another()).is_ok()));
    drop(rx);
    assert_eq!(value.others(), 2);
    drop(second);
    assert_eq!(value.others(), 0);
    assert!(tx.is_empty() && tx.is_empty());
}

#[test]
fn the_sender_knows_how_much_is_left_to_see() {
    let (tx, mut first) = channel(4);
    let mut second = tx.subscribe();
    for value in 0..6 {
        tx.send(value).unwrap();
    }
    assert_eq!((tx.len(), tx.is_empty(), first.is_empty()), (4, false, false));
    assert_eq!(drain(&mut first), [], "it lags");
    assert_eq!(drain(&mut first), [2, 3, 4, 5]);
    assert_eq!((tx.len(), first.is_empty()), (4, true));
    assert!(second.try_recv().is_err() && second.try_recv() == Ok(2));
    assert_eq!((tx.len(), second.len()), (3, 3));
    assert_eq!(drain(&mut second), [3, 4, 5]);
    assert!(tx.is_empty());
}

#[test]
fn a_clone_that_panics_counts_as_received_and_harms_nobody() {
    struct Bomb(bool);
    impl Clone for Bomb {
        fn clone(&self) -> Bomb {
            assert!(!self.0, "on purpose");
            Bomb(false)
        }
    }
    let (tx, mut first) = channel(4);
    let mut second = tx.subscribe();
    tx.send(Bomb(true)).ok().unwrap();
    tx.send(Bomb(false)).ok().unwrap();
    assert_eq!(panic_text(|| drop(first.try_recv())), "on purpose");
    assert!(first.try_recv().is_ok_and(|bomb| !bomb.0), "the next one");
    assert!(second.try_recv().is_ok_and(|bomb| bomb.0), "the last who is to see it does not clone");
    assert!(second.try_recv().is_ok() && tx.is_empty());
    let third = tx.subscribe();
    tx.send(Bomb(true)).ok().unwrap();
    assert_eq!(panic_text(|| drop(Spy::new(first.recv()).poll())), "on purpose");
    drop(third);
    drop(second);
    assert!(tx.is_empty());
}

/// A value whose drop uses the channel that it was in.
#[test]
fn values_are_dropped_under_no_lock() {
    #[derive(Clone)]
    struct Uses(Sender<Option<Uses>>);
    impl Drop for Uses {
        fn drop(&mut self) {
            let _ = self.0.send(None);
            drop(self.0.subscribe());
        }
    }
    let (tx, mut rx) = channel(1);
    let second = tx.subscribe();
    assert!(tx.send(Some(Uses(tx.clone()))).is_ok());
    assert!(tx.send(None).is_ok(), "overwritten");
    assert!(rx.try_recv().is_err());
    assert!(tx.send(Some(Uses(tx.clone()))).is_ok());
    drop(second);
    assert!(rx.try_recv().is_err() && rx.try_recv().is_ok_and(|value| value.is_some()));
    assert!(tx.send(Some(Uses(tx.clone()))).is_ok());
    drop(rx); // passed over
    assert!(tx.is_empty());
}

#[test]
fn a_drop_that_panics_does_not_hide_that_the_last_receiver_is_gone() {
    #[derive(Clone)]
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let (tx, rx) = channel(1);
    assert!(tx.send(Bomb).is_ok());
    let mut closed = Spy::waiting(tx.closed());
    assert_eq!(panic_text(|| drop(rx)), "on purpose");
    assert!(closed.wakes() == 1 && closed.poll().is_ready());
}

#[test]
fn a_cancelled_wait_has_received_nothing_and_leaves_nothing_behind() {
    let (tx, mut rx) = channel(4);
    let recv = Spy::waiting(rx.recv());
    assert_eq!((recv.wakers(), recv.cancel()), (1, 0));
    let recv = Spy::waiting(rx.recv());
    tx.send(1).unwrap();
    assert_eq!((recv.wakes(), recv.cancel()), (1, 0));
    assert_eq!(rx.try_recv(), Ok(1));
    let closed = Spy::waiting(tx.closed());
    assert_eq!((closed.wakers(), closed.cancel()), (1, 0));
}

#[test]
fn the_last_waker_counts() {
    let (tx, mut rx) = channel(4);
    let mut recv = Spy::waiting(rx.recv());
    assert!(recv.poll_with(Waker::noop()).is_pending());
    assert_eq!(recv.wakers(), 0);
    assert!(recv.poll().is_pending());
    tx.send(1).unwrap();
    assert_eq!((recv.wakes(), recv.output()), (1, Ok(1)));
}

#[test]
fn a_sender_hears_that_nobody_is_there() {
    let (tx, rx) = channel::<u8>(4);
    let second = tx.subscribe();
    let mut closed = Spy::waiting(tx.closed());
    drop(rx);
    assert!(closed.wakes() == 0 && closed.poll().is_pending());
    drop(second);
    assert_eq!(closed.wakes(), 1);
    let third = tx.subscribe();
    assert!(closed.poll().is_pending(), "it was open again");
    drop(third);
    assert!(closed.poll().is_ready() && Spy::new(tx.closed()).poll().is_ready());
}

#[test]
fn foreign_code_runs_under_no_lock() {
    let (tx, mut rx) = channel(4);
    let touch = {
        let tx = tx.clone();
        move || {
            tx.send(1).unwrap();
            let mut rx = tx.subscribe();
            let _ = Spy::new(rx.recv()).poll();
        }
    };
    let touch = Arc::new(touch);
    let (waking, dropping) = (touch.clone(), touch);
    let mut recv = Spy::new(rx.recv());
    assert!(recv.poll_with(&Waker::from(Arc::new(OnWake(move || waking())))).is_pending());
    tx.send(0).unwrap();
    assert_eq!(recv.output(), Ok(0));
    drop(recv);
    assert_eq!(drain(&mut rx), [1]);
    let mut recv = Spy::new(rx.recv());
    assert!(recv.poll_with(&Waker::from(Arc::new(OnDrop(move || dropping())))).is_pending());
    assert!(recv.poll_with(Waker::noop()).is_pending());
    assert_eq!(recv.output(), Ok(1), "the drop of the first waker sent");
}

#[test]
fn every_value_costs_a_step_of_the_budget() {
    let (tx, mut rx) = channel(4);
    coop::with_budget(|| {
        let mut step = || {
            tx.send(1).unwrap();
            Spy::new(rx.recv()).poll().is_ready()
        };
        assert_eq!((0..1000).take_while(|_| step()).count(), usize::from(coop::BUDGET));
        assert_eq!(rx.blocking_recv(), Ok(1), "a thread has none");
    });
    drop(rx);
    coop::with_budget(|| {
        let step = || Spy::new(tx.closed()).poll().is_ready();
        assert_eq!((0..1000).take_while(|_| step()).count(), usize::from(coop::BUDGET));
    });
}

#[test]
fn a_thread_may_block_and_one_that_drives_tasks_may_not() {
    let (tx, mut rx) = channel(4);
    let sender = std::thread::spawn(move || assert!(tx.send(1).is_ok()));
    assert_eq!(rx.blocking_recv(), Ok(1));
    sender.join().unwrap();
    let _entered = crate::park::enter();
    assert!(panic_text(|| drop(rx.blocking_recv())).contains("use `recv().await`"));
}

#[test]
fn handles_know_their_channel() {
    let ((tx, rx), (other, stranger)) = (channel::<u8>(1), channel(1));
    assert!(tx.same_channel(&tx.clone()) && !tx.same_channel(&other));
    assert!(rx.same_channel(&rx.resubscribe()) && !rx.same_channel(&stranger));
    assert_eq!((tx.receiver_count(), other.receiver_count()), (1, 1));
}

#[test]
fn the_errors_and_handles_print() {
    let (tx, rx) = channel::<u8>(1);
    assert_eq!(format!("{tx:?}"), "broadcast::Sender { senders: 1, .. }");
    assert_eq!(format!("{:?}", tx.downgrade()), "broadcast::WeakSender { senders: 1, .. }");
    assert_eq!(format!("{rx:?}"), "broadcast::Receiver { next: 0, .. }");
    assert_eq!(SendError(1).to_string(), "channel closed");
    assert_eq!(RecvError::Closed.to_string(), "channel closed");
    assert_eq!(RecvError::Lagged(3).to_string(), "channel lagged by 3");
    assert_eq!(TryRecvError::Empty.to_string(), "channel empty");
    assert_eq!(TryRecvError::Closed.to_string(), "channel closed");
    assert_eq!(TryRecvError::Lagged(3).to_string(), "channel lagged by 3");
}

/// `Cell` is `Send` and not `Sync`: that is enough, for a value is only touched under its slot's lock.
#[test]
fn the_handles_are_what_they_promise() {
    type Value = std::cell::Cell<u8>;
    is_send::<Sender<Value>>();
    is_sync::<Sender<Value>>();
    is_unpin::<Sender<Value>>();
    is_unwind_safe::<Sender<Value>>();
    is_send::<WeakSender<Value>>();
    is_sync::<WeakSender<Value>>();
    is_send::<Receiver<Value>>();
    is_sync::<Receiver<Value>>();
    is_unpin::<Receiver<Value>>();
    is_unwind_safe::<Receiver<Value>>();
    fn futures_are_send(tx: &Sender<u8>, rx: &mut Receiver<u8>) {
        fn check(_: impl Send) {}
        check(tx.closed());
        check(rx.recv());
    }
    let _ = futures_are_send;
}

/// Tasks and threads receive, some give up at random: each gets every value once or hears that it missed it, in order.
#[test]
fn threads_receive_or_hear_of_every_value() {
    const SENDS: u64 = 3_000;
    let (tx, rx) = channel(16);
    let reader = |mut rx: Receiver<(u64, u64)>, seed: u64| {
        move || {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut met, mut last) = (0, [None; 2]);
            loop {
                let received = match rng.u8(..3) {
                    0 => rx.blocking_recv(),
                    1 => futures_lite::future::block_on(rx.recv()),
                    _ => match Spy::new(rx.recv()).poll() {
                        std::task::Poll::Ready(received) => received,
                        std::task::Poll::Pending => continue,
                    },
                };
                match received {
                    Ok((sender, value)) => {
                        let last = &mut last[sender as usize];
                        assert!(last.is_none_or(|last| last < value));
                        *last = Some(value);
                        met += 1;
                    }
                    Err(RecvError::Lagged(missed)) => met += missed,
                    Err(RecvError::Closed) => return met,
                }
            }
        }
    };
    let readers: Vec<_> = (0..3).map(|seed| std::thread::spawn(reader(rx.resubscribe(), seed))).collect();
    let writers: Vec<_> = (0..2)
        .map(|sender| {
            let tx = tx.clone();
            std::thread::spawn(move || (0..SENDS).for_each(|value| assert!(tx.send((sender, value)).is_ok())))
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    drop(tx);
    for reader in readers {
        assert_eq!(reader.join().unwrap(), 2 * SENDS);
    }
    assert_eq!(rx.len() as u64, 2 * SENDS);
}

/// Receivers that come and go while values are sent leave none behind.
#[test]
fn receivers_that_come_and_go_leave_no_value_behind() {
    let value = Counted::new();
    let (tx, rx) = channel(4);
    let guests: Vec<_> = (0..2)
        .map(|_| {
            let tx = tx.clone();
            std::thread::spawn(move || {
                for turn in 0..1_000 {
                    let mut rx = tx.subscribe();
                    (0..turn % 3).for_each(|_| drop(rx.try_recv()));
                }
            })
        })
        .collect();
    (0..2_000).for_each(|_| assert!(tx.send(value.another()).is_ok()));
    guests.into_iter().for_each(|guest| guest.join().unwrap());
    assert!(value.others() <= 4);
    drop(rx);
    assert!(tx.is_empty());
    assert_eq!(value.others(), 0);
}
