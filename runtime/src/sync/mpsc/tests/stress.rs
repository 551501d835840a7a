//! Many producers on several threads and workers: nothing is lost, doubled or out of order, and everybody ends.

use crate::builder::Builder;
use crate::sync::mpsc::{channel, unbounded_channel};
use crate::sync::test_support::Counter;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const PRODUCERS: usize = 8;
const EACH: usize = 2000;

/// What came, by producer; each producer's values must come in order.
struct Tally([usize; PRODUCERS]);

impl Tally {
    fn count(&mut self, (producer, value): (usize, usize)) {
        assert_eq!(value, self.0[producer], "of producer {producer}");
        self.0[producer] += 1;
    }
}

#[test]
fn eight_producers_fill_narrow_and_wide_channels() {
    let runtime = Builder::new_multi_thread().worker_threads(2).build().unwrap();
    for bound in [1, 3, 64, 10_000] {
        let tally = runtime.block_on(async {
            let (tx, mut rx) = channel(bound);
            for producer in 0..PRODUCERS {
                let tx = tx.clone();
                crate::spawn(async move {
                    for value in 0..EACH {
                        tx.send((producer, value)).await.unwrap();
                    }
                });
            }
            drop(tx);
            let mut tally = Tally([0; PRODUCERS]);
            while let Some(value) = rx.recv().await {
                tally.count(value);
            }
            assert_eq!(rx.capacity(), bound);
            tally
        });
        assert_eq!(tally.0, [EACH; PRODUCERS], "bound {bound}");
    }
}

#[test]
fn threads_tasks_and_permits_share_a_channel() {
    let runtime = Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let (tx, mut rx) = channel(16);
    let mut threads = Vec::new();
    for producer in 0..PRODUCERS {
        let tx = tx.clone();
        match producer % 4 {
            0 => threads.push(thread::spawn(move || {
                (0..EACH).for_each(|value| tx.blocking_send((producer, value)).unwrap());
            })),
            1 => drop(runtime.spawn(async move {
                for value in (0..EACH).step_by(4) {
                    let permits = tx.reserve_many(4).await.unwrap();
                    permits.zip(value..).for_each(|(permit, value)| permit.send((producer, value)));
                }
            })),
            2 => drop(runtime.spawn(async move {
                let mut tx = tx;
                for value in 0..EACH {
                    tx = tx.reserve_owned().await.unwrap().send((producer, value));
                }
            })),
            _ => drop(runtime.spawn(async move {
                for value in 0..EACH {
                    drop(tx.reserve().await.unwrap());
                    tx.send((producer, value)).await.unwrap();
                }
            })),
        }
    }
    drop(tx);
    let mut tally = Tally([0; PRODUCERS]);
    let mut buffer = Vec::new();
    while rx.blocking_recv_many(&mut buffer, 7) > 0 {
        buffer.drain(..).for_each(|value| tally.count(value));
    }
    assert_eq!(tally.0, [EACH; PRODUCERS]);
    assert_eq!(rx.capacity(), 16);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn producers_of_an_unbounded_channel_on_threads() {
    let (tx, mut rx) = unbounded_channel();
    let threads: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let tx = tx.clone();
            thread::spawn(move || (0..EACH).for_each(|value| tx.send((producer, value)).unwrap()))
        })
        .collect();
    drop(tx);
    let mut tally = Tally([0; PRODUCERS]);
    while let Some(value) = rx.blocking_recv() {
        tally.count(value);
    }
    assert_eq!(tally.0, [EACH; PRODUCERS]);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Senders give up at any moment, and the receiver leaves in the middle: every value is dropped once, and no room is lost.
#[test]
fn senders_that_give_up_and_a_receiver_that_leaves() {
    let runtime = Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let counter = Arc::new(Counter::default());
    let sent = Arc::new(AtomicUsize::new(0));
    let (tx, mut rx) = channel(2);
    let tasks: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let (tx, counter, sent) = (tx.clone(), counter.clone(), sent.clone());
            runtime.spawn(async move {
                for n in 0.. {
                    let mut send = Box::pin(tx.send(counter.make(n)));
                    // One poll, and for some of them another; then it is dropped wherever it stands.
                    let mut result = std::future::poll_fn(|cx| std::task::Poll::Ready(send.as_mut().poll(cx))).await;
                    if result.is_pending() && n % 3 != producer % 3 {
                        crate::yield_now().await;
                        result = std::future::poll_fn(|cx| std::task::Poll::Ready(send.as_mut().poll(cx))).await;
                    }
                    match result {
                        std::task::Poll::Ready(Ok(())) => drop(sent.fetch_add(1, Ordering::SeqCst)),
                        std::task::Poll::Ready(Err(_)) => return,
                        std::task::Poll::Pending => crate::yield_now().await,
                    }
                }
            })
        })
        .collect();
    for _ in 0..2000 {
        drop(rx.blocking_recv().unwrap());
    }
    drop(rx);
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert!(sent.load(Ordering::SeqCst) >= 2000);
    assert_eq!((counter.alive(), tx.capacity()), (0, 2));
}
