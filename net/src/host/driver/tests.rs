//! Drivers that do not keep their word: told in debug builds, bounded in release builds.

use super::Fault;
use crate::api::udp::UdpSocket;
use crate::host::handle::Host;
use crate::host::lan::{Lan, RawPort};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wakeline_runtime::{Builder, spawn, yield_now};

/// A host whose driver has a fault, and a port that sends it broadcasts.
fn faulty(fault: Fault) -> (Lan, Host, RawPort) {
    let lan = Lan::with_seed(1);
    let host = lan.host("host").build().unwrap();
    let port = lan.raw_port().unwrap();
    *host.machine().driver.fault.lock() = Some(fault);
    (lan, host, port)
}

/// A frame of no protocol, for everybody.
fn send(port: &RawPort) {
    let mut frame = [0xff; 60];
    frame[6..14].copy_from_slice(&[2, 0, 0, 0, 9, 9, 0x88, 0xb5]);
    port.send(&frame).unwrap();
}

/// Runs a test as the only task, which what it sends to preempts.
fn run(test: impl Future<Output = ()> + Send + 'static) {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async { spawn(test).await.unwrap() });
}

async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

/// What the CPU says that runs in the context of who sends a frame.
async fn said(port: &RawPort) -> Option<String> {
    settle().await;
    let said = catch_unwind(AssertUnwindSafe(|| send(port))).err()?;
    said.downcast_ref::<String>().cloned()
}

#[cfg(debug_assertions)]
#[test]
fn a_driver_that_never_unmasks_is_told() {
    run(async {
        let (_lan, _host, port) = faulty(Fault::NeverUnmasks);
        let said = said(&port).await;
        assert_eq!(said.unwrap(), "the driver of eth0 has left queue 0 without an interrupt and without a poll");
    });
}

#[cfg(debug_assertions)]
#[test]
fn a_poll_that_boasts_is_told() {
    run(async {
        let (_lan, _host, port) = faulty(Fault::Boasts(64));
        assert_eq!(said(&port).await.unwrap(), "a poll of eth0 has found 65 packets, more than its weight of 64");
    });
}

/// What the device can not tell of waits in its ring, and is lost by count when that is full.
#[cfg(not(debug_assertions))]
#[test]
fn a_driver_that_never_unmasks_loses_by_count() {
    run(async {
        let (_lan, host, port) = faulty(Fault::NeverUnmasks);
        for _ in 0..20_000 {
            send(&port);
        }
        settle().await;
        let counters = host.counters();
        assert!(counters.irqs == 1 && counters.nic.rx_missed_errors > 0, "{counters:?}");
        assert_eq!(counters.nic.rx_packets + counters.nic.rx_missed_errors, 20_000);
        others_have_their_turn(&host).await;
    });
}

/// It is taken for a full weight.
#[cfg(not(debug_assertions))]
#[test]
fn a_poll_that_boasts_has_found_its_weight() {
    run(async {
        let (_lan, host, port) = faulty(Fault::Boasts(1000));
        send(&port);
        settle().await;
        let counters = host.counters();
        assert!(counters.packets == 64 * counters.napi_polls && counters.time_squeeze == 0, "{counters:?}");
        others_have_their_turn(&host).await;
    });
}

/// A poll that says for ever that it has found its weight goes on for ever, but never for long.
#[test]
fn a_poll_that_never_ends_leaves_others_their_turn() {
    run(async {
        let (_lan, host, port) = faulty(Fault::NeverEnds);
        send(&port);
        settle().await;
        let before = host.counters();
        others_have_their_turn(&host).await;
        let after = host.counters();
        assert!(after.napi_polls > before.napi_polls && after.ksoftirqd > before.ksoftirqd, "{after:?}");
    });
}

/// The host talks to itself, over its backlog.
async fn others_have_their_turn(host: &Host) {
    let socket = host.run(UdpSocket::bind("127.0.0.1:9")).await.unwrap();
    for n in 0..100 {
        host.run(socket.send_to(&[n], "127.0.0.1:9")).await.unwrap();
        let mut buf = [0; 8];
        assert_eq!((socket.recv_from(&mut buf).await.unwrap().0, buf[0]), (1, n));
    }
}
