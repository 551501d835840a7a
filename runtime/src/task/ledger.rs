//! The ledger of a task group: which of its children live, and who waits for the last.
//!
//! A child stands in the ledger of its group and in those of the groups around it, so that each of them can abort it and
//! wait for it. It is entered before it is spawned and leaves when its future has been dropped; in between the handle
//! that can abort it is handed in. It knows nothing of results.

use crate::atomic::Mutex;
use crate::task::join::AbortHandle;
use slab::Slab;
use smallvec::SmallVec;
use std::iter;
use std::sync::Arc;
use std::task::Waker;

/// One group's ledger.
#[derive(Debug)]
pub(crate) struct Ledger {
    state: Mutex<State>,
    /// That of the group around.
    above: Option<Arc<Ledger>>,
}

#[derive(Debug)]
struct State {
    children: Slab<Child>,
    /// How many have not ended; after a cancel more than `children` has.
    live: usize,
    /// What the next child is called.
    next: u64,
    /// Each child has been aborted, and each later one will be.
    cancelled: bool,
    /// That is because one of them failed.
    failed: bool,
    /// The task that owns the group, until it is told.
    owner: Option<Waker>,
    until: Until,
}

#[derive(Debug)]
struct Child {
    /// Tells it from one that had the place before.
    number: u64,
    abort: Option<AbortHandle>,
}

/// What the owner waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// A child fails.
    Failed,
    /// The last child has ended.
    Empty,
}

/// A cancel that has been decided, and is to be carried out where no lock is held: an abort may wake whoever polls a
/// local set.
#[must_use]
#[derive(Debug)]
pub(crate) struct Cancel {
    children: Slab<Child>,
    owner: Option<Waker>,
}

/// A child's place in its ledgers; it leaves them when this drops.
#[derive(Debug)]
pub(crate) struct Seat {
    places: Places,
    /// A group was cancelled before: the child must not begin.
    pub(crate) refused: bool,
}

/// Where a child stands, for whoever spawns it and hands its handle in.
pub(crate) type Places = SmallVec<[Place; 1]>;

/// A child's place in one ledger. Stale when the child has ended.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    ledger: Arc<Ledger>,
    key: usize,
    number: u64,
}

impl Ledger {
    pub(crate) fn new(above: Option<Arc<Ledger>>) -> Ledger {
        let state = State {
            children: Slab::new(),
            live: 0,
            next: 0,
            cancelled: false,
            failed: false,
            owner: None,
            until: Until::Failed,
        };
        Ledger { state: Mutex::new(state), above }
    }

    /// Enters a child that is about to be spawned.
    pub(crate) fn enter(self: &Arc<Self>) -> Seat {
        let mut refused = false;
        let places = iter::successors(Some(self), |ledger| ledger.above.as_ref()).map(|ledger| {
            let mut state = ledger.state.lock();
            refused |= state.cancelled;
            state.live += 1;
            state.next += 1;
            let number = state.next;
            let key = state.children.insert(Child { number, abort: None });
            Place { ledger: ledger.clone(), key, number }
        });
        let places = places.collect();
        Seat { places, refused }
    }

    /// Aborts every child, and each that is entered from now on.
    pub(crate) fn cancel(&self) {
        let cancel = self.state.lock().cancel();
        cancel.carry_out();
    }

    /// A child has failed, which cancels the group. `None` when the group was cancelled before: then nobody cares.
    pub(crate) fn fail(&self) -> Option<Cancel> {
        let mut state = self.state.lock();
        if state.cancelled {
            return None;
        }
        state.failed = true;
        Some(state.cancel())
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.state.lock().cancelled
    }

    /// How many children have not ended.
    pub(crate) fn live(&self) -> usize {
        self.state.lock().live
    }

    /// Whether what the owner waits for has come; if not, `waker` is told when it does.
    ///
    /// A group that was found to be empty is over: who is entered later is refused.
    pub(crate) fn has_come(&self, until: Until, waker: &Waker) -> bool {
        let before = {
            let mut state = self.state.lock();
            let come = match until {
                Until::Failed => state.failed,
                Until::Empty => state.live == 0,
            };
            if come {
                state.cancelled = true;
                return true;
            }
            state.until = until;
            if state.owner.as_ref().is_some_and(|owner| owner.will_wake(waker)) {
                return false;
            }
            state.owner.replace(waker.clone())
        };
        // Outside the lock: it may be anybody's.
        drop(before);
        false
    }
}

impl Cancel {
    pub(crate) fn carry_out(self) {
        self.children.iter().filter_map(|(_, child)| child.abort.as_ref()).for_each(AbortHandle::abort);
        if let Some(owner) = self.owner {
            owner.wake();
        }
    }
}

impl Seat {
    pub(crate) fn places(&self) -> Places {
        self.places.clone()
    }
}

/// Hands in what can abort a child that has been spawned. One that came too late is aborted at once.
pub(crate) fn hand_in(places: Places, abort: &AbortHandle) {
    let mut late = false;
    for place in &places {
        let mut state = place.ledger.state.lock();
        late |= state.cancelled;
        if let Some(child) = state.child(place) {
            child.abort = Some(abort.clone());
        }
    }
    if late {
        abort.abort();
    }
}

impl State {
    fn cancel(&mut self) -> Cancel {
        self.cancelled = true;
        Cancel { children: std::mem::take(&mut self.children), owner: self.owner.take() }
    }

    /// The child, if it has neither ended nor been aborted.
    fn child(&mut self, place: &Place) -> Option<&mut Child> {
        self.children.get_mut(place.key).filter(|child| child.number == place.number)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        for place in &self.places {
            let (_child, owner) = {
                let mut state = place.ledger.state.lock();
                let child = state.child(place).is_some().then(|| state.children.remove(place.key));
                state.live -= 1;
                let tell = state.live == 0 && state.until == Until::Empty;
                (child, if tell { state.owner.take() } else { None })
            };
            if let Some(owner) = owner {
                owner.wake();
            }
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
