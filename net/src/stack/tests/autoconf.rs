//! What a host of IPv6 finds out by itself: duplicate addresses, routers, prefixes and their ends.

use super::ndp::{EVIL, say};
use crate::stack::autoconf::{Dad, Ipv6Sysctls};
use crate::stack::error::SocketError;
use crate::stack::testing::world::*;
use crate::wire::ndp::{ALL_NODES, NaFlags, NdpMessage, PrefixInfo, RouterAdvert, solicited_node};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x66);
const LEASED: &str = "2001:db8:1::ff:fe00:2";

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A world in which the server has just come up.
fn world(seed: u64, sysctls: Ipv6Sysctls) -> World {
    let mut world = World::with(seed, |config| config.ipv6 = sysctls);
    world.call(SERVER, |stack, now, fx| stack.start(now, fx));
    world
}

fn with_dad(seed: u64, dad: Dad) -> World {
    world(seed, Ipv6Sysctls { dad, ..Ipv6Sysctls::OFF })
}

fn routed(seed: u64) -> World {
    let mut world = world(seed, Ipv6Sysctls { accept_ra: true, ..Ipv6Sysctls::OFF });
    world.take_log();
    world
}

fn has(world: &World, addr: &str) -> bool {
    world.stacks[SERVER].addrs().contains(&IpAddr::V6(ip(addr)))
}

fn source(world: &mut World, dst: &str) -> Option<IpAddr> {
    let now = world.now;
    world.stacks[SERVER].source_towards(now, ip(dst).into())
}

fn prefix(prefix: &str, valid_s: u32, preferred_s: u32) -> PrefixInfo {
    PrefixInfo { prefix: ip(prefix), len: 64, on_link: true, autonomous: true, valid_s, preferred_s }
}

fn advertise(world: &mut World, lifetime_s: u16, prefixes: &[PrefixInfo]) {
    let advert = RouterAdvert {
        lifetime_s,
        source_mac: Some(EVIL),
        prefixes: prefixes.iter().copied().collect(),
        ..RouterAdvert::default()
    };
    say(world, (ROUTER, ALL_NODES), 255, &NdpMessage::RouterAdvert(advert));
}

#[test]
fn an_address_is_asked_about_for_a_second_before_it_is_used() {
    let mut world = with_dad(1, Dad::First);
    let questions =
        ["S ICMP6, neighbor solicitation, who has fd00::2", "S ICMP6, neighbor solicitation, who has fe80::ff:fe00:2"];
    assert_eq!(world.take_log(), questions);
    assert!(!has(&world, "fd00::2") && !has(&world, "fe80::ff:fe00:2"));
    assert_eq!(source(&mut world, "fd00::1"), None);
    let to = SocketAddr::new(ADDR6[CLIENT].into(), 7);
    let refused = world.call(SERVER, |stack, now, fx| stack.tcp_connect(now, None, to, &|_| true, fx));
    assert_eq!(refused, Err(SocketError::AddrNotAvailable));
    // Nobody is told where it is.
    let solicit = NdpMessage::NeighbourSolicit { target: ADDR6[SERVER], source_mac: Some(EVIL) };
    say(&mut world, (ip("fd00::9"), solicited_node(ADDR6[SERVER])), 255, &solicit);
    world.run_ms(999);
    assert!(world.take_log().is_empty() && !has(&world, "fd00::2"));
    world.run_ms(1);
    assert!(has(&world, "fd00::2") && has(&world, "fe80::ff:fe00:2"));
    assert_eq!(source(&mut world, "fd00::1"), Some(ADDR6[SERVER].into()));
    assert_eq!(world.stacks[SERVER].next_deadline(), None);
}

#[test]
fn an_address_that_somebody_has_or_wants_is_not_taken() {
    let target = ADDR6[SERVER];
    let flags = NaFlags::OVERRIDE;
    let has_it = NdpMessage::NeighbourAdvert { target, flags, target_mac: Some(EVIL) };
    let wants_it = NdpMessage::NeighbourSolicit { target, source_mac: None };
    let asks_for_it = NdpMessage::NeighbourSolicit { target, source_mac: Some(EVIL) };
    let cases = [
        (target, ALL_NODES, &has_it, true),
        (Ipv6Addr::UNSPECIFIED, solicited_node(target), &wants_it, true),
        (ip("fd00::9"), solicited_node(target), &asks_for_it, false),
    ];
    for dad in [Dad::First, Dad::Optimistic] {
        for (src, dst, message, duplicate) in cases {
            let mut world = with_dad(2, dad);
            world.run_ms(500);
            say(&mut world, (src, dst), 255, message);
            world.run_ms(1000);
            assert_eq!(has(&world, "fd00::2"), !duplicate, "{dad:?} {message}");
            assert!(has(&world, "fe80::ff:fe00:2"), "the other one is not concerned");
            // The time to object is over.
            say(&mut world, (target, ALL_NODES), 255, &has_it);
            assert_eq!(has(&world, "fd00::2"), !duplicate);
        }
    }
}

#[test]
fn an_optimistic_address_is_used_at_once_and_asserted_with_care() {
    let mut world = with_dad(3, Dad::Optimistic);
    assert_eq!(world.take_log().len(), 2);
    assert_eq!(source(&mut world, "fd00::1"), Some(ADDR6[SERVER].into()));
    let solicit = NdpMessage::NeighbourSolicit { target: ADDR6[SERVER], source_mac: Some(EVIL) };
    let ask = |world: &mut World| {
        say(world, (ip("fd00::9"), solicited_node(ADDR6[SERVER])), 255, &solicit);
        world.take_log()
    };
    assert_eq!(ask(&mut world), ["S ICMP6, neighbor advertisement, tgt is fd00::2, Flags [solicited]"]);
    world.run_ms(1000);
    assert_eq!(ask(&mut world), ["S ICMP6, neighbor advertisement, tgt is fd00::2, Flags [solicited, override]"]);
}

#[test]
fn routers_are_asked_for_three_times_or_until_one_answers() {
    let mut world = world(4, Ipv6Sysctls { accept_ra: true, ..Ipv6Sysctls::OFF });
    world.run_ms(7999);
    assert_eq!(world.take_log(), ["S ICMP6, router solicitation"; 2]);
    world.run(secs(60));
    assert_eq!(world.take_log(), ["S ICMP6, router solicitation"]);
    assert_eq!(world.stacks[SERVER].next_deadline(), None);
    let mut world = routed(5);
    advertise(&mut world, 0, &[]);
    world.run(secs(60));
    assert!(world.take_log().is_empty());
}

#[test]
fn a_router_leads_everywhere_for_as_long_as_it_says() {
    let mut world = routed(6);
    let (far, now) = (IpAddr::V6(ip("2001:db8:9::1")), world.now);
    assert_eq!(world.stacks[SERVER].ip.route(far, now), Err(SocketError::NetworkUnreachable));
    advertise(&mut world, 1800, &[]);
    let reaches = |world: &mut World| {
        let now = world.now;
        world.stacks[SERVER].ip.route(far, now).is_ok()
    };
    assert!(reaches(&mut world));
    world.run(secs(1799));
    assert!(reaches(&mut world));
    world.run(secs(1));
    assert!(!reaches(&mut world));
    // It may also take itself back.
    advertise(&mut world, 1800, &[]);
    assert!(reaches(&mut world));
    advertise(&mut world, 0, &[]);
    assert!(!reaches(&mut world));
    assert_eq!(world.stacks[SERVER].next_deadline(), None);
}

#[test]
fn a_prefix_becomes_an_address_that_ages_and_ends() {
    let mut world = routed(7);
    advertise(&mut world, 1800, &[prefix("2001:db8:1::", 100, 50)]);
    assert!(has(&world, LEASED));
    assert_eq!(source(&mut world, "2001:db8:1::9"), Some(ip(LEASED).into()));
    // With a neighbour there, not by way of the router.
    world.run(secs(49));
    assert_eq!(source(&mut world, "2001:db8:9::1"), Some(ip(LEASED).into()));
    world.run(secs(1));
    assert!(has(&world, LEASED));
    assert_eq!(source(&mut world, "2001:db8:9::1"), Some(ADDR6[SERVER].into()), "deprecated");
    advertise(&mut world, 1800, &[prefix("2001:db8:1::", 100, 50)]);
    assert_eq!(source(&mut world, "2001:db8:9::1"), Some(ip(LEASED).into()), "preferred again");
    world.run(secs(100));
    assert!(!has(&world, LEASED));
}

/// RFC 4862 5.5.3 (e)
#[test]
fn a_lifetime_is_not_cut_short_below_two_hours() {
    let mut world = routed(8);
    advertise(&mut world, 0, &[prefix("2001:db8:1::", u32::MAX, u32::MAX)]);
    world.run(secs(1_000_000));
    assert!(has(&world, LEASED), "without end");
    advertise(&mut world, 0, &[prefix("2001:db8:1::", 1, 1)]);
    world.run(secs(7199));
    assert!(has(&world, LEASED));
    // Of what is left, nothing can be taken away.
    advertise(&mut world, 0, &[prefix("2001:db8:1::", 0, 0)]);
    assert!(has(&world, LEASED));
    world.run(secs(1));
    assert!(!has(&world, LEASED));
}

#[test]
fn what_no_router_of_the_link_says_is_not_believed() {
    let advert = RouterAdvert {
        lifetime_s: 1800,
        prefixes: std::iter::once(prefix("2001:db8:1::", 100, 50)).collect(),
        ..RouterAdvert::default()
    };
    let check = |src: Ipv6Addr, hop_limit: u8, sysctls: Ipv6Sysctls| {
        let mut world = world(9, sysctls);
        say(&mut world, (src, ALL_NODES), hop_limit, &NdpMessage::RouterAdvert(advert.clone()));
        assert!(!has(&world, LEASED), "{src} {hop_limit} {sysctls:?}");
        assert_eq!(source(&mut world, "2001:db8:9::1"), None);
    };
    let listening = Ipv6Sysctls { accept_ra: true, ..Ipv6Sysctls::OFF };
    check(ip("fd00::9"), 255, listening);
    check(ROUTER, 254, listening);
    check(ROUTER, 255, Ipv6Sysctls::OFF);
    // Prefixes that make no address.
    let mut world = routed(10);
    let good = prefix("2001:db8:1::", 100, 50);
    let odd = [
        PrefixInfo { len: 48, ..good },
        PrefixInfo { autonomous: false, ..good },
        PrefixInfo { valid_s: 10, ..good },
        PrefixInfo { prefix: ip("fe80::"), ..good },
        PrefixInfo { prefix: ip("ff02::"), ..good },
        PrefixInfo { len: 129, ..good },
    ];
    advertise(&mut world, 0, &odd);
    assert_eq!(world.stacks[SERVER].addrs().len(), 3);
}

#[test]
fn a_flood_of_routers_is_bounded() {
    let mut world = routed(11);
    for n in 0..1000u16 {
        let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 7, n);
        let prefixes = (0..8).map(|m| prefix(&format!("2001:db8:{n:x}:{m}::"), 1000, 1000)).collect();
        let advert = RouterAdvert { lifetime_s: 9000, prefixes, ..RouterAdvert::default() };
        say(&mut world, (router, ALL_NODES), 255, &NdpMessage::RouterAdvert(advert));
    }
    assert_eq!(world.stacks[SERVER].addrs().len(), 3 + 16);
    world.run(secs(10_000));
    assert_eq!(world.stacks[SERVER].addrs().len(), 3);
    assert_eq!(world.stacks[SERVER].next_deadline(), None);
}

/// RFC 4862 5.4: an address of a router's prefix is asked about, too.
#[test]
fn a_leased_address_that_somebody_has_is_given_back() {
    let mut world = world(12, Ipv6Sysctls { dad: Dad::First, accept_ra: true });
    world.run_ms(1000);
    advertise(&mut world, 0, &[prefix("2001:db8:1::", 100, 50)]);
    assert!(!has(&world, LEASED));
    world.run_ms(500);
    let flags = NaFlags::OVERRIDE;
    let has_it = NdpMessage::NeighbourAdvert { target: ip(LEASED), flags, target_mac: Some(EVIL) };
    say(&mut world, (ip(LEASED), ALL_NODES), 255, &has_it);
    world.run_ms(5000);
    assert!(!has(&world, LEASED));
}
