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

/// docs/rxpath.md, row 40: non-exclusive LIFO first, exclusive FIFO behind them.
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

/// docs/rxpath.md, row 44: a waiter for OUT hears nothing of IN, but always of errors and of a wake without a key.
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

/// A permanent entry that writes its name and key into a log, and takes as many wakes as there are sleepers.
struct Set(&'static str, Arc<StdMutex<Vec<String>>>, std::sync::atomic::AtomicUsize);

impl WakeFn for Set {
    fn call(&self, key: Events) {
        self.1.lock().unwrap().push(format!("{} {:#x}", self.0, key.bits()));
    }

    fn claim(&self, _: Events) -> bool {
        use std::sync::atomic::Ordering::SeqCst;
        self.2.fetch_update(SeqCst, SeqCst, |sleepers| sleepers.checked_sub(1)).is_ok()
    }
}

#[test]
fn a_callback_stays_and_hears_each_key_that_meets_its_interest() {
    let (mut list, mut slot, mut waiter) = (WaitList::new(), WaitSlot::new(), WaitSlot::new());
    let log: Arc<StdMutex<Vec<String>>> = Arc::default();
    let set = Arc::new(Set("set", log.clone(), 0.into()));
    assert!(list.add(&mut slot, set.clone(), Events::READABLE, Mode::Shared).is_none());
    assert!(list.join(&mut waiter, Waker::noop(), Events::READABLE, Mode::Shared).is_none());
    let wake = |list: &mut WaitList, key| {
        let mut batch = WakeBatch::new();
        let told = list.wake(key, 1, &mut batch);
        assert!(log.lock().unwrap().is_empty(), "nobody is called before the lock is released");
        drop(batch);
        (told, std::mem::take(&mut *log.lock().unwrap()))
    };
    assert_eq!(wake(&mut list, Events::READABLE), (2, vec!["set 0xc3".to_owned()]));
    assert_eq!(
        wake(&mut list, Events::READABLE),
        (1, vec!["set 0xc3".to_owned()]),
        "the waiter has left, the set has not"
    );
    assert_eq!(wake(&mut list, Events::WRITABLE), (0, vec![]));
    assert_eq!(wake(&mut list, Events::ERR), (1, vec!["set 0x8".to_owned()]));
    assert_eq!(wake(&mut list, Events::ANY), (1, vec!["set 0xffffffff".to_owned()]));
    // Disabled, as by EPOLLONESHOT, and armed again.
    list.set_interest(&slot, Events::empty());
    assert_eq!(wake(&mut list, Events::ANY), (0, vec![]));
    list.set_interest(&slot, Events::WRITABLE);
    assert_eq!(wake(&mut list, Events::WRITABLE), (1, vec!["set 0x304".to_owned()]));
    assert!(matches!(list.remove(&mut slot), Removed::Waiting(Func::Callback(_))));
    assert_eq!(wake(&mut list, Events::ANY), (0, vec![]));
    assert_eq!(Arc::strong_count(&set), 1);
}

/// docs/rxpath.md, row 41: a `func` that returns 0 is not counted. The sets that nobody sleeps on are told and passed by.
#[test]
fn a_callback_that_nobody_takes_does_not_use_up_the_quota() {
    let (mut list, log): (_, Arc<StdMutex<Vec<String>>>) = (WaitList::new(), Arc::default());
    let sets = [("idle0", 0), ("one", 1), ("two", 2), ("three", 1)];
    let mut slots: Vec<WaitSlot> = Vec::new();
    for (name, sleepers) in sets {
        let mut slot = WaitSlot::new();
        let set = Arc::new(Set(name, log.clone(), sleepers.into()));
        assert!(list.add(&mut slot, set, Events::READABLE, Mode::Exclusive).is_none());
        slots.push(slot);
    }
    let mut wake = |expected: &str| {
        list.wake(Events::IN, 1, &mut WakeBatch::new());
        assert_eq!(std::mem::take(&mut *log.lock().unwrap()).join(", "), expected);
    };
    wake("idle0 0x1, one 0x1");
    wake("idle0 0x1, one 0x1, two 0x1");
    wake("idle0 0x1, one 0x1, two 0x1");
    wake("idle0 0x1, one 0x1, two 0x1, three 0x1");
}

/// docs/rxpath.md, row 41: the first exclusive waiter runs already, so the second is woken.
#[test]
fn a_waiter_that_is_awake_is_passed_by() {
    let mut world = World::new();
    let mut join = |name, is_awake: IsAwake| {
        let (mut slot, waker) = (WaitSlot::new(), world.waker(name));
        assert!(world.list.join_sleeper(&mut slot, &waker, Events::IN, Mode::Exclusive, is_awake).is_none());
        slot
    };
    let slots = [join("awake", |_| true), join("asleep", |_| false), join("later", |_| false)];
    assert_eq!(world.wake(Events::IN, 1), ["asleep"]);
    assert!(world.list.is_waiting(&slots[0]), "it has not been told, and keeps its place");
    assert_eq!(world.wake(Events::IN, 1), ["later"]);
    assert_eq!(world.wake(Events::IN, 1), [] as [&str; 0]);
}

/// The same with two tasks: the first has been woken for something else and has not run yet.
#[test]
fn a_task_that_was_woken_for_something_else_is_passed_by() {
    let runtime = crate::builder::Builder::new_current_thread().build().unwrap();
    let (list, log) = (Arc::new(StdMutex::new(WaitList::new())), Arc::new(StdMutex::new(Vec::new())));
    let wakers = Arc::new(StdMutex::new(Vec::new()));
    let waiter = |name: &'static str| {
        let (list, log, wakers, mut slot) = (list.clone(), log.clone(), wakers.clone(), WaitSlot::new());
        std::future::poll_fn(move |cx| {
            let mut list = list.lock().unwrap();
            if slot.is_set() && !list.is_waiting(&slot) {
                log.lock().unwrap().push(name);
                return std::task::Poll::Ready(());
            }
            wakers.lock().unwrap().push(cx.waker().clone());
            let is_awake = crate::task::is_awake;
            drop(list.join_sleeper(&mut slot, cx.waker(), Events::IN, Mode::Exclusive, is_awake));
            std::task::Poll::Pending
        })
    };
    let wake = || {
        let mut batch = WakeBatch::new();
        list.lock().unwrap().wake(Events::IN, 1, &mut batch);
    };
    let told = || std::mem::take(&mut *log.lock().unwrap());
    runtime.block_on(async {
        let tasks = [crate::spawn::spawn(waiter("first")), crate::spawn::spawn(waiter("second"))];
        crate::spawn::yield_now().await;
        wakers.lock().unwrap()[0].wake_by_ref();
        wake();
        crate::spawn::yield_now().await;
        assert_eq!(told(), ["second"]);
        wake();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(told(), ["first"], "asleep again, it is told as ever");
    });
}

/// As the sleepers of an epoll set.
#[test]
fn exclusive_waiters_at_the_head_are_told_newest_first() {
    let mut world = World::new();
    for name in ["first", "second", "third"] {
        world.join(name, Events::IN, Mode::ExclusiveFirst);
    }
    assert_eq!(world.wake(Events::IN, 1), ["third"]);
    assert_eq!(world.wake(Events::IN, 2), ["second", "first"]);
}

/// As a socket that is closed: an epoll item hears of it once, without a key, and is let go of.
#[test]
fn a_list_that_closes_tells_all_and_keeps_nobody() {
    struct Item(StdMutex<Vec<Events>>);
    impl WakeFn for Item {
        fn call(&self, key: Events) {
            self.0.lock().unwrap().push(key);
        }
    }
    let mut world = World::new();
    let (item, deaf) = (Arc::new(Item(StdMutex::default())), Arc::new(Item(StdMutex::default())));
    let mut slots = [WaitSlot::new(), WaitSlot::new()];
    assert!(world.list.add(&mut slots[0], item.clone(), Events::IN, Mode::Exclusive).is_none());
    assert!(world.list.add(&mut slots[1], deaf.clone(), Events::empty(), Mode::Shared).is_none());
    let mut slot = world.join("waiter", Events::OUT, Mode::Shared);
    let mut batch = WakeBatch::new();
    world.list.close(&mut batch);
    assert!(world.list.is_empty());
    assert_eq!(Arc::strong_count(&item), 2, "its call holds it until it is made");
    batch.wake_all();
    assert_eq!(*item.0.lock().unwrap(), [Events::ANY]);
    assert_eq!(*deaf.0.lock().unwrap(), [Events::ANY], "also who wants to hear nothing");
    assert_eq!((Arc::strong_count(&item), Arc::strong_count(&deaf)), (1, 1));
    assert!(world.list.remove(&mut slot).is_told() && world.list.remove(&mut slots[0]).is_told());
}
