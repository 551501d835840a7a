//! Cancelling against waiting, growing and dropping, under every interleaving that loom can make.

use super::*;
use crate::sync::block_on::{block_on, poll_once};
use loom::thread;

fn model(check: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(check);
}

#[test]
fn loom_a_cancellation_is_never_missed() {
    loom::model(|| {
        let token = CancellationToken::new();
        let canceller = {
            let token = token.clone();
            thread::spawn(move || token.cancel())
        };
        block_on(token.cancelled());
        canceller.join().unwrap();
    });
}

#[test]
fn loom_a_child_hears_of_it_and_another_gives_up() {
    model(|| {
        let token = CancellationToken::new();
        let child = token.child_token();
        let waiter = {
            let child = child.clone();
            thread::spawn(move || block_on(child.cancelled_owned()))
        };
        let canceller = thread::spawn(move || token.cancel());
        let _ = poll_once(&mut child.cancelled()); // and gives up
        waiter.join().unwrap();
        canceller.join().unwrap();
        assert!(child.is_cancelled());
    });
}

#[test]
fn loom_a_child_is_born_while_its_parent_is_cancelled() {
    model(|| {
        let root = CancellationToken::new();
        let middle = root.child_token();
        let canceller = thread::spawn(move || root.cancel());
        let child = middle.child_token();
        if middle.is_cancelled() {
            assert!(child.is_cancelled());
        }
        canceller.join().unwrap();
        assert!(middle.is_cancelled() && child.is_cancelled());
    });
}

/// One in the middle goes while the root is cancelled: what is below it belongs to the one or the other, and is cancelled.
#[test]
fn loom_a_token_is_dropped_between_its_parent_and_its_child() {
    for depth in [1, 2] {
        model(move || {
            let root = CancellationToken::new();
            let upper = root.child_token();
            let lower = if depth == 1 { upper.clone() } else { upper.child_token() };
            let leaf = lower.child_token();
            let canceller = thread::spawn(move || root.cancel());
            if depth == 1 {
                drop(upper);
            }
            drop(lower);
            canceller.join().unwrap();
            assert!(leaf.is_cancelled());
        });
    }
}

/// Two neighbours in a chain go at once: what is below them still hears of what is above.
#[test]
fn loom_two_tokens_of_a_chain_are_dropped_at_once() {
    model(|| {
        let root = CancellationToken::new();
        let upper = root.child_token();
        let lower = upper.child_token();
        let leaf = lower.child_token();
        let dropper = thread::spawn(move || drop(upper));
        drop(lower);
        dropper.join().unwrap();
        assert!(!leaf.is_cancelled());
        root.cancel();
        assert!(leaf.is_cancelled());
    });
}

/// A root and its child go at once: nothing below them is lost, or kept.
#[test]
fn loom_a_root_and_its_child_are_dropped_at_once() {
    model(|| {
        let root = CancellationToken::new();
        let middle = root.child_token();
        let (left, right) = (middle.child_token(), middle.child_token());
        let below = left.child_token();
        let dropper = thread::spawn(move || drop(root));
        drop(middle);
        dropper.join().unwrap();
        left.cancel();
        assert!(below.is_cancelled() && !right.is_cancelled());
    });
}

/// Both cancel; each returns only when all below is cancelled.
#[test]
fn loom_two_cancel_one_above_the_other() {
    model(|| {
        let root = CancellationToken::new();
        let middle = root.child_token();
        let leaf = middle.child_token();
        let above = {
            let (root, leaf) = (root.clone(), leaf.clone());
            thread::spawn(move || {
                root.cancel();
                assert!(leaf.is_cancelled());
            })
        };
        middle.cancel();
        assert!(middle.is_cancelled() && leaf.is_cancelled());
        above.join().unwrap();
    });
}

/// Whoever sees a token cancelled finds its child cancelled.
#[test]
fn loom_a_cancelled_token_has_no_child_that_is_not() {
    model(|| {
        let root = CancellationToken::new();
        let middle = root.child_token();
        let leaf = middle.child_token();
        let canceller = {
            let root = root.clone();
            thread::spawn(move || root.cancel())
        };
        if root.is_cancelled() {
            assert!(middle.is_cancelled());
        }
        if middle.is_cancelled() {
            assert!(leaf.is_cancelled());
        }
        canceller.join().unwrap();
    });
}
