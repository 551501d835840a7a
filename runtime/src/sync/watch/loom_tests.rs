//! Senders against receivers that come and go, under every interleaving that loom can make.

use super::*;
use crate::sync::block_on::block_on;
use crate::sync::watch::shared::Shared;
use crate::wait_queue::WaitSlot;
use loom::thread;
use std::sync::Arc;
use std::task::Waker;

fn model(check: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(check);
}

#[test]
fn loom_changed_misses_no_value_and_no_end() {
    model(|| {
        let (tx, mut rx) = channel(0);
        let sender = thread::spawn(move || {
            tx.send(1).unwrap();
            tx.send(2).unwrap();
        });
        let mut last = 0;
        while block_on(rx.changed()).is_ok() {
            let now = *rx.borrow_and_update();
            assert!(now >= last);
            last = now;
        }
        assert_eq!(last, 2);
        sender.join().unwrap();
    });
}

/// The bit of a crowd is set by one receiver, relied on by another, and cleared by a sender that came for nothing.
#[test]
fn loom_two_receivers_of_one_crowd() {
    model(|| {
        let shared = Arc::new(Shared::new(0));
        let seen = shared.state.load().version();
        let mut gone = WaitSlot::new();
        assert!(shared.wait(0, &mut gone, Waker::noop(), seen).is_none());
        shared.leave(0, &mut gone); // the bit stays
        let receiver = |shared: Arc<Shared<i32>>| move || block_on(Receiver::in_first_crowd(shared, seen).changed());
        let receiver = thread::spawn(receiver(shared.clone()));
        let sender = {
            let shared = shared.clone();
            thread::spawn(move || shared.tell(shared.state.publish()))
        };
        shared.tell(shared.state.publish());
        assert!(receiver.join().unwrap().is_ok());
        sender.join().unwrap();
    });
}

/// One receiver gives up while another waits beside it.
#[test]
fn loom_a_receiver_gives_up_beside_one_that_waits() {
    model(|| {
        let shared = Arc::new(Shared::new(0));
        let seen = shared.state.load().version();
        let waiting = {
            let shared = shared.clone();
            thread::spawn(move || block_on(Receiver::in_first_crowd(shared, seen).changed()))
        };
        let sender = {
            let shared = shared.clone();
            thread::spawn(move || shared.tell(shared.state.publish()))
        };
        let mut slot = WaitSlot::new();
        let _ = shared.wait(0, &mut slot, Waker::noop(), seen);
        shared.leave(0, &mut slot);
        assert!(waiting.join().unwrap().is_ok());
        sender.join().unwrap();
    });
}

#[test]
fn loom_closed_hears_of_the_last_receiver() {
    model(|| {
        let (tx, rx) = channel(0);
        let second = rx.clone();
        let threads = [rx, second].map(|rx| thread::spawn(move || drop(rx)));
        block_on(tx.closed());
        assert!(tx.is_closed());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
