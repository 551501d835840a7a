//! Datagrams over the loopback.

use super::*;
use futures_lite::future::{poll_fn, poll_once, zip};
use std::io::ErrorKind;
use std::sync::Arc;
use wakeline_runtime::spawn;

fn run<F: Future>(future: F) -> F::Output {
    wakeline_runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn bind() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

#[test]
fn datagrams_keep_their_borders_and_their_sender() {
    run(async {
        let ((a, a_addr), (b, b_addr)) = (bind(), bind());
        let mut buf = [0; 16];
        for datagram in [&b"one"[..], b"", b"three"] {
            assert_eq!(a.send_to(datagram, b_addr).await.unwrap(), datagram.len());
        }
        for datagram in [&b"one"[..], b"", b"three"] {
            assert_eq!(b.peek_from(&mut buf).await.unwrap(), (datagram.len(), a_addr));
            assert_eq!(b.recv_from(&mut buf).await.unwrap(), (datagram.len(), a_addr));
            assert_eq!(&buf[..datagram.len()], datagram);
        }
        assert_eq!(b.try_recv_from(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_long_datagram_is_cut() {
    run(async {
        let ((a, _), (b, b_addr)) = (bind(), bind());
        a.send_to(b"abcdef", b_addr).await.unwrap();
        let mut buf = [0; 3];
        assert_eq!(b.recv_from(&mut buf).await.unwrap().0, 3);
        assert!(poll_once(b.recv_from(&mut buf)).await.is_none(), "the rest is gone");
    });
}

#[test]
fn a_connected_pair_needs_no_addresses() {
    run(async {
        let ((a, a_addr), (b, b_addr)) = (bind(), bind());
        a.connect(b_addr).unwrap();
        b.connect(a_addr).unwrap();
        assert_eq!(a.peer_addr().unwrap(), b_addr);
        let mut buf = [0; 8];
        for round in 0..500_u32 {
            let (sent, got) = zip(a.send(&round.to_le_bytes()), b.recv(&mut buf)).await;
            assert_eq!((sent.unwrap(), got.unwrap()), (4, 4));
            assert_eq!(buf[..4], round.to_le_bytes());
        }
        assert_eq!(a.try_send(b"x").unwrap(), 1);
        b.readable().await.unwrap();
        assert_eq!(b.try_recv(&mut buf).unwrap(), 1);
    });
}

/// The error is told once; after it the socket waits as before, and does not spin.
#[test]
fn a_closed_port_is_an_error_that_passes() {
    run(async {
        let (a, _) = bind();
        let (b, b_addr) = bind();
        drop(b);
        a.connect(b_addr).unwrap();
        a.send(b"x").await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(a.recv(&mut buf).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert!(poll_once(a.recv(&mut buf)).await.is_none());
        a.writable().await.unwrap();
        a.send(b"x").await.unwrap();
    });
}

#[test]
fn a_dropped_receive_loses_no_datagram() {
    run(async {
        let ((a, _), (b, b_addr)) = (bind(), bind());
        let mut buf = [0; 8];
        assert!(poll_once(b.recv_from(&mut buf)).await.is_none());
        a.send_to(b"x", b_addr).await.unwrap();
        assert_eq!(b.recv_from(&mut buf).await.unwrap().0, 1);
    });
}

#[test]
fn many_tasks_receive_on_one_socket() {
    const TASKS: usize = 4;
    const EACH: usize = 50;
    run(async {
        let ((a, _), (b, b_addr)) = (bind(), bind());
        let b = Arc::new(b);
        let receivers: Vec<_> = (0..TASKS)
            .map(|_| {
                let b = b.clone();
                spawn(async move {
                    let mut slot = WaitSlot::new();
                    let mut buf = [0; 8];
                    for _ in 0..EACH {
                        poll_fn(|cx| b.poll_recv_from(cx, &mut slot, &mut buf)).await.unwrap();
                    }
                    b.release(&mut slot);
                })
            })
            .collect();
        for _ in 0..TASKS * EACH {
            a.send_to(b"x", b_addr).await.unwrap();
        }
        for receiver in receivers {
            receiver.await.unwrap();
        }
    });
}

#[test]
fn an_address_in_use_says_so() {
    run(async {
        let (_a, addr) = bind();
        assert_eq!(UdpSocket::bind(addr).unwrap_err().kind(), ErrorKind::AddrInUse);
    });
}
