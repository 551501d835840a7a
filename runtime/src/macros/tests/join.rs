//! What `join!` does with its futures.

use crate::coop::{BUDGET, with_budget};
use crate::macros::tests::{Log, now, poll, runtime, step};
use crate::{join, spawn};
use futures_lite::future::{pending, ready};
use std::cell::Cell;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

#[test]
fn it_gives_all_outputs_in_the_order_of_the_futures() {
    let log = Log::default();
    let mut join = pin!(async { join!(log.after(2, "a"), async { 7 }, log.after(1, "c")) });
    assert!(poll(join.as_mut()).is_pending());
    assert!(poll(join.as_mut()).is_pending());
    assert_eq!(poll(join), Poll::Ready(("a", 7, "c")));
}

#[test]
fn one_or_none() {
    assert_eq!(now(async { join!(ready(1)) }), (1,));
    assert_eq!(now(async { join!(biased; ready(1),) }), (1,));
    #[allow(clippy::unit_cmp)]
    now(async {
        assert_eq!(join!(), ());
        assert_eq!(join!(biased;), ());
    });
}

#[test]
fn who_is_polled_first_rotates() {
    let log = Log::default();
    let mut join = pin!(async { join!(log.after(9, "a"), log.after(9, "b"), log.after(9, "c")) });
    let rounds: Vec<_> = (0..4).map(|_| (poll(join.as_mut()).is_pending(), log.take()).1).collect();
    assert_eq!(rounds, ["a b c", "b c a", "c a b", "a b c"]);
}

#[test]
fn biased_polls_from_the_first() {
    let log = Log::default();
    let mut join = pin!(async { join!(biased; log.after(9, "a"), log.after(9, "b"), log.after(9, "c")) });
    let rounds: Vec<_> = (0..3).map(|_| (poll(join.as_mut()).is_pending(), log.take()).1).collect();
    assert_eq!(rounds, ["a b c", "a b c", "a b c"]);
}

#[test]
fn what_is_done_is_dropped_and_not_polled_again() {
    let log = Log::default();
    let mut join = pin!(async { join!(biased; log.after(0, "a"), log.after(2, "b"), log.after(1, "c")) });
    assert!(poll(join.as_mut()).is_pending());
    assert_eq!(log.take(), "a -a b c");
    assert!(poll(join.as_mut()).is_pending());
    assert_eq!(log.take(), "b c -c");
    assert_eq!(poll(join.as_mut()), Poll::Ready(("a", "b", "c")));
    assert_eq!(log.take(), "b -b");
}

#[test]
fn futures_are_made_in_order_before_the_first_poll() {
    let log = Log::default();
    let make = |name| {
        log.say(format!("make-{name}"));
        log.after(0, name)
    };
    now(async { join!(make("a"), make("b")) });
    assert_eq!(log.take(), "make-a make-b a -a b -b");
}

#[test]
fn a_dropped_join_drops_futures_and_outputs() {
    let log = Log::default();
    {
        let mut join = Box::pin(async { join!(async { log.guard("output") }, log.after(9, "b")).1 });
        assert!(poll(join.as_mut()).is_pending());
        assert_eq!(log.take(), "b");
    }
    assert_eq!(log.take(), "-output -b");
}

#[test]
fn a_panic_comes_through_and_the_others_are_dropped() {
    let log = Log::default();
    let caught = catch_unwind(AssertUnwindSafe(|| now(async { join!(log.after(1, "a"), async { panic!("in b") }).1 })));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"in b"));
    assert_eq!(log.take(), "a -a");
}

#[test]
fn futures_borrow_what_is_theirs() {
    let (mut a, mut b, shared) = (1, String::new(), Cell::new(0));
    now(async {
        join!(
            async {
                a += 1;
                shared.set(shared.get() + 1)
            },
            async {
                b.push('b');
                shared.set(shared.get() + 1)
            },
        )
    });
    assert_eq!((a, b.as_str(), shared.get()), (2, "b", 2));
}

#[test]
fn an_output_borrows_what_its_future_borrowed() {
    async fn first(list: &mut [u8]) -> &mut u8 {
        &mut list[0]
    }
    let (mut a, mut b) = ([1, 2], [3, 4]);
    let (x, y) = now(async { join!(first(&mut a), first(&mut b)) });
    std::mem::swap(x, y);
    assert_eq!((a, b), ([3, 2], [1, 4]));
}

#[test]
fn a_future_that_can_not_end_is_one_that_waits() {
    async fn never() -> Infallible {
        pending().await
    }
    let mut join = pin!(async { join!(never(), ready(1)) });
    assert!(poll(join.as_mut()).is_pending());
    assert!(poll(join).is_pending());
}

#[test]
fn more_than_any_tuple_of_the_standard_library() {
    let outputs = now(async {
        join!(
            ready(0),
            ready(1),
            ready(2),
            ready(3),
            ready(4),
            ready(5),
            ready(6),
            ready(7),
            ready(8),
            ready(9),
            ready(10),
            ready(11),
            ready(12),
            ready(13),
            ready(14),
            ready(15),
            ready(16),
            ready(17),
            ready(18),
            ready(19),
            ready(20),
        )
    });
    assert_eq!((outputs.0, outputs.7, outputs.20), (0, 7, 20));
}

/// A future that spends the whole budget of its first `polls` polls.
async fn greedy(polls: usize) {
    for _ in 0..polls * usize::from(BUDGET) + 1 {
        step().await;
    }
}

#[test]
fn one_that_spends_the_budget_does_not_starve_the_others() {
    let modest = Cell::new(false);
    let mut join = pin!(async {
        join!(greedy(9), async {
            step().await;
            modest.set(true)
        })
    });
    assert!(with_budget(|| poll(join.as_mut())).is_pending());
    assert!(!modest.get());
    assert!(with_budget(|| poll(join.as_mut())).is_pending());
    assert!(modest.get(), "at the second poll it came first");
}

#[test]
fn biased_lets_it_starve_them() {
    let reached = Cell::new(false);
    let mut join = pin!(async { join!(biased; greedy(2), async { step().await; reached.set(true) }) });
    assert!(with_budget(|| poll(join.as_mut())).is_pending());
    assert!(with_budget(|| poll(join.as_mut())).is_pending());
    assert!(with_budget(|| poll(join.as_mut())).is_ready());
    assert!(reached.get());
}

#[test]
fn tasks_are_joined() {
    let (a, b) = runtime(1).block_on(async { join!(spawn(async { 1 }), spawn(greedy(2))) });
    assert!(matches!((a, b), (Ok(1), Ok(()))));
}

#[test]
fn the_future_is_not_much_larger_than_its_branches() {
    async fn branch(bytes: [u8; 256]) -> usize {
        pending::<()>().await;
        bytes.len()
    }
    let one = size_of_val(&branch([0; 256]));
    let join = async { join!(branch([0; 256]), branch([1; 256]), branch([2; 256])) };
    assert!(size_of_val(&join) <= 3 * (one + 16), "{} for three of {one}", size_of_val(&join));
}
