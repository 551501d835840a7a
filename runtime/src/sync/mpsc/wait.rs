//! What a sender waits with: futures that hold a place in a channel's lists, and give it up properly when they are dropped.

use crate::coop;
use crate::sync::mpsc::chan::{Chan, Permits, wake};
use crate::sync::mpsc::error::SendError;
use crate::wait_queue::WaitSlot;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Waits for a permit and sends with it, under the lock in which it got it.
#[derive(Debug)]
pub(super) struct SendValue<'a, T> {
    chan: &'a Chan<T>,
    value: Option<T>,
    slot: WaitSlot,
}

impl<'a, T> SendValue<'a, T> {
    #[inline]
    pub(super) fn new(chan: &'a Chan<T>, value: T) -> SendValue<'a, T> {
        SendValue { chan, value: Some(value), slot: WaitSlot::new() }
    }
}

// The value is only ever moved as a whole; the list holds a copy of the slot's key, not a pointer.
impl<T> Unpin for SendValue<'_, T> {}

impl<T> Future for SendValue<'_, T> {
    type Output = Result<(), SendError<T>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let progress = ready!(coop::poll_proceed(cx));
        let mut state = this.chan.state.lock();
        match state.poll_take(1, &mut this.slot, cx.waker(), this.chan) {
            Permits::Granted => {
                let receiver = state.push(this.value.take().expect("polled after it has sent"));
                drop(state);
                progress.made();
                wake(receiver);
                Poll::Ready(Ok(()))
            }
            Permits::Closed(receiver) => {
                drop(state);
                progress.made();
                wake(receiver);
                Poll::Ready(Err(SendError(this.value.take().expect("polled after it has failed"))))
            }
            Permits::Waiting(replaced) => {
                drop(state);
                drop(replaced);
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for SendValue<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.slot.is_set() {
            self.chan.leave(1, &mut self.slot);
        }
    }
}

/// Waits for permits.
#[derive(Debug)]
pub(super) struct Reserve<'a, T> {
    chan: &'a Chan<T>,
    permits: u32,
    slot: WaitSlot,
}

impl<'a, T> Reserve<'a, T> {
    #[inline]
    pub(super) fn new(chan: &'a Chan<T>, permits: u32) -> Reserve<'a, T> {
        Reserve { chan, permits, slot: WaitSlot::new() }
    }
}

impl<T> Future for Reserve<'_, T> {
    type Output = Result<(), SendError<()>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let progress = ready!(coop::poll_proceed(cx));
        let mut state = this.chan.state.lock();
        let permits = state.poll_take(this.permits, &mut this.slot, cx.waker(), this.chan);
        drop(state);
        match permits {
            Permits::Granted => {
                progress.made();
                Poll::Ready(Ok(()))
            }
            Permits::Closed(receiver) => {
                progress.made();
                wake(receiver);
                Poll::Ready(Err(SendError(())))
            }
            Permits::Waiting(_replaced) => Poll::Pending,
        }
    }
}

impl<T> Drop for Reserve<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.slot.is_set() {
            self.chan.leave(self.permits as usize, &mut self.slot);
        }
    }
}

/// Waits for the channel to close.
#[derive(Debug)]
pub(super) struct Closed<'a, T> {
    chan: &'a Chan<T>,
    slot: WaitSlot,
}

impl<'a, T> Closed<'a, T> {
    pub(super) fn new(chan: &'a Chan<T>) -> Closed<'a, T> {
        Closed { chan, slot: WaitSlot::new() }
    }
}

impl<T> Future for Closed<'_, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let progress = ready!(coop::poll_proceed(cx));
        let joined = this.chan.state.lock().poll_closed(&mut this.slot, cx.waker());
        match joined {
            None => {
                progress.made();
                Poll::Ready(())
            }
            Some(_replaced) => Poll::Pending,
        }
    }
}

impl<T> Drop for Closed<'_, T> {
    fn drop(&mut self) {
        if self.slot.is_set() {
            let removed = self.chan.state.lock().closers.remove(&mut self.slot);
            drop(removed);
        }
    }
}
