//! Closing, with values, waiters and permits still there.

use crate::sync::mpsc::error::{SendError, TrySendError};
use crate::sync::mpsc::{channel, unbounded_channel};
use crate::sync::test_support::{now, spawn};

#[test]
fn a_closed_channel_gives_what_is_in_it_and_then_ends() {
    let (tx, mut rx) = channel(4);
    tx.try_send(1).unwrap();
    rx.close();
    rx.close();
    assert!(tx.is_closed() && rx.is_closed());
    assert_eq!(tx.try_send(2), Err(TrySendError::Closed(2)));
    assert_eq!((now(rx.recv()), now(rx.recv())), (Some(1), None));
    let (tx, mut rx) = unbounded_channel();
    tx.send(1).unwrap();
    rx.close();
    assert_eq!(tx.send(2), Err(SendError(2)));
    assert_eq!((now(rx.recv()), now(rx.recv())), (Some(1), None));
}

#[test]
fn senders_that_wait_hear_of_the_close() {
    let (tx, mut rx) = channel(1);
    tx.try_send(0).unwrap();
    let mut send = spawn(tx.send(1));
    let mut reserve = spawn(tx.reserve());
    send.expect_pending();
    assert!(reserve.poll().is_pending());
    rx.close();
    assert!(send.was_woken() && reserve.was_woken());
    assert_eq!(send.expect_ready(), Err(SendError(1)));
    assert!(reserve.expect_ready().is_err());
    assert_eq!((now(rx.recv()), now(rx.recv())), (Some(0), None));
}

#[test]
fn the_receiver_waits_for_permits_that_are_out() {
    let (tx, mut rx) = channel(3);
    let used = tx.try_reserve().unwrap();
    let dropped = tx.try_reserve().unwrap();
    rx.close();
    let mut recv = spawn(async { (rx.recv().await, rx.recv().await) });
    recv.expect_pending();
    used.send(1);
    assert!(recv.was_woken());
    recv.expect_pending();
    drop(dropped);
    assert!(recv.was_woken());
    assert_eq!(recv.expect_ready(), (Some(1), None));
}

#[test]
fn the_receiver_waits_for_every_permit_of_an_iterator_and_for_owned_ones() {
    let (tx, mut rx) = channel::<()>(3);
    let mut many = tx.try_reserve_many(2).unwrap();
    let owned = tx.clone().try_reserve_owned().unwrap();
    rx.close();
    let mut recv = spawn(rx.recv());
    recv.expect_pending();
    drop(many.next());
    drop(owned.release());
    assert!(!recv.was_woken());
    drop(many);
    assert!(recv.was_woken());
    assert_eq!(recv.expect_ready(), None);
}

/// A sender was given room, the channel closed, and then it was polled, or dropped: the room must come back either way.
#[test]
fn room_that_was_given_and_not_fetched_before_the_close_comes_back() {
    for poll in [true, false] {
        let (tx, mut rx) = channel(1);
        tx.try_send(0).unwrap();
        let mut send = spawn(tx.send(1));
        send.expect_pending();
        assert_eq!(rx.try_recv(), Ok(0));
        rx.close();
        let mut recv = spawn(rx.recv());
        recv.expect_pending();
        if poll {
            assert_eq!(send.expect_ready(), Err(SendError(1)), "closed is closed");
        }
        drop(send);
        assert!(recv.was_woken());
        assert_eq!(recv.expect_ready(), None);
        assert_eq!(tx.capacity(), 1);
    }
}

#[test]
fn a_sender_that_waited_when_the_channel_closed_holds_no_room() {
    let (tx, mut rx) = channel(1);
    tx.try_send(0).unwrap();
    let mut send = spawn(tx.send(1));
    send.expect_pending();
    rx.close();
    assert_eq!(now(rx.recv()), Some(0));
    assert_eq!(now(rx.recv()), None, "who was refused is not waited for");
    drop(send);
    assert_eq!(tx.capacity(), 1);
}

#[test]
fn closed_is_heard_by_all_who_wait_for_it() {
    let (tx, mut rx) = channel::<()>(1);
    let mut waiting = [spawn(tx.closed()), spawn(tx.closed())];
    waiting.iter_mut().for_each(|closed| closed.expect_pending());
    assert!(waiting[0].poll_as_other().is_pending());
    let mut given_up = spawn(tx.closed());
    given_up.expect_pending();
    assert_eq!(given_up.wakers_held(), 1);
    drop(given_up);
    rx.close();
    for closed in &mut waiting {
        assert!(closed.was_woken());
        closed.expect_ready();
    }
    now(tx.closed());
}

#[test]
fn closed_is_heard_when_the_receiver_goes() {
    let (tx, rx) = unbounded_channel::<()>();
    let mut closed = spawn(tx.closed());
    closed.expect_pending();
    assert!(!tx.is_closed());
    drop(rx);
    assert!(closed.was_woken() && tx.is_closed());
    closed.expect_ready();
}

#[test]
fn the_receiver_calls_it_closed_when_the_senders_are_gone_and_the_senders_do_not() {
    let (tx, rx) = channel::<()>(1);
    let other = tx.clone();
    drop(tx);
    assert!(!rx.is_closed() && !other.is_closed());
    drop(other);
    assert!(rx.is_closed());
}
