//! The word and the list under every interleaving that loom can make.

use super::*;
use crate::sync::block_on::block_on;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// Polls once with a waker that nobody hears.
pub(crate) fn look<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(std::task::Waker::noop()))
}

/// A model with at most so many preemptions: with all of them it takes minutes.
pub(crate) fn model(preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(f);
}

/// One permit, which guards a cell in which loom sees two accesses overlap.
struct Guarded {
    permits: Permits,
    cell: UnsafeCell<usize>,
}

impl Guarded {
    fn new() -> Arc<Guarded> {
        Arc::new(Guarded { permits: Permits::new(1), cell: UnsafeCell::new(0) })
    }

    fn add(&self) {
        block_on(self.permits.acquire(1)).unwrap();
        self.add_alone();
        self.permits.give(1);
    }

    fn add_alone(&self) {
        self.cell.with_mut(|count| {
            // SAFETY: whoever calls this has the permit; loom would report another access.
            unsafe { *count += 1 }
        });
    }
}

#[test]
fn loom_a_permit_passes_between_threads_and_what_it_guards_with_it() {
    model(3, || {
        let shared = Guarded::new();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || shared.add())
            })
            .collect();
        shared.add();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        block_on(shared.permits.acquire(1)).unwrap();
        // SAFETY: this thread has the permit.
        shared.cell.with(|count| assert_eq!(unsafe { *count }, 3));
    });
}

/// The way of the locks: all permits or none, with the guesses in place of looks.
#[test]
fn loom_all_permits_at_once() {
    model(3, || {
        let shared = Guarded::new();
        let add = |shared: &Guarded| {
            block_on(shared.permits.acquire_all(1)).unwrap();
            shared.add_alone();
            shared.permits.give_all(1);
        };
        let other = shared.clone();
        let thread = thread::spawn(move || (0..2).for_each(|_| add(&other)));
        add(&shared);
        thread.join().unwrap();
        assert!(shared.permits.try_take_all(1));
    });
}

/// A waiter is dropped while the permit is being handed to it: the one behind it gets the permit.
#[test]
fn loom_a_cancelled_waiter_passes_its_permit_on() {
    model(3, || {
        let shared = Guarded::new();
        shared.permits.try_take(1).unwrap();
        let mut first = Box::pin(shared.permits.acquire(1));
        assert!(look(first.as_mut()).is_pending());
        let other = shared.clone();
        let waiter = thread::spawn(move || other.add());
        let other = shared.clone();
        let holder = thread::spawn(move || {
            other.add_alone();
            other.permits.give(1);
        });
        drop(first);
        waiter.join().unwrap();
        holder.join().unwrap();
        assert_eq!(shared.permits.available(), 1);
        assert!(shared.permits.queue.lock().waiters.is_empty());
    });
}

/// Two permits come one by one, for one who wants both and one who came after it and wants one.
#[test]
fn loom_permits_are_saved_for_the_first() {
    model(2, || {
        let permits = Arc::new(Permits::new(0));
        let mut both = Box::pin(permits.acquire(2));
        assert!(look(both.as_mut()).is_pending());
        let givers: Vec<_> = (0..2)
            .map(|_| {
                let permits = permits.clone();
                thread::spawn(move || permits.give(1))
            })
            .collect();
        assert!(permits.try_take(1).is_err(), "nobody overtakes");
        block_on(both.as_mut()).unwrap();
        permits.give(1);
        block_on(permits.acquire(1)).unwrap();
        givers.into_iter().for_each(|giver| giver.join().unwrap());
        assert_eq!(permits.available(), 0);
    });
}

/// One who wants two gives up while permits come: they are there for the one behind it, or for all.
#[test]
fn loom_what_was_saved_for_one_that_gives_up_is_not_lost() {
    model(3, || {
        let permits = Arc::new(Permits::new(1));
        let mut both = Box::pin(permits.acquire(2));
        assert!(look(both.as_mut()).is_pending());
        let other = permits.clone();
        let one = thread::spawn(move || block_on(other.acquire(1)).unwrap());
        let other = permits.clone();
        let giver = thread::spawn(move || other.give(1));
        drop(both);
        one.join().unwrap();
        giver.join().unwrap();
        assert_eq!(permits.available(), 1);
    });
}

#[test]
fn loom_closing_ends_every_wait_and_loses_no_permit() {
    model(3, || {
        let permits = Arc::new(Permits::new(0));
        let other = permits.clone();
        let waiter = thread::spawn(move || block_on(other.acquire(1)).is_ok());
        let other = permits.clone();
        let giver = thread::spawn(move || other.give(1));
        permits.close();
        let got = waiter.join().unwrap();
        giver.join().unwrap();
        assert_eq!(permits.available(), usize::from(!got));
        assert!(permits.is_closed() && permits.queue.lock().waiters.is_empty());
    });
}
