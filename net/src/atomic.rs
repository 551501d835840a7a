//! The standard library's atomics, or loom's under `--cfg loom`. The one file here that knows which: what is
//! model-checked takes them from it.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Stands where two `SeqCst` accesses, a store and then a load, must not change places. They are enough by themselves; but loom
/// takes them for `AcqRel`, so a model gets the fence.
#[inline]
pub(crate) fn in_total_order() {
    #[cfg(loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
}
