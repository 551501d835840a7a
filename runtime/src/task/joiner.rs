//! Who is told when a task is complete: whoever polls its `JoinHandle`, or the set it is a member of.

use crate::atomic::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Poll, Waker};

/// What stands in a task's join field.
pub(super) enum Joiner {
    /// The task that awaits the `JoinHandle`.
    Waker(Waker),
    /// The set, which hears its own number for this task. `None` is nobody: as a third variant it would cost every task
    /// a word.
    Set(Option<Arc<Finished>>),
}

impl Joiner {
    pub(super) const NOBODY: Joiner = Joiner::Set(None);

    /// Has `waker` told instead of whoever it was.
    pub(super) fn become_waker(&mut self, waker: &Waker) {
        match self {
            Joiner::Waker(known) => known.clone_from(waker),
            Joiner::Set(_) => *self = Joiner::Waker(waker.clone()),
        }
    }

    pub(super) fn take(&mut self) -> Joiner {
        std::mem::replace(self, Joiner::NOBODY)
    }

    /// The task is complete. `member` is what the set calls it.
    pub(super) fn tell(self, member: u32) {
        match self {
            Joiner::Waker(waker) => waker.wake(),
            Joiner::Set(set) => set.expect("JOIN_WAKER says that the field is set").push(member),
        }
    }
}

/// The members of a set that are complete and have not been looked at, in the order in which they ended.
///
/// Each member stands here once at most, so it is no longer than the set.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    members: VecDeque<u32>,
    /// The task that waits for the next.
    waiter: Option<Waker>,
}

impl Finished {
    fn push(&self, member: u32) {
        let waiter = {
            let mut state = self.state.lock();
            state.members.push_back(member);
            state.waiter.take()
        };
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    /// Moves all of them to `into`, which is empty; false when there are none.
    pub(crate) fn take(&self, into: &mut VecDeque<u32>) -> bool {
        debug_assert!(into.is_empty());
        std::mem::swap(&mut self.state.lock().members, into);
        !into.is_empty()
    }

    /// As [`take`](Finished::take); when there are none, `waker` is woken by the next.
    pub(crate) fn poll_take(&self, into: &mut VecDeque<u32>, waker: &Waker) -> Poll<()> {
        debug_assert!(into.is_empty());
        let before = {
            let mut state = self.state.lock();
            if !state.members.is_empty() {
                std::mem::swap(&mut state.members, into);
                return Poll::Ready(());
            }
            if state.waiter.as_ref().is_some_and(|waiter| waiter.will_wake(waker)) {
                return Poll::Pending;
            }
            state.waiter.replace(waker.clone())
        };
        // Outside the lock: it may be anybody's.
        drop(before);
        Poll::Pending
    }
}
