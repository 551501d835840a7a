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

/// Drops the payload of a panic, and that of the panic which its drop may be.
pub(crate) fn forget(mut result: Result<(), Box<dyn Any + Send>>) {
    for _ in 0..LAYERS_MAX {
        let Err(payload) = result else { return };
        result = catch_unwind(AssertUnwindSafe(|| drop(payload)));
    }
    // Payloads all the way down: the next had better not be tried.
    std::mem::forget(result);
}

const LAYERS_MAX: usize = 4;

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
