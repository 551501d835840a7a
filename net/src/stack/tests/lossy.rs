//! Connections on bad wires: whatever is lost, doubled, overtaken or corrupted, every byte arrives once and in order.

use crate::event::DropReason;
use crate::stack::counters::Mib;
use crate::stack::error::SocketError;
use crate::stack::socket::SocketId;
use crate::stack::testing::world::*;
use crate::wire::tcp::SeqNumber;
use std::time::Duration;

/// Both sides send `n` bytes, close, and end in a legal state.
fn check(seed: u64, n: usize, wire: Wire) {
    // Not everybody has SACK, or timestamps.
    let mut world = World::with(seed, |config| {
        config.tcp.sack = seed % 3 != 2;
        config.tcp.timestamps = seed % 5 != 4;
    });
    world.introduce();
    world.wire = wire;
    let listener = world.listen(7, 4);
    let client = world.connect(7);
    let limit = world.now + Duration::from_secs(7200);
    let server = loop {
        assert!(world.step(limit), "seed {seed}: never connected");
        assert!(!matches!(world.stacks[CLIENT].tcp_connect_result(client), Err(SocketError::TimedOut)), "seed {seed}");
        if let Ok((server, _)) = world.stacks[SERVER].tcp_accept(listener) {
            break server;
        }
    };
    let bytes = pattern(n);
    let ends = [client, server];
    let mut edges = [None; 2];
    let (mut sent, mut received, mut ended) = ([0, 0], [Vec::new(), Vec::new()], [false, false]);
    while ended != [true, true] {
        for host in [CLIENT, SERVER] {
            if sent[host] < n {
                sent[host] += world.send(host, ends[host], &bytes[sent[host]..]).unwrap_or(0);
                if sent[host] == n {
                    let how = std::net::Shutdown::Write;
                    world.call(host, |stack, now, fx| stack.tcp_shutdown(now, ends[host], how, fx)).unwrap();
                }
            }
            match world.recv(host, ends[host]) {
                Ok(more) if more.is_empty() => ended[host] = true,
                Ok(more) => received[host].extend(more),
                Err(error) => assert_eq!(error, SocketError::WouldBlock, "seed {seed}"),
            }
        }
        for host in [CLIENT, SERVER] {
            edges[host] = assert_invariants(&mut world, host, ends[host], edges[host]);
        }
        let at = [received[0].len(), received[1].len()];
        assert!(world.step(limit) || ended == [true, true], "seed {seed}: stalled at {at:?} of {n}");
    }
    assert!(received[0] == bytes && received[1] == bytes, "seed {seed}: the stream has changed");
    for host in [CLIENT, SERVER] {
        world.close(host, ends[host]);
    }
    world.run(Duration::from_secs(3600));
    assert_eq!((world.stacks[CLIENT].socket_count(), world.stacks[SERVER].socket_count()), (0, 1), "seed {seed}");
    assert_eq!(world.stacks[CLIENT].time_wait_count() + world.stacks[SERVER].time_wait_count(), 0, "seed {seed}");
}

/// What holds between any two events, and: the right edge of the window that was told never moves to the left.
fn assert_invariants(world: &mut World, host: usize, id: SocketId, edge: Option<SeqNumber>) -> Option<SeqNumber> {
    let block = &world.stacks[host].sockets.connection_at(id.index())?.block;
    block.assert_invariants();
    let now = block.told_edge();
    assert!(edge.is_none_or(|before| !now.is_before(before)), "the window has shrunk");
    Some(now)
}

#[test]
fn loss_up_to_a_fifth() {
    for seed in 0..48 {
        let loss = [0.01, 0.05, 0.1, 0.2][seed as usize % 4];
        check(seed, 60_000, Wire { delay_us: 5000, loss, ..Wire::default() });
    }
}

#[test]
fn reordering_and_duplication() {
    for seed in 100..132 {
        check(seed, 100_000, Wire { delay_us: 1000, jitter_us: 3000, duplicate: 0.1, ..Wire::default() });
    }
}

#[test]
fn everything_at_once_over_a_long_wire() {
    for seed in 200..232 {
        let wire = Wire {
            delay_us: 150_000,
            jitter_us: 50_000,
            loss: 0.05,
            duplicate: 0.05,
            corrupt: 0.05,
            ..Wire::default()
        };
        check(seed, 40_000, wire);
    }
}

#[test]
fn a_single_loss_in_a_stream_is_repaired_without_a_timeout() {
    let mut world = World::new(1);
    let (client, server, _) = world.establish();
    let bytes = pattern(14_480);
    world.call(CLIENT, |stack, now, fx| {
        assert_eq!(stack.tcp_send(now, client, &bytes[..], fx), Ok(bytes.len()));
        fx.tx.remove(2);
    });
    world.run_ms(100);
    assert_eq!(world.recv(SERVER, server).unwrap(), bytes);
    assert_eq!(world.count(CLIENT, Mib::TcpExtTCPFastRetrans), 1);
    assert_eq!(world.count(CLIENT, Mib::TcpExtTCPTimeouts), 0);
    assert_eq!(world.count(CLIENT, Mib::TcpRetransSegs), 1);
    assert_eq!(world.count(SERVER, Mib::TcpExtTCPOFOQueue), 7);
}

/// RFC 6582: each partial acknowledgement names the next hole.
#[test]
fn several_losses_in_a_window_are_repaired_one_per_round_trip() {
    let mut world = World::new(2);
    let (client, server, _) = world.establish();
    let bytes = pattern(14_480);
    world.call(CLIENT, |stack, now, fx| {
        assert_eq!(stack.tcp_send(now, client, &bytes[..], fx), Ok(bytes.len()));
        for lost in [5, 3, 1] {
            fx.tx.remove(lost);
        }
    });
    world.run_ms(100);
    assert_eq!(world.recv(SERVER, server).unwrap(), bytes);
    assert_eq!((world.count(CLIENT, Mib::TcpRetransSegs), world.count(CLIENT, Mib::TcpExtTCPTimeouts)), (3, 0));
}

/// RFC 8985 7.2: the probe comes first, and repairs it.
#[test]
fn a_lost_answer_is_probed_for_after_two_hundred_milliseconds() {
    let mut world = World::new(3);
    let (client, server, _) = world.establish();
    world.wire.cut_to = Some(SERVER);
    world.send(CLIENT, client, b"lost").unwrap();
    world.wire.cut_to = None;
    world.take_log();
    world.run_ms(199);
    assert!(world.take_log().is_empty());
    world.run_ms(5);
    assert_eq!(world.recv(SERVER, server).unwrap(), b"lost");
    assert_eq!((world.count(CLIENT, Mib::TcpExtTCPLossProbes), world.count(CLIENT, Mib::TcpExtTCPTimeouts)), (1, 0));
}

#[test]
fn a_lost_syn_and_a_lost_syn_ack_are_sent_again_after_a_second() {
    for cut_to in [SERVER, CLIENT] {
        let mut world = World::new(4);
        let listener = world.listen(7, 1);
        world.introduce();
        world.wire.cut_to = Some(cut_to);
        let client = world.connect(7);
        world.run_ms(999);
        world.wire.cut_to = None;
        world.run_ms(5);
        assert_eq!(world.stacks[CLIENT].tcp_connect_result(client), Ok(()), "cut to {cut_to}");
        assert!(world.stacks[SERVER].tcp_accept(listener).is_ok());
        assert_eq!(world.stacks[SERVER].half_open_count(), 0);
    }
}

/// Frames that find no memory are as good as lost; the stream is not.
#[test]
fn a_dry_pool_delays_and_loses_nothing() {
    let mut world = World::new(5);
    world.introduce();
    let (client, server, _) = world.establish();
    let mut cache = world.pool.cache();
    let hoard: Vec<_> = std::iter::from_fn(|| cache.alloc(0, 2000)).collect();
    assert!(hoard.len() > 1000);
    // What the client's own cache still holds runs out first.
    let bytes = pattern(50_000);
    let sent = world.send(CLIENT, client, &bytes).unwrap();
    world.run_ms(1000);
    assert!(world.stacks[CLIENT].drops().get(DropReason::Nomem) > 0);
    drop((hoard, cache));
    world.run(Duration::from_secs(60));
    assert_eq!(world.recv(SERVER, server).unwrap(), bytes[..sent]);
}
