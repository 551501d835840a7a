//! Task-locals polled by hand: scopes in scopes, panics, drops.
#![allow(clippy::unwrap_used, reason = "a test's own functions may unwrap as the test does")]

use super::*;
use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Waker;

crate::task_local! {
    static NUMBER: u32;
    /// With a comment, and for the whole crate.
    pub(crate) static TEXT: String;
    static LAST: Box<u8>
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn outside_a_scope_there_is_no_value() {
    assert_eq!(NUMBER.try_get().unwrap_err().to_string(), "task-local value not set");
    assert_eq!(NUMBER.try_with(|_| 1), NUMBER.try_get().map(|_| 1));
    let panic = catch_unwind(|| NUMBER.get()).unwrap_err();
    assert!(panic.downcast_ref::<&str>().unwrap().starts_with("cannot access a task-local storage value"));
}

#[test]
fn scopes_nest_and_keys_are_apart() {
    NUMBER.sync_scope(1, || {
        TEXT.sync_scope("one".into(), || {
            LAST.sync_scope(Box::new(9), || {
                assert_eq!((NUMBER.get(), TEXT.get(), *LAST.get()), (1, "one".to_owned(), 9));
            });
            NUMBER.sync_scope(2, || assert_eq!((NUMBER.get(), TEXT.with(String::len)), (2, 3)));
            assert_eq!(NUMBER.get(), 1);
        });
        assert!(TEXT.try_get().is_err());
    });
    assert!(NUMBER.try_get().is_err());
}

#[test]
fn interleaved_futures_see_each_its_own() {
    let counts = |times: u32| {
        let mut left = times;
        poll_fn(move |_| {
            left -= 1;
            if left == 0 { Poll::Ready(NUMBER.get()) } else { Poll::Pending }
        })
    };
    let (mut a, mut b) = (pin!(NUMBER.scope(1, counts(2))), pin!(NUMBER.scope(2, counts(2))));
    assert!(poll(a.as_mut()).is_pending() && poll(b.as_mut()).is_pending());
    assert!(NUMBER.try_get().is_err(), "a future that is not polled shows its value to nobody");
    assert_eq!((poll(b.as_mut()), poll(a.as_mut())), (Poll::Ready(2), Poll::Ready(1)));
}

#[test]
fn a_panic_leaves_the_scope() {
    let scope = AssertUnwindSafe(|| NUMBER.sync_scope(1, || panic!("inside")));
    assert!(catch_unwind(scope).is_err());
    assert!(NUMBER.try_get().is_err());
    let mut future = pin!(NUMBER.scope(1, async { panic!("inside") }));
    assert!(catch_unwind(AssertUnwindSafe(|| poll(future.as_mut()))).is_err());
    assert!(NUMBER.try_get().is_err());
    assert_eq!(future.take_value(), Some(1));
}

/// Looks at the key when it drops.
struct Looks(Arc<Mutex<Vec<Option<u32>>>>);

impl Drop for Looks {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(NUMBER.try_get().ok());
    }
}

#[test]
fn the_value_is_seen_while_the_future_drops() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let held = |seen: &Arc<Mutex<_>>| {
        let looks = Looks(seen.clone());
        async move {
            let _looks = looks;
            pending::<()>().await;
        }
    };
    drop(NUMBER.scope(1, held(&seen)));
    let mut begun = Box::pin(NUMBER.scope(2, held(&seen)));
    assert!(poll(begun.as_mut()).is_pending());
    drop(begun);
    let mut emptied = Box::pin(NUMBER.scope(3, held(&seen)));
    assert_eq!(emptied.as_mut().take_value(), Some(3));
    drop(emptied);
    assert_eq!(*seen.lock().unwrap(), [Some(1), Some(2), None]);
}

#[test]
fn what_a_finished_future_holds_drops_in_its_scope() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let looks = Looks(seen.clone());
    let mut future = pin!(NUMBER.scope(
        4,
        poll_fn(move |_| {
            let _ = &looks;
            Poll::Ready(())
        })
    ));
    assert!(poll(future.as_mut()).is_ready());
    assert_eq!(*seen.lock().unwrap(), [Some(4)], "it is gone before the outer future is");
    assert_eq!(future.take_value(), Some(4));
}

#[test]
fn a_value_taken_in_between_is_missed_by_the_future() {
    let mut polls = 0;
    let mut future = pin!(NUMBER.scope(
        5,
        poll_fn(move |_| {
            polls += 1;
            if polls == 1 { Poll::Pending } else { Poll::Ready(NUMBER.try_get().ok()) }
        })
    ));
    assert!(poll(future.as_mut()).is_pending());
    assert_eq!(future.as_mut().take_value(), Some(5));
    assert_eq!(poll(future), Poll::Ready(None));
}

#[test]
fn a_scope_inside_with_is_refused() {
    let refused = |f: &dyn Fn()| {
        let panic = NUMBER.sync_scope(1, || NUMBER.with(|_| catch_unwind(AssertUnwindSafe(f)).unwrap_err()));
        panic.downcast_ref::<&str>().unwrap().starts_with("cannot enter a task-local scope while")
    };
    assert!(refused(&|| NUMBER.sync_scope(2, || ())));
    assert!(refused(&|| assert!(poll(pin!(NUMBER.scope(2, ready(())))).is_ready())));
    // A future that is dropped there is dropped all the same, only without its value.
    let seen = Arc::new(Mutex::new(Vec::new()));
    let looks = Looks(seen.clone());
    NUMBER.sync_scope(1, || NUMBER.with(|_| drop(NUMBER.scope(2, async move { drop(looks) }))));
    assert_eq!(*seen.lock().unwrap(), [Some(1)]);
}

#[test]
#[should_panic(expected = "`TaskLocalFuture` polled after completion")]
fn a_finished_scope_is_not_polled_again() {
    let mut future = pin!(NUMBER.scope(1, ready(())));
    assert!(poll(future.as_mut()).is_ready());
    let _ = poll(future);
}

#[test]
fn auto_traits_are_as_promised() {
    fn send<T: Send>(_: &T) {}
    fn sync<T: Sync>(_: &T) {}
    sync(&NUMBER);
    send(&NUMBER.scope(1, ready(())));
    fn error<T: std::error::Error + Send + Sync>() {}
    error::<AccessError>();
}
