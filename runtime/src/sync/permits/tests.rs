//! The queue of permits against a model that hands them out one by one.

use super::*;
use crate::sync::spy::Spy;
use std::collections::VecDeque;

/// What tokio's semaphore does, one permit after the other: what comes goes to the first in the queue until that has enough.
#[derive(Default)]
struct Model {
    available: usize,
    closed: bool,
    /// (name, what it asked for, what it still lacks)
    queue: VecDeque<(usize, usize, usize)>,
    told: Vec<(usize, usize)>,
}

impl Model {
    fn give(&mut self, mut n: usize) {
        while n > 0 {
            let Some((name, asked, lacks)) = self.queue.front_mut() else { break };
            let part = n.min(*lacks);
            n -= part;
            *lacks -= part;
            if *lacks == 0 {
                self.told.push((*name, *asked));
                self.queue.pop_front();
            }
        }
        self.available += n;
    }

    /// `Some` says how it ended at once.
    fn acquire(&mut self, name: usize, n: usize) -> Option<bool> {
        if self.closed {
            return Some(false);
        }
        let now = n.min(self.available);
        self.available -= now;
        if now == n {
            return Some(true);
        }
        self.queue.push_back((name, n, n - now));
        None
    }

    fn leave(&mut self, name: usize) {
        if let Some(at) = self.queue.iter().position(|waiter| waiter.0 == name) {
            let (_, asked, lacks) = self.queue.remove(at).expect("it was found there");
            self.give(asked - lacks);
        } else if let Some(at) = self.told.iter().position(|waiter| waiter.0 == name) {
            let (_, asked) = self.told.remove(at);
            self.give(asked);
        }
    }

    fn close(&mut self) {
        self.closed = true;
        // tokio gives back what a waiter had when the waiter drops; here at once. Nobody can take it either way.
        for (_, asked, lacks) in std::mem::take(&mut self.queue) {
            self.available += asked - lacks;
        }
    }
}

/// Every observable step of the queue is that of the model: who is told and when, what is left, what fails.
#[test]
fn whole_grants_look_as_tokios_partial_ones() {
    for seed in 0..400 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let start = rng.usize(0..4);
        let permits = Permits::new(start);
        let mut model = Model { available: start, ..Model::default() };
        let mut waiting = Vec::new();
        let mut held = Vec::new();
        for name in 0..200 {
            match rng.u32(0..100) {
                0..40 => {
                    let n = rng.usize(0..4);
                    let mut spy = Spy::new(permits.acquire(u32::try_from(n).unwrap()));
                    match (model.acquire(name, n), spy.poll()) {
                        (Some(true), Poll::Ready(Ok(()))) => held.push(n),
                        (Some(false), Poll::Ready(Err(_))) => {}
                        (None, Poll::Pending) => waiting.push((name, spy)),
                        (model, got) => panic!("seed {seed}: the model says {model:?}, got {got:?}"),
                    }
                }
                40..50 => {
                    let n = rng.usize(0..4);
                    let expected = !model.closed && model.available >= n;
                    assert_eq!(permits.try_take(n).is_ok(), expected, "seed {seed}");
                    if expected {
                        model.available -= n;
                        held.push(n);
                    }
                }
                50..70 if !held.is_empty() => {
                    let n = held.swap_remove(rng.usize(0..held.len()));
                    permits.give(n);
                    model.give(n);
                }
                70..75 => {
                    permits.give(1);
                    model.give(1);
                }
                75..80 => {
                    let n = rng.usize(0..3);
                    let gone = n.min(model.available);
                    assert_eq!(permits.forget(n), gone, "seed {seed}");
                    model.available -= gone;
                }
                80..92 if !waiting.is_empty() => {
                    let (name, spy) = waiting.remove(rng.usize(0..waiting.len()));
                    drop(spy);
                    model.leave(name);
                }
                92 if rng.bool() => {
                    permits.close();
                    model.close();
                }
                _ => {}
            }
            assert_eq!(permits.available(), model.available, "seed {seed}");
            assert_eq!(permits.is_closed(), model.closed, "seed {seed}");
            // A random part of those who wait looks again, whether woken or not.
            waiting.retain_mut(|(name, spy)| {
                let told = model.told.iter().position(|told| told.0 == *name);
                assert_eq!(spy.wakes() > 0, told.is_some() || model.closed, "seed {seed}");
                if rng.bool() {
                    return true;
                }
                match spy.poll() {
                    Poll::Pending => {
                        assert!(told.is_none() && !model.closed, "seed {seed}");
                        true
                    }
                    Poll::Ready(Ok(())) => {
                        let (_, n) = model.told.swap_remove(told.expect("only who was told is ready"));
                        assert!(!model.closed, "seed {seed}");
                        held.push(n);
                        false
                    }
                    Poll::Ready(Err(_)) => {
                        assert!(model.closed, "seed {seed}");
                        model.leave(*name);
                        false
                    }
                }
            });
            assert_eq!(permits.available(), model.available, "seed {seed}");
        }
        drop(waiting);
        assert!(permits.queue.lock().waiters.is_empty());
    }
}

/// The counter alone tells a waiter in the middle of a queue of which nobody has left: the list is not asked again.
#[test]
fn a_waiter_that_was_told_learns_it_from_the_counter() {
    let permits = Permits::new(0);
    let mut waiters = [1, 2, 3].map(|n| Spy::waiting(permits.acquire(n)));
    let ahead = waiters.each_mut().map(|waiter| match waiter.pin().wait.0 {
        Stage::Queued { ahead, .. } => ahead,
        Stage::New => panic!("it waits"),
    });
    assert_eq!(ahead, [0, 1, 2]);
    permits.give(3);
    assert_eq!(permits.served.load(Ordering::Relaxed), 2);
    assert!(waiters[2].poll().is_pending());
    assert!(waiters[1].poll().is_ready() && waiters[0].poll().is_ready());
}

/// The waiter behind one that gave up comes sooner than it counted on.
#[test]
fn a_neighbour_that_gave_up_does_not_hide_that_a_waiter_was_told() {
    let permits = Permits::new(0);
    let first = Spy::waiting(permits.acquire(1));
    let second = Spy::waiting(permits.acquire(1));
    drop(first);
    permits.give(1);
    assert_eq!(second.wakes(), 1);
    assert!(second.into_output().is_ok());
    assert_eq!(permits.available(), 0);
}

#[test]
fn nobody_waiting_leaves_the_list_alone() {
    let permits = Permits::new(2);
    for _ in 0..3 {
        permits.try_take(2).unwrap();
        permits.give(2);
        assert!(permits.try_take_all(2));
        assert!(!permits.try_take_all(2));
        permits.give_all(2);
    }
    assert_eq!(permits.available(), 2);
    assert_eq!(permits.served.load(Ordering::Relaxed), 0);
}

/// 32-bit weights that add up to more than a 32-bit word still end all waits.
#[test]
fn closing_tells_everybody_however_much_they_ask_for() {
    let permits = Permits::new(5);
    let waiters: Vec<_> = (0..9).map(|_| Spy::waiting(permits.acquire(u32::MAX))).collect();
    permits.close();
    for waiter in waiters {
        assert_eq!(waiter.wakes(), 1);
        assert!(waiter.into_output().is_err());
    }
    assert_eq!(permits.available(), 5, "what was saved for the first is there again");
}
