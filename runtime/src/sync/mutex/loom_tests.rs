//! Guards under every interleaving: handing over, and giving up while it is handed over.

use super::*;
use crate::sync::block_on::block_on;
use crate::sync::permits::loom_tests::{look, model};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use std::task::Poll;

/// Loom sees when two have the value at once.
fn add(count: MutexGuard<'_, UnsafeCell<usize>>) {
    count.with_mut(|count| {
        // SAFETY: the mutex is locked; loom would report another access.
        unsafe { *count += 1 }
    });
}

#[test]
fn loom_the_mutex_is_handed_over_past_one_that_gives_up() {
    model(2, || {
        let mutex = Arc::new(Mutex::new(UnsafeCell::new(0)));
        let guard = mutex.try_lock().unwrap();
        let mut given_up = Box::pin(mutex.lock());
        assert!(look(given_up.as_mut()).is_pending());
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let mutex = mutex.clone();
                thread::spawn(move || add(block_on(mutex.lock())))
            })
            .collect();
        drop(guard);
        drop(given_up);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        add(block_on(mutex.lock()));
        // SAFETY: all others are done; loom would report another access.
        block_on(mutex.lock()).with(|count| assert_eq!(unsafe { *count }, 3));
    });
}

/// A waiter looks at the moment at which it is told.
#[test]
fn loom_a_waiter_that_looks_without_being_woken_sees_the_value() {
    model(3, || {
        let mutex = Arc::new(Mutex::new(UnsafeCell::new(0)));
        let other = mutex.clone();
        let thread = thread::spawn(move || add(block_on(other.lock())));
        let mut waiting = Box::pin(mutex.lock());
        let looked = look(waiting.as_mut());
        let again = if looked.is_pending() { look(waiting.as_mut()) } else { looked };
        add(match again {
            Poll::Ready(guard) => guard,
            Poll::Pending => block_on(waiting.as_mut()),
        });
        drop(waiting);
        thread.join().unwrap();
        add(block_on(mutex.lock()));
    });
}
