//! The two halves under every interleaving that loom can make.

use super::*;
use crate::park::Parker;
use crate::sync::test_support::{Counter, Wakes};
use loom::thread;
use std::sync::Arc;

/// Drives a future on the calling thread; a lost wake-up is a deadlock, which loom reports.
fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    let parker = Parker::new();
    let waker = parker.waker();
    loop {
        if let Poll::Ready(output) = Pin::new(&mut future).poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        parker.park();
    }
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    let waker = Arc::new(Wakes::default()).into();
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

#[test]
fn loom_oneshot_value_arrives() {
    loom::model(|| {
        let (tx, rx) = channel();
        let sender = thread::spawn(move || tx.send(1).unwrap());
        assert_eq!(block_on(rx), Ok(1));
        sender.join().unwrap();
    });
}

#[test]
fn loom_oneshot_value_arrives_at_a_receiver_that_changes_its_waker() {
    loom::model(|| {
        let (tx, mut rx) = channel();
        let sender = thread::spawn(move || tx.send(1).unwrap());
        let value = match poll_once(&mut rx) {
            Poll::Ready(value) => value,
            Poll::Pending => block_on(&mut rx),
        };
        assert_eq!(value, Ok(1));
        sender.join().unwrap();
    });
}

#[test]
fn loom_oneshot_sender_that_is_dropped_is_heard() {
    loom::model(|| {
        let (tx, rx) = channel::<u8>();
        let sender = thread::spawn(move || drop(tx));
        assert!(block_on(rx).is_err());
        sender.join().unwrap();
    });
}

/// The value reaches the receiver, comes back to the sender, or is dropped with the receiver: one of them, once.
#[test]
fn loom_oneshot_send_races_a_receiver_that_goes() {
    loom::model(|| {
        let counter = Arc::new(Counter::default());
        let (tx, mut rx) = channel();
        let value = counter.make(0);
        let sender = thread::spawn(move || drop(tx.send(value)));
        drop(poll_once(&mut rx));
        drop(rx);
        sender.join().unwrap();
        assert_eq!(counter.alive(), 0);
    });
}

#[test]
fn loom_oneshot_send_races_close() {
    loom::model(|| {
        let (tx, mut rx) = channel();
        let sender = thread::spawn(move || tx.send(1));
        let first = poll_once(&mut rx);
        if first.is_pending() {
            rx.close();
            let received = rx.try_recv();
            let sent = sender.join().unwrap();
            assert_eq!(received.is_ok(), sent.is_ok());
        } else {
            assert_eq!((first, sender.join().unwrap()), (Poll::Ready(Ok(1)), Ok(())));
        }
    });
}

#[test]
fn loom_oneshot_closed_is_heard() {
    loom::model(|| {
        let (mut tx, mut rx) = channel::<u8>();
        let receiver = thread::spawn(move || {
            rx.close();
            rx
        });
        assert!(!(poll_once(&mut Box::pin(tx.closed())).is_ready() && !tx.is_closed()));
        block_on(Box::pin(tx.closed()));
        assert_eq!(tx.send(1), Err(1));
        assert!(receiver.join().unwrap().try_recv().is_err());
    });
}

/// Both have left wakers behind, and both go at once: nothing is touched that the other one freed.
#[test]
fn loom_oneshot_both_wait_and_go() {
    loom::model(|| {
        let wakes: [Arc<Wakes>; 2] = Default::default();
        let wakers = wakes.clone().map(std::task::Waker::from);
        let (mut tx, mut rx) = channel::<u8>();
        let waker = wakers[0].clone();
        let sender = thread::spawn(move || {
            let closed = tx.poll_closed(&mut Context::from_waker(&waker)).is_ready();
            drop(tx);
            closed
        });
        let _ = Pin::new(&mut rx).poll(&mut Context::from_waker(&wakers[1]));
        drop(rx);
        sender.join().unwrap();
        drop(wakers);
        assert_eq!(wakes.each_ref().map(Arc::strong_count), [1, 1], "no waker is left behind");
    });
}
