//! How long a connection waits, and how much it holds: keep-alive, user timeout, buffers that grow, segments that shrink.

use crate::sockopt::{Opt, Value};
use crate::stack::counters::Mib;
use crate::stack::error::SocketError;
use crate::stack::socket::SocketId;
use crate::stack::testing::forge::*;
use crate::stack::testing::world::*;
use std::time::Duration;

fn set(world: &mut World, host: usize, id: SocketId, opt: Opt, value: Value) {
    world.call(host, |stack, now, fx| stack.set_option(now, id, (opt, value), fx)).unwrap();
}

fn seconds(s: u64) -> Value {
    Value::Time(Some(Duration::from_secs(s)))
}

fn keep_alive(world: &mut World, id: SocketId) {
    set(world, CLIENT, id, Opt::KeepIdle, seconds(10));
    set(world, CLIENT, id, Opt::KeepInterval, seconds(2));
    set(world, CLIENT, id, Opt::KeepCount, Value::Number(3));
    set(world, CLIENT, id, Opt::KeepAlive, Value::Flag(true));
}

#[test]
fn a_silent_peer_is_asked_and_lives_as_long_as_it_answers() {
    let mut world = World::new(1);
    let (client, _, _) = world.establish();
    keep_alive(&mut world, client);
    world.take_log();
    world.run(Duration::from_secs(9));
    assert!(world.take_log().is_empty());
    world.run(Duration::from_secs(92));
    assert_eq!(world.take_log()[..4], ["C [.] 0", "S [.] 0", "C [.] 0", "S [.] 0"], "the question is an old number");
    assert_eq!(world.count(CLIENT, Mib::TcpExtTCPKeepAlive), 10);
    assert_eq!(world.state(CLIENT, client), "TCP_ESTABLISHED");
    set(&mut world, CLIENT, client, Opt::KeepAlive, Value::Flag(false));
    world.take_log();
    world.run(Duration::from_secs(100));
    assert!(world.take_log().is_empty());
}

#[test]
fn a_peer_that_has_vanished_is_noticed() {
    let mut world = World::new(2);
    let (client, _, _) = world.establish();
    keep_alive(&mut world, client);
    world.wire.cut_to = Some(SERVER);
    world.take_log();
    world.run(Duration::from_secs(15));
    assert_eq!(world.state(CLIENT, client), "TCP_ESTABLISHED");
    world.run(Duration::from_secs(2));
    assert_eq!(world.take_log(), ["C [.] 0", "C [.] 0", "C [.] 0", "C [R.] 0"]);
    assert_eq!(world.recv(CLIENT, client), Err(SocketError::TimedOut));
}

/// RFC 5482: it replaces the number of retransmissions, and of probes.
#[test]
fn a_user_timeout_ends_what_makes_no_progress() {
    let mut world = World::new(3);
    let (client, _, _) = world.establish();
    set(&mut world, CLIENT, client, Opt::UserTimeout, seconds(5));
    world.run(Duration::from_secs(60));
    world.wire.cut_to = Some(SERVER);
    world.send(CLIENT, client, b"anybody there?").unwrap();
    world.run_ms(4900);
    assert_eq!(world.state(CLIENT, client), "TCP_ESTABLISHED");
    world.run_ms(200);
    assert_eq!(world.recv(CLIENT, client), Err(SocketError::TimedOut));

    let mut world = World::new(4);
    let (client, _, _) = world.establish();
    set(&mut world, CLIENT, client, Opt::UserTimeout, seconds(30));
    for _ in 0..100 {
        let _ = world.send(CLIENT, client, &[0; 30_000]);
        world.run_ms(10);
    }
    world.run(Duration::from_secs(25));
    assert_eq!(world.state(CLIENT, client), "TCP_ESTABLISHED", "its window is closed, and it answers");
    world.run(Duration::from_secs(60));
    assert_eq!(world.state(CLIENT, client), "TCP_CLOSE");
}

/// The reader takes all there is, over a path with a long round trip: the window grows until it fills the path.
#[test]
fn the_receive_buffer_grows_with_the_reader_unless_it_was_set() {
    let run = |lock: bool| {
        let mut world = World::with(5, |config| config.limits.rcvbuf = 128 << 10);
        let (client, server, _) = world.establish();
        if lock {
            set(&mut world, SERVER, server, Opt::RcvBuf, Value::Number(64 << 10));
        }
        world.wire.delay_us = 50_000;
        let bytes = pattern(100_000);
        let mut got = 0;
        while got < 12_000_000 {
            let _ = world.send(CLIENT, client, &bytes);
            world.run_ms(5);
            got += world.recv(SERVER, server).map_or(0, |bytes| bytes.len());
            if lock && got > 1_000_000 {
                break;
            }
        }
        let now = world.now;
        let info = block_of(&mut world, SERVER, server).info(now);
        let sndbuf = block_of(&mut world, CLIENT, client).sndbuf();
        (block_of(&mut world, SERVER, server).rcvbuf(), info.rcv_rtt, info.rcv_space, sndbuf)
    };
    let (rcvbuf, rcv_rtt, rcv_space, sndbuf) = run(false);
    assert!((1 << 20..=6 << 20).contains(&rcvbuf), "{rcvbuf}");
    assert!((90..=130).contains(&rcv_rtt.as_millis()), "{rcv_rtt:?}");
    assert!(rcv_space > 200_000 && sndbuf > 512 << 10, "{rcv_space} {sndbuf}");
    assert_eq!(run(true).0, 128 << 10);
}

/// Close to the sender a reader that takes 64 KiB at a time sets the pace: more in flight would not be faster, so the window
/// stays near what the reader takes, and does not fill memory up to its bound.
#[test]
fn the_receive_buffer_does_not_grow_for_nothing() {
    let mut world = World::new(5);
    let (client, server, _) = world.establish();
    world.wire.delay_us = 10;
    let (bytes, mut buf) = (pattern(64 << 10), vec![0; 64 << 10]);
    for _ in 0..2000 {
        let _ = world.send(CLIENT, client, &bytes);
        world.run(Duration::from_micros(40));
        let _ = world.call(SERVER, |stack, now, fx| stack.tcp_recv(now, server, &mut buf[..], fx));
    }
    let rcvbuf = block_of(&mut world, SERVER, server).rcvbuf();
    assert!((128 << 10..=1 << 20).contains(&rcvbuf), "{rcvbuf}");
    let sndbuf = block_of(&mut world, CLIENT, client).sndbuf();
    assert!(sndbuf <= 1 << 20, "{sndbuf}");
}

/// RFC 1191: what is out is cut and sent again, and congestion is not blamed.
#[test]
fn a_smaller_path_mtu_cuts_what_is_out() {
    for sack in [true, false] {
        let mut world = World::with(6, |config| config.tcp.sack = sack);
        let (client, server, _) = world.establish();
        world.wire.delay_us = 10_000;
        world.send(CLIENT, client, &pattern(3000)).unwrap();
        world.run_ms(100);
        let before = block_of(&mut world, CLIENT, client).cwnd();
        world.wire.mtu = 1200;
        let bytes = pattern(8 * 1448);
        world.send(CLIENT, client, &bytes).unwrap();
        world.run_ms(5);
        let now = world.now;
        world.stacks[CLIENT].sockets.connection(client).unwrap().block.on_path_mtu(1200, 40, now);
        world.stacks[CLIENT].sockets.connection(client).unwrap().block.on_path_mtu(1300, 40, now);
        world.take_log();
        world.send(CLIENT, client, b"").unwrap();
        let log = world.take_log();
        assert!(log.iter().all(|line| line.ends_with("] 1148") || line.ends_with("] 300")), "{log:?}");
        block_of(&mut world, CLIENT, client).assert_invariants();
        world.run_ms(400);
        assert!(world.recv(SERVER, server).unwrap()[3000..] == bytes);
        let info = block_of(&mut world, CLIENT, client).info(now);
        assert_eq!((info.pmtu, info.snd_mss), (1200, 1148));
        assert!(block_of(&mut world, CLIENT, client).cwnd() >= before, "sack: {sack}");
        assert_eq!(world.count(CLIENT, Mib::TcpExtTCPTimeouts), 0, "sack: {sack}");
    }
}

/// RFC 4821, as far as Linux's `tcp_mtu_probing=1` goes.
#[test]
fn a_path_that_swallows_large_packets_is_found_out() {
    for probing in [true, false] {
        let mut world = World::with(7, |config| config.tcp.mtu_probing = probing);
        let (client, server, _) = world.establish();
        world.wire.mtu = 800;
        let bytes = pattern(20_000);
        world.send(CLIENT, client, &bytes).unwrap();
        world.run(Duration::from_secs(60));
        let got = world.recv(SERVER, server).unwrap_or_default();
        assert_eq!(got == bytes, probing);
    }
}
