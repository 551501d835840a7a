//! What the tests of the receive path stand on: a host that hears datagrams, and looks at what happened.

use crate::frames::{datagram, mac, v4};
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::emulated::{Host, HostBuilder, Lan, RawPort};
use wakeline::net::event::{Event, Record};
use wakeline::net::{TcpListener, TcpStream, blocking};
use wakeline::task::yield_now;

pub(crate) fn us(n: u64) -> Duration {
    Duration::from_micros(n)
}

/// A host, and a port that sends it datagrams.
pub(crate) struct Bench {
    pub(crate) lan: Lan,
    pub(crate) host: Host,
    pub(crate) port: RawPort,
}

impl Bench {
    pub(crate) fn new(describe: impl FnOnce(HostBuilder) -> HostBuilder) -> Bench {
        let lan = Lan::with_seed(1);
        let host = describe(lan.host("host")).build().unwrap();
        let port = lan.raw_port().unwrap();
        Bench { lan, host, port }
    }

    /// One datagram of the flow with this number.
    pub(crate) fn send(&self, flow: u16) {
        self.port.send(&datagram(&self.port, mac(1), 1000 + flow, (v4(&self.host), 9))).unwrap();
    }

    pub(crate) fn irqs(&self) -> u64 {
        self.host.counters().irqs
    }

    /// What happened while `f` ran and everything it started.
    pub(crate) async fn traced(&self, f: impl AsyncFnOnce()) -> Vec<Record> {
        self.lan.trace().start();
        f().await;
        settle().await;
        self.lan.trace().stop()
    }
}

/// Lets whatever can run now run, without the clock.
pub(crate) async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

/// The work of each poll.
pub(crate) fn polls(records: &[Record]) -> Vec<u32> {
    let work = |record: &Record| if let Event::NapiPoll { work, .. } = record.event { Some(work) } else { None };
    records.iter().filter_map(work).collect()
}

pub(crate) fn names(records: &[Record]) -> Vec<&'static str> {
    records.iter().map(|record| record.event.name()).collect()
}

pub(crate) async fn start_echo(host: &Host, port: u16) {
    let listener = host.run(TcpListener::bind(("0.0.0.0", port))).await.unwrap();
    host.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            wakeline::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _ = wakeline::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
}

pub(crate) async fn round(stream: &mut TcpStream, n: u8) {
    stream.write_all(&[n; 64]).await.unwrap();
    let mut back = [0; 64];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(back, [n; 64]);
}

/// Runs `change` on a host of two CPUs while datagrams of many flows come in. Every one of them is delivered, or counted, and the last of
/// them come through.
pub(crate) fn flood_during(change: impl FnOnce(&Host)) {
    const FLOOD: u64 = 20_000;
    let lan = Lan::with_seed(1);
    let host = lan.host("host").cpus(2).build_threaded().unwrap();
    let port = lan.raw_port().unwrap();
    let here = host.enter();
    let socket = blocking::UdpSocket::bind("0.0.0.0:9").unwrap();
    drop(here);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..FLOOD {
                let flow = 1000 + (n % 50) as u16;
                port.send(&datagram(&port, mac(1), flow, (v4(&host), 9))).unwrap();
            }
        });
        change(&host);
    });
    let patience = std::time::Instant::now() + Duration::from_secs(20);
    let done = || {
        let nic = host.counters().nic;
        nic.rx_packets + nic.rx_missed_errors + nic.rx_dropped
    };
    while done() < FLOOD && std::time::Instant::now() < patience {
        std::thread::yield_now();
    }
    assert_eq!(done(), FLOOD, "{:?}", host.counters());
    drop(socket);
}
