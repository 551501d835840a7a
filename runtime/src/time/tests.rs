//! The public face of time, under a virtual clock unless real time is the point.

// Clippy knows tests by their attribute; these are what the tests here share.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::clock::VirtualClock;
use std::future::{Future, pending, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

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

#[test]
fn virtual_sleeps_take_no_time_and_end_to_the_nanosecond() {
    Bench::new().runtime.block_on(async {
        let start = Instant::now();
        for duration in [ms(5), Duration::from_nanos(7), Duration::from_secs(86_400 * 365 * 10), ms(0)] {
            let before = Instant::now();
            sleep(duration).await;
            assert_eq!(before.elapsed(), duration);
        }
        sleep_until(start).await;
    });
}

#[test]
fn a_real_sleep_is_not_early() {
    run(async {
        for micros in [0, 1, 100, 1000, 3000] {
            let start = Instant::now();
            sleep(Duration::from_micros(micros)).await;
            assert!(start.elapsed() >= Duration::from_micros(micros));
        }
    });
}

#[test]
fn a_passed_deadline_is_ready_at_once_and_stays_so() {
    let bench = Bench::new();
    let _here = bench.runtime.enter();
    let mut made_late = sleep(ms(0));
    let mut passes_unpolled = sleep(ms(1));
    assert!(!passes_unpolled.is_elapsed());
    bench.at(1);
    assert!(passes_unpolled.is_elapsed());
    assert!(poll(&mut passes_unpolled).is_ready());
    assert!(poll(&mut passes_unpolled).is_ready());
    assert!(poll(&mut made_late).is_ready());
}

#[test]
fn a_timer_is_set_when_polled_and_taken_out_when_dropped() {
    let bench = Bench::new();
    let _here = bench.runtime.enter();
    let pending = || bench.runtime.handle().driver().timers().unwrap().pending();
    let mut sleep = sleep(Duration::MAX);
    assert_eq!(sleep.deadline(), Instant::FAR_FUTURE);
    assert_eq!(pending(), 0);
    assert!(poll(&mut sleep).is_pending());
    assert!(poll(&mut sleep).is_pending());
    assert_eq!(pending(), 1);
    drop(sleep);
    assert_eq!(pending(), 0);
    let mut timeout = pin!(timeout(ms(1), ready(())));
    assert_eq!(timeout.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())));
    assert_eq!(pending(), 0, "a timeout around a ready future sets no timer");
}

#[test]
fn reset_moves_a_waiting_task_and_revives_a_finished_sleep() {
    Bench::new().runtime.block_on(async {
        let start = Instant::now();
        let mut sleep = sleep(ms(10));
        assert!(poll(&mut sleep).is_pending());
        sleep.reset(start + ms(3));
        (&mut sleep).await;
        assert_eq!(start.elapsed(), ms(3));
        sleep.reset(start + ms(20));
        assert!(!sleep.is_elapsed());
        (&mut sleep).await;
        assert_eq!(start.elapsed(), ms(20));
    });
}

/// The timer keeps the waker of the task that waits, so it is told at the new moment though nobody polls.
#[test]
fn reset_keeps_the_task_that_waits() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }
    let bench = Bench::new();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    let mut moved = {
        let _here = bench.runtime.enter();
        sleep(ms(10))
    };
    assert!(Pin::new(&mut moved).poll(&mut Context::from_waker(&waker)).is_pending());
    moved.reset(Instant::from_virtual_ns(0) + ms(5));
    bench.runtime.block_on(async {
        sleep(ms(4)).await;
        assert_eq!(count.0.load(Ordering::Acquire), 0);
        sleep(ms(1)).await;
        assert_eq!(count.0.load(Ordering::Acquire), 1);
    });
}

#[test]
fn sleeps_end_in_order_of_their_deadlines() {
    Bench::new().runtime.block_on(async {
        let ended = std::cell::RefCell::new(Vec::new());
        let ends = |after: u64| {
            let ended = &ended;
            async move {
                sleep(ms(after)).await;
                ended.borrow_mut().push(after);
            }
        };
        use futures_lite::future::zip;
        zip(zip(ends(30), ends(10)), zip(ends(1000), ends(20))).await;
        assert_eq!(*ended.borrow(), [10, 20, 30, 1000]);
    });
}

#[test]
fn a_timeout_elapses_only_over_what_is_not_ready() {
    Bench::new().runtime.block_on(async {
        let start = Instant::now();
        assert_eq!(timeout(ms(5), ready(1)).await, Ok(1));
        assert_eq!(timeout(Duration::ZERO, ready(2)).await, Ok(2), "the future is polled first");
        let elapsed = timeout(ms(5), pending::<()>()).await.unwrap_err();
        assert_eq!(start.elapsed(), ms(5));
        assert_eq!(elapsed.to_string(), "deadline has elapsed");
        assert_eq!(std::io::Error::from(elapsed).kind(), std::io::ErrorKind::TimedOut);
        assert!(timeout_at(start + ms(7), pending::<()>()).await.is_err());
        assert_eq!(start.elapsed(), ms(7));
        assert_eq!(timeout(Duration::MAX, sleep(ms(1))).await, Ok(()));
    });
}

/// Takes the second tick late, then three more; says when each was taken, in ms.
fn ticks(behavior: MissedTickBehavior, late: u64) -> Vec<u128> {
    Bench::new().runtime.block_on(async {
        let start = Instant::now();
        let mut interval = interval(ms(10));
        interval.set_missed_tick_behavior(behavior);
        let mut taken = Vec::new();
        interval.tick().await;
        sleep(ms(late)).await;
        for _ in 0..5 {
            interval.tick().await;
            taken.push(start.elapsed().as_millis());
        }
        taken
    })
}

#[test]
fn missed_ticks_burst_delay_or_are_skipped() {
    use MissedTickBehavior::{Burst, Delay, Skip};
    assert_eq!(ticks(Burst, 25), [25, 25, 30, 40, 50]);
    assert_eq!(ticks(Delay, 25), [25, 35, 45, 55, 65]);
    assert_eq!(ticks(Skip, 25), [25, 30, 40, 50, 60]);
    for behavior in [Burst, Delay, Skip] {
        assert_eq!(ticks(behavior, 0), [10, 20, 30, 40, 50]);
        assert_eq!(ticks(behavior, 13), [13, 20, 30, 40, 50], "a little late is not missed");
    }
    assert_eq!(ticks(Skip, 30), [30, 40, 50, 60, 70], "on the beat itself");
}

#[test]
fn an_interval_says_when_its_tick_was_due_and_can_be_moved() {
    Bench::new().runtime.block_on(async {
        let start = Instant::now();
        let mut interval = interval_at(start + ms(4), ms(10));
        assert_eq!(interval.period(), ms(10));
        assert_eq!(interval.tick().await, start + ms(4));
        sleep(ms(15)).await;
        assert_eq!(interval.tick().await, start + ms(14));
        interval.reset();
        assert_eq!(interval.tick().await, start + ms(29));
        interval.reset_immediately();
        assert_eq!(interval.tick().await, start + ms(29));
        interval.reset_after(ms(1));
        assert_eq!(interval.tick().await, start + ms(30));
        interval.reset_at(start + ms(99));
        assert_eq!(interval.tick().await, start + ms(99));
    });
}

#[test]
fn an_interval_of_ages_ticks_once() {
    Bench::new().runtime.block_on(async {
        let mut interval = interval(Duration::MAX);
        interval.tick().await;
        assert!(timeout(Duration::from_secs(1 << 32), interval.tick()).await.is_err());
    });
}

#[test]
#[should_panic(expected = "period that is not zero")]
fn an_interval_needs_a_period() {
    run(async { drop(interval(Duration::ZERO)) });
}

#[test]
#[should_panic(expected = "there is no wakeline runtime here")]
fn outside_a_runtime_there_is_no_timer() {
    drop(sleep(ms(1)));
}

#[test]
#[should_panic(expected = "call `enable_time()`")]
fn a_runtime_without_time_says_what_to_do() {
    let runtime = crate::Builder::new_current_thread().enable_io().build().unwrap();
    let _here = runtime.enter();
    drop(sleep(ms(1)));
}

#[test]
#[should_panic(expected = "the runtime of this timer has shut down")]
fn a_sleep_that_outlives_its_runtime_says_so() {
    let bench = Bench::new();
    let mut sleep = {
        let _here = bench.runtime.enter();
        sleep(Duration::from_secs(3600))
    };
    drop(bench);
    let _ = poll(&mut sleep);
}

#[test]
fn outside_a_runtime_now_is_the_systems() {
    let before = Instant::now();
    assert!(before.elapsed() < Duration::from_secs(3600));
    assert_eq!(Bench::new().runtime.block_on(async { Instant::now() }), Instant::from_virtual_ns(0));
}
