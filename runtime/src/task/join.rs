//! The references to a task that its users hold.

use crate::coop;
use crate::task::cell::{Header, Slot};
use crate::task::error::JoinError;
use crate::task::handles::TaskRef;
use crate::task::id::Id;
use crate::task::joiner::{Finished, Joiner};
use crate::task::state::{DropJoin, DropRefs, Join, WakeByRef};
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

/// Waits for a task and gives its output. Dropping it detaches the task, which goes on alone.
///
/// # Cancel safety
/// Polling by `&mut` keeps everything: dropping a `&mut handle` future loses nothing. After the handle has given its
/// output it must not be polled again; it panics.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = wakeline_runtime::Runtime::new()?;
/// let sum = runtime.block_on(async { wakeline_runtime::spawn(async { 1 + 2 }).await })?;
/// assert_eq!(sum, 3);
/// # Ok(())
/// # }
/// ```
pub struct JoinHandle<T> {
    task: NonNull<Header>,
    _output: PhantomData<T>,
}

// SAFETY: the handle moves a `T` from the task's thread to its own and nothing else; the header is made for many threads.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: a shared handle gives no access to the output: `poll` and drop take it by exclusive reference.
unsafe impl<T: Send> Sync for JoinHandle<T> {}
impl<T> UnwindSafe for JoinHandle<T> {}
impl<T> RefUnwindSafe for JoinHandle<T> {}
// Nothing in a handle is pinned: the output lies in the task.
impl<T> Unpin for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// # Safety
    /// The caller owns one reference to a live task with output `T` and `JOIN_INTEREST` set, and gives both up.
    pub(super) unsafe fn from_raw(task: NonNull<Header>) -> JoinHandle<T> {
        JoinHandle { task, _output: PhantomData }
    }

    fn header(&self) -> &Header {
        // SAFETY: the handle holds a reference.
        unsafe { self.task.as_ref() }
    }

    /// Ends the task at its next `.await`, if it has not ended by itself before.
    ///
    /// The future is dropped by the worker that would have polled it next, and the handle then gives a
    /// [`JoinError`] with [`is_cancelled`](JoinError::is_cancelled). Aborting twice, or too late, changes nothing. A
    /// `spawn_blocking` closure that has begun runs to its end.
    pub fn abort(&self) {
        abort(self.task, self.header());
    }

    /// Whether the task has ended, by itself or aborted: the handle would give its result at once.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.header().state.is_complete()
    }

    /// The task's identity.
    #[must_use]
    pub fn id(&self) -> Id {
        self.header().id()
    }

    /// Has `set` told of the task by the number `member` when it completes; false when it is complete already.
    pub(crate) fn report_to(&mut self, set: &Arc<Finished>, member: u32) -> bool {
        self.header().set_member(member);
        !exchange_joiner(self.header(), |joiner| *joiner = Joiner::Set(Some(set.clone())))
    }

    /// The result, if the task is complete.
    ///
    /// # Panics
    /// When it was taken before.
    #[track_caller]
    pub(crate) fn try_join(&mut self) -> Option<Result<T, JoinError>> {
        if !self.is_finished() {
            return None;
        }
        match self.take_output() {
            Poll::Ready(result) => Some(result),
            Poll::Pending => unreachable!("a complete task gives its output"),
        }
    }

    /// The task is complete.
    #[track_caller]
    fn take_output(&mut self) -> Slot<T> {
        let mut slot: Slot<T> = Poll::Pending;
        // SAFETY: the task is live and complete, this is its one handle, and the slot has the type of its output.
        unsafe { (self.header().vtable.take_output)(self.task, (&raw mut slot).cast()) };
        assert!(
            slot.is_ready(),
            "JoinHandle polled after it gave its output: it gives it once, so keep the result, or drop the handle"
        );
        slot
    }

    /// A handle that can abort the task and nothing else.
    #[must_use]
    pub fn abort_handle(&self) -> AbortHandle {
        self.header().state.ref_inc();
        // SAFETY: the reference has just been made.
        AbortHandle { task: unsafe { TaskRef::from_raw(self.task) } }
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let progress = ready!(coop::poll_proceed(cx));
        if !poll_complete(self.header(), cx.waker()) {
            return Poll::Pending;
        }
        progress.made();
        self.take_output()
    }
}

/// Whether the task is complete; if not, `waker` will be woken when it is.
fn poll_complete(header: &Header, waker: &Waker) -> bool {
    exchange_joiner(header, |joiner| joiner.become_waker(waker))
}

/// Whether the task is complete; if not, whoever `change` leaves in the field will be told when it is.
///
/// The caller has the task's one handle, exclusively.
fn exchange_joiner(header: &Header, change: impl FnOnce(&mut Joiner)) -> bool {
    match header.state.look() {
        Join::Complete => return true,
        Join::FieldIsMine => {}
        // The completing side moves the waker out, so even to compare the two the field must be ours.
        Join::FieldIsSet => {
            if header.state.reclaim_join_waker() == Join::Complete {
                return true;
            }
        }
    }
    header.joiner.with_mut(|field| {
        // SAFETY: the word says that the field is the handle's, and `&mut self` that no other poll runs.
        change(unsafe { &mut *field });
    });
    if header.state.offer_join_waker() == Join::Complete {
        // It completed before it could see the waker, and does not look at the field any more.
        // SAFETY: as above.
        drop(header.joiner.with_mut(|field| unsafe { (*field).take() }));
        return true;
    }
    false
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        let header = self.header();
        let vtable = header.vtable;
        let last = match header.state.drop_join() {
            DropJoin::Done => return,
            DropJoin::DoneLast => true,
            DropJoin::OutputIsMine => {
                // SAFETY: the task is live and complete, and its one handle calls.
                unsafe { (vtable.drop_output)(self.task) };
                header.state.drop_refs(1) == DropRefs::Last
            }
            DropJoin::WakerIsMine => {
                // SAFETY: the transition gave the field to the handle.
                drop(header.joiner.with_mut(|field| unsafe { (*field).take() }));
                header.state.drop_refs(1) == DropRefs::Last
            }
        };
        if last {
            // SAFETY: that was the last reference.
            unsafe { (vtable.dealloc)(self.task) };
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("id", &self.id()).finish()
    }
}

/// Can end a task, and does not keep its output.
pub struct AbortHandle {
    task: TaskRef,
}

impl AbortHandle {
    /// As [`JoinHandle::abort`].
    pub fn abort(&self) {
        abort(self.task.as_raw(), self.task.header());
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.header().state.is_complete()
    }

    /// The task's identity.
    #[must_use]
    pub fn id(&self) -> Id {
        self.task.header().id()
    }
}

// What the handle reaches is atomic, and a panic of the task stays in the task.
impl UnwindSafe for AbortHandle {}
impl RefUnwindSafe for AbortHandle {}

impl Clone for AbortHandle {
    fn clone(&self) -> AbortHandle {
        self.task.header().state.ref_inc();
        // SAFETY: the reference has just been made.
        AbortHandle { task: unsafe { TaskRef::from_raw(self.task.as_raw()) } }
    }
}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle").field("id", &self.id()).finish()
    }
}

/// `task` is live, and `header` is its.
fn abort(task: NonNull<Header>, header: &Header) {
    if header.state.abort() == WakeByRef::Schedule {
        // SAFETY: the transition made a reference for the queue.
        unsafe { (header.vtable.schedule)(task) };
    }
}
