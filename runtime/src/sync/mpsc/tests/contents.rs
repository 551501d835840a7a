//! How much is in a channel, and how much room: exact in every state, whatever the receiver has taken ahead.

use crate::sync::mpsc::{Receiver, Sender, channel, unbounded_channel};
use crate::sync::test_support::{now, spawn};

#[track_caller]
fn check<T>(tx: &Sender<T>, rx: &Receiver<T>, len: usize, capacity: usize) {
    assert_eq!((rx.len(), rx.capacity(), tx.capacity()), (len, capacity, capacity), "len, room by rx, room by tx");
    assert_eq!(rx.is_empty(), len == 0);
}

#[test]
fn every_value_and_permit_counts_until_it_is_received_or_given_back() {
    let (tx, mut rx) = channel(4);
    assert_eq!((tx.max_capacity(), rx.max_capacity()), (4, 4));
    check(&tx, &rx, 0, 4);
    tx.try_send(1).unwrap();
    tx.try_send(2).unwrap();
    tx.try_send(3).unwrap();
    check(&tx, &rx, 3, 1);
    // Takes all three out of the channel, and receives one.
    assert_eq!(now(rx.recv()), Some(1));
    check(&tx, &rx, 2, 2);
    tx.try_send(4).unwrap();
    check(&tx, &rx, 3, 1);
    let permit = tx.try_reserve().unwrap();
    check(&tx, &rx, 3, 0);
    assert!(tx.try_send(5).is_err());
    assert_eq!(now(rx.recv()), Some(2));
    check(&tx, &rx, 2, 1);
    permit.send(5);
    check(&tx, &rx, 3, 1);
    assert_eq!([now(rx.recv()), now(rx.recv()), now(rx.recv())], [Some(3), Some(4), Some(5)]);
    check(&tx, &rx, 0, 4);
}

#[test]
fn room_that_came_back_is_there_for_all_ways_to_send() {
    for way in 0..4 {
        let (tx, mut rx) = channel(2);
        tx.try_send(0).unwrap();
        tx.try_send(1).unwrap();
        // The second comes from what the first recv took ahead.
        assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(0), Ok(1)));
        match way {
            0 => tx.try_send(2).unwrap(),
            1 => now(tx.send(2)).unwrap(),
            2 => now(tx.reserve_many(2)).unwrap().next().unwrap().send(2),
            _ => tx.try_reserve_many(2).unwrap().next().unwrap().send(2),
        }
        check(&tx, &rx, 1, 1);
    }
}

#[test]
fn the_capacity_is_nothing_while_somebody_waits() {
    let (tx, mut rx) = channel(2);
    tx.try_send(1).unwrap();
    let mut waiting = spawn(tx.reserve_many(2));
    assert!(waiting.poll().is_pending());
    check(&tx, &rx, 1, 0);
    assert_eq!(rx.try_recv(), Ok(1));
    check(&tx, &rx, 0, 0);
    drop(waiting);
    check(&tx, &rx, 0, 2);
}

#[test]
fn the_capacity_is_whole_again_when_the_receiver_has_gone() {
    let (tx, mut rx) = channel(5);
    (0..4).for_each(|n| tx.try_send(n).unwrap());
    let permit = tx.try_reserve().unwrap();
    assert_eq!(rx.try_recv(), Ok(0));
    drop(rx);
    assert_eq!(tx.capacity(), 4);
    permit.send(9);
    assert_eq!(tx.capacity(), 5);
}

#[test]
fn an_unbounded_channel_counts_its_values() {
    let (tx, mut rx) = unbounded_channel();
    assert!(rx.is_empty());
    (0..1000).try_for_each(|n| tx.send(n)).unwrap();
    assert_eq!(now(rx.recv()), Some(0));
    assert_eq!(rx.len(), 999);
    tx.send(1000).unwrap();
    assert_eq!(rx.len(), 1000);
}

#[test]
fn debug_shows_what_is_cheap_to_know() {
    let (tx, mut rx) = channel(3);
    tx.try_send("secret").unwrap();
    let weak = tx.downgrade();
    assert_eq!(
        format!("{tx:?}; {rx:?}; {weak:?}"),
        "Sender { capacity: 2, .. }; Receiver { len: 1, .. }; WeakSender { .. }"
    );
    assert_eq!(format!("{:?}", tx.try_reserve().unwrap()), "Permit { .. }");
    assert_eq!(format!("{:?}", tx.try_reserve_many(2).unwrap()), "PermitIterator { left: 2, .. }");
    assert_eq!(format!("{:?}", tx.clone().try_reserve_owned().unwrap()), "OwnedPermit { .. }");
    assert_eq!(rx.try_recv(), Ok("secret"));
    let (tx, rx) = unbounded_channel::<()>();
    assert_eq!(
        format!("{tx:?}; {rx:?}; {:?}", tx.downgrade()),
        "UnboundedSender { .. }; UnboundedReceiver { len: 0, .. }; WeakUnboundedSender { .. }"
    );
}
