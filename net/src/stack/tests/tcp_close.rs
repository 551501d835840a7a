//! How connections end.

use crate::event::DropReason;
use crate::stack::counters::Mib;
use crate::stack::error::SocketError;
use crate::stack::tcp::sysctl::TwReuse;
use crate::stack::testing::world::*;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;
use wakeline_runtime::wait_queue::Events;

#[test]
fn an_orderly_close_ends_in_time_wait_on_the_side_that_began() {
    let mut world = World::new(1);
    let (client, server, _) = world.establish();
    world.take_log();
    world.close(CLIENT, client);
    world.run_ms(1);
    assert_eq!(world.state(CLIENT, client), "TCP_FIN_WAIT1", "its acknowledgement waits for company");
    world.run_ms(50);
    assert_eq!((world.stacks[CLIENT].fin_wait_2_count(), world.stacks[CLIENT].socket_count()), (1, 0));
    assert_eq!(world.state(SERVER, server), "TCP_CLOSE_WAIT");
    assert_eq!(world.recv(SERVER, server), Ok(vec![]), "the end");
    world.close(SERVER, server);
    world.run_ms(1);
    assert_eq!(world.take_log(), ["C [F.] 0", "S [.] 0", "S [F.] 0", "C [.] 0"]);
    assert_eq!((world.stacks[CLIENT].socket_count(), world.stacks[CLIENT].time_wait_count()), (0, 1));
    assert_eq!((world.stacks[SERVER].socket_count(), world.stacks[SERVER].time_wait_count()), (1, 0));
    world.run(Duration::from_secs(61));
    assert_eq!(world.stacks[CLIENT].time_wait_count(), 0);
    assert_eq!(world.count(CLIENT, Mib::TcpExtTW), 1);
    assert_eq!(world.stacks[CLIENT].next_deadline(), None);
}

#[test]
fn a_name_is_stale_once_its_socket_is_closed() {
    let mut world = World::new(2);
    let (client, _, listener) = world.establish();
    world.close(CLIENT, client);
    assert_eq!(world.send(CLIENT, client, b"x"), Err(SocketError::Stale));
    assert_eq!(world.recv(CLIENT, client), Err(SocketError::Stale));
    assert_eq!(world.stacks[CLIENT].readiness(client), Events::ERR | Events::HUP);
    assert!(world.stacks[CLIENT].wait_list(client).is_none());
    world.close(CLIENT, client);
    world.close(SERVER, listener);
    assert_eq!(world.stacks[SERVER].tcp_accept(listener).unwrap_err(), SocketError::Stale);
}

#[test]
fn half_closed_the_other_direction_goes_on() {
    let mut world = World::new(3);
    let (client, server, _) = world.establish();
    world.send(CLIENT, client, b"question").unwrap();
    world.call(CLIENT, |stack, now, fx| stack.tcp_shutdown(now, client, Shutdown::Write, fx)).unwrap();
    assert_eq!(world.send(CLIENT, client, b"x"), Err(SocketError::BrokenPipe));
    world.run_ms(50);
    assert_eq!(world.recv(SERVER, server).unwrap(), b"question");
    assert_eq!(world.recv(SERVER, server), Ok(vec![]));
    for n in 1..5usize {
        world.send(SERVER, server, &pattern(n * 1000)).unwrap();
        world.run_ms(50);
        assert_eq!(world.recv(CLIENT, client).unwrap(), pattern(n * 1000));
    }
    assert_eq!(world.state(CLIENT, client), "TCP_FIN_WAIT2");
    assert_eq!(world.recv(CLIENT, client), Err(SocketError::WouldBlock));
    world.run(Duration::from_secs(300));
    assert_eq!(world.state(CLIENT, client), "TCP_FIN_WAIT2", "with a user it lasts");
    world.call(SERVER, |stack, now, fx| stack.tcp_shutdown(now, server, Shutdown::Write, fx)).unwrap();
    world.run_ms(50);
    assert_eq!(world.recv(CLIENT, client), Ok(vec![]));
    assert_eq!(world.state(CLIENT, client), "TCP_CLOSE");
    assert_eq!(world.stacks[CLIENT].time_wait_count(), 1);
    assert!(world.stacks[SERVER].readiness(server).contains(Events::HUP));
    world.close(CLIENT, client);
    world.close(SERVER, server);
    assert_eq!(world.stacks[CLIENT].socket_count(), 0);
}

#[test]
fn text_before_the_end_can_be_read_after_it() {
    let mut world = World::new(4);
    let (client, server, _) = world.establish();
    let bytes = pattern(50_000);
    assert_eq!(world.send(CLIENT, client, &bytes), Ok(bytes.len()));
    world.close(CLIENT, client);
    world.run_ms(200);
    assert_eq!(world.recv(SERVER, server).unwrap(), bytes);
    assert_eq!(world.recv(SERVER, server), Ok(vec![]));
}

/// RFC 2525 2.17.
#[test]
fn closing_with_text_unread_resets() {
    let mut world = World::new(5);
    let (client, server, _) = world.establish();
    world.send(CLIENT, client, b"unread").unwrap();
    world.run_ms(1);
    world.take_log();
    world.close(SERVER, server);
    world.run_ms(1);
    assert_eq!(world.take_log(), ["S [R.] 0"]);
    assert_eq!(world.count(SERVER, Mib::TcpExtTCPAbortOnClose), 1);
    assert_eq!(world.stacks[SERVER].socket_count(), 1, "the listener");
    assert!(world.stacks[CLIENT].readiness(client).contains(Events::ERR | Events::HUP | Events::IN));
    assert_eq!(world.recv(CLIENT, client), Err(SocketError::ConnectionReset));
    assert_eq!(world.recv(CLIENT, client), Ok(vec![]), "the error is told once");
    assert_eq!(world.send(CLIENT, client, b"x"), Err(SocketError::BrokenPipe));
    assert_eq!(world.count(CLIENT, Mib::TcpEstabResets), 1);
}

#[test]
fn text_for_somebody_who_has_closed_resets() {
    let mut world = World::new(6);
    let (client, server, _) = world.establish();
    world.close(SERVER, server);
    world.run_ms(50);
    world.send(CLIENT, client, b"hello?").unwrap();
    world.run_ms(1);
    // In FIN-WAIT-2 it is a compact entry that resets, and Linux has no counter of its own for that.
    assert_eq!((world.count(SERVER, Mib::TcpOutRsts), world.stacks[SERVER].fin_wait_2_count()), (1, 0));
    assert_eq!(world.stacks[CLIENT].take_error(client), Some(SocketError::BrokenPipe), "as Linux in CLOSE-WAIT");
    assert_eq!(world.stacks[SERVER].socket_count(), 1);
}

#[test]
fn both_may_close_at_once() {
    let mut world = World::new(7);
    let (client, server, _) = world.establish();
    world.close(CLIENT, client);
    world.close(SERVER, server);
    assert_eq!((world.state(CLIENT, client), world.state(SERVER, server)), ("TCP_FIN_WAIT1", "TCP_FIN_WAIT1"));
    world.run_ms(5);
    assert_eq!((world.stacks[CLIENT].time_wait_count(), world.stacks[SERVER].time_wait_count()), (1, 1));
    assert_eq!((world.stacks[CLIENT].socket_count(), world.stacks[SERVER].socket_count()), (0, 1));
}

#[test]
fn both_may_open_at_once() {
    let mut world = World::new(8);
    for host in [CLIENT, SERVER] {
        let peer = SocketAddr::new(ADDR[1 - host].into(), 50);
        let local = SocketAddr::new(ADDR[host].into(), 50);
        world.call(host, |stack, now, fx| {
            stack.add_neighbour(now, ADDR[1 - host].into(), MAC[1 - host], fx);
            stack.tcp_connect(now, Some(local), peer, &|_| true, fx).unwrap()
        });
    }
    let ids: Vec<_> = (0..2).map(|host| world.stacks[host].sockets.id(0).unwrap()).collect();
    world.run(Duration::from_micros(60));
    assert_eq!(world.state(CLIENT, ids[0]), "TCP_SYN_RECV");
    world.run_ms(5);
    for host in [CLIENT, SERVER] {
        assert_eq!(world.stacks[host].tcp_connect_result(ids[host]), Ok(()));
        world.send(host, ids[host], b"hello").unwrap();
    }
    world.run_ms(5);
    for host in [CLIENT, SERVER] {
        assert_eq!(world.recv(host, ids[host]).unwrap(), b"hello");
    }
    let retransmissions = world.count(CLIENT, Mib::TcpRetransSegs) + world.count(SERVER, Mib::TcpRetransSegs);
    assert_eq!(retransmissions, 0);
}

#[test]
fn a_fin_wait_2_without_a_user_is_bounded() {
    let mut world = World::new(9);
    let (client, _, _) = world.establish();
    world.close(CLIENT, client);
    world.run(Duration::from_secs(59));
    assert_eq!((world.stacks[CLIENT].fin_wait_2_count(), world.stacks[CLIENT].socket_count()), (1, 0));
    world.run(Duration::from_secs(2));
    assert_eq!(world.stacks[CLIENT].fin_wait_2_count(), 0);
}

/// RFC 6191, and `tcp_tw_reuse` between two hosts.
#[test]
fn a_connection_takes_the_place_of_one_in_time_wait() {
    let check = |reuse: TwReuse, expected: Result<(), SocketError>| {
        let mut world = World::with(12, |config| config.tcp.tw_reuse = reuse);
        let (client, server, listener) = world.establish();
        let [from, to] =
            [world.stacks[CLIENT].local_addr(client), world.stacks[CLIENT].peer_addr(client)].map(Result::unwrap);
        world.close(CLIENT, client);
        world.close(SERVER, server);
        world.run_ms(1500);
        let again = world.call(CLIENT, |stack, now, fx| stack.tcp_connect(now, Some(from), to, &|_| true, fx));
        assert_eq!(again.map(drop), expected.map_err(|_| SocketError::AddrNotAvailable));
        let Ok(again) = again else { return };
        world.run_ms(5);
        assert_eq!(world.stacks[CLIENT].tcp_connect_result(again), Ok(()));
        let (server, _) = world.stacks[SERVER].tcp_accept(listener).unwrap();
        world.send(CLIENT, again, b"second").unwrap();
        world.run_ms(5);
        assert_eq!(world.recv(SERVER, server).unwrap(), b"second");
        assert_eq!(world.count(CLIENT, Mib::TcpExtTWRecycled), 1);
    };
    check(TwReuse::On, Ok(()));
    check(TwReuse::Loopback, Err(SocketError::AddrNotAvailable));
    check(TwReuse::Off, Err(SocketError::AddrNotAvailable));
}

#[test]
fn a_peer_that_has_vanished_is_given_up() {
    let mut world = World::new(10);
    let (client, _, _) = world.establish();
    world.introduce();
    world.wire.cut_to = Some(SERVER);
    world.send(CLIENT, client, b"anybody there?").unwrap();
    world.run(Duration::from_secs(900));
    assert_eq!(world.state(CLIENT, client), "TCP_ESTABLISHED", "fifteen retransmissions take a quarter of an hour");
    world.run(Duration::from_secs(300));
    assert_eq!(world.recv(CLIENT, client), Err(SocketError::TimedOut));
    assert_eq!(world.count(CLIENT, Mib::TcpRetransSegs), 16, "and a probe");
    assert_eq!(world.count(CLIENT, Mib::TcpExtTCPAbortOnTimeout), 1);
}

#[test]
fn a_connection_nobody_answers_times_out() {
    let mut world = World::new(11);
    world.introduce();
    world.wire.cut_to = Some(SERVER);
    let client = world.connect(7);
    assert_eq!(world.stacks[CLIENT].tcp_connect_result(client), Err(SocketError::WouldBlock));
    world.run(Duration::from_secs(130));
    assert_eq!(world.stacks[CLIENT].tcp_connect_result(client), Err(SocketError::WouldBlock));
    world.run(Duration::from_secs(2));
    assert_eq!(world.stacks[CLIENT].tcp_connect_result(client), Err(SocketError::TimedOut));
    assert_eq!(world.count(CLIENT, Mib::TcpExtTCPSynRetrans), 10);
}

#[test]
fn a_late_fin_in_time_wait_is_acknowledged_again() {
    let mut world = World::new(12);
    let (client, server, _) = world.establish();
    world.close(CLIENT, client);
    world.run_ms(50);
    world.wire.cut_to = Some(SERVER);
    world.close(SERVER, server);
    world.run_ms(1);
    assert_eq!(world.stacks[CLIENT].time_wait_count(), 1);
    assert_eq!(world.state(SERVER, server), "TCP_LAST_ACK");
    world.wire.cut_to = None;
    world.run_ms(300);
    assert_eq!(world.stacks[SERVER].socket_count(), 1, "the FIN again, and its acknowledgement");
}

/// RFC 9293 3.6.1, MAY-2.
#[test]
fn a_connection_in_time_wait_is_reused_by_a_newer_syn() {
    let mut world = World::new(13);
    let (client, server, listener) = world.establish();
    let local = world.stacks[CLIENT].local_addr(client).unwrap();
    world.close(SERVER, server);
    world.run_ms(50);
    world.close(CLIENT, client);
    world.run_ms(50);
    assert_eq!((world.stacks[SERVER].time_wait_count(), world.stacks[CLIENT].socket_count()), (1, 0));
    let to = SocketAddr::new(ADDR[SERVER].into(), 7);
    world.run(Duration::from_secs(1));
    let again = world.call(CLIENT, |stack, now, fx| stack.tcp_connect(now, Some(local), to, &|_| true, fx)).unwrap();
    world.run_ms(50);
    assert_eq!(world.stacks[CLIENT].tcp_connect_result(again), Ok(()));
    assert_eq!(world.count(SERVER, Mib::TcpExtTWRecycled), 1);
    assert!(world.stacks[SERVER].tcp_accept(listener).is_ok());
}

#[test]
fn time_wait_is_bounded_and_overflow_counted() {
    let mut world = World::with(14, |config| config.limits.time_wait_max = 3);
    let listener = world.listen(7, 64);
    for _ in 0..5 {
        let client = world.connect(7);
        world.run_ms(2);
        let (server, _) = world.stacks[SERVER].tcp_accept(listener).unwrap();
        world.close(CLIENT, client);
        world.run_ms(2);
        world.close(SERVER, server);
        world.run_ms(2);
    }
    assert_eq!(world.stacks[CLIENT].time_wait_count(), 3);
    assert_eq!(world.count(CLIENT, Mib::TcpExtTCPTimeWaitOverflow), 2);
}

#[test]
fn a_host_that_goes_down_tells_everybody() {
    let mut world = World::new(15);
    let (client, _, _) = world.establish();
    let bound = world.stacks[CLIENT].udp_bind(any_addr(9)).unwrap();
    let (count, waker) = Count::new();
    for id in [client, bound] {
        let mut slot = wakeline_runtime::wait_queue::WaitSlot::new();
        let list = world.stacks[CLIENT].wait_list(id).unwrap();
        let _ = list.join(&mut slot, &waker, Events::READABLE, wakeline_runtime::wait_queue::Mode::Exclusive);
    }
    world.call(CLIENT, |stack, now, fx| stack.shut_down(now, fx));
    assert_eq!(count.take(), 2);
    assert_eq!(world.recv(CLIENT, client), Err(SocketError::NetworkDown));
    assert_eq!(world.stacks[CLIENT].udp_bind(any_addr(10)), Err(SocketError::NetworkDown));
    assert_eq!(world.stacks[CLIENT].next_deadline(), None);
    world.close(CLIENT, client);
    world.close(CLIENT, bound);
    assert_eq!(world.stacks[CLIENT].socket_count(), 0);
}

/// `tcp_max_orphans`
#[test]
fn orphans_are_bounded() {
    let mut world = World::with(13, |config| config.tcp.max_orphans = 2);
    world.introduce();
    let listener = world.listen(7, 16);
    let clients: Vec<_> = (0..4).map(|_| world.connect(7)).collect();
    world.run_ms(5);
    // What they write cannot be delivered, so they go on after they were closed.
    world.wire.cut_to = Some(SERVER);
    for &client in &clients {
        world.send(CLIENT, client, b"x").unwrap();
        world.close(CLIENT, client);
    }
    assert_eq!(world.count(CLIENT, Mib::TcpExtTCPAbortOnMemory), 2);
    assert_eq!((world.stacks[CLIENT].socket_count(), world.count(CLIENT, Mib::TcpOutRsts)), (2, 2));
    world.wire.cut_to = None;
    world.run(Duration::from_secs(10));
    let accepted: Vec<_> = (0..4).filter_map(|_| world.stacks[SERVER].tcp_accept(listener).ok()).collect();
    for (server, _) in accepted {
        world.close(SERVER, server);
    }
    world.run(Duration::from_secs(10));
    assert_eq!(world.stacks[CLIENT].socket_count(), 0);
    let again = world.connect(7);
    world.run_ms(5);
    world.close(CLIENT, again);
    assert_eq!(world.count(CLIENT, Mib::TcpExtTCPAbortOnMemory), 2, "there is room again");
}

/// `tcp_mem`: beyond it text is dropped and counted, and everything arrives in the end.
#[test]
fn the_memory_of_all_connections_is_bounded() {
    const MAX: u64 = 200_000;
    let mut world = World::with(14, |config| config.tcp.mem_max = MAX);
    world.introduce();
    let listener = world.listen(7, 16);
    let pairs: Vec<_> = (0..8)
        .map(|_| {
            let client = world.connect(7);
            world.run_ms(5);
            (client, world.stacks[SERVER].tcp_accept(listener).unwrap().0)
        })
        .collect();
    let text = pattern(60_000);
    let mut sent = [0; 8];
    let mut got = vec![Vec::new(); 8];
    for round in 0..4000 {
        for (n, &(client, server)) in pairs.iter().enumerate() {
            sent[n] += world.send(CLIENT, client, &text[sent[n]..]).unwrap_or(0);
            if round >= 40 {
                got[n].extend(world.recv(SERVER, server).unwrap_or_default());
            }
        }
        world.run_ms(25);
        for host in [CLIENT, SERVER] {
            let held = world.stacks[host].tcp.memory_held();
            assert!(held < MAX + 8 * 80_000, "round {round}: {held}");
        }
    }
    assert!(world.stacks[SERVER].drops().get(DropReason::ProtoMem) > 0);
    assert!(got.iter().all(|got| *got == text), "{:?}", got.iter().map(Vec::len).collect::<Vec<_>>());
    assert_eq!((world.stacks[CLIENT].tcp.memory_held(), world.stacks[SERVER].tcp.memory_held()), (0, 0));
}
