//! The task under every interleaving that loom can make: who wakes, polls, aborts, joins and shuts down, all at once.
#![allow(clippy::unwrap_used, reason = "a test's own functions may unwrap as the test does")]

use super::*;
use crate::atomic::Mutex;
use crate::park::Parker;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// A queue with a registry of one.
#[derive(Clone)]
struct List(Arc<Lists>);

struct Lists {
    queue: Mutex<Vec<Notified>>,
    owned: Mutex<Option<Owned>>,
}

impl Schedule for List {
    fn schedule(task: Scheduled<Self>) {
        let lists = task.scheduler().0.clone();
        lists.queue.lock().push(task.into_notified());
    }

    fn release(&self, _task: &Header) -> bool {
        self.0.owned.lock().take().map(Owned::release).is_some()
    }
}

impl List {
    fn new() -> List {
        List(Arc::new(Lists { queue: Mutex::new(Vec::new()), owned: Mutex::new(None) }))
    }

    fn spawn<F>(&self, future: F) -> (Notified, JoinHandle<F::Output>)
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (owned, notified, join) = new(future, self.clone(), IdBlock::default().next(), Origin::here(None));
        *self.0.owned.lock() = Some(owned);
        (notified, join)
    }

    fn pop(&self) -> Option<Notified> {
        let mut queue = self.0.queue.lock();
        assert!(queue.len() <= 1, "a task is queued once at most");
        queue.pop()
    }

    /// Runs what is queued until nothing is.
    fn run(&self) {
        while let Some(task) = self.pop() {
            task.run();
        }
    }

    /// Ends the task as the end of its runtime does.
    fn shut_down(&self) {
        let owned = self.0.owned.lock().take();
        if let Some(owned) = owned {
            owned.shutdown();
        }
    }
}

impl Drop for Lists {
    fn drop(&mut self) {
        assert!(self.queue.lock().is_empty() && self.owned.lock().is_none(), "nothing is left behind");
    }
}

fn model(preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(f);
}

/// A future that gives its waker away in its first poll and is ready when `ready` says so.
fn waits_for(
    polls: Arc<AtomicUsize>,
    wakers: Arc<Mutex<Vec<Waker>>>,
    count: usize,
    ready: Arc<AtomicUsize>,
) -> impl Future<Output = usize> {
    poll_fn(move |cx| {
        if polls.fetch_add(1, Ordering::Relaxed) == 0 {
            wakers.lock().extend((0..count).map(|_| cx.waker().clone()));
        }
        match ready.load(Ordering::Relaxed) {
            0 => Poll::Pending,
            value => Poll::Ready(value),
        }
    })
}

struct World {
    list: List,
    polls: Arc<AtomicUsize>,
    wakers: Arc<Mutex<Vec<Waker>>>,
    ready: Arc<AtomicUsize>,
}

/// A task that waits, polled once, with `wakers` wakers given away.
fn world(wakers: usize) -> (World, JoinHandle<usize>) {
    let world = World {
        list: List::new(),
        polls: Arc::new(AtomicUsize::new(0)),
        wakers: Arc::new(Mutex::new(Vec::new())),
        ready: Arc::new(AtomicUsize::new(0)),
    };
    let future = waits_for(world.polls.clone(), world.wakers.clone(), wakers, world.ready.clone());
    let (notified, join) = world.list.spawn(future);
    notified.run();
    (world, join)
}

fn block_on<T>(join: JoinHandle<T>) -> Result<T, JoinError> {
    let parker = Parker::new();
    let waker = parker.waker();
    let mut join = pin!(join);
    loop {
        if let Poll::Ready(output) = join.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        parker.park();
    }
}

/// What a waker wrote (relaxed) before `wake` is seen by a poll after it, whether or not the task was queued already, and
/// whether the wake falls before, into or after a poll.
#[test]
fn loom_a_wake_is_followed_by_a_poll_that_sees_what_came_before() {
    model(3, || {
        let (world, join) = world(2);
        let threads = [0, 1].map(|_| {
            let (waker, ready) = (world.wakers.lock().pop().unwrap(), world.ready.clone());
            thread::spawn(move || {
                ready.fetch_add(1, Ordering::Relaxed);
                waker.wake();
            })
        });
        world.list.run();
        for thread in threads {
            thread.join().unwrap();
        }
        world.list.run();
        assert!(join.is_finished());
        assert!(world.polls.load(Ordering::Relaxed) <= 3, "two wakes are two polls at most");
        block_on(join).unwrap();
    });
}

/// The same when the task is queued already, so that the wake has nothing to change in the word.
#[test]
fn loom_a_wake_of_a_queued_task_is_seen_by_its_poll() {
    loom::model(|| {
        let (world, join) = world(2);
        world.wakers.lock().pop().unwrap().wake();
        let thread = {
            let (waker, ready) = (world.wakers.lock().pop().unwrap(), world.ready.clone());
            thread::spawn(move || {
                ready.store(1, Ordering::Relaxed);
                waker.wake_by_ref();
                waker
            })
        };
        world.list.run();
        drop(thread.join().unwrap());
        world.list.run();
        assert!(join.is_finished());
    });
}

/// docs/rxpath.md, row 54: n wakes while the task runs are exactly one more poll.
#[test]
fn loom_n_wakes_while_running_are_one_more_poll() {
    model(3, || {
        let list = List::new();
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = polls.clone();
        let (notified, join) = list.spawn(poll_fn(move |cx| {
            if counted.fetch_add(1, Ordering::Relaxed) > 0 {
                return Poll::Ready(());
            }
            let threads = [0, 1].map(|_| {
                let waker = cx.waker().clone();
                thread::spawn(move || {
                    waker.wake_by_ref();
                    waker.wake();
                })
            });
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            Poll::Pending
        }));
        notified.run();
        list.run();
        assert_eq!(polls.load(Ordering::Relaxed), 2);
        block_on(join).unwrap();
    });
}

#[test]
fn loom_join_meets_completion() {
    loom::model(|| {
        let list = List::new();
        let (notified, join) = list.spawn(async { 7 });
        let runner = thread::spawn(move || notified.run());
        assert_eq!(block_on(join).unwrap(), 7);
        runner.join().unwrap();
        assert_eq!(Arc::strong_count(&list.0), 1, "the task is freed");
    });
}

/// The handle changes its waker, or goes away, while the task completes.
#[test]
fn loom_the_handle_changes_its_mind_while_the_task_completes() {
    loom::model(|| {
        let list = List::new();
        let (notified, mut join) = list.spawn(async { Box::new(7) });
        let runner = thread::spawn(move || notified.run());
        let parkers = [Parker::new(), Parker::new()];
        for parker in &parkers {
            let polled = std::pin::Pin::new(&mut join).poll(&mut Context::from_waker(&parker.waker()));
            if polled.is_ready() {
                break;
            }
        }
        drop(join);
        runner.join().unwrap();
        assert_eq!(Arc::strong_count(&list.0), 1, "the task is freed");
    });
}

#[test]
fn loom_abort_meets_wake_and_poll() {
    model(3, || {
        let (world, join) = world(1);
        let abort = join.abort_handle();
        let aborter = thread::spawn(move || abort.abort());
        let waker = {
            let (waker, ready) = (world.wakers.lock().pop().unwrap(), world.ready.clone());
            thread::spawn(move || {
                ready.store(1, Ordering::Relaxed);
                waker.wake();
            })
        };
        world.list.run();
        aborter.join().unwrap();
        waker.join().unwrap();
        world.list.run();
        match block_on(join) {
            Ok(value) => assert_eq!(value, 1),
            Err(error) => assert!(error.is_cancelled()),
        }
        assert_eq!(Arc::strong_count(&world.list.0), 1, "the task is freed");
    });
}

#[test]
fn loom_shutdown_meets_poll_wake_and_join() {
    model(2, || {
        let (world, join) = world(1);
        let ender = {
            let list = world.list.clone();
            thread::spawn(move || list.shut_down())
        };
        let waker = {
            let (waker, ready) = (world.wakers.lock().pop().unwrap(), world.ready.clone());
            thread::spawn(move || {
                ready.store(1, Ordering::Relaxed);
                waker.wake();
            })
        };
        world.list.run();
        waker.join().unwrap();
        ender.join().unwrap();
        world.list.run();
        match block_on(join) {
            Ok(value) => assert_eq!(value, 1),
            Err(error) => assert!(error.is_cancelled()),
        }
        assert_eq!(Arc::strong_count(&world.list.0), 1, "the task is freed");
    });
}

/// A member completes, twice, while its set looks, waits, and looks again: each is heard of exactly once.
#[test]
fn loom_a_set_hears_of_each_completion_once() {
    model(3, || {
        let (first, second) = (List::new(), List::new());
        let finished = Arc::new(Finished::default());
        let mut joins = Vec::new();
        let runners: Vec<_> = [&first, &second]
            .into_iter()
            .map(|list| {
                let (notified, join) = list.spawn(async { 7 });
                joins.push(join);
                thread::spawn(move || notified.run())
            })
            .collect();
        let mut done = std::collections::VecDeque::new();
        let mut heard = Vec::new();
        for (number, join) in (0..).zip(&mut joins) {
            if !join.report_to(&finished, number) {
                heard.push(number);
            }
        }
        let parker = Parker::new();
        while heard.len() < 2 {
            match finished.poll_take(&mut done, &parker.waker()) {
                Poll::Ready(()) => heard.extend(done.drain(..)),
                Poll::Pending => parker.park(),
            }
        }
        heard.sort_unstable();
        assert_eq!(heard, [0, 1]);
        assert!(joins.iter_mut().all(|join| matches!(join.try_join(), Some(Ok(7)))));
        runners.into_iter().for_each(|runner| runner.join().unwrap());
        drop(joins);
        assert_eq!((Arc::strong_count(&first.0), Arc::strong_count(&second.0)), (1, 1), "the tasks are freed");
    });
}

/// A member leaves its set while it completes.
#[test]
fn loom_a_member_leaves_while_it_completes() {
    loom::model(|| {
        let list = List::new();
        let finished = Arc::new(Finished::default());
        let (notified, mut join) = list.spawn(async { Box::new(7) });
        let runner = thread::spawn(move || notified.run());
        let _ = join.report_to(&finished, 0);
        drop(join);
        runner.join().unwrap();
        assert_eq!((Arc::strong_count(&finished), Arc::strong_count(&list.0)), (1, 1), "the task is freed");
    });
}
