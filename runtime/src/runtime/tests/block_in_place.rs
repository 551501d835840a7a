//! Tasks that block where they stand.

use super::*;
use crate::spawn::block_in_place;

#[test]
fn the_only_workers_other_tasks_go_on_and_the_result_comes_back() {
    let runtime = workers(1);
    for _ in 0..20 {
        let task = runtime.spawn(async {
            let (tell, told) = mpsc::channel();
            spawn(async move { tell.send(7).unwrap() });
            let got = block_in_place(|| told.recv_timeout(Duration::from_secs(30)).unwrap());
            yield_now().await;
            // Also a second time in the same poll, and one within the other.
            got + block_in_place(|| block_in_place(|| 1)) + block_in_place(|| 1)
        });
        assert_eq!(runtime.block_on(task).unwrap(), 9);
    }
}

#[test]
fn a_short_one_keeps_the_worker() {
    let runtime = workers(2);
    for i in 0..200 {
        let task = runtime.spawn(async move { block_in_place(|| i) + spawn(async { 1 }).await.unwrap() });
        assert_eq!(runtime.block_on(task).unwrap(), i + 1);
    }
}

#[test]
fn every_worker_may_block_at_the_same_time() {
    let runtime = workers(2);
    let (tell, told) = mpsc::channel();
    let told = Arc::new(Mutex::new(told));
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let told = told.clone();
            runtime.spawn(async move { block_in_place(|| told.lock().recv().unwrap()) })
        })
        .collect();
    // This task finds a worker although there are more blocked ones than workers.
    runtime.block_on(runtime.spawn(async move { (0..6).for_each(|_| tell.send(()).unwrap()) })).unwrap();
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn block_on_is_allowed_within() {
    let runtime = workers(2);
    let handle = runtime.handle().clone();
    let task = runtime.spawn(async move {
        let sum = block_in_place(|| handle.block_on(async { spawn(async { 20 }).await.unwrap() + 1 }));
        let own = block_in_place(|| current_thread().block_on(async { spawn(async { 20 }).await.unwrap() + 1 }));
        // A runtime may also be dropped there.
        block_in_place(|| drop(workers(1)));
        sum + own
    });
    assert_eq!(runtime.block_on(task).unwrap(), 42);
    assert_eq!(runtime.block_on(async { block_in_place(|| runtime.block_on(async { 1 })) }), 1, "in a main future");
}

#[test]
fn outside_a_worker_it_just_runs() {
    assert_eq!(block_in_place(|| 1), 1);
    let runtime = current_thread();
    assert_eq!(runtime.block_on(spawn_blocking_on(&runtime, || block_in_place(|| 2))).unwrap(), 2);
}

fn spawn_blocking_on<R: Send + 'static>(runtime: &Runtime, f: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R> {
    runtime.spawn_blocking(f)
}

#[test]
fn a_panic_passes_through_and_stays_in_the_task() {
    let runtime = workers(1);
    let error = runtime.block_on(runtime.spawn(async { block_in_place(|| panic!("in place")) })).unwrap_err();
    assert!(error.to_string().contains("in place"), "{error}");
    let caught = runtime.spawn(async {
        let result = catch_unwind(|| block_in_place(|| panic!("in place")));
        assert!(result.is_err());
        spawn(async { 3 }).await.unwrap()
    });
    assert_eq!(runtime.block_on(caught).unwrap(), 3);
}

#[test]
fn a_current_thread_runtime_refuses() {
    let runtime = current_thread();
    let text = runtime.block_on(async { panic_text(|| block_in_place(|| ())) });
    assert!(text.contains("`block_in_place` can not be called on a current-thread runtime"), "{text}");
    let error = runtime.block_on(runtime.spawn(async { block_in_place(|| ()) })).unwrap_err();
    assert!(error.is_panic());
}

#[test]
fn there_is_no_budget_within_and_the_task_has_its_own_after() {
    let runtime = workers(1);
    let task = runtime.spawn(async {
        while crate::coop::has_budget_remaining() {
            crate::coop::consume_budget().await;
            if !crate::coop::has_budget_remaining() {
                break;
            }
        }
        assert!(block_in_place(crate::coop::has_budget_remaining));
        assert!(!crate::coop::has_budget_remaining());
    });
    runtime.block_on(task).unwrap();
}

/// The end of a runtime waits for what blocks in place, and the worker's tasks are dropped by whoever has its core.
#[test]
fn a_runtime_ends_in_the_midst_of_it() {
    for _ in 0..20 {
        let runtime = workers(1);
        let dropped = Arc::new(AtomicUsize::new(0));
        let guard = count_into(&dropped);
        runtime.spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        let (begun, wait) = mpsc::channel();
        let (release, blocked) = mpsc::channel::<()>();
        let guard = count_into(&dropped);
        let task = runtime.spawn(async move {
            let _guard = guard;
            block_in_place(|| {
                begun.send(()).unwrap();
                blocked.recv().unwrap();
            });
            pending::<()>().await;
        });
        wait.recv().unwrap();
        let releaser = std::thread::spawn(move || release.send(()).unwrap());
        drop(runtime);
        releaser.join().unwrap();
        assert_eq!(dropped.load(Ordering::SeqCst), 2);
        assert!(task.is_finished());
    }
}

#[test]
fn many_threads_change_places_without_loss() {
    let runtime = workers(2);
    let done = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..300)
        .map(|i| {
            let done = done.clone();
            runtime.spawn(async move {
                if i % 3 == 0 {
                    block_in_place(std::thread::yield_now);
                }
                yield_now().await;
                spawn(async move { drop(count_into(&done)) }).await.unwrap();
            })
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(done.load(Ordering::SeqCst), 300);
}
