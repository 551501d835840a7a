//! Which ICMP error becomes which error of which socket: the tables of `icmp_err_convert` and `icmpv6_err_convert`.

use crate::extended_error::ErrorOrigin;
use crate::sockopt::{MtuDiscover, Opt, Value};
use crate::stack::counters::Mib;
use crate::stack::error::SocketError;
use crate::stack::socket::SocketId;
use crate::stack::testing::forge::inject_to;
use crate::stack::testing::world::*;
use crate::wire::checksum::Sum;
use crate::wire::ethernet::{EtherType, EthernetHeader};
use crate::wire::icmp::IcmpHeader;
use crate::wire::icmpv6::Icmpv6Header;
use crate::wire::ipv4::{Ipv4Header, protocol};
use crate::wire::ipv6::Ipv6Header;
use crate::wire::udp::UdpHeader;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use wakeline_runtime::wait_queue::Events;

/// An ICMP error of either family.
#[derive(Clone, Copy, Debug)]
enum Told {
    V4(IcmpHeader),
    V6(Icmpv6Header),
}

const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
const ROUTER6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0xfe);

fn v4_header(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut ip = [0; Ipv4Header::LEN];
    Ipv4Header::new(src, dst, protocol, payload.len()).emit(&mut ip);
    [&ip[..], payload].concat()
}

fn v6_header(src: Ipv6Addr, dst: Ipv6Addr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut ip = [0; Ipv6Header::LEN];
    let payload_len = payload.len() as u16;
    Ipv6Header { traffic_class: 0, flow_label: 0, payload_len, next_header, hop_limit: 64, src, dst }.emit(&mut ip);
    [&ip[..], payload].concat()
}

/// A router tells the client about its datagram from port 100 to the server's port `to`.
fn tell(world: &mut World, told: Told, to: u16) {
    let mut udp = [0; UdpHeader::LEN];
    UdpHeader { src_port: 100, dst_port: to, len: 8, has_checksum: true }.emit(&mut udp, Some(Sum::default()));
    let packet = match told {
        Told::V4(header) => {
            let quoted = v4_header(ADDR[CLIENT], ADDR[SERVER], protocol::UDP, &udp);
            let mut message = [&[0; IcmpHeader::LEN][..], &quoted].concat();
            header.emit(&mut message);
            v4_header(ROUTER, ADDR[CLIENT], protocol::ICMP, &message)
        }
        Told::V6(header) => {
            let quoted = v6_header(ADDR6[CLIENT], ADDR6[SERVER], protocol::UDP, &udp);
            let mut message = [&[0; Icmpv6Header::LEN][..], &quoted].concat();
            header.emit((ROUTER6, ADDR6[CLIENT]), &mut message);
            v6_header(ROUTER6, ADDR6[CLIENT], protocol::ICMPV6, &message)
        }
    };
    let ethertype = if matches!(told, Told::V4(_)) { EtherType::Ipv4 } else { EtherType::Ipv6 };
    let mut ethernet = [0; EthernetHeader::LEN];
    EthernetHeader { dst: MAC[CLIENT], src: MAC[SERVER], ethertype }.emit(&mut ethernet);
    inject_to(world, CLIENT, &[&ethernet[..], &packet].concat());
}

/// A client's socket on port 100, connected to the server's port 7 in either family.
fn connected(world: &mut World, v4: bool) -> SocketId {
    let (bind, peer) = match v4 {
        true => ("0.0.0.0:100", SocketAddr::new(ADDR[SERVER].into(), 7)),
        false => ("[::]:100", SocketAddr::new(ADDR6[SERVER].into(), 7)),
    };
    let id = world.stacks[CLIENT].udp_bind(bind.parse().unwrap()).unwrap();
    world.udp_connect(CLIENT, id, peer).unwrap();
    id
}

#[test]
fn errors_reach_a_connected_socket_when_trying_again_is_in_vain() {
    let check = |told: Told, expected: Option<SocketError>| {
        let mut world = World::new(1);
        let id = connected(&mut world, matches!(told, Told::V4(_)));
        tell(&mut world, told, 8);
        assert_eq!(world.stacks[CLIENT].take_error(id), None, "about another flow: {told:?}");
        tell(&mut world, told, 7);
        assert_eq!(world.stacks[CLIENT].take_error(id), expected, "{told:?}");
    };
    let unreachable = |code: u8| Told::V4(IcmpHeader::Unreachable { code, mtu: 0 });
    check(unreachable(0), None);
    check(unreachable(1), None);
    check(unreachable(2), Some(SocketError::ProtocolUnreachable));
    check(unreachable(3), Some(SocketError::ConnectionRefused));
    check(unreachable(4), Some(SocketError::MessageTooLong));
    check(unreachable(5), None);
    check(unreachable(6), Some(SocketError::NetworkUnreachable));
    check(unreachable(7), Some(SocketError::HostDown));
    check(unreachable(8), Some(SocketError::NotOnNetwork));
    check(unreachable(9), Some(SocketError::NetworkUnreachable));
    check(unreachable(10), Some(SocketError::HostUnreachable));
    check(unreachable(11), None);
    check(unreachable(12), None);
    (13..16).for_each(|code| check(unreachable(code), Some(SocketError::HostUnreachable)));
    check(Told::V4(IcmpHeader::TimeExceeded { code: 0 }), None);
    check(Told::V4(IcmpHeader::ParameterProblem { code: 0, pointer: 1 }), Some(SocketError::ProtocolError));
    check(Told::V4(IcmpHeader::Other { kind: 4, code: 0 }), None);
    check(Told::V4(IcmpHeader::Other { kind: 5, code: 0 }), None);
    let unreachable = |code: u8| Told::V6(Icmpv6Header::Unreachable { code });
    check(unreachable(0), None);
    check(unreachable(1), Some(SocketError::PermissionDenied));
    check(unreachable(2), None);
    check(unreachable(3), None);
    check(unreachable(4), Some(SocketError::ConnectionRefused));
    check(unreachable(5), Some(SocketError::PermissionDenied));
    check(unreachable(6), Some(SocketError::PermissionDenied));
    check(Told::V6(Icmpv6Header::PacketTooBig { mtu: 1280 }), Some(SocketError::MessageTooLong));
    check(Told::V6(Icmpv6Header::TimeExceeded { code: 0 }), None);
    let problem = Icmpv6Header::ParameterProblem { code: 1, pointer: 6 };
    check(Told::V6(problem), Some(SocketError::ProtocolError));
}

#[test]
fn an_unconnected_socket_hears_nothing() {
    let mut world = World::new(2);
    let id = world.stacks[CLIENT].udp_bind(any_addr(100)).unwrap();
    tell(&mut world, Told::V4(IcmpHeader::Unreachable { code: 3, mtu: 0 }), 7);
    assert_eq!(world.stacks[CLIENT].take_error(id), None);
    assert_eq!(world.count(CLIENT, Mib::IcmpInDestUnreachs), 1);
}

/// A world with a socket on port 100 that keeps what is said of its datagrams.
fn with_error_queue(fragments: MtuDiscover) -> (World, SocketId) {
    let mut world = World::new(4);
    let id = world.stacks[CLIENT].udp_bind(any_addr(100)).unwrap();
    let options = [(Opt::RecvErr, Value::Flag(true)), (Opt::MtuDiscover, Value::Number(fragments.number()))];
    for option in options {
        world.call(CLIENT, |stack, now, fx| stack.set_option(now, id, option, fx)).unwrap();
    }
    (world, id)
}

#[test]
fn an_error_queue_keeps_all_that_is_said_even_to_who_has_no_peer() {
    let (mut world, id) = with_error_queue(MtuDiscover::Want);
    tell(&mut world, Told::V4(IcmpHeader::TimeExceeded { code: 0 }), 7);
    tell(&mut world, Told::V4(IcmpHeader::Unreachable { code: 4, mtu: 1400 }), 8);
    assert!(world.stacks[CLIENT].readiness(id).contains(Events::ERR));
    let first = world.stacks[CLIENT].udp_take_report(id).unwrap();
    assert_eq!((first.kind, first.code, first.info, first.origin), (11, 0, 0, ErrorOrigin::Icmp));
    assert_eq!(first.destination, SocketAddr::new(ADDR[SERVER].into(), 7));
    assert_eq!(first.offender, Some(ROUTER.into()));
    // What comes next is what is pending now.
    assert_eq!(world.stacks[CLIENT].take_error(id), Some(SocketError::MessageTooLong));
    let second = world.stacks[CLIENT].udp_take_report(id).unwrap();
    assert_eq!((second.kind, second.code, second.info), (3, 4, 1400));
    assert_eq!((world.stacks[CLIENT].udp_take_report(id), world.stacks[CLIENT].take_error(id)), (None, None));
    assert!(!world.stacks[CLIENT].readiness(id).contains(Events::ERR));
    // Taking the last report takes the error as well.
    tell(&mut world, Told::V4(IcmpHeader::Unreachable { code: 3, mtu: 0 }), 7);
    assert!(world.stacks[CLIENT].udp_take_report(id).is_some());
    assert_eq!(world.stacks[CLIENT].take_error(id), None);
}

#[test]
fn an_error_queue_is_bounded() {
    let (mut world, id) = with_error_queue(MtuDiscover::Want);
    for _ in 0..1000 {
        tell(&mut world, Told::V4(IcmpHeader::Unreachable { code: 1, mtu: 0 }), 7);
    }
    let told = std::iter::from_fn(|| world.stacks[CLIENT].udp_take_report(id)).count();
    assert_eq!(told, 256);
}

#[test]
fn a_datagram_that_may_not_be_cut_is_refused_with_the_size_that_may_pass() {
    let (mut world, id) = with_error_queue(MtuDiscover::Do);
    let to = SocketAddr::new(ADDR[SERVER].into(), 7);
    let sent = world.call(CLIENT, |stack, now, fx| stack.udp_send_to(now, id, &[0; 1473], Some(to), fx));
    assert_eq!(sent, Err(SocketError::MessageTooLong));
    let told = world.stacks[CLIENT].udp_take_report(id).unwrap();
    assert_eq!((told.origin, told.errno, told.info), (ErrorOrigin::Local, SocketError::MessageTooLong.errno(), 1500));
    assert_eq!((told.destination, told.offender), (to, None));
    assert_eq!(world.stacks[CLIENT].take_error(id), None, "the call has said it");
}

#[test]
fn who_lets_datagrams_be_cut_is_not_told_how_large_they_may_be() {
    let (mut world, id) = with_error_queue(MtuDiscover::Dont);
    tell(&mut world, Told::V4(IcmpHeader::Unreachable { code: 4, mtu: 1400 }), 7);
    assert_eq!((world.stacks[CLIENT].udp_take_report(id), world.stacks[CLIENT].take_error(id)), (None, None));
}

/// `ipv4_link_failure`: the host says it to itself.
#[test]
fn a_neighbour_that_does_not_answer_is_told_as_an_unreachable_host() {
    let (mut world, id) = with_error_queue(MtuDiscover::Want);
    world.wire.cut_to = Some(SERVER);
    let to = SocketAddr::new(ADDR[SERVER].into(), 7);
    world.call(CLIENT, |stack, now, fx| stack.udp_send_to(now, id, b"x", Some(to), fx)).unwrap();
    world.run_ms(5000);
    let told = world.stacks[CLIENT].udp_take_report(id).unwrap();
    assert_eq!((told.kind, told.code, told.errno), (3, 1, SocketError::HostUnreachable.errno()));
    assert_eq!((told.offender, told.destination), (Some(ADDR[CLIENT].into()), to));
}

/// RFC 1812 4.3.2.8: one peer is told six times, then once a second.
#[test]
fn a_peer_is_not_flooded_with_errors() {
    let mut world = World::new(3);
    world.introduce();
    let client = world.stacks[CLIENT].udp_bind(any_addr(100)).unwrap();
    let to = Some(SocketAddr::new(ADDR[SERVER].into(), 9));
    for _ in 0..20 {
        world.call(CLIENT, |stack, now, fx| stack.udp_send_to(now, client, b"x", to, fx)).unwrap();
    }
    world.run_ms(1);
    assert_eq!(world.count(SERVER, Mib::IcmpOutDestUnreachs), 6);
    assert_eq!(world.count(SERVER, Mib::IcmpOutRateLimitHost), 14);
}
