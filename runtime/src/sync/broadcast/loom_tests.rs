//! Senders against receivers that come and go, under every interleaving that loom can make.

use super::error::RecvError;
use super::*;
use crate::sync::block_on::{block_on, poll_once};
use loom::thread;
use std::pin::pin;
use std::sync::Arc;

fn model(check: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(check);
}

#[test]
fn loom_recv_misses_no_value_and_no_end() {
    model(|| {
        let (tx, mut rx) = channel(2);
        let sender = thread::spawn(move || {
            tx.send(1).unwrap();
            tx.send(2).unwrap();
        });
        assert_eq!(block_on(rx.recv()), Ok(1));
        assert_eq!(block_on(rx.recv()), Ok(2));
        assert_eq!(block_on(rx.recv()), Err(RecvError::Closed));
        sender.join().unwrap();
    });
}

#[test]
fn loom_a_receiver_is_overtaken() {
    model(|| {
        let (tx, mut rx) = channel(1);
        let sender = thread::spawn(move || {
            tx.send(1).unwrap();
            tx.send(2).unwrap();
        });
        let mut met = 0;
        loop {
            match block_on(rx.recv()) {
                Ok(_) => met += 1,
                Err(RecvError::Lagged(missed)) => met += missed,
                Err(RecvError::Closed) => break,
            }
        }
        assert_eq!(met, 2);
        sender.join().unwrap();
    });
}

/// A told receiver forgets its place without the lock: it must not be in the list still.
#[test]
fn loom_whoever_finds_a_value_is_in_no_list() {
    model(|| {
        let (tx, mut rx) = channel(2);
        let mut recv = pin!(rx.recv());
        assert!(!poll_once(&mut recv));
        let sender = {
            let tx = tx.clone();
            thread::spawn(move || tx.send(1).unwrap())
        };
        if poll_once(&mut recv) {
            assert_eq!(tx.waiting(), 0);
        }
        sender.join().unwrap();
    });
}

#[test]
fn loom_a_value_goes_with_the_last_who_was_to_see_it() {
    model(|| {
        let value = Arc::new(());
        let (tx, mut rx) = channel(1);
        let second = tx.subscribe();
        tx.send(value.clone()).unwrap();
        let leaver = thread::spawn(move || drop(second));
        drop(rx.try_recv());
        leaver.join().unwrap();
        assert_eq!(Arc::strong_count(&value), 1);
        assert!(tx.is_empty());
    });
}

#[test]
fn loom_a_weak_sender_beside_the_last_strong_one() {
    model(|| {
        let (tx, mut rx) = channel(1);
        let weak = tx.downgrade();
        let dropper = thread::spawn(move || drop(tx));
        let sent = weak.upgrade().is_some_and(|tx| tx.send(1).is_ok());
        if sent {
            assert_eq!(block_on(rx.recv()), Ok(1));
        }
        assert_eq!(block_on(rx.recv()), Err(RecvError::Closed));
        dropper.join().unwrap();
    });
}

#[test]
fn loom_closed_hears_of_the_last_receiver() {
    model(|| {
        let (tx, rx) = channel::<u8>(1);
        let second = tx.subscribe();
        let threads = [rx, second].map(|rx| thread::spawn(move || drop(rx)));
        block_on(tx.closed());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
