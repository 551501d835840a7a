//! Threads in the same lines as tasks, and where they must not stand.

use crate::builder::Builder;
use crate::sync::mpsc::{channel, unbounded_channel};
use crate::sync::test_support::spawn;
use std::thread;

#[test]
fn threads_send_and_receive_through_a_narrow_channel() {
    let (tx, mut rx) = channel(1);
    let sender = thread::spawn(move || (0..1000).try_for_each(|n| tx.blocking_send(n)));
    for n in 0..1000 {
        assert_eq!(rx.blocking_recv(), Some(n));
    }
    assert_eq!(rx.blocking_recv(), None);
    sender.join().unwrap().unwrap();
}

#[test]
fn threads_take_many_at_once() {
    let (tx, mut rx) = unbounded_channel();
    let sender = thread::spawn(move || (0..1000).try_for_each(|n| tx.send(n)));
    let mut buffer = Vec::new();
    while rx.blocking_recv_many(&mut buffer, 64) > 0 {}
    assert_eq!(buffer, (0..1000).collect::<Vec<_>>());
    sender.join().unwrap().unwrap();
    let (tx, mut rx) = channel(4);
    tx.try_send(1).unwrap();
    assert_eq!(rx.blocking_recv_many(&mut buffer, 64), 1);
    drop(tx);
    assert_eq!(rx.blocking_recv(), None);
}

#[test]
fn a_thread_that_waits_hears_of_the_close() {
    let (tx, mut rx) = channel(1);
    tx.try_send(0).unwrap();
    let sender = thread::spawn(move || tx.blocking_send(1));
    // Whether the thread waits by then or not.
    rx.close();
    assert!(sender.join().unwrap().is_err());
}

#[test]
fn a_thread_may_block_although_a_task_before_used_up_its_budget() {
    let (tx, mut rx) = unbounded_channel();
    (0..300).try_for_each(|n| tx.send(n)).unwrap();
    crate::coop::with_budget(|| {
        for n in 0..300 {
            assert_eq!(rx.blocking_recv(), Some(n));
        }
    });
}

#[test]
fn blocking_is_refused_where_tasks_are_driven() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let (tx, mut rx) = channel::<u8>(1);
    let panicked = |call: &mut dyn FnMut() -> bool| {
        let result = runtime.block_on(async { std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)) });
        *result.unwrap_err().downcast::<String>().unwrap()
    };
    assert!(panicked(&mut || tx.blocking_send(1).is_ok()).contains("use `send(..).await`"));
    assert!(panicked(&mut || rx.blocking_recv().is_some()).contains("use `recv().await`"));
    assert!(panicked(&mut || rx.blocking_recv_many(&mut Vec::new(), 1) > 0).contains("use `recv_many(..).await`"));
    let (_tx, mut rx) = unbounded_channel::<u8>();
    assert!(panicked(&mut || rx.blocking_recv().is_some()).contains("`spawn_blocking`"));
    assert_eq!(tx.capacity(), 1, "what was refused sent nothing");
}

#[test]
fn blocking_is_allowed_on_the_threads_of_the_pool() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let received = runtime.block_on(async {
        let (tx, mut rx) = channel(1);
        let receiver = crate::spawn_blocking(move || std::iter::from_fn(|| rx.blocking_recv()).sum::<u32>());
        for n in 0..100 {
            tx.send(n).await.unwrap();
        }
        drop(tx);
        receiver.await.unwrap()
    });
    assert_eq!(received, 4950);
}

#[test]
fn a_thread_stands_in_the_line_with_tasks() {
    let (tx, mut rx) = channel(1);
    tx.try_send(0).unwrap();
    let mut first = spawn(tx.send(1));
    first.expect_pending();
    let other = tx.clone();
    let thread = thread::spawn(move || other.blocking_send(2));
    assert_eq!(rx.blocking_recv(), Some(0));
    assert!(first.was_woken());
    first.expect_ready().unwrap();
    assert_eq!((rx.blocking_recv(), rx.blocking_recv()), (Some(1), Some(2)));
    thread.join().unwrap().unwrap();
}
