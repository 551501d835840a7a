//! Nobody is told anything.

use crate::trace::about::{About, ResourceKind};
use std::task::Poll;

/// Whether anybody is told.
pub(crate) const ON: bool = false;

/// A future as it becomes a task.
pub(crate) type Task<F> = F;

#[inline]
pub(crate) fn task<'a, F>(future: F, _about: impl FnOnce() -> About<'a>) -> (Task<F>, TaskId) {
    (future, TaskId)
}

#[inline]
#[expect(clippy::extra_unused_type_parameters, reason = "it is only told of")]
pub(crate) fn blocking<'a, W, F>(future: F, _about: impl FnOnce() -> About<'a>) -> (Task<F>, TaskId) {
    (future, TaskId)
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskId;

impl TaskId {
    #[inline]
    pub(crate) fn cloned(self) {}
    #[inline]
    pub(crate) fn woken(self) {}
    #[inline]
    pub(crate) fn woken_by_ref(self) {}
    #[inline]
    pub(crate) fn dropped(self) {}
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Place;

impl Place {
    #[inline]
    pub(crate) fn here() -> Place {
        Place
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Resource;

impl Resource {
    pub(crate) const NONE: Resource = Resource;

    #[inline]
    pub(crate) fn new(_concrete_type: &'static str, _kind: ResourceKind, _at: Place) -> Resource {
        Resource
    }

    #[inline]
    pub(crate) fn op(&self, _source: &'static str) -> Op {
        Op
    }

    #[inline]
    pub(crate) fn permits(&self, _permits: usize, _change: &'static str) {}
    #[inline]
    pub(crate) fn locked(&self, _locked: bool) {}
    #[inline]
    pub(crate) fn write_locked(&self, _locked: bool) {}
    #[inline]
    pub(crate) fn max_readers(&self, _readers: u32) {}
    #[inline]
    pub(crate) fn current_readers(&self, _readers: u32, _change: &'static str) {}
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Op;

impl Op {
    pub(crate) const NONE: Op = Op;

    #[inline]
    pub(crate) fn poll<T>(&self, _name: &'static str, poll: impl FnOnce() -> Poll<T>) -> Poll<T> {
        poll()
    }

    #[inline]
    pub(crate) fn duration(&self, _ms: impl FnOnce() -> u64) {}
}
