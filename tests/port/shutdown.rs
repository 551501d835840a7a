//! A worker that serves a channel, does something every so often, and is told to stop.

use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{self, MissedTickBehavior};

#[derive(Debug, Default, PartialEq)]
struct Report {
    jobs: Vec<u32>,
    ticks: u32,
    reason: &'static str,
}

async fn work(mut jobs: mpsc::Receiver<u32>, mut stop: oneshot::Receiver<()>) -> Report {
    let mut report = Report::default();
    let mut ticks = time::interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let limit = time::sleep(Duration::from_secs(3600));
    tokio::pin!(limit);
    report.reason = loop {
        tokio::select! {
            biased;

            _ = &mut stop => break "told",
            () = &mut limit => break "late",
            job = jobs.recv() => match job {
                Some(job) => report.jobs.push(job),
                None => break "no jobs",
            },
            _ = ticks.tick(), if report.ticks < 3 => {
                report.ticks += 1;
            }
        }
    };
    report
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_it_is_told() {
    let (jobs, receiver) = mpsc::channel(8);
    let (stop, stopped) = oneshot::channel();
    let worker = tokio::spawn(work(receiver, stopped));
    for job in 1..=3 {
        jobs.send(job).await.unwrap();
    }
    while jobs.capacity() < jobs.max_capacity() {
        tokio::task::yield_now().await;
    }
    stop.send(()).unwrap();
    let report = worker.await.unwrap();
    assert_eq!((report.jobs, report.reason), (vec![1, 2, 3], "told"));
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_it_takes_too_long() {
    let (_jobs, receiver) = mpsc::channel(8);
    let (_stop, stopped) = oneshot::channel();
    let report = work(receiver, stopped).await;
    assert_eq!(report, Report { jobs: vec![], ticks: 3, reason: "late" });
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_nobody_can_send() {
    let (jobs, receiver) = mpsc::channel(8);
    let (_stop, stopped) = oneshot::channel();
    let worker = tokio::spawn(work(receiver, stopped));
    time::sleep(Duration::from_millis(1)).await;
    jobs.try_send(7).unwrap();
    drop(jobs);
    let report = time::timeout(Duration::from_secs(60), worker).await.expect("in time").unwrap();
    assert_eq!((report.jobs, report.reason), (vec![7], "no jobs"));
}
