//! The wheel against a sorted map.

// Clippy knows tests by their attribute; these are what the tests here share.
#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::Wake;

/// A waker that writes its number down.
struct Numbered(u32, Arc<Mutex<Vec<u32>>>);

impl Wake for Numbered {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push(self.0);
    }
}

/// A wheel whose wakers are numbers.
struct World {
    wheel: Wheel,
    told: Arc<Mutex<Vec<u32>>>,
}

impl World {
    fn new(now: Instant) -> World {
        World { wheel: Wheel::new(now), told: Arc::default() }
    }

    fn insert(&mut self, deadline: Instant, number: u32) -> WheelKey {
        self.wheel.insert(deadline, Waker::from(Arc::new(Numbered(number, self.told.clone()))))
    }

    fn poll(&mut self, now: Instant, limit: usize) -> (Vec<u32>, Polled) {
        let mut batch = WakeBatch::new();
        let polled = self.wheel.poll(now, &mut batch, limit);
        batch.wake_all();
        (std::mem::take(&mut self.told.lock().unwrap()), polled)
    }

    fn fired(&mut self, now: Instant) -> Vec<u32> {
        let (fired, polled) = self.poll(now, usize::MAX);
        assert_eq!(polled, Polled::Done);
        fired
    }
}

const START: Instant = Instant::from_virtual_ns(0);

fn at(ns: u64) -> Instant {
    Instant::from_virtual_ns(ns)
}

#[test]
fn nothing_fires_early_and_nothing_waits_for_a_tick_to_end() {
    for ns in [1, 999, 1023, 1024, 1025, 65_535, 65_536, 4_194_304, 1_000_000, 123_456_789, 86_400_000_000_000] {
        let mut world = World::new(START);
        world.insert(at(ns), 0);
        assert_eq!(world.wheel.next_bound(), Some(at(ns)));
        assert!(world.fired(at(ns - 1)).is_empty(), "{ns} ns fired early");
        assert_eq!(world.fired(at(ns)), [0], "{ns} ns");
        assert_eq!(world.wheel.next_bound(), None);
        assert_eq!(world.wheel.len(), 0);
    }
}

#[test]
fn a_deadline_in_the_past_fires_with_the_next_poll() {
    let mut world = World::new(at(1_000_000));
    world.insert(Instant::from_nanos(0), 0);
    world.insert(at(999_999), 1);
    world.insert(at(1_000_000), 2);
    assert_eq!(world.fired(at(1_000_000)), [0, 1, 2]);
}

#[test]
fn the_far_future_is_a_deadline_like_any_other() {
    let mut world = World::new(START);
    world.insert(Instant::FAR_FUTURE, 0);
    let year = 365 * 86_400 * 1_000_000_000;
    world.insert(at(100 * year), 1);
    assert_eq!(world.wheel.next_bound(), Some(at(100 * year)));
    assert_eq!(world.fired(at(200 * year)), [1]);
    assert_eq!(world.wheel.next_bound(), Some(Instant::FAR_FUTURE));
    assert_eq!(world.fired(Instant::FAR_FUTURE), [0]);
}

#[test]
fn ticks_fire_in_order_whatever_the_jump() {
    let mut world = World::new(START);
    // One on each level, put in backwards.
    for level in (0..8).rev() {
        world.insert(at(5 * 1024 * 64_u64.pow(level)), level);
    }
    assert_eq!(world.fired(Instant::from_nanos(u64::MAX - 1)), (0..8).collect::<Vec<_>>());
}

#[test]
fn equal_deadlines_fire_in_order_of_insertion_even_when_one_came_down_from_above() {
    let mut world = World::new(START);
    let deadline = at(10_000_000);
    world.insert(deadline, 0);
    assert!(world.fired(at(9_990_000)).is_empty());
    world.insert(deadline, 1);
    assert_eq!(world.fired(deadline), [0, 1]);
}

/// What stands in one slot of the third level comes down a little with every poll, and fires as if it had come at once.
#[test]
fn a_large_slot_comes_down_bit_by_bit_before_it_begins() {
    let mut world = World::new(START);
    let slot = 1 << (SHAPES[2].shift + TICK_BITS);
    for number in 0..100 {
        world.insert(at(8 * slot + u64::from(number % 10) * 1024), number);
    }
    let stands = |world: &World| world.wheel.slots.levels().collect::<Vec<_>>();
    assert_eq!(stands(&world), [2]);
    assert!(world.fired(at(7 * slot)).is_empty());
    assert_eq!(stands(&world), [1, 2], "half moved");
    let late = world.insert(at(8 * slot), 100);
    assert_eq!(world.wheel.entries[late.index as usize].level, 2, "behind those that are still to be moved");
    assert_eq!(world.wheel.next_deadline(), Some(at(8 * slot)));
    for poll in 1..60 {
        assert!(world.fired(at(7 * slot + poll)).is_empty());
    }
    assert_eq!(stands(&world), [1]);
    let mut expected: Vec<u32> = (0..10).flat_map(|tick| (0..10).map(move |n| n * 10 + tick)).collect();
    expected.insert(10, 100);
    assert_eq!(world.fired(at(9 * slot)), expected);
}

#[test]
fn a_limit_leaves_the_rest_for_the_next_poll() {
    let mut world = World::new(START);
    for number in 0..10 {
        world.insert(at(u64::from(number) * 10), number);
    }
    assert_eq!(world.poll(at(1_000_000), 4), (vec![0, 1, 2, 3], Polled::MoreDue));
    assert_eq!(world.poll(at(1_000_000), 6), (vec![4, 5, 6, 7, 8, 9], Polled::Done));
}

#[test]
fn a_key_is_stale_after_its_entry_has_gone() {
    let mut world = World::new(START);
    let first = world.insert(at(10), 0);
    assert_eq!(world.fired(at(10)), [0]);
    let second = world.insert(at(20), 1);
    assert_eq!(first.index, second.index, "the place is used again");
    assert!(world.wheel.remove(first).is_none());
    assert!(world.wheel.waker_mut(first).is_none());
    assert!(world.wheel.remove(second).is_some());
    assert!(world.wheel.remove(second).is_none());
}

#[test]
fn the_next_deadline_is_exact_where_the_bound_is_not() {
    let mut world = World::new(START);
    let early = world.insert(at(100_000_000), 0);
    world.insert(at(100_100_000), 1);
    world.wheel.remove(early);
    assert_eq!(world.wheel.next_bound(), Some(at(100_000_000)));
    assert_eq!(world.wheel.next_deadline(), Some(at(100_100_000)));
    assert_eq!(world.wheel.next_bound(), Some(at(100_100_000)));
}

#[test]
fn draining_tells_everyone_and_leaves_nothing() {
    let mut world = World::new(START);
    for number in 0..5 {
        world.insert(at(1_000_u64.pow(number)), number);
    }
    let mut batch = WakeBatch::new();
    world.wheel.drain(&mut batch);
    batch.wake_all();
    assert_eq!(world.told.lock().unwrap().len(), 5);
    assert_eq!((world.wheel.len(), world.wheel.next_bound()), (0, None));
}

/// What a test may do to a wheel.
#[derive(Clone, Debug)]
enum Step {
    /// Insert a deadline this far from now.
    Insert(i64),
    InsertFarFuture,
    /// Insert several equal deadlines, this far from now and rounded up to so many bits.
    InsertEqual(u64, u32, u32),
    /// Remove the n-th of the pending.
    Remove(usize),
    /// Let this much time pass, and poll.
    Pass(u64),
    /// Go to the next deadline, as a virtual clock does.
    Next,
    /// Poll for at most so many.
    PollSome(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // A span with as many digits as it likes: every level gets its share.
    let span = || (0_u32..60, any::<u64>()).prop_map(|(bits, random)| random >> (63 - bits));
    let step = prop_oneof![
        8 => span().prop_map(|ns| Step::Insert((ns >> 1) as i64)),
        1 => (0_i64..10_000_000).prop_map(|ns| Step::Insert(-ns)),
        2 => (0_i64..3_000).prop_map(Step::Insert),
        1 => Just(Step::InsertFarFuture),
        4 => (0_u64..1 << 32, 10_u32..32, 1_u32..6).prop_map(|(ns, bits, n)| Step::InsertEqual(ns, bits, n)),
        3 => any::<usize>().prop_map(Step::Remove),
        3 => span().prop_map(Step::Pass),
        6 => (0_u64..1 << 28).prop_map(Step::Pass),
        3 => Just(Step::Next),
        2 => (0_usize..4).prop_map(Step::PollSome),
    ];
    proptest::collection::vec(step, 1..120)
}

/// The obvious wheel: pending numbers by deadline.
#[derive(Default)]
struct Model(BTreeMap<(Instant, u32), WheelKey>);

impl Model {
    /// Takes what the wheel says has fired, and checks that it was due, and that what stays may stay.
    fn check_fired(&mut self, fired: &[u32], now: Instant, everything: bool) {
        let mut last = (Instant::from_nanos(0), 0);
        for &number in fired {
            let key = *self.0.keys().find(|key| key.1 == number).expect("only what is pending fires");
            assert!(key.0 <= now, "{number} fired early");
            assert!(tick_of(key.0) >= tick_of(last.0), "{number} fired out of order");
            assert!(key.0 != last.0 || number > last.1, "{number} fired before {}, which came first", last.1);
            last = key;
            self.0.remove(&key);
        }
        if everything {
            let left = self.0.keys().next();
            assert!(left.is_none_or(|left| left.0 > now), "{left:?} should have fired by {now:?}");
        }
    }

    fn next(&self) -> Option<Instant> {
        self.0.keys().next().map(|key| key.0)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_wheel_does_what_a_sorted_map_does(steps in steps()) {
        let mut now = at(3_333_333);
        let mut world = World::new(now);
        let mut model = Model::default();
        let mut number = 0;
        for step in steps {
            match step {
                Step::Insert(from_now) => {
                    let deadline = Instant::from_nanos(now.as_nanos().saturating_add_signed(from_now));
                    if from_now < 0 {
                        // What is late already fires after the present tick's: take it by itself.
                        let fired = world.fired(now);
                        model.check_fired(&fired, now, true);
                        let key = world.insert(deadline, number);
                        model.0.insert((deadline, number), key);
                        let fired = world.fired(now);
                        model.check_fired(&fired, now, true);
                    } else {
                        let key = world.insert(deadline, number);
                        model.0.insert((deadline, number), key);
                    }
                    number += 1;
                }
                Step::InsertFarFuture => {
                    let key = world.insert(Instant::FAR_FUTURE, number);
                    model.0.insert((Instant::FAR_FUTURE, number), key);
                    number += 1;
                }
                Step::InsertEqual(from_now, bits, count) => {
                    let deadline = ((now.as_nanos().saturating_add(from_now)) >> bits).saturating_add(1) << bits;
                    let deadline = Instant::from_nanos(deadline.max(now.as_nanos()));
                    for _ in 0..count {
                        let key = world.insert(deadline, number);
                        model.0.insert((deadline, number), key);
                        number += 1;
                    }
                }
                Step::Remove(n) if !model.0.is_empty() => {
                    let at = *model.0.keys().nth(n % model.0.len()).expect("below the length");
                    let key = model.0.remove(&at).expect("it is there");
                    prop_assert!(world.wheel.remove(key).is_some());
                    prop_assert!(world.wheel.remove(key).is_none());
                }
                Step::Remove(_) => {}
                Step::Pass(ns) => {
                    now = now.saturating_add(std::time::Duration::from_nanos(ns));
                    let fired = world.fired(now);
                    model.check_fired(&fired, now, true);
                }
                Step::Next => {
                    if let Some(next) = world.wheel.next_deadline() {
                        now = now.max(next);
                        let fired = world.fired(now);
                        prop_assert!(!fired.is_empty(), "a clock that goes to the next deadline finds somebody there");
                        model.check_fired(&fired, now, true);
                    }
                }
                Step::PollSome(limit) => {
                    let (fired, polled) = world.poll(now, limit);
                    prop_assert!(fired.len() <= limit);
                    model.check_fired(&fired, now, polled == Polled::Done);
                }
            }
            prop_assert_eq!(world.wheel.len(), model.0.len());
            let bound = world.wheel.next_bound();
            prop_assert!(match (bound, model.next()) {
                (Some(bound), Some(next)) => bound <= next,
                (bound, next) => bound == next,
            }, "a bound lies at or before the next deadline");
            prop_assert_eq!(world.wheel.next_deadline(), model.next());
        }
    }
}
