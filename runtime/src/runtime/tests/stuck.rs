//! A worker that is stuck in a poll, and what waits behind it, while another worker has nothing to do.

use super::*;
use crate::io::Source;
use crate::time::sleep;
use crate::wait_queue::Events;

fn two_workers() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Runs `before` in a task that then blocks its worker until the sender it was given, or a copy of it, is used.
fn block_until_told<Fut: Future<Output = ()> + Send>(
    runtime: &Runtime,
    before: impl FnOnce(mpsc::Sender<()>) -> Fut + Send + 'static,
) {
    let blocker = runtime.spawn(async move {
        let (tell, told) = mpsc::channel();
        before(tell).await;
        told.recv_timeout(Duration::from_secs(30)).expect("somebody else has gone on");
    });
    runtime.block_on(blocker).unwrap();
}

#[test]
fn a_task_alone_in_the_lifo_slot_runs_elsewhere() {
    let runtime = two_workers();
    for _ in 0..50 {
        block_until_told(&runtime, |tell| async move {
            spawn(async move { tell.send(()).unwrap() });
        });
    }
    assert!(runtime.metrics().steals() > 0);
}

#[test]
fn a_task_that_had_yielded_runs_elsewhere() {
    let runtime = two_workers();
    for _ in 0..20 {
        block_until_told(&runtime, |tell| async move {
            let yielding = Arc::new(AtomicBool::new(false));
            let yielded = yielding.clone();
            let blocked = Arc::new(AtomicBool::new(false));
            let go_on = blocked.clone();
            spawn(async move {
                while !go_on.load(Ordering::SeqCst) {
                    yielding.store(true, Ordering::SeqCst);
                    yield_now().await;
                }
                tell.send(()).unwrap();
            });
            while !yielded.load(Ordering::SeqCst) {
                yield_now().await;
            }
            blocked.store(true, Ordering::SeqCst);
        });
    }
}

#[test]
fn timers_fire() {
    let runtime = two_workers();
    for _ in 0..20 {
        block_until_told(&runtime, |tell| async move {
            let asleep = Arc::new(AtomicBool::new(false));
            let is_asleep = asleep.clone();
            spawn(async move {
                let mut sleep = std::pin::pin!(sleep(Duration::from_millis(1)));
                assert!(poll_once(&mut sleep).await.is_none());
                asleep.store(true, Ordering::SeqCst);
                sleep.await;
                tell.send(()).unwrap();
            });
            while !is_asleep.load(Ordering::SeqCst) {
                yield_now().await;
            }
        });
    }
}

#[test]
fn sockets_become_ready() {
    let runtime = two_workers();
    for _ in 0..20 {
        block_until_told(&runtime, |tell| async move {
            let socket = mio::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = socket.local_addr().unwrap();
            let waiting = Arc::new(AtomicBool::new(false));
            let is_waiting = waiting.clone();
            spawn(async move {
                let source = Source::new(socket, Events::IN).unwrap();
                let mut receive = std::pin::pin!(source.io(Events::IN, |socket| socket.recv(&mut [0])));
                assert!(poll_once(&mut receive).await.is_none());
                waiting.store(true, Ordering::SeqCst);
                receive.await.unwrap();
                tell.send(()).unwrap();
            });
            while !is_waiting.load(Ordering::SeqCst) {
                yield_now().await;
            }
            std::net::UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&[1], address).unwrap();
        });
    }
}

/// Blocked as often as not with the other worker asleep for good, as in a service with little to do.
#[test]
fn the_other_worker_may_have_been_asleep_for_long() {
    let runtime = two_workers();
    for _ in 0..10 {
        // Many naps long.
        runtime.block_on(async { sleep(Duration::from_millis(3)).await });
        block_until_told(&runtime, |tell| async move {
            spawn(async move { tell.send(()).unwrap() });
        });
    }
}
