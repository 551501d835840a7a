//! Sources in a runtime.

// Clippy knows tests by their attribute; these are what the tests here share.
#![allow(clippy::unwrap_used)]

use super::*;
use mio::net::UnixStream;
use std::future::Future;
use std::io::{Read, Write};
use std::pin::pin;
use std::task::Waker;

fn run<F: Future>(future: F) -> F::Output {
    crate::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

const BOTH: Events = Events::READABLE.union(Events::WRITABLE);

fn pair() -> (Source<UnixStream>, Source<UnixStream>) {
    let (a, b) = UnixStream::pair().unwrap();
    (Source::new(a, BOTH).unwrap(), Source::new(b, BOTH).unwrap())
}

async fn read(source: &Source<UnixStream>, buf: &mut [u8]) -> io::Result<usize> {
    source.io(Events::READABLE, |mut io| io.read(buf)).await
}

async fn write(source: &Source<UnixStream>, buf: &[u8]) -> io::Result<usize> {
    source.io(Events::WRITABLE, |mut io| io.write(buf)).await
}

#[test]
fn bytes_go_back_and_forth() {
    run(async {
        let (a, b) = pair();
        let mut buf = [0; 16];
        for round in 0..1000_u32 {
            write(&a, &round.to_le_bytes()).await.unwrap();
            assert_eq!(read(&b, &mut buf).await.unwrap(), 4);
            write(&b, &buf[..4]).await.unwrap();
            assert_eq!(read(&a, &mut buf).await.unwrap(), 4);
            assert_eq!(buf[..4], round.to_le_bytes());
        }
    });
}

#[test]
fn a_dropped_wait_takes_nothing_and_leaves_the_other_waiter() {
    run(async {
        let (a, b) = pair();
        let mut buf = [0; 16];
        {
            let mut given_up = pin!(read(&a, &mut buf));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(given_up.as_mut().poll(&mut cx).is_pending());
        }
        write(&b, b"x").await.unwrap();
        assert_eq!(read(&a, &mut buf).await.unwrap(), 1);
    });
}

#[test]
fn try_io_waits_for_nobody() {
    run(async {
        let (a, b) = pair();
        let mut buf = [0; 16];
        let mut try_read = || a.try_io(Events::READABLE, |mut io| io.read(&mut buf)).map_err(|e| e.kind());
        assert_eq!(try_read(), Err(io::ErrorKind::WouldBlock));
        write(&b, b"xy").await.unwrap();
        a.ready(Events::READABLE).await.unwrap();
        assert_eq!(try_read(), Ok(2));
        assert_eq!(try_read(), Err(io::ErrorKind::WouldBlock));
        drop(b);
        a.ready(Events::READABLE).await.unwrap();
        assert_eq!(try_read(), Ok(0));
    });
}

#[test]
fn presumed_readiness_is_tried_and_believed_only_until_it_blocks() {
    run(async {
        let (a, _b) = pair();
        a.presume_ready(Events::IN);
        let mut tries = 0;
        let mut slot = WaitSlot::new();
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..2 {
            let polled = a.poll_io(&mut cx, &mut slot, Events::READABLE, |mut io| {
                tries += 1;
                io.read(&mut [0; 8])
            });
            assert!(polled.is_pending());
        }
        assert_eq!(tries, 1);
        a.release(&mut slot);
    });
}

#[test]
fn a_source_leaves_the_reactor_alive() {
    run(async {
        let (a, mut b) = UnixStream::pair().unwrap();
        let source = Source::new(a, Events::READABLE).unwrap();
        let a = source.into_inner().unwrap();
        let source = Source::new(a, Events::READABLE).unwrap();
        b.write_all(b"!").unwrap();
        assert_eq!(read(&source, &mut [0; 8]).await.unwrap(), 1);
    });
}

#[test]
fn an_interest_needs_a_direction() {
    run(async {
        let (a, _b) = UnixStream::pair().unwrap();
        assert_eq!(Source::new(a, Events::ERR).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    });
}

#[test]
fn a_source_that_outlives_its_runtime_says_so() {
    let (source, _peer) = run(async { pair() });
    let mut slot = WaitSlot::new();
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Err(error)) = source.poll_ready(&mut cx, &mut slot, Events::READABLE) else {
        panic!("a source without a driver waits for ever");
    };
    assert!(error.to_string().contains("shutting down"));
}

#[test]
#[should_panic(expected = "there is no wakeline runtime here")]
fn outside_a_runtime_there_is_no_reactor() {
    let (a, _b) = UnixStream::pair().unwrap();
    let _ = Source::new(a, BOTH);
}

#[test]
#[should_panic(expected = "call `enable_io()`")]
fn a_runtime_without_io_says_what_to_do() {
    let runtime = crate::Builder::new_current_thread().enable_time().build().unwrap();
    let _here = runtime.enter();
    let (a, _b) = UnixStream::pair().unwrap();
    let _ = Source::new(a, BOTH);
}

/// Writers on threads of their own, readers that share one source with slots of their own: every byte is taken by
/// somebody, so nobody missed the event that mattered.
#[test]
fn waiters_on_many_threads_lose_no_wake() {
    const BYTES: usize = 20_000;
    run(async {
        let (a, b) = pair();
        let (a, b) = (std::sync::Arc::new(a), std::sync::Arc::new(b));
        let taken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let (done, all_taken) = (b.clone(), taken.clone());
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (a, taken) = (a.clone(), taken.clone());
                std::thread::spawn(move || {
                    futures_lite::future::block_on(async {
                        loop {
                            match read(&a, &mut [0; 7]).await.unwrap() {
                                0 => break,
                                n => taken.fetch_add(n, std::sync::atomic::Ordering::AcqRel),
                            };
                        }
                    });
                })
            })
            .collect();
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let b = b.clone();
                std::thread::spawn(move || {
                    futures_lite::future::block_on(async {
                        for _ in 0..BYTES / 2 {
                            assert_eq!(write(&b, b".").await.unwrap(), 1);
                        }
                    });
                })
            })
            .collect();
        while writers.iter().any(|writer| !writer.is_finished()) {
            crate::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        done.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
        while readers.iter().any(|reader| !reader.is_finished()) {
            crate::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert_eq!(all_taken.load(std::sync::atomic::Ordering::Acquire), BYTES);
    });
}
