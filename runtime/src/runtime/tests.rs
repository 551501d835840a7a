//! The runtime from outside: what its users may rely on, on one worker and on several.

use super::*;
use crate::atomic::Mutex;
use crate::builder::UnhandledPanic;
use crate::namespace::{self, Namespace};
use crate::park::Parker;
use crate::spawn::{spawn, spawn_blocking, yield_now};
use crate::task::{id, try_id};
use crate::task_builder::Builder as TaskBuilder;
use futures_lite::future::poll_once;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Poll, Waker};

mod block_in_place;
mod blocked_polls;
mod blocking_pool;
mod hooks;
mod metrics;
mod misuse;
mod shutdown;
mod stuck;
mod task_builder;

fn current_thread() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn workers(count: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(count).build().unwrap()
}

/// Runs a check on a current-thread runtime and on 1, 2 and 4 workers; the check runs inside a task.
fn on_each<F, Fut>(check: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    for runtime in [current_thread(), workers(1), workers(2), workers(4)] {
        runtime.block_on(async { spawn(check()).await }).unwrap();
    }
}

/// Tells of its drop.
struct Tell<F: FnMut()>(F);

impl<F: FnMut()> Drop for Tell<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn count_into(counter: &Arc<AtomicUsize>) -> Tell<impl FnMut() + use<>> {
    let counter = counter.clone();
    Tell(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    })
}

#[test]
fn a_task_gives_its_output() {
    on_each(|| async {
        let tasks: Vec<_> = (0..1000).map(|i| spawn(async move { i })).collect();
        for (i, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), i);
        }
    });
}

/// Many more than a worker's ring holds.
#[test]
fn one_worker_polls_in_the_order_in_which_tasks_became_ready() {
    let polled = Arc::new(Mutex::new(Vec::new()));
    current_thread().block_on(async {
        let task = |number: usize| {
            let polled = polled.clone();
            async move {
                for _ in 0..ROUNDS {
                    polled.lock().push(number);
                    yield_now().await;
                }
            }
        };
        let tasks: Vec<_> = (0..TASKS).map(|number| spawn(task(number))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(*polled.lock(), (0..ROUNDS).flat_map(|_| 0..TASKS).collect::<Vec<_>>());

    const TASKS: usize = 3000;
    const ROUNDS: usize = 3;
}

#[test]
fn nested_spawns_all_run() {
    fn tree(depth: u32) -> futures_lite::future::Boxed<u64> {
        Box::pin(async move {
            if depth == 0 {
                return 1;
            }
            let (left, right) = (spawn(tree(depth - 1)), spawn(tree(depth - 1)));
            left.await.unwrap() + right.await.unwrap()
        })
    }
    on_each(|| async { assert_eq!(tree(10).await, 1024) });
}

#[test]
fn yielding_tasks_take_turns() {
    let log = Arc::new(Mutex::new(Vec::new()));
    current_thread().block_on(async {
        let tasks: Vec<_> = ["a", "b", "c"]
            .map(|name| {
                let log = log.clone();
                spawn(async move {
                    for _ in 0..3 {
                        log.lock().push(name);
                        yield_now().await;
                    }
                })
            })
            .into();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(log.lock().concat(), "abcabcabc");
}

/// docs/rxpath.md, row 54, from outside: n wakes while running are one more poll.
#[test]
fn n_wakes_while_running_are_one_more_poll() {
    on_each(|| async {
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = polls.clone();
        let task = spawn(poll_fn(move |cx| {
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                for _ in 0..5 {
                    let by_value = cx.waker().clone();
                    cx.waker().wake_by_ref();
                    by_value.wake();
                }
            }
            Poll::<()>::Pending
        }));
        while polls.load(Ordering::SeqCst) < 2 {
            yield_now().await;
        }
        for _ in 0..100 {
            yield_now().await;
        }
        assert_eq!(polls.load(Ordering::SeqCst), 2);
        task.abort();
    });
}

#[test]
fn a_panic_stays_in_its_handle() {
    on_each(|| async {
        let number = std::hint::black_box(7);
        let error = spawn(async move { panic!("no {number}") }).await.unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled());
        assert!(error.to_string().ends_with("panicked with message \"no 7\""), "{error}");
        assert_eq!(*error.into_panic().downcast::<String>().unwrap(), "no 7");
        assert_eq!(spawn(async { 1 }).await.unwrap(), 1, "the worker goes on");
    });
}

#[test]
fn a_panic_in_the_drop_of_a_future_or_an_output_is_contained() {
    on_each(|| async {
        let error = spawn(async {
            let _bomb = Tell(|| panic!("in drop"));
        });
        assert!(error.await.unwrap_err().is_panic());
        let armed = Arc::new(AtomicBool::new(false));
        let arming = armed.clone();
        let aborted = spawn(async move {
            let _bomb = Tell(|| panic!("in drop"));
            arming.store(true, Ordering::SeqCst);
            pending::<()>().await;
        });
        while !armed.load(Ordering::SeqCst) {
            yield_now().await;
        }
        aborted.abort();
        assert!(aborted.await.unwrap_err().is_panic());
        let detached = spawn(async { Tell(|| panic!("in drop")) });
        drop(detached);
        for _ in 0..10 {
            yield_now().await;
        }
        assert_eq!(spawn(async { 1 }).await.unwrap(), 1, "the worker goes on");
    });
}

#[test]
fn an_aborted_task_drops_its_future_and_says_so() {
    on_each(|| async {
        let dropped = Arc::new(AtomicUsize::new(0));
        let guard = count_into(&dropped);
        let task = spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        yield_now().await;
        let abort = task.abort_handle();
        assert!(!abort.is_finished());
        abort.abort();
        abort.abort();
        let error = task.await.unwrap_err();
        assert!(error.is_cancelled());
        assert_eq!(error.id(), abort.id());
        assert!(error.try_into_panic().is_err());
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
        assert!(abort.is_finished());
        abort.abort();
    });
}

#[test]
fn an_abort_after_completion_leaves_the_output() {
    on_each(|| async {
        let task = spawn(async { 3 });
        while !task.is_finished() {
            yield_now().await;
        }
        task.abort();
        assert_eq!(task.await.unwrap(), 3);
    });
}

#[test]
fn a_detached_task_runs_and_its_output_is_dropped() {
    on_each(|| async {
        let dropped = Arc::new(AtomicUsize::new(0));
        let output = count_into(&dropped);
        drop(spawn(async move { output }));
        while dropped.load(Ordering::SeqCst) == 0 {
            yield_now().await;
        }
    });
}

#[test]
fn the_future_is_gone_before_the_handle_is_ready() {
    on_each(|| async {
        let dropped = Arc::new(AtomicUsize::new(0));
        let guard = count_into(&dropped);
        spawn(async move {
            let _guard = guard;
            yield_now().await;
        })
        .await
        .unwrap();
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn an_abort_storm_ends_every_task_once() {
    on_each(|| async {
        let dropped = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..2000)
            .map(|i| {
                let guard = count_into(&dropped);
                spawn(async move {
                    let _guard = guard;
                    for _ in 0..i % 7 {
                        yield_now().await;
                    }
                    if i % 3 == 0 {
                        pending::<()>().await;
                    }
                })
            })
            .collect();
        let aborts: Vec<_> = tasks.iter().map(JoinHandle::abort_handle).collect();
        let second = aborts.clone();
        let other = spawn(async move { second.iter().for_each(|abort| abort.abort()) });
        aborts.iter().for_each(|abort| abort.abort());
        other.await.unwrap();
        for task in tasks {
            if let Err(error) = task.await {
                assert!(error.is_cancelled());
            }
        }
        assert_eq!(dropped.load(Ordering::SeqCst), 2000);
    });
}

#[test]
fn a_handle_can_be_dropped_at_any_moment() {
    on_each(|| async {
        let ran = Arc::new(AtomicUsize::new(0));
        for i in 0..1000 {
            let done = count_into(&ran);
            let mut task = spawn(async move {
                yield_now().await;
                drop(done);
            });
            for _ in 0..i % 4 {
                if poll_once(&mut task).await.is_some() {
                    break;
                }
                yield_now().await;
            }
        }
        while ran.load(Ordering::SeqCst) < 1000 {
            yield_now().await;
        }
    });
}

#[test]
fn a_task_knows_its_id_and_has_none_outside() {
    assert!(try_id().is_none());
    on_each(|| async {
        let task = spawn(async { id() });
        let expected = task.id();
        assert_eq!(task.await.unwrap(), expected);
        assert_ne!(id(), expected);
    });
}

#[test]
fn a_task_stands_in_its_spawners_namespace_also_while_it_drops() {
    fn here() -> Option<u8> {
        namespace::current().and_then(|n| n.downcast::<u8>()).map(|n| *n)
    }
    let seven = || Some(Namespace::new(Arc::new(7_u8)));
    on_each(move || async move {
        let reached = Arc::new(AtomicBool::new(false));
        let (task, dropped_in) = {
            let _in_seven = namespace::enter(seven());
            let dropped_in = Arc::new(Mutex::new(None));
            let note = dropped_in.clone();
            let guard = Tell(move || *note.lock() = here());
            let at_end = reached.clone();
            let task = spawn(async move {
                let _guard = guard;
                assert_eq!(here(), Some(7));
                yield_now().await;
                assert_eq!(here(), Some(7));
                assert_eq!(spawn(async { here() }).await.unwrap(), Some(7), "it is inherited");
                assert_eq!(spawn_blocking(here).await.unwrap(), Some(7), "by closures too");
                at_end.store(true, Ordering::SeqCst);
                pending::<()>().await;
            });
            (task, dropped_in)
        };
        for _ in 0..3 {
            assert_eq!(here(), None);
            assert_eq!(spawn(async { here() }).await.unwrap(), None);
        }
        while !reached.load(Ordering::SeqCst) {
            yield_now().await;
        }
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(*dropped_in.lock(), Some(7));
    });
}

#[test]
fn dropping_the_runtime_drops_every_task_before_it_returns() {
    for runtime in [current_thread(), workers(1), workers(2), workers(4)] {
        let dropped = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..500)
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
        runtime.block_on(async {
            for _ in 0..10 {
                yield_now().await;
            }
        });
        drop(runtime);
        assert_eq!(dropped.load(Ordering::SeqCst), 500);
        assert!(tasks.iter().all(JoinHandle::is_finished));
        for task in tasks {
            assert!(futures_lite::future::block_on(task).unwrap_err().is_cancelled());
        }
    }
}

#[test]
fn a_single_worker_drops_its_tasks_in_the_order_of_their_spawning() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let runtime = current_thread();
    runtime.block_on(async {
        for i in 0..300 {
            let order = order.clone();
            let guard = Tell(move || order.lock().push(i));
            drop(spawn(async move {
                let _guard = guard;
                pending::<()>().await;
            }));
        }
        yield_now().await;
    });
    drop(runtime);
    assert_eq!(*order.lock(), (0..300).collect::<Vec<_>>());
}

#[test]
fn a_task_spawned_after_the_end_is_cancelled_and_its_future_dropped() {
    for runtime in [current_thread(), workers(2)] {
        let handle = runtime.handle().clone();
        drop(runtime);
        let dropped = Arc::new(AtomicUsize::new(0));
        let guard = count_into(&dropped);
        let task = handle.spawn(async move { drop(guard) });
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
        assert!(handle.block_on(task).unwrap_err().is_cancelled());
        assert!(handle.block_on(handle.spawn_blocking(|| ())).unwrap_err().is_cancelled());
    }
}

#[test]
fn tasks_that_spawn_and_wake_each_other_while_they_drop_hold_nothing_up() {
    for runtime in [current_thread(), workers(2)] {
        let wakers: Arc<Mutex<Vec<Waker>>> = Arc::default();
        for _ in 0..100 {
            let wakers = wakers.clone();
            runtime.spawn(async move {
                let others = wakers.clone();
                let _guard = Tell(move || {
                    others.lock().iter().for_each(Waker::wake_by_ref);
                    assert!(spawn(async {}).is_finished(), "it comes too late");
                });
                poll_fn(|cx| {
                    wakers.lock().push(cx.waker().clone());
                    Poll::<()>::Pending
                })
                .await;
            });
        }
        runtime.block_on(async {
            while wakers.lock().len() < 100 {
                yield_now().await;
            }
        });
        drop(runtime);
        wakers.lock().drain(..).for_each(Waker::wake);
    }
}

/// The worker that sleeps in a task must not keep what stands in its queue.
#[test]
fn others_run_the_queue_of_a_worker_that_blocks() {
    let runtime = workers(2);
    let done = runtime.block_on(runtime.spawn(async {
        let (send, receive) = mpsc::channel();
        for i in 0..100 {
            let send = send.clone();
            spawn(async move { send.send(i).unwrap() });
        }
        // Blocks this worker until the other one has run all of them.
        (0..100).map(|_| receive.recv_timeout(Duration::from_secs(30)).unwrap()).sum::<i32>()
    }));
    assert_eq!(done.unwrap(), 4950);
    assert!(runtime.metrics().steals() > 0);
}

#[test]
fn block_on_from_several_threads_at_once() {
    for runtime in [current_thread(), workers(2)] {
        let runtime = &runtime;
        std::thread::scope(|scope| {
            for i in 0..4 {
                scope.spawn(move || {
                    for round in 0..200 {
                        let sum = runtime.block_on(async {
                            let task = spawn(async move {
                                yield_now().await;
                                round
                            });
                            task.await.unwrap() + i
                        });
                        assert_eq!(sum, round + i);
                    }
                });
            }
        });
    }
}

#[test]
fn block_on_takes_over_the_worker_when_its_driver_leaves() {
    let runtime = current_thread();
    let (entered, wait) = mpsc::channel();
    let release = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            runtime.block_on(async {
                entered.send(()).unwrap();
                while !release.load(Ordering::SeqCst) {
                    yield_now().await;
                }
            });
        });
        wait.recv().unwrap();
        // The first thread drives the task to half its way, this one the rest.
        let releases = release.clone();
        let half = runtime.spawn(async move {
            releases.store(true, Ordering::SeqCst);
            yield_now().await;
            5
        });
        assert_eq!(runtime.block_on(half).unwrap(), 5);
        first.join().unwrap();
        assert_eq!(runtime.block_on(runtime.spawn(async { 6 })).unwrap(), 6);
    });
}

#[test]
fn wakes_from_other_threads_arrive() {
    on_each(|| async {
        for _ in 0..300 {
            let shared: Arc<(AtomicBool, Mutex<Option<Waker>>)> = Arc::default();
            let other = shared.clone();
            let thread = std::thread::spawn(move || {
                other.0.store(true, Ordering::SeqCst);
                if let Some(waker) = other.1.lock().take() {
                    waker.wake();
                }
            });
            poll_fn(|cx| {
                *shared.1.lock() = Some(cx.waker().clone());
                if shared.0.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_panic_of_the_main_future_passes_and_the_runtime_goes_on() {
    for runtime in [current_thread(), workers(2)] {
        let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on(async { panic!("main") })));
        assert_eq!(*result.unwrap_err().downcast::<&str>().unwrap(), "main");
        assert_eq!(runtime.block_on(async { spawn(async { 1 }).await.unwrap() }), 1);
    }
}

#[track_caller]
fn panic_text(f: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
    panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap()
}

#[test]
fn enter_makes_a_runtime_current_and_nests() {
    let (outer, inner) = (current_thread(), workers(2));
    let workers_here = || Handle::current().metrics().num_workers();
    let _outer = outer.enter();
    assert_eq!(workers_here(), 1);
    {
        let _inner = inner.enter();
        assert_eq!(workers_here(), 2);
        assert_eq!(outer.block_on(async { workers_here() }), 1);
        assert_eq!(workers_here(), 2);
    }
    assert_eq!(workers_here(), 1);
}
