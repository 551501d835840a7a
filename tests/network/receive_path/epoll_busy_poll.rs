//! Who waits on an epoll polls devices busily, and keeps interrupts away while there is something to do.

use crate::frames::{datagram, mac, v4};
use crate::receive_path::bench::{Bench, settle, us};
use nix::libc;
use std::io::ErrorKind;
use std::time::Duration;
use wakeline::net::emulated::{HostBuilder, Lan, NapiSettings};
use wakeline::net::epoll::{Ctl, Epoll, EpollFlags, EpollParams, Event};
use wakeline::net::{UdpSocket, blocking};
use wakeline::time::{sleep, timeout};

const BUSY: EpollParams = EpollParams { busy_poll_usecs: 50, busy_poll_budget: 0, prefer_busy_poll: false };
const PREFERS: EpollParams = EpollParams { prefer_busy_poll: true, ..BUSY };

/// A host with a socket in an epoll, level-triggered.
struct Server {
    bench: Bench,
    socket: UdpSocket,
    epoll: Epoll,
}

impl Server {
    async fn new(params: EpollParams, describe: impl FnOnce(HostBuilder) -> HostBuilder) -> Server {
        let bench = Bench::new(describe);
        let socket = bench.host.run(UdpSocket::bind("0.0.0.0:9")).await.unwrap();
        let epoll = Epoll::new().unwrap();
        epoll.set_params(params).unwrap();
        assert_eq!(epoll.params(), params);
        epoll.ctl(&socket, Ctl::Add(Event::new(EpollFlags::IN, 0))).unwrap();
        Server { bench, socket, epoll }
    }

    /// Waits for events for at most `limit`, and takes what there is; says how many datagrams that was.
    async fn serve(&self, limit: Duration) -> usize {
        let mut events = [Event::default(); 4];
        match timeout(limit, self.epoll.wait(&mut events)).await {
            Ok(told) => assert_eq!(told.unwrap(), 1),
            Err(_elapsed) => return 0,
        }
        std::iter::from_fn(|| self.socket.try_recv_from(&mut [0; 64]).ok()).count()
    }
}

/// Without an interrupt, who waits takes what the device has, if the epoll's parameters or the host's sysctl say so, on the queue
/// by which the last packets came.
#[wakeline::test(start_paused = true)]
async fn who_waits_takes_what_the_device_has() {
    for (params, sysctl, cpus, finds) in [
        (EpollParams::default(), 0, 1, 0),
        (BUSY, 0, 1, 1),
        (PREFERS, 0, 1, 1),
        (EpollParams::default(), 50, 1, 1),
        (BUSY, 0, 4, 1),
    ] {
        let server = Server::new(params, |host| host.cpus(cpus).sysctl("net.core.busy_poll", sysctl)).await;
        for flow in [3, 4, 5, 6] {
            server.bench.send(flow);
            assert_eq!(server.serve(us(10)).await, 1);
            let irqs: Vec<_> = (0..cpus as u32).map(|n| server.bench.host.irq(24 + n).unwrap()).collect();
            irqs.iter().for_each(|irq| irq.disable());
            server.bench.send(flow);
            assert_eq!(server.serve(us(10)).await, finds, "{params:?} {sysctl} {cpus} {flow}");
            irqs.iter().for_each(|irq| irq.enable().unwrap());
            settle().await;
            assert_eq!(server.serve(us(10)).await, 1 - finds);
        }
        assert_eq!(server.bench.host.counters().busy_poll_rx_packets, 4 * finds as u64);
    }
}

/// The queue is the one by which a flow comes also where RSS has been changed, or queues have gone.
#[wakeline::test(start_paused = true)]
async fn the_queue_is_that_of_the_last_packet() {
    let server = Server::new(BUSY, |host| host.cpus(2)).await;
    for queues in [3, 1, 4] {
        server.bench.host.set_channels(queues).unwrap();
        for flow in 0..8 {
            server.bench.send(flow);
            assert_eq!(server.serve(us(10)).await, 1);
            let irqs: Vec<_> = (0..queues as u32).map(|n| server.bench.host.irq(24 + n).unwrap()).collect();
            irqs.iter().for_each(|irq| irq.disable());
            server.bench.send(flow);
            assert_eq!(server.serve(us(10)).await, 1, "{queues} {flow}");
            irqs.iter().for_each(|irq| irq.enable().unwrap());
            settle().await;
        }
    }
}

/// `irq-suspend-timeout`: one interrupt begins it; while a wait finds events there is none; the wait that finds nothing brings
/// them back, by way of the deferral.
#[wakeline::test(start_paused = true)]
async fn interrupts_stay_away_while_there_are_events() {
    let server = Server::new(PREFERS, |host| host).await;
    let bench = &server.bench;
    let suspending = NapiSettings {
        defer_hard_irqs: 2,
        gro_flush_timeout: us(20),
        irq_suspend_timeout: us(10_000),
        ..NapiSettings::default()
    };
    bench.host.set_napi(suspending).unwrap();
    bench.send(0);
    assert_eq!((server.serve(us(10)).await, bench.irqs()), (1, 1));
    for round in 0..20 {
        // It works for longer than interrupts would be deferred; what comes meanwhile waits in the ring, polled by nobody.
        let before = bench.host.counters().napi_polls;
        bench.send(0);
        sleep(us(5000)).await;
        bench.send(0);
        assert_eq!(bench.host.counters().napi_polls, before, "round {round}");
        assert_eq!((server.serve(us(10)).await, bench.irqs()), (2, 1), "round {round}");
    }
    assert_eq!(bench.host.counters().busy_poll_rx_packets, 40);
    // Nothing: two empty polls, then the device may interrupt.
    assert_eq!(server.serve(us(1000)).await, 0);
    let before = bench.irqs();
    bench.send(0);
    assert_eq!((server.serve(us(10)).await, bench.irqs()), (1, before + 1));
}

/// Who does not come back is relieved of it: the instance is polled when the time is over.
#[wakeline::test(start_paused = true)]
async fn a_suspension_ends_by_itself() {
    let server = Server::new(PREFERS, |host| host).await;
    let bench = &server.bench;
    let first = bench.host.napi_instances()[0];
    assert_eq!((first.id, first.queue, first.irq), (257, 0, 24));
    let settings = NapiSettings {
        defer_hard_irqs: 1,
        gro_flush_timeout: us(20),
        irq_suspend_timeout: us(3000),
        ..NapiSettings::default()
    };
    bench.host.set_napi_instance(first.id, settings).unwrap();
    bench.send(0);
    assert_eq!(server.serve(us(10)).await, 1);
    bench.send(0);
    sleep(us(2900)).await;
    let received = || server.socket.try_recv_from(&mut [0; 64]).is_ok();
    assert!(!received(), "interrupts are suspended");
    sleep(us(200)).await;
    assert!(received() && bench.host.counters().busy_poll_rx_packets == 0);
    sleep(us(1000)).await;
    let before = bench.irqs();
    bench.send(0);
    settle().await;
    assert_eq!(bench.irqs(), before + 1);
    // An epoll that is closed while it has suspended them brings them back as well.
    bench.host.set_napi_instance(first.id, NapiSettings { irq_suspend_timeout: us(60_000_000), ..settings }).unwrap();
    assert_eq!(server.serve(us(10)).await, 1);
    let Server { bench, socket, epoll } = server;
    drop(epoll);
    sleep(us(1000)).await;
    while socket.try_recv_from(&mut [0; 64]).is_ok() {}
    bench.send(0);
    settle().await;
    assert!(socket.try_recv_from(&mut [0; 64]).is_ok());
}

/// Each instance is set for itself, and keeps it while its queue is away.
#[wakeline::test]
async fn instances_are_set_one_by_one() {
    let bench = Bench::new(|host| host.cpus(3));
    let errno = |result: std::io::Result<()>| result.err().and_then(|error| error.raw_os_error());
    let ids: Vec<u32> = bench.host.napi_instances().iter().map(|instance| instance.id).collect();
    assert_eq!(ids, [257, 258, 259]);
    let own = NapiSettings { defer_hard_irqs: 7, irq_suspend_timeout: us(5), ..NapiSettings::default() };
    bench.host.set_napi_instance(259, own).unwrap();
    let settings = || bench.host.napi_instances().into_iter().map(|instance| instance.settings).collect::<Vec<_>>();
    assert_eq!(settings(), [NapiSettings::default(), NapiSettings::default(), own]);
    bench.host.set_channels(1).unwrap();
    assert_eq!(bench.host.set_napi_instance(259, own).unwrap_err().kind(), ErrorKind::NotFound);
    bench.host.set_channels(4).unwrap();
    assert_eq!(settings()[2..], [own, NapiSettings::default()]);
    for id in [0, 256, 261] {
        assert_eq!(errno(bench.host.set_napi_instance(id, own)), Some(libc::ENOENT));
    }
    let endless = NapiSettings { defer_hard_irqs: u32::MAX, ..own };
    assert_eq!(errno(bench.host.set_napi_instance(257, endless)), Some(libc::ERANGE));
    let epoll = Epoll::new().unwrap();
    assert_eq!(errno(epoll.set_params(EpollParams { busy_poll_usecs: 1 << 31, ..BUSY })), Some(libc::EINVAL));
}

/// A thread polls for as long as it is told, although the host's CPU, which stands still, takes no interrupt.
#[test]
fn a_thread_waits_busily() {
    let lan = Lan::with_seed(1);
    let host = lan.host("host").build_threaded().unwrap();
    let port = lan.raw_port().unwrap();
    let _here = host.enter();
    let socket = blocking::UdpSocket::bind("0.0.0.0:9").unwrap();
    let epoll = Epoll::new().unwrap();
    epoll.set_params(EpollParams { busy_poll_usecs: 20_000_000, ..BUSY }).unwrap();
    epoll.ctl(&socket, Ctl::Add(Event::new(EpollFlags::IN, 0))).unwrap();
    let mut events = [Event::default(); 4];
    let mut serve = || {
        port.send(&datagram(&port, mac(1), 1000, (v4(&host), 9))).unwrap();
        assert_eq!(epoll.wait_blocking(&mut events, Some(Duration::from_secs(20))).unwrap(), 1);
        assert_eq!(socket.recv_from(&mut [0; 64]).unwrap().0, 18);
    };
    // The first one comes by an interrupt, and says by which queue.
    serve();
    host.pause();
    let before = host.counters();
    (0..100).for_each(|_| serve());
    let after = host.counters();
    assert_eq!((after.busy_poll_rx_packets, after.irqs), (before.busy_poll_rx_packets + 100, before.irqs));
    host.resume();
}
