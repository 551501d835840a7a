//! Fragments: cut by the sender, put together by the receiver, and what becomes of those that do not fit.

use crate::event::DropReason;
use crate::stack::counters::Mib;
use crate::stack::error::SocketError;
use crate::stack::socket::SocketId;
use crate::stack::testing::forge::inject;
use crate::stack::testing::world::*;
use crate::wire::ethernet::{EtherType, EthernetHeader};
use crate::wire::ip::Fragments;
use crate::wire::ipv4::{Ipv4Header, protocol};
use crate::wire::ipv6::Ipv6Header;
use crate::wire::ipv6_ext::{FragmentHeader, ext};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

fn at(v4: bool, port: u16) -> SocketAddr {
    let ip: IpAddr = if v4 { ADDR[SERVER].into() } else { ADDR6[SERVER].into() };
    SocketAddr::new(ip, port)
}

/// A world whose hosts know each other, and a dual socket on port 9 of each.
fn world(seed: u64) -> (World, SocketId, SocketId) {
    let mut world = World::new(seed);
    world.introduce();
    let [client, server] = [CLIENT, SERVER].map(|host| world.stacks[host].udp_bind("[::]:9".parse().unwrap()).unwrap());
    (world, client, server)
}

fn send(world: &mut World, id: SocketId, bytes: &[u8], to: SocketAddr) -> Result<usize, SocketError> {
    world.call(CLIENT, |stack, now, fx| stack.udp_send_to(now, id, bytes, Some(to), fx))
}

fn recv(world: &mut World, id: SocketId) -> Result<Vec<u8>, SocketError> {
    let mut buf = vec![0; 70_000];
    world.stacks[SERVER].udp_recv_from(id, &mut buf, false).map(|(n, _)| buf[..n].to_vec())
}

#[test]
fn a_large_datagram_goes_in_pieces_and_arrives_whole() {
    for v4 in [true, false] {
        let (mut world, client, server) = world(1);
        assert_eq!(send(&mut world, client, &pattern(4000), at(v4, 9)), Ok(4000));
        let expected = match v4 {
            true => [
                "C frag offset 0, flags [+], length 1500",
                "C frag offset 1480, flags [+], length 1500",
                "C frag offset 2960, flags [none], length 1068",
            ],
            false => ["C frag (0x00000000:0|1448)", "C frag (0x00000000:1448|1448)", "C frag (0x00000000:2896|1112)"],
        };
        assert_eq!(world.take_log(), expected);
        world.run_ms(1);
        assert_eq!(recv(&mut world, server), Ok(pattern(4000)));
        let counted = match v4 {
            true => [Mib::IpReasmReqds, Mib::IpReasmOKs, Mib::UdpInDatagrams],
            false => [Mib::Ip6ReasmReqds, Mib::Ip6ReasmOKs, Mib::Udp6InDatagrams],
        };
        assert_eq!(counted.map(|mib| world.count(SERVER, mib)), [3, 1, 1]);
        let cut = if v4 { [Mib::IpFragOKs, Mib::IpFragCreates] } else { [Mib::Ip6FragOKs, Mib::Ip6FragCreates] };
        assert_eq!(cut.map(|mib| world.count(CLIENT, mib)), [1, 3]);
        // The largest that there is.
        let most = if v4 { 65_507 } else { 65_527 };
        assert_eq!(send(&mut world, client, &pattern(most), at(v4, 9)), Ok(most));
        assert_eq!(send(&mut world, client, &pattern(most + 1), at(v4, 9)), Err(SocketError::MessageTooLong));
        world.run_ms(10);
        assert_eq!(recv(&mut world, server), Ok(pattern(most)));
        assert_eq!(world.stacks[SERVER].next_deadline(), None);
    }
}

#[test]
fn pieces_may_come_out_of_order_twice_and_mixed() {
    let (mut world, client, server) = world(2);
    (world.wire.jitter_us, world.wire.duplicate) = (5000, 0.3);
    for n in 0..20 {
        send(&mut world, client, &pattern(3000 + n), at(n % 2 == 0, 9)).unwrap();
    }
    world.run(Duration::from_secs(1));
    let mut lens = Vec::new();
    while let Ok(bytes) = recv(&mut world, server) {
        assert_eq!(bytes, pattern(bytes.len()));
        lens.push(bytes.len());
    }
    lens.dedup();
    lens.sort_unstable();
    lens.dedup();
    assert_eq!(lens, Vec::from_iter(3000..3020));
}

#[test]
fn a_packet_without_all_its_pieces_is_given_up_in_time_and_its_sender_told() {
    for (v4, seconds) in [(true, 30), (false, 60)] {
        let (mut world, client, server) = world(3);
        send(&mut world, client, &pattern(2000), at(v4, 9)).unwrap();
        // The second piece is lost.
        let limit = world.now + Duration::from_micros(50);
        world.step(limit);
        world.drop_in_flight();
        world.take_log();
        world.run(Duration::from_millis(seconds * 1000 - 10));
        assert_eq!(world.stacks[SERVER].drops().total(), 0);
        world.run(Duration::from_millis(20));
        assert_eq!(recv(&mut world, server), Err(SocketError::WouldBlock));
        assert_eq!(world.stacks[SERVER].drops().get(DropReason::FragReasmTimeout), 1);
        let told = if v4 { "S ICMP ip reassembly time exceeded" } else { "S ICMP6, ip reassembly time exceeded" };
        assert!(world.take_log().contains(&told.to_owned()));
        let counted = match v4 {
            true => [Mib::IpReasmTimeout, Mib::IpReasmFails, Mib::IcmpOutTimeExcds],
            false => [Mib::Ip6ReasmTimeout, Mib::Ip6ReasmFails, Mib::Icmp6OutTimeExcds],
        };
        assert_eq!(counted.map(|mib| world.count(SERVER, mib)), [1, 1, 1]);
    }
}

/// One piece of a datagram of IPv4 from port 1 to port 9, without a checksum.
fn piece_v4(ident: u16, offset: usize, more: bool, data: &[u8]) -> Vec<u8> {
    let (mut ethernet, mut ip) = ([0; EthernetHeader::LEN], [0; Ipv4Header::LEN]);
    EthernetHeader { dst: MAC[SERVER], src: MAC[CLIENT], ethertype: EtherType::Ipv4 }.emit(&mut ethernet);
    let plain = Ipv4Header::new(ADDR[CLIENT], ADDR[SERVER], protocol::UDP, data.len());
    let offset = (offset / 8) as u16;
    Ipv4Header { dont_fragment: false, more_fragments: more, fragment_offset: offset, ident, ..plain }.emit(&mut ip);
    [&ethernet[..], &ip, data].concat()
}

/// RFC 5722, and for IPv4 alike: an overlap ends the whole packet, so that nobody can write over what was checked.
#[test]
fn overlapping_pieces_end_the_packet() {
    let (mut world, _, server) = world(4);
    let head = [&[0, 1, 0, 9, 0, 24, 0, 0][..], b"01234567"].concat();
    inject(&mut world, &piece_v4(7, 0, true, &head));
    inject(&mut world, &piece_v4(7, 8, true, b"XXXXXXXXXXXXXXXX"));
    inject(&mut world, &piece_v4(7, 16, false, b"89abcdef"));
    assert_eq!(recv(&mut world, server), Err(SocketError::WouldBlock));
    assert_eq!(world.count(SERVER, Mib::IpExtReasmOverlaps), 1);
    assert_eq!(world.stacks[SERVER].drops().get(DropReason::FragOverlap), 2);
    inject(&mut world, &piece_v4(8, 0, true, &head));
    inject(&mut world, &piece_v4(8, 0, true, &head));
    inject(&mut world, &piece_v4(8, 16, false, b"89abcdef"));
    assert_eq!(recv(&mut world, server), Ok(b"0123456789abcdef".to_vec()));
    assert_eq!(world.stacks[SERVER].drops().get(DropReason::DupFrag), 1);
}

#[test]
fn a_flood_of_first_pieces_is_bounded() {
    let (mut world, _, server) = world(5);
    for ident in 0..5000 {
        inject(&mut world, &piece_v4(ident, 0, true, &[0; 1480]));
    }
    assert!(world.stacks[SERVER].ip.reassembly.truesize() < 1 << 20);
    assert!(world.pool.bytes_in_use() < 4 << 20);
    let head = [&[0, 1, 0, 9, 0, 24, 0, 0][..], b"01234567"].concat();
    inject(&mut world, &piece_v4(9999, 0, true, &head));
    inject(&mut world, &piece_v4(9999, 16, false, b"89abcdef"));
    assert_eq!(recv(&mut world, server), Ok(b"0123456789abcdef".to_vec()));
}

/// One fragment of IPv6 whose data is `data`.
fn piece_v6(header: FragmentHeader, data: &[u8]) -> Vec<u8> {
    let (mut ethernet, mut ip, mut fragment) =
        ([0; EthernetHeader::LEN], [0; Ipv6Header::LEN], [0; FragmentHeader::LEN]);
    EthernetHeader { dst: MAC[SERVER], src: MAC[CLIENT], ethertype: EtherType::Ipv6 }.emit(&mut ethernet);
    Ipv6Header {
        traffic_class: 0,
        flow_label: 0,
        payload_len: (FragmentHeader::LEN + data.len()) as u16,
        next_header: ext::FRAGMENT,
        hop_limit: 64,
        src: ADDR6[CLIENT],
        dst: ADDR6[SERVER],
    }
    .emit(&mut ip);
    header.emit(&mut fragment);
    [&ethernet[..], &ip, &fragment, data].concat()
}

#[test]
fn fragments_of_ipv6_have_rules_of_their_own() {
    let header = FragmentHeader { next_header: protocol::ICMPV6, offset: 0, more: false, ident: 7 };
    let mut echo = b"........ping data".to_vec();
    let request = crate::wire::icmpv6::Icmpv6Header::EchoRequest { ident: 7, seq: 3 };
    request.emit((ADDR6[CLIENT], ADDR6[SERVER]), &mut echo);
    // RFC 6946: a fragment that is the whole packet stands for itself.
    let (mut world, ..) = world(6);
    inject(&mut world, &piece_v6(FragmentHeader { more: true, ..header }, &echo[..8]));
    inject(&mut world, &piece_v6(header, &echo));
    assert_eq!(world.take_log(), ["S ICMP6, echo reply, id 7, seq 3"]);
    inject(&mut world, &piece_v6(FragmentHeader { offset: 1, ..header }, &echo[8..]));
    assert_eq!(world.take_log(), ["S ICMP6, echo reply, id 7, seq 3"]);
    // RFC 8200 4.5: all but the last are multiples of eight bytes.
    inject(&mut world, &piece_v6(FragmentHeader { more: true, ..header }, &echo[..9]));
    assert_eq!(world.take_log(), ["S ICMP6, parameter problem, errorneous - octet 4"]);
    // RFC 7112: the first one has all headers, the transport's included.
    let options = [protocol::UDP, 0, 1, 4, 0, 0, 0, 0];
    let udp = [0, 1, 0, 9, 0, 24, 0, 0];
    let check = |world: &mut World, next_header, data: &[u8], told: &[&str]| {
        inject(world, &piece_v6(FragmentHeader { next_header, more: true, ident: 8, ..header }, data));
        assert_eq!(world.take_log(), told, "{next_header}: {data:?}");
    };
    let told = "S ICMP6, parameter problem, header chain - octet 0";
    check(&mut world, ext::DESTINATION, &options, &[told]);
    check(&mut world, protocol::TCP, &[0; 16], &[told]);
    check(&mut world, ext::DESTINATION, &[options, udp].concat(), &[]);
    // Fragments within fragments are not taken apart.
    let nested = piece_v6(header, &echo)[EthernetHeader::LEN + Ipv6Header::LEN..].to_vec();
    inject(&mut world, &piece_v6(FragmentHeader { next_header: ext::FRAGMENT, ..header }, &nested));
    assert!(world.take_log().is_empty());
    assert_eq!(world.stacks[SERVER].drops().get(DropReason::IpInhdr), 4);
}

#[test]
fn a_socket_may_refuse_to_be_cut() {
    let (mut world, client, server) = world(7);
    let socket =
        |world: &mut World, fragments| world.stacks[CLIENT].sockets.udp(client).unwrap().options.fragments = fragments;
    socket(&mut world, Fragments::Never);
    assert_eq!(send(&mut world, client, &pattern(1472), at(true, 9)), Ok(1472));
    assert_eq!(send(&mut world, client, &pattern(1473), at(true, 9)), Err(SocketError::MessageTooLong));
    assert_eq!(send(&mut world, client, &pattern(1453), at(false, 9)), Err(SocketError::MessageTooLong));
    // A router has said that the way is narrower.
    let (dst, now) = (ADDR[SERVER].into(), world.now);
    assert_eq!(world.stacks[CLIENT].ip.paths.learn(dst, 1000, 1500, now), Some(1000));
    assert_eq!(send(&mut world, client, &pattern(973), at(true, 9)), Err(SocketError::MessageTooLong));
    assert_eq!(send(&mut world, client, &pattern(972), at(true, 9)), Ok(972));
    // What is known of the path is not asked by who probes it, only what the interface takes.
    socket(&mut world, Fragments::NeverProbing);
    assert_eq!(send(&mut world, client, &pattern(1473), at(true, 9)), Err(SocketError::MessageTooLong));
    assert_eq!(send(&mut world, client, &pattern(1472), at(true, 9)), Ok(1472));
    assert_eq!(world.count(CLIENT, Mib::IpOutDiscards) + world.count(CLIENT, Mib::IpFragCreates), 0);
    socket(&mut world, Fragments::IfLarge);
    world.take_log();
    assert_eq!(send(&mut world, client, &pattern(973), at(true, 9)), Ok(973));
    let expected = ["C frag offset 0, flags [+], length 996", "C frag offset 976, flags [none], length 25"];
    assert_eq!(world.take_log(), expected);
    world.run_ms(1);
    for n in [1472, 972, 1472, 973] {
        assert_eq!(recv(&mut world, server), Ok(pattern(n)));
    }
    world.run(Duration::from_secs(601));
    assert_eq!(send(&mut world, client, &pattern(1472), at(true, 9)), Ok(1472));
    assert_eq!(world.take_log(), ["C UDP, length 1472"], "forgotten after ten minutes");
}

#[test]
fn a_large_echo_comes_back_whole() {
    let (mut world, ..) = world(8);
    let mut message = [&[0; 8][..], &pattern(3000)].concat();
    crate::wire::icmp::IcmpHeader::EchoRequest { ident: 7, seq: 3 }.emit(&mut message);
    for (n, chunk) in message.chunks(1480).enumerate() {
        let mut piece = piece_v4(5, n * 1480, (n + 1) * 1480 < message.len(), chunk);
        piece[EthernetHeader::LEN + 9] = protocol::ICMP;
        crate::stack::fragment::seal_v4(&mut piece[EthernetHeader::LEN..EthernetHeader::LEN + Ipv4Header::LEN]);
        inject(&mut world, &piece);
    }
    assert_eq!(world.take_log().len(), 3);
    world.run_ms(1);
    assert_eq!(world.count(CLIENT, Mib::IcmpInEchoReps), 1);
}
