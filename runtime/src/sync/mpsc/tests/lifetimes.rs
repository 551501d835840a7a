//! Who keeps a channel open, and when values are dropped: once, and never under the lock.

use crate::sync::mpsc::{
    OwnedPermit, Permit, PermitIterator, Receiver, Sender, UnboundedReceiver, UnboundedSender, WeakSender,
    WeakUnboundedSender, channel, unbounded_channel,
};
use crate::sync::test_support::{Counter, now, spawn};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};

#[test]
fn the_halves_are_what_they_promise() {
    fn threads<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe>() {}
    // `Cell` may be sent and not shared.
    threads::<Sender<Cell<u8>>>();
    threads::<WeakSender<Cell<u8>>>();
    threads::<Receiver<Cell<u8>>>();
    threads::<Permit<'_, Cell<u8>>>();
    threads::<PermitIterator<'_, Cell<u8>>>();
    threads::<OwnedPermit<Cell<u8>>>();
    threads::<UnboundedSender<Cell<u8>>>();
    threads::<WeakUnboundedSender<Cell<u8>>>();
    threads::<UnboundedReceiver<Cell<u8>>>();
    fn pinned<T: Unpin>() {}
    pinned::<Receiver<std::marker::PhantomPinned>>();
    fn sent<T: Send>(_: T) {}
    let (tx, mut rx) = channel::<Cell<u8>>(1);
    sent(tx.send(Cell::new(0)));
    sent(tx.reserve());
    sent(tx.closed());
    sent(rx.recv());
}

#[test]
fn weak_senders_count_apart_and_keep_nothing_open() {
    let (tx, mut rx) = channel::<()>(1);
    let weak = tx.downgrade();
    let other = weak.clone();
    assert_eq!((tx.strong_count(), tx.weak_count(), weak.strong_count(), weak.weak_count()), (1, 2, 1, 2));
    let second = weak.upgrade().unwrap();
    assert_eq!((rx.sender_strong_count(), rx.sender_weak_count()), (2, 2));
    assert!(second.same_channel(&tx));
    drop(other);
    drop(tx);
    assert_eq!((second.strong_count(), second.weak_count()), (1, 1));
    let mut recv = spawn(rx.recv());
    recv.expect_pending();
    drop(second);
    assert!(recv.was_woken());
    assert_eq!(recv.expect_ready(), None);
    assert!(weak.upgrade().is_none());
    assert_eq!((weak.strong_count(), weak.weak_count()), (0, 1));
}

#[test]
fn weak_senders_of_an_unbounded_channel_do_the_same() {
    let (tx, mut rx) = unbounded_channel();
    let weak = tx.downgrade();
    let other = weak.clone();
    weak.upgrade().unwrap().send(1).unwrap();
    assert_eq!((tx.strong_count(), tx.weak_count(), weak.strong_count(), weak.weak_count()), (1, 2, 1, 2));
    assert_eq!((rx.sender_strong_count(), rx.sender_weak_count()), (1, 2));
    assert!(tx.same_channel(&other.upgrade().unwrap()) && !tx.same_channel(&unbounded_channel().0));
    drop(tx);
    assert!(other.upgrade().is_none());
    assert_eq!((now(rx.recv()), now(rx.recv())), (Some(1), None));
}

#[test]
fn a_weak_sender_may_outlive_the_receiver() {
    let (tx, rx) = channel(1);
    let weak = tx.downgrade();
    drop(rx);
    assert!(weak.upgrade().unwrap().try_send(1).is_err());
}

#[test]
fn values_left_are_dropped_with_the_receiver() {
    let counter = Counter::default();
    let (tx, mut rx) = channel(600);
    (0..600).for_each(|n| tx.try_send(counter.make(n)).unwrap());
    assert_eq!(now(rx.recv()).unwrap().1, 0);
    assert_eq!(counter.alive(), 599);
    drop(rx);
    assert_eq!(counter.alive(), 0, "in the channel, and taken ahead");
    assert!(tx.try_send(counter.make(600)).is_err());
    assert_eq!(counter.alive(), 0);
}

#[test]
fn values_left_are_dropped_when_the_senders_went_first() {
    let counter = Counter::default();
    let (tx, rx) = unbounded_channel();
    (0..600).for_each(|n| tx.send(counter.make(n)).unwrap());
    drop(tx);
    assert_eq!(counter.alive(), 600);
    drop(rx);
    assert_eq!(counter.alive(), 0);
}

#[test]
fn a_value_sent_by_permit_after_the_receiver_has_gone_is_dropped_at_once() {
    let counter = Counter::default();
    let (tx, rx) = channel(2);
    let permit = tx.try_reserve().unwrap();
    let owned = tx.clone().try_reserve_owned().unwrap();
    drop(rx);
    permit.send(counter.make(0));
    let tx = owned.send(counter.make(1));
    assert_eq!((counter.alive(), tx.capacity()), (0, 2));
}

#[test]
fn a_send_that_is_dropped_drops_its_value() {
    let counter = Counter::default();
    let (tx, _rx) = channel(1);
    tx.try_send(counter.make(0)).unwrap();
    let mut waiting = spawn(tx.send(counter.make(1)));
    waiting.expect_pending();
    assert_eq!(counter.alive(), 2);
    drop(waiting);
    assert_eq!(counter.alive(), 1);
}

#[test]
fn received_values_are_the_receivers() {
    let counter = Counter::default();
    let (tx, mut rx) = channel(300);
    let mut kept = Vec::new();
    (0..300).for_each(|n| tx.try_send(counter.make(n)).unwrap());
    assert_eq!(now(rx.recv_many(&mut kept, 200)), 200);
    drop((tx, rx));
    assert_eq!(counter.alive(), 200);
}

#[test]
fn no_waker_outlives_the_wait() {
    let (tx, mut rx) = channel(1);
    tx.try_send(1).unwrap();
    let mut send = spawn(tx.send(2));
    let mut closed = spawn(tx.closed());
    send.expect_pending();
    closed.expect_pending();
    assert_eq!((send.wakers_held(), closed.wakers_held()), (1, 1));
    rx.close();
    assert_eq!((send.wakers_held(), closed.wakers_held()), (0, 0));
    let (tx, mut rx) = channel::<()>(1);
    let mut recv = spawn(rx.recv());
    recv.expect_pending();
    assert_eq!(recv.wakers_held(), 1);
    drop(tx);
    assert_eq!(recv.wakers_held(), 0);
}

#[test]
fn the_receivers_waker_goes_with_the_receiver() {
    let (tx, mut rx) = channel::<()>(1);
    let mut recv = spawn(std::future::poll_fn(move |cx| rx.poll_recv(cx)));
    recv.expect_pending();
    assert_eq!(recv.wakers_held(), 1);
    let wakes = recv.into_wakes();
    assert!(tx.is_closed());
    assert_eq!(std::sync::Arc::strong_count(&wakes), 1);
}

/// Comes back to the channel that drops it.
struct Reentrant(Option<Sender<Reentrant>>);

impl Drop for Reentrant {
    fn drop(&mut self) {
        if let Some(tx) = self.0.take() {
            assert!(tx.is_closed());
            assert_eq!(tx.try_reserve_many(1).map(drop).map_err(|_| ()), Err(()));
            assert!(tx.try_send(Reentrant(None)).is_err());
            assert!(now(tx.send(Reentrant(None))).is_err());
        }
    }
}

#[test]
fn a_value_may_use_the_channel_while_it_is_dropped() {
    let (tx, rx) = channel(2);
    tx.try_send(Reentrant(Some(tx.clone()))).unwrap();
    let permit = tx.clone().try_reserve_owned().unwrap();
    let weak = tx.downgrade();
    drop(tx);
    drop(rx);
    permit.send(Reentrant(weak.upgrade()));
    assert!(weak.upgrade().is_none(), "the values took their senders with them");
}

struct Bomb(#[allow(dead_code, reason = "it counts its drop")] crate::sync::test_support::Counted, bool);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.1, "a value that panics when it is dropped");
    }
}

#[test]
fn a_value_that_panics_in_its_drop_leaves_the_channel_whole() {
    let counter = Counter::default();
    let (tx, mut rx) = channel(600);
    // One among those that were taken ahead, one among the others.
    for n in 0..600 {
        tx.try_send(Bomb(counter.make(n), n == 100)).unwrap();
    }
    drop(now(rx.recv()));
    let permit = tx.try_reserve().unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(rx))).is_err());
    assert_eq!(counter.alive(), 0, "all others were dropped all the same");
    assert!(tx.is_closed());
    let bomb = Bomb(counter.make(0), true);
    assert!(catch_unwind(AssertUnwindSafe(|| permit.send(bomb))).is_err());
    assert_eq!((counter.alive(), tx.capacity()), (0, 600));
}

#[test]
fn values_without_a_size_are_counted_too() {
    let (tx, mut rx) = unbounded_channel();
    (0..1000).try_for_each(|_| tx.send(())).unwrap();
    assert_eq!(rx.len(), 1000);
    assert_eq!(std::iter::from_fn(|| rx.try_recv().ok()).count(), 1000);
}
