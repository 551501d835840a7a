//! The chance that decides which branch is asked first.

use crate::scheduler;

/// A number in `0..bound`; 0 when `bound` is 0.
///
/// On a worker, a current-thread runtime's `block_on` included, it comes from that worker's generator, so that the
/// runtime's seed decides it; elsewhere from the thread's own, which no seed repeats.
#[inline]
pub fn random(bound: u32) -> u32 {
    scheduler::random(bound).unwrap_or_else(|| elsewhere(bound))
}

#[cold]
fn elsewhere(bound: u32) -> u32 {
    if bound == 0 { 0 } else { fastrand::u32(..bound) }
}
