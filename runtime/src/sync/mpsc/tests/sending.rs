//! Sending: order, room, the line of those who wait, and giving up in it.

use crate::sync::mpsc::error::{SendError, TrySendError};
use crate::sync::mpsc::{channel, unbounded_channel};
use crate::sync::test_support::{now, spawn};
use std::task::Poll;

#[test]
fn values_come_in_the_order_in_which_they_were_sent() {
    let (tx, mut rx) = channel(1000);
    for n in 0..1000 {
        now(tx.send(n)).unwrap();
    }
    for n in 0..1000 {
        assert_eq!(now(rx.recv()), Some(n));
    }
}

#[test]
fn a_full_channel_makes_senders_wait_and_one_value_received_lets_one_through() {
    let (tx, mut rx) = channel(2);
    now(tx.send(1)).unwrap();
    now(tx.send(2)).unwrap();
    let mut third = spawn(tx.send(3));
    let mut fourth = spawn(tx.send(4));
    third.expect_pending();
    fourth.expect_pending();
    assert_eq!(now(rx.recv()), Some(1));
    assert!(third.was_woken() && !fourth.was_woken());
    fourth.expect_pending();
    third.expect_ready().unwrap();
    assert_eq!(now(rx.recv()), Some(2));
    assert!(fourth.was_woken());
    fourth.expect_ready().unwrap();
    assert_eq!((now(rx.recv()), now(rx.recv())), (Some(3), Some(4)));
}

#[test]
fn nobody_overtakes_those_who_wait() {
    let (tx, mut rx) = channel(1);
    tx.try_send(1).unwrap();
    let mut second = spawn(tx.send(2));
    second.expect_pending();
    assert_eq!(rx.try_recv(), Ok(1));
    // The room is the second's, who has not been polled yet.
    assert!(second.was_woken());
    assert_eq!(tx.try_send(3), Err(TrySendError::Full(3)));
    let mut third = spawn(tx.send(3));
    third.expect_pending();
    second.expect_ready().unwrap();
    assert_eq!(rx.try_recv(), Ok(2));
    third.expect_ready().unwrap();
    assert_eq!(rx.try_recv(), Ok(3));
}

#[test]
fn polling_again_keeps_the_place_and_takes_the_new_waker() {
    let (tx, mut rx) = channel(1);
    tx.try_send(1).unwrap();
    let mut first = spawn(tx.send(2));
    let mut second = spawn(tx.send(3));
    first.expect_pending();
    second.expect_pending();
    assert!(first.poll_as_other().is_pending());
    assert_eq!(first.wakers_held(), 1);
    assert_eq!(rx.try_recv(), Ok(1));
    assert!(first.was_woken() && !second.was_woken());
}

#[test]
fn a_sender_that_gives_up_leaves_the_line() {
    let (tx, mut rx) = channel(1);
    tx.try_send(1).unwrap();
    let mut first = spawn(tx.send(2));
    let mut second = spawn(tx.send(3));
    first.expect_pending();
    second.expect_pending();
    drop(first);
    assert!(!second.was_woken());
    assert_eq!(rx.try_recv(), Ok(1));
    assert!(second.was_woken());
    second.expect_ready().unwrap();
    assert_eq!(rx.try_recv(), Ok(3));
}

#[test]
fn a_sender_that_gives_up_after_it_was_told_passes_its_room_on() {
    let (tx, mut rx) = channel(1);
    tx.try_send(1).unwrap();
    let mut first = spawn(tx.send(2));
    let mut second = spawn(tx.send(3));
    first.expect_pending();
    second.expect_pending();
    assert_eq!(rx.try_recv(), Ok(1));
    assert!(first.was_woken());
    drop(first);
    assert!(second.was_woken());
    second.expect_ready().unwrap();
    assert_eq!(rx.try_recv(), Ok(3));
    assert_eq!(tx.capacity(), 1);
}

#[test]
fn a_sender_that_gives_up_with_nobody_behind_it_frees_its_room() {
    let (tx, mut rx) = channel(1);
    tx.try_send(1).unwrap();
    let mut first = spawn(tx.send(2));
    first.expect_pending();
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(tx.capacity(), 0);
    drop(first);
    assert_eq!(tx.capacity(), 1);
    tx.try_send(4).unwrap();
}

#[test]
fn a_send_that_is_never_polled_sends_nothing() {
    let (tx, mut rx) = channel(1);
    drop(tx.send(1));
    assert!(rx.try_recv().is_err());
    assert_eq!(tx.capacity(), 1);
}

#[test]
fn sending_into_a_closed_channel_gives_the_value_back() {
    let (tx, rx) = channel(1);
    drop(rx);
    assert_eq!(now(tx.send("a")), Err(SendError("a")));
    assert_eq!(tx.try_send("b"), Err(TrySendError::Closed("b")));
    assert_eq!(tx.blocking_send("c"), Err(SendError("c")));
    let (tx, rx) = unbounded_channel();
    drop(rx);
    assert_eq!(tx.send("d"), Err(SendError("d")));
}

#[test]
fn errors_show_their_cause_and_not_the_value() {
    let (closed, full) = (TrySendError::Closed(1), TrySendError::Full(2));
    assert_eq!(
        format!("{closed}, {closed:?}; {full}, {full:?}"),
        "channel closed, Closed(..); no available capacity, Full(..)"
    );
    assert_eq!(format!("{0}, {0:?}", SendError(1)), "channel closed, SendError { .. }");
    assert_eq!(full.into_inner(), 2);
    assert_eq!(TrySendError::from(SendError(3)), TrySendError::Closed(3));
}

#[test]
fn an_unbounded_channel_takes_everything_at_once_and_keeps_the_order() {
    let (tx, mut rx) = unbounded_channel();
    (0..100_000).try_for_each(|n| tx.send(n)).unwrap();
    assert_eq!(rx.len(), 100_000);
    for n in 0..100_000 {
        assert_eq!(rx.try_recv(), Ok(n));
    }
    assert!(rx.is_empty());
}

#[test]
fn a_task_that_only_sends_yields_when_its_budget_is_used_up() {
    let (tx, rx) = channel(1000);
    let mut task = spawn(async {
        for n in 0..200 {
            tx.send(n).await.unwrap();
        }
    });
    let poll = crate::coop::with_budget(|| task.poll());
    assert_eq!(poll, Poll::Pending);
    assert!(task.was_woken());
    assert_eq!(rx.len(), usize::from(crate::coop::BUDGET));
}

#[test]
#[should_panic(expected = "needs room for at least one value")]
fn a_channel_without_room_is_refused() {
    let _ = channel::<()>(0);
}

#[test]
#[should_panic(expected = "use `unbounded_channel()`")]
fn an_absurd_bound_is_refused() {
    let _ = channel::<()>(usize::MAX);
}

#[test]
fn the_greatest_bound_takes_no_memory() {
    let (tx, mut rx) = channel(usize::MAX >> 3);
    now(tx.send(1)).unwrap();
    assert_eq!(tx.capacity(), (usize::MAX >> 3) - 1);
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(tx.capacity(), tx.max_capacity());
}
