//! Elsewhere the standard library's clock serves for both looks.

use std::sync::OnceLock;
use std::time::Instant;

/// Nanoseconds since the first look.
pub(crate) fn now_ns() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let since = FIRST.get_or_init(Instant::now).elapsed();
    // In 64 bits, which no process outlives.
    since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos())
}

/// The same: there is no cheaper look.
pub(crate) fn tick_ns() -> u64 {
    now_ns()
}
