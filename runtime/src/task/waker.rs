//! The `Waker` of a task is the task itself: a pointer and a reference.

use crate::task::cell::Header;
use crate::task::state::{DropRefs, WakeByRef, WakeByValue};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::task::{RawWaker, RawWakerVTable, Waker};

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake_by_value, wake_by_ref, drop_waker);

/// Whether `waker` is a task's that has been woken already and has not been polled since, so that waking it would do nothing:
/// what `try_to_wake_up` finds when a process is not asleep. Of other wakers nothing is known, and the answer is no.
///
/// It fits [`WaitList::join_sleeper`](crate::wait_queue::WaitList::join_sleeper): it only looks at one atomic.
#[must_use]
pub fn is_awake(waker: &Waker) -> bool {
    // SAFETY: by its vtable the waker is a task's, and holds a reference.
    std::ptr::eq(waker.vtable(), &VTABLE) && unsafe { header(waker.data()) }.state.is_notified()
}

/// A waker without a reference of its own.
///
/// # Safety
/// The task must outlive the result.
pub(super) unsafe fn borrowed_waker(task: NonNull<Header>) -> ManuallyDrop<Waker> {
    let raw = RawWaker::new(task.as_ptr().cast_const().cast(), &VTABLE);
    // SAFETY: the functions below keep `RawWaker`'s contract: they are thread-safe, and each clone has a reference of
    // its own. This one never drops, so it needs none.
    ManuallyDrop::new(unsafe { Waker::from_raw(raw) })
}

fn task(data: *const ()) -> NonNull<Header> {
    NonNull::new(data.cast_mut().cast()).expect("wakers are only made from tasks")
}

/// # Safety
/// `data` comes from a task of which the caller holds a reference.
unsafe fn header<'a>(data: *const ()) -> &'a Header {
    // SAFETY: `data` is the pointer given to `RawWaker::new`, and the reference keeps the task alive.
    unsafe { &*data.cast() }
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the waker that is cloned holds a reference.
    let header = unsafe { header(data) };
    header.traced.cloned();
    header.state.ref_inc();
    RawWaker::new(data, &VTABLE)
}

unsafe fn wake_by_value(data: *const ()) {
    // SAFETY: the waker holds a reference until the transition takes it.
    let header = unsafe { header(data) };
    let vtable = header.vtable;
    header.traced.woken();
    match header.state.wake_by_value() {
        // SAFETY: the waker's reference is now the queue's.
        WakeByValue::Schedule => unsafe { (vtable.schedule)(task(data)) },
        WakeByValue::Done => {}
        // SAFETY: the waker's reference was the last.
        WakeByValue::DoneLast => unsafe { (vtable.dealloc)(task(data)) },
    }
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: the waker holds a reference.
    let header = unsafe { header(data) };
    header.traced.woken_by_ref();
    if header.state.wake_by_ref() == WakeByRef::Schedule {
        // SAFETY: the transition made a reference for the queue.
        unsafe { (header.vtable.schedule)(task(data)) };
    }
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: the waker holds a reference until the transition takes it.
    let header = unsafe { header(data) };
    let vtable = header.vtable;
    header.traced.dropped();
    if header.state.drop_refs(1) == DropRefs::Last {
        // SAFETY: the waker's reference was the last.
        unsafe { (vtable.dealloc)(task(data)) };
    }
}
