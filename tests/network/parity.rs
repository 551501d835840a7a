//! The same body on the operating system's network and on an emulated host: same results, same errors.

use crate::both::{on_both_networks, pair};
use futures_core::Stream;
use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::{TcpListener, TcpStream, UdpSocket};
use wakeline::time::timeout;

#[test]
fn bytes_arrive_in_order_in_both_directions() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (mut a, mut b) = pair(bind).await;
            let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
            let expected = sent.clone();
            let echo = wakeline::spawn(async move {
                let (mut reader, mut writer) = b.split();
                wakeline::io::copy(&mut reader, &mut writer).await.unwrap();
                writer.close().await.unwrap();
            });
            let (mut reader, mut writer) = a.split();
            let write = async {
                writer.write_all(&sent).await?;
                writer.close().await
            };
            let mut back = Vec::new();
            let (_, _) = wakeline::io::try_zip(write, reader.read_to_end(&mut back)).await.unwrap();
            assert!(back == expected, "what came back is not what was sent");
            echo.await.unwrap();
        })
    });
}

#[test]
fn a_half_closed_connection_still_carries_the_other_direction() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (mut a, mut b) = pair(bind).await;
            a.write_all(b"question").await.unwrap();
            a.shutdown(Shutdown::Write).unwrap();
            let mut question = String::new();
            b.read_to_string(&mut question).await.unwrap();
            assert_eq!(question, "question");
            b.write_all(b"answer").await.unwrap();
            drop(b);
            let mut answer = String::new();
            a.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, "answer");
        })
    });
}

#[test]
fn nobody_listening_is_connection_refused() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let listener = TcpListener::bind(bind).await.unwrap();
            let addr = listener.local_addr().unwrap();
            drop(listener);
            let error = TcpStream::connect(addr).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
        })
    });
}

#[test]
fn an_address_in_use_is_refused() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let listener = TcpListener::bind(bind).await.unwrap();
            let error = TcpListener::bind(listener.local_addr().unwrap()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
            let socket = UdpSocket::bind(bind).await.unwrap();
            let error = UdpSocket::bind(socket.local_addr().unwrap()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
        })
    });
}

#[test]
fn closing_with_unread_data_resets_the_peer() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (mut a, b) = pair(bind).await;
            a.write_all(b"never read").await.unwrap();
            b.readable().await.unwrap();
            drop(b);
            let error = a.read(&mut [0; 16]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        })
    });
}

#[test]
fn a_writer_waits_for_room_and_goes_on() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (mut a, mut b) = pair(bind).await;
            let chunk = vec![7; 64 << 10];
            let mut sent = 0;
            // Fill both buffers: at some point a write must wait.
            while let Ok(n) = timeout(Duration::from_millis(100), a.write(&chunk)).await {
                sent += n.unwrap();
                assert!(sent < 256 << 20, "nothing bounds the buffers");
            }
            let writer = wakeline::spawn(async move {
                a.write_all(&vec![8; 1 << 20]).await.unwrap();
            });
            let mut got = Vec::new();
            b.read_to_end(&mut got).await.unwrap();
            writer.await.unwrap();
            assert_eq!(got.len(), sent + (1 << 20));
            assert!(got[..sent].iter().all(|&byte| byte == 7) && got[sent..].iter().all(|&byte| byte == 8));
        })
    });
}

#[test]
fn dropping_a_call_loses_nothing() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let listener = TcpListener::bind(bind).await.unwrap();
            let addr = listener.local_addr().unwrap();
            assert!(timeout(Duration::from_millis(5), listener.accept()).await.is_err());
            let mut a = TcpStream::connect(addr).await.unwrap();
            let (mut b, _) = listener.accept().await.unwrap();
            let mut byte = [0];
            assert!(timeout(Duration::from_millis(5), b.read(&mut byte)).await.is_err());
            a.write_all(b"xy").await.unwrap();
            assert_eq!(b.peek(&mut [0; 8]).await.unwrap(), 2);
            b.read_exact(&mut byte).await.unwrap();
            assert_eq!(&byte, b"x");
            b.read_exact(&mut byte).await.unwrap();
            assert_eq!(&byte, b"y");
        })
    });
}

#[test]
fn every_waiting_accept_gets_a_connection_and_each_connection_one_accept() {
    on_both_networks(|bind| {
        Box::pin(async move {
            const N: usize = 32;
            let listener = std::sync::Arc::new(TcpListener::bind(bind).await.unwrap());
            let addr = listener.local_addr().unwrap();
            let accepting: Vec<_> = (0..N)
                .map(|_| {
                    let listener = listener.clone();
                    wakeline::spawn(async move { listener.accept().await.unwrap().1 })
                })
                .collect();
            let mut clients = Vec::new();
            for _ in 0..N {
                clients.push(TcpStream::connect(addr).await.unwrap());
            }
            let mut accepted: Vec<SocketAddr> = Vec::new();
            for task in accepting {
                accepted.push(task.await.unwrap());
            }
            let mut connected: Vec<SocketAddr> = clients.iter().map(|c| c.local_addr().unwrap()).collect();
            accepted.sort();
            connected.sort();
            assert_eq!(accepted, connected);
        })
    });
}

#[test]
fn incoming_connections_are_a_stream() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let listener = TcpListener::bind(bind).await.unwrap();
            let addr = listener.local_addr().unwrap();
            let client = wakeline::spawn(async move {
                for n in 0..10_u8 {
                    TcpStream::connect(addr).await.unwrap().write_all(&[n]).await.unwrap();
                }
            });
            let mut incoming = listener.incoming();
            let mut seen = Vec::new();
            for _ in 0..10 {
                let mut stream = std::future::poll_fn(|cx| std::pin::Pin::new(&mut incoming).poll_next(cx))
                    .await
                    .expect("listeners do not end")
                    .unwrap();
                let mut byte = [0];
                stream.read_exact(&mut byte).await.unwrap();
                seen.push(byte[0]);
            }
            // A host with several CPUs has an accept queue on each, and no order between them.
            seen.sort_unstable();
            assert_eq!(seen, Vec::from_iter(0..10));
            client.await.unwrap();
        })
    });
}

#[test]
fn owned_halves_move_apart_and_the_write_half_sends_the_end() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (a, b) = pair(bind).await;
            let (mut read, mut write) = a.into_split();
            let reader = wakeline::spawn(async move {
                let mut text = String::new();
                read.read_to_string(&mut text).await.unwrap();
                text
            });
            let (mut peer_read, mut peer_write) = b.into_split();
            write.write_all(b"ping").await.unwrap();
            drop(write);
            let mut text = String::new();
            peer_read.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, "ping");
            peer_write.write_all(b"pong").await.unwrap();
            drop(peer_write);
            assert_eq!(reader.await.unwrap(), "pong");
            let other = pair(bind).await.0.into_split();
            let error = peer_read.reunite(other.1).unwrap_err();
            assert!(error.to_string().contains("not of the same stream"));
            let (read, write) = pair(bind).await.0.into_split();
            read.reunite(write).unwrap().local_addr().unwrap();
        })
    });
}

#[test]
fn datagrams_keep_their_boundaries_and_their_senders() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let server = UdpSocket::bind(bind).await.unwrap();
            let client = UdpSocket::bind(bind).await.unwrap();
            let (server_addr, client_addr) = (server.local_addr().unwrap(), client.local_addr().unwrap());
            client.send_to(b"one", server_addr).await.unwrap();
            client.send_to(b"", server_addr).await.unwrap();
            client.send_to(b"three", server_addr).await.unwrap();
            let mut buf = [0; 16];
            assert_eq!(server.peek_from(&mut buf).await.unwrap(), (3, client_addr));
            assert_eq!(server.recv_from(&mut buf).await.unwrap(), (3, client_addr));
            assert_eq!(server.recv_from(&mut buf).await.unwrap(), (0, client_addr));
            let mut short = [0; 2];
            assert_eq!(server.recv_from(&mut short).await.unwrap(), (2, client_addr));
            assert_eq!(&short, b"th");
            client.connect(server_addr).await.unwrap();
            client.send(b"hello").await.unwrap();
            assert_eq!(server.recv_from(&mut buf).await.unwrap(), (5, client_addr));
            server.send_to(b"back", client_addr).await.unwrap();
            assert_eq!(client.recv(&mut buf).await.unwrap(), 4);
            assert!(timeout(Duration::from_millis(5), client.recv(&mut buf)).await.is_err());
        })
    });
}

#[test]
fn datagrams_of_any_size_arrive_and_larger_ones_are_refused() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let server = UdpSocket::bind(bind).await.unwrap();
            let client = UdpSocket::bind(bind).await.unwrap();
            let to = server.local_addr().unwrap();
            let most = if to.is_ipv4() { 65_507 } else { 65_527 };
            let mut buf = vec![0; 70_000];
            for len in [1, 1472, 1473, 9000, most] {
                let sent: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
                assert_eq!(client.send_to(&sent, to).await.unwrap(), len);
                let (received, _) = server.recv_from(&mut buf).await.unwrap();
                assert!(buf[..received] == sent[..], "{len} bytes");
            }
            let error = client.send_to(&buf[..most + 1], to).await.unwrap_err();
            // EMSGSIZE
            assert_eq!(error.raw_os_error(), Some(90), "{error}");
            let error = client.send_to(b"x", (to.ip(), 0)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        })
    });
}

#[test]
fn options_of_datagrams_are_kept_and_groups_are_joined_once() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let socket = UdpSocket::bind(bind).await.unwrap();
            assert_eq!((socket.broadcast().unwrap(), socket.ttl().unwrap(), socket.tos_v4().unwrap()), (false, 64, 0));
            assert_eq!((socket.multicast_ttl_v4().unwrap(), socket.multicast_loop_v4().unwrap()), (1, true));
            socket.set_broadcast(true).unwrap();
            socket.set_ttl(9).unwrap();
            socket.set_tos_v4(0xb8).unwrap();
            socket.set_multicast_ttl_v4(3).unwrap();
            socket.set_multicast_loop_v4(false).unwrap();
            assert_eq!((socket.broadcast().unwrap(), socket.ttl().unwrap(), socket.tos_v4().unwrap()), (true, 9, 0xb8));
            assert_eq!((socket.multicast_ttl_v4().unwrap(), socket.multicast_loop_v4().unwrap()), (3, false));
            assert_eq!(socket.set_ttl(0).unwrap_err().kind(), ErrorKind::InvalidInput);
            if bind == "127.0.0.1:0" {
                let (group, any) = ("239.1.2.3".parse().unwrap(), "127.0.0.1".parse().unwrap());
                let not_joined = socket.leave_multicast_v4(group, any).unwrap_err();
                assert_eq!(not_joined.kind(), ErrorKind::AddrNotAvailable, "{not_joined}");
                let no_group = socket.join_multicast_v4("10.0.0.1".parse().unwrap(), any).unwrap_err();
                assert_eq!(no_group.kind(), ErrorKind::InvalidInput, "{no_group}");
            }
        })
    });
}

#[test]
fn a_closed_port_refuses_a_connected_udp_socket() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let gone = UdpSocket::bind(bind).await.unwrap();
            let addr = gone.local_addr().unwrap();
            drop(gone);
            let client = UdpSocket::bind(bind).await.unwrap();
            client.connect(addr).await.unwrap();
            client.send(b"anybody?").await.unwrap();
            let error = client.recv(&mut [0; 8]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
        })
    });
}

#[test]
fn names_that_make_no_sense_are_refused() {
    on_both_networks(|_| {
        Box::pin(async move {
            for nonsense in ["", "server", "localhost:", "localhost:70000"] {
                let error = TcpStream::connect(nonsense).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{nonsense:?}: {error}");
            }
            assert!(TcpListener::bind("localhost:0").await.is_ok());
        })
    });
}

#[test]
fn options_are_kept() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (a, _b) = pair(bind).await;
            assert!(!a.nodelay().unwrap());
            a.set_nodelay(true).unwrap();
            assert!(a.nodelay().unwrap());
            assert!(a.take_error().unwrap().is_none());
        })
    });
}

/// A socket on any address of IPv6 takes both families, and sees IPv4's addresses mapped; so it conflicts with both.
#[test]
fn a_socket_on_any_address_of_ipv6_takes_both_families() {
    on_both_networks(|_| {
        Box::pin(async move {
            let listener = TcpListener::bind("[::]:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let error = TcpListener::bind(("0.0.0.0", port)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
            for (to, seen) in [("127.0.0.1", "::ffff:127.0.0.1"), ("::1", "::1")] {
                let client = TcpStream::connect((to, port)).await.unwrap();
                let (accepted, peer) = listener.accept().await.unwrap();
                assert_eq!(peer.ip().to_string(), seen);
                assert_eq!(accepted.local_addr().unwrap().ip().to_string(), seen);
                assert_eq!(client.local_addr().unwrap().port(), peer.port());
            }
            let socket = UdpSocket::bind("[::]:0").await.unwrap();
            let port = socket.local_addr().unwrap().port();
            for (to, seen) in [("127.0.0.1", "::ffff:127.0.0.1"), ("::1", "::1")] {
                let client = UdpSocket::bind((to, 0)).await.unwrap();
                client.send_to(b"x", (to, port)).await.unwrap();
                let (_, peer) = socket.recv_from(&mut [0; 4]).await.unwrap();
                assert_eq!(peer.ip().to_string(), seen);
                socket.send_to(b"back", peer).await.unwrap();
                assert_eq!(client.recv_from(&mut [0; 4]).await.unwrap().0, 4);
            }
        })
    });
}

#[test]
fn many_connections_at_once() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let listener = TcpListener::bind(bind).await.unwrap();
            let addr = listener.local_addr().unwrap();
            wakeline::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    wakeline::spawn(async move {
                        let (mut reader, mut writer) = stream.split();
                        let _ = wakeline::io::copy(&mut reader, &mut writer).await;
                    });
                }
            });
            let clients: Vec<_> = (0..200_u32)
                .map(|n| {
                    wakeline::spawn(async move {
                        let mut stream = TcpStream::connect(addr).await.unwrap();
                        let mut back = [0; 4];
                        for round in 0..20 {
                            let sent = (n * 1000 + round).to_be_bytes();
                            stream.write_all(&sent).await.unwrap();
                            stream.read_exact(&mut back).await.unwrap();
                            assert_eq!(back, sent);
                        }
                    })
                })
                .collect();
            for client in clients {
                client.await.unwrap();
            }
        })
    });
}
