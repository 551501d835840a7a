//! A task driven by hand, with a plain list for a scheduler.
#![allow(clippy::unwrap_used, reason = "a test's own functions may unwrap as the test does")]

use super::*;
use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

/// Keeps what is scheduled, and the registry's one reference.
#[derive(Clone, Default)]
struct List(Arc<Lists>);

#[derive(Default)]
struct Lists {
    queue: Mutex<Vec<Notified>>,
    owned: Mutex<Option<Owned>>,
}

impl Schedule for List {
    fn schedule(task: Scheduled<Self>) {
        let lists = task.scheduler().0.clone();
        lists.queue.lock().unwrap().push(task.into_notified());
    }

    fn release(&self, _task: &Header) -> bool {
        self.0.owned.lock().unwrap().take().map(Owned::release).is_some()
    }
}

impl List {
    fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (owned, notified, join) = new(future, self.clone(), IdBlock::default().next(), Origin::here(None));
        *self.0.owned.lock().unwrap() = Some(owned);
        self.0.queue.lock().unwrap().push(notified);
        join
    }

    /// Polls what is queued now; how many that were.
    fn run(&self) -> usize {
        let queue = std::mem::take(&mut *self.0.queue.lock().unwrap());
        queue.into_iter().map(Notified::run).count()
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll_join<T>(join: &mut JoinHandle<T>, waker: &Waker) -> Poll<Result<T, JoinError>> {
    Pin::new(join).poll(&mut Context::from_waker(waker))
}

/// Counts the live instances of itself.
struct Live(Arc<AtomicUsize>);

impl Live {
    fn new(count: &Arc<AtomicUsize>) -> Live {
        count.fetch_add(1, Ordering::SeqCst);
        Live(count.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn a_task_lives_from_spawn_to_join_and_leaves_nothing() {
    let list = List::default();
    let live = Arc::new(AtomicUsize::new(0));
    let captured = Live::new(&live);
    let mut join = list.spawn(async move {
        let _captured = captured;
        5
    });
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    assert!(poll_join(&mut join, &waker).is_pending());
    assert!(poll_join(&mut join, &waker).is_pending());
    assert_eq!(list.run(), 1);
    assert_eq!((count.0.load(Ordering::SeqCst), live.load(Ordering::SeqCst)), (1, 0));
    assert_eq!(Arc::strong_count(&count), 2, "the task has given its copy of the waker up");
    assert!(matches!(poll_join(&mut join, &waker), Poll::Ready(Ok(5))));
    drop(join);
    assert_eq!(Arc::strong_count(&list.0), 1, "the task is freed");
}

#[test]
fn the_joiners_last_waker_is_the_one_that_is_woken() {
    let list = List::default();
    let mut join = list.spawn(async {});
    let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
    assert!(poll_join(&mut join, &first.clone().into()).is_pending());
    assert!(poll_join(&mut join, &second.clone().into()).is_pending());
    list.run();
    assert_eq!((first.0.load(Ordering::SeqCst), second.0.load(Ordering::SeqCst)), (0, 1));
    assert_eq!(Arc::strong_count(&first), 1);
}

#[test]
fn a_dropped_handle_gives_the_waker_and_the_output_up() {
    let list = List::default();
    let (count, live) = (Arc::new(Count::default()), Arc::new(AtomicUsize::new(0)));
    let output = Live::new(&live);
    let mut join = list.spawn(async move { output });
    assert!(poll_join(&mut join, &count.clone().into()).is_pending());
    drop(join);
    assert_eq!(Arc::strong_count(&count), 1);
    list.run();
    assert_eq!((count.0.load(Ordering::SeqCst), live.load(Ordering::SeqCst)), (0, 0));

    let output = Live::new(&live);
    let join = list.spawn(async move { output });
    list.run();
    assert_eq!(live.load(Ordering::SeqCst), 1);
    drop(join);
    assert_eq!(live.load(Ordering::SeqCst), 0);
    assert_eq!(Arc::strong_count(&list.0), 1);
}

#[test]
fn a_shutdown_cancels_and_the_queue_entry_is_stale() {
    let list = List::default();
    let live = Arc::new(AtomicUsize::new(0));
    let captured = Live::new(&live);
    let mut join = list.spawn(async move {
        let _captured = captured;
        pending::<()>().await;
    });
    let owned = list.0.owned.lock().unwrap().take().unwrap();
    owned.shutdown();
    assert_eq!(live.load(Ordering::SeqCst), 0);
    assert_eq!(list.run(), 1);
    let Poll::Ready(Err(error)) = poll_join(&mut join, Waker::noop()) else { panic!("it is complete") };
    assert!(error.is_cancelled());
    drop(join);
    assert_eq!(Arc::strong_count(&list.0), 1);
}

#[test]
fn wakers_of_a_completed_task_do_nothing_and_free_it_last() {
    let list = List::default();
    let wakers: Arc<Mutex<Vec<Waker>>> = Arc::default();
    let given = wakers.clone();
    let polled = Cell::new(false);
    let join = list.spawn(poll_fn(move |cx| {
        given.lock().unwrap().extend([cx.waker().clone(), cx.waker().clone(), cx.waker().clone()]);
        if polled.replace(true) { Poll::Ready(()) } else { Poll::Pending }
    }));
    drop(join);
    list.run();
    let waker = wakers.lock().unwrap().pop().unwrap();
    waker.wake_by_ref();
    waker.wake();
    assert_eq!(list.run(), 1, "two wakes, one poll");
    let mut left = std::mem::take(&mut *wakers.lock().unwrap());
    assert_eq!(left.len(), 5);
    left.pop().unwrap().wake();
    left[0].wake_by_ref();
    assert!(left[0].will_wake(&left[1]));
    assert_eq!((list.run(), Arc::strong_count(&list.0)), (0, 2));
    drop(left);
    assert_eq!(Arc::strong_count(&list.0), 1);
}

#[test]
#[should_panic(expected = "JoinHandle polled after it gave its output")]
fn a_handle_is_polled_once_to_its_end() {
    let list = List::default();
    let mut join = list.spawn(async {});
    list.run();
    assert!(poll_join(&mut join, Waker::noop()).is_ready());
    let _ = poll_join(&mut join, Waker::noop());
}

/// Spans take room of their own.
#[cfg(not(feature = "tracing"))]
#[test]
fn an_idle_task_is_small() {
    // What a task takes beyond its future and the future's output: state, vtable, id, slot, namespace, joiner,
    // scheduler, and the stage's tag.
    type Empty = std::future::Ready<()>;
    let beyond = size_of::<cell::Cell<Empty, Arc<()>>>() - size_of::<Empty>();
    assert!(beyond <= 104, "{beyond} bytes");
}

/// What may cross threads and what may not is decided here, not in prose.
#[test]
fn auto_traits_are_as_promised() {
    fn send_sync<T: Send + Sync + Unpin + std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    send_sync::<JoinHandle<Cell<u8>>>();
    send_sync::<AbortHandle>();
    send_sync::<Id>();
    fn error<T: Send + Sync + std::error::Error>() {}
    error::<JoinError>();
}

#[test]
fn a_task_reports_to_its_set_by_the_sets_number_for_it() {
    let lists = [List::default(), List::default(), List::default()];
    let finished = Arc::new(Finished::default());
    let (count, live) = (Arc::new(Count::default()), Arc::new(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    let spawn = |list: &List| {
        let output = Live::new(&live);
        list.spawn(async move { output })
    };
    let mut members: Vec<_> = lists.iter().map(spawn).collect();
    for (number, member) in (7_u32..).zip(&mut members) {
        assert!(member.report_to(&finished, number));
    }
    let mut heard = std::collections::VecDeque::new();
    assert!(finished.poll_take(&mut heard, &waker).is_pending() && !finished.take(&mut heard));
    lists.iter().for_each(|list| assert_eq!(list.run(), 1));
    assert_eq!(count.0.load(Ordering::SeqCst), 1, "one wake for all that came before a look");
    assert!(finished.poll_take(&mut heard, &waker).is_ready());
    assert_eq!(heard, [7, 8, 9]);
    assert!(members[0].try_join().unwrap().is_ok());
    drop(members);
    assert_eq!((live.load(Ordering::SeqCst), Arc::strong_count(&finished)), (0, 1));
    assert_eq!(Arc::strong_count(&count), 2, "the waiter was told and is gone");
}

#[test]
fn a_complete_task_does_not_report() {
    let list = List::default();
    let finished = Arc::new(Finished::default());
    let mut join = list.spawn(async { 3 });
    assert!(join.try_join().is_none());
    list.run();
    assert!(!join.report_to(&finished, 0));
    assert!(!finished.take(&mut std::collections::VecDeque::new()));
    assert!(matches!(join.try_join(), Some(Ok(3))));
    assert_eq!(Arc::strong_count(&finished), 1);
}

#[test]
fn a_member_that_leaves_its_set_does_not_report() {
    let list = List::default();
    let finished = Arc::new(Finished::default());
    let mut awaited = list.spawn(async { 3 });
    assert!(awaited.report_to(&finished, 0));
    assert!(poll_join(&mut awaited, Waker::noop()).is_pending());
    list.run();
    let list = List::default();
    let mut detached = list.spawn(async { 4 });
    assert!(detached.report_to(&finished, 1));
    drop(detached);
    list.run();
    assert!(!finished.take(&mut std::collections::VecDeque::new()));
    assert!(matches!(poll_join(&mut awaited, Waker::noop()), Poll::Ready(Ok(3))));
    drop(awaited);
    assert_eq!((Arc::strong_count(&finished), Arc::strong_count(&list.0)), (1, 1));
}

#[test]
fn the_set_costs_a_task_no_word() {
    assert_eq!(size_of::<joiner::Joiner>(), size_of::<Waker>());
}
