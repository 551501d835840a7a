//! The one allocation of a task: what is in it, and where.

use crate::atomic::UnsafeCell;
use crate::namespace::Namespace;
use crate::task::error::JoinError;
use crate::task::harness;
use crate::task::id::Id;
use crate::task::joiner::Joiner;
use crate::task::origin::{self, Identity, Name, Origin, TaskMeta};
use crate::task::schedule::Schedule;
use crate::task::state::State;
use crate::trace::TaskId;
use std::future::Future;
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

/// The whole allocation. `repr(C)`: a pointer to it is a pointer to its head, and to its header.
#[repr(C)]
pub(super) struct Cell<F: Future, S> {
    pub(super) head: Head<S>,
    pub(super) stage: UnsafeCell<Stage<F>>,
}

/// The part that does not depend on the future's type.
#[repr(C)]
pub(super) struct Head<S> {
    pub(super) header: Header,
    pub(super) scheduler: S,
}

/// The part that does not depend on any type. The [module's](super) table says who may touch what, when.
pub(crate) struct Header {
    pub(super) state: State,
    pub(super) vtable: &'static Vtable,
    pub(super) id: Id,
    /// Where the registry keeps its reference. Written once, before the task is first queued; queueing publishes it.
    slot: AtomicU32,
    /// What the set in `joiner` calls this task. Written before the set is put there; offering it publishes both.
    member: AtomicU32,
    spawned_at: &'static Location<'static>,
    name: Option<Name>,
    pub(super) traced: TaskId,
    pub(super) namespace: UnsafeCell<Option<Namespace>>,
    pub(super) joiner: UnsafeCell<Joiner>,
}

/// What the future has become.
pub(super) enum Stage<F: Future> {
    Running(F),
    Finished(Result<F::Output, JoinError>),
    Consumed,
}

/// The operations that need the future's type. Each takes a pointer to a live task.
pub(super) struct Vtable {
    /// Polls; consumes one reference, the queue's.
    pub(super) poll: unsafe fn(NonNull<Header>),
    /// Hands one reference that the caller owns to the scheduler's queue.
    pub(super) schedule: unsafe fn(NonNull<Header>),
    /// Drops the future if nobody runs it and completes as cancelled; consumes one reference, the registry's.
    pub(super) shutdown: unsafe fn(NonNull<Header>),
    /// Moves the output of a complete task, if it is still there, to a `*mut Poll<Result<T, JoinError>>`.
    pub(super) take_output: unsafe fn(NonNull<Header>, *mut ()),
    /// Drops the output of a complete task, if it is still there.
    pub(super) drop_output: unsafe fn(NonNull<Header>),
    /// Frees the allocation; the caller had the last reference.
    pub(super) dealloc: unsafe fn(NonNull<Header>),
}

impl Header {
    pub(crate) fn id(&self) -> Id {
        self.id
    }

    /// What hooks and reports are told of the task.
    pub(crate) fn meta(&self) -> TaskMeta<'_> {
        TaskMeta { id: self.id, spawned_at: self.spawned_at, name: origin::name(&self.name) }
    }

    /// The same to keep.
    pub(crate) fn identity(&self) -> Identity {
        Identity { id: self.id, spawned_at: self.spawned_at, name: self.name.clone() }
    }

    pub(crate) fn slot(&self) -> u32 {
        self.slot.load(Ordering::Relaxed)
    }

    pub(crate) fn set_slot(&self, slot: u32) {
        self.slot.store(slot, Ordering::Relaxed);
    }

    pub(super) fn member(&self) -> u32 {
        self.member.load(Ordering::Relaxed)
    }

    pub(super) fn set_member(&self, member: u32) {
        self.member.store(member, Ordering::Relaxed);
    }
}

/// Allocates a task with `refs` references; its future comes with what waker events call it.
pub(super) fn allocate<F, S>(
    (future, traced): (F, TaskId),
    scheduler: S,
    id: Id,
    origin: Origin,
    refs: usize,
) -> NonNull<Header>
where
    F: Future + 'static,
    S: Schedule,
{
    let cell = Box::new(Cell {
        head: Head {
            header: Header {
                state: State::new(refs),
                vtable: harness::vtable::<F, S>(),
                id,
                slot: AtomicU32::new(0),
                member: AtomicU32::new(0),
                spawned_at: origin.spawned_at,
                name: origin.name,
                traced,
                namespace: UnsafeCell::new(origin.namespace),
                joiner: UnsafeCell::new(Joiner::NOBODY),
            },
            scheduler,
        },
        stage: UnsafeCell::new(Stage::Running(future)),
    });
    // The pointer keeps the right to the whole allocation, though its type names the header only.
    NonNull::from(Box::leak(cell)).cast()
}

/// Gives a poll's result slot its value; the shape in which [`Vtable::take_output`] delivers.
pub(super) type Slot<T> = Poll<Result<T, JoinError>>;
