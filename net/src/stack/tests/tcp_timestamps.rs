//! Timestamps on the wire (RFC 7323).

use crate::stack::counters::Mib;
use crate::stack::testing::forge::*;
use crate::stack::testing::world::*;
use crate::wire::tcp::TcpFlags;
use std::time::Duration;

fn options(world: &mut World) -> Vec<String> {
    std::mem::take(&mut world.options).into_iter().filter(|options| !options.is_empty()).collect()
}

#[test]
fn every_segment_carries_them_and_syns_in_the_order_of_linux() {
    let mut world = World::new(1);
    world.introduce();
    world.wire.delay_us = 0;
    let (client, server, _) = world.establish();
    let stamps = [CLIENT, SERVER].map(|host| {
        let id = if host == CLIENT { client } else { server };
        let now = world.now;
        block_of(&mut world, host, id).timestamp(now)
    });
    assert_ne!(stamps[0], stamps[1], "each has a clock of its own");
    let (c, s) = (stamps[0] - 5, stamps[1] - 5);
    let expected = [
        format!("mss 1460,sackOK,TS val {c} ecr 0,nop,wscale 7"),
        format!("mss 1460,sackOK,TS val {s} ecr {c},nop,wscale 7"),
        format!("nop,nop,TS val {c} ecr {s}"),
    ];
    assert_eq!(options(&mut world), expected);
    world.send(CLIENT, client, b"text").unwrap();
    world.run_ms(3);
    let (c, s) = (c + 5, s + 5);
    assert_eq!(
        options(&mut world),
        [format!("nop,nop,TS val {c} ecr {}", s - 5), format!("nop,nop,TS val {s} ecr {c}")]
    );
}

#[test]
fn a_host_without_them_talks_without_them() {
    for quiet in [CLIENT, SERVER] {
        let mut world = World::with(2, |config| {
            config.tcp.timestamps = config.mac != MAC[quiet];
            config.tcp.sack = config.mac != MAC[quiet];
        });
        let (client, server, _) = world.establish();
        world.send(CLIENT, client, &pattern(1460)).unwrap();
        world.run_ms(1);
        assert_eq!(world.recv(SERVER, server).unwrap(), pattern(1460));
        assert_eq!(world.log.last().unwrap(), "S [.] 0");
        let seen = options(&mut world);
        assert_eq!(seen.len(), 2, "only the SYNs have any: {seen:?}");
        assert_eq!(seen[1], "mss 1460,nop,wscale 7");
    }
}

/// RFC 7323 section 5, and what Linux makes of it.
#[test]
fn old_timestamps_are_answered_and_change_nothing() {
    let ack_flag = TcpFlags::ACK;
    let check = |flags: TcpFlags, seq: i32, ack: i32, age_ms: u32, text: &[u8], mib: Option<Mib>, answer: &[&str]| {
        let mut world = World::new(3);
        let (client, server, _) = world.establish();
        world.run(Duration::from_secs(5));
        world.send(CLIENT, client, b"now").unwrap();
        world.run_ms(1);
        let current = in_order(&mut world, client, server, ack_flag);
        inject(&mut world, &forge(&current, b""));
        let mut header = in_order(&mut world, client, server, flags);
        header.seq = header.seq + seq as u32;
        header.ack = header.ack + ack as u32;
        if let Some((value, _)) = &mut header.options.timestamps {
            *value -= age_ms;
        }
        world.take_log();
        inject(&mut world, &forge(&header, text));
        assert_eq!(world.take_log(), answer, "{}", header.display(text.len()));
        if let Some(mib) = mib {
            assert_eq!(world.count(SERVER, mib), 1, "{mib:?}: {}", header.display(text.len()));
        }
        let expected: &[u8] = if mib.is_none() && !text.is_empty() { b"nowtext" } else { b"now" };
        assert_eq!(world.recv(SERVER, server).unwrap_or_default(), expected);
    };
    check(ack_flag, 0, 0, 0, b"text", None, &["S [.] 0"]);
    check(ack_flag, 0, 0, 1, b"text", None, &["S [.] 0"]);
    check(ack_flag, 0, 0, 2, b"text", Some(Mib::TcpExtPAWSEstab), &["S [.] 0"]);
    // A bare acknowledgement that was overtaken, and one from long ago.
    check(ack_flag, 0, 0, 100, b"", None, &[]);
    check(ack_flag, 0, 0, 3000, b"", Some(Mib::TcpExtPAWSEstab), &["S [.] 0"]);
    check(ack_flag, -2, 0, 100, b"", Some(Mib::TcpExtPAWSOldAck), &[]);
    check(TcpFlags::SYN, 0, 0, 100, b"", Some(Mib::TcpExtTCPSYNChallenge), &["S [.] 0"]);
    // A reset is believed all the same.
    check(TcpFlags::RST, 0, 0, 100, b"", Some(Mib::TcpEstabResets), &[]);
}

#[test]
fn an_echo_that_was_never_sent_is_refused() {
    let mut world = World::new(4);
    world.introduce();
    let client = world.connect(7);
    let header = answer_to_syn(&mut world, client);
    let check = |world: &mut World, off: i32, state: &str| {
        let mut header = header.clone();
        if let Some((_, echo)) = &mut header.options.timestamps {
            *echo = echo.wrapping_add(off as u32);
        }
        inject_to(world, CLIENT, &forge_to(CLIENT, &header, b""));
        assert_eq!(world.state(CLIENT, client), state, "{off}");
    };
    check(&mut world, 1, "TCP_SYN_SENT");
    check(&mut world, -1, "TCP_SYN_SENT");
    assert_eq!(world.count(CLIENT, Mib::TcpExtPAWSActive), 2);
    assert_eq!(world.take_log().last().unwrap(), "C [R] 0");
    check(&mut world, 0, "TCP_ESTABLISHED");
}

/// Section 4: the echo tells which of two copies has arrived.
#[test]
fn the_round_trip_of_what_was_sent_twice_is_measured() {
    let mut world = World::new(5);
    let (client, _, _) = world.establish();
    world.wire.delay_us = 20_000;
    world.wire.cut_to = Some(SERVER);
    world.send(CLIENT, client, b"lost").unwrap();
    world.run_ms(100);
    world.wire.cut_to = None;
    world.run_ms(300);
    let rto = block_of(&mut world, CLIENT, client).rto();
    assert!(rto < Duration::from_millis(400), "the back-off is over: {rto:?}");
}
