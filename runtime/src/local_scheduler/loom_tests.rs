//! Wakes from another thread against the owner's poll and its end.

use super::*;
use crate::park::Parker;
use loom::thread;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

fn model(preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(f);
}

/// Spawns a task that gives its waker away at its first poll, and is ready at its second.
fn woken_once(scheduler: &LocalScheduler) -> (JoinHandle<()>, Waker) {
    let given = Rc::new(RefCell::new(None));
    let give = given.clone();
    let join = scheduler.spawn(
        poll_fn(
            move |cx| if give.replace(Some(cx.waker().clone())).is_some() { Poll::Ready(()) } else { Poll::Pending },
        ),
        task::Origin::here(None),
    );
    poll(scheduler, &mut WaitSlot::new(), Waker::noop());
    let waker = given.borrow().clone();
    (join, waker.expect("it was polled"))
}

fn poll(scheduler: &LocalScheduler, slot: &mut WaitSlot, waker: &Waker) {
    scheduler.attend(slot, waker);
    scheduler.as_polled(|| scheduler.run_tasks());
}

/// A wake in any moment of the owner's poll, or between two, leads to another one.
#[test]
fn loom_a_wake_from_elsewhere_is_not_lost() {
    model(3, || {
        let scheduler = LocalScheduler::new();
        let (join, waker) = woken_once(&scheduler);
        let waking = thread::spawn(move || waker.wake());
        let parker = Parker::new();
        let mut slot = WaitSlot::new();
        loop {
            poll(&scheduler, &mut slot, &parker.waker());
            if scheduler.is_empty() {
                break;
            }
            parker.park();
        }
        assert!(join.is_finished());
        waking.join().expect("it does not panic");
    });
}

/// The set ends while another thread wakes its task: the future is dropped here, whoever frees the task.
#[test]
fn loom_a_wake_meets_the_end() {
    model(3, || {
        let scheduler = LocalScheduler::new();
        let (join, waker) = woken_once(&scheduler);
        let waking = thread::spawn(move || {
            waker.wake_by_ref();
            drop(waker);
        });
        scheduler.close();
        assert!(join.is_finished());
        drop(join);
        drop(scheduler);
        waking.join().expect("it does not panic");
    });
}

/// Two threads wake two tasks while the owner is polled: both are polled, in however many polls of the owner.
#[test]
fn loom_two_wakes_are_two_polls() {
    model(2, || {
        let scheduler = LocalScheduler::new();
        let tasks = [woken_once(&scheduler), woken_once(&scheduler)];
        let waking = tasks.map(|(join, waker)| (join, thread::spawn(move || waker.wake())));
        let parker = Parker::new();
        let mut slot = WaitSlot::new();
        loop {
            poll(&scheduler, &mut slot, &parker.waker());
            if scheduler.is_empty() {
                break;
            }
            parker.park();
        }
        for (join, thread) in waking {
            assert!(join.is_finished());
            thread.join().expect("it does not panic");
        }
    });
}
