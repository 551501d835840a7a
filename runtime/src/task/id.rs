//! What tells two tasks apart.

use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

/// The identity of a task, unique among all tasks of the process.
///
/// It says nothing about order: workers draw identities in blocks.
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
    // Relaxed: the numbers must differ, nothing more.
    NEXT.fetch_add(count, Ordering::Relaxed)
}

impl Id {
    pub(crate) fn next() -> Id {
        Id::from_number(draw(1))
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
}
