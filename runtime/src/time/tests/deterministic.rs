//! One seed, one run: what a program writes down is the same, whatever else the process does.

use super::*;
use crate::select;
use crate::sync::{Mutex, mpsc, oneshot, watch};
use crate::{JoinSet, task};
use std::cell::RefCell;
use std::rc::Rc;

/// What happened, each line with its time and its task.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<String>>>);

impl Log {
    fn note(&self, what: impl std::fmt::Display) {
        let task = task::try_id().map_or_else(|| "main".to_owned(), |id| id.to_string());
        self.0.lock().unwrap().push(format!("{:?} {task} {what}", Instant::now()));
    }
}

/// Everything that a runtime could leave to chance: equal deadlines, channels, a lock that many want, fair `select!`s,
/// local tasks, tasks that are aborted, more tasks than a worker polls between two looks at the driver.
async fn program(log: Log) {
    let (first, mut firsts) = mpsc::channel(3);
    let (second, mut seconds) = mpsc::unbounded_channel();
    let (beat, beats) = watch::channel(0_u32);
    let shared = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for n in 0..100_u64 {
        let (log, first, second, shared) = (log.clone(), first.clone(), second.clone(), shared.clone());
        let mut beats = beats.clone();
        tasks.spawn(async move {
            for round in 0..5 {
                sleep(ms(10 * (1 + n % 3))).await;
                shared.lock().await.push(n);
                select! {
                    sent = first.send((n, round)) => log.note(format_args!("{n} sent {sent:?}")),
                    _ = beats.changed() => log.note(format_args!("{n} heard {}", *beats.borrow_and_update())),
                    () = sleep(ms(n % 4)) => log.note(format_args!("{n} is late")),
                }
                let _ = second.send(n);
                crate::yield_now().await;
            }
            n
        });
    }
    drop((first, second, beats));
    let (stop, mut stopped) = oneshot::channel::<()>();
    let aborted = crate::spawn(sleep(Duration::from_secs(1 << 20)));
    let beating = {
        let log = log.clone();
        crate::spawn(async move {
            let mut interval = interval(ms(7));
            loop {
                select! {
                    due = interval.tick() => { log.note(format_args!("beat {due:?}")); beat.send_modify(|n| *n += 1) }
                    _ = &mut stopped => return,
                }
            }
        })
    };
    loop {
        select! {
            Some(pair) = firsts.recv() => log.note(format_args!("first {pair:?}")),
            Some(n) = seconds.recv() => log.note(format_args!("second {n}")),
            Some(ended) = tasks.join_next() => log.note(format_args!("ended {}", ended.unwrap())),
            else => break,
        }
    }
    aborted.abort();
    log.note(aborted.await.unwrap_err());
    stop.send(()).unwrap();
    beating.await.unwrap();
    log.note(format_args!("{:?}", shared.lock().await));
    locals(log).await;
}

async fn locals(log: Log) {
    let local = crate::LocalSet::new();
    let order = Rc::new(RefCell::new(Vec::new()));
    for n in 0..10 {
        let (log, order) = (log.clone(), order.clone());
        local.spawn_local(async move {
            timeout(ms(n % 2), sleep(ms(1))).await.ok();
            order.borrow_mut().push(n);
            log.note(format_args!("local {n}"));
        });
    }
    local.await;
    log.note(format_args!("{:?}", order.borrow()));
}

fn log_of(seed: u64) -> Vec<String> {
    let log = Log::default();
    let runtime = crate::Builder::new_current_thread().enable_all().start_paused(true).rng_seed(seed).build().unwrap();
    let outside = runtime.spawn({
        let log = log.clone();
        async move { log.note("spawned from outside") }
    });
    runtime.block_on(program(log.clone()));
    runtime.block_on(outside).unwrap();
    drop(runtime);
    std::mem::take(&mut log.0.lock().unwrap())
}

#[test]
fn the_same_seed_is_the_same_run_and_another_is_another() {
    let once = log_of(7);
    assert!(once.len() > 1000, "{}", once.len());
    // What the process did before, on which threads, and what other runtimes do meanwhile, is not to be seen.
    let beside = std::thread::spawn(|| {
        run(async {
            for _ in 0..100 {
                crate::spawn(sleep(Duration::from_micros(10))).await.unwrap();
            }
        });
    });
    let again = std::thread::spawn(|| log_of(7)).join().unwrap();
    beside.join().unwrap();
    let differs = once.iter().zip(&again).position(|(a, b)| a != b);
    assert_eq!((differs, once.len()), (None, again.len()), "{:?}", differs.map(|at| (&once[at], &again[at])));

    let other = log_of(8);
    let without_tasks = |log: &[String]| -> Vec<String> {
        log.iter()
            .map(|line| line.split(' ').enumerate().filter(|(at, _)| *at != 1).map(|(_, word)| word).collect())
            .collect()
    };
    assert_ne!(without_tasks(&once), without_tasks(&other), "not only in the identities of the tasks");
}
