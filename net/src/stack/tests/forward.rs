//! A host that is a router: what it passes on, what it refuses, and what it says about it.

use crate::event::DropReason;
use crate::stack::addresses::Cidr;
use crate::stack::counters::Mib;
use crate::stack::error::SocketError;
use crate::stack::route::{Route, RouteTo};
use crate::stack::testing::forge::inject;
use crate::stack::testing::world::*;
use crate::wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use crate::wire::ipv4::{Ipv4Header, protocol};
use crate::wire::ipv6::Ipv6Header;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const FAR: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x77]);

/// The server is the client's router, and has the networks 192.168.7.0/24 and fd01::/64 beside.
fn world(seed: u64) -> World {
    let mut world = World::with(seed, |config| {
        if config.mac == MAC[CLIENT] {
            config.routes.push(default_via(ADDR[SERVER].into()));
            config.routes.push(default_via(ADDR6[SERVER].into()));
        } else {
            config.forwards = true;
            config.addrs.push("192.168.7.1/24".parse::<Cidr>().unwrap());
            config.addrs.push("fd01::1/64".parse::<Cidr>().unwrap());
            let route =
                |prefix: &str, to| Route { prefix: prefix.parse().unwrap(), to, metric: 1024, expires_at: None };
            config.routes.push(route("192.168.8.0/24", RouteTo::Unreachable));
            config.routes.push(route("192.168.9.0/24", RouteTo::Prohibit));
            config.routes.push(route("192.168.10.0/24", RouteTo::Blackhole));
        }
    });
    world.introduce();
    for far in ["192.168.7.2", "fd01::2"] {
        let far: IpAddr = far.parse().unwrap();
        world.call(SERVER, |stack, now, fx| stack.add_neighbour(now, far, FAR, fx));
    }
    world
}

fn send(world: &mut World, bytes: &[u8], to: &str) -> Result<usize, SocketError> {
    let to: SocketAddr = to.parse().unwrap();
    let bind = if to.is_ipv4() { "0.0.0.0:5" } else { "[::]:5" };
    let id = world.stacks[CLIENT].udp_bind(bind.parse().unwrap()).unwrap();
    world.udp_connect(CLIENT, id, to).unwrap();
    let sent = world.call(CLIENT, |stack, now, fx| stack.udp_send_to(now, id, bytes, None, fx));
    world.run_ms(2);
    let error = world.stacks[CLIENT].take_error(id);
    world.close(CLIENT, id);
    error.map_or(sent, Err)
}

#[test]
fn a_packet_goes_on_one_hop_older() {
    for to in ["192.168.7.2:9", "[fd01::2]:9"] {
        let mut world = world(1);
        send(&mut world, b"x", to).unwrap();
        assert_eq!(world.take_log(), ["C UDP, length 1", "S UDP, length 1"]);
        let forwarded = world.last_frame.clone();
        assert_eq!(EthernetHeader::parse(&forwarded).unwrap().dst, FAR);
        let packet = &forwarded[EthernetHeader::LEN..];
        match to.starts_with('[') {
            false => assert_eq!(Ipv4Header::parse(packet).unwrap().ttl, 63, "and its checksum holds"),
            true => assert_eq!(Ipv6Header::parse(packet).unwrap().hop_limit, 63),
        }
        let mib = if to.starts_with('[') { Mib::Ip6OutForwDatagrams } else { Mib::IpForwDatagrams };
        assert_eq!(world.count(SERVER, mib), 1);
    }
}

#[test]
fn routes_that_lead_nowhere_say_so() {
    let check = |to: &str, answer: &[&str]| {
        let mut world = world(2);
        let _ = send(&mut world, b"x", to);
        let mut log = world.take_log();
        log.remove(0);
        assert_eq!(log, answer, "{to}");
    };
    check("172.16.0.1:9", &["S ICMP net unreachable"]);
    check("[fd02::1]:9", &["S ICMP6, destination unreachable, unreachable route"]);
    check("192.168.8.1:9", &["S ICMP host unreachable"]);
    check("192.168.9.1:9", &["S ICMP unreachable - #13"]);
    check("192.168.10.1:9", &[]);
    let mut own = world(2);
    let bound = own.stacks[SERVER].udp_bind(any_addr(5)).unwrap();
    let mut try_own = |to: &str| {
        let to = Some(to.parse().unwrap());
        own.call(SERVER, |stack, now, fx| stack.udp_send_to(now, bound, b"x", to, fx))
    };
    assert_eq!(try_own("172.16.0.1:9"), Err(SocketError::NetworkUnreachable));
    assert_eq!(try_own("192.168.8.1:9"), Err(SocketError::HostUnreachable));
    assert_eq!(try_own("192.168.9.1:9"), Err(SocketError::PermissionDenied));
    assert_eq!(try_own("192.168.10.1:9"), Err(SocketError::InvalidInput));
}

/// A frame for the far host with this time to live.
fn frame(ttl: u8, dst: [u8; 4], to_all: bool) -> Vec<u8> {
    let (mut ethernet, mut ip) = ([0; EthernetHeader::LEN], [0; Ipv4Header::LEN]);
    let to = if to_all { MacAddr::BROADCAST } else { MAC[SERVER] };
    EthernetHeader { dst: to, src: MAC[CLIENT], ethertype: EtherType::Ipv4 }.emit(&mut ethernet);
    Ipv4Header { ttl, ..Ipv4Header::new(ADDR[CLIENT], dst.into(), protocol::UDP, 8) }.emit(&mut ip);
    [&ethernet[..], &ip, &[0, 1, 0, 9, 0, 8, 0, 0]].concat()
}

#[test]
fn what_has_travelled_too_far_or_must_not_travel_stops_here() {
    let check = |frame: &[u8], answer: &[&str]| {
        let mut world = world(3);
        inject(&mut world, frame);
        assert_eq!(world.take_log(), answer);
    };
    check(&frame(2, [192, 168, 7, 2], false), &["S UDP, length 0"]);
    check(&frame(1, [192, 168, 7, 2], false), &["S ICMP time exceeded in-transit"]);
    check(&frame(64, [192, 168, 7, 2], true), &[]);
    check(&frame(64, [127, 0, 0, 2], false), &[]);
    check(&frame(64, [169, 254, 0, 2], false), &[]);
}

#[test]
fn the_sender_hears_that_the_far_host_does_not_answer() {
    let mut world = world(4);
    send(&mut world, b"x", "192.168.7.9:9").unwrap();
    world.run(Duration::from_secs(4));
    let log = world.take_log();
    assert_eq!(log.iter().filter(|line| line.contains("who-has 192.168.7.9 tell 192.168.7.1")).count(), 3, "{log:?}");
    assert_eq!(log.last().unwrap(), "S ICMP host unreachable");
    assert_eq!(world.stacks[SERVER].drops().get(DropReason::NeighFailed), 1);
}

/// Path MTU discovery: the router's next link is narrower, says so, and the sender takes heed.
#[test]
fn a_narrow_link_is_told_and_remembered() {
    for (to, mtu, most) in [("192.168.7.2:9", 1000, 972), ("[fd01::2]:9", 1300, 1252)] {
        let mut world = world(5);
        world.stacks[SERVER].ip.config.mtu = mtu;
        assert_eq!(send(&mut world, &pattern(1400), to), Err(SocketError::MessageTooLong));
        let log = world.take_log();
        assert!(log[1].contains(&format!("mtu {mtu}")), "{log:?}");
        assert_eq!(send(&mut world, &pattern(most), to), Ok(most));
        assert_eq!(world.take_log().len(), 2);
        assert_eq!(send(&mut world, &pattern(1400), to), Ok(1400), "in pieces from now on");
        assert_eq!(world.take_log().len(), 4);
    }
}

/// The same for a connection: what was lost is sent again in smaller segments, and nothing ends.
#[test]
fn a_connection_follows_a_path_that_narrows() {
    let mut world = World::new(6);
    world.introduce();
    let (client, server, _) = world.establish();
    world.wire.cut_to = Some(SERVER);
    world.send(CLIENT, client, &pattern(1400)).unwrap();
    world.wire.cut_to = None;
    // A router says that only 1000 bytes get through.
    let frame = world.last_frame.clone();
    let quoted = &frame[EthernetHeader::LEN..EthernetHeader::LEN + 28];
    let mut message = [&[0; 8][..], quoted].concat();
    crate::wire::icmp::IcmpHeader::Unreachable { code: 4, mtu: 1000 }.emit(&mut message);
    let (mut ethernet, mut ip) = ([0; EthernetHeader::LEN], [0; Ipv4Header::LEN]);
    EthernetHeader { dst: MAC[CLIENT], src: MAC[SERVER], ethertype: EtherType::Ipv4 }.emit(&mut ethernet);
    Ipv4Header::new(ADDR[SERVER], ADDR[CLIENT], protocol::ICMP, message.len()).emit(&mut ip);
    world.take_log();
    crate::stack::testing::forge::inject_to(&mut world, CLIENT, &[&ethernet[..], &ip, &message].concat());
    world.run(Duration::from_secs(3));
    assert_eq!(world.recv(SERVER, server).unwrap(), pattern(1400));
    let longest = |log: Vec<String>| {
        let sent = log.into_iter().filter(|line| line.starts_with("C ["));
        sent.filter_map(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).max()
    };
    assert_eq!(longest(world.take_log()), Some(948), "1000 less two headers and timestamps");
    assert_eq!(world.state(CLIENT, client), "TCP_ESTABLISHED");
    world.send(CLIENT, client, &pattern(5000)).unwrap();
    world.run(Duration::from_secs(3));
    assert_eq!(longest(world.take_log()), Some(948));
}
