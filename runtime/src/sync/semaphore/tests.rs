//! The semaphore as its users see it: order, cancellation, closing, limits.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use super::*;
use crate::coop;
use crate::park;
use crate::sync::spy::Spy;
use futures_lite::future::{block_on, poll_once};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;

#[test]
fn a_permit_is_taken_and_comes_back() {
    let semaphore = Semaphore::new(2);
    let one = semaphore.try_acquire().unwrap();
    let other = block_on(semaphore.acquire()).unwrap();
    assert_eq!((one.num_permits(), other.num_permits(), semaphore.available_permits()), (1, 1, 0));
    assert_eq!(semaphore.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
    drop(one);
    assert_eq!(semaphore.available_permits(), 1);
    drop(other);
    assert!(semaphore.try_acquire_many(2).is_ok() && semaphore.try_acquire_many(3).is_err());
}

#[test]
fn permits_go_to_those_who_wait_in_order_with_one_wake_each() {
    let semaphore = Semaphore::new(0);
    let waiters = [1, 2, 3].map(|_| Spy::waiting(semaphore.acquire()));
    for told in 1..=3 {
        semaphore.add_permits(1);
        let wakes: Vec<_> = waiters.iter().map(Spy::wakes).collect();
        assert_eq!(wakes, [1, usize::from(told > 1), usize::from(told > 2)]);
    }
    assert_eq!(semaphore.available_permits(), 0);
    for waiter in waiters {
        waiter.into_output().unwrap().forget();
    }
}

#[test]
fn who_asks_for_many_is_not_overtaken_and_what_comes_is_saved_for_it() {
    let semaphore = Semaphore::new(2);
    let many = Spy::waiting(semaphore.acquire_many(4));
    assert_eq!(semaphore.available_permits(), 0, "the two are saved");
    assert_eq!(semaphore.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
    assert_eq!(semaphore.forget_permits(1), 0);
    let one = Spy::waiting(semaphore.acquire());
    semaphore.add_permits(1);
    assert_eq!((many.wakes(), one.wakes()), (0, 0));
    semaphore.add_permits(2);
    assert_eq!((many.wakes(), one.wakes()), (1, 1));
    assert_eq!(many.into_output().unwrap().num_permits(), 4);
    assert_eq!(one.into_output().unwrap().num_permits(), 1);
    assert_eq!(semaphore.available_permits(), 5);
}

#[test]
fn who_was_told_has_its_permits_before_it_looks() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire().unwrap();
    let mut waiter = Spy::waiting(semaphore.acquire());
    drop(held);
    assert_eq!(semaphore.available_permits(), 0);
    assert!(semaphore.try_acquire().is_err());
    assert!(Spy::new(semaphore.acquire()).poll().is_pending());
    assert!(waiter.poll().is_ready());
}

#[test]
fn dropping_a_waiter_gives_up_its_place_and_what_was_saved_for_it() {
    let semaphore = Semaphore::new(1);
    let many = Spy::waiting(semaphore.acquire_many(3));
    let one = Spy::waiting(semaphore.acquire());
    drop(many);
    assert_eq!(one.wakes(), 1);
    drop(one.into_output().unwrap());
    assert_eq!(semaphore.available_permits(), 1);

    let many = Spy::waiting(semaphore.acquire_many(3));
    drop(many);
    assert_eq!(semaphore.available_permits(), 1, "with nobody behind it, it is there for all");
}

#[test]
fn dropping_a_waiter_that_was_told_passes_its_permits_on() {
    let semaphore = Semaphore::new(0);
    let two = Spy::waiting(semaphore.acquire_many(2));
    let others = [1, 2].map(|_| Spy::waiting(semaphore.acquire()));
    semaphore.add_permits(2);
    assert_eq!(two.wakes(), 1);
    drop(two);
    for other in others {
        assert_eq!(other.wakes(), 1);
        other.into_output().unwrap().forget();
    }
    let last = Spy::waiting(semaphore.acquire());
    semaphore.add_permits(1);
    drop(last);
    assert_eq!(semaphore.available_permits(), 1);
}

#[test]
fn dropping_a_waiter_in_the_middle_keeps_the_order_of_the_others() {
    let semaphore = Semaphore::new(0);
    let mut waiters: Vec<_> = (0..4).map(|_| Spy::waiting(semaphore.acquire())).collect();
    drop(waiters.remove(1));
    for told in 0..3 {
        semaphore.add_permits(1);
        let wakes: Vec<_> = waiters.iter().map(Spy::wakes).collect();
        assert_eq!(wakes, [1, usize::from(told > 0), usize::from(told > 1)]);
    }
    waiters.into_iter().for_each(|waiter| waiter.into_output().unwrap().forget());
}

#[test]
fn polling_again_keeps_the_place_and_wakes_the_task_that_polled_last() {
    let semaphore = Semaphore::new(0);
    let mut first = Spy::waiting(semaphore.acquire());
    let second = Spy::waiting(semaphore.acquire());
    assert!(first.poll().is_pending() && first.poll_elsewhere().is_pending());
    semaphore.add_permits(1);
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    first.into_output().unwrap().forget();
}

#[test]
fn a_future_that_was_never_polled_is_not_in_the_queue() {
    let semaphore = Semaphore::new(0);
    let never = semaphore.acquire();
    let waiter = Spy::waiting(semaphore.acquire());
    semaphore.add_permits(1);
    assert_eq!(waiter.wakes(), 1);
    drop(never);
}

#[test]
fn no_permits_at_all_are_always_there_until_it_is_closed() {
    let semaphore = Semaphore::new(0);
    let waiter = Spy::waiting(semaphore.acquire());
    assert_eq!(block_on(semaphore.acquire_many(0)).unwrap().num_permits(), 0);
    assert!(semaphore.try_acquire_many(0).is_ok());
    semaphore.add_permits(0);
    assert_eq!(waiter.wakes(), 0);
    semaphore.close();
    assert!(block_on(semaphore.acquire_many(0)).is_err());
    assert_eq!(semaphore.try_acquire_many(0).unwrap_err(), TryAcquireError::Closed);
}

#[test]
fn closing_ends_every_wait_and_permits_still_come_back() {
    let semaphore = Semaphore::new(2);
    let held = semaphore.try_acquire().unwrap();
    let waiters = [2, 1, 1].map(|n| Spy::waiting(semaphore.acquire_many(n)));
    semaphore.close();
    semaphore.close();
    assert!(semaphore.is_closed());
    for waiter in waiters {
        assert_eq!(waiter.wakes(), 1);
        assert_eq!(waiter.into_output().unwrap_err().to_string(), "semaphore closed");
    }
    assert!(block_on(semaphore.acquire()).is_err());
    drop(held);
    assert_eq!(semaphore.available_permits(), 2);
    semaphore.add_permits(1);
    assert_eq!(semaphore.forget_permits(5), 3);
    assert_eq!(semaphore.try_acquire().unwrap_err().to_string(), "semaphore closed");
}

#[test]
fn closed_comes_first_for_a_waiter_that_was_told_and_its_permit_goes_back() {
    let semaphore = Semaphore::new(0);
    let (told, dropped) = (Spy::waiting(semaphore.acquire()), Spy::waiting(semaphore.acquire()));
    semaphore.add_permits(2);
    semaphore.close();
    assert!(told.into_output().is_err());
    drop(dropped);
    assert_eq!(semaphore.available_permits(), 2);
}

#[test]
fn dropping_a_waiter_of_a_closed_semaphore_is_quiet() {
    let semaphore = Semaphore::new(0);
    let waiter = Spy::waiting(semaphore.acquire());
    semaphore.close();
    drop(waiter);
    assert_eq!(semaphore.available_permits(), 0);
}

#[test]
fn permits_are_forgotten_merged_and_split() {
    let semaphore = Semaphore::new(6);
    semaphore.try_acquire().unwrap().forget();
    assert_eq!(semaphore.forget_permits(1), 1);
    let mut permits = semaphore.try_acquire_many(3).unwrap();
    let mut split = permits.split(2).unwrap();
    assert_eq!((permits.num_permits(), split.num_permits()), (1, 2));
    assert!(permits.split(2).is_none());
    assert_eq!(split.split(0).unwrap().num_permits(), 0);
    split.merge(permits);
    assert_eq!(split.num_permits(), 3);
    assert!(std::ptr::eq(split.semaphore(), &semaphore));
    drop(split);
    assert_eq!(semaphore.available_permits(), 4);
}

#[test]
fn owned_permits_do_the_same() {
    let semaphore = Arc::new(Semaphore::new(4));
    let mut permits = block_on(semaphore.clone().acquire_many_owned(2)).unwrap();
    permits.merge(semaphore.clone().try_acquire_owned().unwrap());
    permits.merge(block_on(semaphore.clone().acquire_owned()).unwrap());
    assert!(semaphore.clone().try_acquire_many_owned(1).is_err());
    assert!(Arc::ptr_eq(permits.semaphore(), &semaphore));
    permits.split(1).unwrap().forget();
    let waiter = Spy::waiting(semaphore.clone().acquire_many_owned(2));
    thread::spawn(move || drop(permits)).join().unwrap();
    assert_eq!(waiter.into_output().unwrap().num_permits(), 2);
    assert_eq!(semaphore.available_permits(), 3);
}

#[test]
#[should_panic(expected = "merging permits from different semaphore instances")]
fn permits_of_two_semaphores_do_not_merge() {
    let (one, other) = (Semaphore::new(1), Semaphore::new(1));
    one.try_acquire().unwrap().merge(other.try_acquire().unwrap());
}

#[test]
fn there_is_a_most_and_going_beyond_panics_and_changes_nothing() {
    let semaphore = Semaphore::new(Semaphore::MAX_PERMITS - 1);
    semaphore.add_permits(1);
    let more = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| semaphore.add_permits(1)));
    let text = *more.unwrap_err().downcast::<String>().unwrap();
    assert!(text.contains("more than Semaphore::MAX_PERMITS"), "{text}");
    assert_eq!(semaphore.available_permits(), Semaphore::MAX_PERMITS);
    assert!(std::panic::catch_unwind(|| Semaphore::new(Semaphore::MAX_PERMITS + 1)).is_err());

    let semaphore = Semaphore::new(0);
    let waiter = Spy::waiting(semaphore.acquire_many(2));
    semaphore.add_permits(1);
    let more = std::panic::AssertUnwindSafe(|| semaphore.add_permits(Semaphore::MAX_PERMITS));
    assert!(std::panic::catch_unwind(more).is_err());
    semaphore.add_permits(1);
    assert!(waiter.into_output().is_ok());
}

#[test]
fn a_task_that_always_finds_permits_yields_when_its_budget_is_spent() {
    let semaphore = Semaphore::new(1);
    coop::with_budget(|| {
        for _ in 0..coop::BUDGET {
            drop(Spy::new(semaphore.acquire()).into_output().unwrap());
        }
        let mut spent = Spy::new(semaphore.acquire());
        assert!(spent.poll().is_pending());
        assert_eq!((spent.wakes(), semaphore.available_permits()), (1, 1));
        assert!(semaphore.try_acquire().is_ok(), "what does not wait does not ask the budget");
    });
}

#[test]
fn waiting_in_vain_costs_no_budget_and_a_spent_budget_costs_no_permit() {
    let semaphore = Semaphore::new(0);
    let mut waiter = Spy::new(semaphore.acquire());
    coop::with_budget(|| {
        for _ in 0..1000 {
            assert!(waiter.poll().is_pending());
        }
        assert!(coop::has_budget_remaining());
        semaphore.add_permits(1);
        while coop::has_budget_remaining() {
            assert!(Spy::new(coop::consume_budget()).poll().is_ready());
        }
        assert!(waiter.poll().is_pending(), "told, but out of budget");
    });
    assert!(waiter.into_output().is_ok());
}

#[test]
fn threads_wait_in_the_same_queue() {
    let semaphore = Arc::new(Semaphore::new(1));
    let held = semaphore.blocking_acquire().unwrap();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let semaphore = semaphore.clone();
            thread::spawn(move || semaphore.blocking_acquire_many_owned(1).unwrap().num_permits())
        })
        .collect();
    drop(held);
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == 1));
    assert_eq!(semaphore.blocking_acquire_many(1).unwrap().num_permits(), 1);
    semaphore.close();
    assert!(semaphore.blocking_acquire_owned().is_err());
}

#[test]
#[should_panic(expected = "`Semaphore::blocking_acquire` blocks its thread")]
fn blocking_where_tasks_are_driven_is_refused() {
    let _entered = park::enter();
    let _permit = Semaphore::new(1).blocking_acquire().map(SemaphorePermit::forget);
}

#[test]
fn a_waiter_of_a_runtime_is_woken_by_any_thread() {
    let runtime = crate::builder::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let semaphore = Arc::new(Semaphore::new(0));
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let semaphore = semaphore.clone();
            runtime.spawn(async move { semaphore.acquire().await.unwrap().forget() })
        })
        .collect();
    (0..100).for_each(|_| semaphore.add_permits(1));
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(semaphore.available_permits(), 0);
}

/// Threads take one to three of four permits, wait or give up at random; there are never more than four out, and in the end
/// all are back.
#[test]
fn stress_with_cancellation_never_gives_more_than_there_are_and_loses_none() {
    let semaphore = Arc::new(Semaphore::new(4));
    let out = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..4)
        .map(|seed| {
            let (semaphore, out) = (semaphore.clone(), out.clone());
            thread::spawn(move || {
                let mut rng = fastrand::Rng::with_seed(seed);
                for _ in 0..3000 {
                    let n = rng.u32(1..4);
                    if rng.u8(0..4) == 0 {
                        // Gives up after one look, told or not.
                        drop(block_on(poll_once(semaphore.acquire_many(n))));
                        continue;
                    }
                    let permit = block_on(semaphore.acquire_many(n)).unwrap();
                    let before = out.fetch_add(n as usize, Ordering::SeqCst);
                    assert!(before + n as usize <= 4);
                    if rng.bool() {
                        thread::yield_now();
                    }
                    out.fetch_sub(n as usize, Ordering::SeqCst);
                    drop(permit);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(semaphore.available_permits(), 4);
}

#[test]
fn what_is_shown_and_what_may_cross_threads() {
    fn send_sync<T: Send + Sync + Unpin>() {}
    send_sync::<Semaphore>();
    send_sync::<SemaphorePermit<'_>>();
    send_sync::<OwnedSemaphorePermit>();
    fn send<T: Send>(_: T) {}
    let semaphore = Arc::new(Semaphore::new(1));
    send(semaphore.acquire());
    send(semaphore.clone().acquire_owned());
    assert!(format!("{semaphore:?}").starts_with("Semaphore"));
    assert_eq!(TryAcquireError::NoPermits.to_string(), "no permits available");
    assert!(matches!(Spy::new(semaphore.acquire()).poll(), Poll::Ready(Ok(_))));
}
