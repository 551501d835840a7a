//! The queue with numbers in it.
#![allow(clippy::unwrap_used, reason = "a test's own functions may unwrap as the test does")]

use super::*;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize};

/// A number in the guise of a pointer; never followed.
#[derive(Debug, PartialEq, Eq)]
struct Number(usize);

impl Item for Number {
    fn into_raw(self) -> NonNull<()> {
        NonNull::new(std::ptr::without_provenance_mut(self.0 + 1)).unwrap()
    }

    unsafe fn from_raw(raw: NonNull<()>) -> Number {
        Number(raw.addr().get() - 1)
    }
}

fn drain(local: &mut Local<Number>) -> Vec<usize> {
    std::iter::from_fn(|| local.pop()).map(|n| n.0).collect()
}

#[test]
fn the_ring_is_first_in_first_out_and_overflows_its_older_half() {
    for sole in [true, false] {
        let injector = Injector::new();
        let (mut local, _remote) = new(sole);
        let overflowed: Vec<_> = (0..CAPACITY + 1).filter(|&n| local.push(Number(n), &injector).0).collect();
        assert_eq!((overflowed, injector.len()), (vec![CAPACITY], HALF));
        assert_eq!(drain(&mut local), (HALF..CAPACITY + 1).collect::<Vec<_>>());
        let overflowed: Vec<_> = std::iter::from_fn(|| injector.pop()).map(|n| n.0).collect();
        assert_eq!(overflowed, (0..HALF).collect::<Vec<_>>());
    }
}

#[test]
fn a_thief_takes_the_older_half_rounded_up_and_keeps_one_in_hand() {
    let check = |there: usize, taken: usize| {
        let injector = Injector::new();
        let (mut victim, remote) = new(false);
        let (mut thief, _) = new(false);
        assert!((0..there).all(|n| victim.push(Number(n), &injector) == Overflowed(false)));
        let in_hand = remote.steal_into(&mut thief);
        assert_eq!(in_hand.map(|(n, count)| (n.0, count)), taken.checked_sub(1).map(|last| (last, taken)));
        assert_eq!(drain(&mut thief), (0..taken.saturating_sub(1)).collect::<Vec<_>>());
        assert_eq!(drain(&mut victim), (taken..there).collect::<Vec<_>>());
    };
    check(0, 0);
    check(1, 1);
    check(2, 1);
    check(3, 2);
    check(CAPACITY, HALF);
}

#[test]
fn the_lifo_slot_displaces_and_can_be_stolen() {
    let (mut local, remote) = new(false);
    assert_eq!((local.push_lifo(Number(1)), remote.lifo_mark()), (None, 2));
    assert_eq!(local.push_lifo(Number(2)), Some(Number(1)));
    assert!(!local.is_empty() && remote.ring_len() == 0);
    assert_eq!((remote.steal_lifo(), local.pop_lifo(), remote.lifo_mark()), (Some(Number(2)), None, 0));
    assert!(local.is_empty());
}

/// One owner, two thieves, every number seen exactly once.
#[test]
fn nothing_is_lost_or_doubled_among_threads() {
    const TOTAL: usize = 200_000;
    let injector = Injector::new();
    let (mut local, remote) = new(false);
    let seen: Vec<AtomicUsize> = (0..TOTAL).map(|_| AtomicUsize::new(0)).collect();
    let done = AtomicBool::new(false);
    let see = |n: Number| {
        seen[n.0].fetch_add(1, Ordering::Relaxed);
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (mut own, _) = new(false);
                while !done.load(Ordering::Acquire) {
                    if let Some((first, count)) = remote.steal_into(&mut own) {
                        see(first);
                        assert_eq!(drain_into(&mut own, &see), count - 1);
                    }
                    remote.steal_lifo().into_iter().for_each(see);
                }
            });
        }
        for n in 0..TOTAL {
            match n % 3 {
                0 => local.push_lifo(Number(n)),
                _ => Some(Number(n)),
            }
            .into_iter()
            .for_each(|n| {
                local.push(n, &injector);
            });
            if n % 5 == 0 {
                local.pop().into_iter().for_each(see);
            }
        }
        local.pop_lifo().into_iter().for_each(see);
        drain_into(&mut local, &see);
        done.store(true, Ordering::Release);
    });
    std::iter::from_fn(|| injector.pop()).for_each(see);
    assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 1));
}

fn drain_into(local: &mut Local<Number>, see: &impl Fn(Number)) -> usize {
    std::iter::from_fn(|| local.pop()).map(see).count()
}

mod model {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push,
        Pop,
        PushLifo,
        PopLifo,
        Steal,
    }

    proptest! {
        /// Against two plain queues: the ring and the injector.
        #[test]
        fn the_queue_does_what_a_plain_one_does(
            steps in prop::collection::vec(
                prop_oneof![
                    6 => Just(Step::Push), 2 => Just(Step::Pop), 1 => Just(Step::PushLifo), 1 => Just(Step::PopLifo),
                    1 => Just(Step::Steal),
                ],
                0..2000,
            )
        ) {
            let injector = Injector::new();
            let (mut local, remote) = new(false);
            let (mut ring, mut lifo, mut spilled) = (VecDeque::new(), None, 0);
            let push = |ring: &mut VecDeque<usize>, spilled: &mut usize, n| {
                if ring.len() == CAPACITY {
                    *spilled += HALF;
                    ring.drain(..HALF);
                }
                ring.push_back(n);
            };
            for (n, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Push => {
                        local.push(Number(n), &injector);
                        push(&mut ring, &mut spilled, n);
                    }
                    Step::Pop => prop_assert_eq!(local.pop().map(|n| n.0), ring.pop_front()),
                    Step::PushLifo => prop_assert_eq!(local.push_lifo(Number(n)).map(|n| n.0), lifo.replace(n)),
                    Step::PopLifo => prop_assert_eq!(local.pop_lifo().map(|n| n.0), lifo.take()),
                    Step::Steal => {
                        let (mut thief, _) = new(false);
                        let taken = remote.steal_into(&mut thief).map_or(0, |(_, count)| count);
                        prop_assert_eq!(taken, ring.len().div_ceil(2));
                        ring.drain(..taken);
                    }
                }
                prop_assert_eq!((local.ring_len(), injector.len()), (ring.len(), spilled));
            }
        }
    }
}
