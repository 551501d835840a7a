//! The order and quota of wakes, cancellation, and the two ready-made protocols.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use super::*;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex as StdMutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

/// A waker that writes its name into a log.
struct Named(&'static str, Arc<StdMutex<Vec<&'static str>>>);

impl Wake for Named {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push(self.0);
    }
}

struct World {
    list: WaitList,
    log: Arc<StdMutex<Vec<&'static str>>>,
}

impl World {
    fn new() -> World {
        World { list: WaitList::new(), log: Arc::default() }
    }

    fn waker(&self, name: &'static str) -> Waker {
        Waker::from(Arc::new(Named(name, self.log.clone())))
    }

    fn join(&mut self, name: &'static str, interest: Events, mode: Mode) -> WaitSlot {
        let mut slot = WaitSlot::new();
        let waker = self.waker(name);
        assert!(self.list.join(&mut slot, &waker, interest, mode).is_none());
        slot
    }

    /// Wakes and returns the names that were told, in order.
    fn wake(&mut self, key: Events, exclusive: usize) -> Vec<&'static str> {
        let mut batch = WakeBatch::new();
        let told = self.list.wake(key, exclusive, &mut batch);
        assert_eq!(told, batch.len());
        batch.wake_all();
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

/// RXPATH row 40: non-exclusive LIFO first, exclusive FIFO behind them.
#[test]
fn shared_waiters_come_newest_first_and_before_exclusive_ones_oldest_first() {
    let mut world = World::new();
    for (name, mode) in [
        ("e1", Mode::Exclusive),
        ("s1", Mode::Shared),
        ("e2", Mode::Exclusive),
        ("s2", Mode::Shared),
        ("e3", Mode::Exclusive),
    ] {
        world.join(name, Events::READABLE, mode);
    }
    assert_eq!(world.wake(Events::READABLE, 1), ["s2", "s1", "e1"]);
    assert_eq!(world.wake(Events::READABLE, 5), ["e2", "e3"]);
    assert!(world.list.is_empty());
}

/// RXPATH row 44: a waiter for OUT hears nothing of IN, but always of errors and of a wake without a key.
#[test]
fn the_key_filters_and_errors_pass_every_filter() {
    let mut world = World::new();
    world.join("out", Events::WRITABLE, Mode::Shared);
    world.join("in", Events::READABLE, Mode::Shared);
    assert_eq!(world.wake(Events::READABLE, 1), ["in"]);
    assert_eq!(world.wake(Events::READABLE, 1), [] as [&str; 0]);
    assert_eq!(world.wake(Events::ERR, 1), ["out"]);
    world.join("out", Events::WRITABLE, Mode::Exclusive);
    assert_eq!(world.wake(Events::ANY, usize::MAX), ["out"]);
}

/// A filtered exclusive waiter does not use up the quota.
#[test]
fn an_uninterested_exclusive_waiter_is_skipped() {
    let mut world = World::new();
    world.join("out", Events::WRITABLE, Mode::Exclusive);
    world.join("in", Events::READABLE, Mode::Exclusive);
    assert_eq!(world.wake(Events::READABLE, 1), ["in"]);
    assert_eq!(world.list.len(), 1);
}

#[test]
fn joining_again_keeps_the_place_and_takes_the_new_waker() {
    let mut world = World::new();
    let mut first = world.join("old", Events::READABLE, Mode::Exclusive);
    world.join("second", Events::READABLE, Mode::Exclusive);
    let waker = world.waker("new");
    let old = world.list.join(&mut first, &waker, Events::READABLE, Mode::Exclusive).unwrap();
    assert!(!old.will_wake(&waker), "the waker that was replaced comes out of the lock");
    assert_eq!(world.list.len(), 2);
    assert_eq!(world.wake(Events::READABLE, 2), ["new", "second"]);
}

#[test]
fn a_stale_slot_is_recognised_even_when_its_place_was_taken_again() {
    let mut world = World::new();
    let mut told = world.join("told", Events::READABLE, Mode::Shared);
    assert!(world.list.is_waiting(&told));
    world.wake(Events::READABLE, 1);
    let mut other = world.join("other", Events::READABLE, Mode::Shared);
    assert!(!world.list.is_waiting(&told));
    assert!(matches!(world.list.remove(&mut told), Removed::Told));
    assert!(matches!(world.list.remove(&mut told), Removed::Absent));
    assert!(matches!(world.list.remove(&mut other), Removed::Waiting(_)));
    assert!(world.list.is_empty());
}

/// As a fair semaphore hands out permits: in order, each what it asked for, and nobody overtakes the first that must wait.
#[test]
fn a_weighted_wake_gives_each_what_it_asked_for_and_stops_at_the_first_that_asks_for_more() {
    let mut world = World::new();
    let mut join = |name, weight| {
        let (mut slot, waker) = (WaitSlot::new(), world.waker(name));
        assert!(world.list.join_weighted(&mut slot, &waker, weight).is_none());
        slot
    };
    let mut slots = [join("two", 2), join("none", 0), join("three", 3), join("one", 1)];
    let mut quota = 4;
    let mut batch = WakeBatch::new();
    assert_eq!(world.list.wake_weighted(&mut quota, &mut batch), 2);
    assert_eq!(quota, 2, "three do not fit into two, and one may not overtake");
    drop(batch);
    assert_eq!(*world.log.lock().unwrap(), ["two", "none"]);
    assert!(world.list.remove(&mut slots[0]).is_told());
    assert!(!world.list.remove(&mut slots[2]).is_told());
    assert_eq!(world.list.wake_weighted(&mut quota, &mut WakeBatch::new()), 1);
    assert_eq!(quota, 1);
}

#[test]
fn a_note_reaches_the_waiter_that_was_told_and_no_other() {
    let mut world = World::new();
    let join = |world: &mut World, name| world.join(name, Events::ANY, Mode::Exclusive);
    let (mut first, mut second) = (join(&mut world, "first"), join(&mut world, "second"));
    let (mut third, mut last) = (join(&mut world, "third"), join(&mut world, "last"));
    let mut batch = WakeBatch::new();
    assert_eq!(world.list.wake_with(7, 1, &mut batch), 1);
    assert!(world.list.wake_last_with(8, &mut batch));
    assert_eq!(world.list.wake(Events::ANY, 1, &mut batch), 1, "who was told is told once");
    drop(batch);
    assert_eq!(*world.log.lock().unwrap(), ["first", "last", "second"]);
    assert!(!world.list.is_waiting(&first) && world.list.is_waiting(&third));
    assert_eq!(world.list.len(), 1);
    assert!(matches!(world.list.remove(&mut first), Removed::ToldWith(7)));
    assert!(matches!(world.list.remove(&mut last), Removed::ToldWith(8)));
    assert!(matches!(world.list.remove(&mut second), Removed::Told));
    assert!(matches!(world.list.remove(&mut third), Removed::Waiting(_)));
    assert!(world.list.is_empty() && !world.list.wake_last_with(9, &mut WakeBatch::new()));
}

#[test]
fn a_dropped_batch_still_wakes() {
    let mut world = World::new();
    world.join("a", Events::READABLE, Mode::Shared);
    let mut batch = WakeBatch::new();
    world.list.wake(Events::READABLE, 1, &mut batch);
    drop(batch);
    assert_eq!(*world.log.lock().unwrap(), ["a"]);
}

#[test]
fn an_exclusive_waiter_that_gives_up_after_being_told_passes_it_on() {
    let queue = WaitQueue::new();
    let log: Arc<StdMutex<Vec<&'static str>>> = Arc::default();
    let waker = |name| Waker::from(Arc::new(Named(name, log.clone())));
    let never = || None::<()>;
    let mut first = queue.wait_until(Events::IN, Mode::Exclusive, never);
    let mut second = queue.wait_until(Events::IN, Mode::Exclusive, never);
    assert!(Pin::new(&mut first).poll(&mut Context::from_waker(&waker("first"))).is_pending());
    assert!(Pin::new(&mut second).poll(&mut Context::from_waker(&waker("second"))).is_pending());
    assert_eq!(queue.wake(Events::IN, 1), 1);
    assert_eq!(*log.lock().unwrap(), ["first"]);
    drop(first);
    assert_eq!(*log.lock().unwrap(), ["first", "second"]);
    drop(second);
    assert!(!queue.has_sleeper());
}

#[test]
fn a_blocking_wait_times_out_and_leaves_the_queue() {
    let queue = WaitQueue::new();
    let got = queue.wait_until_blocking(Events::IN, Mode::Shared, Some(Duration::from_millis(2)), || None::<()>);
    assert_eq!(got, None);
    assert!(!queue.has_sleeper());
}

#[test]
fn threads_and_wakers_meet_without_loss() {
    use std::sync::atomic::Ordering::SeqCst;
    static FLAG: AtomicBool = AtomicBool::new(false);
    static QUEUE: WaitQueue = WaitQueue::new();
    let waiter = std::thread::spawn(|| {
        for _ in 0..20_000 {
            QUEUE.wait_until_blocking(Events::IN, Mode::Shared, None, || FLAG.swap(false, SeqCst).then_some(()));
        }
    });
    while !waiter.is_finished() {
        if !FLAG.swap(true, SeqCst) {
            QUEUE.wake(Events::IN, 1);
        }
    }
    waiter.join().unwrap();
}
