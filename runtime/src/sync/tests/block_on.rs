//! A task that loom can see: a lost wake-up is a deadlock, which loom reports.

use crate::park::Parker;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let parker = Parker::new();
    let waker = parker.waker();
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => parker.park(),
        }
    }
}

/// Polls once; whether it is ready.
pub(crate) fn poll_once<F: Future + Unpin>(future: &mut F) -> bool {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
}
