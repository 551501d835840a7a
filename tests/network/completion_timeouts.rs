//! Timeouts of the completion model: alone, counting, and around another operation.

use crate::multiplex::{World, send};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use wakeline::net::TcpStream;
use wakeline::net::completion::Ring;
use wakeline::runtime::Builder;
use wakeline::time::{Instant, sleep};

const ENOENT: i32 = 2;
const EINVAL: i32 = 22;
const ETIME: i32 = 62;
const ECANCELED: i32 = 125;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What there is to take.
fn told(ring: &Ring) -> Vec<(u64, Result<usize, i32>)> {
    let done = std::iter::from_fn(|| ring.pop());
    done.map(|done| (done.user_data, done.result.map_err(|error| error.raw_os_error().unwrap()))).collect()
}

#[wakeline::test(start_paused = true)]
async fn a_timeout_ends_with_its_time() {
    let ring = Ring::new(4).unwrap();
    let began = Instant::now();
    ring.timeout(ms(20), 0, 2).unwrap();
    ring.timeout(ms(10), 0, 1).unwrap();
    ring.timeout(Duration::ZERO, 0, 0).unwrap();
    for (user_data, at) in [(0, 0), (1, 10), (2, 20)] {
        ring.wait(1).await.unwrap();
        assert_eq!((told(&ring), began.elapsed()), (vec![(user_data, Err(ETIME))], ms(at)));
    }
    assert_eq!((ring.counters().by_timer, ring.is_idle()), (3, true));
    // Taken back.
    ring.timeout(ms(10), 0, 3).unwrap();
    ring.cancel(3).unwrap();
    assert_eq!(told(&ring), [(3, Err(ECANCELED))]);
    assert_eq!(ring.cancel(3).unwrap_err().raw_os_error(), Some(ENOENT));
    ring.timeout(ms(10), 7, 4).unwrap();
    ring.shut_down();
    assert_eq!(told(&ring), [(4, Err(ECANCELED))]);
    sleep(ms(100)).await;
    assert_eq!((told(&ring), ring.counters().by_timer), (vec![], 3));
}

#[wakeline::test(start_paused = true)]
async fn a_timeout_ends_with_so_many_completions() {
    let world = World::new().await;
    let (mut client, server) = world.pair().await;
    let ring = Ring::new(8).unwrap();
    ring.timeout(ms(50), 2, 1).unwrap();
    ring.timeout(ms(50), 3, 2).unwrap();
    // Timeouts do not count.
    ring.timeout(ms(1), 0, 3).unwrap();
    sleep(ms(2)).await;
    assert_eq!(told(&ring), [(3, Err(ETIME))]);
    ring.send(&server, vec![7; 3], 4).unwrap();
    ring.recv(&server, vec![0; 9], 5).unwrap();
    assert_eq!(told(&ring), [(4, Ok(3))]);
    // The second one is made by the softirq side, and so is what it ends.
    send(&mut client, 4).await;
    assert_eq!(told(&ring), [(5, Ok(4)), (1, Ok(0))]);
    sleep(ms(50)).await;
    assert_eq!(told(&ring), [(2, Err(ETIME))]);
    // Counted is from where it was submitted; what multishot operations give counts as well.
    ring.provide_buffers(1, vec![vec![0; 2]; 4]).unwrap();
    ring.recv_multishot(&server, 1, 6).unwrap();
    ring.timeout(ms(50), 3, 7).unwrap();
    for _ in 0..3 {
        send(&mut client, 1).await;
    }
    assert_eq!(told(&ring), [(6, Ok(1)), (6, Ok(1)), (6, Ok(1)), (7, Ok(0))]);
    ring.cancel(6).unwrap();
}

/// A receive, how long it may take, and an answer.
fn ask(ring: &Ring, stream: &TcpStream, patience: Duration) {
    let mut chain = ring.chain();
    chain.recv(stream, vec![0; 9], 1).unwrap().link_timeout(patience, 2).unwrap().send(stream, vec![7; 5], 3).unwrap();
    chain.submit().unwrap();
}

#[wakeline::test(start_paused = true)]
async fn what_takes_too_long_is_cancelled_with_what_is_behind_it() {
    let world = World::new().await;
    let (mut client, server) = world.pair().await;
    let ring = Ring::new(8).unwrap();
    let began = Instant::now();
    ask(&ring, &server, ms(10));
    ring.wait(3).await.unwrap();
    assert_eq!(told(&ring), [(1, Err(ECANCELED)), (3, Err(ECANCELED)), (2, Err(ETIME))]);
    assert_eq!(began.elapsed(), ms(10));
    // In time: the timeout is cancelled, and what is behind it begins.
    ask(&ring, &server, ms(10));
    sleep(ms(9)).await;
    send(&mut client, 4).await;
    assert_eq!(told(&ring), [(1, Ok(4)), (2, Err(ECANCELED)), (3, Ok(5))]);
    // At once: its time never begins.
    send(&mut client, 4).await;
    ask(&ring, &server, ms(10));
    assert_eq!(told(&ring), [(1, Ok(4)), (2, Err(ECANCELED)), (3, Ok(5))]);
    // Its time begins with its operation, not with the chain.
    let mut chain = ring.chain();
    chain.recv(&server, vec![0; 9], 1).unwrap();
    chain.recv(&server, vec![0; 9], 2).unwrap().link_timeout(ms(10), 3).unwrap();
    chain.submit().unwrap();
    sleep(ms(100)).await;
    assert_eq!(told(&ring), []);
    send(&mut client, 4).await;
    sleep(ms(11)).await;
    assert_eq!(told(&ring), [(1, Ok(4)), (2, Err(ECANCELED)), (3, Err(ETIME))]);
    // Cancelled by hand: either of the two, and all at once.
    ask(&ring, &server, ms(10));
    ring.cancel(1).unwrap();
    assert_eq!(told(&ring), [(1, Err(ECANCELED)), (2, Err(ECANCELED)), (3, Err(ECANCELED))]);
    ask(&ring, &server, ms(10));
    ring.cancel(2).unwrap();
    sleep(ms(100)).await;
    assert_eq!(told(&ring), [(2, Err(ECANCELED))], "it may take as long as it likes");
    ring.shut_down();
    let mut rest = told(&ring);
    rest.sort_unstable_by_key(|&(user_data, _)| user_data);
    assert_eq!(rest, [(1, Err(ECANCELED)), (3, Err(ECANCELED))]);
    assert_eq!((ring.is_idle(), ring.counters().by_timer), (true, 2));
}

#[wakeline::test]
async fn a_timeout_needs_something_before_it() {
    let world = World::new().await;
    let (_client, server) = world.pair().await;
    let ring = Ring::new(8).unwrap();
    let mut chain = ring.chain();
    assert_eq!(chain.link_timeout(ms(1), 1).unwrap_err().error.raw_os_error(), Some(EINVAL));
    chain.recv(&server, vec![0; 1], 1).unwrap().link_timeout(ms(1), 2).unwrap();
    assert_eq!(chain.link_timeout(ms(1), 3).unwrap_err().error.raw_os_error(), Some(EINVAL));
}

/// A timeout goes by the clock of a runtime, and ends with it.
#[test]
fn a_timeout_has_a_runtime() {
    let ring = Arc::new(Ring::new(2).unwrap());
    assert_eq!(ring.timeout(ms(1), 0, 1).unwrap_err().error.kind(), ErrorKind::Unsupported);
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    {
        // Of a thread that has entered it.
        let _entered = runtime.enter();
        ring.timeout(ms(1), 0, 1).unwrap();
        ring.timeout(Duration::from_secs(3600), 0, 2).unwrap();
    }
    ring.wait_blocking(1, None).unwrap();
    assert_eq!(told(&ring), [(1, Err(ETIME))]);
    drop(runtime);
    assert_eq!(told(&ring), [(2, Err(ECANCELED))]);
}

/// Timers, sockets and cancellations at the same time on two workers: each operation and each timeout has one completion, and no byte is lost.
#[test]
fn each_completes_once_whoever_is_first() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::new().await;
        let mut tasks = Vec::new();
        for seed in 0..4 {
            let (mut client, server) = world.pair().await;
            let sending = wakeline::spawn(async move {
                for round in 0..300_u64 {
                    send(&mut client, 1).await;
                    sleep(Duration::from_micros(200 * (round % 3))).await;
                }
                client
            });
            tasks.push(wakeline::spawn(async move {
                let (ring, mut rng, mut got) = (Ring::new(4).unwrap(), fastrand::Rng::with_seed(seed), 0);
                while got < 300 {
                    let mut chain = ring.chain();
                    chain.recv(&server, vec![0; 1], 1).unwrap();
                    chain.link_timeout(Duration::from_micros(rng.u64(0..400)), 2).unwrap();
                    chain.submit().unwrap();
                    if rng.u8(..8) == 0 {
                        let _ = ring.cancel(rng.u64(1..3));
                    }
                    ring.wait(2).await.unwrap();
                    let mut done = told(&ring);
                    done.sort_unstable_by_key(|&(user_data, _)| user_data);
                    let [(1, received), (2, timeout)] = done[..] else { panic!("{done:?}") };
                    got += received.unwrap_or(0);
                    assert!(received == Ok(1) || received == Err(ECANCELED), "{received:?}");
                    assert!(timeout == Err(ETIME) || timeout == Err(ECANCELED), "{timeout:?}");
                }
                assert!(ring.is_idle());
                drop((sending.await.unwrap(), server));
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}
