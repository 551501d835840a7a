//! The cell as its users see it, and the value below it.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use super::*;
use crate::sync::spy::Spy;
use futures_lite::future::{block_on, pending, yield_now};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

#[test]
fn the_value_is_computed_once_while_the_others_wait() {
    let cell = OnceCell::new();
    let mut first = Spy::new(cell.get_or_init(|| async {
        yield_now().await;
        1
    }));
    assert!(first.poll().is_pending());
    let mut second = Spy::new(cell.get_or_init(|| async { 2 }));
    let mut third = Spy::new(cell.get_or_try_init(|| async { Err(3) }));
    assert!(second.poll().is_pending() && third.poll().is_pending());
    assert_eq!((cell.get(), cell.initialized()), (None, false));
    assert_eq!(first.into_output(), &1);
    assert_eq!((second.wakes(), third.wakes()), (1, 1));
    assert_eq!(second.into_output(), &1);
    assert_eq!(third.into_output(), Ok(&1));
    assert_eq!(block_on(cell.get_or_init(|| async { 4 })), &1);
    assert!(cell.initialized());
}

#[test]
fn when_it_fails_the_next_one_computes() {
    let cell = OnceCell::new();
    let mut fails = Spy::new(cell.get_or_try_init(|| async {
        yield_now().await;
        Err("no")
    }));
    assert!(fails.poll().is_pending());
    let next = Spy::waiting(cell.get_or_init(|| async { 2 }));
    assert_eq!(fails.into_output(), Err("no"));
    assert_eq!(next.wakes(), 1);
    assert_eq!(next.into_output(), &2);
}

#[test]
fn when_it_panics_the_next_one_computes() {
    let cell = OnceCell::new();
    let mut panics = Spy::new(cell.get_or_init(|| async {
        yield_now().await;
        panic!("in the computation")
    }));
    assert!(panics.poll().is_pending());
    let next = Spy::waiting(cell.get_or_init(|| async { 2 }));
    assert!(catch_unwind(AssertUnwindSafe(|| panics.poll())).is_err());
    drop(panics);
    assert_eq!(next.into_output(), &2);

    let cell = OnceCell::<u8>::new();
    let early = Spy::new(cell.get_or_init(|| -> std::future::Ready<u8> { panic!("before the computation") }));
    assert!(catch_unwind(AssertUnwindSafe(|| early.into_output())).is_err());
    assert_eq!(cell.set(1), Ok(()));
}

#[test]
fn when_it_is_dropped_the_next_one_computes() {
    let cell = OnceCell::new();
    let computing = Spy::waiting(cell.get_or_init(pending));
    let waiting = Spy::waiting(cell.get_or_init(|| async { 1 }));
    let next = Spy::waiting(cell.get_or_init(|| async { 2 }));
    drop(waiting);
    drop(computing);
    assert_eq!(next.wakes(), 1);
    let told = next;
    let last = Spy::waiting(cell.get_or_init(|| async { 3 }));
    drop(told);
    assert_eq!(last.into_output(), &3);
}

#[test]
fn a_value_is_set_unless_there_is_one_or_one_is_computed() {
    let cell = OnceCell::new();
    let computing = Spy::waiting(cell.get_or_init(pending));
    let error = cell.set(1).unwrap_err();
    assert!(error.is_initializing_err() && !error.is_already_init_err());
    assert_eq!((error.to_string(), error), ("InitializingError".into(), SetError::InitializingError(1)));
    drop(computing);
    cell.set(2).unwrap();
    let error = cell.set(3).unwrap_err();
    assert!(error.is_already_init_err() && !error.is_initializing_err());
    assert_eq!((error.to_string(), error), ("AlreadyInitializedError".into(), SetError::AlreadyInitializedError(3)));
    assert_eq!(cell.get(), Some(&2));
}

#[test]
fn made_with_a_value_and_taken_apart() {
    static EMPTY: OnceCell<u8> = OnceCell::const_new();
    static FULL: OnceCell<u8> = OnceCell::const_new_with(1);
    assert_eq!((EMPTY.get(), FULL.get()), (None, Some(&1)));
    assert_eq!(block_on(FULL.get_or_init(|| async { 2 })), &1);
    assert!(FULL.set(2).unwrap_err().is_already_init_err());
    assert_eq!(OnceCell::<u8>::new_with(None), OnceCell::default());
    let mut cell = OnceCell::from(1);
    assert_eq!(cell, OnceCell::new_with(Some(1)));
    *cell.get_mut().unwrap() = 2;
    assert_eq!(cell.clone().into_inner(), Some(2));
    assert_eq!(format!("{cell:?}"), "OnceCell { value: Some(2) }");
    assert_eq!((cell.take(), cell.take()), (Some(2), None));
    assert_eq!(cell.get_mut(), None);
    assert_eq!(format!("{cell:?}"), "OnceCell { value: None }");
    assert_eq!(block_on(cell.get_or_init(|| async { 3 })), &3);
    assert_eq!(OnceCell::<u8>::new().into_inner(), None);
}

/// Counts how often values are dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn the_value_is_dropped_once_whoever_has_it() {
    let drops = Arc::new(AtomicUsize::new(0));
    let dropped = || drops.swap(0, Ordering::Relaxed);
    let value = || Counted(drops.clone());
    drop(OnceCell::from(value()));
    assert_eq!(dropped(), 1);
    let mut cell = OnceCell::new();
    assert!(cell.set(value()).is_ok());
    assert!(cell.set(value()).is_err());
    assert_eq!(dropped(), 1);
    let taken = cell.take();
    assert!(cell.set(value()).is_ok());
    assert_eq!(dropped(), 0);
    drop((taken, cell.into_inner()));
    assert_eq!(dropped(), 2);
    drop(OnceCell::<Counted>::new());
    assert_eq!(dropped(), 0);
}

/// Threads race for the first value, by computing and by setting; all see the same one.
#[test]
fn stress_all_see_the_one_value() {
    for round in 0..200 {
        let shared = Arc::new((OnceCell::new(), AtomicUsize::new(0)));
        let threads: Vec<_> = (0..4)
            .map(|name| {
                let shared = shared.clone();
                thread::spawn(move || {
                    let (cell, computed) = &*shared;
                    if name == round % 4 && cell.set(name).is_ok() {
                        computed.fetch_add(1, Ordering::Relaxed);
                    }
                    *block_on(cell.get_or_init(|| async {
                        computed.fetch_add(1, Ordering::Relaxed);
                        yield_now().await;
                        name
                    }))
                })
            })
            .collect();
        let seen: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
        assert_eq!(shared.1.load(Ordering::Relaxed), 1);
    }
}
