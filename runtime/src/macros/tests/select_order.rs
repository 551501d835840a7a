//! Who is polled first, and what the budget says.

use crate::coop::{BUDGET, has_budget_remaining, unconstrained, with_budget};
use crate::macros::random;
use crate::macros::tests::{Log, Wakes, poll, runtime, step};
use crate::{join, select, spawn};
use futures_lite::future::{pending, ready};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

#[test]
fn biased_polls_from_the_first_at_each_poll() {
    let log = Log::default();
    let mut select = pin!(async {
        select! { biased; _ = log.after(2, "a") => {} _ = log.after(2, "b") => {} _ = log.after(2, "c") => {} }
    });
    while poll(select.as_mut()).is_pending() {}
    assert_eq!(log.take(), "a b c a b c a -a -b -c");
}

/// The names that three branches say in `polls` polls, on a runtime with this seed.
fn order(seed: u64, polls: usize) -> Vec<String> {
    let log = Log::default();
    runtime(seed).block_on(async {
        let mut select = pin!(async {
            select! {
                _ = log.after(usize::MAX, "0") => {}
                _ = log.after(usize::MAX, "1") => {}
                _ = log.after(usize::MAX, "2") => {}
            }
        });
        (0..polls).map(|_| (poll(select.as_mut()).is_pending(), log.take()).1).collect()
    })
}

#[test]
fn the_seed_decides_who_is_first_and_the_others_follow_in_rotation() {
    for seed in 0..10 {
        let starts: Vec<u32> = runtime(seed).block_on(async { (0..100).map(|_| random(3)).collect() });
        let expected: Vec<_> = starts.iter().map(|&start| ["0 1 2", "1 2 0", "2 0 1"][start as usize]).collect();
        assert_eq!(order(seed, 100), expected, "seed {seed}");
    }
    assert_ne!(order(1, 100), order(2, 100));
}

#[test]
fn tasks_draw_from_the_same_generator() {
    async fn first_of_four() -> u32 {
        select! { _ = ready(()) => 0, _ = ready(()) => 1, _ = ready(()) => 2, _ = ready(()) => 3 }
    }
    let run = || {
        runtime(7).block_on(async {
            let task = spawn(async {
                let mut seen = Vec::new();
                for _ in 0..20 {
                    seen.push(first_of_four().await);
                }
                seen
            });
            let mut seen = vec![first_of_four().await];
            seen.extend(task.await.unwrap());
            seen
        })
    };
    let starts: Vec<u32> = runtime(7).block_on(async { (0..21).map(|_| random(4)).collect() });
    assert_eq!((run(), run()), (starts.clone(), starts));
}

#[test]
fn of_branches_that_are_always_ready_each_wins() {
    let mut wins = [0; 3];
    runtime(3).block_on(async {
        for _ in 0..3000 {
            select! { _ = ready(()) => wins[0] += 1, _ = ready(()) => wins[1] += 1, _ = ready(()) => wins[2] += 1 }
        }
    });
    // A seed decides the numbers, so this can not fail by chance.
    assert!(wins.iter().all(|&count| (900..1100).contains(&count)), "{wins:?}");
}

/// Polls `future` as a task is polled, and counts the wake-ups.
fn poll_as_task<F: Future>(future: F) -> (Poll<F::Output>, usize) {
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let output = with_budget(|| pin!(future).poll(&mut Context::from_waker(&waker)));
    (output, wakes.count())
}

#[test]
fn branches_that_are_always_ready_yield_when_the_budget_is_spent() {
    let mut rounds = 0;
    let (output, wakes) = poll_as_task(async {
        loop {
            select! { biased; _ = ready(()) => rounds += 1, _ = pending::<()>() => {} }
        }
    });
    assert_eq!((output, rounds, wakes), (Poll::<()>::Pending, usize::from(BUDGET), 1));
}

#[test]
fn a_branch_that_takes_a_step_itself_costs_one() {
    let mut rounds = 0;
    let (output, wakes) = poll_as_task(async {
        loop {
            select! { biased; _ = pending::<()>() => {} _ = step() => rounds += 1 }
        }
    });
    assert_eq!((output, rounds, wakes), (Poll::<()>::Pending, usize::from(BUDGET), 1));
}

#[test]
fn waiting_costs_nothing() {
    let (output, wakes) = poll_as_task(async {
        let mut select = pin!(async {
            select! { _ = pending::<()>() => {} _ = pending::<()>() => {} }
        });
        for _ in 0..1000 {
            assert!(poll(select.as_mut()).is_pending());
        }
        has_budget_remaining()
    });
    assert_eq!((output, wakes), (Poll::Ready(true), 0));
}

#[test]
fn without_budget_no_branch_is_polled() {
    let log = Log::default();
    let mut spent = false;
    let mut select = Box::pin(async {
        select! { biased; a = log.after(0, "a") => a, b = log.after(0, "b") => b }
    });
    let (output, wakes) = poll_as_task(poll_fn(|cx| {
        while pin!(step()).poll(cx).is_ready() {
            spent = true;
        }
        select.as_mut().poll(cx)
    }));
    assert_eq!((output, log.take(), spent), (Poll::Pending, String::new(), true));
    assert_eq!(wakes, 2, "once by the last step, once by `select!`");
    assert_eq!(poll_as_task(select), (Poll::Ready("a"), 0));
}

#[test]
fn unconstrained_selects_have_no_limit() {
    let (output, wakes) = poll_as_task(unconstrained(async {
        for _ in 0..1000 {
            select! { _ = ready(()) => {} _ = step() => {} }
        }
    }));
    assert_eq!((output, wakes), (Poll::Ready(()), 0));
}

#[test]
fn a_busy_select_lets_other_tasks_run() {
    let mut rounds = 0;
    runtime(5).block_on(async {
        let other = spawn(async {});
        while !other.is_finished() {
            select! { biased; _ = ready(()) => rounds += 1 }
        }
    });
    assert_eq!(rounds, usize::from(BUDGET) + 1, "the other task ran while the last round waited for budget");
}

#[test]
fn outside_a_runtime_it_works_as_well() {
    let mut wins = [0; 2];
    futures_lite::future::block_on(async {
        while wins.contains(&0) {
            select! { _ = ready(()) => wins[0] += 1, _ = ready(()) => wins[1] += 1 }
        }
        let (a, b) = join!(ready(1), ready(2));
        assert_eq!(a + b, 3);
    });
}
