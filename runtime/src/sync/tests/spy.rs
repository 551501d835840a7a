//! A future polled by hand, with a waker that counts.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) struct Spy<F> {
    future: Pin<Box<F>>,
    wakes: Arc<Wakes>,
}

impl<F: Future> Spy<F> {
    pub(crate) fn new(future: F) -> Spy<F> {
        Spy { future: Box::pin(future), wakes: Arc::default() }
    }

    /// A future that has been polled once, and waits.
    pub(crate) fn waiting(future: F) -> Spy<F> {
        let mut spy = Spy::new(future);
        assert!(spy.poll().is_pending(), "it should wait");
        spy
    }

    pub(crate) fn poll(&mut self) -> Poll<F::Output> {
        let waker = Waker::from(self.wakes.clone());
        self.poll_with(&waker)
    }

    pub(crate) fn poll_with(&mut self, waker: &Waker) -> Poll<F::Output> {
        self.future.as_mut().poll(&mut Context::from_waker(waker))
    }

    /// Its output, which must be there.
    #[track_caller]
    pub(crate) fn output(&mut self) -> F::Output {
        match self.poll() {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("it still waits"),
        }
    }

    /// Its output, which must be there, with the future gone.
    #[track_caller]
    pub(crate) fn into_output(mut self) -> F::Output {
        self.output()
    }

    /// As another task would poll it, whose wakes count from nothing.
    pub(crate) fn poll_elsewhere(&mut self) -> Poll<F::Output> {
        self.wakes = Arc::default();
        self.poll()
    }

    /// How often it was woken.
    pub(crate) fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::SeqCst)
    }

    /// What counts its wakes; as long as somebody holds its waker there is more than one of it, besides this.
    pub(crate) fn wakers(&self) -> usize {
        Arc::strong_count(&self.wakes) - 1
    }

    pub(crate) fn pin(&mut self) -> Pin<&mut F> {
        self.future.as_mut()
    }

    /// Drops the future, and returns how many hold its waker still.
    pub(crate) fn cancel(self) -> usize {
        drop(self.future);
        Arc::strong_count(&self.wakes) - 1
    }
}

/// A waker that calls a function: what a foreign executor may do in its `wake`, or when its waker drops.
pub(crate) struct OnWake<F>(pub(crate) F);

impl<F: Fn() + Send + Sync + 'static> Wake for OnWake<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

pub(crate) struct OnDrop<F: Fn() + Send + Sync + 'static>(pub(crate) F);

impl<F: Fn() + Send + Sync + 'static> Wake for OnDrop<F> {
    fn wake(self: Arc<Self>) {}
}

impl<F: Fn() + Send + Sync + 'static> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Promises that are compiled.
pub(crate) fn is_send<T: Send>() {}
pub(crate) fn is_sync<T: Sync>() {}
pub(crate) fn is_unpin<T: Unpin>() {}
pub(crate) fn is_unwind_safe<T: std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
