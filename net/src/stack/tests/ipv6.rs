//! IPv6: that transports work over it as over IPv4, and what its headers may do.

use crate::event::DropReason;
use crate::packet::PacketBuf;
use crate::stack::counters::Mib;
use crate::stack::error::SocketError;
use crate::stack::socket::SocketId;
use crate::stack::testing::world::*;
use crate::wire::ethernet::{EtherType, EthernetHeader};
use crate::wire::icmpv6::Icmpv6Header;
use crate::wire::ipv4::protocol;
use crate::wire::ipv6::Ipv6Header;
use proptest::prelude::*;
use std::net::{Ipv6Addr, SocketAddr};

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A frame from the client to the server, whose payload begins with an extension header or transport `next_header`.
fn frame(dst: Ipv6Addr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let (mut ethernet, mut ip) = ([0; EthernetHeader::LEN], [0; Ipv6Header::LEN]);
    EthernetHeader { dst: MAC[SERVER], src: MAC[CLIENT], ethertype: EtherType::Ipv6 }.emit(&mut ethernet);
    let header = Ipv6Header {
        traffic_class: 0,
        flow_label: 0,
        payload_len: payload.len() as u16,
        next_header,
        hop_limit: 64,
        src: ADDR6[CLIENT],
        dst,
    };
    header.emit(&mut ip);
    [&ethernet[..], &ip, payload].concat()
}

fn inject(world: &mut World, bytes: &[u8]) {
    if let Some(frame) = PacketBuf::from_bytes(&world.pool, bytes) {
        world.call(SERVER, |stack, now, fx| {
            stack.on_frame(now, frame, fx);
            stack.on_batch_end(now, fx);
        });
    }
}

fn echo_request() -> Vec<u8> {
    let mut message = b"........ping data".to_vec();
    Icmpv6Header::EchoRequest { ident: 7, seq: 3 }.emit((ADDR6[CLIENT], ADDR6[SERVER]), &mut message);
    message
}

fn connect(world: &mut World, to: &str) -> SocketId {
    let to = addr(to);
    world.call(CLIENT, |stack, now, fx| stack.tcp_connect(now, None, to, &|_| true, fx)).unwrap()
}

#[test]
fn a_connection_goes_over_ipv6_with_its_own_segment_size() {
    let mut world = World::new(1);
    let listener = world.stacks[SERVER].tcp_listen(addr("[::]:7"), 16, false).unwrap();
    let client = connect(&mut world, "[fd00::2]:7");
    world.run_ms(5);
    let log = world.take_log();
    let expected = [
        "C ICMP6, neighbor solicitation, who has fd00::2",
        "S ICMP6, neighbor advertisement, tgt is fd00::2, Flags [solicited, override]",
        "C [S] 0",
        "S [S.] 0",
        "C [.] 0",
    ];
    assert_eq!(log, expected, "the question has told the server where the client is");
    let (server, peer) = world.stacks[SERVER].tcp_accept(listener).unwrap();
    assert_eq!(Ok(peer), world.stacks[CLIENT].local_addr(client));
    assert_eq!(peer.ip(), ADDR6[CLIENT]);
    world.send(CLIENT, client, &pattern(20_000)).unwrap();
    world.run_ms(100);
    assert_eq!(world.recv(SERVER, server).unwrap(), pattern(20_000));
    let longest = world.take_log().iter().filter_map(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).max();
    assert_eq!(longest, Some(1428), "1500 less 40 less 20, and timestamps");
    world.close(CLIENT, client);
    world.close(SERVER, server);
    world.run_ms(100);
    assert_eq!((world.stacks[CLIENT].socket_count(), world.stacks[CLIENT].time_wait_count()), (0, 1));
    assert!(world.count(SERVER, Mib::Ip6InDelivers) > 10 && world.count(SERVER, Mib::IpInDelivers) == 0);
}

#[test]
fn link_local_and_loopback_addresses_connect() {
    let mut world = World::new(2);
    let listener = world.stacks[SERVER].tcp_listen(addr("[::]:7"), 16, false).unwrap();
    let client = connect(&mut world, "[fe80::ff:fe00:2%2]:7");
    world.run_ms(5);
    assert_eq!(world.stacks[CLIENT].tcp_connect_result(client), Ok(()));
    assert_eq!(
        world.stacks[CLIENT].local_addr(client).unwrap().to_string().rsplit_once(':').unwrap().0,
        "[fe80::ff:fe00:1%2]"
    );
    assert!(world.stacks[SERVER].tcp_accept(listener).is_ok());
    let to = addr("[::1]:7");
    let own = world.call(SERVER, |stack, now, fx| stack.tcp_connect(now, None, to, &|_| true, fx)).unwrap();
    world.run_ms(5);
    assert_eq!(world.stacks[SERVER].tcp_connect_result(own), Ok(()));
    let far = addr("[fd01::1]:7");
    let far = world.call(CLIENT, |stack, now, fx| stack.tcp_connect(now, None, far, &|_| true, fx));
    assert_eq!(far, Err(SocketError::NetworkUnreachable));
}

#[test]
fn a_listener_on_any_of_ipv6_accepts_both_families() {
    let mut world = World::new(3);
    let listener = world.stacks[SERVER].tcp_listen(addr("[::]:7"), 16, false).unwrap();
    assert_eq!(world.stacks[SERVER].tcp_listen(addr("0.0.0.0:7"), 16, false), Err(SocketError::AddrInUse));
    let clients = ["10.0.0.2:7", "[fd00::2]:7", "[::ffff:10.0.0.2]:7"].map(|to| connect(&mut world, to));
    world.run_ms(5);
    let mut peers = Vec::new();
    while let Ok((server, peer)) = world.stacks[SERVER].tcp_accept(listener) {
        peers.push((peer.ip().to_string(), world.stacks[SERVER].local_addr(server).unwrap().to_string()));
    }
    peers.sort();
    let (mapped, own) = (("::ffff:10.0.0.1", "[::ffff:10.0.0.2]:7"), ("fd00::1", "[fd00::2]:7"));
    let expected = [mapped, mapped, own].map(|(peer, local)| (peer.to_owned(), local.to_owned()));
    assert_eq!(peers, expected);
    let shown = clients.map(|id| world.stacks[CLIENT].peer_addr(id).unwrap().to_string());
    assert_eq!(
        shown,
        ["10.0.0.2:7", "[fd00::2]:7", "[::ffff:10.0.0.2]:7"],
        "a mapped address is the program's own choice"
    );
    let v4_only = world.stacks[SERVER].tcp_listen(addr("0.0.0.0:8"), 16, false).unwrap();
    let refused = connect(&mut world, "[fd00::2]:8");
    world.run_ms(5);
    assert_eq!(world.stacks[CLIENT].tcp_connect_result(refused), Err(SocketError::ConnectionRefused));
    assert_eq!(world.stacks[SERVER].tcp_accept(v4_only), Err(SocketError::WouldBlock));
}

#[test]
fn datagrams_of_both_families_reach_a_dual_socket_and_their_errors_their_senders() {
    let mut world = World::new(4);
    let server = world.stacks[SERVER].udp_bind(addr("[::]:9")).unwrap();
    let mut buf = [0; 16];
    let mut senders = Vec::new();
    for (bind, to) in [("0.0.0.0:5", "10.0.0.2:9"), ("[::]:6", "[fd00::2]:9"), ("[::]:7", "[::ffff:10.0.0.2]:9")] {
        let client = world.stacks[CLIENT].udp_bind(addr(bind)).unwrap();
        world.call(CLIENT, |stack, now, fx| stack.udp_send_to(now, client, b"x", Some(addr(to)), fx)).unwrap();
        world.run_ms(1);
        let (_, from) = world.stacks[SERVER].udp_recv_from(server, &mut buf, false).unwrap();
        world.call(SERVER, |stack, now, fx| stack.udp_send_to(now, server, b"back", Some(from), fx)).unwrap();
        world.run_ms(1);
        assert_eq!(world.stacks[CLIENT].udp_recv_from(client, &mut buf, false), Ok((4, addr(to))));
        senders.push(from.to_string());
        world.udp_connect(CLIENT, client, addr(&to.replace(":9", ":99"))).unwrap();
        world.call(CLIENT, |stack, now, fx| stack.udp_send_to(now, client, b"x", None, fx)).unwrap();
        world.run_ms(1);
        let error = world.stacks[CLIENT].udp_recv_from(client, &mut buf, false);
        assert_eq!(error, Err(SocketError::ConnectionRefused), "{to}");
    }
    assert_eq!(senders, ["[::ffff:10.0.0.1]:5", "[fd00::1]:6", "[::ffff:10.0.0.1]:7"]);
    assert_eq!((world.count(SERVER, Mib::UdpNoPorts), world.count(SERVER, Mib::Udp6NoPorts)), (2, 1));
    let v4 = world.stacks[CLIENT].udp_bind(addr("0.0.0.0:8")).unwrap();
    let wrong = world.call(CLIENT, |stack, now, fx| stack.udp_send_to(now, v4, b"x", Some(addr("[fd00::2]:9")), fx));
    assert_eq!(wrong, Err(SocketError::AddrFamilyNotSupported));
}

/// RFC 8200 8.1: over IPv6 a datagram without a checksum is dropped.
#[test]
fn a_datagram_without_a_checksum_is_dropped() {
    let mut world = World::new(5);
    let server = world.stacks[SERVER].udp_bind(addr("[::]:9")).unwrap();
    inject(&mut world, &frame(ADDR6[SERVER], protocol::UDP, &[0, 1, 0, 9, 0, 10, 0, 0, b'h', b'i']));
    assert_eq!(world.stacks[SERVER].udp_recv_from(server, &mut [0; 9], false), Err(SocketError::WouldBlock));
    assert_eq!(world.count(SERVER, Mib::Udp6InCsumErrors), 1);
}

#[test]
fn an_echo_is_answered_through_whatever_headers_may_be_skipped() {
    let check = |first: u8, chain: &[u8], answer: &[&str]| {
        let mut world = World::new(6);
        world.introduce();
        inject(&mut world, &frame(ADDR6[SERVER], first, &[chain, &echo_request()].concat()));
        let answer: Vec<_> = answer.iter().map(|line| format!("S ICMP6, {line}")).collect();
        assert_eq!(world.take_log(), answer, "{first} {chain:?}");
    };
    let reply: &[&str] = &["echo reply, id 7, seq 3"];
    check(58, &[], reply);
    check(0, &[58, 0, 1, 4, 0, 0, 0, 0], reply);
    check(60, &[58, 0, 0x1e, 4, 0, 0, 0, 0], reply);
    check(43, &[58, 0, 0, 0, 0, 0, 0, 0], reply);
    let type_0 = [&[58, 2, 0, 1, 0, 0, 0, 0][..], &ADDR6[SERVER].octets()].concat();
    check(43, &type_0, &["parameter problem, errorneous - octet 42"]);
    check(60, &[58, 0, 0x9e, 4, 0, 0, 0, 0], &["parameter problem, option - octet 42"]);
    check(60, &[58, 0, 0x5e, 4, 0, 0, 0, 0], &[]);
    check(60, &[0, 0, 1, 4, 0, 0, 0, 0, 58, 0, 1, 4, 0, 0, 0, 0], &["parameter problem, next header - octet 40"]);
    check(60, &[99, 0, 1, 4, 0, 0, 0, 0], &["parameter problem, next header - octet 40"]);
    check(99, &[], &["parameter problem, next header - octet 6"]);
    check(59, &[], &[]);
}

#[test]
fn every_loss_has_one_reason() {
    let good = frame(ADDR6[SERVER], protocol::UDP, &[0, 1, 0, 1, 0, 8, 1, 1]);
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    };
    let check = |bytes: &[u8], reason: DropReason, mib: Mib| {
        let mut world = World::new(7);
        inject(&mut world, bytes);
        let drops: Vec<_> = world.stacks[SERVER].drops().iter().collect();
        assert_eq!((drops, world.count(SERVER, mib)), (vec![(reason, 1)], 1), "{mib:?}");
    };
    check(&good[..50], DropReason::PktTooSmall, Mib::Ip6InTruncatedPkts);
    check(&good[..60], DropReason::PktTooSmall, Mib::Ip6InTruncatedPkts);
    check(&with(14, 0x40), DropReason::IpInhdr, Mib::Ip6InHdrErrors);
    check(&with(22, 0xff), DropReason::IpInhdr, Mib::Ip6InHdrErrors);
    check(&with(53, 9), DropReason::Otherhost, Mib::Ip6InAddrErrors);
    check(&good, DropReason::UdpCsum, Mib::Udp6InCsumErrors);
    check(&frame(Ipv6Addr::LOCALHOST, 17, &[0; 8]), DropReason::IpInhdr, Mib::Ip6InHdrErrors);
    check(&frame("ff02::1:ff00:77".parse().unwrap(), 17, &[0; 8]), DropReason::Otherhost, Mib::Ip6InAddrErrors);
}

/// RFC 4443 2.4: no error about an error, none about a packet for a group, and not too many.
#[test]
fn errors_are_not_told_about_errors_nor_to_groups() {
    let mut world = World::new(8);
    world.introduce();
    let mut error = [0; 60];
    Icmpv6Header::Unreachable { code: 0 }.emit((ADDR6[CLIENT], ADDR6[SERVER]), &mut error);
    inject(&mut world, &frame(ADDR6[SERVER], 60, &[&[58, 0, 0x9e, 4, 0, 0, 0, 0], &error[..]].concat()));
    inject(&mut world, &frame("ff02::1".parse().unwrap(), 99, &[0; 8]));
    assert!(world.take_log().is_empty());
    inject(&mut world, &frame("ff02::1".parse().unwrap(), 60, &[99, 0, 0x9e, 4, 0, 0, 0, 0]));
    assert_eq!(world.take_log(), ["S ICMP6, parameter problem, option - octet 42"]);
    for _ in 0..100 {
        inject(&mut world, &frame(ADDR6[SERVER], 99, &[0; 8]));
    }
    assert_eq!(world.take_log().len(), 5, "six to one peer");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Rubbish behind a header for us.
    #[test]
    fn any_bytes_are_survived(
        packets in prop::collection::vec((0u8..62, prop::collection::vec(any::<u8>(), 0..120)), 1..20),
    ) {
        let mut world = World::new(9);
        world.stacks[SERVER].tcp_listen(addr("[::]:7"), 16, false).unwrap();
        for (next_header, bytes) in packets {
            for next_header in [next_header, protocol::ICMPV6] {
                inject(&mut world, &frame(ADDR6[SERVER], next_header, &bytes));
                inject(&mut world, &frame("ff02::1".parse().unwrap(), next_header, &bytes));
            }
        }
        world.run_ms(10_000);
        prop_assert!(world.stacks[SERVER].socket_count() <= 1);
    }
}
