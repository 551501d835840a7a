//! The detector of blocked workers, in a runtime.

use super::*;
use crate::scheduler::BlockedPoll;
use crate::spawn::block_in_place;

fn detecting(builder: &mut Builder, limit: Duration) -> (Runtime, mpsc::Receiver<BlockedPoll>) {
    let (send, receive) = mpsc::channel();
    let send = Mutex::new(send);
    let report = move |poll: &BlockedPoll| drop(send.lock().send(poll.clone()));
    (builder.detect_blocking(limit).on_blocked_poll(report).build().unwrap(), receive)
}

#[test]
fn a_stuck_poll_is_reported_while_it_is_stuck_and_when_it_ends() {
    for builder in [&mut Builder::new_current_thread(), Builder::new_multi_thread().worker_threads(2)] {
        let (runtime, reports) = detecting(builder, Duration::from_millis(1));
        let reports = Arc::new(Mutex::new(reports));
        let waits = reports.clone();
        let line = line!() + 3;
        let task = TaskBuilder::new()
            .name("stuck")
            .spawn_on(async move { waits.lock().recv_timeout(Duration::from_secs(30)).unwrap() }, runtime.handle())
            .unwrap();
        let id = task.id();
        let first = runtime.block_on(task).unwrap();
        assert!(!first.is_over());
        let last = reports.lock().recv_timeout(Duration::from_secs(30)).unwrap();
        assert!(last.is_over() && last.duration() >= first.duration() && first.duration() > Duration::from_millis(1));
        for report in [&first, &last] {
            assert_eq!((report.id(), report.name()), (id, Some("stuck")));
            assert_eq!((report.spawned_at().file(), report.worker() < 2), (file!(), true));
            assert!(report.spawned_at().line().abs_diff(line) <= 2);
        }
    }
}

#[test]
fn a_site_is_reported_once_and_others_are_too() {
    let (runtime, reports) = detecting(&mut Builder::new_current_thread(), Duration::ZERO);
    runtime.block_on(async {
        for _ in 0..50 {
            spawn(yield_now()).await.unwrap();
        }
        spawn(async {}).await.unwrap();
    });
    drop(runtime);
    let over: Vec<_> = reports.try_iter().filter(BlockedPoll::is_over).map(|poll| poll.spawned_at().line()).collect();
    assert_eq!(over.len(), 2, "{over:?}");
    assert_ne!(over[0], over[1]);
}

#[test]
fn what_blocks_rightly_is_not_reported() {
    let builder = &mut Builder::new_multi_thread();
    let (runtime, reports) = detecting(builder.worker_threads(1), Duration::from_millis(20));
    let (tell, told) = mpsc::channel();
    let task = runtime.spawn(async move {
        block_in_place(|| {
            // Until another task of this worker has been reported, which takes longer than the limit.
            told.recv_timeout(Duration::from_secs(30)).unwrap()
        })
    });
    let waits = runtime.spawn(async move {
        let stuck = reports.recv_timeout(Duration::from_secs(30)).unwrap();
        tell.send(stuck.id()).unwrap();
        reports
    });
    let stuck = waits.id();
    assert_eq!(runtime.block_on(task).unwrap(), stuck);
    let reports = runtime.block_on(waits).unwrap();
    drop(runtime);
    assert!(reports.try_iter().all(|poll| poll.id() == stuck));
}

#[test]
fn a_panic_in_the_report_is_contained() {
    let runtime = Builder::new_current_thread()
        .detect_blocking(Duration::ZERO)
        .on_blocked_poll(|_| panic!("in a report"))
        .build()
        .unwrap();
    assert_eq!(runtime.block_on(runtime.spawn(async { 1 })).unwrap(), 1);
}
