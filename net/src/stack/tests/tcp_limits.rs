//! What holds a sender back, as `tcp_info` tells it.

use crate::sockopt::{Opt, Value};
use crate::stack::socket::SocketId;
use crate::stack::testing::world::*;

/// `busy_time`, `rwnd_limited` and `sndbuf_limited` in milliseconds.
fn limits(world: &World, id: SocketId) -> [u128; 3] {
    let info = world.stacks[CLIENT].tcp_info(world.now, id).unwrap();
    [info.busy_time, info.rwnd_limited, info.sndbuf_limited].map(|time| time.as_millis())
}

#[test]
fn a_question_keeps_the_sender_busy_until_it_is_acknowledged() {
    let mut world = World::new(1);
    let (client, _, _) = world.establish();
    world.wire.delay_us = 10_000;
    assert_eq!(limits(&world, client), [0, 0, 0]);
    for n in 1..=3 {
        world.send(CLIENT, client, b"question").unwrap();
        world.run_ms(500);
        assert_eq!(limits(&world, client), [20 * n, 0, 0]);
    }
}

#[test]
fn a_closed_window_is_told_from_a_slow_network() {
    let mut world = World::new(2);
    let listener = world.listen(7, 1);
    world.set_rcvbuf(SERVER, listener, 20_000);
    let client = world.connect(7);
    world.run_ms(5);
    let (server, _) = world.stacks[SERVER].tcp_accept(listener).unwrap();
    let bytes = pattern(200_000);
    let mut sent = world.send(CLIENT, client, &bytes).unwrap();
    world.run_ms(1000);
    let [busy, rwnd, sndbuf] = limits(&world, client);
    assert!(busy >= 995 && rwnd >= 990 && sndbuf == 0, "{busy} {rwnd} {sndbuf}");
    let mut received = 0;
    while received < bytes.len() {
        received += world.recv(SERVER, server).map_or(0, |bytes| bytes.len());
        sent += world.send(CLIENT, client, &bytes[sent..]).unwrap_or(0);
        world.run_ms(1);
    }
    world.run_ms(1000);
    let before = limits(&world, client);
    world.run_ms(1000);
    assert_eq!(limits(&world, client), before, "with nothing to send no time runs");
}

#[test]
fn a_small_send_buffer_is_told_from_a_slow_program() {
    let mut world = World::new(3);
    let (client, server, _) = world.establish();
    world.wire.delay_us = 20_000;
    world.call(CLIENT, |stack, now, fx| stack.set_option(now, client, (Opt::SndBuf, Value::Number(2500)), fx)).unwrap();
    let write = |world: &mut World| while world.send(CLIENT, client, &[7; 10_000]).is_ok() {};
    for _ in 0..100 {
        write(&mut world);
        world.run_ms(10);
        let _ = world.recv(SERVER, server);
    }
    let [busy, rwnd, sndbuf] = limits(&world, client);
    assert!(busy >= 990 && rwnd == 0 && sndbuf * 2 > busy, "{busy} {rwnd} {sndbuf}");
    // The program has no more to say.
    world.run_ms(1000);
    let before = limits(&world, client);
    world.send(CLIENT, client, b"x").unwrap();
    world.run_ms(200);
    let after = limits(&world, client);
    // The way there and back, and what the acknowledgement waits for company.
    assert_eq!((after[0] - before[0], after[2] - before[2]), (80, 0));
}
