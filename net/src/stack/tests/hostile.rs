//! What a peer must not be able to do: forged resets, SYNs and text, and plain rubbish.

use crate::stack::counters::Mib;
use crate::stack::testing::forge::*;
use crate::stack::testing::world::*;
use crate::wire::ethernet::{EtherType, EthernetHeader};
use crate::wire::ipv4::{Ipv4Header, protocol};
use crate::wire::tcp::{SeqNumber, TcpFlags, TcpHeader};
use proptest::prelude::*;
use std::time::Duration;

/// RFC 5961: a reset must hit exactly, a SYN does nothing, an acknowledgement must be of something sent.
#[test]
fn forged_segments_are_challenged_not_obeyed() {
    let check = |change: &dyn Fn(&mut TcpHeader), answer: &[&str], state: &str| {
        let mut world = World::new(1);
        let (client, server, _) = world.establish();
        let mut header = in_order(&mut world, client, server, TcpFlags::ACK);
        change(&mut header);
        world.take_log();
        inject(&mut world, &forge(&header, b""));
        assert_eq!(world.take_log(), answer, "{}", header.display(0));
        assert_eq!(world.state(SERVER, server), state, "{}", header.display(0));
        inject(&mut world, &forge(&header, b""));
        assert!(world.take_log().is_empty(), "the answer is rate-limited: {}", header.display(0));
    };
    let alive = "TCP_ESTABLISHED";
    check(&|header| header.flags = TcpFlags::RST, &[], "TCP_CLOSE");
    check(&|header| (header.flags, header.seq) = (TcpFlags::RST, header.seq + 1), &["S [.] 0"], alive);
    check(&|header| (header.flags, header.seq) = (TcpFlags::RST, header.seq - 1), &[], alive);
    check(&|header| (header.flags, header.seq) = (TcpFlags::RST, header.seq + 10_000_000), &[], alive);
    check(&|header| header.flags = TcpFlags::SYN, &["S [.] 0"], alive);
    check(&|header| (header.flags, header.seq) = (TcpFlags::SYN, header.seq - 1_000_000), &["S [.] 0"], alive);
    check(&|header| header.flags = TcpFlags::SYN | TcpFlags::ACK, &["S [.] 0"], alive);
    check(&|header| header.ack = header.ack + 1, &["S [.] 0"], alive);
    check(&|header| header.ack = header.ack - 100_000_000, &["S [.] 0"], alive);
    check(&|header| header.flags = TcpFlags::empty(), &[], alive);
    check(&|header| header.seq = header.seq - 1, &["S [.] 0"], alive);
}

#[test]
fn old_segments_do_not_move_the_window() {
    let mut world = World::new(2);
    let (client, server, _) = world.establish();
    for _ in 0..2 {
        world.send(CLIENT, client, b"abcd").unwrap();
        world.run_ms(1);
    }
    let window = block(&mut world, server).send_variables().2;
    let mut header = in_order(&mut world, client, server, TcpFlags::ACK);
    header.seq = header.seq - 8;
    header.window = 1;
    inject(&mut world, &forge(&header, b"abcd"));
    assert_eq!(block(&mut world, server).send_variables().2, window, "WL1 stands against it");
    header.seq = header.seq + 8;
    inject(&mut world, &forge(&header, b""));
    assert_eq!(block(&mut world, server).send_variables().2, 1 << 7);
}

/// What was acknowledged stays as it is, whatever comes later for the same numbers.
#[test]
fn overlapping_text_does_not_change_what_was_acknowledged() {
    let mut world = World::new(3);
    let (client, server, _) = world.establish();
    let header = in_order(&mut world, client, server, TcpFlags::ACK);
    let at = |n: u32| TcpHeader { seq: header.seq + n, ..header.clone() };
    inject(&mut world, &forge(&at(10), b"klmno"));
    inject(&mut world, &forge(&at(12), b"XXX"));
    inject(&mut world, &forge(&at(0), b"abcde"));
    inject(&mut world, &forge(&at(3), b"XXfghij"));
    inject(&mut world, &forge(&at(0), b"YYYYYYYYYYYYYYYpq"));
    assert_eq!(world.recv(SERVER, server).unwrap(), b"abcdefghijklmnopq");
}

#[test]
fn text_out_of_order_is_bounded() {
    let mut world = World::with(4, |config| {
        config.limits.rcvbuf = 64 << 10;
        config.limits.out_of_order_max = 20;
    });
    let (client, server, _) = world.establish();
    let header = in_order(&mut world, client, server, TcpFlags::ACK);
    for n in 1..1000 {
        inject(&mut world, &forge(&TcpHeader { seq: header.seq + 2 * n, ..header.clone() }, b"x"));
    }
    assert_eq!(world.count(SERVER, Mib::TcpExtTCPOFOQueue), 20);
    assert!(world.count(SERVER, Mib::TcpExtTCPOFODrop) > 900);
    inject(&mut world, &forge(&header, b"yy"));
    assert_eq!(world.recv(SERVER, server).unwrap(), b"yyx");
}

/// A million SYNs from nowhere: counted, bounded, and who is connected stays so.
#[test]
fn a_flood_of_syns_is_bounded() {
    let mut world = World::new(5);
    let (client, server, _) = world.establish();
    let header = in_order(&mut world, client, server, TcpFlags::SYN);
    for n in 0..2000u32 {
        let header = TcpHeader { src_port: (1000 + n) as u16, seq: SeqNumber(n), ..header.clone() };
        inject(&mut world, &forge(&header, b""));
    }
    assert_eq!(world.stacks[SERVER].half_open_count(), 17);
    world.send(CLIENT, client, b"still here").unwrap();
    world.run_ms(1);
    assert_eq!(world.recv(SERVER, server).unwrap(), b"still here");
}

#[derive(Clone, Debug)]
struct Forged {
    flags: u8,
    seq: i32,
    ack: i32,
    window: u16,
    len: usize,
    wait_ms: u64,
    what: u8,
    blocks: Vec<(i32, i32)>,
}

fn near() -> impl Strategy<Value = i32> {
    prop_oneof![6 => -3i32..3, 3 => -3000i32..300_000, 1 => any::<i32>()]
}

fn forged() -> impl Strategy<Value = Forged> {
    let flags = prop_oneof![3 => Just(0x10u8), 1 => any::<u8>()];
    let len = prop_oneof![Just(0usize), 1usize..1460];
    let wait_ms = prop_oneof![4 => Just(0u64), 1 => 0u64..3000];
    let blocks = prop::collection::vec((-9000i32..90, 0i32..6000), 0..4);
    let all = (flags, near(), near(), any::<u16>(), len, wait_ms, any::<u8>(), blocks);
    all.prop_map(|(flags, seq, ack, window, len, wait_ms, what, blocks)| {
        let blocks = if what % 2 == 0 { blocks } else { Vec::new() };
        Forged { flags, seq, ack, window, len, wait_ms, what, blocks }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Arbitrary segments near the right numbers, mixed with the program's calls: no panic, and the bounds hold.
    #[test]
    fn any_segments_are_survived(steps in prop::collection::vec(forged(), 1..120)) {
        let mut world = World::with(6, |config| config.limits.rcvbuf = 64 << 10);
        let (client, server, _) = world.establish();
        let start = in_order(&mut world, client, server, TcpFlags::ACK);
        for step in steps {
            let gone = world.stacks[SERVER].sockets.connection_at(server.index()).is_none();
            let mut header = if gone { start.clone() } else { in_order(&mut world, client, server, TcpFlags::ACK) };
            header.flags = TcpFlags::from_bits_retain(step.flags);
            header.seq = header.seq + step.seq as u32;
            header.ack = header.ack + step.ack as u32;
            header.window = step.window;
            for (from, len) in step.blocks {
                let from = header.ack + from as u32;
                header.options.sack.push(from, from + len as u32);
            }
            inject(&mut world, &forge(&header, &pattern(step.len)));
            match step.what {
                0..60 => drop(world.send(SERVER, server, &pattern(step.len))),
                60..90 => drop(world.recv(SERVER, server)),
                90 => drop(world.call(SERVER, |s, now, fx| s.tcp_shutdown(now, server, std::net::Shutdown::Write, fx))),
                91 => world.close(SERVER, server),
                _ => {}
            }
            world.run_ms(step.wait_ms);
            if let Some(connection) = world.stacks[SERVER].sockets.connection_at(server.index()) {
                connection.block.assert_invariants();
            }
        }
        prop_assert!(world.pool.bytes_in_use() < 2 << 20);
        prop_assert!(world.stacks[SERVER].socket_count() < 64);
        world.close(SERVER, server);
        world.close(CLIENT, client);
        world.wire.cut_to = Some(SERVER);
        world.run(Duration::from_secs(7200));
        prop_assert_eq!(world.stacks[CLIENT].socket_count(), 0);
    }

    /// Rubbish in a frame for us.
    #[test]
    fn any_bytes_are_survived(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 1..20)) {
        let mut world = World::new(7);
        world.establish();
        let (mut ethernet, mut ip) = ([0; EthernetHeader::LEN], [0; Ipv4Header::LEN]);
        EthernetHeader { dst: MAC[SERVER], src: MAC[CLIENT], ethertype: EtherType::Ipv4 }.emit(&mut ethernet);
        for (n, bytes) in frames.iter().enumerate() {
            let protocol = [protocol::TCP, protocol::UDP, protocol::ICMP, 99][n % 4];
            Ipv4Header::new(ADDR[CLIENT], ADDR[SERVER], protocol, bytes.len()).emit(&mut ip);
            inject(&mut world, bytes);
            inject(&mut world, &[&ethernet[..], bytes].concat());
            inject(&mut world, &[&ethernet[..], &ip, bytes].concat());
        }
        world.run(Duration::from_secs(10));
        prop_assert!(world.stacks[SERVER].socket_count() <= 2);
    }
}
