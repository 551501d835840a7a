//! The macros as their users see them, polled by hand or on a current-thread runtime.

mod join;
mod pin;
mod random;
mod select;
mod select_order;
mod select_syntax;
mod try_join;

use crate::builder::Builder;
use crate::runtime::Runtime;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A waker that counts.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Polls once, with a waker that nobody hears.
fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls a future that does not wait.
fn now<F: Future>(future: F) -> F::Output {
    match poll(std::pin::pin!(future)) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future waits"),
    }
}

fn runtime(seed: u64) -> Runtime {
    Builder::new_current_thread().rng_seed(seed).build().unwrap()
}

/// What happened, in its order.
#[derive(Default)]
struct Log(RefCell<Vec<String>>);

impl Log {
    fn say(&self, what: impl ToString) {
        self.0.borrow_mut().push(what.to_string());
    }

    /// What happened since the last look.
    fn take(&self) -> String {
        self.0.take().join(" ")
    }

    /// Says `-name` when it drops.
    fn guard(&self, name: &'static str) -> Guard<'_> {
        Guard { log: self, name }
    }

    /// Waits `pending` polls and gives its name, saying each poll and its end.
    fn after(&self, mut pending: usize, name: &'static str) -> impl Future<Output = &'static str> {
        let guard = self.guard(name);
        poll_fn(move |_| {
            // All of it, so that it drops with the future.
            let Guard { log, .. } = &guard;
            log.say(name);
            if pending == 0 {
                return Poll::Ready(name);
            }
            pending -= 1;
            Poll::Pending
        })
    }
}

struct Guard<'a> {
    log: &'a Log,
    name: &'static str,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.log.say(format!("-{}", self.name));
    }
}

/// Takes one step of the budget.
async fn step() {
    crate::coop::consume_budget().await;
}
