//! Loss, and what looks like it: SACK, RACK, loss probes, and recoveries that are undone.

use crate::packet::PacketBuf;
use crate::sockopt::{Opt, Value};
use crate::stack::counters::Mib;
use crate::stack::socket::SocketId;
use crate::stack::testing::forge::*;
use crate::stack::testing::world::*;
use crate::wire::tcp::{SeqNumber, TcpFlags};
use std::time::Duration;

const MSS: usize = 1448;

/// An established connection over a wire with 20 ms of delay, whose round trip is known.
fn establish(seed: u64, sack: bool) -> (World, SocketId, SocketId) {
    let mut world = World::with(seed, |config| config.tcp.sack = sack);
    world.introduce();
    let (client, server, _) = world.establish();
    world.wire.delay_us = 20_000;
    for _ in 0..8 {
        world.send(CLIENT, client, b"round trip").unwrap();
        world.run_ms(100);
    }
    world.recv(SERVER, server).unwrap();
    world.take_log();
    (world, client, server)
}

/// Sends `n` segments and says what happens to each: `.` it arrives, `x` it is lost, a digit: it is so many times ten
/// milliseconds late. Returns the bytes.
fn send(world: &mut World, client: SocketId, fates: &str) -> Vec<u8> {
    let bytes = pattern(fates.len() * MSS);
    let frames: Vec<PacketBuf> = world.call(CLIENT, |stack, now, fx| {
        assert_eq!(stack.tcp_send(now, client, &bytes[..], fx), Ok(bytes.len()));
        take_tx(stack, now, fx)
    });
    assert_eq!(frames.len(), fates.len());
    for (frame, fate) in frames.into_iter().zip(fates.chars()) {
        match fate {
            '.' => world.transmit(SERVER, frame),
            'x' => {}
            late => {
                world.transmit_late(SERVER, frame, Duration::from_millis(10 * u64::from(late.to_digit(10).unwrap())))
            }
        }
    }
    bytes
}

fn check(fates: &str, ms: u64, expected: &[(Mib, u64)]) {
    check_with(true, fates, ms, expected);
}

/// All segments are there after `ms`, and the client's counters are these.
fn check_with(sack: bool, fates: &str, ms: u64, expected: &[(Mib, u64)]) {
    let (mut world, client, server) = establish(1, sack);
    let bytes = send(&mut world, client, fates);
    world.run_ms(ms);
    assert!(world.recv(SERVER, server).unwrap_or_default() == bytes, "{fates}: not repaired");
    world.run_ms(1000);
    for &(mib, n) in expected {
        assert_eq!(world.count(CLIENT, mib), n, "{fates}: {mib:?}\n{:?}", world.log);
    }
    block_of(&mut world, CLIENT, client).assert_invariants();
}

#[test]
fn holes_are_repaired_in_one_round_trip_each_once() {
    let repaired = |n| [(Mib::TcpRetransSegs, n), (Mib::TcpExtTCPSackRecovery, 1), (Mib::TcpExtTCPTimeouts, 0)];
    check("..x.......", 70, &repaired(1));
    check("x.x.x.x...", 110, &repaired(4));
    check("xxxxx.....", 110, &repaired(5));
}

/// RFC 8985 section 7: the end of a flight is probed for, and what the probe's answer tells is repaired.
#[test]
fn a_lost_tail_needs_no_timeout() {
    check("......xxxx", 250, &[(Mib::TcpExtTCPLossProbes, 1), (Mib::TcpExtTCPTimeouts, 0), (Mib::TcpRetransSegs, 4)]);
}

/// 7.4: the acknowledgement of what is sent after the probe tells that the probe has repaired a loss.
#[test]
fn a_loss_that_the_probe_repairs_costs_window_all_the_same() {
    let (mut world, client, server) = establish(8, true);
    let bytes = send(&mut world, client, ".........x");
    world.run_ms(350);
    assert_eq!(world.recv(SERVER, server).unwrap(), bytes);
    assert_eq!((world.count(CLIENT, Mib::TcpExtTCPLossProbes), world.count(CLIENT, Mib::TcpRetransSegs)), (1, 1));
    assert_eq!(world.count(CLIENT, Mib::TcpExtTCPLossProbeRecovery), 0, "not known yet");
    let before = block_of(&mut world, CLIENT, client).cwnd();
    world.send(CLIENT, client, b"more").unwrap();
    world.run_ms(100);
    assert_eq!(world.count(CLIENT, Mib::TcpExtTCPLossProbeRecovery), 1);
    assert!(block_of(&mut world, CLIENT, client).cwnd() < before);
}

/// A probe of new text for which there was no need leaves nothing behind; after a repair what is counted and was learned is
/// kept. Neither keeps the acknowledgements that follow on the long way.
#[test]
fn what_is_over_is_forgotten() {
    let (mut world, client, server) = establish(9, true);
    let bytes = pattern(24 * MSS);
    world.wire.delay_us = 50_000;
    world.send(CLIENT, client, &bytes).unwrap();
    world.run_ms(90);
    assert_eq!(block_of(&mut world, CLIENT, client).loss_memory(), (true, true), "the probe is out");
    world.run_ms(500);
    assert_eq!((world.count(CLIENT, Mib::TcpExtTCPLossProbes), world.count(CLIENT, Mib::TcpRetransSegs)), (1, 0));
    assert_eq!(block_of(&mut world, CLIENT, client).loss_memory(), (false, false));
    assert_eq!(world.recv(SERVER, server).unwrap(), bytes);

    let (mut world, client, _) = establish(10, true);
    send(&mut world, client, "..x.......");
    world.run_ms(70);
    assert_eq!(block_of(&mut world, CLIENT, client).loss_memory(), (true, true), "in recovery");
    world.run_ms(500);
    assert_eq!(block_of(&mut world, CLIENT, client).loss_memory(), (true, false));
    assert_eq!(world.count(CLIENT, Mib::TcpRetransSegs), 1);
}

#[test]
fn a_little_disorder_is_no_loss() {
    // Ten milliseconds are a quarter of the round trip.
    check("..1.......", 80, &[(Mib::TcpRetransSegs, 1), (Mib::TcpExtTCPSackRecovery, 1)]);
    let (mut world, client, server) = establish(2, true);
    let frames = world.call(CLIENT, |stack, now, fx| {
        stack.tcp_send(now, client, &pattern(4 * MSS)[..], fx).unwrap();
        take_tx(stack, now, fx)
    });
    let mut frames: Vec<_> = frames.into_iter().map(Some).collect();
    for n in [0, 2, 1, 3] {
        let frame = frames[n].take().unwrap();
        world.transmit(SERVER, frame);
    }
    world.run_ms(500);
    assert_eq!(world.recv(SERVER, server).unwrap(), pattern(4 * MSS));
    assert_eq!((world.count(CLIENT, Mib::TcpRetransSegs), world.count(CLIENT, Mib::TcpExtTCPSACKReorder)), (0, 1));
}

/// The segment was late, not lost: the echo of its timestamp, or the word that its copy came twice, undoes the recovery.
#[test]
fn a_recovery_for_nothing_is_undone() {
    let (mut world, client, _) = establish(3, true);
    let before = block_of(&mut world, CLIENT, client).cwnd();
    send(&mut world, client, "..3.......");
    world.run_ms(60);
    assert!(block_of(&mut world, CLIENT, client).cwnd() < before, "recovery has begun");
    world.run_ms(100);
    let undone = [Mib::TcpExtTCPFullUndo, Mib::TcpExtTCPPartialUndo, Mib::TcpExtTCPDSACKUndo];
    let undone: u64 = undone.map(|mib| world.count(CLIENT, mib)).iter().sum();
    assert_eq!((undone, world.count(CLIENT, Mib::TcpExtTCPSackRecovery)), (1, 1));
    assert_eq!(world.count(SERVER, Mib::TcpExtTCPDSACKOldSent), 1);
    assert!(block_of(&mut world, CLIENT, client).cwnd() >= before);
}

#[test]
fn a_copy_that_is_lost_is_sent_again_without_a_timeout() {
    let (mut world, client, server) = establish(4, true);
    let bytes = send(&mut world, client, "x.........");
    // The first acknowledgements bring the copy, which is lost, too.
    world.run(Duration::from_micros(39_900));
    world.wire.cut_to = Some(SERVER);
    world.run(Duration::from_micros(200));
    world.wire.cut_to = None;
    // New text behind it tells.
    let more = pattern(3 * MSS);
    world.send(CLIENT, client, &more).unwrap();
    world.run_ms(150);
    assert_eq!(world.recv(SERVER, server).unwrap(), [bytes, more].concat());
    assert_eq!(world.count(CLIENT, Mib::TcpExtTCPLostRetransmit), 1);
    assert_eq!(world.count(CLIENT, Mib::TcpExtTCPTimeouts), 0);
}

/// RFC 5682, and Eifel: a pause of the path is not a loss of everything.
#[test]
fn a_timeout_for_nothing_is_undone() {
    for timestamps in [true, false] {
        let mut world = World::with(5, |config| config.tcp.timestamps = timestamps);
        world.introduce();
        let (client, server, _) = world.establish();
        let n = if timestamps { 10 } else { 14 };
        let bytes = pattern(n * MSS);
        let before = block_of(&mut world, CLIENT, client).cwnd();
        world.wire.delay_us = 400_000;
        world.send(CLIENT, client, &bytes).unwrap();
        world.run_ms(3000);
        assert_eq!(world.recv(SERVER, server).unwrap(), bytes);
        assert!(world.count(CLIENT, Mib::TcpExtTCPTimeouts) >= 1);
        assert_eq!(world.count(CLIENT, Mib::TcpExtTCPLossUndo), 1, "timestamps: {timestamps}");
        if timestamps {
            assert!(block_of(&mut world, CLIENT, client).cwnd() >= before);
            assert!(world.count(CLIENT, Mib::TcpRetransSegs) <= 5, "{}", world.count(CLIENT, Mib::TcpRetransSegs));
        } else {
            assert_eq!(world.count(CLIENT, Mib::TcpExtTCPSpuriousRTOs), 1);
        }
    }
}

/// RFC 5681, RFC 6582, RFC 3042.
#[test]
fn without_sack_duplicates_tell() {
    let repaired = |n| [(Mib::TcpRetransSegs, n), (Mib::TcpExtTCPRenoRecovery, 1), (Mib::TcpExtTCPTimeouts, 0)];
    check_with(false, "..x.......", 100, &repaired(1));
    check_with(false, "x..x......", 150, &repaired(2));
    // Two duplicates are not enough, but each lets a new segment out, and that one is the third.
    let (mut world, client, server) = establish(6, false);
    let bytes = send(&mut world, client, "x..");
    world.run_ms(25);
    let more = pattern(3 * MSS);
    world.call(CLIENT, |stack, now, fx| stack.set_option(now, client, (Opt::NoDelay, Value::Flag(true)), fx)).unwrap();
    world.send(CLIENT, client, &more).unwrap();
    world.run_ms(150);
    assert_eq!(world.recv(SERVER, server).unwrap(), [bytes, more].concat());
    assert_eq!((world.count(CLIENT, Mib::TcpExtTCPTimeouts), world.count(CLIENT, Mib::TcpRetransSegs)), (0, 1));
}

/// RFC 2018 section 4, RFC 2883: the most recent block first, what came twice before it, three beside timestamps.
#[test]
fn blocks_are_told_in_order_of_arrival() {
    let mut world = World::new(7);
    let (client, server, _) = world.establish();
    let start = in_order(&mut world, client, server, TcpFlags::ACK);
    let mut told = |at: u32, len: usize| {
        let header = in_order(&mut world, client, server, TcpFlags::ACK);
        let header = crate::wire::tcp::TcpHeader { seq: start.seq + at, ..header };
        inject(&mut world, &forge(&header, &pattern(len)));
        let options = world.options.pop().unwrap();
        let blocks = options.split_once("sack").map_or("", |(_, blocks)| blocks);
        let relative = |n: &str| SeqNumber(n.parse().unwrap()) - start.seq;
        let pairs = blocks.split(['{', '}']).filter_map(|pair| pair.split_once(':'));
        pairs.map(|(from, to)| format!("{}-{}", relative(from), relative(to))).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(told(10, 5), "10-15");
    assert_eq!(told(30, 5), "30-35 10-15");
    assert_eq!(told(50, 5), "50-55 30-35 10-15");
    assert_eq!(told(70, 5), "70-75 50-55 30-35");
    assert_eq!(told(15, 3), "10-18 70-75 50-55");
    assert_eq!(told(31, 2), "31-33 10-18 70-75", "came twice: told first, once");
    assert_eq!(told(53, 4), "53-55 50-57 10-18");
    assert_eq!(told(0, 10), "50-57 70-75 30-35");
    assert_eq!(told(0, 4), "0-4 50-57 70-75");
    assert_eq!(told(18, 80), "30-35");
    assert_eq!(told(98, 1), "");
}
