//! The completion model: what is done comes out, every buffer comes back, and nothing is lost on the way.

use crate::multiplex::{World, recv, send, settle};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::completion::{Completion, ENTRIES_MAX, Ring};
use wakeline::net::emulated::Lan;
use wakeline::net::{TcpListener, TcpStream, UdpSocket, blocking};
use wakeline::runtime::Builder;

const EBADF: i32 = 9;
const EBUSY: i32 = 16;
const EINVAL: i32 = 22;
const ENOENT: i32 = 2;
const ENOBUFS: i32 = 105;
const ECANCELED: i32 = 125;

fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap()
}

async fn next(ring: &Ring) -> Completion {
    ring.wait(1).await.unwrap();
    ring.pop().unwrap()
}

#[wakeline::test(start_paused = true)]
async fn the_softirq_side_fills_the_buffer_that_was_given() {
    let world = World::new().await;
    let (mut client, server) = world.pair().await;
    let ring = Ring::new(8).unwrap();
    let buffer = vec![0; 100];
    let place = buffer.as_ptr();
    ring.recv(&server, buffer, 7).unwrap();
    assert!(ring.pop().is_none());
    send(&mut client, 3).await;
    let done = ring.pop().expect("nobody was woken, and it is done");
    assert_eq!((done.user_data, done.result.unwrap(), done.more), (7, 3, false));
    let buffer = done.buffer.unwrap();
    assert_eq!((buffer.as_ptr(), buffer.len(), &buffer[..4]), (place, 100, &[7, 7, 7, 0][..]));
    assert_eq!((ring.counters().by_softirq, ring.counters().at_once), (1, 0));
    // What is there already is given at once.
    send(&mut client, 5).await;
    ring.recv(&server, buffer, 8).unwrap();
    assert_eq!(ring.pop().unwrap().result.unwrap(), 5);
    assert_eq!((ring.counters().by_softirq, ring.counters().at_once), (1, 1));
    client.close().await.unwrap();
    ring.recv(&server, vec![0; 9], 9).unwrap();
    assert_eq!(next(&ring).await.result.unwrap(), 0, "the end");
}

#[wakeline::test(start_paused = true)]
async fn a_send_is_over_when_all_of_it_is_in_the_sockets_buffer() {
    let world = World::new().await;
    let (mut client, server) = world.pair().await;
    server.set_send_buffer_size(20_000).unwrap();
    let ring = Ring::new(8).unwrap();
    let text: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
    ring.send(&server, text.clone(), 1).unwrap();
    settle().await;
    assert_eq!((ring.under_way(), ring.pop().is_none()), (1, true));
    let mut read = vec![0; text.len()];
    client.read_exact(&mut read).await.unwrap();
    assert!(read == text);
    let done = next(&ring).await;
    assert_eq!((done.result.unwrap(), done.buffer.unwrap()), (1_000_000, text));
    // The peer goes while it is under way: what was taken is told.
    ring.send(&server, vec![1; 10_000_000], 2).unwrap();
    settle().await;
    drop(client);
    let sent = next(&ring).await.result.unwrap();
    assert!((20_000..10_000_000).contains(&sent), "{sent}");
    ring.send(&server, vec![1], 3).unwrap();
    let error = next(&ring).await.result.unwrap_err();
    assert!([ErrorKind::BrokenPipe, ErrorKind::ConnectionReset].contains(&error.kind()), "{error}");
}

#[wakeline::test(start_paused = true)]
async fn connections_are_made_and_accepted() {
    let world = World::new().await;
    let ring = Ring::new(8).unwrap();
    ring.accept_multishot(&world.listener, 1).unwrap();
    let addr: SocketAddr = "10.0.0.1:7000".parse().unwrap();
    for _ in 0..3 {
        world.client.run(async { ring.connect(addr, 2) }).await.unwrap();
        ring.wait(2).await.unwrap();
        let (first, second) = (ring.pop().unwrap(), ring.pop().unwrap());
        let (made, accepted) = if first.user_data == 2 { (first, second) } else { (second, first) };
        assert!(accepted.more && !made.more);
        let (mut made, peer) = (made.stream.unwrap(), accepted.peer.unwrap());
        assert_eq!(made.local_addr().unwrap(), peer);
        send(&mut made, 4).await;
        recv(&mut accepted.stream.unwrap(), 4).await;
    }
    let nobody = "10.0.0.1:9".parse().unwrap();
    world.client.run(async { ring.connect(nobody, 3) }).await.unwrap();
    assert_eq!(next(&ring).await.result.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    // One that nobody waits for any more is abandoned.
    world.client.run(async { ring.connect("10.0.7.7:9".parse().unwrap(), 4) }).await.unwrap();
    ring.cancel(4).unwrap();
    assert_eq!(errno(next(&ring).await.result), ECANCELED);
    assert!(!world.client.sockets().to_string().contains("10.0.7.7"));
    let error = ring.connect(addr, 5).unwrap_err();
    assert_eq!(error.error.kind(), ErrorKind::Unsupported, "this task stands on the operating system's network");
}

#[wakeline::test(start_paused = true)]
async fn who_is_cancelled_leaves_the_event_to_the_next() {
    let world = World::new().await;
    let (first, second) = (Ring::new(1).unwrap(), Ring::new(1).unwrap());
    first.accept(&world.listener, 1).unwrap();
    second.accept(&world.listener, 2).unwrap();
    first.cancel(1).unwrap();
    assert_eq!(errno(first.pop().unwrap().result), ECANCELED);
    let _client = world.client.run(TcpStream::connect("server:7000")).await.unwrap();
    assert!(next(&second).await.stream.is_some());
    assert_eq!(errno(second.cancel(2)), ENOENT);
    // What was not received stays in the socket.
    let (mut client, mut server) = world.pair().await;
    first.recv(&server, vec![0; 9], 3).unwrap();
    first.cancel(3).unwrap();
    let done = first.pop().unwrap();
    assert_eq!((errno(done.result), done.buffer.unwrap().len()), (ECANCELED, 9));
    send(&mut client, 5).await;
    recv(&mut server, 5).await;
}

#[wakeline::test(start_paused = true)]
async fn a_ring_that_is_full_takes_nothing_and_loses_nothing() {
    let world = World::new().await;
    let (mut client, server) = world.pair().await;
    let ring = Ring::new(2).unwrap();
    ring.recv(&server, vec![0; 4], 1).unwrap();
    ring.recv(&server, vec![0; 4], 2).unwrap();
    let rejected = ring.recv(&server, vec![0; 44], 3).unwrap_err();
    assert_eq!((rejected.error.raw_os_error(), rejected.buffer.len()), (Some(EBUSY), 44));
    send(&mut client, 8).await;
    assert_eq!((ring.under_way(), ring.wait(2).await.unwrap()), (0, 2));
    assert_eq!(errno(ring.accept(&world.listener, 4).map_err(Into::into)), EBUSY, "what is done needs its place");
    assert!(ring.pop().is_some());
    ring.accept(&world.listener, 4).unwrap();
    assert_eq!(errno(ring.wait(3).await), EINVAL);
    assert_eq!(errno(Ring::new(0).map(drop)), EINVAL);
    assert_eq!(errno(Ring::new(ENTRIES_MAX + 1).map(drop)), EINVAL);
}

#[wakeline::test(start_paused = true)]
async fn a_multishot_operation_ends_when_there_is_no_buffer_or_no_room() {
    let world = World::new().await;
    let (mut client, mut server) = world.pair().await;
    let ring = Ring::new(4).unwrap();
    assert_eq!(errno(ring.provide_buffers(1, vec![Vec::new()])), EINVAL);
    ring.provide_buffers(1, vec![vec![0; 10]; 2]).unwrap();
    ring.recv_multishot(&server, 1, 5).unwrap();
    send(&mut client, 25).await;
    let told: Vec<_> = std::iter::from_fn(|| ring.pop()).map(|done| (done.result, done.more)).collect();
    let [(Ok(10), true), (Ok(10), true), (Err(none), false)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(none.raw_os_error(), Some(ENOBUFS));
    recv(&mut server, 5).await;
    // Room for two, and one place is the last completion's.
    let ring = Ring::new(2).unwrap();
    ring.provide_buffers(1, vec![vec![0; 10]; 9]).unwrap();
    ring.recv_multishot(&server, 1, 6).unwrap();
    send(&mut client, 25).await;
    let told: Vec<_> = std::iter::from_fn(|| ring.pop()).map(|done| (done.result.unwrap(), done.more)).collect();
    assert_eq!(told, [(10, true), (10, false)]);
    assert_eq!(ring.counters().ended_for_room, 1);
    recv(&mut server, 5).await;
    ring.recv_multishot(&server, 1, 7).unwrap();
    client.close().await.unwrap();
    let end = next(&ring).await;
    assert_eq!((end.result.unwrap(), end.more, end.buffer), (0, false, None), "the buffer is its group's again");
}

#[wakeline::test(start_paused = true)]
async fn a_ring_that_is_shut_down_gives_everything_back() {
    let world = World::new().await;
    let (mut client, mut server) = world.pair().await;
    let ring = Ring::new(8).unwrap();
    ring.recv(&server, vec![0; 11], 1).unwrap();
    ring.accept_multishot(&world.listener, 2).unwrap();
    ring.send(&server, vec![0; 10_000_000], 3).unwrap();
    ring.shut_down();
    assert_eq!(ring.wait(8).await.unwrap(), 3, "as many as there will ever be");
    let told: Vec<_> = std::iter::from_fn(|| ring.pop()).collect();
    let lens: Vec<_> = told.iter().map(|done| (done.user_data, done.buffer.as_ref().map(Vec::len))).collect();
    assert_eq!(lens, [(1, Some(11)), (2, None), (3, Some(10_000_000))]);
    assert!(told[2].result.as_ref().is_ok_and(|&sent| sent > 0 && sent < 10_000_000));
    assert!(ring.is_idle());
    let rejected = ring.recv(&server, vec![0; 12], 4).unwrap_err();
    assert_eq!((rejected.error.raw_os_error(), rejected.buffer.len()), (Some(EBADF), 12));
    // A ring that is dropped with something under way leaves the sockets as they are.
    let ring = Ring::new(8).unwrap();
    ring.recv(&server, vec![0; 11], 1).unwrap();
    drop(ring);
    send(&mut client, 5).await;
    recv(&mut server, 5).await;
    // And a socket that is dropped ends what was to be done with it.
    let ring = Ring::new(8).unwrap();
    ring.recv(&server, vec![0; 11], 1).unwrap();
    drop(server);
    let done = ring.pop().unwrap();
    assert_eq!((errno(done.result), done.buffer.unwrap().len()), (EBADF, 11));
}

fn told(ring: &Ring) -> Vec<(u64, Result<usize, i32>, Option<usize>)> {
    let done = std::iter::from_fn(|| ring.pop());
    let told = done.map(|done| {
        let result = done.result.map_err(|error| error.raw_os_error().unwrap());
        (done.user_data, result, done.buffer.map(|buffer| buffer.len()))
    });
    told.collect()
}

#[wakeline::test(start_paused = true)]
async fn a_chain_is_done_one_after_the_other() {
    let world = World::new().await;
    let (mut client, server) = world.pair().await;
    let ring = Ring::new(2000).unwrap();
    // A request and its answer.
    let mut chain = ring.chain();
    chain.send(&server, b"ask".to_vec(), 1).unwrap().recv(&server, vec![0; 9], 2).unwrap();
    chain.submit().unwrap();
    assert_eq!((told(&ring), ring.under_way()), (vec![(1, Ok(3), Some(3))], 1));
    recv(&mut client, 3).await;
    send(&mut client, 4).await;
    assert_eq!(told(&ring), [(2, Ok(4), Some(9))]);
    // Each begins where the one before it has ended, on the softirq side too; the end of the stream is no failure.
    let mut chain = ring.chain();
    for user_data in 0..4 {
        chain.recv(&server, vec![0; 2], user_data).unwrap();
    }
    chain.submit().unwrap();
    send(&mut client, 5).await;
    let (two, one) = (|n| (n, Ok(2), Some(2)), |n| (n, Ok(1), Some(2)));
    assert_eq!(told(&ring), [two(0), two(1), one(2)]);
    client.close().await.unwrap();
    settle().await;
    assert_eq!(told(&ring), [(3, Ok(0), Some(2))]);
    // However many there are, they need no more stack than one.
    let mut chain = ring.chain();
    for user_data in 0..2000 {
        chain.send(&server, vec![7], user_data).unwrap();
    }
    chain.submit().unwrap();
    assert!(told(&ring).into_iter().eq((0..2000).map(|n| (n, Ok(1), Some(1)))));
    ring.chain().submit().unwrap();
    assert!(ring.is_idle());
}

#[wakeline::test(start_paused = true)]
async fn what_fails_in_a_chain_cancels_what_is_behind_it() {
    let world = World::new().await;
    let (mut client, server) = world.pair().await;
    let (mut other, gone) = world.pair().await;
    let ring = Ring::new(4).unwrap();
    let chain_of = |first: &TcpStream| {
        let mut chain = ring.chain();
        chain.recv(first, vec![0; 5], 1).unwrap().send(&server, vec![7; 6], 2).unwrap();
        chain.accept(&world.listener, 3).unwrap().recv(&server, vec![0; 8], 4).unwrap();
        chain.submit()
    };
    let severed = |from: u64| {
        let all = [
            (1, Err(ECANCELED), Some(5)),
            (2, Err(ECANCELED), Some(6)),
            (3, Err(ECANCELED), None),
            (4, Err(ECANCELED), Some(8)),
        ];
        all.into_iter().filter(|&(user_data, ..)| user_data >= from).collect::<Vec<_>>()
    };
    // The socket goes.
    chain_of(&gone).unwrap();
    assert_eq!((told(&ring), ring.under_way()), (vec![], 4));
    drop(gone);
    assert_eq!(told(&ring), [vec![(1, Err(EBADF), Some(5))], severed(2)].concat());
    // The first is cancelled, or one in the middle; then those before it go on.
    chain_of(&server).unwrap();
    ring.cancel(1).unwrap();
    assert_eq!(told(&ring), severed(1));
    chain_of(&server).unwrap();
    ring.cancel(3).unwrap();
    assert_eq!(told(&ring), severed(3));
    assert_eq!(errno(ring.cancel(4)), ENOENT);
    send(&mut client, 5).await;
    assert_eq!(told(&ring), [(1, Ok(5), Some(5)), (2, Ok(6), Some(6))]);
    assert!(ring.is_idle());
    recv(&mut client, 6).await;
    // A send that did not send all of it counts as failed.
    let mut chain = ring.chain();
    chain.send(&server, vec![0; 10_000_000], 1).unwrap().recv(&server, vec![0; 5], 2).unwrap();
    chain.submit().unwrap();
    settle().await;
    ring.cancel(1).unwrap();
    let [(1, Ok(sent), Some(10_000_000)), (2, Err(ECANCELED), Some(5))] = told(&ring)[..] else { panic!() };
    assert!(sent > 0 && sent < 10_000_000);
    // None is taken when there is no room for all of them, or the ring is shut down; what is under way is cancelled in order.
    ring.recv(&server, vec![0; 1], 9).unwrap();
    let rejected = chain_of(&server).unwrap_err();
    let lens: Vec<_> = rejected.buffers.iter().map(Vec::len).collect();
    assert_eq!((rejected.error.raw_os_error(), lens, ring.under_way()), (Some(EBUSY), vec![5, 6, 0, 8], 1));
    ring.cancel(9).unwrap();
    assert!(ring.pop().is_some());
    chain_of(&server).unwrap();
    ring.shut_down();
    assert_eq!(told(&ring), severed(1));
    assert_eq!(chain_of(&server).unwrap_err().error.raw_os_error(), Some(EBADF));
    other.close().await.unwrap();
}

#[wakeline::test(start_paused = true)]
async fn datagrams() {
    let world = World::new().await;
    let receiver = world.server.run(UdpSocket::bind("0.0.0.0:7001")).await.unwrap();
    let sender = world.client.run(UdpSocket::bind("0.0.0.0:7002")).await.unwrap();
    let ring = Ring::new(8).unwrap();
    ring.recv_from(&receiver, vec![0; 3], 1).unwrap();
    ring.recv_from(&receiver, vec![0; 9], 2).unwrap();
    ring.send_to(&sender, b"hello".to_vec(), None, 3).unwrap();
    assert_eq!(errno(next(&ring).await.result), 89, "it has no peer");
    ring.send_to(&sender, b"hello".to_vec(), Some("10.0.0.1:7001".parse().unwrap()), 4).unwrap();
    let sent = next(&ring).await;
    assert_eq!((sent.user_data, sent.result.unwrap(), sent.buffer.unwrap()), (4, 5, b"hello".to_vec()));
    let got = next(&ring).await;
    assert_eq!((got.user_data, got.result.unwrap()), (1, 3), "the one that came first, cut off");
    assert_eq!((got.peer.unwrap().to_string(), got.buffer.unwrap()), ("10.0.0.2:7002".to_owned(), b"hel".to_vec()));
    assert_eq!(ring.under_way(), 1);
}

#[wakeline::test(start_paused = true)]
async fn nobody_is_woken_for_fewer_than_it_waits_for() {
    let world = World::new().await;
    let (mut client, server) = world.pair().await;
    let ring = Arc::new(Ring::new(8).unwrap());
    for user_data in 0..3 {
        ring.recv(&server, vec![0; 1], user_data).unwrap();
    }
    let waiting = ring.clone();
    let waiter = wakeline::spawn(async move { waiting.wait(3).await.unwrap() });
    send(&mut client, 1).await;
    send(&mut client, 1).await;
    assert!(!waiter.is_finished());
    assert_eq!((ring.counters().sleeps, ring.counters().wakeups), (1, 0));
    send(&mut client, 1).await;
    assert_eq!(waiter.await.unwrap(), 3);
    assert_eq!((ring.counters().sleeps, ring.counters().wakeups), (1, 1));
    // A waiter that is told and goes tells the next.
    ring.recv(&server, vec![0; 1], 3).unwrap();
    while ring.pop().is_some() {}
    let mut first = Box::pin(ring.wait(1));
    assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(first.as_mut().poll(cx).is_pending())).await);
    let waiting = ring.clone();
    let second = wakeline::spawn(async move { waiting.wait(1).await.unwrap() });
    settle().await;
    send(&mut client, 1).await;
    assert!(!second.is_finished());
    drop(first);
    assert_eq!(second.await.unwrap(), 1);
    let waited = wakeline::time::timeout(Duration::from_secs(1), ring.wait(2)).await;
    assert!(waited.is_err());
    assert_eq!(ring.wait_blocking(2, Some(Duration::from_millis(1))).unwrap(), 1);
}

#[wakeline::test]
async fn sockets_of_the_operating_system_are_refused() {
    let os = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = Ring::new(1).unwrap().accept(&os, 1).unwrap_err();
    assert_eq!(error.error.kind(), ErrorKind::Unsupported);
}

#[test]
fn threads_wait_for_completions() {
    let lan = Lan::with_seed(1);
    let host = lan.host("host").cpus(2).build_threaded().unwrap();
    let _here = host.enter();
    let listener = blocking::TcpListener::bind("10.0.0.1:7000").unwrap();
    let ring = Ring::new(8).unwrap();
    ring.accept(&listener, 0).unwrap();
    let client = blocking::TcpStream::connect("10.0.0.1:7000").unwrap();
    ring.wait_blocking(1, None).unwrap();
    let server = ring.pop().unwrap().stream.unwrap();
    let echo = std::thread::spawn(move || {
        ring.recv(&server, vec![0; 64], 1).unwrap();
        loop {
            ring.wait_blocking(1, None).unwrap();
            let done = ring.pop().unwrap();
            let (n, mut buffer) = (done.result.unwrap(), done.buffer.unwrap());
            match done.user_data {
                1 if n == 0 => return,
                1 => {
                    buffer.truncate(n);
                    ring.send(&server, buffer, 2).unwrap();
                }
                _ => ring.recv(&server, vec![0; 64], 1).unwrap(),
            }
        }
    });
    for round in 0..300_u32 {
        use std::io::{Read, Write};
        let (sent, mut back) = (round.to_be_bytes(), [0; 4]);
        (&client).write_all(&sent).unwrap();
        (&client).read_exact(&mut back).unwrap();
        assert_eq!(back, sent);
    }
    drop(client);
    echo.join().unwrap();
}

/// Random operations and cancellations from several tasks on two workers: each operation has one completion, each buffer comes
/// back, and the bytes arrive in order and once.
#[test]
fn each_operation_completes_once_whatever_happens() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let lan = Lan::with_seed(1);
        let server = lan.host("server").cpus(2).build().unwrap();
        let client = lan.host("client").build().unwrap();
        let listener = server.run(TcpListener::bind("0.0.0.0:7000")).await.unwrap();
        let mut tasks = Vec::new();
        for seed in 0..8 {
            let made = client.run(TcpStream::connect("server:7000")).await.unwrap();
            let (accepted, _) = listener.accept().await.unwrap();
            tasks.push(wakeline::spawn(stream_through_a_ring(made, accepted, seed)));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}

async fn stream_through_a_ring(mut made: TcpStream, accepted: TcpStream, seed: u64) {
    const LEN: usize = 60_000;
    let byte = |at: usize| (at * 31 % 251) as u8;
    let mut rng = fastrand::Rng::with_seed(seed);
    let sending = wakeline::spawn(async move {
        let (mut at, mut rng) = (0, fastrand::Rng::with_seed(seed + 100));
        while at < LEN {
            let n = rng.usize(1..900).min(LEN - at);
            let text: Vec<u8> = (at..at + n).map(byte).collect();
            made.write_all(&text).await.unwrap();
            at += n;
            if rng.u8(..4) == 0 {
                wakeline::task::yield_now().await;
            }
        }
        made
    });
    let ring = Ring::new(4).unwrap();
    let (mut at, mut submitted, mut completed) = (0, 0_u64, 0_u64);
    while at < LEN {
        // One at a time, so that the order is known; cancelled now and then.
        submitted += 1;
        ring.recv(&accepted, vec![0; rng.usize(1..500)], submitted).unwrap();
        if rng.u8(..3) == 0 {
            let _ = ring.cancel(submitted);
        }
        let done = next(&ring).await;
        completed += 1;
        assert_eq!(done.user_data, submitted);
        let buffer = done.buffer.expect("every buffer comes back");
        match done.result {
            Ok(n) => {
                assert!(n > 0 && buffer[..n].iter().enumerate().all(|(i, &b)| b == byte(at + i)), "at {at}");
                at += n;
            }
            Err(error) => assert_eq!(error.raw_os_error(), Some(ECANCELED)),
        }
    }
    assert_eq!((submitted, ring.is_idle()), (completed, true));
    drop(sending.await.unwrap());
}
