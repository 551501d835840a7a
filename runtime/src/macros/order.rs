//! Which branch is polled first.

use crate::macros::random::random;

/// Which branch is polled first; the others follow in rotation.
pub trait Order {
    /// Whether it is always the first one.
    const FROM_THE_LEFT: bool = false;

    /// The first of `count` branches at this poll.
    fn start(&mut self, count: u32) -> u32;
}

/// Always the first: `biased;`.
#[derive(Debug)]
pub struct Biased;

impl Order for Biased {
    const FROM_THE_LEFT: bool = true;

    #[inline]
    fn start(&mut self, _count: u32) -> u32 {
        0
    }
}

/// Any, decided anew at each poll: of several branches that are always ready, each wins its share.
#[derive(Debug)]
pub struct Fair;

impl Order for Fair {
    #[inline]
    fn start(&mut self, count: u32) -> u32 {
        random(count)
    }
}

/// The next one at each poll: a branch that uses up the budget does not starve the others.
#[derive(Debug, Default)]
pub struct Rotating {
    next: u32,
}

impl Order for Rotating {
    #[inline]
    fn start(&mut self, count: u32) -> u32 {
        let start = self.next;
        self.next = if start + 1 == count { 0 } else { start + 1 };
        start
    }
}
