//! Readiness and calls that do not wait: one body on both networks.

use crate::both::{on_both_networks, pair};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::{TcpListener, TcpStream, UdpSocket, blocking};
use wakeline::time::timeout;
use wakeline::wait_queue::Events;

const BOTH: Events = Events::READABLE.union(Events::WRITABLE);

#[test]
fn a_stream_tells_what_it_is_ready_for_and_tries_do_not_wait() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (mut a, b) = pair(bind).await;
            assert!(b.ready(Events::WRITABLE).await.unwrap().intersects(Events::OUT));
            let mut buf = [0; 8];
            // A new stream may be presumed readable, until a try finds that it is not.
            assert_eq!(b.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
            assert!(timeout(Duration::from_millis(2), b.ready(Events::READABLE)).await.is_err());
            let not_ready = b.try_io(Events::READABLE, || -> std::io::Result<()> { unreachable!("nothing has come") });
            assert_eq!(not_ready.unwrap_err().kind(), ErrorKind::WouldBlock);

            a.write_all(b"abcdef").await.unwrap();
            b.readable().await.unwrap();
            assert!(b.ready(BOTH).await.unwrap().contains(Events::IN | Events::OUT));
            assert_eq!(b.try_read(&mut buf[..2]).unwrap(), 2);
            let (mut one, mut other) = ([0; 4], [0; 4]);
            let n = b.try_read_vectored(&mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut other)]).unwrap();
            assert_eq!((n, &buf[..2], &one), (4, &b"ab"[..], b"cdef"));
            assert_eq!(b.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);

            assert_eq!(b.try_write(b"x").unwrap(), 1);
            let n = b.try_write_vectored(&[IoSlice::new(b"yz"), IoSlice::new(b"")]).unwrap();
            assert_eq!(n, 2);
            let mut back = [0; 3];
            a.read_exact(&mut back).await.unwrap();
            assert_eq!(&back, b"xyz");
            a.write_all(b"q").await.unwrap();
            assert_eq!(b.async_io(Events::READABLE, || b.try_read(&mut buf)).await.unwrap(), 1);
            drop(a);
            assert!(b.ready(Events::READABLE).await.unwrap().intersects(Events::RDHUP | Events::IN));
            assert_eq!(b.try_read(&mut buf).unwrap(), 0);
        })
    });
}

#[test]
fn several_buffers_are_moved_by_one_call() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (mut a, mut b) = pair(bind).await;
            let body = vec![b'x'; 3000];
            let bufs = [IoSlice::new(b"head"), IoSlice::new(b""), IoSlice::new(&body)];
            assert_eq!(a.write_vectored(&bufs).await.unwrap(), 3004);
            assert_eq!(a.try_write_vectored(&bufs).unwrap(), 3004);
            while b.peek(&mut [0; 6008]).await.unwrap() < 6008 {}
            let (mut one, mut none, mut other) = ([0; 5], [], [0; 3500]);
            let mut room = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut none), IoSliceMut::new(&mut other)];
            assert_eq!(b.read_vectored(&mut room).await.unwrap(), 3505);
            assert_eq!((&one, &other[2999..3003]), (b"headx", &b"head"[..]));
            let mut room = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut other)];
            assert_eq!(b.try_read_vectored(&mut room).unwrap(), 6008 - 3505);
            assert_eq!(b.try_read_vectored(&mut room).unwrap_err().kind(), ErrorKind::WouldBlock);

            // What there is no room for is not taken, and the rest of a buffer goes with the next call.
            let much = vec![7; 128 << 10];
            let bufs = [IoSlice::new(&much[..100]), IoSlice::new(&much), IoSlice::new(&much)];
            let mut sent = 0;
            while let Ok(n) = timeout(Duration::from_millis(50), a.write_vectored(&bufs)).await {
                sent += n.unwrap();
            }
            assert_eq!(a.try_write_vectored(&bufs).unwrap_err().kind(), ErrorKind::WouldBlock);
            drop(a);
            let mut got = Vec::new();
            b.read_to_end(&mut got).await.unwrap();
            assert_eq!(got.len(), sent);
        })
    });
}

#[test]
fn several_buffers_are_moved_by_one_call_of_a_thread() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let listener = blocking::TcpListener::bind(bind).unwrap();
            let addr = listener.local_addr().unwrap();
            let server = wakeline::spawn_blocking(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let (mut one, mut other) = ([0; 4], [0; 100]);
                let n = stream.read_vectored(&mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut other)]).unwrap();
                assert_eq!((n, &one, &other[..4]), (8, b"head", &b"body"[..]));
                assert_eq!(stream.read_vectored(&mut [IoSliceMut::new(&mut one)]).unwrap(), 0);
            });
            let client = wakeline::spawn_blocking(move || {
                let mut stream = blocking::TcpStream::connect(addr).unwrap();
                assert_eq!(stream.write_vectored(&[IoSlice::new(b"head"), IoSlice::new(b"body")]).unwrap(), 8);
                stream.shutdown(Shutdown::Write).unwrap();
                let error = stream.write_vectored(&[IoSlice::new(b"x")]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            });
            client.await.unwrap();
            server.await.unwrap();
        })
    });
}

#[test]
fn a_stream_without_room_is_not_writable_until_there_is() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (a, mut b) = pair(bind).await;
            let chunk = vec![7; 64 << 10];
            let mut sent = 0;
            loop {
                // What is on its way makes room when it has arrived; when no more does, this waits in vain.
                if timeout(Duration::from_millis(100), a.writable()).await.is_err() {
                    break;
                }
                match a.try_write(&chunk) {
                    Ok(n) => sent += n,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
                }
                assert!(sent < 256 << 20, "nothing bounds the buffers");
            }
            // Writable means that a good part is free; less may be.
            let full = loop {
                match a.try_write(&chunk) {
                    Ok(n) => sent += n,
                    Err(error) => break error,
                }
            };
            assert_eq!(full.kind(), ErrorKind::WouldBlock, "{full}");
            let writer = wakeline::spawn(async move {
                a.writable().await.unwrap();
            });
            let mut got = Vec::new();
            b.read_to_end(&mut got).await.unwrap();
            writer.await.unwrap();
            assert_eq!(got.len(), sent);
        })
    });
}

#[test]
fn a_datagram_socket_tells_what_it_is_ready_for_and_tries_do_not_wait() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let server = UdpSocket::bind(bind).await.unwrap();
            let client = UdpSocket::bind(bind).await.unwrap();
            let (to, from) = (server.local_addr().unwrap(), client.local_addr().unwrap());
            client.writable().await.unwrap();
            let mut buf = [0; 8];
            assert_eq!(server.try_recv_from(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
            assert!(timeout(Duration::from_millis(2), server.readable()).await.is_err());
            assert_eq!(client.try_send_to(b"one", to).unwrap(), 3);
            server.readable().await.unwrap();
            assert!(server.ready(BOTH).await.unwrap().contains(Events::IN | Events::OUT));
            assert_eq!(server.try_io(Events::READABLE, || server.try_recv_from(&mut buf)).unwrap(), (3, from));
            assert_eq!(server.try_recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
            client.connect(to).await.unwrap();
            assert_eq!(client.try_send(b"four").unwrap(), 4);
            // Who waits for readiness takes nothing from who waits for a datagram.
            let (ready, received) = wakeline::io::try_zip(server.readable(), server.recv(&mut buf)).await.unwrap();
            assert_eq!(((), 4), (ready, received));
        })
    });
}

#[wakeline::test]
async fn only_the_systems_sockets_go_to_the_standard_library() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    assert!(listener.os_fd().is_some());
    let listener = TcpListener::from_std(listener.into_std().unwrap()).unwrap();
    let client = TcpStream::connect(addr).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let mut client: TcpStream = client.into_std().unwrap().try_into().unwrap();
    client.write_all(b"x").await.unwrap();
    server.read_exact(&mut [0]).await.unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    let socket = UdpSocket::from_std(socket.into_std().unwrap()).unwrap();
    assert_eq!(socket.local_addr().unwrap(), addr);

    let host = wakeline::net::emulated::Lan::new().host("host").build().unwrap();
    let socket = host.run(UdpSocket::bind("127.0.0.1:0")).await.unwrap();
    assert!(socket.os_fd().is_none());
    assert_eq!(socket.into_std().unwrap_err().kind(), ErrorKind::Unsupported);
}
