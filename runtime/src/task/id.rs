//! What tells two tasks apart.

use crate::rng::Rng;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The identity of a task, unique among all tasks of the process.
///
/// It says nothing about order: workers draw identities in blocks. In a current-thread runtime with a
/// [seed](crate::Builder::rng_seed) the seed decides it, so that what a program prints of it is the same in every run; two
/// such runtimes with one seed give the same identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(NonZeroU64);

/// A worker's supply of identities, so that spawning does not meet other workers on one counter.
#[derive(Debug, Default)]
pub(crate) struct IdBlock {
    next: u64,
    left: u64,
}

/// How many identities a worker draws at once; a power of two, see [`Id::block`].
pub(crate) const BLOCK: u64 = 256;

// The standard library's counter even under loom: it is no part of any protocol.
static NEXT: AtomicU64 = AtomicU64::new(BLOCK);

fn draw(count: u64) -> u64 {
    // Relaxed, here and below: the numbers must differ, nothing more.
    SEEDED.with(|seeded| match &*seeded.borrow() {
        Some(ids) => ids.0.fetch_add(count, Ordering::Relaxed),
        None => NEXT.fetch_add(count, Ordering::Relaxed),
    })
}

/// The identities of one runtime, as a seed decides them.
#[derive(Debug)]
pub(crate) struct SeededIds(AtomicU64);

thread_local! {
    /// Those of the runtime whose only worker this thread is.
    static SEEDED: RefCell<Option<Arc<SeededIds>>> = const { RefCell::new(None) };
}

impl SeededIds {
    pub(crate) fn new(seed: u64) -> SeededIds {
        // In the upper half, where no counter gets to, and 2^32 tasks from the next seed.
        let start = Rng::seeded(seed).next_u64() & (u64::MAX >> 33) << 32;
        SeededIds(AtomicU64::new(1 << 63 | start))
    }

    /// Runs `f` with every identity that this thread draws being one of these.
    pub(crate) fn with<R>(ids: Option<&Arc<SeededIds>>, f: impl FnOnce() -> R) -> R {
        let Some(ids) = ids else { return f() };
        struct Restore(Option<Arc<SeededIds>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                SEEDED.replace(self.0.take());
            }
        }
        let _restore = Restore(SEEDED.replace(Some(ids.clone())));
        f()
    }
}

impl Id {
    pub(crate) fn next() -> Id {
        Id::from_number(draw(1))
    }

    pub(super) fn number(self) -> u64 {
        self.0.get()
    }

    fn from_number(number: u64) -> Id {
        Id(NonZeroU64::new(number).expect("the counter starts above zero and 2^64 tasks are never reached"))
    }

    /// Tasks that one worker spawned one after another mostly share this number.
    pub(crate) fn block(self) -> usize {
        (self.0.get() / BLOCK) as usize
    }
}

impl IdBlock {
    pub(crate) fn next(&mut self) -> Id {
        if self.left == 0 {
            self.next = draw(BLOCK);
            self.left = BLOCK;
        }
        self.left -= 1;
        self.next += 1;
        Id::from_number(self.next - 1)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

thread_local! {
    static CURRENT: Cell<Option<Id>> = const { Cell::new(None) };
}

/// The identity of the task that is being polled or dropped on this thread, or `None` outside a task.
#[must_use]
pub fn try_id() -> Option<Id> {
    CURRENT.with(Cell::get)
}

/// The identity of the calling task.
///
/// # Panics
/// When called from outside a task; the future given to `block_on` is not one.
#[must_use]
#[track_caller]
pub fn id() -> Id {
    try_id().expect("there is no task here: `task::id()` works inside `spawn`, not in the future given to `block_on`")
}

/// Exchanges the thread's current task.
pub(super) fn replace_current(id: Option<Id>) -> Option<Id> {
    CURRENT.with(|current| current.replace(id))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn identities_from_blocks_and_singles_never_meet() {
        let mut blocks = [IdBlock::default(), IdBlock::default()];
        let mut seen = std::collections::HashSet::new();
        for round in 0..1000 {
            assert!(seen.insert(blocks[round % 2].next()));
            assert!(seen.insert(Id::next()));
        }
    }

    #[test]
    fn a_seed_decides_identities_and_leaves_the_others_alone() {
        let ids = |seed| {
            let ids = Arc::new(SeededIds::new(seed));
            SeededIds::with(Some(&ids), || (Id::next(), IdBlock::default().next(), Id::next()))
        };
        assert_eq!(ids(7), ids(7));
        assert_ne!(ids(7), ids(8));
        assert!(ids(7).0.0.get() >> 63 == 1 && Id::next().0.get() >> 63 == 0);
        assert!(SeededIds::with(None, Id::next).0.get() >> 63 == 0);
    }
}
