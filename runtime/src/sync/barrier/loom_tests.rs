//! Coming and leaving under every interleaving.

use super::*;
use crate::sync::block_on::block_on;
use crate::sync::permits::loom_tests::{look, model};
use loom::sync::Arc;
use loom::thread;

#[test]
fn loom_two_rounds_of_two_have_a_leader_each() {
    model(3, || {
        let barrier = Arc::new(Barrier::new(2));
        let rounds = |barrier: &Barrier| [(); 2].map(|()| block_on(barrier.wait()).is_leader());
        let other = barrier.clone();
        let thread = thread::spawn(move || rounds(&other));
        let here = rounds(&barrier);
        let there = thread.join().unwrap();
        assert!(here[0] != there[0] && here[1] != there[1]);
    });
}

#[test]
fn loom_one_that_goes_while_the_last_one_comes_leaves_nothing_behind() {
    model(3, || {
        let barrier = Arc::new(Barrier::new(3));
        let mut goes = Box::pin(barrier.wait());
        assert!(look(goes.as_mut()).is_pending());
        let other = barrier.clone();
        let thread = thread::spawn(move || block_on(other.wait()).is_leader());
        let other = barrier.clone();
        let last = thread::spawn(move || block_on(other.wait()).is_leader());
        drop(goes);
        assert!(thread.join().unwrap() != last.join().unwrap());
        assert!(barrier.state.lock().waiters.is_empty());
    });
}
