//! The completion model under every interleaving that loom can make: an operation that several call at once, and who waits for
//! completions. A lost call is bytes that are left in the socket, or a sleeper whom nobody has told.

use crate::completion::queue::Queue;
use crate::completion::turn::{Rested, Turn};
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;
use std::task::Waker;
use wakeline_runtime::wait_queue::{WaitList, WaitSlot, WakeBatch};

/// An operation that moves bytes out of a socket, as `Op::run` does.
struct Op {
    /// How many bytes have come: relaxed, so that only the lock orders it.
    came: AtomicUsize,
    turn: Mutex<Turn<usize>>,
    ended: AtomicUsize,
}

impl Op {
    fn new() -> Arc<Op> {
        let (came, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Op { came, turn: Mutex::new(Turn::idle(Some(0))), ended })
    }

    /// Gives how many bytes had come when it last looked.
    fn run(&self, minds_calls: bool) {
        while let Some(mut moved) = { self.turn.lock().unwrap().begin() } {
            moved = self.came.load(Ordering::Relaxed).max(moved);
            match { self.turn.lock().unwrap().rest(moved) } {
                Rested::Called if minds_calls => {}
                Rested::Quiet | Rested::Called => return,
                Rested::Cancelled(_) => return self.end(),
            }
        }
    }

    fn end(&self) {
        self.turn.lock().unwrap().end();
        self.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// Two softirqs bring a byte each; whoever is at the operation moves both.
fn bytes_from_two_sides(minds_calls: bool) {
    loom::model(move || {
        let op = Op::new();
        let bring = move |op: &Op| {
            op.came.fetch_add(1, Ordering::Relaxed);
            op.run(minds_calls);
        };
        let other = op.clone();
        let thread = thread::spawn(move || bring(&other));
        bring(&op);
        thread.join().unwrap();
        assert_eq!(op.turn.lock().unwrap().begin(), Some(2), "a byte is left in the socket");
    });
}

#[test]
fn loom_who_is_at_an_operation_hears_of_every_call() {
    bytes_from_two_sides(true);
}

/// The other way round: who does not look for a mark leaves a byte.
#[test]
#[should_panic(expected = "a byte is left in the socket")]
fn loom_without_the_mark_a_byte_is_left() {
    bytes_from_two_sides(false);
}

/// Whoever cancels, and whoever is at it: it ends once.
#[test]
fn loom_a_cancelled_operation_ends_once() {
    loom::model(|| {
        let op = Op::new();
        let other = op.clone();
        let thread = thread::spawn(move || other.run(true));
        let work = op.turn.lock().unwrap().cancel();
        if work.is_some() {
            op.end();
        }
        thread.join().unwrap();
        op.run(true);
        assert_eq!(op.ended.load(Ordering::Relaxed), 1);
    });
}

/// A ring, as `Shared` has it under its lock.
struct Ring(Mutex<(Queue<(), u64>, WaitList)>);

impl Ring {
    /// Two operations are under way.
    fn new() -> Arc<Ring> {
        let mut queue = Queue::new(2);
        (0..2).for_each(|_| assert_eq!(queue.begin(|_| ()), Ok(&())));
        Arc::new(Ring(Mutex::new((queue, WaitList::new()))))
    }

    fn finish(&self, number: usize) {
        let mut wakes = WakeBatch::new();
        {
            let (queue, waiting) = &mut *self.0.lock().unwrap();
            queue.end(number, Some(number as u64));
            waiting.wake_weighted(&mut queue.len(), &mut wakes);
        }
        wakes.wake_all();
    }
}

/// Two operations end at once, on two CPUs, while somebody comes to wait for both of them: `look` says whether it joins those who
/// sleep.
fn wait_for_both(look: impl Fn(&Ring, &mut WaitSlot) -> bool + Copy + Send + Sync + 'static) {
    loom::model(move || {
        let ring = Ring::new();
        let ends = [0, 1].map(|number| {
            let ring = ring.clone();
            thread::spawn(move || ring.finish(number))
        });
        let mut slot = WaitSlot::new();
        let sleeps = look(&ring, &mut slot);
        ends.into_iter().for_each(|end| end.join().unwrap());
        let (queue, waiting) = &*ring.0.lock().unwrap();
        assert!(!sleeps || !waiting.is_waiting(&slot), "a sleeper is forgotten");
        assert_eq!(queue.len(), 2);
    });
}

fn join(waiting: &mut WaitList, slot: &mut WaitSlot) -> bool {
    drop(waiting.join_weighted(slot, Waker::noop(), 2));
    true
}

#[test]
fn loom_who_waits_for_two_completions_is_woken_for_both() {
    wait_for_both(|ring, slot| {
        let (queue, waiting) = &mut *ring.0.lock().unwrap();
        queue.len() < 2 && join(waiting, slot)
    });
}

/// The other way round: looking and joining under two locks lets the completions fall in between.
#[test]
#[should_panic(expected = "a sleeper is forgotten")]
fn loom_looking_and_joining_under_two_locks_sleeps_for_ever() {
    wait_for_both(|ring, slot| {
        let done = { ring.0.lock().unwrap().0.len() };
        done < 2 && join(&mut ring.0.lock().unwrap().1, slot)
    });
}
