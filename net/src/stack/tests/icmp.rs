//! ICMP errors about TCP: they end an attempt to connect, and nothing else (RFC 5927).

use crate::packet::PacketBuf;
use crate::stack::counters::Mib;
use crate::stack::error::SocketError;
use crate::stack::socket::SocketId;
use crate::stack::testing::world::*;
use crate::wire::ethernet::{EtherType, EthernetHeader};
use crate::wire::icmp::{IcmpHeader, unreachable};
use crate::wire::ipv4::{Ipv4Header, protocol};
use std::time::Duration;

/// Tells the client that a segment of its connection, `after` places behind what it has acknowledged, went nowhere.
fn report(world: &mut World, client: SocketId, code: u8, after: u32) {
    let block = &world.stacks[CLIENT].sockets.connection(client).unwrap().block;
    let seq = block.send_variables().1.wrapping_add(after);
    let port = world.stacks[CLIENT].local_addr(client).unwrap().port();
    let mut quoted = [0; Ipv4Header::LEN];
    Ipv4Header::new(ADDR[CLIENT], ADDR[SERVER], protocol::TCP, 20).emit(&mut quoted);
    let tcp = [&port.to_be_bytes()[..], &7u16.to_be_bytes(), &seq.to_be_bytes()].concat();
    let mut message = [&[0; IcmpHeader::LEN][..], &quoted, &tcp].concat();
    IcmpHeader::Unreachable { code, mtu: 0 }.emit(&mut message);
    let (mut ethernet, mut ip) = ([0; EthernetHeader::LEN], [0; Ipv4Header::LEN]);
    EthernetHeader { dst: MAC[CLIENT], src: MAC[SERVER], ethertype: EtherType::Ipv4 }.emit(&mut ethernet);
    Ipv4Header::new(ADDR[SERVER], ADDR[CLIENT], protocol::ICMP, message.len()).emit(&mut ip);
    let frame = PacketBuf::from_bytes(&world.pool, &[&ethernet[..], &ip, &message].concat()).unwrap();
    world.call(CLIENT, |stack, now, fx| stack.on_frame(now, frame, fx));
}

#[test]
fn an_attempt_to_connect_ends_with_the_error_of_linux() {
    let check = |code: u8, expected: SocketError| {
        let mut world = World::new(1);
        world.introduce();
        world.wire.cut_to = Some(SERVER);
        let client = world.connect(7);
        report(&mut world, client, code, 1);
        assert_eq!(world.stacks[CLIENT].tcp_connect_result(client), Err(SocketError::WouldBlock), "forged");
        assert_eq!(world.count(CLIENT, Mib::TcpExtOutOfWindowIcmps), 1);
        report(&mut world, client, code, 0);
        assert_eq!(world.stacks[CLIENT].tcp_connect_result(client), Err(expected));
        assert_eq!(world.stacks[CLIENT].next_deadline(), None);
    };
    check(unreachable::NET, SocketError::NetworkUnreachable);
    check(unreachable::HOST, SocketError::HostUnreachable);
    check(unreachable::PROTOCOL, SocketError::ProtocolUnreachable);
    check(unreachable::PORT, SocketError::ConnectionRefused);
}

#[test]
fn an_established_connection_survives_and_remembers() {
    let mut world = World::new(2);
    world.introduce();
    let (client, server, _) = world.establish();
    world.wire.cut_to = Some(SERVER);
    world.send(CLIENT, client, b"hello").unwrap();
    report(&mut world, client, unreachable::HOST, 0);
    world.wire.cut_to = None;
    world.run_ms(500);
    assert_eq!(world.recv(SERVER, server).unwrap(), b"hello");
    world.wire.cut_to = Some(SERVER);
    world.send(CLIENT, client, b"hello").unwrap();
    world.run(Duration::from_secs(1200));
    assert_eq!(world.recv(CLIENT, client), Err(SocketError::HostUnreachable), "better than `timed out`");
}
