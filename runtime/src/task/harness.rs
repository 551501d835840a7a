//! What is done with a task once its type is known: poll it, end it, read it, free it.

use crate::namespace;
use crate::task::cell::{Cell, Header, Slot, Stage, Vtable};
use crate::task::error::JoinError;
use crate::task::handles::Scheduled;
use crate::task::id;
use crate::task::schedule::Schedule;
use crate::task::state::{Complete, DropRefs, FinishPoll, Shutdown, StartPoll};
use crate::task::waker::borrowed_waker;
use crate::unwind::{self, contain};
use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

pub(super) fn vtable<F: Future + 'static, S: Schedule>() -> &'static Vtable {
    &Vtable {
        poll: poll::<F, S>,
        schedule: schedule::<S>,
        shutdown: shutdown::<F, S>,
        take_output: take_output::<F, S>,
        drop_output: drop_output::<F, S>,
        dealloc: dealloc::<F, S>,
    }
}

/// Only for local variables: a reference passed as an argument would have to stay good until the callee returns, but a
/// transition that gives up a reference may let another thread free the task before that.
///
/// # Safety
/// `task` is live and was made with these `F` and `S`.
unsafe fn cell<'a, F: Future, S>(task: NonNull<Header>) -> &'a Cell<F, S> {
    // SAFETY: the header begins the head, and the head a `repr(C)` cell of this type, which lives by the caller's
    // promise. All that is ever changed in it is behind atomics and cells, so a shared reference excludes nobody.
    unsafe { task.cast().as_ref() }
}

unsafe fn poll<F: Future + 'static, S: Schedule>(task: NonNull<Header>) {
    // SAFETY: the vtable is called with a live task of its type.
    let cell = unsafe { cell::<F, S>(task) };
    let state = &cell.head.header.state;
    match state.start_poll() {
        StartPoll::Poll => {}
        // SAFETY: the poller has `RUNNING` and a reference.
        StartPoll::Cancel => return unsafe { cancel_and_complete::<F, S>(task) },
        StartPoll::Stale => return,
        // SAFETY: the last reference was this queue entry's, and it is gone.
        StartPoll::StaleLast => return unsafe { dealloc::<F, S>(task) },
    }
    if poll_stage(task, cell).is_ready() {
        // SAFETY: the poller has `RUNNING` and a reference, and the stage has the result.
        return unsafe { complete::<F, S>(task) };
    }
    match state.finish_poll() {
        FinishPoll::Idle => {}
        // SAFETY: the last reference was the poller's, and it is gone.
        FinishPoll::IdleLast => unsafe { dealloc::<F, S>(task) },
        // SAFETY: `Again` gives the poller's reference to the queue.
        FinishPoll::Again => S::reschedule(unsafe { Scheduled::from_raw(task) }),
        // SAFETY: the poller still has `RUNNING` and a reference.
        FinishPoll::Cancel => unsafe { cancel_and_complete::<F, S>(task) },
    }
}

/// Polls the future, once; `Ready` when the stage holds an output (or a panic) and no longer the future.
fn poll_stage<F: Future, S: Schedule>(task: NonNull<Header>, cell: &Cell<F, S>) -> Poll<()> {
    let _span = Span::enter(&cell.head.header);
    let polled = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the task is live for the whole poll, the poller holds a reference.
        let waker = unsafe { borrowed_waker(task) };
        let mut cx = Context::from_waker(&waker);
        cell.stage.with_mut(|stage| {
            // SAFETY: `RUNNING` is ours, so nobody else touches the stage.
            let Stage::Running(future) = (unsafe { &mut *stage }) else {
                unreachable!("a task that is not complete holds its future")
            };
            // SAFETY: the future lies in the task's allocation, and is dropped there before the stage is reused.
            let output = std::task::ready!(unsafe { Pin::new_unchecked(future) }.poll(&mut cx));
            // The future goes before anyone can learn that it is complete; if its drop panics, the panic is the result.
            // SAFETY: as above; no reference into the future is left.
            unsafe { *stage = Stage::Consumed };
            Poll::Ready(output)
        })
    }));
    let result = match polled {
        Ok(Poll::Pending) => return Poll::Pending,
        Ok(Poll::Ready(output)) => Ok(output),
        Err(panic) => {
            let error = drop_after_panic(cell, panic);
            cell.head.scheduler.panicked();
            Err(error)
        }
    };
    // The stage is `Consumed`: this drops nothing.
    cell.stage.with_mut(|stage| {
        // SAFETY: `RUNNING` is ours, so nobody else touches the stage.
        unsafe { *stage = Stage::Finished(result) };
    });
    Poll::Ready(())
}

/// What the current thread looks like to a task while its future runs or drops: the task's namespace and identity.
struct Span<'a> {
    header: &'a Header,
    id: Option<id::Id>,
}

impl<'a> Span<'a> {
    /// The caller has `RUNNING`. The namespace changes places with the thread's, and back: no count is touched.
    fn enter(header: &'a Header) -> Span<'a> {
        let id = id::replace_current(Some(header.id));
        swap_namespace(header);
        Span { header, id }
    }
}

impl Drop for Span<'_> {
    fn drop(&mut self) {
        swap_namespace(self.header);
        id::replace_current(self.id);
    }
}

/// The caller has `RUNNING`.
fn swap_namespace(header: &Header) {
    // SAFETY: `RUNNING` is the caller's, and with it the namespace; nothing runs while it changes places.
    header.namespace.with_mut(|own| namespace::swap(unsafe { &mut *own }));
}

/// Empties the stage within the task's span; a panic of the drop is kept here and given back.
fn drop_stage<F: Future, S>(cell: &Cell<F, S>) -> Result<(), Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(|| {
        cell.stage.with_mut(|stage| {
            // SAFETY: the caller owns the stage: by `RUNNING`, or as the one who takes the output of a complete task.
            // An assignment whose drop panics still writes.
            unsafe { *stage = Stage::Consumed };
        });
    }))
}

fn drop_after_panic<F: Future, S>(cell: &Cell<F, S>, panic: Box<dyn Any + Send>) -> JoinError {
    // The first panic is the one to report; a second one, from the drop, has nowhere to go.
    unwind::forget(drop_stage(cell));
    JoinError::panic(cell.head.header.id, panic)
}

/// Drops the future and completes as cancelled.
///
/// # Safety
/// The caller has `RUNNING` and one reference to a live task of this type, and gives both up.
unsafe fn cancel_and_complete<F: Future + 'static, S: Schedule>(task: NonNull<Header>) {
    // SAFETY: the caller's reference keeps the task alive until `complete`.
    let cell = unsafe { cell::<F, S>(task) };
    {
        let _span = Span::enter(&cell.head.header);
        let id = cell.head.header.id;
        let error = match drop_stage(cell) {
            Ok(()) => JoinError::cancelled(id),
            Err(panic) => JoinError::panic(id, panic),
        };
        cell.stage.with_mut(|stage| {
            // SAFETY: `RUNNING` is ours, so nobody else touches the stage.
            unsafe { *stage = Stage::Finished(Err(error)) };
        });
    }
    // SAFETY: the caller's promise, and the stage has the result.
    unsafe { complete::<F, S>(task) };
}

/// # Safety
/// The caller has `RUNNING` and one reference to a live task of this type, and gives both up; the stage has the result.
unsafe fn complete<F: Future + 'static, S: Schedule>(task: NonNull<Header>) {
    // SAFETY: the caller's reference keeps the task alive until the transition that gives it up.
    let cell = unsafe { cell::<F, S>(task) };
    let header = &cell.head.header;
    // Leaving the registry first lets one write do the rest when nobody waits yet.
    let refs = if cell.head.scheduler.release(header) { 2 } else { 1 };
    match header.state.complete(refs) {
        Complete::Done => return,
        Complete::WakeJoiner => wake_joiner(header),
        Complete::DropOutput => unwind::forget(drop_stage(cell)),
    }
    if header.state.drop_refs(refs) == DropRefs::Last {
        // SAFETY: those were the last references.
        unsafe { dealloc::<F, S>(task) };
    }
}

fn wake_joiner(header: &Header) {
    // SAFETY: `WakeJoiner` gave the field to us, and a `JoinHandle` leaves it alone from then on.
    let joiner = header.joiner.with_mut(|field| unsafe { (*field).take() });
    // A waker of another executor may panic; that is not this task's affair.
    contain(|| joiner.tell(header.member()));
}

unsafe fn schedule<S: Schedule>(task: NonNull<Header>) {
    // SAFETY: the caller owns a reference to a live task with this scheduler and gives it to the queue.
    S::schedule(unsafe { Scheduled::from_raw(task) });
}

unsafe fn shutdown<F: Future + 'static, S: Schedule>(task: NonNull<Header>) {
    // SAFETY: the vtable is called with a live task of its type.
    let cell = unsafe { cell::<F, S>(task) };
    let state = &cell.head.header.state;
    match state.shutdown() {
        // SAFETY: the transition gave us `RUNNING`; the reference is the registry's.
        Shutdown::Cancel => unsafe { cancel_and_complete::<F, S>(task) },
        Shutdown::Elsewhere => {
            if state.drop_refs(1) == DropRefs::Last {
                // SAFETY: that was the last reference.
                unsafe { dealloc::<F, S>(task) };
            }
        }
    }
}

unsafe fn take_output<F: Future + 'static, S: Schedule>(task: NonNull<Header>, slot: *mut ()) {
    // SAFETY: the vtable is called with a live task of its type.
    let cell = unsafe { cell::<F, S>(task) };
    let stage = cell.stage.with_mut(|stage| {
        // SAFETY: the task is complete and the `JoinHandle` calls, so the stage is its.
        std::mem::replace(unsafe { &mut *stage }, Stage::Consumed)
    });
    if let Stage::Finished(output) = stage {
        // SAFETY: the caller passes a `Slot` of this output type, alive and its own.
        unsafe { *slot.cast::<Slot<F::Output>>() = Poll::Ready(output) };
    }
}

unsafe fn drop_output<F: Future + 'static, S: Schedule>(task: NonNull<Header>) {
    // SAFETY: the vtable is called with a live task of its type.
    let cell = unsafe { cell::<F, S>(task) };
    // SAFETY: the task is complete and the `JoinHandle` calls, so the stage is its.
    if cell.stage.with(|stage| matches!(unsafe { &*stage }, Stage::Finished(_))) {
        unwind::forget(drop_stage(cell));
    }
}

unsafe fn dealloc<F: Future + 'static, S: Schedule>(task: NonNull<Header>) {
    // SAFETY: made by `Box::leak` with this type, and the caller had the last reference.
    let cell = unsafe { Box::from_raw(task.cast::<Cell<F, S>>().as_ptr()) };
    drop(cell);
}
