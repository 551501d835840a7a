//! The queue under every interleaving that loom can make; the ring has four slots here.
#![allow(clippy::unwrap_used, reason = "a test's own functions may unwrap as the test does")]

use super::*;
use loom::thread;

/// A number in the guise of a pointer; never followed.
struct Number(usize);

impl Item for Number {
    fn into_raw(self) -> NonNull<()> {
        NonNull::new(std::ptr::without_provenance_mut(self.0 + 1)).unwrap()
    }

    unsafe fn from_raw(raw: NonNull<()>) -> Number {
        Number(raw.addr().get() - 1)
    }
}

fn model(preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(f);
}

fn drain(local: &mut Local<Number>, into: &mut Vec<usize>) {
    into.extend(std::iter::from_fn(|| local.pop()).map(|n| n.0));
}

fn steal(remote: &Remote<Number>, into: &mut Vec<usize>) {
    let (mut own, _) = new(false);
    if let Some((first, _)) = remote.steal_into(&mut own) {
        into.push(first.0);
        drain(&mut own, into);
    }
}

fn assert_each_once(mut seen: Vec<usize>, count: usize) {
    seen.sort_unstable();
    assert_eq!(seen, (0..count).collect::<Vec<_>>());
}

#[test]
fn loom_owner_and_thief_share_the_ring() {
    model(3, || {
        let injector = Injector::new();
        let (mut local, remote) = new(false);
        let thief = thread::spawn(move || {
            let mut seen = Vec::new();
            steal(&remote, &mut seen);
            steal(&remote, &mut seen);
            seen
        });
        let mut seen = Vec::new();
        for n in 0..3 {
            local.push(Number(n), &injector);
        }
        seen.extend(local.pop().map(|n| n.0));
        local.push(Number(3), &injector);
        drain(&mut local, &mut seen);
        seen.extend(thief.join().unwrap());
        assert_each_once(seen, 4);
    });
}

#[test]
fn loom_an_overflow_meets_a_thief() {
    model(3, || {
        let injector = Injector::new();
        let (mut local, remote) = new(false);
        for n in 0..CAPACITY {
            local.push(Number(n), &injector);
        }
        let thief = thread::spawn(move || {
            let mut seen = Vec::new();
            steal(&remote, &mut seen);
            seen
        });
        // Full, unless the thief was here: then it overflows; and slots are used for the second time.
        for n in CAPACITY..CAPACITY + 3 {
            local.push(Number(n), &injector);
        }
        let mut seen = Vec::new();
        drain(&mut local, &mut seen);
        seen.extend(std::iter::from_fn(|| injector.pop()).map(|n| n.0));
        seen.extend(thief.join().unwrap());
        assert_each_once(seen, CAPACITY + 3);
    });
}

#[test]
fn loom_two_thieves_do_not_take_the_same() {
    model(2, || {
        let injector = Injector::new();
        let (mut local, remote) = new(false);
        for n in 0..3 {
            local.push(Number(n), &injector);
        }
        let remote = loom::sync::Arc::new(remote);
        let thieves = [0, 1].map(|_| {
            let remote = remote.clone();
            thread::spawn(move || {
                let mut seen = Vec::new();
                steal(&remote, &mut seen);
                seen
            })
        });
        let mut seen = Vec::new();
        seen.extend(local.pop().map(|n| n.0));
        for thief in thieves {
            seen.extend(thief.join().unwrap());
        }
        drain(&mut local, &mut seen);
        assert_each_once(seen, 3);
    });
}

#[test]
fn loom_the_lifo_slot_gives_each_item_once() {
    loom::model(|| {
        let (mut local, remote) = new(false);
        let remote = loom::sync::Arc::new(remote);
        let thief = {
            let remote = remote.clone();
            thread::spawn(move || remote.steal_lifo().map(|n: Number| n.0))
        };
        let mut seen = Vec::new();
        seen.extend(local.push_lifo(Number(0)).map(|n| n.0));
        seen.extend(local.push_lifo(Number(1)).map(|n| n.0));
        seen.extend(local.pop_lifo().map(|n| n.0));
        seen.extend(thief.join().unwrap());
        assert_each_once(seen, 2);
    });
}
