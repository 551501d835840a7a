//! What a runtime says of itself.

use super::*;
use crate::coop::consume_budget;
use crate::io::Source;
use crate::time::sleep;
use crate::wait_queue::Events;

#[test]
fn the_numbers_add_up() {
    let runtime = workers(2);
    let tasks: Vec<_> = (0..100).map(|_| runtime.spawn(pending::<()>())).collect();
    runtime.block_on(async {
        for _ in 0..100 {
            spawn(async {}).await.unwrap();
        }
    });
    let metrics = runtime.metrics();
    assert_eq!((metrics.num_workers(), metrics.live_tasks), (2, 100));
    assert!(metrics.polls() >= 100);
    // Between two tasks from outside the workers find time to sleep, sooner or later.
    while runtime.metrics().parks() == 0 || runtime.metrics().unparks() == 0 {
        runtime.block_on(runtime.spawn(async {})).unwrap();
    }
    tasks.iter().for_each(JoinHandle::abort);
    runtime.block_on(async {
        for task in tasks {
            assert!(task.await.unwrap_err().is_cancelled());
        }
    });
    assert_eq!(runtime.metrics().live_tasks, 0);
}

#[test]
fn spawns_are_counted_wherever_they_come_from() {
    let runtime = workers(2);
    runtime.block_on(async {
        for _ in 0..10 {
            // From outside, and from a worker.
            spawn(async { spawn(async {}).await.unwrap() }).await.unwrap();
        }
    });
    assert_eq!((runtime.metrics().spawned_tasks_count(), runtime.metrics().num_alive_tasks()), (20, 0));
}

#[test]
fn a_full_queue_overflows_into_the_shared_one() {
    let runtime = current_thread();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..300).map(|_| spawn(async {})).collect();
        let metrics = Handle::current().metrics();
        assert_eq!((metrics.worker_overflow_count(0), metrics.global_queue_depth()), (1, 128));
        assert_eq!(metrics.worker_local_queue_depth(0), 300 - 128);
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn polls_that_end_for_want_of_budget_are_counted() {
    let runtime = current_thread();
    let spend = |steps| {
        runtime.block_on(runtime.spawn(async move {
            for _ in 0..steps {
                consume_budget().await;
            }
        }))
    };
    spend(128).unwrap();
    assert_eq!(runtime.metrics().budget_forced_yield_count(), 0);
    spend(1000).unwrap();
    assert_eq!(runtime.metrics().budget_forced_yield_count(), 7);
}

#[test]
fn poll_times_are_counted_when_asked_for() {
    let runtime = current_thread();
    let metrics = runtime.metrics();
    assert!(!metrics.poll_time_histogram_enabled());
    assert_eq!((metrics.poll_time_histogram_num_buckets(), metrics.poll_time_histogram_bucket_count(0, 0)), (0, 0));
    let runtime = Builder::new_current_thread().enable_metrics_poll_time_histogram().build().unwrap();
    runtime.block_on(async {
        for _ in 0..50 {
            spawn(yield_now()).await.unwrap();
        }
    });
    let metrics = runtime.metrics();
    assert!(metrics.poll_time_histogram_enabled());
    let buckets = 0..metrics.poll_time_histogram_num_buckets();
    let counted: u64 = buckets.clone().map(|bucket| metrics.poll_time_histogram_bucket_count(0, bucket)).sum();
    assert_eq!((counted, metrics.worker_poll_count(0)), (100, 100));
    assert!(metrics.worker_mean_poll_time(0) > Duration::ZERO);
    let ends = buckets.clone().map(|bucket| metrics.poll_time_histogram_bucket_range(bucket).end);
    let starts = buckets.map(|bucket| metrics.poll_time_histogram_bucket_range(bucket).start);
    assert!(starts.skip(1).zip(ends).all(|(start, end)| start == end), "without gaps");
}

#[test]
fn a_worker_that_has_slept_was_busy_before() {
    let runtime = current_thread();
    runtime.block_on(async {
        let wakes = std::thread::spawn({
            let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
            let handle = runtime.handle().clone();
            move || {
                while handle.metrics().worker_park_count(0) == 0 {
                    std::thread::yield_now();
                }
                waker.wake();
            }
        });
        let mut slept = false;
        poll_fn(|_| if std::mem::replace(&mut slept, true) { Poll::Ready(()) } else { Poll::Pending }).await;
        wakes.join().unwrap();
    });
    let metrics = runtime.metrics();
    assert!(metrics.worker_park_count(0) > 0 && metrics.worker_total_busy_duration(0) > Duration::ZERO);
}

#[test]
fn timers_sources_and_pool_threads_are_seen_while_they_are_there() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let numbers = || {
            let metrics = Handle::current().metrics();
            (metrics.timers, metrics.io_sources, metrics.num_blocking_threads())
        };
        assert_eq!(numbers(), (0, 0, 0));
        let mut sleep = Box::pin(sleep(Duration::from_secs(60)));
        assert!(poll_once(&mut sleep).await.is_none());
        let socket = mio::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let source = Source::new(socket, Events::IN).unwrap();
        spawn_blocking(|| ()).await.unwrap();
        assert_eq!(numbers(), (1, 1, 1));
        drop(sleep);
        drop(source);
        assert_eq!(numbers(), (0, 0, 1));
    });
}

#[test]
fn one_operation_steals_one_or_more() {
    let runtime = workers(2);
    while runtime.metrics().steals() == 0 {
        let task = runtime.spawn(async {
            let (tell, told) = mpsc::channel();
            for _ in 0..10 {
                let tell = tell.clone();
                spawn(async move { tell.send(()).unwrap() });
            }
            (0..10).for_each(|_| told.recv_timeout(Duration::from_secs(30)).unwrap());
        });
        runtime.block_on(task).unwrap();
    }
    let metrics = runtime.metrics();
    let operations: u64 = (0..2).map(|worker| metrics.worker_steal_operations(worker)).sum();
    let tasks: u64 = (0..2).map(|worker| metrics.worker_steal_count(worker)).sum();
    assert!(0 < operations && operations <= tasks, "{operations} {tasks}");
}
