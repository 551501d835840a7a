//! The receive path as its owner sees it: rings, interrupts, moderation, NAPI, RSS and RPS, and the kernel's files about them.

use crate::frames::{datagram, mac, v4};
use nix::libc;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::emulated::{
    BusyPoll, Coalesce, Host, HostBuilder, IrqChip, IrqReturn, Lan, NapiSettings, NicModel, RawPort, Rxfh,
};
use wakeline::net::event::{DropReason, Event, Record};
use wakeline::net::{TcpListener, TcpStream, UdpSocket, blocking};
use wakeline::task::yield_now;
use wakeline::time::{Instant, sleep};

fn us(n: u64) -> Duration {
    Duration::from_micros(n)
}

/// A host, and a port that sends it datagrams.
struct Bench {
    lan: Lan,
    host: Host,
    port: RawPort,
}

impl Bench {
    fn new(describe: impl FnOnce(HostBuilder) -> HostBuilder) -> Bench {
        let lan = Lan::with_seed(1);
        let host = describe(lan.host("host")).build().unwrap();
        let port = lan.raw_port().unwrap();
        Bench { lan, host, port }
    }

    /// One datagram of the flow with this number.
    fn send(&self, flow: u16) {
        self.port.send(&datagram(&self.port, mac(1), 1000 + flow, (v4(&self.host), 9))).unwrap();
    }

    fn irqs(&self) -> u64 {
        self.host.counters().irqs
    }

    /// What happened while `f` ran and everything it started.
    async fn traced(&self, f: impl AsyncFnOnce()) -> Vec<Record> {
        self.lan.trace().start();
        f().await;
        settle().await;
        self.lan.trace().stop()
    }
}

/// Lets whatever can run now run, without the clock.
async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

/// The work of each poll.
fn polls(records: &[Record]) -> Vec<u32> {
    let work = |record: &Record| if let Event::NapiPoll { work, .. } = record.event { Some(work) } else { None };
    records.iter().filter_map(work).collect()
}

fn names(records: &[Record]) -> Vec<&'static str> {
    records.iter().map(|record| record.event.name()).collect()
}

async fn start_echo(host: &Host, port: u16) {
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

async fn round(stream: &mut TcpStream, n: u8) {
    stream.write_all(&[n; 64]).await.unwrap();
    let mut back = [0; 64];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(back, [n; 64]);
}

/// Row 4, end to end: a datagram over an MTU of 9000 takes five buffers of 2 KiB and is one packet.
#[wakeline::test]
async fn a_long_frame_is_one_packet_of_several_descriptors() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").mtu(9000).build().unwrap();
    let client = lan.host("client").mtu(9000).build().unwrap();
    let receiver = server.run(UdpSocket::bind("0.0.0.0:9")).await.unwrap();
    let sender = client.run(UdpSocket::bind("0.0.0.0:0")).await.unwrap();
    let sent: Vec<u8> = (0..8972_u32).map(|n| n as u8).collect();
    for _ in 0..2 {
        let before = server.counters();
        client.run(sender.send_to(&sent, "server:9")).await.unwrap();
        let mut got = vec![0; 9000];
        let (len, _) = receiver.recv_from(&mut got).await.unwrap();
        assert!(got[..len] == sent);
        let (stats, polled) = (server.counters().nic, server.counters().packets - before.packets);
        // The first exchange has asked for the neighbour as well.
        assert!(polled <= 2, "{polled} packets of a budget");
        assert_eq!((stats.rx_non_eop_descs - before.nic.rx_non_eop_descs, stats.rx_missed_errors), (4, 0));
    }
}

/// No memory for receive buffers: the driver tries again, also when the device has none left and will not interrupt.
#[wakeline::test(start_paused = true)]
async fn a_driver_without_memory_comes_back_by_itself() {
    let bench = Bench::new(|host| host.rings(64, 64));
    let socket = bench.host.run(UdpSocket::bind("0.0.0.0:9")).await.unwrap();
    bench.host.fail_rx_allocations(60);
    let started = Instant::now();
    for _ in 0..80 {
        bench.send(0);
    }
    settle().await;
    let stats = bench.host.counters().nic;
    assert!(stats.alloc_rx_buff_failed > 0 && stats.rx_no_buffer_count > 0, "{stats:?}");
    let mut buf = [0; 64];
    for _ in 0..80 {
        socket.recv_from(&mut buf).await.unwrap();
    }
    // Once the ring was empty, all tries but the first were half a second apart.
    assert!(started.elapsed() > Duration::from_secs(3), "{:?}", started.elapsed());
    assert_eq!((bench.host.counters().nic.alloc_rx_buff_failed, bench.host.counters().drops.total()), (60, 0));
}

/// Row 7: 8 packets at once interrupt at once, one packet after 50 us.
#[wakeline::test(start_paused = true)]
async fn moderation_waits_for_time_or_frames() {
    let bench = Bench::new(|host| host);
    let moderated = Coalesce { rx_usecs: 50, rx_frames: 8, adaptive_rx: false };
    bench.host.set_coalesce(moderated).unwrap();
    assert_eq!(bench.host.coalesce(), moderated);
    let before = bench.irqs();
    (0..8).for_each(|_| bench.send(0));
    settle().await;
    assert_eq!(bench.irqs() - before, 1, "eight frames at once");
    bench.send(0);
    settle().await;
    sleep(us(40)).await;
    bench.send(0);
    settle().await;
    assert_eq!(bench.irqs() - before, 1, "the first frame is not 50 us old");
    sleep(us(15)).await;
    settle().await;
    assert_eq!(bench.irqs() - before, 2);
    assert_eq!(bench.host.counters().packets, 10);
    // Off again: each frame is a cause.
    bench.host.set_coalesce(Coalesce::default()).unwrap();
    for n in 1..=3 {
        bench.send(0);
        settle().await;
        assert_eq!(bench.irqs() - before, 2 + n);
    }
}

/// At 10 us between packets: without moderation an interrupt for each, with 100 us one for each ten, and the same packets.
#[wakeline::test(start_paused = true)]
async fn moderation_saves_the_interrupts_that_it_should() {
    for (coalesce, expected) in [
        (Coalesce::default(), 1000..=1000),
        (Coalesce { rx_usecs: 100, rx_frames: 0, adaptive_rx: false }, 90..=92),
        (Coalesce { rx_usecs: 100, rx_frames: 5, adaptive_rx: false }, 200..=200),
    ] {
        let bench = Bench::new(|host| host);
        bench.host.set_coalesce(coalesce).unwrap();
        for _ in 0..1000 {
            bench.send(0);
            sleep(us(10)).await;
        }
        sleep(us(200)).await;
        let counters = bench.host.counters();
        assert_eq!(counters.packets, 1000);
        assert!(expected.contains(&counters.irqs), "{coalesce:?}: {} interrupts", counters.irqs);
    }
}

/// DIM: under load the adaptive driver climbs to longer waits; `ethtool -c` shows what it uses.
#[wakeline::test(start_paused = true)]
async fn an_adaptive_driver_finds_its_moderation() {
    let bench = Bench::new(|host| host);
    bench.host.set_coalesce(Coalesce { adaptive_rx: true, ..Coalesce::default() }).unwrap();
    assert_eq!(bench.host.coalesce().rx_usecs, 8, "where it begins");
    let mut used = std::collections::BTreeSet::new();
    for _ in 0..20_000 {
        bench.send(0);
        sleep(us(5)).await;
        used.insert(bench.host.coalesce().rx_usecs);
    }
    assert!(used.len() > 1 && used.iter().all(|usecs| [1, 8, 64, 128, 256].contains(usecs)), "{used:?}");
    assert!(bench.host.coalesce().to_string().contains("Adaptive RX: on"));
}

/// Values out of Linux's limits have Linux's errors.
#[wakeline::test]
async fn what_ethtool_refuses_is_refused() {
    let bench = Bench::new(|host| host.cpus(2));
    let errno = |result: std::io::Result<()>| result.err().and_then(|error| error.raw_os_error());
    let never = Coalesce { rx_usecs: 0, rx_frames: 0, adaptive_rx: false };
    assert_eq!(errno(bench.host.set_coalesce(never)), Some(libc::EINVAL));
    assert_eq!(errno(bench.host.set_rx_ring(8192)), Some(libc::EINVAL));
    assert_eq!(errno(bench.host.set_rx_ring(0)), Some(libc::EINVAL));
    assert_eq!(errno(bench.host.set_rps_cpus(0b100)), Some(libc::EINVAL));
    let rxfh = bench.host.rxfh().unwrap();
    assert_eq!(errno(bench.host.set_rxfh(&Rxfh { indirection: vec![2; 128], ..rxfh })), Some(libc::EINVAL));
    let single = Bench::new(|host| host);
    assert_eq!(single.host.rxfh().unwrap_err().raw_os_error(), Some(libc::EOPNOTSUPP));
    assert_eq!(bench.host.irq(23).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    let irq = bench.host.irq(24).unwrap();
    assert_eq!(errno(irq.enable()), Some(libc::EINVAL));
    assert_eq!(errno(irq.set_affinity(0b1100)), Some(libc::EINVAL));
    assert_eq!(irq.request("other", || IrqReturn::None).unwrap_err().raw_os_error(), Some(libc::EBUSY));
    let endless = NapiSettings { defer_hard_irqs: u32::MAX, ..NapiSettings::default() };
    assert_eq!(errno(bench.host.set_napi(endless)), Some(libc::ERANGE));
    assert_eq!(errno(bench.host.set_busy_poll(BusyPoll { budget: 0, ..BusyPoll::default() })), Some(libc::EINVAL));
    assert_eq!(bench.host.proc_file("/proc/none").unwrap_err().kind(), ErrorKind::NotFound);
    let lan = Lan::new();
    for (builder, wrong) in [
        (lan.host("a").nic(NicModel::E1000).queues(2), "queues"),
        (lan.host("b").nic(NicModel::Virtio).rings(100, 256), "descriptors"),
        (lan.host("c").queues(0), "queues"),
    ] {
        let error = builder.build().unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains(wrong), "{error}");
    }
}

/// Row 10: on a shared line every handler is called, whoever's interrupt it was, and the line is quiet after it.
#[wakeline::test]
async fn a_shared_line_asks_every_handler() {
    for chip in [IrqChip::IoApic, IrqChip::Pic] {
        let bench = Bench::new(|host| host.nic(NicModel::E1000).irq_chip(chip));
        let irq = bench.host.irq(24).unwrap();
        let asked = Arc::new(AtomicU64::new(0));
        let other = {
            let (asked, line) = (asked.clone(), irq.clone());
            irq.request("other", move || {
                // Its own device, if it was that, lets the line down.
                line.lower();
                asked.fetch_add(1, Ordering::Relaxed);
                IrqReturn::Handled
            })
            .unwrap()
        };
        bench.send(0);
        settle().await;
        assert_eq!((bench.irqs(), asked.load(Ordering::Relaxed), bench.host.counters().packets), (1, 1, 1));
        let records = bench.traced(async || irq.raise()).await;
        assert_eq!((bench.irqs(), asked.load(Ordering::Relaxed), bench.host.counters().packets), (2, 2, 1));
        let handled: Vec<bool> = records
            .iter()
            .filter_map(
                |record| {
                    if let Event::IrqHandlerExit { handled, .. } = record.event { Some(handled) } else { None }
                },
            )
            .collect();
        assert_eq!(handled, [false, true], "the network driver says IRQ_NONE");
        drop(other);
        bench.send(0);
        settle().await;
        assert_eq!((bench.irqs(), asked.load(Ordering::Relaxed)), (3, 2));
    }
}

/// Row 11: after 100,000 interrupts that nobody took the line is disabled, and its handlers are asked ten times a second.
#[wakeline::test(start_paused = true)]
async fn a_line_that_nobody_cares_for_is_disabled() {
    let bench = Bench::new(|host| host.nic(NicModel::E1000));
    let irq = bench.host.irq(24).unwrap();
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    let other = irq.request("other", move || {
        count.fetch_add(1, Ordering::Relaxed);
        IrqReturn::None
    });
    let other = other.unwrap();
    other.irq().raise();
    for _ in 0..200_000 {
        yield_now().await;
    }
    assert_eq!((irq.counts(), irq.spurious().disabled, asked.load(Ordering::Relaxed)), (vec![100_000], true, 100_000));
    sleep(Duration::from_secs(1)).await;
    assert!((100_009..=100_011).contains(&asked.load(Ordering::Relaxed)), "polled by the timer");
    assert_eq!(irq.counts(), [100_000]);
    // Packets are not lost with the line: the driver is asked as well.
    bench.send(0);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(bench.host.counters().packets, 1);
    irq.lower();
    irq.enable().unwrap();
    bench.send(0);
    settle().await;
    assert_eq!((irq.counts(), bench.host.counters().packets), (vec![100_001], 2));
}

/// A handler that says it was its device's, and leaves the line up, storms: others run all the same.
#[wakeline::test]
async fn a_storm_leaves_others_their_turn() {
    let bench = Bench::new(|host| host.nic(NicModel::E1000));
    let irq = bench.host.irq(24).unwrap();
    let _other = irq.request("other", || IrqReturn::Handled).unwrap();
    irq.raise();
    start_echo(&bench.host, 7000).await;
    let client = bench.lan.host("client").build().unwrap();
    let mut stream = client.run(TcpStream::connect("host:7000")).await.unwrap();
    for n in 0..100 {
        round(&mut stream, n).await;
    }
    assert!(bench.irqs() > 100);
    irq.lower();
}

/// A threaded handler: the line stays masked until its thread has finished.
#[wakeline::test]
async fn a_threaded_handler_holds_its_line() {
    let bench = Bench::new(|host| host.nic(NicModel::E1000));
    let irq = bench.host.irq(24).unwrap();
    let (woken, ran) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let _action = {
        let (woken, ran, line) = (woken.clone(), ran.clone(), irq.clone());
        let primary = move || {
            woken.fetch_add(1, Ordering::Relaxed);
            IrqReturn::WakeThread
        };
        let thread = move || {
            line.lower();
            ran.fetch_add(1, Ordering::Relaxed);
        };
        irq.request_threaded("slow", primary, thread).unwrap()
    };
    for n in 1..=5 {
        irq.raise();
        settle().await;
        assert_eq!([woken.load(Ordering::Relaxed), ran.load(Ordering::Relaxed)], [n; 2]);
    }
    assert_eq!(bench.irqs(), 5);
    bench.send(0);
    settle().await;
    assert_eq!(bench.host.counters().packets, 1);
}

/// `threadirqs`, and NAPI in threads: everything works, and the softirq polls nothing.
#[wakeline::test]
async fn interrupts_and_polls_may_run_in_threads() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").threadirqs(true).build().unwrap();
    let client = lan.host("client").build().unwrap();
    client.set_napi(NapiSettings { threaded: true, ..NapiSettings::default() }).unwrap();
    start_echo(&server, 7000).await;
    let mut stream = client.run(TcpStream::connect("server:7000")).await.unwrap();
    for n in 0..100 {
        round(&mut stream, n).await;
    }
    let net_rx = |host: &Host| {
        let text = host.proc_file("/proc/softirqs").unwrap();
        let row = text.lines().find(|line| line.contains("NET_RX:")).unwrap().to_owned();
        row.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(net_rx(&client), 0);
    assert!(net_rx(&server) > 100 && client.counters().napi_polls > 100);
    let mut rest = vec![];
    lan.trace().start();
    round(&mut stream, 1).await;
    rest.extend(lan.trace().stop().into_iter().filter(|record| &*record.host == "server"));
    // The handler's work, raising the softirq, is its thread's.
    let order = names(&rest);
    let at = |name| order.iter().position(|&n| n == name).unwrap();
    assert!(at("irq_handler_exit") < at("softirq_raise"), "{order:?}");
}

/// What comes while a line is disabled, however deep, is remembered once.
#[wakeline::test]
async fn a_disabled_line_remembers_one_interrupt() {
    let bench = Bench::new(|host| host);
    let irq = bench.host.irq(24).unwrap();
    irq.disable();
    irq.disable();
    (0..3).for_each(|_| bench.send(0));
    settle().await;
    irq.enable().unwrap();
    settle().await;
    assert_eq!((bench.irqs(), bench.host.counters().packets), (0, 0));
    irq.enable().unwrap();
    settle().await;
    assert_eq!((bench.irqs(), bench.host.counters().packets), (1, 3));
}

/// Row 15: what is raised outside of interrupts wakes ksoftirqd.
#[wakeline::test]
async fn a_softirq_raised_by_a_program_wakes_ksoftirqd() {
    let bench = Bench::new(|host| host);
    bench.send(0);
    settle().await;
    let before = bench.host.counters().ksoftirqd_wakeups;
    let socket = bench.host.run(UdpSocket::bind("127.0.0.1:0")).await.unwrap();
    let addr = socket.local_addr().unwrap();
    bench.host.run(socket.send_to(b"to myself", addr)).await.unwrap();
    assert_eq!(socket.recv_from(&mut [0; 16]).await.unwrap().0, 9);
    assert_eq!(bench.host.counters().ksoftirqd_wakeups - before, 1);
}

/// Rows 19 and 20: a poll takes 64; after 300 packets the round ends, counted; then the unpolled one, then those to be polled
/// again, in order.
#[wakeline::test(start_paused = true)]
async fn a_round_of_polls_has_a_budget() {
    let bench = Bench::new(|host| host.queues(6));
    bench.host.pause();
    let waiting = |queue: usize| 70 + queue as u64;
    let arrived = |queue: usize| bench.host.rxfh().map(|_| bench.host.ethtool_stats().queues[queue].rx_packets);
    assert_eq!(arrived(0).unwrap(), 0);
    // A flow of each queue is found by trying on a host that runs.
    let probe = Bench::new(|host| host.queues(6));
    let mut flows = [None; 6];
    for flow in 0..500 {
        let before = probe.host.ethtool_stats().queues;
        probe.send(flow);
        settle().await;
        let after = probe.host.ethtool_stats().queues;
        let queue = (0..6).find(|&queue| after[queue].rx_packets > before[queue].rx_packets).unwrap();
        flows[queue].get_or_insert(flow);
        if flows.iter().all(Option::is_some) {
            break;
        }
    }
    for (queue, flow) in flows.iter().enumerate() {
        (0..waiting(queue)).for_each(|_| bench.send(flow.unwrap()));
    }
    let records = bench.traced(async || bench.host.resume()).await;
    assert_eq!(polls(&records), [64, 64, 64, 64, 64, 64, 6, 7, 8, 9, 10, 11]);
    let counters = bench.host.counters();
    assert_eq!((counters.time_squeeze, counters.packets), (1, 6 * 70 + 15));
    // The squeezed round has raised the softirq again, and so has the one after it, which left the sixth queue to be polled again.
    let after_squeeze: Vec<_> = names(&records).into_iter().skip_while(|&name| name != "napi_poll").collect();
    assert_eq!(after_squeeze.iter().filter(|&&name| name == "softirq_raise").count(), 2);
}

/// Row 19: 64 packets are a full weight, so the instance stays scheduled and is polled again, for nothing.
#[wakeline::test(start_paused = true)]
async fn a_full_weight_keeps_ownership() {
    for (packets, expected) in [(63, vec![63]), (64, vec![64, 0]), (65, vec![64, 1])] {
        let bench = Bench::new(|host| host);
        bench.host.pause();
        (0..packets).for_each(|_| bench.send(0));
        let records = bench.traced(async || bench.host.resume()).await;
        assert_eq!(polls(&records), expected);
        assert_eq!(bench.irqs(), 1);
    }
}

/// Row 21: `ethtool -G` under load disables NAPI and enables it again: every frame is delivered, or counted, and no poll is lost.
#[test]
fn rings_are_resized_under_load() {
    let lan = Lan::with_seed(1);
    let host = lan.host("host").cpus(2).build_threaded().unwrap();
    let port = lan.raw_port().unwrap();
    let here = host.enter();
    let socket = blocking::UdpSocket::bind("0.0.0.0:9").unwrap();
    drop(here);
    const FLOOD: u64 = 20_000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..FLOOD {
                let flow = 1000 + (n % 50) as u16;
                port.send(&datagram(&port, mac(1), flow, (v4(&host), 9))).unwrap();
            }
        });
        for n in 0..200 {
            host.set_rx_ring(if n % 2 == 0 { 64 } else { 512 }).unwrap();
        }
    });
    assert_eq!((host.ring_param().rx, host.ring_param().rx_max), (512, 4096));
    // The last of the flood comes through.
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

/// Row 22: after traffic has ended, three polls by the timer find nothing, then the device may interrupt again.
#[wakeline::test(start_paused = true)]
async fn interrupts_are_deferred_while_packets_come() {
    let bench = Bench::new(|host| host);
    let deferring = NapiSettings { defer_hard_irqs: 3, gro_flush_timeout: us(100), threaded: false };
    bench.host.set_napi(deferring).unwrap();
    assert_eq!(bench.host.napi(), deferring);
    let records = bench
        .traced(async || {
            bench.send(0);
            sleep(us(1000)).await;
        })
        .await;
    assert_eq!((polls(&records), bench.irqs()), (vec![1, 0, 0, 0], 1));
    let times: Vec<Instant> =
        records.iter().filter(|record| record.event.name() == "napi_poll").map(|record| record.at).collect();
    for pair in times.windows(2) {
        let gap = pair[1] - pair[0];
        assert!(gap >= us(100) && gap < us(110), "{gap:?} between polls");
    }
    // While packets come there is one interrupt for all of them; the cause that was latched meanwhile comes when they have ended,
    // and finds nothing.
    let records = bench
        .traced(async || {
            for _ in 0..20 {
                bench.send(0);
                sleep(us(50)).await;
            }
            sleep(us(1000)).await;
        })
        .await;
    assert_eq!((polls(&records).iter().sum::<u32>(), bench.irqs()), (20, 3));
    // Unmasked again: the next one interrupts at once.
    bench.send(0);
    settle().await;
    assert_eq!(bench.irqs(), 4);
}

/// Row 23: who reads busily takes packets although the CPU, which stands still here, takes no interrupt.
#[test]
fn a_busy_reader_needs_no_interrupt() {
    let lan = Lan::with_seed(1);
    let host = lan.host("host").build_threaded().unwrap();
    let port = lan.raw_port().unwrap();
    let _here = host.enter();
    let socket = blocking::UdpSocket::bind("0.0.0.0:9").unwrap();
    host.set_busy_poll(BusyPoll { time: Duration::from_secs(20), ..host.busy_poll() }).unwrap();
    host.pause();
    let before = host.counters();
    for _ in 0..100 {
        port.send(&datagram(&port, mac(1), 1000, (v4(&host), 9))).unwrap();
        assert_eq!(socket.recv_from(&mut [0; 64]).unwrap().0, 18);
    }
    let after = host.counters();
    assert_eq!((after.irqs, after.napi_polls), (before.irqs, before.napi_polls));
    assert_eq!(after.busy_poll_rx_packets, 100);
    host.resume();
    host.set_busy_poll(BusyPoll::default()).unwrap();
    port.send(&datagram(&port, mac(1), 1000, (v4(&host), 9))).unwrap();
    assert_eq!(socket.recv_from(&mut [0; 64]).unwrap().0, 18);
    assert_eq!(host.counters().busy_poll_rx_packets, 100);
}

/// With `prefer` and deferred interrupts a busy reader keeps them away, and they come back when it stops.
#[wakeline::test(start_paused = true)]
async fn a_reader_that_prefers_to_poll_keeps_interrupts_away() {
    let bench = Bench::new(|host| host);
    let socket = bench.host.run(UdpSocket::bind("0.0.0.0:9")).await.unwrap();
    bench.host.set_napi(NapiSettings { defer_hard_irqs: 2, gro_flush_timeout: us(200), threaded: false }).unwrap();
    bench.host.set_busy_poll(BusyPoll { time: us(50), prefer: true, ..BusyPoll::default() }).unwrap();
    let mut buf = [0; 64];
    for _ in 0..50 {
        bench.send(0);
        socket.recv_from(&mut buf).await.unwrap();
        sleep(us(20)).await;
    }
    assert!(bench.irqs() <= 1, "{} interrupts for 50 packets", bench.irqs());
    bench.host.set_busy_poll(BusyPoll::default()).unwrap();
    sleep(us(2000)).await;
    let before = bench.irqs();
    bench.send(0);
    settle().await;
    assert_eq!(bench.irqs() - before, 1);
}

/// Row 24: the backlog's bound is a sysctl, and the second column of `softnet_stat` counts what exceeds it.
#[wakeline::test]
async fn the_backlogs_bound_can_be_set() {
    let lan = Lan::with_seed(1);
    let host = lan.host("host").sysctl("net.core.netdev_max_backlog", 10).build().unwrap();
    let socket = host.run(UdpSocket::bind("127.0.0.1:9")).await.unwrap();
    host.pause();
    for _ in 0..15 {
        host.run(socket.send_to(b"x", "127.0.0.1:9")).await.unwrap();
    }
    assert_eq!(host.counters().drops.get(DropReason::CpuBacklog), 4);
    assert_eq!(softnet_stat(&host)[0][..2], [0, 4]);
    assert_eq!(softnet_stat(&host)[0][11], 11, "the length of the backlog");
    host.resume();
}

/// `softnet_stat` as tools read it.
fn softnet_stat(host: &Host) -> Vec<Vec<u64>> {
    let text = host.proc_file("/proc/net/softnet_stat").unwrap();
    let hex = |column: &str| {
        assert_eq!(column.len(), 8);
        u64::from_str_radix(column, 16).unwrap()
    };
    text.lines().map(|line| line.split(' ').map(hex).collect()).collect()
}

/// Row 25: 15 hexadecimal columns for each CPU; and the other files, as tools split them.
#[wakeline::test]
async fn the_kernels_files_can_be_parsed() {
    let bench = Bench::new(|host| host.cpus(2));
    for flow in 0..100 {
        bench.send(flow);
    }
    settle().await;
    let stat = softnet_stat(&bench.host);
    assert_eq!(stat.iter().map(Vec::len).collect::<Vec<_>>(), [15, 15]);
    assert_eq!(stat.iter().map(|cpu| cpu[0]).sum::<u64>(), 100);
    assert_eq!(stat.iter().map(|cpu| cpu[12]).collect::<Vec<_>>(), [0, 1], "the CPU's number");

    let text = bench.host.proc_file("/proc/interrupts").unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["CPU0", "CPU1"]);
    let irqs: u64 = rows[1..].iter().map(|row| row[1].parse::<u64>().unwrap() + row[2].parse::<u64>().unwrap()).sum();
    assert_eq!((rows[1][0], rows[2][0], irqs), ("24:", "25:", bench.irqs()));
    assert_eq!(rows[2][3..], ["PCI-MSIX-0000:00:03.0", "1-edge", "eth0-TxRx-1"]);

    let text = bench.host.proc_file("/proc/softirqs").unwrap();
    let rows: Vec<&str> =
        text.lines().skip(1).filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim()).collect();
    assert_eq!(rows, ["HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU"]);

    let text = bench.host.proc_file("/proc/net/dev").unwrap();
    let (name, columns) = text.lines().nth(2).unwrap().split_once(':').unwrap();
    let columns: Vec<u64> = columns.split_whitespace().map(|column| column.parse().unwrap()).collect();
    assert_eq!((name.trim(), columns.len(), columns[1]), ("eth0", 16, 100));

    let text = bench.host.ethtool_stats().to_string();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
        line.unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(value("rx_queue_0_packets") + value("rx_queue_1_packets"), value("rx_packets"));
    assert!(bench.host.ring_param().to_string().contains("Current hardware settings:\nRX:\t\t\t512\n"));
    assert!(bench.host.channels().to_string().ends_with("Combined:\t2\n"));
}

/// Row 26: one queue, two CPUs; RPS hands every packet to the second, with one interrupt between CPUs for each batch.
#[wakeline::test]
async fn packets_are_handed_to_another_cpu() {
    let bench = Bench::new(|host| host.cpus(2).queues(1));
    let socket = bench.host.run(UdpSocket::bind("0.0.0.0:9")).await.unwrap();
    bench.host.set_rps_cpus(0b10).unwrap();
    let mut buf = [0; 64];
    let records = bench
        .traced(async || {
            for flow in 0..22 {
                bench.send(flow);
                socket.recv_from(&mut buf).await.unwrap();
            }
        })
        .await;
    let stat = softnet_stat(&bench.host);
    assert_eq!((stat[0][9], stat[1][9]), (0, 0x16));
    assert_eq!(names(&records).iter().filter(|&&name| name == "ipi_send_cpu").count(), 22);
    assert_eq!((stat[0][0], stat[1][0]), (22, 22), "each has had them once");
    for flow in 0..50 {
        bench.send(flow);
    }
    settle().await;
    // The first of them interrupts its sender; the others gather.
    let ipis = softnet_stat(&bench.host)[1][9] - 0x16;
    assert!(ipis <= 2, "{ipis} for a batch of 50");
}

/// Connections go on, in order, while RSS, affinities, RPS and RFS change under them.
#[wakeline::test]
async fn steering_may_change_under_a_connection() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").cpus(4).build().unwrap();
    let client = lan.host("client").cpus(2).build().unwrap();
    start_echo(&server, 7000).await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(client.run(TcpStream::connect("server:7000")).await.unwrap());
    }
    let rxfh = server.rxfh().unwrap();
    server.set_rfs(256);
    for step in 0..40_u16 {
        match step % 5 {
            0 => server.set_rxfh(&Rxfh { indirection: vec![step % 4; 128], ..rxfh.clone() }).unwrap(),
            1 => server.irq(24 + u32::from(step % 4)).unwrap().set_affinity(1 << (step % 3)).unwrap(),
            2 => server.set_rps_cpus(u64::from(step) % 16).unwrap(),
            3 => {
                let (remote, local) = (streams[0].local_addr().unwrap(), streams[0].peer_addr().unwrap());
                server.record_reader(remote, local, usize::from(step % 4)).unwrap();
            }
            _ => server.set_rxfh(&Rxfh { key: vec![step as u8 | 1; 40], ..rxfh.clone() }).unwrap(),
        }
        for stream in &mut streams {
            round(stream, step as u8).await;
        }
        // New ones as well.
        let mut stream = client.run(TcpStream::connect("server:7000")).await.unwrap();
        round(&mut stream, 1).await;
    }
    assert_eq!(server.counters().drops.total(), 0, "{:?}", server.counters());
}

/// Eight CPUs share many flows within a sixth of evenly.
#[wakeline::test(start_paused = true)]
async fn eight_cpus_share_the_load() {
    let bench = Bench::new(|host| host.cpus(8));
    for flow in 0..8000 {
        bench.send(flow);
        if flow % 64 == 0 {
            settle().await;
        }
    }
    settle().await;
    let shares: Vec<u64> = softnet_stat(&bench.host).iter().map(|cpu| cpu[0]).collect();
    assert_eq!(shares.iter().sum::<u64>(), 8000);
    assert!(shares.iter().all(|share| (840..=1160).contains(share)), "{shares:?}");
}

/// Under load at the defaults there is less than one interrupt for fifty packets.
#[wakeline::test(start_paused = true)]
async fn load_needs_few_interrupts() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").build().unwrap();
    let client = lan.host("client").build().unwrap();
    start_echo(&server, 7000).await;
    let mut streams = Vec::new();
    for _ in 0..200 {
        streams.push(client.run(TcpStream::connect("server:7000")).await.unwrap());
    }
    let before = server.counters();
    let ask = |mut stream: TcpStream| {
        wakeline::spawn(async move {
            for n in 0..50 {
                round(&mut stream, n).await;
            }
        })
    };
    let tasks: Vec<_> = streams.into_iter().map(ask).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let after = server.counters();
    let (irqs, packets) = (after.irqs - before.irqs, after.packets - before.packets);
    assert!(packets >= 10_000 && irqs * 50 < packets, "{irqs} interrupts for {packets} packets");
}

/// 300,000 packets a second for a socket that nobody reads: the round trips of others stay what they are, to the nanosecond of the
/// virtual clock, and every loss is counted where Linux counts it.
#[wakeline::test(start_paused = true)]
async fn a_flood_for_somebody_else_costs_no_latency() {
    use wakeline::net::emulated::{Mib, Netem};
    let bench = Bench::new(|host| host);
    let _never_read = bench.host.run(UdpSocket::bind("0.0.0.0:9")).await.unwrap();
    start_echo(&bench.host, 7000).await;
    let client = bench.lan.host("client").link(Netem::new().delay(us(500))).build().unwrap();
    let mut stream = client.run(TcpStream::connect("host:7000")).await.unwrap();
    let mut rtts = async |rounds: u8| {
        let mut slowest = Duration::ZERO;
        for n in 0..rounds {
            let started = Instant::now();
            round(&mut stream, n).await;
            slowest = slowest.max(started.elapsed());
        }
        slowest
    };
    let quiet = rtts(20).await;
    let flood = async {
        for _ in 0..1000 {
            (0..30).for_each(|_| bench.send(0));
            sleep(us(100)).await;
        }
    };
    let measured = async { rtts(90).await };
    let (_, loaded) = wakeline::join!(flood, measured);
    assert!(loaded <= quiet + us(20), "{loaded:?} instead of {quiet:?}");
    let counters = bench.host.counters();
    let lost = counters.drops.get(DropReason::SocketRcvbuff);
    assert_eq!(lost, 30_000 - 256);
    assert_eq!((counters.stack.get(Mib::UdpRcvbufErrors), counters.stack.get(Mib::UdpInErrors)), (lost, lost));
    assert_eq!(counters.nic.rx_missed_errors, 0);
}
