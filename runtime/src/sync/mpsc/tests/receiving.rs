//! Receiving: waiting for a value, taking many, wakes on the edge only.

use crate::sync::mpsc::error::TryRecvError;
use crate::sync::mpsc::{channel, unbounded_channel};
use crate::sync::test_support::{now, spawn};
use futures_core::Stream;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

#[test]
fn the_receiver_is_woken_once_for_any_number_of_values() {
    let (tx, mut rx) = channel(10);
    let mut recv = spawn(async { (rx.recv().await, rx.recv().await, rx.recv().await) });
    recv.expect_pending();
    for n in 1..=3 {
        tx.try_send(n).unwrap();
        assert_eq!(recv.was_woken(), n == 1);
    }
    assert_eq!(recv.expect_ready(), (Some(1), Some(2), Some(3)));
}

#[test]
fn the_waker_of_the_last_poll_is_the_one_that_is_woken() {
    let (tx, mut rx) = unbounded_channel();
    let mut recv = spawn(rx.recv());
    recv.expect_pending();
    recv.expect_pending();
    assert_eq!(recv.wakers_held(), 1);
    assert!(recv.poll_as_other().is_pending());
    tx.send(1).unwrap();
    assert!(recv.was_woken());
    assert_eq!(recv.wakers_held(), 0);
    assert_eq!(recv.expect_ready(), Some(1));
}

#[test]
fn a_recv_that_is_dropped_loses_nothing() {
    let (tx, mut rx) = channel(4);
    let mut recv = spawn(rx.recv());
    recv.expect_pending();
    tx.try_send(1).unwrap();
    tx.try_send(2).unwrap();
    assert!(recv.was_woken());
    drop(recv);
    assert_eq!((now(rx.recv()), now(rx.recv())), (Some(1), Some(2)));
}

#[test]
fn the_end_comes_after_the_last_value_when_all_senders_are_gone() {
    let (tx, mut rx) = channel(4);
    let other = tx.clone();
    let mut recv = spawn(async { [rx.recv().await, rx.recv().await, rx.recv().await, rx.recv().await] });
    recv.expect_pending();
    tx.try_send(1).unwrap();
    drop(tx);
    other.try_send(2).unwrap();
    assert!(recv.was_woken());
    recv.expect_pending();
    drop(other);
    assert!(recv.was_woken());
    assert_eq!(recv.expect_ready(), [Some(1), Some(2), None, None]);
}

#[test]
fn try_recv_tells_empty_from_disconnected() {
    let (tx, mut rx) = channel(2);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    tx.try_send(1).unwrap();
    drop(tx);
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(TryRecvError::Empty.to_string(), "receiving on an empty channel");
    assert_eq!(TryRecvError::Disconnected.to_string(), "receiving on a closed channel");
}

#[test]
fn try_recv_disconnected_after_close_waits_for_permits() {
    let (tx, mut rx) = channel(2);
    let permit = tx.try_reserve().unwrap();
    rx.close();
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    permit.send(1);
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
}

#[test]
fn recv_many_takes_what_is_there_up_to_the_limit() {
    let (tx, mut rx) = channel(100);
    let mut buffer = vec![0];
    (1..=10).for_each(|n| tx.try_send(n).unwrap());
    assert_eq!(now(rx.recv_many(&mut buffer, 4)), 4);
    assert_eq!(tx.capacity(), 94);
    // Some of the rest was taken out of the channel already, and these were not.
    (11..=15).for_each(|n| tx.try_send(n).unwrap());
    assert_eq!(now(rx.recv_many(&mut buffer, 100)), 11);
    assert_eq!(buffer, (0..=15).collect::<Vec<_>>());
    assert_eq!(tx.capacity(), 100);
}

#[test]
fn recv_many_waits_while_there_is_nothing_and_tells_the_end_by_zero() {
    let (tx, mut rx) = unbounded_channel();
    let mut buffer = Vec::new();
    {
        let mut recv = spawn(rx.recv_many(&mut buffer, 10));
        recv.expect_pending();
        tx.send(1).unwrap();
        tx.send(2).unwrap();
        assert!(recv.was_woken());
        assert_eq!(recv.expect_ready(), 2);
    }
    assert_eq!(now(rx.recv_many(&mut buffer, 0)), 0, "no limit is no value");
    drop(tx);
    assert_eq!(now(rx.recv_many(&mut buffer, 10)), 0);
    assert_eq!(buffer, [1, 2]);
}

#[test]
fn recv_many_that_is_dropped_loses_nothing() {
    let (tx, mut rx) = channel(10);
    let mut buffer = Vec::new();
    let mut recv = spawn(rx.recv_many(&mut buffer, 10));
    recv.expect_pending();
    tx.try_send(1).unwrap();
    drop(recv);
    assert!(buffer.is_empty());
    assert_eq!(now(rx.recv_many(&mut buffer, 10)), 1);
}

#[test]
fn recv_many_lets_as_many_senders_through_as_it_took() {
    let (tx, mut rx) = channel(3);
    (0..3).for_each(|n| tx.try_send(n).unwrap());
    let mut waiting: Vec<_> = (3..6).map(|n| spawn(tx.send(n))).collect();
    waiting.iter_mut().for_each(|send| send.expect_pending());
    let mut buffer = Vec::new();
    assert_eq!(now(rx.recv_many(&mut buffer, 2)), 2);
    assert_eq!(waiting.iter().map(|send| send.was_woken()).collect::<Vec<_>>(), [true, true, false]);
    for send in &mut waiting[..2] {
        send.expect_ready().unwrap();
    }
    assert_eq!(now(rx.recv_many(&mut buffer, 9)), 3);
    assert!(waiting[2].was_woken());
    waiting[2].expect_ready().unwrap();
    assert_eq!(now(rx.recv_many(&mut buffer, 9)), 1);
    assert_eq!(buffer, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn polling_by_hand_is_receiving() {
    let (tx, mut rx) = channel(4);
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(rx.poll_recv(&mut cx), Poll::Pending);
    (1..=3).for_each(|n| tx.try_send(n).unwrap());
    assert_eq!(rx.poll_recv(&mut cx), Poll::Ready(Some(1)));
    let mut buffer = Vec::new();
    assert_eq!(rx.poll_recv_many(&mut cx, &mut buffer, 9), Poll::Ready(2));
    assert_eq!(rx.poll_recv_many(&mut cx, &mut buffer, 9), Poll::Pending);
    drop(tx);
    assert_eq!(rx.poll_recv_many(&mut cx, &mut buffer, 9), Poll::Ready(0));
    assert_eq!(rx.poll_recv(&mut cx), Poll::Ready(None));
}

#[test]
fn a_receiver_is_a_stream() {
    let (tx, mut rx) = channel(4);
    let (utx, mut urx) = unbounded_channel();
    tx.try_send(1).unwrap();
    utx.send(2).unwrap();
    drop((tx, utx));
    assert_eq!(now(poll_fn(|cx| Pin::new(&mut rx).poll_next(cx))), Some(1));
    assert_eq!(now(poll_fn(|cx| Pin::new(&mut rx).poll_next(cx))), None);
    assert_eq!(now(poll_fn(|cx| Pin::new(&mut urx).poll_next(cx))), Some(2));
    assert_eq!(now(poll_fn(|cx| Pin::new(&mut urx).poll_next(cx))), None);
}

#[test]
fn a_task_that_only_receives_yields_when_its_budget_is_used_up() {
    let (tx, mut rx) = unbounded_channel();
    (0..200).try_for_each(|n| tx.send(n)).unwrap();
    let mut task = spawn(async {
        for _ in 0..200 {
            rx.recv().await.unwrap();
        }
    });
    assert_eq!(crate::coop::with_budget(|| task.poll()), Poll::Pending);
    assert!(task.was_woken());
    drop(task);
    assert_eq!(rx.len(), 200 - usize::from(crate::coop::BUDGET));
}
