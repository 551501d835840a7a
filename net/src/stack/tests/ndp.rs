//! Neighbour discovery: what is believed, what is answered, what is not.

use crate::stack::testing::forge::inject;
use crate::stack::testing::world::*;
use crate::wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use crate::wire::ipv4::protocol;
use crate::wire::ipv6::Ipv6Header;
use crate::wire::ndp::{NaFlags, NdpMessage, solicited_node};
use smallvec::SmallVec;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

pub(super) const EVIL: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x66]);

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// Gives the server a message.
pub(super) fn say(world: &mut World, (src, dst): (Ipv6Addr, Ipv6Addr), hop_limit: u8, message: &NdpMessage) {
    let mut bytes = SmallVec::new();
    message.emit((src, dst), &mut bytes);
    let (mut ethernet, mut header) = ([0; EthernetHeader::LEN], [0; Ipv6Header::LEN]);
    let to = if dst.is_multicast() { MacAddr::of_group_v6(dst) } else { MAC[SERVER] };
    EthernetHeader { dst: to, src: EVIL, ethertype: EtherType::Ipv6 }.emit(&mut ethernet);
    let payload_len = bytes.len() as u16;
    let next_header = protocol::ICMPV6;
    Ipv6Header { traffic_class: 0, flow_label: 0, payload_len, next_header, hop_limit, src, dst }.emit(&mut header);
    inject(world, &[&ethernet[..], &header, &bytes].concat());
}

fn state(world: &World, addr: Ipv6Addr) -> Option<&'static str> {
    world.stacks[SERVER].ip.neighbours.state_of(IpAddr::V6(addr))
}

fn advert(target: Ipv6Addr, flags: NaFlags) -> NdpMessage {
    NdpMessage::NeighbourAdvert { target, flags, target_mac: Some(EVIL) }
}

#[test]
fn questions_are_answered_as_their_sender_can_hear() {
    let check = |src: &str, dst: Ipv6Addr, source_mac: Option<MacAddr>, hop_limit: u8, answer: &[&str]| {
        let mut world = World::new(1);
        let solicit = NdpMessage::NeighbourSolicit { target: ADDR6[SERVER], source_mac };
        say(&mut world, (ip(src), dst), hop_limit, &solicit);
        let answer: Vec<_> = answer.iter().map(|line| format!("S ICMP6, {line}")).collect();
        assert_eq!(world.take_log(), answer, "{src} {dst} {source_mac:?} {hop_limit}");
    };
    let (group, own) = (solicited_node(ADDR6[SERVER]), ADDR6[SERVER]);
    let answer = "neighbor advertisement, tgt is fd00::2, Flags [solicited, override]";
    check("fd00::9", group, Some(EVIL), 255, &[answer]);
    check("fd00::9", own, Some(EVIL), 255, &[answer]);
    // Who has named no station must be asked for first.
    check("fd00::9", own, None, 255, &["neighbor solicitation, who has fd00::9"]);
    // Somebody wants our address (RFC 4862): all are told.
    check("::", group, None, 255, &["neighbor advertisement, tgt is fd00::2, Flags [override]"]);
    check("::", group, Some(EVIL), 255, &[]);
    check("::", own, None, 255, &[]);
    // From beyond a router.
    check("fd00::9", group, Some(EVIL), 254, &[]);
}

/// RFC 4861 7.2.5: nobody can say to be where another one is without being asked, except by overriding, and then it is
/// doubted and asked about.
#[test]
fn hostile_advertisements_do_not_take_a_neighbour_away() {
    let mut world = World::new(2);
    let listener = world.stacks[SERVER].tcp_listen("[::]:7".parse().unwrap(), 9, false).unwrap();
    let to = SocketAddr::new(ADDR6[SERVER].into(), 7);
    let client = world.call(CLIENT, |stack, now, fx| stack.tcp_connect(now, None, to, &|_| true, fx)).unwrap();
    world.run_ms(5);
    let (server, _) = world.stacks[SERVER].tcp_accept(listener).unwrap();
    world.send(SERVER, server, b"hello").unwrap();
    world.run_ms(50);
    let target = ADDR6[CLIENT];
    let known = state(&world, target);
    assert_eq!(known, Some("REACHABLE"), "an acknowledgement has confirmed it");
    // Solicited, but to a group; for an address that nobody asked for; without the right to override.
    say(&mut world, (target, ip("ff02::1")), 255, &advert(target, NaFlags::SOLICITED | NaFlags::OVERRIDE));
    assert_eq!(state(&world, target), Some("REACHABLE"));
    say(&mut world, (ip("fd00::77"), ADDR6[SERVER]), 255, &advert(ip("fd00::77"), NaFlags::SOLICITED));
    assert_eq!(state(&world, ip("fd00::77")), None);
    say(&mut world, (target, ADDR6[SERVER]), 255, &advert(target, NaFlags::empty()));
    assert_eq!(state(&world, target), Some("STALE"), "doubted, at its old place");
    world.send(SERVER, server, b"still").unwrap();
    world.run_ms(50);
    assert_eq!(world.recv(CLIENT, client).unwrap(), b"hellostill");
    assert_eq!(state(&world, target), Some("REACHABLE"));
    // Our own address is not up for grabs.
    say(&mut world, (ADDR6[SERVER], ip("ff02::1")), 255, &advert(ADDR6[SERVER], NaFlags::OVERRIDE));
    assert_eq!(state(&world, ADDR6[SERVER]), None);
}

#[test]
fn a_flood_of_questions_is_bounded() {
    let mut world = World::with(3, |config| config.limits.neigh.max = 64);
    let target = ADDR6[SERVER];
    for n in 0..2000u32 {
        let src = Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(1000 + n));
        let solicit = NdpMessage::NeighbourSolicit { target, source_mac: Some(EVIL) };
        say(&mut world, (src, solicited_node(target)), 255, &solicit);
    }
    assert!(world.stacks[SERVER].ip.neighbours.len() <= 64);
}
