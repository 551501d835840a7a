//! `pause`, `resume`, `advance` and `start_paused`.

use super::*;
use crate::atomic::Mutex;
use crate::sync::mpsc;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_clock_that_stands_moves_only_when_the_runtime_is_idle() {
    run(async {
        let before = Instant::now();
        pause();
        let start = Instant::now();
        assert!(start >= before);
        for _ in 0..1000 {
            crate::yield_now().await;
            assert_eq!(Instant::now(), start);
        }
        sleep(HOUR).await;
        assert_eq!(start.elapsed(), HOUR);
    });
}

#[test]
fn timers_that_were_set_before_the_pause_end_as_well() {
    run(async {
        let before = Instant::now();
        let sleeper = crate::spawn(sleep(HOUR));
        crate::yield_now().await;
        pause();
        sleeper.await.unwrap();
        assert!(before.elapsed() >= HOUR);
    });
}

#[test]
fn after_resume_time_goes_on_from_where_it_stood() {
    run(async {
        pause();
        sleep(HOUR).await;
        let stood = Instant::now();
        resume();
        let resumed = Instant::now();
        assert!(resumed >= stood && resumed < stood + HOUR, "neither back nor ahead");
        sleep(Duration::from_micros(100)).await;
        assert!(stood.elapsed() >= Duration::from_micros(100));
        pause();
        let again = Instant::now();
        assert!(again >= stood);
        assert_eq!(Instant::now(), again);
    });
}

#[test]
fn start_paused_begins_at_the_same_moment_in_every_run() {
    assert_eq!(paused(async { Instant::now() }), Instant::from_virtual_ns(0));
    let runtime = crate::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async { sleep(secs(5)).await });
    let shown = runtime.block_on(async { Instant::now() });
    assert_eq!(shown, Instant::from_virtual_ns(0) + secs(5), "from one `block_on` to the next");
    let _here = runtime.enter();
    assert_eq!(Instant::now(), shown);
}

#[test]
fn misuse_says_what_to_do() {
    let check = |panic: String, words: &str| assert!(panic.contains(words), "{panic:?} does not say {words:?}");
    check(panic_of(|| paused(async { pause() })), "stands already");
    check(panic_of(|| run(async { (pause(), pause()).1 })), "stands already");
    check(panic_of(|| run(async { resume() })), "`resume` goes with a `pause`");
    check(panic_of(|| paused(async { (resume(), resume()).1 })), "`resume` goes with a `pause`");
    check(panic_of(|| run(advance(ms(1)))), "`pause` it before you `advance` it");
    check(panic_of(|| paused(advance(Duration::MAX))), "can not be moved so far");
    check(panic_of(pause), "there is no wakeline runtime here");
    check(panic_of(resume), "there is no wakeline runtime here");

    let untimed = || crate::Builder::new_current_thread().start_paused(true).build().unwrap();
    check(panic_of(|| untimed().block_on(advance(ms(1)))), "call `enable_time()`");

    let threads = || crate::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    check(panic_of(|| threads().block_on(async { pause() })), "`time::pause` works in a current-thread runtime only");
    check(panic_of(|| threads().block_on(async { resume() })), "`time::resume` works in a current-thread");
    check(panic_of(|| threads().block_on(advance(ms(1)))), "`time::advance` works in a current-thread");
    let build = || crate::Builder::new_multi_thread().start_paused(true).build();
    check(panic_of(|| drop(build())), "`start_paused` works in a current-thread runtime only");
}

#[test]
fn a_simulations_clock_is_advanced_but_neither_stopped_nor_let_run() {
    let bench = Bench::new();
    bench.runtime.block_on(async {
        let sleeper = crate::spawn(sleep(secs(1)));
        advance(secs(2)).await;
        assert!(sleeper.is_finished());
        assert_eq!(bench.clock.now(), Instant::from_virtual_ns(2_000_000_000));
    });
    assert!(panic_of(|| bench.runtime.block_on(async { pause() })).contains("stands already"));
    assert!(panic_of(|| bench.runtime.block_on(async { resume() })).contains("never runs by itself"));
}

#[test]
fn advance_goes_from_deadline_to_deadline() {
    paused(async {
        let start = Instant::now();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = [7, 3, 5, 3, 20]
            .into_iter()
            .map(|after| {
                let seen = seen.clone();
                crate::spawn(async move {
                    sleep(secs(after)).await;
                    // What a deadline sets off happens before the next one.
                    for _ in 0..20 {
                        crate::yield_now().await;
                    }
                    sleep(secs(1)).await;
                    seen.lock().push((after, start.elapsed().as_secs()));
                })
            })
            .collect();
        crate::yield_now().await;
        advance(secs(10)).await;
        assert_eq!(*seen.lock(), [(3, 4), (3, 4), (5, 6), (7, 8)]);
        assert_eq!(start.elapsed(), secs(10));
        assert_eq!(tasks.iter().filter(|task| task.is_finished()).count(), 4);
    });
}

/// More tasks for one moment than a worker polls between two looks at the driver, and hops between tasks.
#[test]
fn a_moment_lasts_until_all_that_it_sets_off_has_run() {
    paused(async {
        let start = Instant::now();
        let (tx, mut rx) = mpsc::channel(1);
        for n in 0..500 {
            let tx = tx.clone();
            crate::spawn(async move {
                sleep(secs(1 + n % 2)).await;
                let _ = tx.send(Instant::now()).await;
            });
        }
        drop(tx);
        let collector = crate::spawn(async move {
            let mut seen = [0; 3];
            while let Some(sent) = rx.recv().await {
                assert_eq!(sent, Instant::now(), "it is taken in the moment in which it was sent");
                seen[(sent - start).as_secs() as usize] += 1;
            }
            seen
        });
        crate::yield_now().await;
        advance(secs(5)).await;
        assert!(collector.is_finished());
        assert_eq!(collector.await.unwrap(), [0, 250, 250]);
    });
}

#[test]
fn advance_fires_what_is_polled_by_hand() {
    paused(async {
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut sleep = sleep(ms(10));
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut sleep).poll(&mut cx).is_pending());
        advance(ms(9)).await;
        assert_eq!(count.get(), 0);
        assert!(Pin::new(&mut sleep).poll(&mut cx).is_pending());
        advance(ms(1)).await;
        assert_eq!(count.get(), 1);
        assert!(Pin::new(&mut sleep).poll(&mut cx).is_ready());
    });
}

#[test]
fn advancing_by_nothing_only_yields() {
    paused(async {
        let start = Instant::now();
        let task = crate::spawn(async {});
        advance(Duration::ZERO).await;
        assert!(task.is_finished());
        assert_eq!(Instant::now(), start);
    });
}

#[test]
fn two_that_advance_at_once_add_up() {
    paused(async {
        let start = Instant::now();
        futures_lite::future::zip(advance(secs(1)), advance(secs(2))).await;
        assert_eq!(start.elapsed(), secs(3));
        advance(secs(1)).await;
        assert_eq!(start.elapsed(), secs(4));
    });
}

#[test]
fn a_runtime_that_never_rests_is_advanced_all_the_same() {
    paused(async {
        let start = Instant::now();
        let restless = crate::spawn(async {
            loop {
                crate::yield_now().await;
            }
        });
        let sleeper = crate::spawn(async move {
            sleep(secs(2)).await;
            start.elapsed()
        });
        advance(secs(5)).await;
        assert_eq!((start.elapsed(), sleeper.await.unwrap()), (secs(5), secs(2)));
        restless.abort();
    });
}

/// The pool's result comes before any deadline, and whoever waits for it runs before the clock goes on.
#[test]
fn the_clock_waits_for_the_blocking_pool() {
    paused(async {
        let start = Instant::now();
        let alarm = crate::spawn(sleep(HOUR));
        for n in 0..200 {
            assert_eq!(crate::spawn_blocking(move || n).await.unwrap(), n);
            assert_eq!(Instant::now(), start, "closure {n}");
        }
        alarm.await.unwrap();
        assert_eq!(start.elapsed(), HOUR);
    });
}

#[test]
fn a_closure_without_a_handle_holds_the_clock_and_lets_it_go() {
    paused(async {
        let (tx, rx) = std::sync::mpsc::channel::<()>();
        drop(crate::spawn_blocking(move || rx.recv()));
        let sleeper = crate::spawn(sleep(HOUR));
        // The clock is held: the hour passes by `advance` only.
        advance(secs(1)).await;
        assert!(!sleeper.is_finished());
        drop(tx);
        sleeper.await.unwrap();
    });
}

#[test]
fn closures_that_never_ran_let_the_clock_go() {
    let runtime =
        crate::Builder::new_current_thread().enable_time().start_paused(true).max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let (tx, rx) = std::sync::mpsc::channel::<()>();
        let first = crate::spawn_blocking(move || rx.recv());
        let queued = crate::spawn_blocking(|| unreachable!("it is aborted before it begins"));
        queued.abort();
        drop(tx);
        let panics = crate::spawn_blocking(|| panic!("on purpose"));
        assert!(first.await.unwrap().is_err());
        assert!(panics.await.unwrap_err().is_panic());
        // A deadlock if one of them held the clock for ever.
        sleep(HOUR).await;
    });
}

#[test]
fn another_thread_stops_the_clock_and_lets_it_run() {
    let runtime = crate::Builder::new_current_thread().enable_time().build().unwrap();
    let handle = runtime.handle().clone();
    let (ready, wait) = std::sync::mpsc::channel();
    let other = std::thread::spawn(move || {
        wait.recv().unwrap();
        let _there = handle.enter();
        pause();
    });
    runtime.block_on(async {
        let sleeper = crate::spawn(sleep(HOUR));
        ready.send(()).unwrap();
        sleeper.await.unwrap();
    });
    other.join().unwrap();

    let handle = runtime.handle().clone();
    let (ready, wait) = std::sync::mpsc::channel();
    let other = std::thread::spawn(move || {
        wait.recv().unwrap();
        let _there = handle.enter();
        resume();
    });
    runtime.block_on(async {
        // Held by the pool, so that only a clock that runs gets there.
        let (done, held) = std::sync::mpsc::channel::<()>();
        let holds = crate::spawn_blocking(move || held.recv());
        ready.send(()).unwrap();
        sleep(ms(1)).await;
        drop(done);
        assert!(holds.await.unwrap().is_err());
    });
    other.join().unwrap();
}

#[test]
fn advance_from_another_thread_moves_the_clock_of_a_runtime_that_sleeps() {
    let runtime = crate::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let handle = runtime.handle().clone();
    let (tx, mut rx) = mpsc::channel(1);
    let other = std::thread::spawn(move || {
        handle.block_on(async {
            let before = Instant::now();
            advance(HOUR).await;
            tx.send(before.elapsed()).await.unwrap();
        });
    });
    assert!(runtime.block_on(rx.recv()).unwrap() >= HOUR);
    other.join().unwrap();
}

#[test]
fn a_local_runtime_is_paused_as_any() {
    let runtime = crate::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build_local(crate::LocalOptions::default())
        .unwrap();
    runtime.block_on(async {
        let start = Instant::now();
        let task = crate::spawn_local(async move {
            sleep(HOUR).await;
            start.elapsed()
        });
        assert_eq!(task.await.unwrap(), HOUR);
    });
}
