//! The SYN queue under load: cookies, floods, pruning, deferred accepts.

use crate::sockopt::{Opt, Value};
use crate::stack::counters::Mib;
use crate::stack::error::SocketError;
use crate::stack::tcp::sysctl::SynCookies;
use crate::stack::testing::forge::{forge, inject};
use crate::stack::testing::world::*;
use crate::tcp_info::TcpInfoOptions;
use crate::wire::checksum::Sum;
use crate::wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use crate::wire::ipv4::protocol;
use crate::wire::ipv6::Ipv6Header;
use crate::wire::tcp::{SeqNumber, TcpFlags, TcpHeader};
use crate::wire::tcp_options::TcpOptions;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

/// A SYN from a port of the client's address that no socket has.
fn syn(src_port: u16) -> TcpHeader {
    let options = TcpOptions { mss: Some(1460), ..TcpOptions::default() };
    let (seq, ack, flags) = (SeqNumber(u32::from(src_port) * 1000), SeqNumber(0), TcpFlags::SYN);
    TcpHeader { src_port, dst_port: 7, seq, ack, flags, window: 1000, urgent: 0, options }
}

/// SYNs from `n` peers that do not exist.
fn flood(world: &mut World, n: u16) {
    world.wire.cut_to = Some(CLIENT);
    for port in 1..=n {
        inject(world, &forge(&syn(port), b""));
    }
    world.wire.cut_to = None;
}

/// docs/rxpath.md, row 39: a full SYN queue does not keep anybody out, nor does it disturb who is in.
#[test]
fn a_flood_keeps_nobody_out() {
    let mut world = World::new(1);
    let (client, server, listener) = world.establish();
    flood(&mut world, 20_000);
    assert_eq!(world.stacks[SERVER].half_open_count(), 17, "listen(16) holds 17");
    assert_eq!(world.count(SERVER, Mib::TcpExtTCPReqQFullDoCookies), 20_000 - 17);
    assert_eq!(world.count(SERVER, Mib::TcpExtSyncookiesSent), 20_000 - 17);
    assert_eq!(world.stacks[SERVER].socket_count(), 2, "a SYN costs no socket");
    world.send(CLIENT, client, b"still there").unwrap();
    world.run_ms(5);
    assert_eq!(world.recv(SERVER, server).unwrap(), b"still there");
    let late = world.connect(7);
    world.run_ms(5);
    assert_eq!(world.stacks[CLIENT].tcp_connect_result(late), Ok(()));
    let (accepted, _) = world.stacks[SERVER].tcp_accept(listener).unwrap();
    assert_eq!(world.count(SERVER, Mib::TcpExtSyncookiesRecv), 1);
    // What the SYN offered came back with the timestamp.
    let info = world.stacks[SERVER].tcp_info(world.now, accepted).unwrap();
    assert_eq!(info.options, TcpInfoOptions::TIMESTAMPS | TcpInfoOptions::SACK | TcpInfoOptions::WSCALE);
    assert_eq!((info.snd_wscale, info.snd_mss), (7, 1448));
    world.send(SERVER, accepted, &pattern(50_000)).unwrap();
    world.run_ms(100);
    assert_eq!(world.recv(CLIENT, late).unwrap(), pattern(50_000));
}

#[test]
fn a_cookie_without_timestamps_still_says_the_segment_size() {
    let mut world = World::with(2, |config| {
        config.tcp.syncookies = SynCookies::Always;
        config.tcp.timestamps = false;
    });
    let (client, server, _) = world.establish();
    assert_eq!(world.stacks[SERVER].half_open_count(), 0, "nothing was remembered");
    let info = world.stacks[SERVER].tcp_info(world.now, server).unwrap();
    assert_eq!((info.options, info.snd_mss), (TcpInfoOptions::empty(), 1460));
    world.send(CLIENT, client, b"hello").unwrap();
    world.run_ms(5);
    assert_eq!(world.recv(SERVER, server).unwrap(), b"hello");
}

#[test]
fn a_cookie_that_was_not_given_out_is_refused() {
    let mut world = World::new(3);
    world.listen(7, 0);
    let forged = TcpHeader { flags: TcpFlags::ACK, ack: SeqNumber(12_345), ..syn(3) };
    inject(&mut world, &forge(&forged, b""));
    assert_eq!(world.count(SERVER, Mib::TcpExtSyncookiesFailed), 0, "none is out, so none is looked at");
    flood(&mut world, 3);
    inject(&mut world, &forge(&forged, b""));
    assert_eq!(world.count(SERVER, Mib::TcpExtSyncookiesFailed), 1);
    assert_eq!((world.count(SERVER, Mib::TcpOutRsts), world.count(SERVER, Mib::TcpPassiveOpens)), (2, 0));
    world.run(Duration::from_secs(121));
    inject(&mut world, &forge(&forged, b""));
    assert_eq!(world.count(SERVER, Mib::TcpExtSyncookiesFailed), 1, "too long ago");
}

#[test]
fn a_cookie_finds_the_accept_queue_full() {
    let mut world = World::with(4, |config| config.tcp.syncookies = SynCookies::Always);
    let listener = world.listen(7, 0);
    world.introduce();
    let clients: Vec<_> = (0..2).map(|_| world.connect(7)).collect();
    world.run_ms(5);
    assert_eq!(world.stacks[SERVER].accept_backlog(listener), 1);
    assert_eq!((world.count(SERVER, Mib::TcpExtListenOverflows), world.count(SERVER, Mib::TcpExtListenDrops)), (1, 1));
    for client in clients {
        assert_eq!(world.stacks[CLIENT].tcp_connect_result(client), Ok(()));
        world.send(CLIENT, client, b"x").unwrap();
    }
    world.run_ms(1);
    let (first, _) = world.stacks[SERVER].tcp_accept(listener).unwrap();
    assert_eq!(world.recv(SERVER, first).unwrap(), b"x");
    world.run(Duration::from_secs(2));
    let (second, _) = world.stacks[SERVER].tcp_accept(listener).unwrap();
    assert_eq!(world.recv(SERVER, second).unwrap(), b"x", "its text brought the cookie again");
}

#[test]
fn a_handshake_that_finds_no_room_is_reset_if_the_host_wants_it() {
    let mut world = World::with(5, |config| config.tcp.abort_on_overflow = true);
    world.listen(7, 0);
    world.introduce();
    // Both SYNs come before either handshake is over.
    world.stacks[SERVER].sockets.listener_at(0).unwrap().backlog = Some(1);
    let clients: Vec<_> = (0..2).map(|_| world.connect(7)).collect();
    world.run(Duration::from_micros(60));
    world.stacks[SERVER].sockets.listener_at(0).unwrap().backlog = Some(0);
    world.run_ms(5);
    let results: Vec<_> = clients.iter().map(|&client| world.recv(CLIENT, client)).collect();
    assert_eq!(results, [Err(SocketError::WouldBlock), Err(SocketError::ConnectionReset)]);
    assert_eq!((world.count(SERVER, Mib::TcpExtEmbryonicRsts), world.stacks[SERVER].half_open_count()), (1, 0));
}

/// Without cookies the last quarter of the room is for peers that are known.
#[test]
fn without_cookies_a_quarter_of_the_queue_is_kept() {
    let mut world = World::with(6, |config| {
        config.tcp.syncookies = SynCookies::Off;
        config.tcp.max_syn_backlog = 16;
    });
    world.listen(7, 100);
    world.introduce();
    flood(&mut world, 20);
    assert_eq!(world.stacks[SERVER].half_open_count(), 13);
    assert_eq!((world.count(SERVER, Mib::TcpExtListenDrops), world.count(SERVER, Mib::TcpExtTCPReqQFullDrop)), (7, 0));
}

/// Old requests that clog the queue get two retransmissions instead of five, until they no longer do.
#[test]
fn old_requests_make_room_for_young_ones() {
    let left_after = |backlog, seconds| {
        let mut world = World::new(7);
        world.listen(7, backlog);
        world.introduce();
        flood(&mut world, 9);
        world.wire.cut_to = Some(CLIENT);
        world.run(Duration::from_secs(seconds));
        world.stacks[SERVER].half_open_count()
    };
    assert_eq!((left_after(9, 6), left_after(9, 8)), (9, 4), "1 + 2 + 4 seconds");
    assert_eq!((left_after(100, 62), left_after(100, 64)), (9, 0), "1 + 2 + 4 + 8 + 16 + 32");
}

#[test]
fn a_deferred_accept_waits_for_data() {
    let mut world = World::new(8);
    let listener = world.listen(7, 4);
    let defer = (Opt::DeferAccept, Value::Time(Some(Duration::from_secs(3))));
    world.call(SERVER, |stack, now, fx| stack.set_option(now, listener, defer, fx)).unwrap();
    let (talker, silent) = (world.connect(7), world.connect(7));
    world.run_ms(500);
    assert_eq!(world.stacks[CLIENT].tcp_connect_result(talker), Ok(()));
    assert_eq!(world.stacks[SERVER].tcp_accept(listener), Err(SocketError::WouldBlock));
    assert_eq!(world.count(SERVER, Mib::TcpExtTCPDeferAcceptDrop), 2);
    world.send(CLIENT, talker, b"question").unwrap();
    world.run_ms(5);
    let (server, _) = world.stacks[SERVER].tcp_accept(listener).unwrap();
    assert_eq!(world.recv(SERVER, server).unwrap(), b"question");
    // The other one is asked once more when the time is over, and its answer counts.
    assert_eq!(world.stacks[SERVER].tcp_accept(listener), Err(SocketError::WouldBlock));
    world.run(Duration::from_secs(4));
    let (_, peer) = world.stacks[SERVER].tcp_accept(listener).unwrap();
    assert_eq!(Ok(peer), world.stacks[CLIENT].local_addr(silent));
}

/// A SYN to the server's port 7 from an address of its link that nobody has.
fn spoofed(n: u32) -> Vec<u8> {
    let src = Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(0x1_0000 + n));
    let dst = ADDR6[SERVER];
    let seq = SeqNumber(n);
    let (flags, options) = (TcpFlags::SYN, TcpOptions { mss: Some(1440), ..TcpOptions::default() });
    let header =
        TcpHeader { src_port: 9, dst_port: 7, seq, ack: SeqNumber(0), flags, window: 1000, urgent: 0, options };
    let len = header.header_len();
    let mut tcp = vec![0; len];
    header.emit(&mut tcp, Some(Sum::pseudo_header(src.into(), dst.into(), protocol::TCP, len)));
    let (mut ethernet, mut ip) = ([0; EthernetHeader::LEN], [0; Ipv6Header::LEN]);
    EthernetHeader { dst: MAC[SERVER], src: MacAddr([2, 0, 0, 0, 0, 9]), ethertype: EtherType::Ipv6 }
        .emit(&mut ethernet);
    let (payload_len, next_header) = (len as u16, protocol::TCP);
    Ipv6Header { traffic_class: 0, flow_label: 0, payload_len, next_header, hop_limit: 64, src, dst }.emit(&mut ip);
    [&ethernet[..], &ip, &tcp].concat()
}

/// The answers to it fill the table of neighbours with questions. Whoever is known goes on, and whoever comes is answered at
/// once.
#[test]
fn a_flood_from_the_servers_own_link_keeps_nobody_waiting() {
    let mut world = World::new(9);
    let listener = world.stacks[SERVER].tcp_listen("[::]:7".parse().unwrap(), 100, false).unwrap();
    let mut n = 0;
    let mut flood = |world: &mut World, ms: u64| {
        for _ in 0..ms {
            for _ in 0..100 {
                n += 1;
                inject(world, &spoofed(n));
            }
            world.run_ms(1);
        }
    };
    flood(&mut world, 100);
    assert_eq!(world.stacks[SERVER].ip.neighbours.len(), 1024);
    let to = SocketAddr::new(ADDR6[SERVER].into(), 7);
    let client = world.call(CLIENT, |stack, now, fx| stack.tcp_connect(now, None, to, &|_| true, fx)).unwrap();
    flood(&mut world, 3);
    assert_eq!(world.state(CLIENT, client), "TCP_ESTABLISHED", "without waiting for a timer");
    let (server, _) = world.stacks[SERVER].tcp_accept(listener).unwrap();
    flood(&mut world, 100);
    world.send(SERVER, server, b"hello").unwrap();
    flood(&mut world, 3);
    assert_eq!(world.recv(CLIENT, client).unwrap(), b"hello");
    assert!(world.stacks[SERVER].ip.neighbours.len() <= 1024);
    assert!(world.pool.bytes_in_use() < 4 << 20, "{}", world.pool.bytes_in_use());
}
