//! What a program is told of.

use super::*;
use crate::task::{Id, TaskMeta};

type Log = Arc<Mutex<Vec<(&'static str, Id)>>>;

fn noting(log: &Log, what: &'static str) -> impl Fn(&TaskMeta<'_>) + Send + Sync + 'static {
    let log = log.clone();
    move |task| log.lock().push((what, task.id()))
}

fn with_task_hooks(builder: &mut Builder) -> (Runtime, Log) {
    let log = Log::default();
    let runtime = builder
        .on_task_spawn(noting(&log, "spawn"))
        .on_before_task_poll(noting(&log, "before"))
        .on_after_task_poll(noting(&log, "after"))
        .on_task_terminate(noting(&log, "gone"))
        .build()
        .unwrap();
    (runtime, log)
}

fn what(log: &Log, id: Id) -> Vec<&'static str> {
    log.lock().iter().filter(|entry| entry.1 == id).map(|entry| entry.0).collect()
}

#[test]
fn a_tasks_life_is_told_in_order() {
    for builder in [&mut Builder::new_current_thread(), Builder::new_multi_thread().worker_threads(2)] {
        let (runtime, log) = with_task_hooks(builder);
        let id = runtime.block_on(async {
            let outer = spawn(async { spawn(yield_now()).await.unwrap() });
            let id = outer.id();
            outer.await.unwrap();
            id
        });
        drop(runtime);
        let own = what(&log, id);
        assert_eq!(own.first(), Some(&"spawn"));
        assert!(own[1..].chunks(2).filter(|pair| pair.len() == 2).all(|pair| pair[0] == "before"), "{own:?}");
        assert_eq!(own.iter().filter(|&&what| what == "gone").count(), 1);
        let ids: std::collections::HashSet<_> = log.lock().iter().map(|entry| entry.1).collect();
        let inner = ids.into_iter().find(|&other| other != id).unwrap();
        assert_eq!(what(&log, inner), ["spawn", "before", "after", "before", "gone", "after"]);
    }
}

#[test]
fn every_end_is_told_once() {
    let (runtime, log) = with_task_hooks(&mut Builder::new_current_thread());
    let ids: Vec<_> = runtime.block_on(async {
        let panics = spawn(async { panic!("it ends") });
        let aborted = spawn(pending::<()>());
        aborted.abort();
        let left = spawn(pending::<()>());
        let ids = [panics.id(), aborted.id(), left.id()];
        assert!(panics.await.is_err() && aborted.await.is_err());
        ids.into()
    });
    let handle = runtime.handle().clone();
    drop(runtime);
    let late = handle.spawn(async {}).id();
    for id in ids.into_iter().chain([late]) {
        let own = what(&log, id);
        assert_eq!((own[0], own.iter().filter(|&&what| what == "gone").count()), ("spawn", 1), "{own:?}");
    }
}

#[test]
fn hooks_may_spawn_and_panic() {
    let first = AtomicBool::new(true);
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .on_task_spawn(move |_| {
            if first.swap(false, Ordering::SeqCst) {
                spawn(async {});
            }
            panic!("in a hook");
        })
        .on_task_terminate(|_| panic!("in a hook"))
        .on_before_task_poll(|_| panic!("in a hook"))
        .on_after_task_poll(|_| panic!("in a hook"))
        .on_thread_start(|| panic!("in a hook"))
        .on_thread_stop(|| panic!("in a hook"))
        .on_thread_park(|| panic!("in a hook"))
        .on_thread_unpark(|| panic!("in a hook"))
        .build()
        .unwrap();
    assert_eq!(runtime.block_on(async { spawn(async { spawn(async { 7 }).await }).await }).unwrap().unwrap(), 7);
    assert_eq!(runtime.block_on(runtime.spawn_blocking(|| 8)).unwrap(), 8);
    assert_eq!(runtime.metrics().spawned_tasks, 3);
}

#[test]
fn threads_tell_of_their_beginning_and_end() {
    let (started, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (start, stop) = (started.clone(), stopped.clone());
    let runtime = Builder::new_multi_thread()
        .worker_threads(3)
        .on_thread_start(move || {
            start.fetch_add(1, Ordering::SeqCst);
        })
        .on_thread_stop(move || {
            stop.fetch_add(1, Ordering::SeqCst);
        })
        .build()
        .unwrap();
    runtime.block_on(runtime.spawn_blocking(|| ())).unwrap();
    drop(runtime);
    assert_eq!((started.load(Ordering::SeqCst), stopped.load(Ordering::SeqCst)), (4, 4));
}

#[test]
fn a_worker_tells_of_its_sleep_and_may_be_given_work_instead() {
    let (parked, unparked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (park, unpark) = (parked.clone(), unparked.clone());
    let runtime = Builder::new_current_thread()
        .on_thread_park(move || {
            if park.fetch_add(1, Ordering::SeqCst) < 3 {
                spawn(async {});
            }
        })
        .on_thread_unpark(move || {
            unpark.fetch_add(1, Ordering::SeqCst);
        })
        .build()
        .unwrap();
    let (send, receive) = mpsc::channel::<Waker>();
    let thread = std::thread::spawn(move || receive.recv().unwrap().wake());
    let mut sender = Some(send);
    runtime.block_on(poll_fn(|cx| match sender.take() {
        Some(send) => {
            send.send(cx.waker().clone()).unwrap();
            Poll::Pending
        }
        None => Poll::Ready(()),
    }));
    thread.join().unwrap();
    let metrics = runtime.metrics();
    assert!(metrics.spawned_tasks <= 3 && parked.load(Ordering::SeqCst) as u64 >= metrics.parks());
    assert_eq!(unparked.load(Ordering::SeqCst) as u64, metrics.parks());
}
