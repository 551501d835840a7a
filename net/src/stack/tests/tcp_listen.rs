//! Listeners: queues, overflow, refusal.

use crate::event::DropReason;
use crate::stack::counters::Mib;
use crate::stack::error::SocketError;
use crate::stack::tcp::sysctl::SynCookies;
use crate::stack::testing::world::*;
use std::net::SocketAddr;
use std::time::Duration;

/// docs/rxpath.md, row 38: `listen(n)` holds n + 1.
#[test]
fn the_accept_queue_holds_one_more_than_the_backlog() {
    for backlog in [0, 1, 2] {
        let mut world = World::new(1);
        let listener = world.listen(7, backlog);
        for _ in 0..6 {
            world.connect(7);
            world.run_ms(1);
        }
        assert_eq!(world.stacks[SERVER].accept_backlog(listener), backlog as usize + 1);
        let lost = 6 - u64::from(backlog) - 1;
        assert_eq!(world.count(SERVER, Mib::TcpExtListenOverflows), lost);
        assert_eq!(world.count(SERVER, Mib::TcpExtListenDrops), lost);
        assert_eq!(world.stacks[SERVER].drops().get(DropReason::TcpListenOverflow), lost);
    }
}

#[test]
fn who_was_dropped_gets_in_once_there_is_room() {
    // A cookie would let all of them believe that they are connected.
    let mut world = World::with(2, |config| config.tcp.syncookies = SynCookies::Off);
    let listener = world.listen(7, 0);
    let clients: Vec<_> = (0..3).map(|_| world.connect(7)).collect();
    let mut accepted = 0;
    for _ in 0..100 {
        world.run_ms(500);
        accepted += usize::from(world.stacks[SERVER].tcp_accept(listener).is_ok());
    }
    assert_eq!(accepted, 3);
    for client in clients {
        assert_eq!(world.stacks[CLIENT].tcp_connect_result(client), Ok(()));
    }
}

/// The accept queue fills while the last segment of a handshake is on its way: the request stays and asks again.
#[test]
fn a_handshake_that_finds_the_accept_queue_full_is_finished_later() {
    let mut world = World::new(3);
    let listener = world.listen(7, 1);
    world.introduce();
    let clients: Vec<_> = (0..2).map(|_| world.connect(7)).collect();
    world.run(Duration::from_micros(60));
    assert_eq!(world.stacks[SERVER].half_open_count(), 2);
    // Room for one only.
    world.stacks[SERVER].sockets.listener(listener).unwrap().backlog = Some(0);
    world.run_ms(5);
    assert_eq!((world.stacks[SERVER].accept_backlog(listener), world.stacks[SERVER].half_open_count()), (1, 1));
    assert!(world.count(SERVER, Mib::TcpExtListenOverflows) > 0);
    for client in clients {
        assert_eq!(world.stacks[CLIENT].tcp_connect_result(client), Ok(()), "both believe that they are connected");
        world.send(CLIENT, client, b"hello").unwrap();
    }
    for _ in 0..2 {
        let (server, _) = world.stacks[SERVER].tcp_accept(listener).unwrap();
        world.run(Duration::from_secs(5));
        assert_eq!(world.recv(SERVER, server).unwrap(), b"hello");
    }
}

#[test]
fn the_syn_queue_is_bounded_and_forgets() {
    let mut world = World::with(4, |config| config.tcp.syncookies = SynCookies::Off);
    world.listen(7, 2);
    world.wire.cut_to = Some(CLIENT);
    world.introduce();
    for _ in 0..10 {
        world.connect(7);
    }
    world.run_ms(1);
    assert_eq!(world.stacks[SERVER].half_open_count(), 3);
    assert_eq!(world.count(SERVER, Mib::TcpExtTCPReqQFullDrop), 7);
    world.wire.cut_to = Some(SERVER);
    world.run(Duration::from_secs(64));
    assert_eq!(world.stacks[SERVER].half_open_count(), 0, "five retransmissions take a minute");
    assert_eq!(world.stacks[SERVER].next_deadline(), None);
}

#[test]
fn nobody_listens() {
    let mut world = World::new(5);
    let client = world.connect(7);
    world.run_ms(5);
    assert_eq!(world.take_log()[2..], ["C [S] 0", "S [R.] 0"]);
    assert_eq!(world.stacks[CLIENT].tcp_connect_result(client), Err(SocketError::ConnectionRefused));
    assert_eq!(world.count(SERVER, Mib::TcpOutRsts), 1);
    assert_eq!(world.stacks[SERVER].drops().get(DropReason::NoSocket), 1);
    assert_eq!(world.count(CLIENT, Mib::TcpAttemptFails), 1);
    world.close(CLIENT, client);
    assert_eq!(world.stacks[CLIENT].socket_count(), 0);
}

#[test]
fn closing_a_listener_resets_what_nobody_accepted() {
    let mut world = World::new(6);
    let listener = world.listen(7, 4);
    let client = world.connect(7);
    world.run_ms(5);
    world.wire.cut_to = Some(CLIENT);
    world.connect(7);
    world.run_ms(5);
    world.wire.cut_to = None;
    assert_eq!(world.stacks[SERVER].half_open_count(), 1);
    world.close(SERVER, listener);
    world.run_ms(5);
    assert_eq!(world.recv(CLIENT, client), Err(SocketError::ConnectionReset));
    assert_eq!((world.stacks[SERVER].socket_count(), world.stacks[SERVER].half_open_count()), (0, 0));
    assert!(!world.stacks[SERVER].port_in_use(crate::stack::endpoint::Proto::Tcp, 7));
}

#[test]
fn a_connection_that_ended_in_the_accept_queue_can_still_be_accepted() {
    let mut world = World::new(7);
    let listener = world.listen(7, 4);
    let client = world.connect(7);
    world.run_ms(5);
    world.send(CLIENT, client, b"bye").unwrap();
    world.close(CLIENT, client);
    world.run_ms(50);
    let (server, _) = world.stacks[SERVER].tcp_accept(listener).unwrap();
    assert_eq!(world.recv(SERVER, server).unwrap(), b"bye");
    assert_eq!(world.recv(SERVER, server), Ok(vec![]));
}

#[test]
fn addresses_and_ports_are_checked() {
    let mut world = World::new(8);
    let stack = &mut world.stacks[SERVER];
    let at = |ip: [u8; 4], port| SocketAddr::from((ip, port));
    assert_eq!(stack.tcp_listen(at([10, 0, 0, 1], 7), 1, false), Err(SocketError::AddrNotAvailable));
    assert_eq!(stack.tcp_listen(any_addr(0), 1, false), Err(SocketError::InvalidInput));
    assert_eq!(stack.tcp_listen("[fd00::9]:7".parse().unwrap(), 1, false), Err(SocketError::AddrNotAvailable));
    assert!(stack.tcp_listen(any_addr(7), 1, false).is_ok());
    assert_eq!(stack.tcp_listen(at([10, 0, 0, 2], 7), 1, false), Err(SocketError::AddrInUse));
    let port = stack.pick_port(crate::stack::endpoint::Proto::Tcp, &|port| port % 16 == 3).unwrap();
    assert!(port % 16 == 3 && port >= 32_768);
    let connect = |world: &mut World, to| {
        world.call(CLIENT, |stack, now, fx| stack.tcp_connect(now, None, to, &|port| port % 4 == 1, fx))
    };
    let far = connect(&mut world, at([192, 168, 0, 1], 7));
    assert_eq!(far, Err(SocketError::NetworkUnreachable));
    let id = connect(&mut world, at([10, 0, 0, 2], 7)).unwrap();
    assert_eq!(world.stacks[CLIENT].local_addr(id).unwrap().port() % 4, 1);
}

/// Ports are used up before the search gives up, and not one is used twice.
#[test]
fn ephemeral_ports_do_not_repeat() {
    let mut world = World::new(9);
    let mut ports = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let id = world.connect(7);
        assert!(ports.insert(world.stacks[CLIENT].local_addr(id).unwrap().port()));
    }
}
