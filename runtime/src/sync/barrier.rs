//! [`Barrier`].

use crate::atomic::{AtomicU64, Mutex, Ordering};
use crate::coop;
use crate::trace::{Op, Place, Resource, ResourceKind};
use crate::wait_queue::{Events, Mode, WaitList, WaitSlot, WakeBatch};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A point that tasks leave together: so many of them wait until all are there.
///
/// It can be used again at once, by the same tasks or by others. It is usable under any executor.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use wakeline_runtime::sync::Barrier;
///
/// # futures_lite::future::block_on(async {
/// let barrier = Arc::new(Barrier::new(2));
/// let (one, other) = futures_lite::future::zip(barrier.wait(), barrier.wait()).await;
/// assert!(one.is_leader() != other.is_leader());
/// # });
/// ```
pub struct Barrier {
    n: usize,
    /// How often all have come. Written under the lock; a waiter that sees it move on is free to go.
    generation: AtomicU64,
    state: Mutex<State>,
    /// What observers are told of it.
    resource: Resource,
}

struct State {
    arrived: usize,
    waiters: WaitList,
}

impl Barrier {
    /// A barrier for `n` tasks at a time. 0 is as good as 1: nobody waits.
    ///
    /// # Examples
    /// ```
    /// let barrier = wakeline_runtime::sync::Barrier::new(3);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn new(n: usize) -> Barrier {
        let resource = Resource::new("Barrier", ResourceKind::Sync, Place::here());
        let state = State { arrived: 0, waiters: WaitList::new() };
        Barrier { n: n.max(1), generation: AtomicU64::new(0), state: Mutex::new(state), resource }
    }

    /// Waits until `n` tasks have called this; the last one is the leader.
    ///
    /// # Cancel safety
    /// No: who has come counts, also when it goes before the others are there.
    ///
    /// # Examples
    /// See [`Barrier`].
    pub async fn wait(&self) -> BarrierWaitResult {
        let op = self.resource.op("Barrier::wait");
        Wait { barrier: self, arrival: None, slot: WaitSlot::new(), op }.await
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("n", &self.n).finish_non_exhaustive()
    }
}

/// What [`Barrier::wait`] says.
#[derive(Clone, Debug)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Whether this task came last; true for exactly one of those who leave together.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

/// The future of [`Barrier::wait`].
struct Wait<'a> {
    barrier: &'a Barrier,
    /// The generation that it came in, once it came.
    arrival: Option<u64>,
    slot: WaitSlot,
    op: Op,
}

impl Future for Wait<'_> {
    type Output = BarrierWaitResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BarrierWaitResult> {
        let progress = ready!(coop::poll_proceed(cx));
        let op = std::mem::take(&mut self.op);
        let polled = op.poll("poll_wait", || match self.arrival {
            None => self.arrive(cx),
            Some(_) => self.look_again(cx),
        });
        self.op = op;
        let led = ready!(polled);
        progress.made();
        Poll::Ready(BarrierWaitResult(led))
    }
}

impl Wait<'_> {
    /// Counts this task; ready, as the leader, when it was the last.
    fn arrive(&mut self, cx: &Context<'_>) -> Poll<bool> {
        let mut wakes = WakeBatch::new();
        let mut state = self.barrier.state.lock();
        let generation = self.barrier.generation.load(Ordering::Relaxed);
        self.arrival = Some(generation);
        state.arrived += 1;
        if state.arrived < self.barrier.n {
            // As an exclusive waiter, since those are told in the order in which they came.
            let replaced = state.waiters.join(&mut self.slot, cx.waker(), Events::ANY, Mode::Exclusive);
            debug_assert!(replaced.is_none(), "a new slot has no waker before");
            return Poll::Pending;
        }
        state.arrived = 0;
        state.waiters.wake_all(&mut wakes);
        // Release: pairs with `is_over`; the lock has brought what the others did before they came.
        self.barrier.generation.store(generation + 1, Ordering::Release);
        drop(state);
        wakes.wake_all();
        Poll::Ready(true)
    }

    /// Waits on with the waker of this poll, unless the others have come.
    fn look_again(&mut self, cx: &Context<'_>) -> Poll<bool> {
        if self.is_over() {
            return Poll::Ready(false);
        }
        let mut state = self.barrier.state.lock();
        if self.is_over() {
            return Poll::Ready(false);
        }
        let replaced = state.waiters.join(&mut self.slot, cx.waker(), Events::ANY, Mode::Exclusive);
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    /// Whether the generation that this came in has left; then its slot stands for nothing.
    fn is_over(&self) -> bool {
        self.arrival.is_some_and(|arrival| self.barrier.generation.load(Ordering::Acquire) != arrival)
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.slot.is_set() && !self.is_over() {
            let removed = self.barrier.state.lock().waiters.remove(&mut self.slot);
            drop(removed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
