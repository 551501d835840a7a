//! The wait queue under every interleaving that loom can make.

use super::*;
use crate::park::Parker;
use crate::wait_queue::queue::Barrier;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;
use std::future::Future;
use std::pin::Pin;
use std::task::Context;

/// A one-shot sleeper built on [`Parker`], so that a lost wake-up is a deadlock, which loom reports.
fn sleep_until(queue: &WaitQueue, mode: Mode, mut condition: impl FnMut() -> bool) {
    let parker = Parker::new();
    let waker = parker.waker();
    let mut slot = WaitSlot::new();
    loop {
        queue.prepare(&mut slot, &waker, Events::IN, mode);
        if condition() {
            let _ = queue.finish(&mut slot);
            return;
        }
        parker.park();
    }
}

/// docs/rxpath.md, row 43: with the condition a relaxed atomic, only the barrier pair keeps the waiter from sleeping for ever.
#[test]
fn loom_store_then_wake_is_never_missed() {
    loom::model(|| {
        let shared = Arc::new((WaitQueue::new(), AtomicBool::new(false)));
        let producer = shared.clone();
        let thread = thread::spawn(move || {
            producer.1.store(true, Ordering::Relaxed);
            producer.0.wake(Events::IN, 1);
        });
        sleep_until(&shared.0, Mode::Shared, || shared.1.load(Ordering::Relaxed));
        thread.join().unwrap();
    });
}

/// docs/rxpath.md, row 43, the other way round: without one of the barriers a model finds the waiter that sleeps for ever.
fn lose_a_wake_up_without(barrier: Barrier) {
    loom::model(move || {
        let mut queue = WaitQueue::new();
        queue.without = Some(barrier);
        let shared = Arc::new((queue, AtomicBool::new(false)));
        let producer = shared.clone();
        let thread = thread::spawn(move || {
            producer.1.store(true, Ordering::Relaxed);
            producer.0.wake(Events::IN, 1);
        });
        sleep_until(&shared.0, Mode::Shared, || shared.1.load(Ordering::Relaxed));
        thread.join().unwrap();
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn loom_without_the_waiters_barrier_a_wake_up_is_lost() {
    lose_a_wake_up_without(Barrier::Waiter);
}

#[test]
#[should_panic(expected = "deadlock")]
fn loom_without_the_wakers_barrier_a_wake_up_is_lost() {
    lose_a_wake_up_without(Barrier::Waker);
}

/// `wait_woken`: an entry that stays, and a wake that is remembered though it falls between looking and sleeping.
#[test]
fn loom_a_wake_between_looking_and_sleeping_is_remembered() {
    loom::model(|| {
        let shared = Arc::new((WaitQueue::new(), AtomicUsize::new(0)));
        let producer = shared.clone();
        let thread = thread::spawn(move || {
            for _ in 0..2 {
                producer.1.fetch_add(1, Ordering::Relaxed);
                producer.0.wake(Events::IN, 1);
            }
        });
        let parker = Parker::new();
        let mut slot = WaitSlot::new();
        drop(shared.0.add(&mut slot, std::sync::Arc::new(parker.unparker()), Events::IN, Mode::Shared));
        while shared.1.load(Ordering::Relaxed) < 2 {
            parker.park();
        }
        drop(shared.0.finish(&mut slot));
        thread.join().unwrap();
    });
}

/// Two items, two exclusive waiters, one wake each: both get one.
#[test]
fn loom_two_exclusive_waiters_share_two_wakes() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let shared = Arc::new((WaitQueue::new(), AtomicUsize::new(0)));
        let take =
            |items: &AtomicUsize| items.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1)).is_ok();
        let waiter = {
            let shared = shared.clone();
            thread::spawn(move || sleep_until(&shared.0, Mode::Exclusive, || take(&shared.1)))
        };
        let producer = {
            let shared = shared.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    shared.1.fetch_add(1, Ordering::AcqRel);
                    shared.0.wake(Events::IN, 1);
                }
            })
        };
        sleep_until(&shared.0, Mode::Exclusive, || take(&shared.1));
        waiter.join().unwrap();
        producer.join().unwrap();
        assert_eq!(shared.1.load(Ordering::Acquire), 0);
    });
}

/// One item, two exclusive waiters; the first may give up at any moment. The second must still get the item.
#[test]
fn loom_a_cancelled_waiter_passes_the_wake_on() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let shared = Arc::new((WaitQueue::new(), AtomicBool::new(false)));
        let mut first = shared.0.wait_until(Events::IN, Mode::Exclusive, || None::<()>);
        let parker = Parker::new();
        let waker = parker.waker();
        assert!(Pin::new(&mut first).poll(&mut Context::from_waker(&waker)).is_pending());
        let second = {
            let shared = shared.clone();
            thread::spawn(move || {
                // Not `swap`: loom may order the producer's store before a swap that did not read it.
                let take = || shared.1.compare_exchange(true, false, Ordering::AcqRel, Ordering::Acquire).is_ok();
                sleep_until(&shared.0, Mode::Exclusive, take);
            })
        };
        let producer = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.1.store(true, Ordering::Release);
                shared.0.wake(Events::IN, 1);
            })
        };
        drop(first);
        second.join().unwrap();
        producer.join().unwrap();
    });
}
