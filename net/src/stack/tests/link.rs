//! The floors below the transports: Ethernet, ARP, IPv4, ICMP.

use crate::event::DropReason;
use crate::packet::PacketBuf;
use crate::stack::counters::Mib;
use crate::stack::error::SocketError;
use crate::stack::testing::world::*;
use crate::wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use crate::wire::icmp::IcmpHeader;
use crate::wire::ipv4::{Ipv4Header, protocol};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// A frame from the client to the server.
fn frame(header: Ipv4Header, payload: &[u8]) -> Vec<u8> {
    let (dst, src) = (MAC[SERVER], MAC[CLIENT]);
    let (mut ethernet, mut ip) = ([0; EthernetHeader::LEN], [0; Ipv4Header::LEN]);
    EthernetHeader { dst, src, ethertype: EtherType::Ipv4 }.emit(&mut ethernet);
    header.emit(&mut ip);
    [&ethernet[..], &ip, payload].concat()
}

fn header(protocol: u8, len: usize) -> Ipv4Header {
    Ipv4Header::new(ADDR[CLIENT], ADDR[SERVER], protocol, len)
}

fn inject(world: &mut World, bytes: &[u8]) {
    let frame = PacketBuf::from_bytes(&world.pool, bytes).unwrap();
    world.call(SERVER, |stack, now, fx| {
        stack.on_frame(now, frame, fx);
        stack.on_batch_end(now, fx);
    });
}

#[test]
fn every_loss_has_one_reason() {
    let good = frame(header(protocol::UDP, 8), &[0; 8]);
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    };
    let check = |bytes: &[u8], reason: DropReason| {
        let mut world = World::new(1);
        inject(&mut world, bytes);
        let drops: Vec<_> = world.stacks[SERVER].drops().iter().collect();
        assert_eq!(drops, [(reason, 1)]);
    };
    check(&good[..13], DropReason::PktTooSmall);
    check(&good[..20], DropReason::PktTooSmall);
    check(&with(0, 4), DropReason::Otherhost);
    check(&with(12, 0x86), DropReason::UnhandledProto);
    check(&with(14, 0x55), DropReason::IpInhdr);
    check(&with(22, 1), DropReason::IpCsum);
    check(&frame(header(99, 0), &[]), DropReason::UnhandledProto);
    let foreign = Ipv4Header { dst: Ipv4Addr::new(10, 0, 0, 77), ..header(protocol::UDP, 0) };
    check(&frame(foreign, &[]), DropReason::Otherhost);
    let martian = Ipv4Header { src: Ipv4Addr::LOCALHOST, ..header(protocol::UDP, 0) };
    check(&frame(martian, &[]), DropReason::Otherhost);
    check(&frame(header(protocol::UDP, 7), &[0; 7]), DropReason::PktTooSmall);
    check(&frame(header(protocol::UDP, 8), &[0, 1, 0, 1, 0, 8, 1, 1]), DropReason::UdpCsum);
    check(&frame(header(protocol::UDP, 8), &[0, 1, 0, 1, 0, 8, 0, 0]), DropReason::NoSocket);
    check(&frame(header(protocol::TCP, 19), &[0; 19]), DropReason::PktTooSmall);
    check(&frame(header(protocol::TCP, 20), &[0; 20]), DropReason::TcpFlags);
    check(&frame(header(protocol::ICMP, 8), &[8, 0, 0, 0, 0, 0, 0, 0]), DropReason::IcmpCsum);
    let short_arp = [&good[..12], &[8, 6], &[0; 20]].concat();
    check(&short_arp, DropReason::PktTooSmall);
}

#[test]
fn padding_is_cut_off() {
    let mut world = World::new(1);
    let server = world.stacks[SERVER].udp_bind(any_addr(9)).unwrap();
    let bytes = frame(header(protocol::UDP, 10), &[0, 1, 0, 9, 0, 10, 0, 0, b'h', b'i']);
    inject(&mut world, &[&bytes[..], &[0xee; 20]].concat());
    let mut buf = [0; 30];
    let received = world.stacks[SERVER].udp_recv_from(server, &mut buf, false);
    assert_eq!((received, &buf[..2]), (Ok((2, SocketAddr::new(ADDR[CLIENT].into(), 1))), &b"hi"[..]));
}

#[test]
fn an_echo_is_answered_with_its_data() {
    let mut world = World::new(2);
    let mut message = *b"........ping data";
    IcmpHeader::EchoRequest { ident: 7, seq: 3 }.emit(&mut message);
    inject(&mut world, &frame(header(protocol::ICMP, message.len()), &message));
    assert_eq!(world.take_log(), ["S ARP, Request who-has 10.0.0.1 tell 10.0.0.2"]);
    world.run_ms(1);
    assert_eq!(world.take_log(), ["C ARP, Reply 10.0.0.1 is-at 02:00:00:00:00:01", "S ICMP echo reply, id 7, seq 3"]);
    assert_eq!(world.count(SERVER, Mib::IcmpOutEchoReps), 1);
    assert_eq!(world.count(CLIENT, Mib::IcmpInEchoReps), 1);
}

#[test]
fn an_unknown_protocol_is_unreachable() {
    let mut world = World::new(3);
    world.call(SERVER, |stack, now, fx| stack.add_neighbour(now, ADDR[CLIENT].into(), MAC[CLIENT], fx));
    inject(&mut world, &frame(header(99, 4), &[1, 2, 3, 4]));
    assert_eq!(world.take_log(), ["S ICMP protocol unreachable"]);
}

#[test]
fn a_neighbour_that_does_not_answer_fails_the_attempt_after_three_seconds() {
    let mut world = World::new(4);
    let to: SocketAddr = "10.0.0.77:7".parse().unwrap();
    let client = world.call(CLIENT, |stack, now, fx| stack.tcp_connect(now, None, to, &|_| true, fx)).unwrap();
    world.run_ms(2900);
    assert_eq!(world.stacks[CLIENT].tcp_connect_result(client), Err(SocketError::WouldBlock));
    world.run_ms(200);
    assert_eq!(world.stacks[CLIENT].tcp_connect_result(client), Err(SocketError::HostUnreachable));
    let asked = world.take_log();
    assert_eq!(asked, vec!["C ARP, Request who-has 10.0.0.77 tell 10.0.0.1"; 3]);
    assert_eq!(world.stacks[CLIENT].drops().get(DropReason::NeighFailed), 3, "the SYN and its two retransmissions");
    assert_eq!(world.stacks[CLIENT].next_deadline(), None);
}

#[test]
fn packets_that_wait_for_a_neighbour_are_bounded() {
    let mut world = World::with(5, |config| config.limits.neigh_queue_max_bytes = 3 * 832);
    let client = world.stacks[CLIENT].udp_bind(any_addr(9)).unwrap();
    let to = Some(SocketAddr::new(ADDR[SERVER].into(), 9));
    let server = world.stacks[SERVER].udp_bind(any_addr(9)).unwrap();
    for n in 0..5u8 {
        world.call(CLIENT, |stack, now, fx| stack.udp_send_to(now, client, &[n], to, fx)).unwrap();
    }
    world.run_ms(1);
    assert_eq!(world.stacks[CLIENT].drops().get(DropReason::NeighQueuefull), 2);
    let mut buf = [0; 4];
    for n in 2..5u8 {
        assert!(world.stacks[SERVER].udp_recv_from(server, &mut buf, false).is_ok());
        assert_eq!(buf[0], n);
    }
}

#[test]
fn an_answer_nobody_asked_for_is_not_believed() {
    let mut world = World::new(6);
    let mut arp = [0; 28];
    crate::wire::arp::ArpPacket {
        operation: crate::wire::arp::Operation::Reply,
        sender_mac: MacAddr([2, 0, 0, 0, 0, 0x66]),
        sender_ip: ADDR[CLIENT],
        target_mac: MAC[SERVER],
        target_ip: ADDR[SERVER],
    }
    .emit(&mut arp);
    let mut ethernet = [0; 14];
    let src = MacAddr([2, 0, 0, 0, 0, 0x66]);
    EthernetHeader { dst: MAC[SERVER], src, ethertype: EtherType::Arp }.emit(&mut ethernet);
    inject(&mut world, &[&ethernet[..], &arp].concat());
    let server = world.stacks[SERVER].udp_bind(any_addr(9)).unwrap();
    let to = Some(SocketAddr::new(ADDR[CLIENT].into(), 9));
    world.call(SERVER, |stack, now, fx| stack.udp_send_to(now, server, b"x", to, fx)).unwrap();
    assert_eq!(world.take_log(), ["S ARP, Request who-has 10.0.0.1 tell 10.0.0.2"]);
}

/// Acknowledgements confirm where a neighbour is; without them it is asked again, by itself.
#[test]
fn a_neighbour_in_use_is_asked_again_unless_a_transport_hears_of_it() {
    let mut world = World::new(7);
    let (client, server, _) = world.establish();
    for _ in 0..80 {
        world.send(CLIENT, client, b"x").unwrap();
        world.run(Duration::from_secs(1));
        world.recv(SERVER, server).unwrap();
    }
    let log = world.take_log();
    // The server's segments are never acknowledged anew.
    let asked: Vec<_> = log.iter().filter(|line| line.contains("Request who-has")).collect();
    assert_eq!(asked.iter().filter(|line| line.starts_with("C ")).count(), 1, "{log:?}");
    assert_eq!(asked.iter().filter(|line| line.starts_with("S ")).count(), 2, "{log:?}");
    let datagrams = world.stacks[CLIENT].udp_bind(any_addr(9)).unwrap();
    let to = Some(SocketAddr::new(ADDR[SERVER].into(), 9));
    world.run(Duration::from_secs(60));
    for _ in 0..7 {
        world.call(CLIENT, |stack, now, fx| stack.udp_send_to(now, datagrams, b"x", to, fx)).unwrap();
        world.run(Duration::from_secs(1));
    }
    let log = world.take_log();
    assert_eq!(log.iter().filter(|line| line.contains("C ARP, Request who-has")).count(), 1, "{log:?}");
}

/// With checksums left to the device nothing is summed, and nothing is looked at that the device has vouched for.
#[test]
fn checksums_may_be_left_to_the_device() {
    let mut world = World::with(8, |config| config.checksum_offload = true);
    let (client, server, _) = world.establish();
    world.send(CLIENT, client, &pattern(5000)).unwrap();
    world.run_ms(100);
    assert_eq!(world.recv(SERVER, server).unwrap(), pattern(5000));
    assert_eq!(world.stacks[SERVER].drops().total(), 0);
}

#[test]
fn a_gateway_leads_to_other_networks() {
    let mut world = World::with(9, |config| {
        if config.mac == MAC[CLIENT] {
            config.routes.push(default_via(ADDR[SERVER].into()));
        }
    });
    let client = world.stacks[CLIENT].udp_bind(any_addr(9)).unwrap();
    let to = Some("192.168.7.7:9".parse().unwrap());
    world.call(CLIENT, |stack, now, fx| stack.udp_send_to(now, client, b"x", to, fx)).unwrap();
    assert_eq!(world.take_log(), ["C ARP, Request who-has 10.0.0.2 tell 10.0.0.1"]);
    world.run_ms(1);
    assert_eq!(world.stacks[SERVER].drops().get(DropReason::Otherhost), 1, "the other host is not a router");
}

/// A shard that is not the first learns, but leaves the answer to the first.
#[test]
fn only_the_first_shard_answers_arp() {
    let mut world = World::with(10, |config| {
        config.shard.count = 2;
        config.shard.index = u32::from(config.mac == MAC[SERVER]);
    });
    let client = world.stacks[CLIENT].udp_bind(any_addr(9)).unwrap();
    let to = Some(SocketAddr::new(ADDR[SERVER].into(), 9));
    world.call(CLIENT, |stack, now, fx| stack.udp_send_to(now, client, b"x", to, fx)).unwrap();
    world.run_ms(1);
    assert_eq!(world.take_log(), ["C ARP, Request who-has 10.0.0.2 tell 10.0.0.1"]);
}
