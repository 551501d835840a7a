//! The mutex as its users see it.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use super::*;
use crate::coop;
use crate::park;
use crate::sync::spy::Spy;
use futures_lite::future::{block_on, poll_once};
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

#[test]
fn one_at_a_time() {
    let mutex = Mutex::new(1);
    let mut guard = block_on(mutex.lock());
    *guard = 2;
    assert_eq!(mutex.try_lock().unwrap_err().to_string(), "operation would block");
    let waiter = Spy::waiting(mutex.lock());
    drop(guard);
    assert_eq!(waiter.wakes(), 1);
    assert!(mutex.try_lock().is_err(), "it is the waiter's, though that has not looked yet");
    assert_eq!(*waiter.into_output(), 2);
    assert_eq!(*mutex.try_lock().unwrap(), 2);
    assert_eq!(mutex.into_inner(), 2);
}

#[test]
fn it_is_handed_over_in_order_with_one_wake_each() {
    let mutex = Mutex::new(Vec::new());
    let mut guard = Some(mutex.try_lock().unwrap());
    let mut waiters: Vec<_> = (0..3).map(|name| (name, Spy::waiting(mutex.lock()))).collect();
    while !waiters.is_empty() {
        drop(guard.take());
        let wakes: Vec<_> = waiters.iter().map(|(_, waiter)| waiter.wakes()).collect();
        assert_eq!(wakes.iter().sum::<usize>(), 1);
        let (name, first) = waiters.remove(0);
        let mut locked = first.into_output();
        locked.push(name);
        guard = Some(locked);
    }
    drop((guard, waiters));
    assert_eq!(mutex.into_inner(), [0, 1, 2]);
}

#[test]
fn a_lock_that_is_dropped_while_it_waits_or_after_it_was_told_goes_to_the_next() {
    let mutex = Mutex::new(());
    let guard = mutex.try_lock().unwrap();
    let [first, second, third] = [1, 2, 3].map(|_| Spy::waiting(mutex.lock()));
    drop(first);
    drop(guard);
    assert_eq!((second.wakes(), third.wakes()), (1, 0));
    drop(second);
    assert_eq!(third.wakes(), 1);
    drop(third);
    assert!(mutex.try_lock().is_ok());
}

#[test]
fn a_panic_unlocks_and_does_not_poison() {
    let mutex = Arc::new(Mutex::new(1));
    let other = mutex.clone();
    let thread = thread::spawn(move || {
        let _guard = other.blocking_lock();
        panic!("while it is locked");
    });
    assert!(thread.join().is_err());
    assert_eq!(*mutex.try_lock().unwrap(), 1);
}

#[test]
fn a_guard_is_narrowed_to_a_part_and_unlocks_once() {
    let mutex = Mutex::new(((1, 2), vec![3]));
    let part = MutexGuard::map(mutex.try_lock().unwrap(), |value| &mut value.0);
    let mut part = MappedMutexGuard::map(part, |pair| &mut pair.1);
    assert!(mutex.try_lock().is_err());
    *part = 4;
    let part = MappedMutexGuard::try_map(part, |_| None::<&mut u8>).unwrap_err();
    assert_eq!(*part, 4);
    assert!(MappedMutexGuard::try_map(part, |number| Some(number)).is_ok());
    let guard = MutexGuard::try_map(mutex.try_lock().unwrap(), |value| value.1.get_mut(1)).unwrap_err();
    assert!(std::ptr::eq(MutexGuard::mutex(&guard), &mutex));
    *MutexGuard::try_map(guard, |value| value.1.get_mut(0)).unwrap() = 5;
    assert_eq!(*mutex.try_lock().unwrap(), ((1, 4), vec![5]));
}

#[test]
fn owned_guards_do_the_same_and_keep_the_mutex_alive() {
    let mutex = Arc::new(Mutex::new((1, vec![2])));
    let guard = block_on(mutex.clone().lock_owned());
    assert!(Arc::ptr_eq(OwnedMutexGuard::mutex(&guard), &mutex));
    assert!(mutex.clone().try_lock_owned().is_err());
    let guard = OwnedMutexGuard::try_map(guard, |_| None::<&mut u8>).unwrap_err();
    let waiter = Spy::waiting(mutex.clone().lock_owned());
    let mut part = OwnedMutexGuard::map(guard, |pair| &mut pair.1);
    part.push(3);
    let part = OwnedMappedMutexGuard::try_map(part, |list| list.get_mut(5)).unwrap_err();
    let part = OwnedMappedMutexGuard::try_map(part, |list| list.get_mut(1)).unwrap();
    let part = OwnedMappedMutexGuard::map(part, |number| number);
    thread::spawn(move || assert_eq!(*part, 3)).join().unwrap();
    let guard = waiter.into_output();
    let weak = Arc::downgrade(&mutex);
    drop(mutex);
    assert_eq!(*guard, (1, vec![2, 3]));
    assert!(OwnedMutexGuard::try_map(guard, |pair| Some(&mut pair.0)).is_ok());
    assert!(weak.upgrade().is_none(), "no reference is left behind by all this");
}

#[test]
fn a_panic_while_a_guard_is_narrowed_unlocks() {
    let mutex = Mutex::new(1);
    let narrowing = || MutexGuard::map(mutex.try_lock().unwrap(), |_| -> &mut u8 { panic!("no such part") });
    assert!(catch_unwind(AssertUnwindSafe(|| drop(narrowing()))).is_err());
    assert!(mutex.try_lock().is_ok());
}

#[test]
fn the_value_may_be_of_a_type_without_a_size() {
    let numbers: Arc<Mutex<[i32]>> = Arc::new(Mutex::new([1, 2]));
    block_on(numbers.clone().lock_owned())[1] = 3;
    assert_eq!(*numbers.try_lock().unwrap(), [1, 3]);
    let shown: Box<Mutex<dyn Debug>> = Box::new(Mutex::new(7));
    assert_eq!(format!("{shown:?}"), "Mutex { data: 7 }");
}

#[test]
fn what_is_shown() {
    let mutex = Mutex::from("text");
    assert_eq!(format!("{mutex:?}"), r#"Mutex { data: "text" }"#);
    let guard = mutex.try_lock().unwrap();
    assert_eq!(format!("{guard} {guard:?} {mutex:?}"), r#"text "text" Mutex { data: <locked> }"#);
    assert_eq!(Mutex::<u8>::default().into_inner(), 0);
}

#[test]
fn whoever_has_the_mutex_alone_needs_no_lock() {
    static LOCK: Mutex<u8> = Mutex::const_new(1);
    *LOCK.try_lock().unwrap() = 2;
    let mut mutex = Mutex::new(1);
    std::mem::forget(mutex.try_lock().unwrap());
    *mutex.get_mut() += 1;
    assert_eq!((mutex.into_inner(), *LOCK.try_lock().unwrap()), (2, 2));
}

#[test]
fn a_task_that_always_finds_it_free_yields_when_its_budget_is_spent() {
    let mutex = Mutex::new(());
    coop::with_budget(|| {
        for _ in 0..coop::BUDGET {
            drop(Spy::new(mutex.lock()).into_output());
        }
        let mut spent = Spy::new(mutex.lock());
        assert!(spent.poll().is_pending());
        assert_eq!(spent.wakes(), 1);
    });
    assert!(mutex.try_lock().is_ok());
}

#[test]
fn threads_and_tasks_wait_in_one_queue() {
    let mutex = Arc::new(Mutex::new(0));
    let guard = mutex.blocking_lock();
    let waiter = Spy::waiting(mutex.lock());
    let other = mutex.clone();
    let thread = thread::spawn(move || *other.blocking_lock_owned() += 1);
    drop(guard);
    *waiter.into_output() += 1;
    thread.join().unwrap();
    assert_eq!(*mutex.blocking_lock(), 2);
}

#[test]
fn blocking_where_tasks_are_driven_panics_where_it_was_called() {
    let runtime = crate::builder::Builder::new_current_thread().build().unwrap();
    let error =
        runtime.block_on(async { runtime.spawn(async { drop(Mutex::new(()).blocking_lock()) }).await.unwrap_err() });
    let text = *error.into_panic().downcast::<String>().unwrap();
    assert!(text.contains("`Mutex::blocking_lock` blocks its thread"), "{text}");
    let _entered = park::enter();
    let owned = catch_unwind(|| drop(Arc::new(Mutex::new(())).blocking_lock_owned()));
    assert!(owned.is_err());
}

#[test]
fn blocking_in_the_blocking_pool_is_what_it_is_for() {
    let runtime = crate::builder::Builder::new_current_thread().build().unwrap();
    let mutex = Arc::new(Mutex::new(0));
    runtime.block_on(async {
        let guard = mutex.lock().await;
        let other = mutex.clone();
        let blocked = runtime.spawn_blocking(move || *other.blocking_lock() += 1);
        drop(guard);
        blocked.await.unwrap();
        assert_eq!(*mutex.lock().await, 1);
    });
}

/// Tasks on two workers hold it across a yield; some give up. Nobody is ever inside with another one.
#[test]
fn stress_on_workers_with_cancellation() {
    let runtime = crate::builder::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let mutex = Arc::new(Mutex::new((0, false)));
    let tasks: Vec<_> = (0..20_u64)
        .map(|seed| {
            let mutex = mutex.clone();
            runtime.spawn(async move {
                let mut rng = fastrand::Rng::with_seed(seed);
                let mut done = 0;
                while done < 200 {
                    if rng.u8(0..4) == 0 {
                        drop(poll_once(mutex.lock()).await);
                        continue;
                    }
                    let mut guard = mutex.lock().await;
                    assert!(!std::mem::replace(&mut guard.1, true), "somebody else is inside");
                    if rng.bool() {
                        futures_lite::future::yield_now().await;
                    }
                    guard.1 = false;
                    guard.0 += 1;
                    done += 1;
                }
            })
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*mutex.lock().await, (4000, false));
    });
}

#[test]
fn stress_on_threads() {
    static COUNT: Mutex<usize> = Mutex::const_new(0);
    let add = || (0..5000).for_each(|_| *COUNT.blocking_lock() += 1);
    let threads: Vec<_> = (0..4).map(|_| thread::spawn(add)).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*COUNT.blocking_lock(), 20_000);
}
