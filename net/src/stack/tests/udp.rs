//! Datagrams.

use crate::event::DropReason;
use crate::packet::PacketBuf;
use crate::sockopt::{Opt, Value};
use crate::stack::counters::Mib;
use crate::stack::error::SocketError;
use crate::stack::route::{Route, RouteTo};
use crate::stack::socket::SocketId;
use crate::stack::testing::world::*;
use crate::stack::udp_options::UdpOptions;
use crate::wire::checksum::checksum;
use crate::wire::ethernet::MacAddr;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use wakeline_runtime::wait_queue::{Events, Mode, WaitSlot};

fn at(host: usize, port: u16) -> SocketAddr {
    SocketAddr::new(ADDR[host].into(), port)
}

/// A bound socket on each host, which have met.
fn pair(world: &mut World) -> [SocketId; 2] {
    let ids = [CLIENT, SERVER].map(|host| world.stacks[host].udp_bind(any_addr(100 + host as u16)).unwrap());
    send(world, CLIENT, ids[CLIENT], b"first", Some(at(SERVER, 101))).unwrap();
    world.run_ms(1);
    assert_eq!(recv(world, SERVER, ids[SERVER]), Ok((b"first".to_vec(), at(CLIENT, 100))));
    ids
}

fn send(
    world: &mut World,
    host: usize,
    id: SocketId,
    bytes: &[u8],
    to: Option<SocketAddr>,
) -> Result<usize, SocketError> {
    world.call(host, |stack, now, fx| stack.udp_send_to(now, id, bytes, to, fx))
}

fn recv(world: &mut World, host: usize, id: SocketId) -> Result<(Vec<u8>, SocketAddr), SocketError> {
    let mut buf = [0; 9000];
    world.stacks[host].udp_recv_from(id, &mut buf, false).map(|(n, from)| (buf[..n].to_vec(), from))
}

#[test]
fn datagrams_keep_their_borders_and_are_cut_to_the_buffer() {
    let mut world = World::new(1);
    let [client, server] = pair(&mut world);
    for text in [&b"one"[..], b"", b"three"] {
        assert_eq!(send(&mut world, SERVER, server, text, Some(at(CLIENT, 100))), Ok(text.len()));
    }
    world.run_ms(1);
    assert_eq!(recv(&mut world, CLIENT, client).unwrap().0, b"one");
    assert_eq!(recv(&mut world, CLIENT, client).unwrap().0, b"");
    let mut short = [0; 2];
    assert_eq!(world.stacks[CLIENT].udp_recv_from(client, &mut short, true), Ok((2, at(SERVER, 101))));
    assert_eq!(world.stacks[CLIENT].udp_recv_from(client, &mut short, false), Ok((2, at(SERVER, 101))));
    assert_eq!(recv(&mut world, CLIENT, client), Err(SocketError::WouldBlock));
}

/// docs/rxpath.md, row 35: the default buffer holds 256 small datagrams.
#[test]
fn the_receive_buffer_is_charged_by_truesize() {
    let mut world = World::new(2);
    let [client, server] = pair(&mut world);
    for _ in 0..258 {
        send(&mut world, CLIENT, client, b"x", Some(at(SERVER, 101))).unwrap();
    }
    world.run_ms(1);
    assert_eq!(world.count(SERVER, Mib::UdpRcvbufErrors), 2);
    assert_eq!(world.count(SERVER, Mib::UdpInErrors), 2);
    assert_eq!(world.stacks[SERVER].drops().get(DropReason::SocketRcvbuff), 2);
    let mut received = 0;
    while recv(&mut world, SERVER, server).is_ok() {
        received += 1;
    }
    assert_eq!(received, 256);
    send(&mut world, CLIENT, client, b"room again", Some(at(SERVER, 101))).unwrap();
    world.run_ms(1);
    assert_eq!(recv(&mut world, SERVER, server).unwrap().0, b"room again");
}

/// docs/rxpath.md, row 36: an empty queue takes one, however large.
#[test]
fn an_empty_queue_accepts_one_datagram_beyond_its_buffer() {
    let mut world = World::with(3, |config| config.mtu = 9000);
    let [client, server] = pair(&mut world);
    world.set_rcvbuf(SERVER, server, 1);
    for _ in 0..2 {
        send(&mut world, CLIENT, client, &[7; 8000], Some(at(SERVER, 101))).unwrap();
    }
    world.run_ms(1);
    assert_eq!(recv(&mut world, SERVER, server).unwrap().0, [7; 8000]);
    assert_eq!(recv(&mut world, SERVER, server), Err(SocketError::WouldBlock));
    assert_eq!(world.count(SERVER, Mib::UdpRcvbufErrors), 1);
}

#[test]
fn a_connected_socket_hears_only_its_peer_and_its_peers_errors() {
    let mut world = World::new(4);
    let [client, server] = pair(&mut world);
    assert_eq!(send(&mut world, CLIENT, client, b"x", None), Err(SocketError::DestinationRequired));
    world.udp_connect(CLIENT, client, at(SERVER, 101)).unwrap();
    assert_eq!(world.stacks[CLIENT].peer_addr(client), Ok(at(SERVER, 101)));
    assert_eq!(world.stacks[CLIENT].local_addr(client), Ok(at(CLIENT, 100)));
    send(&mut world, CLIENT, client, b"to the peer", None).unwrap();
    let other = world.stacks[SERVER].udp_bind(any_addr(102)).unwrap();
    send(&mut world, SERVER, other, b"from a stranger", Some(at(CLIENT, 100))).unwrap();
    send(&mut world, SERVER, server, b"from the peer", Some(at(CLIENT, 100))).unwrap();
    world.run_ms(1);
    assert_eq!(recv(&mut world, SERVER, server).unwrap().0, b"to the peer");
    assert_eq!(recv(&mut world, CLIENT, client).unwrap().0, b"from the peer");
    assert_eq!(recv(&mut world, CLIENT, client), Err(SocketError::WouldBlock));

    world.close(SERVER, server);
    send(&mut world, CLIENT, client, b"anybody?", None).unwrap();
    world.run_ms(1);
    assert_eq!(world.count(SERVER, Mib::UdpNoPorts), 1);
    assert!(world.stacks[CLIENT].readiness(client).contains(Events::ERR));
    assert_eq!(recv(&mut world, CLIENT, client), Err(SocketError::ConnectionRefused));
    assert!(world.take_log().contains(&"S ICMP port unreachable".to_owned()));
}

#[test]
fn an_unconnected_socket_does_not_hear_of_errors() {
    let mut world = World::new(5);
    let [client, server] = pair(&mut world);
    world.close(SERVER, server);
    send(&mut world, CLIENT, client, b"anybody?", Some(at(SERVER, 101))).unwrap();
    world.run_ms(1);
    assert_eq!(world.count(CLIENT, Mib::IcmpInDestUnreachs), 1);
    assert_eq!(recv(&mut world, CLIENT, client), Err(SocketError::WouldBlock));
}

#[test]
fn too_large_and_unreachable_are_refused() {
    let mut world = World::new(6);
    let [client, _] = pair(&mut world);
    let to = Some(at(SERVER, 101));
    assert_eq!(send(&mut world, CLIENT, client, &[0; 65_507], to), Ok(65_507));
    assert_eq!(send(&mut world, CLIENT, client, &[0; 65_508], to), Err(SocketError::MessageTooLong));
    let far = Some("192.168.9.9:1".parse().unwrap());
    assert_eq!(send(&mut world, CLIENT, client, b"x", far), Err(SocketError::NetworkUnreachable));
    assert_eq!(send(&mut world, CLIENT, client, b"x", Some(at(SERVER, 0))), Err(SocketError::InvalidInput));
}

#[test]
fn one_reader_is_woken_per_datagram() {
    let mut world = World::new(7);
    let [client, server] = pair(&mut world);
    let (count, waker) = Count::new();
    let mut slots = [WaitSlot::new(), WaitSlot::new()];
    for slot in &mut slots {
        let _ = world.stacks[SERVER].wait_list(server).unwrap().join(slot, &waker, Events::READABLE, Mode::Exclusive);
    }
    for woken in [1, 1, 0] {
        send(&mut world, CLIENT, client, b"x", Some(at(SERVER, 101))).unwrap();
        world.run_ms(1);
        assert_eq!(count.take(), woken);
    }
}

#[test]
fn a_broadcast_reaches_who_is_bound_to_any() {
    let mut world = World::new(8);
    let [client, server] = pair(&mut world);
    let to_all = Some("10.0.0.255:101".parse().unwrap());
    assert_eq!(send(&mut world, CLIENT, client, b"all", to_all), Err(SocketError::PermissionDenied));
    let on = (Opt::Broadcast, Value::Flag(true));
    world.call(CLIENT, |stack, now, fx| stack.set_option(now, client, on, fx)).unwrap();
    send(&mut world, CLIENT, client, b"all", Some("10.0.0.255:101".parse().unwrap())).unwrap();
    world.run_ms(1);
    assert_eq!(recv(&mut world, SERVER, server).unwrap().0, b"all");
    send(&mut world, CLIENT, client, b"nobody", Some("10.0.0.255:999".parse().unwrap())).unwrap();
    world.run_ms(1);
    assert_eq!(world.count(SERVER, Mib::IcmpOutDestUnreachs), 0, "no error about a broadcast");
}

#[test]
fn binding_twice_is_refused_and_a_closed_port_is_free() {
    let mut world = World::new(9);
    let [client, _] = pair(&mut world);
    assert_eq!(world.stacks[CLIENT].udp_bind(at(CLIENT, 100)), Err(SocketError::AddrInUse));
    world.close(CLIENT, client);
    assert!(world.stacks[CLIENT].udp_bind(at(CLIENT, 100)).is_ok());
}

fn join(world: &mut World, host: usize, id: SocketId, group: &str, joins: bool) -> Result<(), SocketError> {
    let group = group.parse().unwrap();
    world.call(host, |stack, now, fx| stack.udp_membership(now, id, (group, joins), fx))
}

/// Who has joined hears; the sender hears itself if it has, and wants to.
#[test]
fn a_group_is_heard_by_its_members() {
    for (group, to) in [("239.1.2.3", "239.1.2.3:101"), ("ff05::7", "[ff05::7]:101")] {
        let mut world = World::new(10);
        let ids = [CLIENT, SERVER].map(|host| world.stacks[host].udp_bind("[::]:101".parse().unwrap()).unwrap());
        let to: SocketAddr = to.parse().unwrap();
        let say = |world: &mut World| {
            send(world, CLIENT, ids[CLIENT], b"hello", Some(to)).unwrap();
            world.run_ms(1);
            [CLIENT, SERVER].map(|host| recv(world, host, ids[host]).is_ok())
        };
        assert_eq!(say(&mut world), [false, false], "nobody has joined");
        join(&mut world, SERVER, ids[SERVER], group, true).unwrap();
        assert_eq!(join(&mut world, SERVER, ids[SERVER], group, true), Err(SocketError::AddrInUse));
        assert_eq!(say(&mut world), [false, true]);
        join(&mut world, CLIENT, ids[CLIENT], group, true).unwrap();
        assert_eq!(say(&mut world), [true, true]);
        for opt in [Opt::MulticastLoopV4, Opt::MulticastLoopV6] {
            let off = (opt, Value::Flag(false));
            world.call(CLIENT, |stack, now, fx| stack.set_option(now, ids[CLIENT], off, fx)).unwrap();
        }
        assert_eq!(say(&mut world), [false, true]);
        join(&mut world, SERVER, ids[SERVER], group, false).unwrap();
        assert_eq!(join(&mut world, SERVER, ids[SERVER], group, false), Err(SocketError::AddrNotAvailable));
        assert_eq!(say(&mut world), [false, false]);
        let far = (Opt::MulticastTtlV4, Value::Number(0));
        join(&mut world, SERVER, ids[SERVER], group, true).unwrap();
        world.call(CLIENT, |stack, now, fx| stack.set_option(now, ids[CLIENT], far, fx)).unwrap();
        assert_eq!(say(&mut world), [false, false], "it does not leave the host");
    }
}

#[test]
fn what_is_for_many_reaches_every_socket_on_the_port_and_is_bounded_by_joins() {
    let mut world = World::new(11);
    let shared = |host: usize, world: &mut World| {
        let binding = crate::stack::demux::Binding {
            reuse_addr: true,
            ..crate::stack::demux::Binding::alone(crate::stack::endpoint::Family::V4)
        };
        let stack = &mut world.stacks[host];
        stack.udp.bind(&mut stack.sockets, any_addr(101).into(), binding, UdpOptions::new(10_000, 0)).unwrap()
    };
    let hearers = [0; 3].map(|_| shared(SERVER, &mut world));
    let client = world.stacks[CLIENT].udp_bind(any_addr(100)).unwrap();
    join(&mut world, SERVER, hearers[0], "239.1.2.3", true).unwrap();
    send(&mut world, CLIENT, client, b"x", Some("239.1.2.3:101".parse().unwrap())).unwrap();
    world.run_ms(1);
    for id in hearers {
        assert_eq!(recv(&mut world, SERVER, id).unwrap().0, b"x");
    }
    send(&mut world, CLIENT, client, b"x", Some(at(SERVER, 101))).unwrap();
    world.run_ms(1);
    let heard = hearers.map(|id| recv(&mut world, SERVER, id).is_ok());
    assert_eq!(heard, [false, false, true], "what is for one, the newest hears");
    for n in 0..19 {
        join(&mut world, SERVER, hearers[0], &format!("239.1.3.{n}"), true).unwrap();
    }
    assert_eq!(join(&mut world, SERVER, hearers[0], "239.1.4.1", true), Err(SocketError::NoBuffers));
    assert_eq!(join(&mut world, SERVER, hearers[1], "10.0.0.7", true), Err(SocketError::InvalidInput));
    assert_eq!(join(&mut world, SERVER, hearers[1], "ff05::7", true), Err(SocketError::OptionUnknown));
}

#[test]
fn time_to_live_and_type_of_service_are_the_sockets() {
    let mut world = World::new(12);
    let [client, _] = pair(&mut world);
    for option in [(Opt::Ttl, Value::Number(9)), (Opt::Tos, Value::Number(0xb8))] {
        world.call(CLIENT, |stack, now, fx| stack.set_option(now, client, option, fx)).unwrap();
        assert_eq!(world.stacks[CLIENT].option(client, option.0), Ok(option.1));
    }
    send(&mut world, CLIENT, client, b"x", Some(at(SERVER, 101))).unwrap();
    let ip = crate::wire::ipv4::Ipv4Header::parse(&world.last_frame[14..]).unwrap();
    assert_eq!((ip.ttl, ip.tos), (9, 0xb8));
    for wrong in [(Opt::Ttl, Value::Number(0)), (Opt::Ttl, Value::Number(256))] {
        let set = world.call(CLIENT, |stack, now, fx| stack.set_option(now, client, wrong, fx));
        assert_eq!(set, Err(SocketError::InvalidInput));
    }
}

/// Constant cost, however many: the last of ten thousand is found as the first.
#[test]
fn ten_thousand_sockets_are_told_apart() {
    let mut world = World::new(13);
    world.introduce();
    let ids: Vec<_> = (0..10_000).map(|n| world.stacks[SERVER].udp_bind(any_addr(20_000 + n)).unwrap()).collect();
    let client = world.stacks[CLIENT].udp_bind(any_addr(100)).unwrap();
    for n in (0..10_000).step_by(97) {
        send(&mut world, CLIENT, client, &[n as u8], Some(at(SERVER, 20_000 + n))).unwrap();
        world.run_ms(1);
        assert_eq!(recv(&mut world, SERVER, ids[usize::from(n)]).unwrap().0, [n as u8]);
    }
}

/// What is remembered of the way to the peer follows whatever it depends on.
#[test]
fn the_way_to_the_peer_is_found_anew_when_something_has_changed() {
    check_way(None);
}

/// The same for the way of the last packet, which is remembered for the third.
#[test]
fn the_way_of_the_last_packet_is_found_anew_when_something_has_changed() {
    check_way(Some(at(SERVER, 101)));
}

/// `to`: for a socket that has no peer.
fn check_way(to: Option<SocketAddr>) {
    let mut world = World::new(31);
    let [client, _] = pair(&mut world);
    if to.is_none() {
        world.udp_connect(CLIENT, client, at(SERVER, 101)).unwrap();
    }
    let set = |world: &mut World, opt, n| {
        world.call(CLIENT, |stack, now, fx| stack.set_option(now, client, (opt, Value::Number(n)), fx)).unwrap();
    };
    // The last frame, and how many there were.
    let sent = |world: &mut World, payload: &[u8]| {
        for _ in 0..2 {
            send(world, CLIENT, client, payload, to).unwrap();
        }
        drop(world.take_log());
        send(world, CLIENT, client, payload, to).unwrap();
        (world.last_frame.clone(), world.take_log().len())
    };
    send(&mut world, CLIENT, client, b"text", to).unwrap();
    let first = world.last_frame.clone();
    assert_eq!(sent(&mut world, b"text"), (first.clone(), 1), "the short way writes what the long one does");
    assert_eq!(first[..6], MAC[SERVER].0);

    set(&mut world, Opt::Tos, 0x20);
    assert_eq!(sent(&mut world, b"text").0[15], 0x20);
    set(&mut world, Opt::Ttl, 7);
    assert_eq!([sent(&mut world, b"text"), sent(&mut world, b"text")].map(|(frame, _)| frame[22]), [7, 7]);

    assert_eq!(sent(&mut world, &[1; 1400]).1, 1);
    world.call(CLIENT, |stack, now, fx| stack.ip.hear_of_path(ADDR[SERVER].into(), 1000, now, fx));
    assert_eq!(sent(&mut world, &[1; 1400]).1, 2);
    world.run_ms(600_001);
    assert_eq!(sent(&mut world, &[1; 1400]).1, 1);

    let other = MacAddr([2, 0, 0, 0, 0, 9]);
    world.call(CLIENT, |stack, now, fx| stack.ip.add_neighbour(ADDR[SERVER].into(), other, now, fx));
    assert_eq!(sent(&mut world, b"text").0[..6], other.0);

    let everywhere = "10.0.0.2/32".parse().unwrap();
    let nowhere = Route { prefix: everywhere, to: RouteTo::Unreachable, metric: 0, expires_at: None };
    world.call(CLIENT, |stack, now, _| stack.ip.add_route(nowhere, now)).unwrap();
    assert_eq!(send(&mut world, CLIENT, client, b"text", to), Err(SocketError::HostUnreachable));
}

proptest! {
    /// A stack that has just seen a datagram of the flow says of any frame what one says that has not.
    #[test]
    fn headers_of_the_last_datagram_change_no_verdict(
        v6 in any::<bool>(), payload in prop::collection::vec(any::<u8>(), 0..70),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        (cut, sums_hold) in (prop::option::of(any::<prop::sample::Index>()), any::<bool>()),
    ) {
        // Each in a world of its own: what one is answered, or asks neighbours, is not done again in the other.
        let verdict = |knows: bool| {
            let mut world = World::new(32);
            let host = |host: usize| if v6 { IpAddr::from(ADDR6[host]) } else { ADDR[host].into() };
            let any = SocketAddr::new(if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }, 101);
            let server = world.stacks[SERVER].udp_bind(any).unwrap();
            let client = world.stacks[CLIENT].udp_bind(SocketAddr::new(any.ip(), 100)).unwrap();
            let to = SocketAddr::new(host(SERVER), 101);
            send(&mut world, CLIENT, client, b"first", Some(to)).unwrap();
            world.run_ms(1);
            send(&mut world, CLIENT, client, &payload, Some(to)).unwrap();
            world.drop_in_flight();
            let mut bytes = world.last_frame.clone();
            for (at, value) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            if sums_hold && !v6 {
                bytes[24..26].fill(0);
                let sum = checksum(&bytes[14..34]);
                bytes[24..26].copy_from_slice(&sum);
                bytes[40..42].fill(0);
            }
            if let Some(cut) = &cut {
                bytes.truncate(cut.index(bytes.len()) + 1);
            }
            while recv(&mut world, SERVER, server).is_ok() {}
            send(&mut world, CLIENT, client, b"again", Some(to)).unwrap();
            world.run_ms(1);
            recv(&mut world, SERVER, server).unwrap();
            if !knows {
                world.stacks[SERVER].udp.forget_early();
            }
            let counts = |world: &World| Mib::ALL.iter().map(|&mib| world.count(SERVER, mib)).collect::<Vec<_>>();
            let before = counts(&world);
            let frame = PacketBuf::from_bytes(&world.pool, &bytes).unwrap();
            world.call(SERVER, |stack, now, fx| stack.on_frame(now, frame, fx));
            let news: Vec<_> = counts(&world).iter().zip(before).map(|(after, before)| after - before).collect();
            (news, recv(&mut world, SERVER, server))
        };
        prop_assert_eq!(verdict(true), verdict(false));
    }
}
