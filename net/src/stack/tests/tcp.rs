//! Connections on a good wire: handshake, text, windows, acknowledgements, wake-ups.

use crate::host::socket::tcp::TcpStream as HostTcpStream;
use crate::sockopt::{Opt, Value};
use crate::stack::counters::Mib;
use crate::stack::error::SocketError;
use crate::stack::flow_table::ENTRY_COST_MAX;
use crate::stack::socket::Sockets;
use crate::stack::tcp::connection::Connection;
use crate::stack::tcp::control_block::ControlBlock;
use crate::stack::testing::world::*;
use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::time::Duration;
use wakeline_runtime::clock::Instant;
use wakeline_runtime::wait_queue::{Events, Mode, WaitSlot};

#[test]
fn a_handshake_takes_three_segments_after_arp() {
    let mut world = World::new(1);
    let (client, server, _) = world.establish();
    let expected = [
        "C ARP, Request who-has 10.0.0.2 tell 10.0.0.1",
        "S ARP, Reply 10.0.0.2 is-at 02:00:00:00:00:02",
        "C [S] 0",
        "S [S.] 0",
        "C [.] 0",
    ];
    assert_eq!(world.take_log(), expected);
    assert_eq!(world.state(CLIENT, client), "TCP_ESTABLISHED");
    assert_eq!(world.state(SERVER, server), "TCP_ESTABLISHED");
    assert_eq!(world.count(CLIENT, Mib::TcpActiveOpens), 1);
    assert_eq!(world.count(SERVER, Mib::TcpPassiveOpens), 1);
    assert_eq!(world.stacks[SERVER].peer_addr(server), world.stacks[CLIENT].local_addr(client));
    assert_eq!(world.stacks[SERVER].local_addr(server), Ok(SocketAddr::new(ADDR[SERVER].into(), 7)));
}

/// In the steady state the acknowledgement of a question rides on its answer, and the other way round.
#[test]
fn a_question_and_its_answer_are_two_frames() {
    let mut world = World::new(2);
    let (client, server, _) = world.establish();
    for round in 0..50 {
        world.take_log();
        assert_eq!(world.send(CLIENT, client, &[1; 64]), Ok(64));
        world.run(Duration::from_micros(60));
        assert_eq!(world.recv(SERVER, server).unwrap(), [1; 64]);
        assert_eq!(world.send(SERVER, server, &[2; 64]), Ok(64));
        world.run(Duration::from_micros(60));
        assert_eq!(world.recv(CLIENT, client).unwrap(), [2; 64]);
        if round > 0 {
            assert_eq!(world.take_log(), ["C [P.] 64", "S [P.] 64"], "round {round}");
        }
    }
    world.take_log();
    world.run_ms(1000);
    assert_eq!(world.take_log(), ["C [.] 0"], "the last answer is acknowledged on its own");
    assert_eq!(world.stacks[CLIENT].next_deadline(), None);
    assert_eq!(world.stacks[SERVER].next_deadline(), None);
}

fn transfer(
    world: &mut World,
    from: (usize, crate::stack::socket::SocketId),
    to: (usize, crate::stack::socket::SocketId),
    n: usize,
) {
    let bytes = pattern(n);
    let (mut sent, mut received) = (0, Vec::new());
    let deadline = world.now + Duration::from_secs(3600);
    while received.len() < n {
        if sent < n {
            match world.send(from.0, from.1, &bytes[sent..]) {
                Ok(n) => sent += n,
                Err(error) => assert_eq!(error, SocketError::WouldBlock),
            }
        }
        assert!(world.step(deadline), "stalled at {} of {n}, {sent} sent", received.len());
        if let Ok(more) = world.recv(to.0, to.1) {
            received.extend(more);
        }
    }
    assert!(received == bytes, "the stream has changed");
}

#[test]
fn text_of_any_length_arrives_both_ways() {
    let mut world = World::new(3);
    let (client, server, _) = world.establish();
    for n in [1, 2, 100, 1459, 1460, 1461, 5000, 70_000, 1_000_000] {
        transfer(&mut world, (CLIENT, client), (SERVER, server), n);
        transfer(&mut world, (SERVER, server), (CLIENT, client), n);
    }
    assert_eq!(world.count(CLIENT, Mib::TcpRetransSegs) + world.count(SERVER, Mib::TcpRetransSegs), 0);
    assert_eq!(world.stacks[CLIENT].drops().total() + world.stacks[SERVER].drops().total(), 0);
}

#[test]
fn a_megabyte_costs_at_most_one_acknowledgement_for_two_segments() {
    let mut world = World::new(4);
    let (client, server, _) = world.establish();
    world.take_log();
    transfer(&mut world, (CLIENT, client), (SERVER, server), 1_000_000);
    let log = world.take_log();
    let (text, acks) =
        (log.iter().filter(|l| l.starts_with('C')).count(), log.iter().filter(|l| l.starts_with('S')).count());
    assert!((685..700).contains(&text), "{text}");
    assert!(acks < text * 2 / 3, "{acks} for {text}");
}

#[test]
fn the_first_text_is_acknowledged_at_once_and_later_after_forty_milliseconds() {
    let mut world = World::new(5);
    let (client, server, _) = world.establish();
    world.take_log();
    // The server has nothing to say, so it stays in the quick phase.
    for _ in 0..16 {
        assert_eq!(world.send(CLIENT, client, b"x"), Ok(1));
        world.run_ms(1);
    }
    assert_eq!(world.take_log().iter().filter(|line| *line == "S [.] 0").count(), 16);
    assert_eq!(world.send(CLIENT, client, b"x"), Ok(1));
    world.run_ms(39);
    assert_eq!(world.take_log(), ["C [P.] 1"]);
    world.run_ms(2);
    assert_eq!(world.take_log(), ["S [.] 0"]);
    assert_eq!(world.count(SERVER, Mib::TcpExtDelayedACKs), 1);
    assert_eq!(world.recv(SERVER, server).unwrap().len(), 17);
}

#[test]
fn one_batch_is_answered_with_one_acknowledgement() {
    let mut world = World::new(6);
    let (client, server, _) = world.establish();
    transfer(&mut world, (CLIENT, client), (SERVER, server), 200_000);
    world.run_ms(100);
    world.take_log();
    // All frames of a window arrive in one batch.
    let bytes = pattern(10 * 1448);
    let frames = world.call(CLIENT, |stack, now, fx| {
        assert_eq!(stack.tcp_send(now, client, &bytes[..], fx), Ok(bytes.len()));
        take_tx(stack, now, fx)
    });
    assert_eq!(frames.len(), 10);
    world.call(SERVER, |stack, now, fx| {
        for frame in frames {
            stack.on_frame(now, frame, fx);
        }
        assert!(fx.tx.is_empty());
        stack.on_batch_end(now, fx);
        assert_eq!(fx.tx.len(), 1);
    });
}

/// `tcp_small_queue_check`: the account is the connection's, not a call's, and what has left the device leaves it.
#[test]
fn the_device_has_two_segments_of_a_slow_connection_at_once() {
    let mut world = World::new(8);
    let (client, server, _) = world.establish();
    world.wire.delay_us = 20_000;
    transfer(&mut world, (CLIENT, client), (SERVER, server), 2_000);
    world.run_ms(100);
    // What leaves in a millisecond is less than two segments.
    let counts = world.call(CLIENT, |stack, now, fx| {
        let mut counts = Vec::new();
        for _ in 0..7 {
            assert_eq!(stack.tcp_send(now, client, &pattern(1448)[..], fx), Ok(1448));
            counts.push(fx.tx.len());
        }
        while stack.note_tx_completion() {
            stack.on_tx_completion(now, fx);
            counts.push(fx.tx.len());
        }
        counts
    });
    assert_eq!(counts, [1, 2, 3, 3, 3, 3, 3, 6, 7]);
}

#[test]
fn nagle_holds_a_second_small_segment_until_the_first_is_acknowledged() {
    let mut world = World::new(7);
    let (client, _, _) = world.establish();
    world.take_log();
    for _ in 0..3 {
        assert_eq!(world.send(CLIENT, client, b"ab"), Ok(2));
    }
    assert_eq!(world.take_log(), ["C [P.] 2"]);
    world.run_ms(1);
    assert_eq!(world.take_log(), ["S [.] 0", "C [P.] 4", "S [.] 0"]);
    world.call(CLIENT, |stack, now, fx| stack.set_option(now, client, (Opt::NoDelay, Value::Flag(true)), fx)).unwrap();
    assert_eq!(world.stacks[CLIENT].option(client, Opt::NoDelay), Ok(Value::Flag(true)));
    for _ in 0..3 {
        assert_eq!(world.send(CLIENT, client, b"ab"), Ok(2));
    }
    assert_eq!(world.take_log(), ["C [P.] 2", "C [P.] 2", "C [P.] 2"]);
}

/// The buffers of one call are one text: with TCP_NODELAY, too, they share a segment, and its bytes a block.
#[test]
fn several_buffers_of_one_call_make_one_segment() {
    let mut world = World::new(9);
    let (client, server, _) = world.establish();
    world.call(CLIENT, |stack, now, fx| stack.set_option(now, client, (Opt::NoDelay, Value::Flag(true)), fx)).unwrap();
    world.take_log();
    let body = pattern(1000);
    let sent = [IoSlice::new(b"head"), IoSlice::new(b""), IoSlice::new(&body)];
    let frames = world.call(CLIENT, |stack, now, fx| {
        assert_eq!(stack.tcp_send(now, client, &sent[..], fx), Ok(1004));
        fx.tx.iter().map(|frame| frame.frags().len()).collect::<Vec<_>>()
    });
    assert_eq!(frames, [1], "one segment, which refers to one block");
    world.run_ms(1);
    assert_eq!(world.take_log()[0], "C [P.] 1004");

    let (mut head, mut none, mut rest) = ([0; 4], [], [0; 2000]);
    let mut room = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut none), IoSliceMut::new(&mut rest)];
    let n = world.call(SERVER, |stack, now, fx| stack.tcp_recv(now, server, &mut room[..], fx));
    assert_eq!((n, &head), (Ok(1004), b"head"));
    assert!(rest[..1000] == body[..]);
    // No bytes and no room are no reason to wait.
    let nothing = world.call(CLIENT, |stack, now, fx| stack.tcp_send(now, client, &[IoSlice::new(b"")][..], fx));
    let no_room =
        world.call(SERVER, |stack, now, fx| stack.tcp_recv(now, server, &mut [IoSliceMut::new(&mut [])][..], fx));
    assert_eq!((nothing, no_room), (Ok(0), Ok(0)));
}

#[test]
fn a_reader_that_stops_closes_the_window_and_probes_find_it_open_again() {
    let mut world = World::new(8);
    let (client, server, _) = world.establish();
    let bytes = pattern(1_500_000);
    let mut sent = 0;
    for _ in 0..100 {
        sent += world.send(CLIENT, client, &bytes[sent..]).unwrap_or(0);
        world.run_ms(10);
    }
    assert_eq!(world.send(CLIENT, client, b"more"), Err(SocketError::WouldBlock));
    assert!(sent < 900_000, "the receive buffer bounds what is taken: {sent}");
    assert!(world.pool.bytes_in_use() < 2_500_000, "{}", world.pool.bytes_in_use());
    // The update is lost; a probe finds the open window.
    world.run(Duration::from_secs(100));
    assert!(world.count(CLIENT, Mib::TcpExtTCPWinProbe) >= 5);
    world.wire.cut_to = Some(CLIENT);
    let mut received = world.recv(SERVER, server).unwrap();
    world.run_ms(1);
    world.wire.cut_to = None;
    let limit = world.now + Duration::from_secs(300);
    while received.len() < bytes.len() {
        sent += world.send(CLIENT, client, &bytes[sent..]).unwrap_or(0);
        assert!(world.step(limit), "stalled at {}", received.len());
        received.extend(world.recv(SERVER, server).unwrap_or_default());
    }
    assert!(received == bytes);
}

#[test]
fn a_peer_that_answers_probes_is_never_given_up() {
    let mut world = World::new(9);
    let (client, server, _) = world.establish();
    let bytes = pattern(1 << 20);
    let mut sent = 0;
    while let Ok(n) = world.send(CLIENT, client, &bytes[sent..]) {
        sent += n;
        world.run_ms(10);
    }
    world.run(Duration::from_secs(24 * 3600));
    assert_eq!(world.state(CLIENT, client), "TCP_ESTABLISHED");
    let mut received = 0;
    while received < sent {
        received += world.recv(SERVER, server).map_or(0, |bytes| bytes.len());
        world.run_ms(200);
    }
    assert_eq!(received, sent);
}

#[test]
fn a_small_receive_buffer_works_and_bounds_memory() {
    let mut world = World::new(10);
    let listener = world.listen(7, 1);
    world.set_rcvbuf(SERVER, listener, 1);
    assert_eq!(world.stacks[SERVER].option(listener, Opt::RcvBuf), Ok(Value::Number(2304)));
    let client = world.connect(7);
    world.run_ms(5);
    let (server, _) = world.stacks[SERVER].tcp_accept(listener).unwrap();
    transfer(&mut world, (CLIENT, client), (SERVER, server), 20_000);
}

#[test]
fn waiters_are_woken_once_and_only_for_what_they_want() {
    let mut world = World::new(11);
    let listener = world.listen(7, 16);
    let (count, waker) = Count::new();
    let mut slot = WaitSlot::new();
    let mut join = |world: &mut World, host: usize, id, interest| {
        let _ = world.stacks[host].wait_list(id).unwrap().join(&mut slot, &waker, interest, Mode::Shared);
    };
    join(&mut world, SERVER, listener, Events::READABLE);
    let client = world.connect(7);
    world.run_ms(5);
    assert_eq!(count.take(), 1, "a connection to accept");
    let (server, _) = world.stacks[SERVER].tcp_accept(listener).unwrap();
    assert_eq!(world.stacks[SERVER].readiness(server), Events::OUT | Events::WRNORM);

    join(&mut world, SERVER, server, Events::READABLE);
    world.send(CLIENT, client, b"one").unwrap();
    world.run_ms(1);
    world.send(CLIENT, client, b"two").unwrap();
    world.run_ms(1);
    assert_eq!(count.take(), 1, "the entry left the list when it was told");
    assert!(world.stacks[SERVER].readiness(server).contains(Events::IN));

    join(&mut world, SERVER, server, Events::WRITABLE);
    world.send(CLIENT, client, b"three").unwrap();
    world.run_ms(1);
    assert_eq!(count.take(), 0, "docs/rxpath.md, row 44: text does not wake a writer");
    world.close(CLIENT, client);
    world.run_ms(1);
    assert_eq!(count.take(), 1, "docs/rxpath.md, row 45: a FIN wakes everybody");
    assert!(world.stacks[SERVER].readiness(server).contains(Events::RDHUP | Events::IN | Events::OUT));
}

/// docs/rxpath.md, row 48.
#[test]
fn a_writer_is_woken_when_two_thirds_are_left_and_only_if_it_asked() {
    let mut world = World::new(12);
    let (client, server, _) = world.establish();
    let (count, waker) = Count::new();
    let mut slot = WaitSlot::new();
    let list = world.stacks[CLIENT].wait_list(client).unwrap();
    let _ = list.join(&mut slot, &waker, Events::WRITABLE, Mode::Shared);
    world.send(CLIENT, client, &[0; 1000]).unwrap();
    world.run_ms(1);
    assert_eq!(count.take(), 0, "it was never full");
    while world.send(CLIENT, client, &[0; 10_000]).is_ok() {
        world.run_ms(1);
    }
    assert!(!world.stacks[CLIENT].readiness(client).contains(Events::OUT));
    let mut read = 0;
    while count.take() == 0 {
        read += world.recv(SERVER, server).map_or(0, |bytes| bytes.len());
        world.run_ms(1);
        assert!(read < 2_000_000);
    }
    assert!(world.stacks[CLIENT].readiness(client).contains(Events::OUT));
}

#[test]
fn a_host_connects_to_itself() {
    let mut world = World::new(13);
    let listener = world.listen(7, 1);
    for to in [ADDR[SERVER], std::net::Ipv4Addr::LOCALHOST] {
        let to = SocketAddr::new(to.into(), 7);
        let a = world.call(SERVER, |stack, now, fx| stack.tcp_connect(now, None, to, &|_| true, fx)).unwrap();
        world.run_ms(1);
        let (b, _) = world.stacks[SERVER].tcp_accept(listener).unwrap();
        assert_eq!(world.stacks[SERVER].peer_addr(a), Ok(to));
        transfer(&mut world, (SERVER, a), (SERVER, b), 100_000);
    }
    assert!(world.take_log().is_empty(), "nothing of it is on the wire");
}

#[test]
fn peek_leaves_everything_where_it_is() {
    let mut world = World::new(14);
    let (client, server, _) = world.establish();
    let mut buf = [0; 3];
    assert_eq!(world.stacks[SERVER].tcp_peek(server, &mut buf), Err(SocketError::WouldBlock));
    world.send(CLIENT, client, b"hello").unwrap();
    world.run_ms(1);
    assert_eq!((world.stacks[SERVER].tcp_peek(server, &mut buf), &buf), (Ok(3), b"hel"));
    assert_eq!(world.recv(SERVER, server).unwrap(), b"hello");
}

/// An idle connection costs at most a kilobyte, its places in the tables included, each of which is taken to be as empty
/// as it ever is; and it holds no packet.
#[test]
fn an_idle_connection_is_small_and_holds_no_packet() {
    let mut world = World::new(15);
    let (client, server, _) = world.establish();
    // The box with the allocator's header; its place among the sockets; the timer's entry and its place.
    let boxed = size_of::<Connection>() + 16;
    let place = Sockets::PLACE_COST_MAX;
    let timer = 2 * (size_of::<(Instant, u32)>() + size_of::<u32>());
    let port = (size_of::<(u16, u32)>() + 1) * 16 / 7;
    let handle = size_of::<HostTcpStream>();
    let sum = boxed + place + timer + ENTRY_COST_MAX + port + handle;
    let parts = format!("{boxed} + {place} + {timer} + {ENTRY_COST_MAX} + {port} + {handle} = {sum}");
    assert!(sum <= 1024, "{parts}; the block is {}", size_of::<ControlBlock>());
    transfer(&mut world, (CLIENT, client), (SERVER, server), 300_000);
    world.run_ms(1000);
    for (host, id) in [(CLIENT, client), (SERVER, server)] {
        let block = &world.stacks[host].sockets.connection(id).unwrap().block;
        assert_eq!((block.queued(), block.readable()), (0, 0));
    }
}

/// `tcp_gso_segment`: a program's write leaves as whole segments, and PSH and FIN go with the last.
#[test]
fn a_super_segment_is_cut_on_the_way_out() {
    let mut world = World::with(9, |config| (config.gso_max, config.cuts_itself) = (65_536, true));
    world.introduce();
    let (client, server, _) = world.establish();
    world.take_log();
    let bytes = pattern(5 * 1448 + 500);
    world.send(CLIENT, client, &bytes).unwrap();
    world.close(CLIENT, client);
    let mut sent = world.take_log();
    world.run_ms(10);
    sent.extend(world.take_log().into_iter().filter(|line| line.starts_with("C ") && !line.ends_with("] 0")));
    assert_eq!(sent[..5], ["C [.] 1448"; 5]);
    assert_eq!(sent[5..], ["C [P.] 500", "C [F.] 0"]);
    assert_eq!(world.recv(SERVER, server).unwrap(), bytes);
    assert_eq!(world.count(SERVER, Mib::TcpInCsumErrors), 0);
    assert_eq!(world.count(CLIENT, Mib::TcpRetransSegs), 0);
}
