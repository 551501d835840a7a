//! Setting once, and waiting for it.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use super::*;
use crate::sync::spy::Spy;
use futures_lite::future::block_on;
use std::sync::Arc;
use std::thread;

#[test]
fn all_who_wait_are_told_in_order_and_who_comes_later_does_not_wait() {
    let once = SetOnce::new();
    let mut waiters = [1, 2, 3].map(|_| Spy::waiting(once.wait()));
    assert!(waiters[1].poll().is_pending());
    assert_eq!((once.get(), once.initialized()), (None, false));
    once.set("value").unwrap();
    assert!(waiters.iter().all(|waiter| waiter.wakes() == 1));
    for waiter in waiters {
        assert_eq!(*waiter.into_output(), "value");
    }
    assert_eq!((block_on(once.wait()), once.get()), (&"value", Some(&"value")));
    assert!(once.initialized() && once.waiters.lock().is_empty());
}

#[test]
fn it_is_set_once() {
    let once = SetOnce::new();
    once.set(1).unwrap();
    let error = once.set(2).unwrap_err();
    assert_eq!((error.to_string(), error), ("SetOnceError".into(), SetOnceError(2)));
    assert_eq!(once.into_inner(), Some(1));
}

#[test]
fn a_waiter_that_is_dropped_leaves_the_list_before_and_after_it_was_told() {
    let once = SetOnce::new();
    let (first, second) = (Spy::waiting(once.wait()), Spy::waiting(once.wait()));
    drop(first);
    assert_eq!(once.waiters.lock().len(), 1);
    once.set(1).unwrap();
    assert_eq!(second.wakes(), 1);
    drop(second);
    assert!(once.waiters.lock().is_empty());
}

#[test]
fn the_task_that_polled_last_is_woken() {
    let once = SetOnce::new();
    let mut waiter = Spy::waiting(once.wait());
    assert!(waiter.poll_elsewhere().is_pending());
    once.set(1).unwrap();
    assert_eq!(waiter.wakes(), 1);
}

#[test]
fn made_with_a_value_compared_and_shown() {
    static EMPTY: SetOnce<u8> = SetOnce::const_new();
    static FULL: SetOnce<u8> = SetOnce::const_new_with(1);
    assert_eq!((EMPTY.get(), block_on(FULL.wait())), (None, &1));
    assert_eq!(SetOnce::new_with(Some(1)), FULL.clone());
    assert_eq!(SetOnce::<u8>::new_with(None), SetOnce::default());
    assert_eq!(format!("{:?} {:?}", FULL, EMPTY), "SetOnce { value: Some(1) } SetOnce { value: None }");
    assert_eq!((SetOnce::from(2).into_inner(), SetOnce::<u8>::new().into_inner()), (Some(2), None));
    let counted = Arc::new(());
    let once = SetOnce::from(counted.clone());
    assert!(once.set(counted.clone()).is_err());
    drop(once);
    assert_eq!(Arc::strong_count(&counted), 1);
}

#[test]
fn stress_one_of_the_setters_wins_and_everybody_sees_its_value() {
    for _ in 0..200 {
        let once = Arc::new(SetOnce::new());
        let setters: Vec<_> = (0..2)
            .map(|name| {
                let once = once.clone();
                thread::spawn(move || {
                    let won = once.set(name).is_ok();
                    // Whoever lost finds the winner's value there.
                    if won { name } else { *once.get().unwrap() }
                })
            })
            .collect();
        let waiter = thread::spawn({
            let once = once.clone();
            move || *block_on(once.wait())
        });
        let seen = waiter.join().unwrap();
        assert!(setters.into_iter().all(|setter| setter.join().unwrap() == seen));
    }
}
