//! Hosts behind routers: a forwarding host, and a program that joins two LANs frame by frame.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::emulated::{Host, Lan, Mib, Offloads, RawPort, RouteTo};
use wakeline::net::{TcpListener, TcpStream, UdpSocket};
use wakeline::time::timeout;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// `far` echoes 100,000 bytes to `near`.
async fn echo_between(near: &Host, far: &Host, addr: SocketAddr) {
    let listener = far.run(TcpListener::bind(addr)).await.unwrap();
    far.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut reader, mut writer) = stream.split();
        wakeline::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.close().await.unwrap();
    });
    let mut stream = near.run(TcpStream::connect(addr)).await.unwrap();
    let sent: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut reader, mut writer) = stream.split();
    let write = async {
        writer.write_all(&sent).await?;
        writer.close().await
    };
    let mut back = Vec::new();
    let both = wakeline::io::try_zip(write, reader.read_to_end(&mut back));
    timeout(Duration::from_secs(20), both).await.expect("a path through the router").unwrap();
    assert!(back == sent, "what came back is not what was sent");
}

#[wakeline::test]
async fn a_host_stands_behind_a_host_that_forwards() {
    let lan = Lan::with_seed(1);
    let near = lan.host("near").gateway(ip("10.0.0.2")).gateway(ip("fd00::2")).build().unwrap();
    let router = lan.host("router").addr("10.0.0.2/16").addr("192.168.7.1/24").addr("fd00::2/64").addr("fd07::1/64");
    // What it merges, it takes apart again.
    let router = router.forward(true).offloads(Offloads::GENERIC_RECEIVE).build().unwrap();
    let far = lan.host("far").addr("192.168.7.2/24").addr("fd07::2/64").gateway(ip("192.168.7.1"));
    let far = far.gateway(ip("fd07::1")).build().unwrap();
    assert_eq!(far.addr(), ip("192.168.7.2"));
    echo_between(&near, &far, "192.168.7.2:7000".parse().unwrap()).await;
    echo_between(&near, &far, "[fd07::2]:7000".parse().unwrap()).await;
    let stack = router.counters().stack;
    assert!(stack.get(Mib::IpForwDatagrams) > 100 && stack.get(Mib::Ip6OutForwDatagrams) > 100);
    // Names lead to the addresses that were chosen.
    let listener = far.run(TcpListener::bind("0.0.0.0:7001")).await.unwrap();
    near.run(TcpStream::connect("far:7001")).await.unwrap();
    drop(listener);
    let error = near.run(TcpStream::connect("172.16.0.1:9")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkUnreachable, "{error}");
}

#[wakeline::test]
async fn routes_come_and_go() {
    let lan = Lan::with_seed(1);
    let host = lan.host("host").build().unwrap();
    let connect = || host.run(TcpStream::connect("172.16.0.1:9"));
    assert_eq!(connect().await.unwrap_err().kind(), ErrorKind::NetworkUnreachable);
    host.add_route("172.16.0.0/12", RouteTo::Prohibit).unwrap();
    assert_eq!(connect().await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    host.add_route("172.16.0.0/16", RouteTo::Unreachable).unwrap();
    assert_eq!(connect().await.unwrap_err().kind(), ErrorKind::HostUnreachable);
    host.remove_route("172.16.0.0/16").unwrap();
    host.remove_route("172.16.0.0/12").unwrap();
    assert_eq!(connect().await.unwrap_err().kind(), ErrorKind::NetworkUnreachable);
    assert_eq!(host.remove_route("172.16.0.0/12").unwrap_err().kind(), ErrorKind::NotFound);
    // A whole network of its own.
    host.add_route("172.16.0.0/24", RouteTo::Local).unwrap();
    let listener = host.run(TcpListener::bind("172.16.0.1:9")).await.unwrap();
    connect().await.unwrap();
    drop(listener);
    for (prefix, to, kind) in [
        ("172.16.0.0/33", RouteTo::Link, ErrorKind::InvalidInput),
        ("everywhere", RouteTo::Link, ErrorKind::InvalidInput),
        ("172.16.1.0/24", RouteTo::from(Ipv4Addr::new(192, 168, 0, 1)), ErrorKind::NetworkUnreachable),
        ("172.16.1.0/24", RouteTo::from(ip("fd00::9")), ErrorKind::InvalidInput),
    ] {
        assert_eq!(host.add_route(prefix, to).unwrap_err().kind(), kind, "{prefix} {to:?}");
    }
    for wrong in [
        lan.host("a").addr("10.0.0.9"),
        lan.host("a").addr("127.0.0.1/8"),
        lan.host("a").gateway(ip("192.168.0.1")),
        lan.host("a").route("10.0.0.0/8", ip("fd00::1")),
    ] {
        assert_eq!(wrong.build().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

/// Passes frames of IPv4 from one LAN to the other, to the only host there: a router in twenty lines.
async fn route_frames(from: &RawPort, to: &RawPort, host: [u8; 6]) {
    loop {
        let mut frame = from.recv().await;
        if frame[..6] != from.mac() || frame[12..14] != [8, 0] {
            continue;
        }
        frame[..6].copy_from_slice(&host);
        frame[6..12].copy_from_slice(&to.mac());
        // One hop older; RFC 1624: the checksum grows by what the word that holds the TTL shrinks.
        frame[22] -= 1;
        let sum = u32::from(u16::from_be_bytes([frame[24], frame[25]])) + 0x0100;
        let sum = (sum & 0xffff) + (sum >> 16);
        frame[24..26].copy_from_slice(&(sum as u16).to_be_bytes());
        to.send(&frame).unwrap();
    }
}

#[wakeline::test]
async fn a_program_routes_between_two_lans() {
    let lans = [Lan::with_seed(1), Lan::with_seed(2)];
    let [(near, a), (far, b)] = ["10.1.0.1/16", "10.2.0.1/16"].map(|addr| {
        let lan = &lans[usize::from(addr.starts_with("10.2"))];
        let port = lan.raw_port().unwrap();
        let gateway: IpAddr = addr.replace("0.1/16", "0.254").parse().unwrap();
        let host = lan.host("host").addr(addr).gateway(gateway).build().unwrap();
        host.add_neighbour(gateway, port.mac());
        (host, port)
    });
    let (a, b) = (std::sync::Arc::new(a), std::sync::Arc::new(b));
    // Stations are numbered in the order in which they are plugged in.
    let host = [2, 0, 0, 0, 0, 2];
    for (from, to) in [(a.clone(), b.clone()), (b, a)] {
        wakeline::spawn(async move { route_frames(&from, &to, host).await });
    }
    echo_between(&near, &far, "10.2.0.1:7000".parse().unwrap()).await;
}

/// The pieces of a datagram are steered by their addresses, the whole one by its ports.
#[wakeline::test]
async fn large_datagrams_reach_a_host_with_several_cpus() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").cpus(4).build().unwrap();
    let client = lan.host("client").cpus(2).build().unwrap();
    let socket = server.run(UdpSocket::bind("[::]:9")).await.unwrap();
    for (n, to) in ["10.0.0.1:9", "[fd00::1]:9"].iter().cycle().take(20).enumerate() {
        let bind = if to.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
        let sender = client.run(UdpSocket::bind(bind)).await.unwrap();
        let sent = vec![n as u8; 20_000 + n];
        client.run(sender.send_to(&sent, *to)).await.unwrap();
        let mut buf = vec![0; 65_536];
        let received = timeout(Duration::from_secs(5), server.run(socket.recv_from(&mut buf))).await;
        let (len, from) = received.expect("the pieces become whole").unwrap();
        assert!(buf[..len] == sent[..]);
        assert_eq!(from.port(), sender.local_addr().unwrap().port());
    }
    let stack = server.counters().stack;
    assert_eq!(stack.get(Mib::IpReasmOKs) + stack.get(Mib::Ip6ReasmOKs), 20);
}
