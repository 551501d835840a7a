//! What tests of channels share: wakers that count, futures polled by hand, values that count their drops.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Counts how often its waker was called.
#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wakes {
    /// How often it was woken since the last call.
    pub(crate) fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

/// A future polled by hand, with a waker of its own.
pub(crate) struct Spawned<F> {
    future: Pin<Box<F>>,
    wakes: Arc<Wakes>,
    waker: Waker,
}

pub(crate) fn spawn<F: Future>(future: F) -> Spawned<F> {
    let wakes = Arc::new(Wakes::default());
    Spawned { future: Box::pin(future), waker: wakes.clone().into(), wakes }
}

impl<F: Future> Spawned<F> {
    pub(crate) fn poll(&mut self) -> Poll<F::Output> {
        self.future.as_mut().poll(&mut Context::from_waker(&self.waker))
    }

    /// Polls with a waker that nobody else has.
    pub(crate) fn poll_as_other(&mut self) -> Poll<F::Output> {
        self.wakes = Arc::default();
        self.waker = self.wakes.clone().into();
        self.poll()
    }

    /// Whether it was woken since the last call, at most once.
    pub(crate) fn was_woken(&self) -> bool {
        match self.wakes.take() {
            0 => false,
            1 => true,
            more => panic!("woken {more} times at once"),
        }
    }

    /// Drops the future and its own waker; who else holds it shows in the count.
    pub(crate) fn into_wakes(self) -> Arc<Wakes> {
        self.wakes
    }

    /// How many hold its waker, itself not counted.
    pub(crate) fn wakers_held(&self) -> usize {
        Arc::strong_count(&self.wakes) - 2
    }

    pub(crate) fn expect_pending(&mut self)
    where
        F::Output: std::fmt::Debug,
    {
        let poll = self.poll();
        assert!(poll.is_pending(), "ready with {poll:?}");
    }

    pub(crate) fn expect_ready(&mut self) -> F::Output {
        match self.poll() {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("pending"),
        }
    }
}

/// Polls a future once and gives its output.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    spawn(future).expect_ready()
}

/// A value that says when it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicUsize>, pub(crate) usize);

/// Makes [`Counted`] values, and counts how many of them are alive.
#[derive(Default)]
pub(crate) struct Counter(Arc<AtomicUsize>);

impl Counter {
    pub(crate) fn make(&self, number: usize) -> Counted {
        self.0.fetch_add(1, Ordering::SeqCst);
        Counted(self.0.clone(), number)
    }

    pub(crate) fn alive(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let before = self.0.fetch_sub(1, Ordering::SeqCst);
        assert!(before > 0, "dropped twice");
    }
}
