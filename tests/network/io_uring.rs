//! What only a runtime that goes by io_uring does; the bodies that run on every network are in the other files.

use crate::both::pair;
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::TcpListener;
use wakeline::runtime::{Builder, IoDriver, Runtime};
use wakeline::time::timeout;
use wakeline::wait_queue::Events;

const LOOPBACK: &str = "127.0.0.1:0";

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().io_driver(IoDriver::IoUring).build().unwrap()
}

/// Runs where the kernel has an io_uring and the feature is there.
fn by_ring<F: Future<Output = ()>>(body: impl FnOnce() -> F) {
    let runtime = runtime();
    if runtime.handle().io_driver_refusal().is_none() {
        runtime.block_on(async { timeout(Duration::from_secs(30), body()).await.expect("hangs") });
    }
}

/// A byte's reader has the rest of what came in one piece received for it: the inbox is not empty.
async fn with_three_bytes_unread() -> (wakeline::net::TcpStream, wakeline::net::TcpStream) {
    let (mut a, mut b) = pair(LOOPBACK).await;
    assert!(timeout(Duration::from_millis(1), b.read(&mut [0])).await.is_err(), "nothing was sent");
    a.write_all(b"abcd").await.unwrap();
    let mut first = [0];
    b.read_exact(&mut first).await.unwrap();
    assert_eq!(first, *b"a");
    (a, b)
}

#[test]
fn a_runtime_says_by_what_it_goes_and_why() {
    let usual = Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!((usual.handle().io_driver(), usual.handle().io_driver_refusal()), (Some(IoDriver::Mio), None));
    let without = Builder::new_current_thread().io_driver(IoDriver::IoUring).build().unwrap();
    assert_eq!((without.handle().io_driver(), without.handle().io_driver_refusal()), (None, None));
    let asked = runtime();
    match asked.handle().io_driver_refusal() {
        None => assert_eq!(asked.handle().io_driver(), Some(IoDriver::IoUring)),
        Some(why) => {
            assert_eq!(asked.handle().io_driver(), Some(IoDriver::Mio));
            assert_eq!(why.contains("feature"), cfg!(not(feature = "io-uring")), "{why}");
        }
    }
    // Either way it works.
    asked.block_on(async {
        let (mut a, mut b) = pair(LOOPBACK).await;
        a.write_all(b"x").await.unwrap();
        b.read_exact(&mut [0]).await.unwrap();
    });
}

#[test]
fn a_stream_that_has_received_for_nobody_goes_back_to_std_with_what_comes_later() {
    by_ring(|| async {
        let (mut a, mut b) = pair(LOOPBACK).await;
        // The receive is in flight, and its reader has gone.
        assert!(timeout(Duration::from_millis(1), b.read(&mut [0])).await.is_err());
        let mut b = b.into_std().unwrap();
        a.write_all(b"later").await.unwrap();
        b.set_nonblocking(false).unwrap();
        let mut got = [0; 5];
        b.read_exact(&mut got).unwrap();
        assert_eq!(got, *b"later");
        b.write_all(b"back").unwrap();
        a.read_exact(&mut got[..4]).await.unwrap();
    });
}

#[test]
fn bytes_that_were_received_and_not_read_are_not_lost_in_silence() {
    by_ring(|| async {
        let (mut a, b) = with_three_bytes_unread().await;
        let error = b.into_std().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("3 bytes"), "{error}");
        // It was closed with bytes in it, which the peer hears of as ever.
        assert_eq!(a.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn who_reads_from_the_descriptor_gets_what_comes_next_or_an_error() {
    by_ring(|| async {
        let (mut a, mut b) = with_three_bytes_unread().await;
        let mut buf = [0; 8];
        let raw = |buf: &mut [u8]| {
            let socket = socket2::SockRef::from(&b.os_fd().unwrap()).try_clone().unwrap();
            (&socket).read(buf)
        };
        let error = b.async_io(Events::READABLE, || raw(&mut buf)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert_eq!((b.peek(&mut buf).await.unwrap(), b.try_read(&mut buf).unwrap()), (3, 3));
        assert_eq!(buf[..3], *b"bcd");
        a.write_all(b"efg").await.unwrap();
        let raw = |buf: &mut [u8]| {
            let socket = socket2::SockRef::from(&b.os_fd().unwrap()).try_clone().unwrap();
            (&socket).read(buf)
        };
        assert_eq!(b.async_io(Events::READABLE, || raw(&mut buf)).await.unwrap(), 3);
        assert_eq!(buf[..3], *b"efg");
        // And the usual way goes on.
        let later = wakeline::spawn(async move {
            wakeline::time::sleep(Duration::from_millis(1)).await;
            a.write_all(b"h").await.unwrap();
            a
        });
        b.read_exact(&mut buf[..1]).await.unwrap();
        assert_eq!(buf[0], b'h');
        drop(later.await.unwrap());
        assert_eq!((b.read(&mut buf).await.unwrap(), b.read(&mut buf).await.unwrap()), (0, 0));
    });
}

#[test]
fn who_does_not_read_is_not_received_for_without_end() {
    by_ring(|| async {
        let (mut a, mut b) = with_three_bytes_unread().await;
        let chunk: Vec<u8> = (0..=u8::MAX).cycle().take(64 << 10).collect();
        let mut sent = 0;
        while let Ok(n) = timeout(Duration::from_millis(50), a.write(&chunk[sent % 256..])).await {
            sent += n.unwrap();
            assert!(sent < 64 << 20, "nothing bounds what is received");
        }
        drop(wakeline::spawn(async move { a.close().await }));
        let mut got = Vec::new();
        b.read_to_end(&mut got).await.unwrap();
        assert_eq!((&got[..3], got.len() - 3), (&b"bcd"[..], sent));
        assert!(got[3..].iter().enumerate().all(|(at, &byte)| byte == at as u8), "out of order");
    });
}

#[test]
fn what_a_thread_has_asked_for_outlives_it() {
    let runtime = runtime();
    let (mut a, mut b) = runtime.block_on(pair(LOOPBACK));
    let runtime = std::thread::spawn(move || {
        let waits = async {
            assert!(timeout(Duration::from_millis(1), b.read(&mut [0])).await.is_err());
            b
        };
        let b = runtime.block_on(waits);
        (runtime, b)
    });
    let (runtime, mut b) = runtime.join().unwrap();
    runtime.block_on(async {
        let read = wakeline::spawn(async move {
            let mut got = [0; 5];
            b.read_exact(&mut got).await.unwrap();
            got
        });
        wakeline::task::yield_now().await;
        a.write_all(b"hello").await.unwrap();
        assert_eq!(timeout(Duration::from_secs(30), read).await.expect("hangs").unwrap(), *b"hello");
    });
}

#[test]
fn a_closed_listener_gives_its_port_back_and_a_dropped_stream_its_end() {
    by_ring(|| async {
        let listener = TcpListener::bind(LOOPBACK).await.unwrap();
        let addr = listener.local_addr().unwrap();
        assert!(timeout(Duration::from_millis(1), listener.accept()).await.is_err());
        drop(listener);
        // At once, though the ring has watched it.
        let _again = std::net::TcpListener::bind(addr).unwrap();
        let (mut a, mut b) = pair(LOOPBACK).await;
        assert!(timeout(Duration::from_millis(1), b.read(&mut [0])).await.is_err());
        drop(b);
        assert_eq!(a.read(&mut [0]).await.unwrap(), 0);
    });
}

#[test]
fn another_thread_goes_on_where_one_that_lives_has_driven() {
    let runtime = &runtime();
    let (tell, told) = std::sync::mpsc::channel();
    let (end, ends) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let first = scope.spawn(move || {
            let (mut a, mut b) = runtime.block_on(pair(LOOPBACK));
            let read = runtime.spawn(async move {
                let mut got = [0; 7];
                b.read_exact(&mut got).await.unwrap();
                got
            });
            runtime.block_on(async {
                wakeline::time::sleep(Duration::from_millis(1)).await;
                a.write_all(b"abc").await.unwrap();
            });
            tell.send((a, read)).unwrap();
            // It lives on, and so does what it has asked the kernel for.
            let (mut a, read): (wakeline::net::TcpStream, wakeline::task::JoinHandle<[u8; 7]>) = ends.recv().unwrap();
            runtime.block_on(async {
                a.write_all(b"g").await.unwrap();
                timeout(Duration::from_secs(30), read).await.expect("hangs").unwrap()
            })
        });
        let (mut a, read) = told.recv().unwrap();
        runtime.block_on(async {
            a.write_all(b"def").await.unwrap();
            wakeline::time::sleep(Duration::from_millis(1)).await;
        });
        end.send((a, read)).unwrap();
        assert_eq!(first.join().unwrap(), *b"abcdefg");
    });
}

#[test]
fn a_stream_that_is_received_for_can_be_dropped_and_given_away_by_any_thread() {
    by_ring(|| async {
        let (mut a, mut b) = pair(LOOPBACK).await;
        assert!(timeout(Duration::from_millis(1), b.read(&mut [0])).await.is_err());
        let dropped = std::thread::spawn(move || drop(b));
        assert_eq!(a.read(&mut [0]).await.unwrap(), 0);
        dropped.join().unwrap();
        let (mut a, mut b) = pair(LOOPBACK).await;
        assert!(timeout(Duration::from_millis(1), b.read(&mut [0])).await.is_err());
        let given = wakeline::spawn_blocking(move || b.into_std().unwrap());
        let mut b = given.await.unwrap();
        a.write_all(b"later").await.unwrap();
        b.set_nonblocking(false).unwrap();
        let mut got = [0; 5];
        b.read_exact(&mut got).unwrap();
        assert_eq!(got, *b"later");
    });
}

#[test]
fn the_last_source_is_closed_though_another_thread_drops_it() {
    by_ring(|| async {
        let listener = std::net::TcpListener::bind(LOOPBACK).unwrap();
        let mut a = wakeline::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut there, _) = listener.accept().unwrap();
        assert!(timeout(Duration::from_millis(1), a.read(&mut [0])).await.is_err());
        // No source is left that the driver would look after.
        let dropped = wakeline::spawn_blocking(move || {
            drop(a);
            there.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            there.read(&mut [0])
        });
        assert_eq!(dropped.await.unwrap().unwrap(), 0);
    });
}
