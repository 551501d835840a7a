//! Coming together and leaving together.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use super::*;
use crate::sync::spy::Spy;
use futures_lite::future::block_on;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread;

#[test]
fn none_and_one_are_the_same() {
    for n in [0, 1] {
        let barrier = Barrier::new(n);
        for _ in 0..3 {
            assert!(block_on(barrier.wait()).is_leader());
        }
    }
}

#[test]
fn all_leave_when_the_last_has_come_and_it_leads() {
    let barrier = Barrier::new(3);
    for _ in 0..2 {
        let mut waiters = [1, 2].map(|_| Spy::waiting(barrier.wait()));
        assert!(waiters.iter_mut().all(|waiter| waiter.poll().is_pending()));
        assert!(Spy::new(barrier.wait()).into_output().is_leader());
        for waiter in waiters {
            assert_eq!(waiter.wakes(), 1);
            assert!(!waiter.into_output().is_leader());
        }
    }
}

#[test]
fn who_is_slow_to_look_leaves_though_the_next_ones_are_there_already() {
    let barrier = Barrier::new(2);
    let slow = Spy::waiting(barrier.wait());
    assert!(Spy::new(barrier.wait()).into_output().is_leader());
    let next = Spy::waiting(barrier.wait());
    assert!(!slow.into_output().is_leader());
    assert!(Spy::new(barrier.wait()).into_output().is_leader());
    assert!(!next.into_output().is_leader());
}

#[test]
fn who_goes_early_has_come_all_the_same_and_leaves_nothing_in_the_list() {
    let barrier = Barrier::new(3);
    drop(Spy::waiting(barrier.wait()));
    assert!(barrier.state.lock().waiters.is_empty());
    let waiter = Spy::waiting(barrier.wait());
    assert!(Spy::new(barrier.wait()).into_output().is_leader());
    drop(waiter);
    let never_polled = barrier.wait();
    drop(never_polled);
    assert_eq!(barrier.state.lock().arrived, 0);
}

#[test]
fn the_task_that_polled_last_is_woken() {
    let barrier = Barrier::new(2);
    let mut waiter = Spy::waiting(barrier.wait());
    assert!(waiter.poll_elsewhere().is_pending());
    assert!(Spy::new(barrier.wait()).into_output().is_leader());
    assert_eq!(waiter.wakes(), 1);
}

#[test]
fn what_is_shown_and_sent() {
    fn send<T: Send>(_: &T) {}
    let barrier = Barrier::new(2);
    send(&barrier.wait());
    assert_eq!(format!("{barrier:?}"), "Barrier { n: 2, .. }");
    assert_eq!(format!("{:?}", block_on(Barrier::new(1).wait()).clone()), "BarrierWaitResult(true)");
}

/// Nobody begins a round before all have ended the one before, and each round has one leader.
#[test]
fn stress_rounds_on_threads() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 300;
    let shared = Arc::new((Barrier::new(THREADS), AtomicUsize::new(0)));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let shared = shared.clone();
            thread::spawn(move || {
                let (barrier, steps) = &*shared;
                let mut led = 0;
                for round in 0..ROUNDS {
                    assert!(steps.fetch_add(1, Ordering::SeqCst) >= round * THREADS);
                    led += usize::from(block_on(barrier.wait()).is_leader());
                    assert!(steps.load(Ordering::SeqCst) >= (round + 1) * THREADS);
                }
                led
            })
        })
        .collect();
    let led: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(led, ROUNDS);
}
