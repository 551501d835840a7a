//! What is told of a task and of a resource when they begin.

use std::panic::Location;

/// What kind of thing a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "tracing"), allow(dead_code, reason = "nobody is told"))]
pub(crate) enum ResourceKind {
    Timer,
    Sync,
}

/// What a task is told by.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "tracing"), allow(dead_code, reason = "nobody is told"))]
pub(crate) struct About<'a> {
    /// `task`, `local` or `block_on`.
    pub(crate) kind: &'static str,
    pub(crate) id: u64,
    pub(crate) name: Option<&'a str>,
    pub(crate) spawned_at: &'static Location<'static>,
}
