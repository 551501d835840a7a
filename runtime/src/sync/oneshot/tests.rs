//! One value: sent, refused, waited for, given up; by tasks and threads.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use super::*;
use crate::builder::Builder;
use crate::sync::test_support::{Counter, now, spawn};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

#[test]
fn a_value_that_was_sent_first_is_received_at_once() {
    let (tx, mut rx) = channel();
    assert!(rx.is_empty());
    assert_eq!(tx.send(1), Ok(()));
    assert!(!rx.is_empty() && !rx.is_terminated());
    assert_eq!(now(&mut rx), Ok(1));
    assert!(rx.is_empty() && rx.is_terminated());
}

#[test]
fn who_waits_is_woken_once_by_the_value() {
    let (tx, rx) = channel();
    let mut rx = spawn(rx);
    rx.expect_pending();
    rx.expect_pending();
    assert_eq!(rx.wakers_held(), 1);
    tx.send("hello").unwrap();
    assert!(rx.was_woken());
    assert_eq!(rx.wakers_held(), 0);
    assert_eq!(rx.expect_ready(), Ok("hello"));
}

#[test]
fn the_waker_of_the_last_poll_is_the_one_that_is_woken() {
    let (tx, rx) = channel();
    let mut rx = spawn(rx);
    rx.expect_pending();
    assert!(rx.poll_as_other().is_pending());
    assert!(rx.poll_as_other().is_pending());
    tx.send(1).unwrap();
    assert!(rx.was_woken());
    assert_eq!(rx.expect_ready(), Ok(1));
}

#[test]
fn a_sender_that_is_dropped_is_an_error() {
    let (tx, rx) = channel::<()>();
    let mut rx = spawn(rx);
    rx.expect_pending();
    drop(tx);
    assert!(rx.was_woken());
    let error = rx.expect_ready().unwrap_err();
    assert_eq!(error.to_string(), "channel closed");
    let (tx, mut rx) = channel::<()>();
    drop(tx);
    assert!(rx.is_empty());
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    assert!(rx.is_terminated());
}

#[test]
fn a_receiver_that_is_dropped_gives_the_value_back() {
    let (tx, rx) = channel();
    assert!(!tx.is_closed());
    drop(rx);
    assert!(tx.is_closed());
    assert_eq!(tx.send(1), Err(1));
}

#[test]
fn try_recv_tells_empty_from_closed() {
    let (tx, mut rx) = channel();
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    assert!(!rx.is_terminated(), "nothing yet is no result");
    tx.send(1).unwrap();
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(format!("{}, {}", TryRecvError::Empty, TryRecvError::Closed), "channel empty, channel closed");
}

#[test]
fn close_refuses_what_comes_and_keeps_what_came() {
    let (tx, mut rx) = channel();
    rx.close();
    rx.close();
    assert!(tx.is_closed());
    assert_eq!(tx.send(1), Err(1));
    assert!(now(&mut rx).is_err());
    assert!(rx.is_terminated());
    rx.close();

    let (tx, mut rx) = channel();
    tx.send(1).unwrap();
    rx.close();
    assert!(!rx.is_empty());
    assert_eq!(now(&mut rx), Ok(1));

    let (tx, mut rx) = channel::<u8>();
    rx.close();
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    drop(tx);
}

#[test]
fn a_sender_dropped_after_the_close_is_no_surprise() {
    let (tx, mut rx) = channel::<u8>();
    rx.close();
    drop(tx);
    assert!(now(rx).is_err());
    let (tx, mut rx) = channel::<u8>();
    drop(tx);
    rx.close();
    assert!(now(rx).is_err());
}

#[test]
fn closed_waits_for_the_receiver_to_go_or_to_close() {
    for go in [true, false] {
        let (mut tx, mut rx) = channel::<()>();
        {
            let mut closed = spawn(tx.closed());
            closed.expect_pending();
            closed.expect_pending();
            assert!(closed.poll_as_other().is_pending());
            assert_eq!(closed.wakers_held(), 1);
            if go {
                drop(rx)
            } else {
                rx.close()
            }
            assert!(closed.was_woken());
            closed.expect_ready();
            assert_eq!(closed.wakers_held(), 0);
        }
        now(tx.closed());
        assert!(tx.is_closed());
    }
}

#[test]
fn a_closed_that_was_given_up_does_no_harm() {
    let (mut tx, rx) = channel();
    spawn(tx.closed()).expect_pending();
    let mut rx = spawn(rx);
    rx.expect_pending();
    tx.send(1).unwrap();
    assert!(rx.was_woken());
    assert_eq!(rx.expect_ready(), Ok(1));
}

#[test]
fn the_senders_waker_goes_with_the_sender() {
    let (tx, rx) = channel::<u8>();
    let mut closed = spawn({
        let mut tx = tx;
        poll_fn(move |cx| tx.poll_closed(cx))
    });
    closed.expect_pending();
    let wakes = closed.into_wakes();
    assert_eq!(std::sync::Arc::strong_count(&wakes), 1, "though the receiver is still there");
    drop(rx);
    assert_eq!(wakes.take(), 0);
}

#[test]
fn the_receivers_waker_goes_with_the_receiver() {
    let (tx, rx) = channel::<u8>();
    let mut rx = spawn(rx);
    rx.expect_pending();
    let wakes = rx.into_wakes();
    assert_eq!(std::sync::Arc::strong_count(&wakes), 1, "though the sender is still there");
    assert!(tx.send(1).is_err());
    assert_eq!(wakes.take(), 0);
}

#[test]
fn values_are_dropped_once_whoever_has_them() {
    let counter = Counter::default();
    let (tx, rx) = channel();
    tx.send(counter.make(0)).unwrap();
    assert_eq!(counter.alive(), 1);
    drop(rx);
    assert_eq!(counter.alive(), 0, "sent and never received");

    let (tx, rx) = channel();
    drop(rx);
    drop(tx.send(counter.make(1)));
    assert_eq!(counter.alive(), 0, "refused");

    let (tx, mut rx) = channel();
    tx.send(counter.make(2)).unwrap();
    let value = now(&mut rx).unwrap();
    drop(rx);
    assert_eq!((counter.alive(), value.1), (1, 2), "received");

    let (tx, rx) = channel();
    let mut rx = spawn(rx);
    rx.expect_pending();
    tx.send(counter.make(3)).unwrap();
    drop(rx);
    assert_eq!(counter.alive(), 1, "sent to who waited, and gave up");
    drop(value);
    assert_eq!(counter.alive(), 0);
}

/// Comes back to the channel that drops it.
struct Reentrant(Option<Receiver<Reentrant>>);

impl Drop for Reentrant {
    fn drop(&mut self) {
        if let Some(mut rx) = self.0.take() {
            assert!(rx.try_recv().is_err());
        }
    }
}

#[test]
fn a_value_may_use_another_channel_or_panic_while_it_is_dropped() {
    let (tx, rx) = channel();
    let (_other, inner) = channel();
    tx.send(Reentrant(Some(inner))).map_err(drop).unwrap();
    drop(rx);

    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a value that panics when it is dropped");
        }
    }
    let (tx, rx) = channel();
    tx.send(Bomb).map_err(std::mem::forget).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(rx))).is_err());
}

#[test]
#[should_panic(expected = "polled after it had given its result")]
fn polling_after_the_result_is_refused() {
    let (tx, mut rx) = channel();
    tx.send(1).unwrap();
    now(&mut rx).unwrap();
    let _ = now(&mut rx);
}

#[test]
fn the_halves_are_what_they_promise() {
    fn threads<T: Send + Sync + Unpin>() {}
    // `Cell` may be sent and not shared.
    threads::<Sender<Cell<u8>>>();
    threads::<Receiver<Cell<u8>>>();
    threads::<Receiver<std::marker::PhantomData<std::marker::PhantomPinned>>>();
    let (tx, rx) = channel::<u8>();
    assert!(format!("{tx:?} {rx:?}").starts_with("Sender { state: "));
}

#[test]
fn a_task_whose_budget_is_used_up_waits_for_its_next_turn() {
    let (tx, rx) = channel();
    tx.send(1).unwrap();
    let mut task = spawn(async move {
        for _ in 0..crate::coop::BUDGET {
            crate::coop::consume_budget().await;
        }
        rx.await
    });
    assert!(crate::coop::with_budget(|| task.poll()).is_pending());
    assert!(task.was_woken());
    assert_eq!(crate::coop::with_budget(|| task.poll()), Poll::Ready(Ok(1)));
}

#[test]
fn a_thread_waits_for_the_value_or_for_the_end() {
    let (tx, rx) = channel();
    let thread = thread::spawn(move || rx.blocking_recv());
    tx.send(1).unwrap();
    assert_eq!(thread.join().unwrap(), Ok(1));
    let (tx, rx) = channel::<u8>();
    let thread = thread::spawn(move || rx.blocking_recv());
    drop(tx);
    assert!(thread.join().unwrap().is_err());
}

#[test]
fn blocking_is_refused_where_tasks_are_driven() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let text = runtime.block_on(async {
        let (_tx, rx) = channel::<u8>();
        *catch_unwind(AssertUnwindSafe(|| rx.blocking_recv())).unwrap_err().downcast::<String>().unwrap()
    });
    assert!(text.contains("use `receiver.await`"), "{text}");
}

#[test]
fn answers_find_their_way_between_workers() {
    let runtime = Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let counter = std::sync::Arc::new(Counter::default());
    runtime.block_on(async {
        let tasks: Vec<_> = (0..4)
            .map(|number| {
                let counter = counter.clone();
                crate::spawn(async move {
                    for n in 0..1000 {
                        let (tx, rx) = channel();
                        let answer = counter.make(n);
                        crate::spawn(async move {
                            if n % 7 == number {
                                drop(tx);
                            } else {
                                let _ = tx.send(answer);
                            }
                        });
                        if n % 5 == number {
                            drop(rx);
                        } else {
                            assert_eq!(rx.await.ok().map(|answer| answer.1), (n % 7 != number).then_some(n));
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    drop(runtime);
    assert_eq!(counter.alive(), 0);
}
