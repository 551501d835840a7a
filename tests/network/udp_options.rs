//! What only sockets of UDP have: addresses that are shared, the error queue, path MTU discovery. On both networks.

use crate::both::on_both_networks;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use wakeline::net::udp::ErrorOrigin;
use wakeline::net::{MtuDiscover, UdpBindOptions, UdpSocket, blocking};
use wakeline::time::timeout;

/// Linux's number.
const EMSGSIZE: i32 = 90;
const REUSEADDR: UdpBindOptions = UdpBindOptions::new().with_reuseaddr(true);
const REUSEPORT: UdpBindOptions = UdpBindOptions::new().with_reuseport(true);

async fn hears(socket: &UdpSocket) -> Option<SocketAddr> {
    let mut buf = [0; 64];
    match timeout(Duration::from_millis(50), socket.recv_from(&mut buf)).await {
        Ok(received) => Some(received.unwrap().1),
        Err(_) => None,
    }
}

#[test]
fn a_group_shares_its_senders_and_keeps_each() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let first = UdpSocket::bind_with(bind, REUSEPORT).await.unwrap();
            let addr = first.local_addr().unwrap();
            let second = UdpSocket::bind_with(addr, REUSEPORT).await.unwrap();
            assert!(second.reuseport().unwrap() && !second.reuseaddr().unwrap());
            for options in [UdpBindOptions::new(), REUSEADDR] {
                let error = UdpSocket::bind_with(addr, options).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
            }
            let mut senders = Vec::new();
            for _ in 0..32 {
                let sender = UdpSocket::bind(bind).await.unwrap();
                sender.send_to(b"one", addr).await.unwrap();
                sender.send_to(b"two", addr).await.unwrap();
                senders.push(sender.local_addr().unwrap());
            }
            let (mut heard, mut shares) = (Vec::new(), Vec::new());
            for socket in [&first, &second] {
                let mut of_one = Vec::new();
                while let Some(from) = hears(socket).await {
                    of_one.push(from);
                }
                assert!(of_one.chunks(2).all(|pair| pair[0] == pair[1]), "a sender stays with one: {of_one:?}");
                shares.push(of_one.len());
                heard.extend(of_one.into_iter().step_by(2));
            }
            heard.sort();
            senders.sort();
            assert_eq!(heard, senders);
            assert!(shares.iter().all(|&share| share >= 8), "{shares:?}");
        })
    });
}

#[test]
fn of_those_that_share_an_address_the_newest_hears_what_is_for_one_host() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let first = UdpSocket::bind_with(bind, REUSEADDR).await.unwrap();
            let addr = first.local_addr().unwrap();
            assert_eq!(UdpSocket::bind(addr).await.unwrap_err().kind(), ErrorKind::AddrInUse);
            let second = UdpSocket::bind_with(addr, REUSEADDR).await.unwrap();
            assert!(first.reuseaddr().unwrap() && !first.reuseport().unwrap());
            let sender = UdpSocket::bind(bind).await.unwrap();
            let from = sender.local_addr().unwrap();
            sender.send_to(b"x", addr).await.unwrap();
            assert_eq!((hears(&second).await, hears(&first).await), (Some(from), None));
            // One that has a peer hears no strangers.
            let other = UdpSocket::bind(bind).await.unwrap();
            second.connect(other.local_addr().unwrap()).await.unwrap();
            sender.send_to(b"x", addr).await.unwrap();
            assert_eq!((hears(&second).await, hears(&first).await), (None, Some(from)));
            other.send_to(b"x", addr).await.unwrap();
            assert_eq!(hears(&second).await, Some(other.local_addr().unwrap()));
            drop(second);
            other.send_to(b"x", addr).await.unwrap();
            assert_eq!(hears(&first).await, Some(other.local_addr().unwrap()));
        })
    });
}

#[test]
fn ipv6_only_is_chosen_when_binding() {
    on_both_networks(|_| {
        Box::pin(async move {
            let options = UdpBindOptions::new().with_only_v6(true);
            let six = UdpSocket::bind_with("[::]:0", options).await.unwrap();
            assert!(six.only_v6().unwrap());
            let port = six.local_addr().unwrap().port();
            let four = UdpSocket::bind(("0.0.0.0", port)).await.unwrap();
            four.send_to(b"x", ("127.0.0.1", port)).await.unwrap();
            assert!(hears(&four).await.is_some() && hears(&six).await.is_none());
        })
    });
}

#[test]
fn the_error_queue_tells_which_datagram_met_a_closed_port() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let gone = UdpSocket::bind(bind).await.unwrap();
            let closed = gone.local_addr().unwrap();
            drop(gone);
            let socket = UdpSocket::bind(bind).await.unwrap();
            assert!(!socket.recverr().unwrap());
            assert_eq!(socket.try_recv_error().unwrap_err().kind(), ErrorKind::WouldBlock);
            socket.set_recverr(true).unwrap();
            assert!(socket.recverr().unwrap());
            // A socket without a peer hears of it, too.
            socket.send_to(b"anybody?", closed).await.unwrap();
            let error = socket.recv_from(&mut [0; 8]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
            let told = socket.try_recv_error().unwrap();
            assert_eq!(told.error().kind(), ErrorKind::ConnectionRefused);
            let expected = match closed {
                SocketAddr::V4(_) => (ErrorOrigin::Icmp, 3, 3),
                SocketAddr::V6(_) => (ErrorOrigin::Icmp6, 1, 4),
            };
            assert_eq!((told.origin, told.kind, told.code), expected);
            assert_eq!((told.destination, told.info), (closed, 0));
            let offender: IpAddr = told.offender.unwrap();
            assert_eq!(offender, closed.ip());
            assert_eq!(socket.try_recv_error().unwrap_err().kind(), ErrorKind::WouldBlock);
            assert!(socket.take_error().unwrap().is_none());
        })
    });
}

#[test]
fn path_mtu_discovery_is_chosen_and_the_path_is_told() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let socket = UdpSocket::bind(bind).await.unwrap();
            assert_eq!(socket.mtu_discover().unwrap(), MtuDiscover::Want);
            for choice in [MtuDiscover::Dont, MtuDiscover::Do, MtuDiscover::Probe, MtuDiscover::Want] {
                socket.set_mtu_discover(choice).unwrap();
                assert_eq!(socket.mtu_discover().unwrap(), choice);
            }
            assert_eq!(socket.mtu().unwrap_err().kind(), ErrorKind::NotConnected);
            let peer = UdpSocket::bind(bind).await.unwrap();
            socket.connect(peer.local_addr().unwrap()).await.unwrap();
            // That of loopback, on both networks; one of IPv4 cannot count to its end.
            assert_eq!(socket.mtu().unwrap(), if bind.starts_with('[') { 65_536 } else { 65_535 });
        })
    });
}

/// The blocking type takes the same path; one test that it does.
#[test]
fn threads_have_the_same_options() {
    let body = |bind: &str| {
        let first = blocking::UdpSocket::bind_with(bind, REUSEPORT).unwrap();
        let second = blocking::UdpSocket::bind_with(first.local_addr().unwrap(), REUSEPORT).unwrap();
        assert!(second.reuseport().unwrap());
        let gone = blocking::UdpSocket::bind(bind).unwrap();
        let closed = gone.local_addr().unwrap();
        drop(gone);
        let alone = blocking::UdpSocket::bind(bind).unwrap();
        alone.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        alone.set_recverr(true).unwrap();
        alone.send_to(b"anybody?", closed).unwrap();
        assert_eq!(alone.recv_from(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(alone.try_recv_error().unwrap().destination, closed);
        assert_eq!(alone.try_recv_error().unwrap_err().kind(), ErrorKind::WouldBlock);
    };
    body("127.0.0.1:0");
    let host = wakeline::net::emulated::Lan::with_seed(1).host("host").build_threaded().unwrap();
    let _here = host.enter();
    body("127.0.0.1:0");
}

#[test]
fn several_datagrams_are_sent_as_one_and_received_as_one() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (receiver, sender) = (UdpSocket::bind(bind).await.unwrap(), UdpSocket::bind(bind).await.unwrap());
            let to = receiver.local_addr().unwrap();
            let text: Vec<u8> = (0..1030u16).map(|n| n as u8).collect();
            let mut buf = [0; 4000];
            assert_eq!((sender.udp_segment().unwrap(), receiver.udp_gro().unwrap()), (0, false));

            // Whoever does not ask for it gets each by itself.
            assert_eq!(sender.send_segments_to(&text, 500, to).await.unwrap(), 1030);
            for part in text.chunks(500) {
                let meta = receiver.recv_msg(&mut buf).await.unwrap();
                assert_eq!((&buf[..meta.len], meta.from), (part, sender.local_addr().unwrap()));
                assert_eq!((meta.gro_size, meta.tos, meta.is_truncated), (None, None, false));
            }

            receiver.set_udp_gro(true).unwrap();
            sender.connect(to).await.unwrap();
            sender.send_segments(&text, 500).await.unwrap();
            let meta = receiver.recv_msg(&mut buf).await.unwrap();
            assert_eq!((&buf[..meta.len], meta.gro_size), (&text[..], Some(500)));
            // One alone is not several.
            sender.send_segments(b"one", 500).await.unwrap();
            let meta = receiver.recv_msg(&mut buf).await.unwrap();
            assert_eq!((&buf[..meta.len], meta.gro_size), (&b"one"[..], None));

            // For the socket instead of the call; 0 in a call is for one datagram.
            sender.set_udp_segment(515).unwrap();
            sender.send(&text).await.unwrap();
            let meta = receiver.recv_msg(&mut buf).await.unwrap();
            assert_eq!((meta.len, meta.gro_size), (1030, Some(515)));
            sender.send_segments(&text, 0).await.unwrap();
            let meta = receiver.recv_msg(&mut buf).await.unwrap();
            assert_eq!((meta.len, meta.gro_size), (1030, None));
            assert_eq!(sender.udp_segment().unwrap(), 515);

            assert_eq!(sender.set_udp_segment(65_536).unwrap_err().kind(), ErrorKind::InvalidInput);
            let too_many = sender.send_segments(&[0; 129], 1).await.unwrap_err();
            assert_eq!(too_many.kind(), ErrorKind::InvalidInput, "{too_many}");
            let too_long = sender.send_segments(&[0; 65_530], 1000).await.unwrap_err();
            assert_eq!(too_long.raw_os_error(), Some(EMSGSIZE), "{too_long}");
            sender.send_segments(b"", 500).await.unwrap();
            assert_eq!(receiver.recv_msg(&mut buf).await.unwrap().len, 0);
        })
    });
}

#[test]
fn a_receiver_is_told_how_datagrams_were_to_be_treated_if_it_asks() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (receiver, sender) = (UdpSocket::bind(bind).await.unwrap(), UdpSocket::bind(bind).await.unwrap());
            let v4 = receiver.local_addr().unwrap().is_ipv4();
            sender.connect(receiver.local_addr().unwrap()).await.unwrap();
            let mut buf = [0; 3];
            if v4 {
                assert!(!receiver.recv_tos_v4().unwrap());
                receiver.set_recv_tos_v4(true).unwrap();
                assert!(receiver.recv_tos_v4().unwrap());
                assert!(receiver.set_recv_tclass_v6(true).is_err());
            } else {
                assert!(!receiver.recv_tclass_v6().unwrap());
                receiver.set_recv_tclass_v6(true).unwrap();
                assert!(receiver.recv_tclass_v6().unwrap());
            }
            for tos in [0u8, 0xb8 | 0b10, 0b11] {
                if v4 {
                    sender.set_tos_v4(tos.into()).unwrap()
                } else {
                    sender.set_tclass_v6(tos.into()).unwrap()
                }
                sender.send(b"text").await.unwrap();
                let meta = receiver.recv_msg(&mut buf).await.unwrap();
                assert_eq!((meta.len, meta.tos, meta.is_truncated), (3, Some(tos), true));
            }
        })
    });
}
