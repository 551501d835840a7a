//! What is cancelled with what, who is told, and that nodes go with their tokens.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use super::tree::Node;
use super::*;
use crate::coop;
use crate::sync::spy::{OnDrop, OnWake, Spy, is_send, is_sync, is_unpin, is_unwind_safe};
use std::cell::Cell;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};

const DEEP: usize = 100_000;

/// A node with its one token, as `CancellationToken` keeps it, but whose memory can be watched.
struct Watched(Option<Arc<Node>>);

impl Watched {
    fn root() -> Watched {
        Watched(Some(Node::new()))
    }

    fn node(&self) -> &Arc<Node> {
        self.0.as_ref().unwrap()
    }

    fn child(&self) -> Watched {
        Watched(Some(self.node().child()))
    }

    fn weak(&self) -> Weak<Node> {
        Arc::downgrade(self.node())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.take().unwrap().remove_token();
    }
}

/// A root, its child, that one's child, and so on.
fn chain(length: usize) -> Vec<CancellationToken> {
    let mut tokens = vec![CancellationToken::new()];
    for _ in 1..length {
        let child = tokens[tokens.len() - 1].child_token();
        tokens.push(child);
    }
    tokens
}

#[test]
fn cancelling_tells_everyone_who_waits_once() {
    let token = CancellationToken::new();
    let second = token.clone();
    let mut waits: Vec<_> = (0..5).map(|_| Spy::waiting(second.cancelled())).collect();
    let mut owned = Spy::waiting(token.clone().cancelled_owned());
    token.cancel();
    token.cancel();
    assert!(second.is_cancelled());
    assert!(waits.iter().all(|wait| wait.wakes() == 1) && owned.wakes() == 1);
    assert!(waits.iter_mut().all(|wait| wait.poll().is_ready()) && owned.poll().is_ready());
    assert!(Spy::new(token.cancelled()).poll().is_ready() && waits[0].poll().is_ready(), "and for good");
}

#[test]
fn a_parent_takes_all_below_it_and_a_child_nothing_above_or_beside() {
    let root = CancellationToken::new();
    let (left, right) = (root.child_token(), root.child_token());
    let (below_left, below_right) = (left.child_token(), right.child_token());
    let mut wait = Spy::waiting(below_right.cancelled());
    left.cancel();
    assert!(left.is_cancelled() && below_left.is_cancelled());
    assert!(!root.is_cancelled() && !right.is_cancelled() && wait.poll().is_pending());
    root.cancel();
    assert!(right.is_cancelled() && below_right.is_cancelled());
    assert!(wait.wakes() == 1 && wait.poll().is_ready());
}

#[test]
fn a_child_of_a_cancelled_token_is_cancelled() {
    let token = CancellationToken::new();
    token.cancel();
    let child = token.child_token();
    assert!(child.is_cancelled() && child.child_token().is_cancelled());
}

#[test]
fn a_clone_is_the_same_token() {
    let token = CancellationToken::new();
    let clone = token.clone();
    let child = clone.child_token();
    drop(clone);
    token.cancel();
    assert!(child.is_cancelled());
}

#[test]
fn the_children_of_a_dropped_token_belong_to_its_parent() {
    let root = CancellationToken::new();
    let middle = root.child_token();
    let leaves: Vec<_> = (0..3).map(|_| middle.child_token()).collect();
    let mut wait = Spy::waiting(leaves[2].cancelled());
    leaves[0].cancel();
    drop(middle);
    assert!(leaves[0].is_cancelled() && !leaves[1].is_cancelled());
    root.cancel();
    assert!(leaves.iter().all(CancellationToken::is_cancelled) && wait.poll().is_ready());
}

#[test]
fn the_children_of_a_dropped_root_are_roots() {
    let root = CancellationToken::new();
    let (left, right) = (root.child_token(), root.child_token());
    let below = left.child_token();
    drop(root);
    assert!(!left.is_cancelled());
    left.cancel();
    assert!(below.is_cancelled() && !right.is_cancelled());
}

/// The places in a parent's list are used again; a stale one must not take out whoever stands there now.
#[test]
fn children_come_and_go_in_any_order() {
    let root = CancellationToken::new();
    let mut children: Vec<_> = (0..8).map(|_| root.child_token()).collect();
    children.swap_remove(3);
    children[5].cancel();
    children.swap_remove(0);
    children.extend((0..4).map(|_| root.child_token()));
    children.swap_remove(4);
    assert_eq!(children.iter().filter(|child| child.is_cancelled()).count(), 1);
    root.cancel();
    assert!(children.iter().all(CancellationToken::is_cancelled));
}

#[test]
fn a_long_chain_is_cancelled_without_recursion() {
    let tokens = chain(DEEP);
    let mut last = Spy::waiting(tokens[DEEP - 1].cancelled());
    let other = tokens[DEEP / 2].child_token();
    tokens[DEEP / 2].cancel();
    assert!(other.is_cancelled() && last.poll().is_ready() && !tokens[DEEP / 2 - 1].is_cancelled());
    tokens[0].cancel();
    assert!(tokens.iter().all(CancellationToken::is_cancelled));
}

#[test]
fn a_long_chain_is_dropped_without_recursion_from_either_end() {
    drop(chain(DEEP)); // the root first
    let mut tokens = chain(DEEP);
    while tokens.pop().is_some() {} // the leaf first
    let mut tokens = chain(DEEP);
    let last = tokens.pop().unwrap();
    drop(tokens);
    assert!(!last.is_cancelled());
}

#[test]
fn a_wide_tree_is_cancelled_and_dropped() {
    let root = CancellationToken::new();
    let middle = root.child_token();
    let leaves: Vec<_> = (0..DEEP).map(|_| middle.child_token()).collect();
    drop(middle);
    root.cancel();
    assert!(leaves.iter().all(CancellationToken::is_cancelled));
}

#[test]
fn nodes_go_with_their_tokens() {
    let root = Watched::root();
    let middle = root.child();
    let leaf = middle.child();
    let (weak_root, weak_middle, weak_leaf) = (root.weak(), middle.weak(), leaf.weak());
    drop(middle);
    assert!(weak_middle.upgrade().is_none(), "neither its parent nor its child keeps it");
    drop(root);
    assert!(weak_root.upgrade().is_none());
    drop(leaf);
    assert!(weak_leaf.upgrade().is_none());
}

#[test]
fn nodes_that_were_cancelled_go_too() {
    let root = Watched::root();
    let (left, right) = (root.child(), root.child());
    let below = left.child();
    left.node().cancel();
    let weak: Vec<_> = [&root, &left, &right, &below].map(Watched::weak).into();
    drop((left, below));
    assert!(weak[1].upgrade().is_none() && weak[3].upgrade().is_none());
    root.node().cancel();
    drop((root, right));
    assert!(weak.iter().all(|node| node.upgrade().is_none()));
}

/// As a loop does that narrows its token again and again.
#[test]
fn a_generation_after_the_other_leaves_nothing_behind() {
    let root = CancellationToken::new();
    let mut now = Watched(Some(Node::new()));
    let mut before = Vec::new();
    for _ in 0..1_000 {
        before.push(now.weak());
        now = now.child();
    }
    assert!(before.iter().all(|node| node.upgrade().is_none()));
    let mut token = root.clone();
    for _ in 0..1_000 {
        token = token.child_token();
    }
    root.cancel();
    assert!(token.is_cancelled());
}

#[test]
fn a_waiter_that_leaves_is_forgotten_with_its_waker() {
    let token = CancellationToken::new();
    let wait = Spy::waiting(token.cancelled());
    assert_eq!((wait.wakers(), wait.cancel()), (1, 0));
    let owned = Spy::waiting(token.clone().cancelled_owned());
    assert_eq!((owned.wakers(), owned.cancel()), (1, 0));
    let mut told = Spy::waiting(token.cancelled());
    token.cancel();
    assert_eq!(told.wakers(), 0);
    assert!(told.poll().is_ready());
    assert_eq!(told.cancel(), 0);
}

#[test]
fn the_last_waker_counts() {
    let token = CancellationToken::new();
    let mut wait = Spy::waiting(token.cancelled());
    assert!(wait.poll_with(Waker::noop()).is_pending());
    assert_eq!(wait.wakers(), 0);
    assert!(wait.poll().is_pending());
    token.cancel();
    assert_eq!(wait.wakes(), 1);
}

#[test]
fn an_owned_wait_keeps_the_token() {
    let root = CancellationToken::new();
    let child = root.child_token();
    let grandchild = child.child_token();
    let mut wait = Spy::waiting(child.cancelled_owned());
    root.cancel();
    assert!(wait.poll().is_ready() && grandchild.is_cancelled());
}

#[test]
fn guards_cancel_unless_they_are_disarmed() {
    let token = CancellationToken::new();
    let child = token.child_token();
    assert!(!child.clone().drop_guard().disarm().is_cancelled());
    assert!(std::ptr::eq(child.drop_guard_ref().disarm(), &child) && !child.is_cancelled());
    drop(child.drop_guard_ref());
    assert!(child.is_cancelled() && !token.is_cancelled());
    drop(token.clone().drop_guard());
    assert!(token.is_cancelled());
}

#[test]
fn running_until_cancelled_prefers_the_output() {
    let token = CancellationToken::new();
    assert_eq!(Spy::new(token.run_until_cancelled(async { 1 })).output(), Some(1));
    let is_done = Cell::new(false);
    let mut run = Spy::waiting(
        token.run_until_cancelled(poll_fn(|_| if is_done.get() { Poll::Ready(2) } else { Poll::Pending })),
    );
    is_done.set(true);
    token.cancel();
    assert_eq!(run.wakes(), 1);
    assert_eq!(run.output(), Some(2), "both at once");
}

#[test]
fn running_until_cancelled_drops_the_future() {
    for cancel_first in [false, true] {
        let token = CancellationToken::new();
        let alive = Arc::new(());
        let polls = Cell::new(0);
        let future = {
            let (alive, polls) = (alive.clone(), &polls);
            poll_fn(move |_| {
                polls.set(polls.get() + Arc::strong_count(&alive).min(1));
                Poll::<()>::Pending
            })
        };
        if cancel_first {
            token.cancel();
        }
        let mut run = Spy::new(token.clone().run_until_cancelled_owned(future));
        if !cancel_first {
            assert!(run.poll().is_pending() && run.poll().is_pending());
            token.cancel();
        }
        assert_eq!(run.output(), None);
        drop(run);
        assert_eq!(Arc::strong_count(&alive), 1);
        assert_eq!(polls.get(), if cancel_first { 0 } else { 3 });
    }
}

#[test]
fn a_future_that_has_used_up_its_budget_can_be_cancelled() {
    let token = CancellationToken::new();
    coop::with_budget(|| {
        let mut run = Spy::waiting(token.run_until_cancelled(async {
            loop {
                coop::consume_budget().await;
            }
        }));
        token.cancel();
        assert_eq!(run.output(), None::<()>);
        assert!(Spy::new(token.cancelled()).poll().is_pending(), "there is no step left");
    });
    coop::with_budget(|| {
        let step = || Spy::new(token.cancelled()).poll().is_ready();
        assert_eq!((0..1000).take_while(|_| step()).count(), usize::from(coop::BUDGET));
    });
}

#[test]
fn foreign_code_runs_under_no_lock() {
    let root = CancellationToken::new();
    let child = root.child_token();
    let touch = {
        let (root, child) = (root.clone(), child.clone());
        move || {
            drop((root.child_token(), child.child_token()));
            let _ = (Spy::new(root.cancelled()).poll(), Spy::new(child.cancelled()).poll());
            child.cancel();
        }
    };
    let touch = Arc::new(touch);
    let (waking, dropping) = (touch.clone(), touch);
    let mut replaced = Spy::new(root.cancelled());
    assert!(replaced.poll_with(&Waker::from(Arc::new(OnDrop(move || dropping())))).is_pending());
    assert!(replaced.poll_with(Waker::noop()).is_pending() && child.is_cancelled());
    let mut woken = Spy::new(root.cancelled());
    assert!(woken.poll_with(&Waker::from(Arc::new(OnWake(move || waking())))).is_pending());
    root.cancel();
    assert!(woken.poll().is_ready() && replaced.poll().is_ready());
}

#[test]
fn the_types_are_what_they_promise() {
    is_send::<CancellationToken>();
    is_sync::<CancellationToken>();
    is_unpin::<CancellationToken>();
    is_unwind_safe::<CancellationToken>();
    is_send::<WaitForCancellationFuture<'_>>();
    is_sync::<WaitForCancellationFuture<'_>>();
    is_unpin::<WaitForCancellationFuture<'_>>();
    is_send::<WaitForCancellationFutureOwned>();
    is_sync::<WaitForCancellationFutureOwned>();
    is_unpin::<WaitForCancellationFutureOwned>();
    assert_eq!(format!("{:?}", CancellationToken::default()), "CancellationToken { is_cancelled: false }");
}

/// Whoever sees a token cancelled finds all that it has made of it cancelled, whichever thread did what.
#[test]
fn threads_grow_and_cut_one_tree() {
    for seed in 0..20 {
        let root = CancellationToken::new();
        let gardener = |seed: u64| {
            let root = root.clone();
            move || {
                let mut rng = fastrand::Rng::with_seed(seed);
                let mut tokens = vec![root];
                for _ in 0..200 {
                    let at = rng.usize(..tokens.len());
                    match rng.u8(..8) {
                        0 if at != 0 => tokens[at].cancel(),
                        1 | 2 if at != 0 => drop(tokens.swap_remove(at)),
                        3 => {
                            let parent = tokens[at].clone();
                            let child = parent.child_token();
                            assert!(!parent.is_cancelled() || child.is_cancelled());
                            tokens.push(child);
                        }
                        _ => tokens.push(tokens[at].child_token()),
                    }
                }
                tokens
            }
        };
        let threads: Vec<_> = (0..2).map(|n| std::thread::spawn(gardener(seed * 2 + n))).collect();
        (0..seed * 20).for_each(|_| std::thread::yield_now()); // earlier or later in the garden's life
        root.cancel();
        for thread in threads {
            let tokens = thread.join().unwrap();
            assert!(tokens.iter().all(CancellationToken::is_cancelled));
        }
    }
}

/// Two cancel at once, one of them above the other: each returns only when all below it is cancelled.
#[test]
fn two_who_cancel_at_once_both_find_it_done() {
    for _ in 0..300 {
        let tokens = chain(6);
        let above = std::thread::spawn({
            let tokens = tokens.clone();
            move || {
                tokens[0].cancel();
                tokens.iter().all(CancellationToken::is_cancelled)
            }
        });
        tokens[3].cancel();
        assert!(tokens[3..].iter().all(CancellationToken::is_cancelled));
        assert!(above.join().unwrap());
    }
}
