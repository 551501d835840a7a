//! Several who want the value at once, some of whom fail.

use super::*;
use crate::sync::block_on::block_on;
use crate::sync::permits::loom_tests::{look, model};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use std::future::pending;

/// A value in which loom sees a read that is not ordered after the write.
fn value(number: usize) -> UnsafeCell<usize> {
    let cell = UnsafeCell::new(0);
    cell.with_mut(|place| {
        // SAFETY: nobody else knows the cell yet.
        unsafe { *place = number }
    });
    cell
}

fn read(cell: &UnsafeCell<usize>) -> usize {
    // SAFETY: nobody writes any more; loom would report it.
    cell.with(|place| unsafe { *place })
}

#[test]
fn loom_one_computes_or_sets_and_all_see_the_value() {
    model(3, || {
        let cell = Arc::new(OnceCell::new());
        let other = cell.clone();
        let fails = thread::spawn(move || block_on(other.get_or_try_init(|| async { Err(()) })).map(read));
        let other = cell.clone();
        let sets = thread::spawn(move || other.set(value(2)).is_ok());
        let seen = read(block_on(cell.get_or_init(|| async { value(1) })));
        let set = sets.join().unwrap();
        assert_eq!(seen, if set { 2 } else { 1 });
        assert!(fails.join().unwrap().is_ok_and(|other| other == seen) || cell.initialized());
        assert_eq!(cell.get().map(read), Some(seen));
    });
}

#[test]
fn loom_when_the_one_that_computes_is_dropped_another_one_does() {
    model(3, || {
        let cell = Arc::new(OnceCell::new());
        let mut computing = Box::pin(cell.get_or_init(pending));
        assert!(look(computing.as_mut()).is_pending());
        let threads: Vec<_> = (1..3)
            .map(|number| {
                let cell = cell.clone();
                thread::spawn(move || read(block_on(cell.get_or_init(|| async { value(number) }))))
            })
            .collect();
        drop(computing);
        let seen: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(seen[0], seen[1]);
    });
}
