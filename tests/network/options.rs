//! Socket options on both networks: the same values, the same errors.

use crate::both::{on_both_networks, pair};
use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::emulated::Lan;
use wakeline::net::tcp::TcpState;
use wakeline::net::{TcpKeepalive, TcpListener, TcpSocket, TcpStream, UdpSocket, blocking};
use wakeline::time::timeout;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) fn socket_for(bind: &str) -> TcpSocket {
    if bind.starts_with('[') { TcpSocket::new_v6().unwrap() } else { TcpSocket::new_v4().unwrap() }
}

#[test]
fn options_begin_with_linuxs_defaults_and_are_kept() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (a, _b) = pair(bind).await;
            assert_eq!((a.nodelay().unwrap(), a.keepalive().unwrap()), (false, false));
            assert_eq!((a.ttl().unwrap(), a.linger().unwrap(), a.rcvlowat().unwrap()), (64, None, 1));
            assert_eq!(a.tcp_keepalive_time().unwrap(), Some(secs(7200)));
            assert_eq!(a.tcp_keepalive_interval().unwrap(), Some(secs(75)));
            assert_eq!(a.tcp_keepalive_retries().unwrap(), 9);
            assert_eq!(a.tcp_user_timeout().unwrap(), None);
            assert!(a.tcp_quickack().unwrap());
            assert!(a.take_error().unwrap().is_none());
            assert!(!a.prefer_busy_poll().unwrap());
            // To poll more than is the default Linux wants a privilege.
            a.set_busy_poll(None).unwrap();
            a.set_busy_poll_budget(4).unwrap();
            assert_eq!(a.busy_poll().unwrap(), None);
            a.set_nodelay(true).unwrap();
            a.set_ttl(9).unwrap();
            a.set_linger(Some(secs(3))).unwrap();
            a.set_rcvlowat(100).unwrap();
            let keepalive = TcpKeepalive::new().with_time(secs(60)).with_interval(secs(7)).with_retries(3);
            a.set_tcp_keepalive(&keepalive).unwrap();
            a.set_tcp_user_timeout(Some(Duration::from_millis(1500))).unwrap();
            a.set_tcp_notsent_lowat(1000).unwrap();
            assert_eq!((a.nodelay().unwrap(), a.keepalive().unwrap()), (true, true));
            assert_eq!((a.ttl().unwrap(), a.linger().unwrap(), a.rcvlowat().unwrap()), (9, Some(secs(3)), 100));
            assert_eq!(a.tcp_keepalive_time().unwrap(), Some(secs(60)));
            assert_eq!(a.tcp_keepalive_interval().unwrap(), Some(secs(7)));
            assert_eq!(a.tcp_keepalive_retries().unwrap(), 3);
            assert_eq!(a.tcp_user_timeout().unwrap(), Some(Duration::from_millis(1500)));
            assert_eq!(a.tcp_notsent_lowat().unwrap(), 1000);
            a.set_tcp_quickack(false).unwrap();
            assert!(!a.tcp_quickack().unwrap());
            a.set_tcp_quickack(true).unwrap();
            assert!(a.tcp_quickack().unwrap());
            a.set_linger(None).unwrap();
            a.set_keepalive(false).unwrap();
            assert_eq!((a.linger().unwrap(), a.keepalive().unwrap()), (None, false));
            assert!(a.tcp_mss().unwrap() >= 536);
        })
    });
}

#[test]
fn a_socket_is_bound_to_an_interface_and_asks_for_a_cpu() {
    const ENODEV: i32 = 19;
    on_both_networks(|bind| {
        Box::pin(async move {
            let socket = socket_for(bind);
            assert_eq!((socket.device().unwrap(), socket.incoming_cpu().unwrap()), (None, None));
            for nowhere in ["no-such-dev", "a-name-that-is-too-long"] {
                let error = socket.bind_device(Some(nowhere.as_bytes())).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(ENODEV), "{nowhere}");
            }
            socket.bind_device(Some(b"lo")).unwrap();
            socket.set_incoming_cpu(1).unwrap();
            assert_eq!((socket.device().unwrap(), socket.incoming_cpu().unwrap()), (Some(b"lo".to_vec()), Some(1)));
            socket.bind(bind.parse().unwrap()).unwrap();
            let listener = socket.listen(4).unwrap();
            assert_eq!((listener.device().unwrap(), listener.incoming_cpu().unwrap()), (Some(b"lo".to_vec()), Some(1)));
            // What comes from the own host comes from there.
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            client.write_all(b"x").await.unwrap();
            server.read_exact(&mut [0]).await.unwrap();
            assert_eq!(server.device().unwrap(), Some(b"lo".to_vec()), "from its listener");
            assert!(server.incoming_cpu().unwrap().is_some(), "it has received");
            let udp = UdpSocket::bind(bind).await.unwrap();
            udp.bind_device(Some(b"lo")).unwrap();
            udp.send_to(b"y", udp.local_addr().unwrap()).await.unwrap();
            assert_eq!(udp.recv_from(&mut [0; 9]).await.unwrap().0, 1);
            udp.bind_device(None).unwrap();
            assert_eq!(udp.device().unwrap(), None);
        })
    });
}

/// Row 31 of the receive path, from one end to the other: `lo` and the device are two worlds, even at one port.
#[wakeline::test]
async fn what_comes_from_elsewhere_and_from_the_host_itself_may_be_two_listeners() {
    let lan = Lan::with_seed(1);
    let host = lan.host("host").build().unwrap();
    let client = lan.host("client").build().unwrap();
    let listen = |device: &[u8]| {
        let _here = host.enter();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind_device(Some(device)).unwrap();
        socket.bind("0.0.0.0:80".parse().unwrap()).unwrap();
        socket.listen(4).unwrap()
    };
    let addr = SocketAddr::new(host.addrs()[0], 80);
    let outside = listen(b"eth0");
    let error = host.run(TcpStream::connect(addr)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let inside = listen(b"lo");
    for (from, listener) in [(&client, &outside), (&host, &inside), (&client, &outside)] {
        let stream = from.run(TcpStream::connect(addr)).await.unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, stream.local_addr().unwrap());
    }
    drop(outside);
    let error = client.run(TcpStream::connect(addr)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    // Datagrams alike, whole and in pieces, until the socket hears from everywhere.
    let receiver = host.run(UdpSocket::bind("0.0.0.0:9")).await.unwrap();
    let senders = [
        host.run(UdpSocket::bind("0.0.0.0:0")).await.unwrap(),
        client.run(UdpSocket::bind("0.0.0.0:0")).await.unwrap(),
    ];
    let to = SocketAddr::new(host.addrs()[0], 9);
    for (device, heard) in [(Some(&b"lo"[..]), [true, false]), (Some(b"eth0"), [false, true]), (None, [true, true])] {
        receiver.bind_device(device).unwrap();
        for (sender, heard) in senders.iter().zip(heard) {
            for len in [1, 4000] {
                sender.send_to(&vec![7; len], to).await.unwrap();
                let mut buf = [0; 5000];
                let got =
                    timeout(Duration::from_millis(if heard { 10_000 } else { 20 }), receiver.recv_from(&mut buf)).await;
                assert_eq!(got.map(|got| got.unwrap().0).ok(), heard.then_some(len), "{device:?}");
            }
        }
    }
}

#[test]
fn ipv6_only_leaves_the_port_of_ipv4_to_others() {
    on_both_networks(|_| {
        Box::pin(async move {
            let socket = TcpSocket::new_v6().unwrap();
            assert!(!socket.only_v6().unwrap());
            socket.set_only_v6(true).unwrap();
            socket.bind("[::]:0".parse().unwrap()).unwrap();
            assert!(socket.set_only_v6(false).is_err());
            let listener = socket.listen(4).unwrap();
            assert!(listener.only_v6().unwrap());
            let port = listener.local_addr().unwrap().port();
            let error = TcpStream::connect(("127.0.0.1", port)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
            let other = TcpListener::bind(("0.0.0.0", port)).await.unwrap();
            TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            other.accept().await.unwrap();
            TcpStream::connect(("::1", port)).await.unwrap();
            listener.accept().await.unwrap();
        })
    });
}

#[test]
fn values_out_of_range_are_refused() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (a, _b) = pair(bind).await;
            let refused = [
                a.set_ttl(0).unwrap_err(),
                a.set_ttl(256).unwrap_err(),
                UdpSocket::bind(bind).await.unwrap().set_ttl(0).unwrap_err(),
                a.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::ZERO)).unwrap_err(),
                a.set_tcp_keepalive(&TcpKeepalive::new().with_time(secs(32_768))).unwrap_err(),
                a.set_tcp_keepalive(&TcpKeepalive::new().with_interval(Duration::ZERO)).unwrap_err(),
                a.set_tcp_keepalive(&TcpKeepalive::new().with_retries(0)).unwrap_err(),
                a.set_tcp_keepalive(&TcpKeepalive::new().with_retries(128)).unwrap_err(),
            ];
            for (n, error) in refused.iter().enumerate() {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{n}: {error}");
            }
            assert_eq!(a.set_tcp_congestion("none-such").unwrap_err().kind(), ErrorKind::NotFound);
            assert_eq!(a.set_tcp_congestion("a name that is much too long").unwrap_err().kind(), ErrorKind::NotFound);
            // A socket of IPv4 does not know an option of IPv6, and one of IPv6 that is bound no longer takes it.
            let error = a.set_only_v6(true).unwrap_err();
            match bind.starts_with('[') {
                true => assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}"),
                false => assert_eq!(error.raw_os_error(), Some(libc_enoprotoopt()), "{error}"),
            }
            match bind.starts_with('[') {
                true => assert_eq!(a.set_tclass_v6(256).unwrap_err().kind(), ErrorKind::InvalidInput),
                false => {
                    let udp = UdpSocket::bind(bind).await.unwrap();
                    // Setting is refused otherwise than asking.
                    let set = [a.set_tclass_v6(8).unwrap_err(), udp.set_unicast_hops_v6(8).unwrap_err()];
                    assert!(set.iter().all(|error| error.raw_os_error() == Some(libc_enoprotoopt())), "{set:?}");
                    let asked = [a.unicast_hops_v6().unwrap_err(), udp.tclass_v6().unwrap_err()];
                    assert!(asked.iter().all(|error| error.raw_os_error() == Some(libc_eopnotsupp())), "{asked:?}");
                }
            }
            let name = a.tcp_congestion().unwrap();
            a.set_tcp_congestion(&name).unwrap();
            a.set_tcp_congestion("reno").unwrap();
            assert_eq!(a.tcp_congestion().unwrap(), "reno");
        })
    });
}

const fn libc_enoprotoopt() -> i32 {
    92
}

const fn libc_eopnotsupp() -> i32 {
    95
}

#[test]
fn buffers_are_doubled_within_bounds() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (a, _b) = pair(bind).await;
            a.set_recv_buffer_size(10_000).unwrap();
            a.set_send_buffer_size(10_000).unwrap();
            assert_eq!((a.recv_buffer_size().unwrap(), a.send_buffer_size().unwrap()), (20_000, 20_000));
            a.set_recv_buffer_size(1).unwrap();
            a.set_send_buffer_size(1).unwrap();
            assert_eq!((a.recv_buffer_size().unwrap(), a.send_buffer_size().unwrap()), (2304, 4608));
            let udp = UdpSocket::bind(bind).await.unwrap();
            assert_eq!((udp.recv_buffer_size().unwrap(), udp.send_buffer_size().unwrap()), (212_992, 212_992));
            udp.set_recv_buffer_size(1).unwrap();
            udp.set_send_buffer_size(10_000).unwrap();
            assert_eq!((udp.recv_buffer_size().unwrap(), udp.send_buffer_size().unwrap()), (2304, 20_000));
            assert!(udp.take_error().unwrap().is_none());
        })
    });
}

#[test]
fn a_listeners_options_are_its_connections() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let socket = socket_for(bind);
            assert!(!socket.reuseaddr().unwrap() && !socket.reuseport().unwrap());
            socket.set_reuseaddr(true).unwrap();
            socket.set_recv_buffer_size(100_000).unwrap();
            socket.set_nodelay(true).unwrap();
            assert!(socket.local_addr().unwrap().ip().is_unspecified());
            socket.bind(bind.parse().unwrap()).unwrap();
            let addr = socket.local_addr().unwrap();
            assert_ne!(addr.port(), 0);
            assert_eq!(socket.bind(bind.parse().unwrap()).unwrap_err().kind(), ErrorKind::InvalidInput);
            // Bound is not listening.
            let error = TcpStream::connect(addr).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
            let listener = socket.listen(16).unwrap();
            assert!(listener.reuseaddr().unwrap() && listener.nodelay().unwrap());
            listener.set_ttl(17).unwrap();
            assert!(listener.take_error().unwrap().is_none());
            let (client, accepted) = (TcpStream::connect(addr).await.unwrap(), listener.accept().await.unwrap().0);
            assert_eq!(accepted.recv_buffer_size().unwrap(), 200_000);
            assert!(accepted.nodelay().unwrap() && !client.nodelay().unwrap());
            assert_eq!(accepted.ttl().unwrap(), 17);
            listener.set_tos_v4(0xbb).unwrap();
            let client = TcpStream::connect(addr).await.unwrap();
            let (accepted, _) = listener.accept().await.unwrap();
            // The lower two bits are ECN's.
            assert_eq!((accepted.tos_v4().unwrap(), client.tos_v4().unwrap()), (0xb8, 0));
            if bind.starts_with('[') {
                listener.set_tclass_v6(0x23).unwrap();
                listener.set_unicast_hops_v6(18).unwrap();
                let (_client, accepted) = (TcpStream::connect(addr).await.unwrap(), listener.accept().await.unwrap().0);
                assert_eq!((accepted.tclass_v6().unwrap(), accepted.unicast_hops_v6().unwrap()), (0x20, 18));
            }
        })
    });
}

#[test]
fn a_prepared_socket_connects_from_where_it_was_bound() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let listener = TcpListener::bind(bind).await.unwrap();
            let to = listener.local_addr().unwrap();
            let socket = socket_for(bind);
            socket.set_linger(Some(Duration::ZERO)).unwrap();
            socket.bind(SocketAddr::new(to.ip(), 0)).unwrap();
            let from = socket.local_addr().unwrap();
            let client = socket.connect(to).await.unwrap();
            assert_eq!(client.local_addr().unwrap(), from);
            let (mut accepted, peer) = listener.accept().await.unwrap();
            assert_eq!(peer, from);
            assert_eq!(client.linger().unwrap(), Some(Duration::ZERO));
            // SO_LINGER with zero: a reset.
            drop(client);
            let error = accepted.read(&mut [0; 8]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
            // An address of nobody, and one of the other family.
            let nobodys = if bind.starts_with('[') { "[2001:db8::1]:0" } else { "192.0.2.1:0" };
            let error = socket_for(bind).bind(nobodys.parse().unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrNotAvailable, "{error}");
            let unbound = socket_for(bind).listen(1).unwrap();
            assert_ne!(unbound.local_addr().unwrap().port(), 0);
        })
    });
}

#[test]
fn a_reader_sleeps_until_the_low_water_mark() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (mut b, mut a) = pair(bind).await;
            b.set_rcvlowat(100).unwrap();
            a.write_all(&[1; 99]).await.unwrap();
            assert!(timeout(Duration::from_millis(50), b.readable()).await.is_err(), "99 bytes are too few");
            a.write_all(&[1; 1]).await.unwrap();
            b.readable().await.unwrap();
            let mut all = [0; 100];
            b.read_exact(&mut all).await.unwrap();
            // The end is readable whatever came before it.
            a.write_all(&[1; 9]).await.unwrap();
            a.shutdown(Shutdown::Write).unwrap();
            b.readable().await.unwrap();
            assert_eq!(b.read(&mut all).await.unwrap(), 9);
        })
    });
}

#[test]
fn a_connection_tells_about_itself() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (mut a, mut b) = pair(bind).await;
            a.write_all(b"x").await.unwrap();
            b.read_exact(&mut [0]).await.unwrap();
            let info = a.tcp_info().unwrap();
            assert_eq!(info.state, TcpState::Established);
            assert!(info.snd_cwnd >= 10 && info.snd_mss >= 536 && info.snd_wnd > 0, "{info:?}");
            assert!(info.rto >= Duration::from_millis(200) && info.retransmits == 0, "{info:?}");
            b.shutdown(Shutdown::Write).unwrap();
            a.read(&mut [0]).await.unwrap();
            assert_eq!(a.tcp_info().unwrap().state, TcpState::CloseWait);
        })
    });
}

/// The blocking types take the same path; one test that they do.
#[test]
fn threads_have_the_same_options() {
    let body = |bind: &str| {
        let socket = blocking::TcpSocket::new_v4().unwrap();
        socket.set_reuseport(true).unwrap();
        socket.bind(bind.parse().unwrap()).unwrap();
        let listener = socket.listen(4).unwrap();
        assert!(listener.reuseport().unwrap());
        let client = blocking::TcpSocket::new_v4().unwrap();
        client.set_send_buffer_size(50_000).unwrap();
        let client = client.connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(client.send_buffer_size().unwrap(), 100_000);
        let (accepted, _) = listener.accept().unwrap();
        accepted.set_tcp_keepalive(&TcpKeepalive::new().with_time(secs(5))).unwrap();
        assert_eq!(accepted.tcp_keepalive_time().unwrap(), Some(secs(5)));
        assert_eq!(accepted.tcp_info().unwrap().state, TcpState::Established);
        assert!(accepted.take_error().unwrap().is_none());
        let udp = blocking::UdpSocket::bind(bind).unwrap();
        udp.set_recv_buffer_size(5000).unwrap();
        assert_eq!(udp.recv_buffer_size().unwrap(), 10_000);
        assert!(udp.take_error().unwrap().is_none());
    };
    body("127.0.0.1:0");
    let host = Lan::with_seed(1).host("host").build_threaded().unwrap();
    let _here = host.enter();
    body("127.0.0.1:0");
    body("10.0.0.1:0");
}

/// `inet_csk_bind_conflict` by way of the calls.
#[test]
fn addresses_are_shared_as_linux_shares_them() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let socket = |reuseaddr, reuseport| {
                let socket = socket_for(bind);
                socket.set_reuseaddr(reuseaddr).unwrap();
                socket.set_reuseport(reuseport).unwrap();
                socket
            };
            let kind = |result: std::io::Result<()>| result.map_err(|error| error.kind());
            // Bound and not listening: shared by those that all set SO_REUSEADDR; the second one may not listen.
            let first = socket(true, false);
            first.bind(bind.parse().unwrap()).unwrap();
            let addr = first.local_addr().unwrap();
            assert_eq!(kind(socket(false, false).bind(addr)), Err(ErrorKind::AddrInUse));
            let second = socket(true, false);
            second.bind(addr).unwrap();
            let listener = first.listen(4).unwrap();
            assert_eq!(kind(second.listen(4).map(drop)), Err(ErrorKind::AddrInUse));
            assert_eq!(kind(socket(true, false).bind(addr)), Err(ErrorKind::AddrInUse));
            // A connection that outlives its listener holds the port for those that do not set SO_REUSEADDR.
            let (client, accepted) = (TcpStream::connect(addr).await.unwrap(), listener.accept().await.unwrap().0);
            drop(listener);
            assert_eq!(kind(socket(false, false).bind(addr)), Err(ErrorKind::AddrInUse));
            socket(true, false).bind(addr).unwrap();
            drop((client, accepted));
            // SO_REUSEPORT: all listen, and share.
            let first = socket(false, true);
            first.bind(bind.parse().unwrap()).unwrap();
            let addr = first.local_addr().unwrap();
            let second = socket(false, true);
            second.bind(addr).unwrap();
            assert_eq!(kind(socket(true, false).bind(addr)), Err(ErrorKind::AddrInUse));
            let (first, second) = (first.listen(64).unwrap(), second.listen(64).unwrap());
            let mut clients = Vec::new();
            for _ in 0..32 {
                clients.push(TcpStream::connect(addr).await.unwrap());
            }
            let mut accepted = [0, 0];
            for (n, listener) in [&first, &second].into_iter().enumerate() {
                while timeout(Duration::from_millis(20), listener.accept()).await.is_ok() {
                    accepted[n] += 1;
                }
            }
            assert!(accepted[0] + accepted[1] == 32 && accepted[0] > 2 && accepted[1] > 2, "{accepted:?}");
        })
    });
}
