//! Children that end, fail and are entered while the owner waits or cancels.

use super::*;
use crate::park::Parker;
use crate::task::{self, Header, Id, JoinHandle, Notified, Schedule, Scheduled};
use loom::thread;
use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll};

fn model(preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(f);
}

/// Waits as the owner of a group does.
fn wait(ledger: &Ledger, until: Until) {
    let parker = Parker::new();
    while !ledger.has_come(until, &parker.waker()) {
        parker.park();
    }
}

/// The last of two children ends, on a thread each, while the owner begins to wait.
#[test]
fn loom_the_owner_hears_of_the_last_end() {
    model(3, || {
        let ledger = Arc::new(Ledger::new(None));
        let threads = [ledger.enter(), ledger.enter()].map(|seat| thread::spawn(move || drop(seat)));
        wait(&ledger, Until::Empty);
        assert!(ledger.live() == 0 && ledger.is_cancelled() && ledger.enter().refused);
        threads.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
    });
}

/// A child fails while the owner waits for just that, another ends, and a third is entered: one failure counts, and the
/// owner then waits for all of them.
#[test]
fn loom_the_owner_hears_of_the_failure_and_then_of_the_end() {
    model(2, || {
        let ledger = Arc::new(Ledger::new(None));
        let fails = |seat: Seat, ledger: Arc<Ledger>| {
            let failed = ledger.fail().map(Cancel::carry_out).is_some();
            drop(seat);
            failed
        };
        let (seat, own) = (ledger.enter(), ledger.clone());
        let first = thread::spawn(move || fails(seat, own));
        let (seat, own) = (ledger.enter(), ledger.clone());
        let second = thread::spawn(move || fails(seat, own));
        wait(&ledger, Until::Failed);
        wait(&ledger, Until::Empty);
        assert_eq!(ledger.live(), 0);
        let failures = [first, second].map(|thread| thread.join().expect("it does not panic"));
        assert_eq!(failures.iter().filter(|&&failed| failed).count(), 1);
    });
}

/// A queue of one, for a task that never ends by itself.
#[derive(Clone)]
struct One(Arc<Mutex<Option<Notified>>>);

impl Schedule for One {
    fn schedule(task: Scheduled<Self>) {
        let queue = task.scheduler().0.clone();
        let before = queue.lock().replace(task.into_notified());
        assert!(before.is_none(), "a task is queued once at most");
    }

    fn release(&self, _task: &Header) -> bool {
        false
    }
}

/// A child is spawned and its handle handed in while the group is cancelled: it is aborted, whichever comes first.
#[test]
fn loom_a_cancel_reaches_a_child_that_is_being_spawned() {
    model(3, || {
        let outer = Arc::new(Ledger::new(None));
        let inner = Arc::new(Ledger::new(Some(outer.clone())));
        let cancelling = {
            let outer = outer.clone();
            thread::spawn(move || outer.cancel())
        };
        let seat = inner.enter();
        let places = seat.places();
        let future = async move {
            let _seat = seat;
            pending::<()>().await;
        };
        let queue = One(Arc::new(Mutex::new(None)));
        let (notified, mut join) =
            task::unregistered::<(), _, _>(future, queue.clone(), Id::next(), task::Origin::here(None));
        notified.run();
        hand_in(places, &join.abort_handle());
        cancelling.join().expect("it does not panic");
        let aborted = queue.0.lock().take();
        aborted.expect("the abort queues it").run();
        assert!(is_cancelled(&mut join));
        wait(&inner, Until::Empty);
        wait(&outer, Until::Empty);
    });
}

fn is_cancelled(join: &mut JoinHandle<()>) -> bool {
    let polled = Pin::new(join).poll(&mut Context::from_waker(Waker::noop()));
    matches!(polled, Poll::Ready(Err(error)) if error.is_cancelled())
}
