//! Processors whose registers are not known to be wider than a digit.

/// Nobody's sum.
#[inline]
pub(super) fn sum(_blocks: &[[u8; 64]]) -> Option<u64> {
    None
}
