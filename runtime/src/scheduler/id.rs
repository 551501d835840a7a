//! What tells two runtimes apart.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

/// The identity of a runtime, unique among all runtimes of the process, those that have ended included.
///
/// # Examples
/// ```
/// # fn main() -> std::io::Result<()> {
/// use wakeline_runtime::Runtime;
///
/// let (one, another) = (Runtime::new()?, Runtime::new()?);
/// assert_ne!(one.handle().id(), another.handle().id());
/// assert_eq!(one.handle().id(), one.block_on(async { wakeline_runtime::Handle::current().id() }));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RuntimeId(NonZeroU64);

impl RuntimeId {
    pub(super) fn next() -> RuntimeId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // Relaxed: the numbers must differ, nothing more.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        RuntimeId(NonZeroU64::new(number).expect("2^64 runtimes are never reached"))
    }
}

impl fmt::Display for RuntimeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
