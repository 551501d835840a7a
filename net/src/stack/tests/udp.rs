//! Datagrams.

use super::world::*;
use crate::event::DropReason;
use crate::stack::counters::Mib;
use crate::stack::error::SocketError;
use crate::stack::socket::SocketId;
use std::net::SocketAddr;
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

/// RXPATH row 35: the default buffer holds 256 small datagrams.
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

/// RXPATH row 36: an empty queue takes one, however large.
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
