//! Room reserved ahead: one, many, owned; used, given back, given up.

use crate::sync::mpsc::channel;
use crate::sync::mpsc::error::{SendError, TrySendError};
use crate::sync::test_support::{now, spawn};

#[test]
fn a_permit_is_room_that_nobody_else_has() {
    let (tx, mut rx) = channel(1);
    let permit = now(tx.reserve()).unwrap();
    assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
    assert!(matches!(tx.try_reserve(), Err(TrySendError::Full(()))));
    assert!(rx.try_recv().is_err());
    permit.send(2);
    assert_eq!(rx.try_recv(), Ok(2));
    assert_eq!(tx.capacity(), 1);
}

#[test]
fn a_permit_that_is_dropped_lets_the_next_in() {
    let (tx, mut rx) = channel(1);
    let permit = now(tx.reserve()).unwrap();
    let mut waiting = spawn(tx.send(1));
    waiting.expect_pending();
    drop(permit);
    assert!(waiting.was_woken());
    waiting.expect_ready().unwrap();
    assert_eq!(rx.try_recv(), Ok(1));
}

#[test]
fn values_come_in_the_order_of_sending_not_of_reserving() {
    let (tx, mut rx) = channel(2);
    let first = now(tx.reserve()).unwrap();
    let second = now(tx.reserve()).unwrap();
    second.send(2);
    first.send(1);
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(2), Ok(1)));
}

#[test]
fn a_reserve_that_gives_up_passes_on_what_it_was_given() {
    let (tx, mut rx) = channel(1);
    tx.try_send(1).unwrap();
    let mut first = spawn(tx.reserve());
    let mut second = spawn(tx.reserve());
    assert!(first.poll().is_pending() && second.poll().is_pending());
    assert_eq!(rx.try_recv(), Ok(1));
    assert!(first.was_woken());
    drop(first);
    assert!(second.was_woken());
    second.expect_ready().unwrap().send(2);
    assert_eq!(rx.try_recv(), Ok(2));
}

#[test]
fn many_permits_come_at_once_and_one_by_one_out_of_the_iterator() {
    let (tx, mut rx) = channel(5);
    let mut permits = now(tx.reserve_many(3)).unwrap();
    assert_eq!((permits.len(), permits.size_hint(), tx.capacity()), (3, (3, Some(3)), 2));
    permits.next().unwrap().send(1);
    drop(permits.next().unwrap());
    assert_eq!(tx.capacity(), 3);
    drop(permits);
    assert_eq!(tx.capacity(), 4);
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(tx.capacity(), 5);
    let mut none = now(tx.reserve_many(0)).unwrap();
    assert!(none.next().is_none() && none.next().is_none());
}

#[test]
fn nobody_overtakes_who_waits_for_much() {
    let (tx, mut rx) = channel(3);
    (1..=3).for_each(|n| tx.try_send(n).unwrap());
    let mut much = spawn(tx.reserve_many(2));
    let mut little = spawn(tx.send(4));
    assert!(much.poll().is_pending());
    little.expect_pending();
    assert_eq!(rx.try_recv(), Ok(1));
    assert!(!much.was_woken() && !little.was_woken(), "one is not enough for the first, and the second is behind it");
    assert_eq!(tx.capacity(), 0, "what is free is kept for the first");
    assert_eq!(tx.try_send(5), Err(TrySendError::Full(5)));
    assert_eq!(rx.try_recv(), Ok(2));
    assert!(much.was_woken() && !little.was_woken());
    assert_eq!(rx.try_recv(), Ok(3));
    assert!(little.was_woken());
    assert_eq!(much.expect_ready().unwrap().len(), 2);
    little.expect_ready().unwrap();
}

#[test]
fn who_waits_for_much_and_gives_up_lets_those_behind_it_in() {
    let (tx, mut rx) = channel(3);
    (1..=3).for_each(|n| tx.try_send(n).unwrap());
    let mut much = spawn(tx.reserve_many(3));
    let mut one = spawn(tx.send(4));
    let mut other = spawn(tx.send(5));
    assert!(much.poll().is_pending());
    one.expect_pending();
    other.expect_pending();
    assert_eq!(rx.try_recv(), Ok(1));
    assert!(!one.was_woken());
    drop(much);
    assert!(one.was_woken() && !other.was_woken());
    assert_eq!(rx.try_recv(), Ok(2));
    assert!(other.was_woken());
}

#[test]
fn many_permits_that_were_given_and_not_fetched_go_to_as_many_others() {
    let (tx, mut rx) = channel(2);
    (1..=2).for_each(|n| tx.try_send(n).unwrap());
    let mut much = spawn(tx.reserve_many(2));
    assert!(much.poll().is_pending());
    let mut others = [spawn(tx.send(3)), spawn(tx.send(4)), spawn(tx.send(5))];
    others.iter_mut().for_each(|send| send.expect_pending());
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(1), Ok(2)));
    assert!(much.was_woken());
    drop(much);
    assert_eq!(others.each_ref().map(|send| send.was_woken()), [true, true, false]);
}

#[test]
fn more_than_the_bound_is_refused_at_once() {
    let (tx, _rx) = channel::<()>(2);
    assert!(matches!(now(tx.reserve_many(3)), Err(SendError(()))));
    assert!(matches!(now(tx.reserve_many(usize::MAX)), Err(SendError(()))));
    assert!(matches!(tx.try_reserve_many(3), Err(TrySendError::Full(()))));
    assert_eq!(tx.try_reserve_many(2).unwrap().len(), 2);
    let held = tx.try_reserve().unwrap();
    assert!(matches!(tx.try_reserve_many(2), Err(TrySendError::Full(()))));
    drop(held);
}

#[test]
fn an_owned_permit_is_a_sender_too() {
    let (tx, mut rx) = channel(1);
    let permit = now(tx.reserve_owned()).unwrap();
    assert_eq!(rx.sender_strong_count(), 1);
    let mut recv = spawn(rx.recv());
    recv.expect_pending();
    let tx = permit.send(1);
    assert!(recv.was_woken());
    assert_eq!(recv.expect_ready(), Some(1));
    drop(recv);
    let permit = tx.try_reserve_owned().unwrap();
    let tx = permit.release();
    assert_eq!(tx.capacity(), 1);
    let permit = tx.try_reserve_owned().unwrap();
    let mut recv = spawn(rx.recv());
    recv.expect_pending();
    drop(permit);
    assert!(recv.was_woken(), "the last sender went with it");
    assert_eq!(recv.expect_ready(), None);
}

#[test]
fn try_reserve_owned_gives_the_sender_back() {
    let (tx, rx) = channel(1);
    tx.try_send(1).unwrap();
    let Err(TrySendError::Full(tx)) = tx.try_reserve_owned() else { panic!("there was no room") };
    drop(rx);
    let Err(TrySendError::Closed(tx)) = tx.try_reserve_owned() else { panic!("it was closed") };
    assert_eq!(tx.strong_count(), 1);
}

#[test]
fn owned_permits_know_their_channel() {
    let ((tx, _rx), (other, _other_rx)) = (channel::<()>(4), channel::<()>(4));
    let a = tx.clone().try_reserve_owned().unwrap();
    let b = tx.clone().try_reserve_owned().unwrap();
    let c = other.clone().try_reserve_owned().unwrap();
    assert!(a.same_channel(&b) && !a.same_channel(&c));
    assert!(a.same_channel_as_sender(&tx) && !a.same_channel_as_sender(&other));
}

#[test]
fn reserving_in_a_closed_channel_fails() {
    let (tx, rx) = channel::<()>(2);
    drop(rx);
    assert!(now(tx.reserve()).is_err());
    assert!(now(tx.reserve_many(0)).is_err());
    assert!(now(tx.clone().reserve_owned()).is_err());
    assert!(matches!(tx.try_reserve(), Err(TrySendError::Closed(()))));
    assert!(matches!(tx.try_reserve_many(2), Err(TrySendError::Closed(()))));
}
