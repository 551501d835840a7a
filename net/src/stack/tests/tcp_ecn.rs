//! Explicit congestion notification (RFC 3168).

use crate::stack::counters::Mib;
use crate::stack::tcp::sysctl::Ecn;
use crate::stack::testing::forge::*;
use crate::stack::testing::world::*;
use crate::tcp_info::{TcpCaState, TcpInfoOptions};

fn world(seed: u64, client: Ecn, server: Ecn) -> World {
    let mut world =
        World::with(seed, |config| config.tcp.ecn = if config.mac == MAC[CLIENT] { client } else { server });
    world.introduce();
    world
}

/// 6.1.1, and Linux's three ways.
#[test]
fn it_is_used_when_one_asks_and_the_other_agrees() {
    let check = |client, server, syns: [&str; 2], agreed: bool| {
        let mut world = world(1, client, server);
        let (id, other, _) = world.establish();
        assert_eq!(world.log[..2], syns.map(str::to_owned), "{client:?} {server:?}");
        for (host, id) in [(CLIENT, id), (SERVER, other)] {
            let now = world.now;
            let options = block_of(&mut world, host, id).info(now).options;
            assert_eq!(options.contains(TcpInfoOptions::ECN), agreed, "{client:?} {server:?} at {host}");
        }
    };
    check(Ecn::Accept, Ecn::Accept, ["C [S] 0", "S [S.] 0"], false);
    check(Ecn::Ask, Ecn::Off, ["C [SEW] 0", "S [S.] 0"], false);
    check(Ecn::Ask, Ecn::Accept, ["C [SEW] 0", "S [S.E] 0"], true);
    check(Ecn::Ask, Ecn::Ask, ["C [SEW] 0", "S [S.E] 0"], true);
}

#[test]
fn a_syn_that_is_not_answered_asks_no_more() {
    let mut world = world(2, Ecn::Ask, Ecn::Accept);
    world.wire.cut_to = Some(SERVER);
    world.connect(7);
    world.run_ms(1500);
    assert_eq!(world.take_log(), ["C [SEW] 0", "C [S] 0"]);
}

/// 6.1.2 and 6.1.3: the mark comes back until the sender says that its window has shrunk, which it does once.
#[test]
fn a_mark_is_echoed_and_costs_window_once() {
    let mut world = world(3, Ecn::Ask, Ecn::Accept);
    let (client, server, _) = world.establish();
    world.wire.delay_us = 10_000;
    world.send(CLIENT, client, &pattern(20_000)).unwrap();
    world.run_ms(200);
    let before = block_of(&mut world, CLIENT, client).cwnd();
    world.take_log();
    world.wire.is_congested = true;
    world.send(CLIENT, client, &pattern(8 * 1448)).unwrap();
    world.wire.is_congested = false;
    world.run_ms(25);
    let now = world.now;
    let info = block_of(&mut world, CLIENT, client).info(now);
    assert_eq!(info.ca_state, TcpCaState::Cwr);
    assert!(info.delivered_ce > 0 && !info.options.contains(TcpInfoOptions::ECN_SEEN));
    assert!(world.take_log().iter().filter(|line| line.starts_with('S')).all(|line| line == "S [.E] 0"));
    // The next text says so, and ends the echo.
    world.send(CLIENT, client, b"more").unwrap();
    world.run_ms(100);
    assert_eq!(world.take_log(), ["C [P.W] 4", "S [.] 0"]);
    let now = world.now;
    let info = block_of(&mut world, CLIENT, client).info(now);
    assert_eq!((info.ca_state, info.total_retrans), (TcpCaState::Open, 0));
    assert!(block_of(&mut world, CLIENT, client).cwnd() < before);
    assert!(block_of(&mut world, SERVER, server).info(now).options.contains(TcpInfoOptions::ECN_SEEN));
    assert_eq!(world.recv(SERVER, server).unwrap().len(), 20_000 + 8 * 1448 + 4);
    assert_eq!(world.count(CLIENT, Mib::TcpExtTCPTimeouts), 0);
}

/// 6.1.5: what is sent again is not marked, nor is an acknowledgement.
#[test]
fn only_new_text_may_be_marked() {
    let mut world = world(4, Ecn::Ask, Ecn::Accept);
    let (client, _, _) = world.establish();
    let tos = |world: &mut World, act: &dyn Fn(&mut World)| {
        world.tos.clear();
        act(world);
        std::mem::take(&mut world.tos)
    };
    assert_eq!(tos(&mut world, &|world| assert!(world.send(CLIENT, client, b"new").is_ok())), [2]);
    assert_eq!(tos(&mut world, &|world| world.run_ms(1)), [0], "the acknowledgement");
    world.wire.cut_to = Some(SERVER);
    assert_eq!(tos(&mut world, &|world| assert!(world.send(CLIENT, client, b"lost").is_ok())), [2]);
    assert_eq!(tos(&mut world, &|world| world.run_ms(300)), [0], "the same again");
}
