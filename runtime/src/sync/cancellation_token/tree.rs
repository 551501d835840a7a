//! The tree of tokens: what is cancelled together.
//!
//! # References
//! A [`Node`] is shared by its tokens, its parent's list of children, and its children's links to it. The last two make a
//! circle, which [`release`](Node::release) and [`cancel`](Node::cancel) open: a node that no token names, or that is
//! cancelled, has neither parent nor children. So nodes are freed with their tokens, and freeing one frees no other: there is
//! no recursion, however deep the tree.
//!
//! # State
//! ```text
//!           cancel, of an ancestor: 1                2
//!   Live ------------------------------> Falling --------> Cancelled
//!     \------------------------------------------------------^
//!           cancel, of the node itself: 3
//! ```
//! - 3 keeps the lock of the node that `cancel` was called on for as long as the whole branch falls. First every descendant
//!   is taken out of the tree (1, parents first), then each is cancelled (2, children first), the node itself last. So a node
//!   that is cancelled has no descendant that is not.
//! - `Falling` names the node on which `cancel` was called. Whoever cancels a falling node waits for that one's lock, so that
//!   it too returns when all has fallen.
//! - `Cancelled` is also a flag of its own, for who only wants to look.
//!
//! # Locks
//! A node's before its descendants', never the other way. Wakers are collected under them, and called under none.

use crate::atomic::{AtomicBool, AtomicUsize, Mutex, Ordering};
use crate::wait_queue::{Events, Mode, WaitList, WaitSlot, WakeBatch};
use slab::Slab;
use std::sync::Arc;
use std::task::Waker;

#[derive(Debug)]
pub(crate) struct Node {
    /// Whether the state is `Cancelled`; set under the branch's lock, when its waiters have been told.
    is_cancelled: AtomicBool,
    tokens: AtomicUsize,
    branch: Mutex<Branch>,
}

#[derive(Debug)]
struct Branch {
    state: State,
    parent: Option<Link>,
    children: Slab<Arc<Node>>,
    waiters: WaitList,
}

#[derive(Debug)]
enum State {
    Live,
    /// An ancestor, this one, is being cancelled.
    Falling(Arc<Node>),
    Cancelled,
}

/// The way to the parent, and the place in its list of children.
#[derive(Debug)]
struct Link {
    parent: Arc<Node>,
    key: usize,
}

impl Node {
    /// A node without a parent, for one token.
    pub(crate) fn new() -> Arc<Node> {
        Arc::new(Node::with(None, State::Live))
    }

    fn with(parent: Option<Link>, state: State) -> Node {
        Node {
            is_cancelled: AtomicBool::new(matches!(state, State::Cancelled)),
            tokens: AtomicUsize::new(1),
            branch: Mutex::new(Branch { state, parent, children: Slab::new(), waiters: WaitList::new() }),
        }
    }

    /// A child of this node, for one token; cancelled if this node is.
    pub(crate) fn child(self: &Arc<Node>) -> Arc<Node> {
        if !self.is_cancelled() {
            let mut branch = self.branch.lock();
            if matches!(branch.state, State::Live) {
                let place = branch.children.vacant_entry();
                let link = Link { parent: self.clone(), key: place.key() };
                return place.insert(Arc::new(Node::with(Some(link), State::Live))).clone();
            }
        }
        Arc::new(Node::with(None, State::Cancelled))
    }

    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        // Acquire pairs with the Release in `fall`: who sees the flag sees what was written before `cancel`.
        self.is_cancelled.load(Ordering::Acquire)
    }

    /// Another token names this node.
    pub(crate) fn add_token(&self) {
        // Relaxed: the token that it is made from keeps the count above zero.
        self.tokens.fetch_add(1, Ordering::Relaxed);
    }

    /// A token is gone. The last one takes the node out of the tree.
    #[inline]
    pub(crate) fn remove_token(self: &Arc<Node>) {
        // AcqRel: the last sees what was done by the others.
        if self.tokens.fetch_sub(1, Ordering::AcqRel) == 1 && !self.is_cancelled() {
            self.release();
        }
    }

    /// Cancels this node and all its descendants. When it returns, they are, whoever did it.
    pub(crate) fn cancel(self: &Arc<Node>) {
        if self.is_cancelled() {
            return;
        }
        let mut batch = WakeBatch::new();
        let mut fallen = Vec::new();
        let mut branch = self.branch.lock();
        match &branch.state {
            State::Live => {}
            State::Cancelled => return,
            State::Falling(with) => {
                let with = with.clone();
                drop(branch);
                drop(with.branch.lock());
                return;
            }
        }
        branch.hand_out_children(&mut fallen);
        let mut next = 0;
        while let Some(node) = fallen.get(next).cloned() {
            node.take_down(self, &mut fallen);
            next += 1;
        }
        for node in fallen.iter().rev() {
            node.fall(&mut node.branch.lock(), &mut batch);
        }
        let link = branch.parent.take();
        self.fall(&mut branch, &mut batch);
        drop(branch);
        if let Some(link) = link {
            link.parent.forget(link.key, self);
        }
        batch.wake_all();
    }

    /// 1: out of the tree, with `with`. Its children join `fallen`.
    fn take_down(&self, with: &Arc<Node>, fallen: &mut Vec<Arc<Node>>) {
        let mut branch = self.branch.lock();
        // One that was cancelled by itself may not have left its parent's list yet.
        if matches!(branch.state, State::Live) {
            branch.state = State::Falling(with.clone());
            branch.parent = None;
            branch.hand_out_children(fallen);
        }
    }

    /// 2 and 3.
    fn fall(&self, branch: &mut Branch, batch: &mut WakeBatch) {
        branch.state = State::Cancelled;
        branch.waiters.wake_all(batch);
        // After the waiters were told: whoever sees the flag knows without the lock that it is in no list any more.
        self.is_cancelled.store(true, Ordering::Release);
    }

    /// `child` leaves the list; it may have left already, and its place may be another's.
    fn forget(&self, key: usize, child: &Arc<Node>) {
        let mut branch = self.branch.lock();
        if branch.children.get(key).is_some_and(|found| Arc::ptr_eq(found, child)) {
            branch.children.remove(key);
        }
    }

    /// No token names this node, so nobody can cancel it by itself: its children become its parent's.
    fn release(self: &Arc<Node>) {
        loop {
            let mut branch = self.branch.lock();
            if !matches!(branch.state, State::Live) {
                return;
            }
            let Some(link) = &branch.parent else {
                // Under this node's lock: a child that is released at the same time must not find it any more.
                for child in branch.children.drain() {
                    child.branch.lock().parent = None;
                }
                return;
            };
            let parent = link.parent.clone();
            drop(branch); // the parent's lock comes first
            if self.hand_over_to(&parent) {
                return;
            }
        }
    }

    /// Leaves the tree, its children in `parent`'s care; false when `parent` is not its parent any more.
    fn hand_over_to(&self, parent: &Arc<Node>) -> bool {
        let mut above = parent.branch.lock();
        let mut branch = self.branch.lock();
        if !matches!((&above.state, &branch.state), (State::Live, State::Live)) {
            // Whoever cancels the parent has taken this node out of its list, and will come here.
            return true;
        }
        let Some(link) = branch.parent.take_if(|link| Arc::ptr_eq(&link.parent, parent)) else { return false };
        above.children.remove(link.key);
        for child in branch.children.drain() {
            let mut below = child.branch.lock();
            // One that was cancelled by itself may not have left this node's list yet.
            if matches!(below.state, State::Live) {
                let key = above.children.insert(child.clone());
                below.parent = Some(Link { parent: parent.clone(), key });
            }
        }
        true
    }

    /// Whether it is cancelled; if not, `waker` joins those who wait for that. If so, `place` is in no list any more.
    #[inline]
    pub(crate) fn is_cancelled_or_wait(&self, place: &mut WaitSlot, waker: &Waker) -> bool {
        self.is_cancelled() || self.wait(place, waker)
    }

    fn wait(&self, place: &mut WaitSlot, waker: &Waker) -> bool {
        let mut branch = self.branch.lock();
        if matches!(branch.state, State::Cancelled) {
            return true;
        }
        // Exclusive for the order alone, the longest waiting first: a cancellation tells all.
        let replaced = branch.waiters.join(place, waker, Events::HUP, Mode::Exclusive);
        drop(branch);
        drop(replaced);
        false
    }

    /// A waiter gives up.
    #[inline]
    pub(crate) fn leave(&self, place: &mut WaitSlot) {
        if place.is_set() && !self.is_cancelled() {
            let removed = self.branch.lock().waiters.remove(place);
            drop(removed);
        }
    }
}

impl Branch {
    fn hand_out_children(&mut self, to: &mut Vec<Arc<Node>>) {
        to.extend(std::mem::take(&mut self.children).into_iter().map(|(_, child)| child));
    }
}
