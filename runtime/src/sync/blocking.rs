//! Waiting with the whole thread for what tasks wait for with a waker.

use crate::coop::without_budget;
use crate::park::{is_entered, might_sleep, with_thread_parker};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

/// Polls until there is a result; the thread sleeps in between. `call` and `instead` are for the text of the panic.
///
/// # Panics
/// Where this thread drives futures: they would wait for this call, and it perhaps for one of them.
#[track_caller]
pub(super) fn wait<R>(call: &str, instead: &str, mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>) -> R {
    if is_entered() {
        panic!(
            "`{call}` blocks its thread, which is not allowed where the thread drives tasks: use `{instead}`, or call it \
             on a thread of its own, as `spawn_blocking` has"
        );
    }
    might_sleep();
    // A thread that is no task has no budget; one that is taken out of its tasks for a while has the rest of one.
    without_budget(|| {
        with_thread_parker(|parker| {
            let waker = parker.waker();
            let mut cx = Context::from_waker(&waker);
            loop {
                if let Poll::Ready(result) = poll(&mut cx) {
                    return result;
                }
                parker.park();
            }
        })
    })
}

/// As [`wait`], for what a future waits for.
#[track_caller]
pub(super) fn wait_for<F: Future>(call: &str, instead: &str, future: F) -> F::Output {
    let mut future = pin!(future);
    wait(call, instead, |cx| future.as_mut().poll(cx))
}
