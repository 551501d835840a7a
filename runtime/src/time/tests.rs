//! The public face of time, under a virtual clock unless real time is the point.

// Clippy knows tests by their attribute; these are what the tests here share.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::clock::VirtualClock;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

mod deterministic;
mod interval;
mod pause;
mod sleep;
mod timeout;
mod workers;

/// A runtime with real timers.
fn run<F: Future>(future: F) -> F::Output {
    crate::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// A place to stand for tests that turn the clock themselves and run no task.
struct Bench {
    clock: VirtualClock,
    runtime: crate::Runtime,
}

impl Bench {
    fn new() -> Bench {
        let clock = VirtualClock::new();
        let runtime = crate::Builder::new_current_thread().enable_time().virtual_clock(clock.clone()).build().unwrap();
        Bench { clock, runtime }
    }

    fn at(&self, ms: u64) {
        self.clock.advance_to(Instant::from_virtual_ns(ms * 1_000_000));
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// How many timers are set on the bench.
fn pending_on(bench: &Bench) -> usize {
    bench.runtime.handle().driver().timers().unwrap().pending()
}

/// A waker that counts.
#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// A runtime whose clock stands from the beginning.
fn paused<F: Future>(future: F) -> F::Output {
    crate::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(future)
}

/// What it says when it panics.
fn panic_of(f: impl FnOnce()) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).expect_err("it should panic");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().unwrap()).to_owned(),
    }
}

#[test]
fn outside_a_runtime_now_is_the_systems() {
    let before = Instant::now();
    assert!(before.elapsed() < Duration::from_secs(3600));
    assert_eq!(Bench::new().runtime.block_on(async { Instant::now() }), Instant::from_virtual_ns(0));
}

#[test]
fn elapsed_goes_by_the_runtimes_clock() {
    paused(async {
        let start = Instant::now();
        sleep(ms(7)).await;
        assert_eq!(start.elapsed(), ms(7));
        assert_eq!((start + ms(8)).elapsed(), Duration::ZERO, "it is yet to come");
    });
}
