//! When an interrupt runs the receiver's CPU in the sender's context, and when it gathers.

use wakeline::net::UdpSocket;
use wakeline::net::emulated::{Host, Lan};
use wakeline::runtime::Builder;
use wakeline::task::yield_now;

/// Two hosts that know each other, with a socket that sends on one of them to a socket on the other.
async fn acquainted() -> (Host, UdpSocket, UdpSocket) {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").build().unwrap();
    let client = lan.host("client").build().unwrap();
    let receiver = server.run(UdpSocket::bind("0.0.0.0:7")).await.unwrap();
    let sender = client.run(UdpSocket::bind("0.0.0.0:0")).await.unwrap();
    client.run(sender.connect("server:7")).await.unwrap();
    sender.send(b"hello").await.unwrap();
    assert_eq!(receiver.recv(&mut [0; 9]).await.unwrap(), 5);
    // What the acquaintance has left to do is done.
    for _ in 0..10 {
        yield_now().await;
    }
    (server, sender, receiver)
}

#[test]
fn the_first_frame_of_a_lone_poll_preempts_and_the_rest_gathers() {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let test = wakeline::spawn(async {
            let (server, sender, _receiver) = acquainted().await;
            let seen = || server.counters().packets;
            let before = seen();
            for (sent, expected) in [(1, 1), (2, 1), (3, 1)] {
                sender.send(&[sent]).await.unwrap();
                assert_eq!(seen() - before, expected, "after {sent} in one poll");
            }
            yield_now().await;
            assert_eq!(seen() - before, 3, "the CPU had its turn");
            sender.send(&[4]).await.unwrap();
            assert_eq!(seen() - before, 4, "another poll");
        });
        test.await.unwrap();
    });
}

#[test]
fn frames_gather_while_another_task_is_ready() {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let test = wakeline::spawn(async {
            let (server, sender, _receiver) = acquainted().await;
            let before = server.counters();
            let other = wakeline::spawn(async {});
            sender.send(b"1").await.unwrap();
            sender.send(b"2").await.unwrap();
            assert_eq!(server.counters().packets, before.packets);
            other.await.unwrap();
            yield_now().await;
            let after = server.counters();
            assert_eq!((after.packets - before.packets, after.irqs - before.irqs), (2, 1));
        });
        test.await.unwrap();
    });
}
