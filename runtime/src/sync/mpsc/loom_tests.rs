//! Channels under every interleaving that loom can make.

use super::*;
use crate::park::Parker;
use crate::sync::mpsc::returned::{GiveBack, Returned};
use crate::sync::test_support::{Counter, Wakes};
use loom::thread;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

/// Drives a future on the calling thread; a lost wake-up is a deadlock, which loom reports.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let parker = Parker::new();
    let waker = parker.waker();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        parker.park();
    }
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    let waker = Arc::new(Wakes::default()).into();
    future.poll(&mut Context::from_waker(&waker))
}

fn model(check: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(check);
}

#[test]
fn loom_mpsc_receiver_that_waits_hears_of_each_value_and_of_the_end() {
    model(|| {
        let (tx, mut rx) = unbounded_channel();
        let other = tx.clone();
        let senders = [tx, other].map(|tx| thread::spawn(move || tx.send(1).unwrap()));
        let mut sum = 0;
        while let Some(value) = block_on(rx.recv()) {
            sum += value;
        }
        assert_eq!(sum, 2);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

/// Room for one, three values: the permit goes back and forth, with and without the lock.
#[test]
fn loom_mpsc_senders_that_wait_get_their_room() {
    model(|| {
        let (tx, mut rx) = channel(1);
        let other = tx.clone();
        let sender = thread::spawn(move || {
            block_on(other.send(1)).unwrap();
            block_on(other.send(2)).unwrap();
        });
        drop(tx);
        assert_eq!((block_on(rx.recv()), block_on(rx.recv()), block_on(rx.recv())), (Some(1), Some(2), None));
        sender.join().unwrap();
        assert_eq!(rx.capacity(), 1);
    });
}

/// Values taken ahead give their room back outside the lock, while a sender decides to wait.
#[test]
fn loom_mpsc_room_given_back_without_the_lock_is_found() {
    model(|| {
        let (tx, mut rx) = channel(2);
        tx.try_send(1).unwrap();
        tx.try_send(2).unwrap();
        assert_eq!(rx.try_recv(), Ok(1));
        tx.try_send(3).unwrap();
        let sender = thread::spawn(move || block_on(tx.send(4)).unwrap());
        // Taken ahead by the first: this gives back by the word alone, unless the sender waits already.
        assert_eq!(rx.try_recv(), Ok(2));
        sender.join().unwrap();
        assert_eq!((rx.len(), rx.capacity()), (2, 0));
    });
}

#[test]
fn loom_mpsc_many_permits_are_gathered() {
    model(|| {
        let (tx, mut rx) = channel(2);
        tx.try_send(1).unwrap();
        tx.try_send(2).unwrap();
        let sender = thread::spawn(move || {
            let permits = block_on(tx.reserve_many(2)).unwrap();
            assert_eq!(permits.len(), 2);
        });
        assert_eq!((block_on(rx.recv()), block_on(rx.recv())), (Some(1), Some(2)));
        sender.join().unwrap();
        assert_eq!(rx.capacity(), 2);
    });
}

/// One permit, two who want it; the first may give up at any moment.
#[test]
fn loom_mpsc_room_is_passed_on_by_who_gives_up() {
    model(|| {
        let (tx, mut rx) = channel(1);
        tx.try_send(0).unwrap();
        let mut first = Box::pin(tx.send(1));
        assert!(poll_once(first.as_mut()).is_pending());
        let other = tx.clone();
        let second = thread::spawn(move || block_on(other.send(2)).unwrap());
        let receiver = thread::spawn(move || {
            assert_eq!(rx.try_recv(), Ok(0));
            rx
        });
        drop(first);
        second.join().unwrap();
        assert_eq!(receiver.join().unwrap().try_recv(), Ok(2));
    });
}

#[test]
fn loom_mpsc_close_waits_for_the_permit_that_is_out() {
    model(|| {
        let (tx, mut rx) = channel(1);
        let permit = tx.clone().try_reserve_owned().unwrap();
        let user = thread::spawn(move || drop(permit.send(1)));
        let waiter = thread::spawn(move || block_on(tx.send(2)).is_ok());
        rx.close();
        let mut received = Vec::new();
        while let Some(value) = block_on(rx.recv()) {
            received.push(value);
        }
        assert_eq!(received, [1]);
        user.join().unwrap();
        assert!(!waiter.join().unwrap());
    });
}

#[test]
fn loom_mpsc_permit_dropped_while_the_receiver_waits_for_the_end() {
    model(|| {
        let (tx, mut rx) = channel::<u8>(2);
        let permits = [tx.clone().try_reserve_owned().unwrap(), tx.try_reserve_owned().unwrap()];
        rx.close();
        let users = permits.map(|permit| thread::spawn(move || drop(permit)));
        assert_eq!(block_on(rx.recv()), None);
        users.into_iter().for_each(|user| user.join().unwrap());
    });
}

/// A value that is sent while the receiver goes is refused or dropped: once.
#[test]
fn loom_mpsc_send_races_a_receiver_that_goes() {
    model(|| {
        let counter = Arc::new(Counter::default());
        let (tx, mut rx) = channel(2);
        let permit = tx.clone().try_reserve_owned().unwrap();
        let (first, second) = (counter.make(1), counter.make(2));
        let permitted = thread::spawn(move || drop(permit.send(first)));
        let sender = thread::spawn(move || drop(block_on(tx.send(second))));
        drop(rx.try_recv());
        drop(rx);
        permitted.join().unwrap();
        sender.join().unwrap();
        assert_eq!(counter.alive(), 0);
    });
}

#[test]
fn loom_mpsc_closed_is_heard() {
    model(|| {
        let (tx, rx) = channel::<u8>(1);
        let receiver = thread::spawn(move || drop(rx));
        block_on(tx.closed());
        assert!(tx.is_closed());
        receiver.join().unwrap();
    });
}

/// The last sender goes while a weak one wants to become one: the receiver ends after whoever was last.
#[test]
fn loom_mpsc_upgrade_races_the_last_sender() {
    model(|| {
        let (tx, mut rx) = unbounded_channel();
        let weak = tx.downgrade();
        let upgrader = thread::spawn(move || weak.upgrade().map(|tx| tx.send(1).unwrap()).is_some());
        drop(tx);
        let received = block_on(rx.recv());
        assert_eq!(upgrader.join().unwrap(), received.is_some());
        assert_eq!(block_on(rx.recv()), None);
    });
}

/// The word alone: whoever gives back after the mark is told, and who marks finds all that came before.
#[test]
fn loom_mpsc_returned_permits_are_collected_or_handed_out() {
    loom::model(|| {
        let returned = Arc::new(Returned::new());
        let receiver = thread::spawn({
            let returned = returned.clone();
            move || [1, 2].map(|permits| returned.give_back(permits))
        });
        let mut collected = returned.collect();
        let marked = returned.collect_and_mark();
        collected += marked;
        let told = receiver.join().unwrap();
        let left = returned.collect_and_clear();
        assert_eq!(collected + left, 3);
        assert_eq!(left > 0, told.contains(&GiveBack::HandOut));
        assert_eq!(returned.give_back(1), GiveBack::Done);
    });
}
