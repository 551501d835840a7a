//! The references to a task that the scheduler holds.

use crate::task::cell::{Head, Header};
use crate::task::id::Id;
use crate::task::origin::Identity;
use crate::task::state::DropRefs;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// One counted reference to a task of any type.
#[derive(Debug)]
pub(super) struct TaskRef(NonNull<Header>);

// SAFETY: the word and the cells of a task may be used from any thread (see the module's table); what is in it is `Send`
// by the bounds of `task::new`, or stays on its thread by the contract of `task::new_local`.
unsafe impl Send for TaskRef {}
// SAFETY: as above; a shared `TaskRef` only gives out the header.
unsafe impl Sync for TaskRef {}

impl TaskRef {
    /// # Safety
    /// The caller owns one reference to a live task, and gives it up.
    pub(super) unsafe fn from_raw(task: NonNull<Header>) -> TaskRef {
        TaskRef(task)
    }

    /// The pointer, with the reference.
    pub(super) fn into_raw(self) -> NonNull<Header> {
        ManuallyDrop::new(self).0
    }

    pub(super) fn as_raw(&self) -> NonNull<Header> {
        self.0
    }

    pub(super) fn header(&self) -> &Header {
        // SAFETY: this reference keeps the task alive.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for TaskRef {
    fn drop(&mut self) {
        let vtable = self.header().vtable;
        if self.header().state.drop_refs(1) == DropRefs::Last {
            // SAFETY: that was the last reference.
            unsafe { (vtable.dealloc)(self.0) };
        }
    }
}

/// A task whose `NOTIFIED` bit is set, on its way to a poll: what queues hold. At most one exists of each task.
#[must_use = "a notified task that is dropped will never be polled again"]
#[derive(Debug)]
pub(crate) struct Notified(TaskRef);

impl Notified {
    /// # Safety
    /// The caller owns one reference to a live task, has set its `NOTIFIED` bit (or taken it over) and gives both up.
    pub(crate) unsafe fn from_raw(task: NonNull<Header>) -> Notified {
        // SAFETY: the caller's promise.
        Notified(unsafe { TaskRef::from_raw(task) })
    }

    pub(crate) fn into_raw(self) -> NonNull<Header> {
        self.0.into_raw()
    }

    /// What hooks and reports are told of the task.
    pub(crate) fn identity(&self) -> Identity {
        self.0.header().identity()
    }

    /// Polls the task.
    pub(crate) fn run(self) {
        let poll = self.0.header().vtable.poll;
        // SAFETY: the task is live, and the queue's reference is given up.
        unsafe { poll(self.into_raw()) }
    }

    /// Cancels a task that stands in no registry, so that this is the only reference that could.
    pub(crate) fn cancel(self) {
        let shutdown = self.0.header().vtable.shutdown;
        // SAFETY: the task is live, and a reference is given up.
        unsafe { shutdown(self.into_raw()) }
    }
}

/// A [`Notified`] that has just come from its waker, and still knows the type of its scheduler.
///
/// The scheduler is borrowed from the task and not passed beside it: once the task is in a queue, another worker may
/// run it to its end and free it, and the scheduler in it too.
#[must_use = "a notified task that is dropped will never be polled again"]
pub(crate) struct Scheduled<S> {
    task: Notified,
    _scheduler: PhantomData<fn() -> S>,
}

impl<S> Scheduled<S> {
    /// # Safety
    /// As [`Notified::from_raw`], of a task whose scheduler is an `S`.
    pub(super) unsafe fn from_raw(task: NonNull<Header>) -> Scheduled<S> {
        // SAFETY: the caller's promise.
        Scheduled { task: unsafe { Notified::from_raw(task) }, _scheduler: PhantomData }
    }

    pub(crate) fn scheduler(&self) -> &S {
        let head = self.task.0.as_raw().cast::<Head<S>>();
        // SAFETY: the header begins a `repr(C)` head with an `S`, and this reference keeps the task alive.
        &unsafe { head.as_ref() }.scheduler
    }

    pub(crate) fn into_notified(self) -> Notified {
        self.task
    }
}

/// The registry's reference: it is what drops the future when the runtime ends before the task does.
#[derive(Debug)]
pub(crate) struct Owned(TaskRef);

impl Owned {
    /// # Safety
    /// The caller owns one reference to a live task, and gives it up.
    pub(super) unsafe fn from_raw(task: NonNull<Header>) -> Owned {
        // SAFETY: the caller's promise.
        Owned(unsafe { TaskRef::from_raw(task) })
    }

    pub(crate) fn id(&self) -> Id {
        self.0.header().id()
    }

    /// What hooks and reports are told of the task.
    pub(crate) fn identity(&self) -> Identity {
        self.0.header().identity()
    }

    pub(crate) fn set_slot(&self, slot: u32) {
        self.0.header().set_slot(slot);
    }

    /// Ends the task: drops its future unless it is being polled, in which case its poller does.
    pub(crate) fn shutdown(self) {
        let shutdown = self.0.header().vtable.shutdown;
        // SAFETY: the task is live, and the registry's reference is given up.
        unsafe { shutdown(self.0.into_raw()) }
    }

    /// The task leaves the registry because it completes: the completing side gives the reference up by count.
    pub(crate) fn release(self) {
        let _ = self.0.into_raw();
    }
}
