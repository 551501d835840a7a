//! Streams and listeners over the loopback.

use super::*;
use crate::os::TcpListener;
use futures_lite::future::{block_on, poll_fn, poll_once, zip};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use wakeline_runtime::{spawn, time};

fn run<F: Future>(future: F) -> F::Output {
    wakeline_runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// A connection's two ends.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(loopback()).unwrap();
    let addr = listener.local_addr().unwrap();
    let (client, server) = zip(TcpStream::connect(addr), listener.accept()).await;
    let (server, peer) = server.unwrap();
    let client = client.unwrap();
    assert_eq!(client.local_addr().unwrap(), peer);
    assert_eq!(client.peer_addr().unwrap(), addr);
    (client, server)
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..n]).await?;
    }
}

/// An echo server on a port of its own, which takes `connections` connections.
fn serve(connections: usize) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).unwrap();
    let addr = listener.local_addr().unwrap();
    spawn(async move {
        for _ in 0..connections {
            let (stream, _) = listener.accept().await.unwrap();
            spawn(async move { echo(stream).await.unwrap() });
        }
    });
    addr
}

/// A test's own bytes: no two places alike for long.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(31) ^ (i >> 8)) as u8).collect()
}

#[test]
fn many_connections_echo_every_byte() {
    const CONNECTIONS: usize = 200;
    const ROUNDS: usize = 50;
    run(async {
        let addr = serve(CONNECTIONS);
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|id| {
                spawn(async move {
                    let mut stream = TcpStream::connect(addr).await.unwrap();
                    for round in 0..ROUNDS {
                        let sent = [(id * 31 + round) as u8; 64];
                        stream.write_all(&sent).await.unwrap();
                        let mut got = [0; 64];
                        stream.read_exact(&mut got).await.unwrap();
                        assert_eq!(sent, got);
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
    });
}

/// More than the kernel's buffers hold, in pieces of every size: short reads and short writes in both directions.
#[test]
fn a_bulk_transfer_survives_back_pressure() {
    const LEN: usize = 8 << 20;
    run(async {
        let (mut client, mut server) = pair().await;
        let sent = pattern(LEN);
        let send = async {
            let mut at = 0;
            let mut size = 1;
            while at < LEN {
                let end = LEN.min(at + size);
                client.write_all(&sent[at..end]).await.unwrap();
                at = end;
                size = size * 7 % 300_007;
            }
            client.close().await.unwrap();
        };
        let receive = async {
            let mut got = Vec::with_capacity(LEN);
            let mut buf = vec![0; 70_001];
            let mut size = 1;
            loop {
                let n = server.read(&mut buf[..size]).await.unwrap();
                if n == 0 {
                    return got;
                }
                got.extend_from_slice(&buf[..n]);
                size = (size * 5 + 1) % 70_001;
                size = size.max(1);
            }
        };
        let ((), got) = zip(send, receive).await;
        assert!(got == sent, "{} of {} bytes came, or others", got.len(), sent.len());
    });
}

/// The short read that takes the last bytes gives the readiness up; the end of the stream has been told before.
#[test]
fn the_end_behind_a_short_read_is_seen() {
    run(async {
        for _ in 0..200 {
            let (mut client, mut server) = pair().await;
            client.write_all(b"bye").await.unwrap();
            drop(client);
            let mut buf = [0; 64];
            assert_eq!(server.read(&mut buf).await.unwrap(), 3);
            let end = time::timeout(Duration::from_secs(10), server.read(&mut buf)).await;
            assert_eq!(end.expect("the end is not waited for").unwrap(), 0);
            assert_eq!(server.read(&mut buf).await.unwrap(), 0, "and stays");
        }
    });
}

#[test]
fn half_a_connection_can_be_closed() {
    run(async {
        let (mut client, mut server) = pair().await;
        client.shutdown(Shutdown::Write).unwrap();
        let mut buf = [0; 8];
        assert_eq!(server.read(&mut buf).await.unwrap(), 0);
        server.write_all(b"still").await.unwrap();
        assert_eq!(client.read(&mut buf).await.unwrap(), 5);
        assert_eq!(client.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

/// A direction that waits must not spin or stop because the other one is closed.
#[test]
fn a_writer_waits_for_room_though_the_peer_sends_no_more() {
    run(async {
        let (mut client, mut server) = pair().await;
        server.shutdown(Shutdown::Write).unwrap();
        let mut buf = vec![0; 1 << 16];
        assert_eq!(client.read(&mut buf).await.unwrap(), 0);
        let mut written = 0;
        while let Some(n) = poll_once(client.write(&buf)).await {
            written += n.unwrap();
        }
        assert!(poll_once(client.writable()).await.is_none());
        let ((), ()) = zip(
            async {
                client.writable().await.unwrap();
                client.close().await.unwrap();
            },
            async {
                let mut got = 0;
                while got < written {
                    got += server.read(&mut buf).await.unwrap();
                }
            },
        )
        .await;
    });
}

#[test]
fn a_refused_connection_says_so() {
    run(async {
        let addr = TcpListener::bind(loopback()).unwrap().local_addr().unwrap();
        let error = TcpStream::connect(addr).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn an_address_in_use_says_so() {
    run(async {
        let listener = TcpListener::bind(loopback()).unwrap();
        let error = TcpListener::bind(listener.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    });
}

#[test]
fn a_reset_is_an_error_for_who_waits() {
    run(async {
        let (client, mut server) = pair().await;
        let mut buf = [0; 8];
        let ((), read) = zip(
            async {
                let client = Socket::from(client.into_std().unwrap());
                client.set_linger(Some(Duration::ZERO)).unwrap();
            },
            server.read(&mut buf),
        )
        .await;
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn peek_and_try_read_and_readable_agree() {
    run(async {
        let (mut client, server) = pair().await;
        let mut buf = [0; 8];
        assert_eq!(server.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        client.write_all(b"abc").await.unwrap();
        assert_eq!(server.peek(&mut buf).await.unwrap(), 3);
        server.readable().await.unwrap();
        assert_eq!(server.try_read(&mut buf[..2]).unwrap(), 2);
        assert_eq!(server.peek(&mut buf).await.unwrap(), 1);
        assert_eq!(server.try_read(&mut buf).unwrap(), 1);
        assert_eq!(server.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(server.try_write(b"ok").unwrap(), 2);
        assert_eq!(client.read(&mut buf).await.unwrap(), 2);
    });
}

#[test]
fn vectored_transfers_keep_the_order() {
    run(async {
        let (mut client, mut server) = pair().await;
        let n = client.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cde")]).await.unwrap();
        assert_eq!(n, 5);
        let (mut first, mut second) = ([0; 3], [0; 3]);
        let n = server.read_vectored(&mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)]).await.unwrap();
        assert_eq!((n, &first, &second[..2]), (5, b"abc", &b"de"[..]));
    });
}

#[test]
fn options_are_the_kernels() {
    run(async {
        let (client, _server) = pair().await;
        for nodelay in [true, false] {
            client.set_nodelay(nodelay).unwrap();
            assert_eq!(client.nodelay().unwrap(), nodelay);
        }
        client.set_ttl(33).unwrap();
        assert_eq!(client.ttl().unwrap(), 33);
        assert!(client.take_error().unwrap().is_none());
    });
}

#[test]
fn a_dropped_accept_loses_no_connection() {
    run(async {
        let listener = TcpListener::bind(loopback()).unwrap();
        let addr = listener.local_addr().unwrap();
        assert!(poll_once(listener.accept()).await.is_none());
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(TcpStream::connect(addr).await.unwrap());
        }
        for _ in &clients {
            listener.accept().await.unwrap();
        }
        assert!(poll_once(listener.accept()).await.is_none());
    });
}

/// Several tasks on one listener, each with a slot of its own: nobody sleeps while there is a connection.
#[test]
fn acceptors_share_a_listener() {
    run(async {
        let listener = Arc::new(TcpListener::bind(loopback()).unwrap());
        let addr = listener.local_addr().unwrap();
        let acceptors: Vec<_> = (0..4)
            .map(|_| {
                let listener = listener.clone();
                spawn(async move {
                    let mut slot = WaitSlot::new();
                    let mut accepted = Vec::new();
                    for _ in 0..25 {
                        accepted.push(poll_fn(|cx| listener.poll_accept(cx, &mut slot)).await.unwrap());
                    }
                    listener.release(&mut slot);
                    accepted.len()
                })
            })
            .collect();
        let mut clients = Vec::new();
        for _ in 0..100 {
            clients.push(TcpStream::connect(addr).await.unwrap());
        }
        let mut accepted = 0;
        for acceptor in acceptors {
            accepted += acceptor.await.unwrap();
        }
        assert_eq!(accepted, 100);
    });
}

/// One task reads and another writes through `&self`, each with its slot.
#[test]
fn both_directions_of_a_shared_stream_wait_independently() {
    run(async {
        let addr = serve(1);
        let stream = Arc::new(TcpStream::connect(addr).await.unwrap());
        let sent = pattern(1 << 20);
        let writer = {
            let (stream, sent) = (stream.clone(), sent.clone());
            spawn(async move {
                let mut slot = WaitSlot::new();
                let mut at = 0;
                while at < sent.len() {
                    at += poll_fn(|cx| stream.poll_write(cx, &mut slot, &sent[at..])).await.unwrap();
                }
                stream.release(&mut slot);
                stream.shutdown(Shutdown::Write).unwrap();
            })
        };
        let mut slot = WaitSlot::new();
        let mut got = Vec::new();
        let mut buf = [0; 5000];
        loop {
            match poll_fn(|cx| stream.poll_read(cx, &mut slot, &mut buf)).await.unwrap() {
                0 => break,
                n => got.extend_from_slice(&buf[..n]),
            }
        }
        stream.release(&mut slot);
        writer.await.unwrap();
        assert!(got == sent);
    });
}

/// The tasks run on threads of their own, so events and operations race; a lost wake-up would hang.
#[test]
fn ping_pong_across_threads_loses_no_wake() {
    const PAIRS: usize = 4;
    const ROUNDS: usize = 2_000;
    run(async {
        let mut threads = Vec::new();
        for _ in 0..PAIRS {
            let (mut client, server) = pair().await;
            threads.push(std::thread::spawn(move || block_on(echo(server)).unwrap()));
            threads.push(std::thread::spawn(move || {
                block_on(async {
                    for round in 0..ROUNDS {
                        let sent = pattern(1 + round % 200);
                        client.write_all(&sent).await.unwrap();
                        let mut got = vec![0; sent.len()];
                        client.read_exact(&mut got).await.unwrap();
                        assert_eq!(got, sent);
                    }
                });
            }));
        }
        while threads.iter().any(|thread| !thread.is_finished()) {
            time::sleep(Duration::from_millis(1)).await;
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// With no descriptor left, `accept` fails, and the connection is there when one is free again.
///
/// In a process of its own: the limit is the process's.
#[cfg(target_os = "linux")]
#[test]
fn a_lack_of_descriptors_is_told_and_loses_no_connection() {
    const CHILD: &str = "WAKELINE_TEST_WITHOUT_DESCRIPTORS";
    if std::env::var_os(CHILD).is_none() {
        let test = "os::tcp::tests::a_lack_of_descriptors_is_told_and_loses_no_connection";
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--test-threads", "1"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    run(async {
        let listener = TcpListener::bind(loopback()).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut all = Vec::new();
        let error = loop {
            match std::fs::File::open("/dev/null") {
                Ok(file) => all.push(file),
                Err(error) => break error,
            }
        };
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        for _ in 0..3 {
            assert_eq!(listener.accept().await.unwrap_err().raw_os_error(), Some(libc::EMFILE));
        }
        drop(all);
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    });
}

#[test]
fn a_connection_is_lent_to_the_standard_library_and_back() {
    run(async {
        let (client, server) = pair().await;
        let mut client = TcpStream::from_std(client.into_std().unwrap()).unwrap();
        client.write_all(b"x").await.unwrap();
        assert_eq!(server.peek(&mut [0; 4]).await.unwrap(), 1);
    });
}

#[test]
fn the_other_family_works_as_well() {
    run(async {
        let Ok(listener) = TcpListener::bind((std::net::Ipv6Addr::LOCALHOST, 0).into()) else {
            // A machine without IPv6 has nothing to show here.
            return;
        };
        let addr = listener.local_addr().unwrap();
        let (client, server) = zip(TcpStream::connect(addr), listener.accept()).await;
        assert_eq!(client.unwrap().local_addr().unwrap(), server.unwrap().1);
    });
}
