//! The asynchronous sockets: one set of types over two networks.
//!
//! Each type is an enum inside; which arm it gets is decided where it is bound or connected, by the network that the task
//! stands on. The emulated arm pays the task's budget here, as the operating system's arm does in its source.

pub(crate) mod resolve;
pub(crate) mod split;
pub(crate) mod tcp;
pub(crate) mod udp;

use std::task::{Context, Poll};
use wakeline_runtime::coop;

/// One unit of the task's budget for one operation that made progress.
fn budgeted<R>(cx: &mut Context<'_>, operation: impl FnOnce(&mut Context<'_>) -> Poll<R>) -> Poll<R> {
    let progress = std::task::ready!(coop::poll_proceed(cx));
    let result = operation(cx);
    if result.is_ready() {
        progress.made_progress();
    }
    result
}
