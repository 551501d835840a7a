//! The task's budget, for the emulated arm of each type; the operating system's arm pays in its source.

use std::task::{Context, Poll};
use wakeline_runtime::coop;

/// One unit of the task's budget for one operation that made progress.
#[inline]
pub(crate) fn budgeted<R>(cx: &mut Context<'_>, operation: impl FnOnce(&mut Context<'_>) -> Poll<R>) -> Poll<R> {
    let progress = std::task::ready!(coop::poll_proceed(cx));
    let result = operation(cx);
    if result.is_ready() {
        progress.made();
    }
    result
}
