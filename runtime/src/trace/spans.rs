//! The spans and events, by tokio's names.
//!
//! | what | name, or target | with |
//! |---|---|---|
//! | a task, entered while it is polled or dropped | `runtime.spawn` | `kind`, `task.name`, `task.id`, `size.bytes`, `loc.*` |
//! | what is done to its waker | `tokio::task::waker` | `op`, and as `task.id` the span's own identity |
//! | what can be waited for | `runtime.resource` | `concrete_type`, `kind`, `loc.*` |
//! | one who waits for it | `runtime.resource.async_op` and `..poll` | `source` |
//! | how a poll of his went | `runtime::resource::poll_op` | `op_name`, `is_ready` |
//! | how it stands with the resource | `runtime::resource::state_update` | an attribute, `.op`, `.unit` |
//!
//! The names of spans begin with `runtime.`, the targets of events with `tokio` or `runtime`: `console_subscriber::init` asks
//! for no others.

use crate::trace::about::{About, ResourceKind};
use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::task::Poll;
use tracing::instrument::{Instrument, Instrumented};
use tracing::{Span, trace, trace_span};

/// Whether anybody is told.
pub(crate) const ON: bool = true;

/// A future as it becomes a task: with a span that ends when it is dropped.
pub(crate) type Task<F> = Instrumented<F>;

/// Begins the span of a task.
pub(crate) fn task<'a, F: Future>(future: F, about: impl FnOnce() -> About<'a>) -> (Task<F>, TaskId) {
    let about = about();
    let span = trace_span!(
        target: "tokio::task",
        parent: None,
        "runtime.spawn",
        kind = %about.kind,
        task.name = %about.name.unwrap_or_default(),
        task.id = about.id,
        size.bytes = mem::size_of::<F>(),
        loc.file = about.spawned_at.file(),
        loc.line = about.spawned_at.line(),
        loc.col = about.spawned_at.column(),
    );
    in_span(future, span)
}

/// Begins the span of a `W` that runs on the blocking pool.
pub(crate) fn blocking<'a, W, F: Future>(future: F, about: impl FnOnce() -> About<'a>) -> (Task<F>, TaskId) {
    let about = about();
    let span = trace_span!(
        target: "tokio::task::blocking",
        // As a child it would keep the span of who spawned it open.
        parent: None,
        "runtime.spawn",
        kind = %"blocking",
        task.name = %about.name.unwrap_or_default(),
        task.id = about.id,
        "fn" = %std::any::type_name::<W>(),
        size.bytes = mem::size_of::<W>(),
        loc.file = about.spawned_at.file(),
        loc.line = about.spawned_at.line(),
        loc.col = about.spawned_at.column(),
    );
    in_span(future, span)
}

fn in_span<F: Future>(future: F, span: Span) -> (Task<F>, TaskId) {
    let id = TaskId(span.id().map(|id| id.into_u64()));
    (future.instrument(span), id)
}

/// By what the events of a task's waker call it: its span's identity, which outlives the span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskId(Option<u64>);

macro_rules! waker_op {
    ($($method:ident $op:literal),+) => {
        impl TaskId {$(
            #[inline]
            pub(crate) fn $method(self) {
                if let Some(id) = self.0 {
                    trace!(target: "tokio::task::waker", op = $op, task.id = id);
                }
            }
        )+}
    };
}

waker_op!(cloned "waker.clone", woken "waker.wake", woken_by_ref "waker.wake_by_ref", dropped "waker.drop");

/// Where in the program something was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(&'static Location<'static>);

impl Place {
    #[track_caller]
    pub(crate) fn here() -> Place {
        Place(Location::caller())
    }
}

/// Something that can be waited for.
pub(crate) struct Resource(Span);

impl Resource {
    /// One that nobody is told of, as what is made in a constant.
    pub(crate) const NONE: Resource = Resource(Span::none());

    pub(crate) fn new(concrete_type: &'static str, kind: ResourceKind, Place(at): Place) -> Resource {
        let kind = match kind {
            ResourceKind::Timer => "timer",
            ResourceKind::Sync => "Sync",
        };
        Resource(trace_span!(
            target: "runtime::resource",
            parent: None,
            "runtime.resource",
            concrete_type,
            kind,
            loc.file = at.file(),
            loc.line = at.line(),
            loc.col = at.column(),
        ))
    }

    /// Somebody begins to wait for it; `source` names the method.
    pub(crate) fn op(&self, source: &'static str) -> Op {
        if self.0.is_disabled() {
            return Op::NONE;
        }
        let _resource = self.0.enter();
        let op = trace_span!(target: "runtime::resource", "runtime.resource.async_op", source);
        let poll = op.in_scope(|| trace_span!(target: "runtime::resource", "runtime.resource.async_op.poll"));
        Op { resource: self.0.clone(), op, poll }
    }
}

/// An attribute of a resource, which becomes the value, or more or less by it.
macro_rules! state_update {
    ($span:expr, $attribute:ident = $value:expr, $op:expr $(, $unit:literal)?) => {
        if !$span.is_disabled() {
            $span.in_scope(|| {
                trace!(
                    target: "runtime::resource::state_update",
                    $attribute = $value,
                    $attribute.op = $op,
                    $($attribute.unit = $unit,)?
                );
            });
        }
    };
}

impl Resource {
    pub(crate) fn permits(&self, permits: usize, change: &'static str) {
        state_update!(self.0, permits = permits, change);
    }

    pub(crate) fn locked(&self, locked: bool) {
        state_update!(self.0, locked = locked, "override");
    }

    pub(crate) fn write_locked(&self, locked: bool) {
        state_update!(self.0, write_locked = locked, "override");
    }

    pub(crate) fn max_readers(&self, readers: u32) {
        state_update!(self.0, max_readers = readers, "override");
    }

    pub(crate) fn current_readers(&self, readers: u32, change: &'static str) {
        state_update!(self.0, current_readers = readers, change);
    }
}

/// One who waits for a resource.
pub(crate) struct Op {
    resource: Span,
    op: Span,
    poll: Span,
}

impl Op {
    /// One that nobody is told of.
    pub(crate) const NONE: Op = Op { resource: Span::none(), op: Span::none(), poll: Span::none() };

    /// Tells of a poll and how it went.
    pub(crate) fn poll<T>(&self, name: &'static str, poll: impl FnOnce() -> Poll<T>) -> Poll<T> {
        if self.op.is_disabled() {
            return poll();
        }
        let _resource = self.resource.enter();
        let _op = self.op.enter();
        let _poll = self.poll.enter();
        let polled = poll();
        trace!(target: "runtime::resource::poll_op", op_name = name, is_ready = polled.is_ready());
        polled
    }

    /// How long a timer is set for.
    pub(crate) fn duration(&self, ms: impl FnOnce() -> u64) {
        state_update!(self.resource, duration = ms(), "override", "ms");
    }
}

impl Default for Op {
    fn default() -> Op {
        Op::NONE
    }
}

// What holds one stays as safe to unwind through as without the feature: a span has no state of its own.
impl UnwindSafe for Resource {}
impl RefUnwindSafe for Resource {}
impl UnwindSafe for Op {}
impl RefUnwindSafe for Op {}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resource")
    }
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Op")
    }
}
