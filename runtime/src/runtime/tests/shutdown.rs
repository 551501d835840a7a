//! How a runtime ends.

use super::*;

#[test]
fn shutdown_timeout_and_background_leave_what_does_not_end() {
    for background in [false, true] {
        let runtime = workers(2);
        let (begun, wait) = mpsc::channel();
        let (release, blocked) = mpsc::channel::<()>();
        let pool_begun = begun.clone();
        let pool = runtime.spawn_blocking(move || {
            pool_begun.send(()).unwrap();
            blocked.recv().unwrap_err();
        });
        let parker = Parker::new();
        let unparker = parker.unparker();
        let stuck = runtime.spawn(async move {
            begun.send(()).unwrap();
            parker.park();
        });
        wait.recv().unwrap();
        wait.recv().unwrap();
        if background {
            runtime.shutdown_background();
        } else {
            runtime.shutdown_timeout(Duration::from_millis(20));
        }
        assert!(!pool.is_finished() && !stuck.is_finished());
        drop(release);
        unparker.unpark();
        futures_lite::future::block_on(pool).unwrap();
        futures_lite::future::block_on(stuck).unwrap();
    }
}

#[test]
fn shutdown_timeout_returns_when_all_has_ended_and_has_dropped_every_task() {
    for runtime in [current_thread(), workers(2)] {
        let dropped = Arc::new(AtomicUsize::new(0));
        for _ in 0..100 {
            let guard = count_into(&dropped);
            runtime.spawn(async move {
                let _guard = guard;
                pending::<()>().await;
            });
        }
        let guard = count_into(&dropped);
        let (begun, wait) = mpsc::channel();
        let pool = runtime.spawn_blocking(move || {
            let _guard = guard;
            begun.send(()).unwrap();
        });
        wait.recv().unwrap();
        // As good as for ever: a runtime that waited for its limit would be noticed.
        runtime.shutdown_timeout(Duration::from_secs(3600));
        assert_eq!(dropped.load(Ordering::SeqCst), 101);
        assert!(pool.is_finished());
    }
}

/// Wherever they stand: never polled, in the LIFO slot, in a ring, in the injector, asleep, or waiting for a closure.
#[test]
fn a_background_shutdown_drops_every_task_too_a_little_later() {
    let runtime = workers(2);
    let dropped = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..600)
        .map(|i| {
            let guard = count_into(&dropped);
            runtime.spawn(async move {
                let _guard = guard;
                loop {
                    if i % 2 == 0 { pending::<()>().await } else { yield_now().await }
                }
            })
        })
        .collect();
    runtime.shutdown_background();
    for task in tasks {
        assert!(futures_lite::future::block_on(task).unwrap_err().is_cancelled());
    }
    assert_eq!(dropped.load(Ordering::SeqCst), 600);
}

/// A waker of another executor that panics when it is called or dropped.
struct PanickingWaker(Arc<AtomicUsize>);

impl std::task::Wake for PanickingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("a foreign waker");
    }
}

#[test]
fn a_foreign_waker_that_panics_in_the_driver_costs_nobody_else_anything() {
    let multi = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let current = Builder::new_current_thread().enable_time().build().unwrap();
    for runtime in [multi, current] {
        let called = Arc::new(AtomicUsize::new(0));
        let _here = runtime.enter();
        let mut sleeps: Vec<_> = (0..10).map(|_| Box::pin(crate::time::sleep(Duration::from_millis(1)))).collect();
        for (i, sleep) in sleeps.iter_mut().enumerate() {
            if i % 2 == 0 {
                let waker = Waker::from(Arc::new(PanickingWaker(called.clone())));
                assert!(sleep.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
            }
        }
        // The same moment, the same batch.
        let deadline = crate::time::Instant::now() + Duration::from_millis(1);
        let tasks: Vec<_> = (0..10).map(|_| runtime.spawn(crate::time::sleep_until(deadline))).collect();
        runtime.block_on(async {
            for task in tasks {
                task.await.unwrap();
            }
            while called.load(Ordering::SeqCst) < 5 {
                yield_now().await;
            }
            assert_eq!(spawn(async { 1 }).await.unwrap(), 1, "the worker lives on");
        });
        assert_eq!(called.load(Ordering::SeqCst), 5);
    }
}

#[test]
fn an_unhandled_panic_ends_a_runtime_that_is_told_so() {
    let runtime = Builder::new_current_thread().unhandled_panic(UnhandledPanic::ShutdownRuntime).build().unwrap();
    let dropped = Arc::new(AtomicUsize::new(0));
    let guard = count_into(&dropped);
    let other = runtime.spawn(async move {
        let _guard = guard;
        pending::<()>().await;
    });
    let text = panic_text(|| {
        runtime.block_on(async {
            spawn(async { panic!("unhandled") });
            pending::<()>().await;
        });
    });
    assert!(text.contains("a spawned task panicked, and the runtime is configured to end then"), "{text}");
    assert_eq!(dropped.load(Ordering::SeqCst), 1, "the other tasks are gone");
    assert!(futures_lite::future::block_on(other).unwrap_err().is_cancelled());
    let text = panic_text(|| runtime.block_on(pending::<()>()));
    assert!(text.contains("a spawned task panicked"), "{text}");
    assert!(futures_lite::future::block_on(runtime.spawn(async {})).unwrap_err().is_cancelled());
}

#[test]
fn an_unhandled_panic_is_otherwise_ignored() {
    let runtime = Builder::new_current_thread().unhandled_panic(UnhandledPanic::Ignore).build().unwrap();
    runtime.block_on(async {
        drop(spawn(async { panic!("unhandled") }));
        yield_now().await;
        assert_eq!(spawn(async { 1 }).await.unwrap(), 1);
    });
}
