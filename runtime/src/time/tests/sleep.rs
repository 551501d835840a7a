//! `sleep`, `sleep_until` and `Sleep`.

use super::*;

const YEAR: Duration = Duration::from_secs(86_400 * 365);

#[test]
fn virtual_sleeps_take_no_time_and_end_to_the_nanosecond() {
    Bench::new().runtime.block_on(async {
        let start = Instant::now();
        for duration in [ms(5), Duration::from_nanos(7), 10 * YEAR, ms(0)] {
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
fn what_has_passed_is_ready_at_once_without_a_timer() {
    let runtime = crate::Builder::new_current_thread().enable_time().build().unwrap();
    let _here = runtime.enter();
    let now = Instant::now();
    for mut sleep in [sleep(Duration::ZERO), sleep_until(now), sleep_until(now - ms(1)), sleep_until(now - YEAR)] {
        assert!(sleep.is_elapsed());
        assert!(poll(&mut sleep).is_ready());
    }
    let mut moved = sleep(ms(3_600_000));
    moved.reset(now);
    assert!(poll(&mut moved).is_ready());
    assert_eq!(runtime.handle().driver().timers().unwrap().pending(), 0);
}

#[test]
fn a_passed_deadline_is_ready_at_once_and_stays_so() {
    let bench = Bench::new();
    let _here = bench.runtime.enter();
    let mut made_late = sleep(ms(0));
    let mut passes_unpolled = sleep(ms(1));
    let mut passes_polled = sleep(ms(1));
    assert!(!passes_unpolled.is_elapsed());
    assert!(poll(&mut passes_polled).is_pending());
    bench.at(1);
    for passed in [&mut passes_unpolled, &mut passes_polled, &mut made_late] {
        assert!(passed.is_elapsed());
        assert!(poll(passed).is_ready());
        assert!(poll(passed).is_ready());
    }
    assert_eq!(pending_on(&bench), 0);
}

#[test]
fn a_timer_is_set_when_polled_and_taken_out_when_dropped() {
    let bench = Bench::new();
    let _here = bench.runtime.enter();
    let mut sleep = sleep(Duration::MAX);
    assert_eq!(sleep.deadline(), Instant::FAR_FUTURE);
    assert_eq!(pending_on(&bench), 0);
    assert!(poll(&mut sleep).is_pending());
    assert!(poll(&mut sleep).is_pending());
    assert_eq!(pending_on(&bench), 1);
    drop(sleep);
    assert_eq!(pending_on(&bench), 0);
}

#[test]
fn what_lies_centuries_ahead_is_waited_for() {
    paused(async {
        let start = Instant::now();
        for years in [1, 30, 100, 500] {
            let deadline = start + years * YEAR;
            sleep_until(deadline).await;
            assert_eq!(Instant::now(), deadline);
        }
        let mut never = sleep(Duration::MAX);
        assert!(poll(&mut never).is_pending());
        assert!(!never.is_elapsed());
        assert!(timeout(ms(1), never).await.is_err());
    });
}

#[test]
fn the_last_who_polled_is_told() {
    let bench = Bench::new();
    let counts: [Arc<Count>; 2] = Default::default();
    let mut sleep = {
        let _here = bench.runtime.enter();
        sleep(ms(5))
    };
    for count in &counts {
        let waker = Waker::from(count.clone());
        assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    bench.runtime.block_on(async { super::sleep(ms(5)).await });
    assert_eq!(counts.each_ref().map(|count| count.get()), [0, 1]);
    assert!(poll(&mut sleep).is_ready());
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
        assert_eq!(sleep.deadline(), start + ms(20));
        assert!(!sleep.is_elapsed());
        (&mut sleep).await;
        assert_eq!(start.elapsed(), ms(20));
        sleep.reset(start);
        assert!(poll(&mut sleep).is_ready());
    });
}

/// Code that pins its `Sleep`, as tokio's needs to be, goes through.
#[test]
fn a_pinned_sleep_is_reset_as_tokios() {
    paused(async {
        let start = Instant::now();
        let sleep = sleep(ms(10));
        crate::pin!(sleep);
        sleep.as_mut().reset(start + ms(4));
        sleep.as_mut().await;
        assert_eq!(start.elapsed(), ms(4));
    });
}

/// The timer keeps the waker of the task that waits, so it is told at the new moment though nobody polls.
#[test]
fn reset_keeps_the_task_that_waits() {
    let bench = Bench::new();
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut moved = {
        let _here = bench.runtime.enter();
        sleep(ms(10))
    };
    assert!(Pin::new(&mut moved).poll(&mut Context::from_waker(&waker)).is_pending());
    moved.reset(Instant::from_virtual_ns(0) + ms(5));
    bench.runtime.block_on(async {
        sleep(ms(4)).await;
        assert_eq!(count.get(), 0);
        sleep(ms(1)).await;
        assert_eq!(count.get(), 1);
        sleep(ms(10)).await;
        assert_eq!(count.get(), 1, "not at the old moment as well");
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
fn equal_deadlines_end_in_the_order_in_which_they_were_set() {
    paused(async {
        let ended = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let local = crate::LocalSet::new();
        for n in 0..200 {
            let ended = ended.clone();
            local.spawn_local(async move {
                sleep(ms(10)).await;
                ended.borrow_mut().push(n);
            });
        }
        local.await;
        assert_eq!(*ended.borrow(), (0..200).collect::<Vec<_>>());
    });
}

#[test]
fn aborted_tasks_leave_no_timer_behind() {
    let bench = Bench::new();
    bench.runtime.block_on(async {
        let tasks: Vec<_> = (1..100).map(|n| crate::spawn(sleep(ms(n)))).collect();
        sleep(ms(50)).await;
        assert_eq!(pending_on(&bench), 49);
        for task in &tasks {
            task.abort();
        }
        for task in tasks {
            let _ = task.await;
        }
        assert_eq!(pending_on(&bench), 0);
    });
}

#[test]
fn a_sleep_uses_the_budget_when_it_is_ready() {
    paused(async {
        let mut ready = 0;
        let mut sleeps = std::iter::repeat_with(|| sleep(Duration::ZERO));
        std::future::poll_fn(|cx| {
            while ready < 10_000 && Pin::new(&mut sleeps.next().unwrap()).poll(cx).is_ready() {
                ready += 1;
            }
            Poll::Ready(())
        })
        .await;
        assert!(ready < 1000, "one poll made {ready} steps");
    });
}

#[test]
fn it_prints_what_it_waits_for() {
    let bench = Bench::new();
    let _here = bench.runtime.enter();
    assert_eq!(format!("{:?}", sleep(ms(1))), "Sleep { deadline: Instant(0.001000000s), state: Ahead, .. }");
}

#[test]
fn where_there_is_no_timer_it_says_what_to_do() {
    assert!(panic_of(|| drop(sleep(ms(1)))).contains("there is no wakeline runtime here"));
    let runtime = crate::Builder::new_current_thread().enable_io().build().unwrap();
    let _here = runtime.enter();
    for panic in [
        panic_of(|| drop(sleep(ms(1)))),
        panic_of(|| drop(sleep_until(Instant::now()))),
        panic_of(|| drop(timeout(ms(1), async {}))),
        panic_of(|| drop(timeout_at(Instant::now(), async {}))),
        panic_of(|| drop(interval(ms(1)))),
        panic_of(|| drop(interval_at(Instant::now(), ms(1)))),
    ] {
        assert!(panic.contains("call `enable_time()`"), "{panic}");
    }
}

#[test]
fn a_sleep_that_outlives_its_runtime_says_so() {
    let bench = Bench::new();
    let (mut unpolled, mut waiting, mut reset, mut passed) = {
        let _here = bench.runtime.enter();
        let hour = || sleep(Duration::from_secs(3600));
        (hour(), hour(), hour(), sleep(Duration::ZERO))
    };
    assert!(poll(&mut waiting).is_pending());
    assert!(poll(&mut reset).is_pending());
    drop(bench);
    reset.reset(reset.deadline() + ms(1));
    for sleep in [&mut unpolled, &mut waiting, &mut reset] {
        let panic = panic_of(|| assert!(poll(sleep).is_pending()));
        assert!(panic.contains("the runtime of this timer has shut down"), "{panic}");
    }
    assert!(poll(&mut passed).is_ready());
}
