//! Panics of code that is not ours, kept where they happen: wakers, hooks, the drop of what nobody waits for.
//!
//! The panic hook has told of each (on stderr, unless the program has set another); its payload has nowhere else to go.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `f`; a panic ends it and nothing else.
#[inline]
pub(crate) fn contain(f: impl FnOnce()) {
    forget(catch_unwind(AssertUnwindSafe(f)));
}

/// Drops the payload of a panic.
pub(crate) fn forget(result: Result<(), Box<dyn Any + Send>>) {
    if let Err(payload) = result
        && let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
    {
        // A payload that panics when it drops; its payload had better not be tried.
        std::mem::forget(second);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::panic_any("from a drop");
        }
    }

    #[test]
    fn nothing_passes() {
        let mut ran = 0;
        contain(|| ran += 1);
        contain(|| panic!("contained"));
        contain(|| std::panic::panic_any(Bomb));
        contain(|| ran += 1);
        assert_eq!(ran, 2);
    }
}
