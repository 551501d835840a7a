//! Closures that block, and the threads that are there for them.

use super::*;
use parking_lot::Condvar;
use std::sync::Barrier;

#[test]
fn blocking_closures_run_on_bounded_threads_with_the_runtimes_context() {
    let runtime = Builder::new_multi_thread().worker_threads(2).max_blocking_threads(3).build().unwrap();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    runtime.block_on(async {
        let tasks: Vec<_> = (0..50)
            .map(|i| {
                let (running, most) = (running.clone(), most.clone());
                spawn_blocking(move || {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                    Handle::current().block_on(spawn(async move { i })).unwrap()
                })
            })
            .collect();
        for (i, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), i);
        }
        assert!(spawn_blocking(|| panic!("blocking")).await.unwrap_err().is_panic());
    });
    assert!(most.load(Ordering::SeqCst) <= 3);
    assert!(runtime.metrics().blocking_threads <= 3);
}

#[test]
fn the_end_waits_for_running_closures_and_cancels_queued_ones() {
    let runtime = Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    let (begun, wait) = mpsc::channel();
    let (release, blocked) = mpsc::channel::<()>();
    let ended = Arc::new(AtomicUsize::new(0));
    let end = count_into(&ended);
    let running = runtime.spawn_blocking(move || {
        begun.send(()).unwrap();
        blocked.recv().unwrap();
        drop(end);
    });
    wait.recv().unwrap();
    let queued = runtime.spawn_blocking(|| unreachable!("it is cancelled before it runs"));
    let handle = runtime.handle().clone();
    let releaser = std::thread::spawn(move || {
        assert!(handle.block_on(queued).unwrap_err().is_cancelled());
        release.send(()).unwrap();
    });
    drop(runtime);
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    assert!(running.is_finished());
    releaser.join().unwrap();
}

/// Each closure waits for all others: one that got no thread would hold up the rest for ever.
#[test]
fn closures_that_wait_for_each_other_all_get_a_thread() {
    for runtime in [current_thread(), workers(2)] {
        for round in [1, 2, 3, 60, 60, 5] {
            let barrier = Arc::new(Barrier::new(round));
            let tasks: Vec<_> = (0..round)
                .map(|_| {
                    let barrier = barrier.clone();
                    runtime.spawn_blocking(move || barrier.wait().is_leader())
                })
                .collect();
            runtime.block_on(async {
                for task in tasks {
                    task.await.unwrap();
                }
            });
        }
        assert!(runtime.metrics().num_blocking_threads() >= 60);
    }
}

#[test]
fn a_closure_may_wait_for_one_that_it_spawns() {
    fn nested(handle: &Handle, depth: u32) -> u32 {
        let below = handle.clone();
        if depth == 0 {
            return 0;
        }
        handle.block_on(handle.spawn_blocking(move || nested(&below, depth - 1))).unwrap() + 1
    }
    let runtime = workers(1);
    assert_eq!(nested(runtime.handle(), 20), 20);
}

#[test]
fn the_bound_is_kept_and_what_is_beyond_it_runs_later() {
    let runtime = Builder::new_current_thread().max_blocking_threads(2).build().unwrap();
    let gate: Arc<(parking_lot::Mutex<bool>, Condvar)> = Arc::default();
    let running = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (gate, running) = (gate.clone(), running.clone());
            runtime.spawn_blocking(move || {
                running.fetch_add(1, Ordering::SeqCst);
                let mut open = gate.0.lock();
                gate.1.wait_while(&mut open, |open| !*open);
            })
        })
        .collect();
    runtime.block_on(async {
        while running.load(Ordering::SeqCst) < 2 {
            yield_now().await;
        }
        let metrics = runtime.metrics();
        assert_eq!((metrics.num_blocking_threads(), metrics.blocking_queue_depth()), (2, 18));
        *gate.0.lock() = true;
        gate.1.notify_all();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(running.load(Ordering::SeqCst), 20);
}

#[test]
fn many_short_closures_from_several_threads_run_once_each() {
    let runtime = workers(2);
    let ran = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let tasks: Vec<_> = (0..100)
                        .map(|_| {
                            let done = count_into(&ran);
                            runtime.spawn_blocking(move || drop(done))
                        })
                        .collect();
                    runtime.block_on(async {
                        for task in tasks {
                            task.await.unwrap();
                        }
                    });
                }
            });
        }
    });
    assert_eq!(ran.load(Ordering::SeqCst), 6000);
}

#[test]
fn a_thread_without_work_ends_after_its_keep_alive() {
    let runtime = Builder::new_current_thread().thread_keep_alive(Duration::from_millis(1)).build().unwrap();
    runtime.block_on(runtime.spawn_blocking(|| ())).unwrap();
    while runtime.metrics().num_blocking_threads() > 0 {
        std::thread::yield_now();
    }
    assert_eq!(runtime.block_on(runtime.spawn_blocking(|| 1)).unwrap(), 1, "another comes");
}

#[test]
fn a_queued_closure_is_aborted_and_a_running_one_is_not() {
    let runtime = Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    let (begun, wait) = mpsc::channel();
    let (release, blocked) = mpsc::channel::<()>();
    let running = runtime.spawn_blocking(move || {
        begun.send(()).unwrap();
        blocked.recv().unwrap();
        7
    });
    wait.recv().unwrap();
    let queued = runtime.spawn_blocking(|| unreachable!("it is aborted before it runs"));
    queued.abort();
    running.abort();
    release.send(()).unwrap();
    runtime.block_on(async {
        assert!(queued.await.unwrap_err().is_cancelled());
        assert_eq!(running.await.unwrap(), 7);
    });
}
