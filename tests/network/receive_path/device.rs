//! What a device and its driver do: frames over several descriptors, memory, interrupt moderation, and what ethtool may set.

use crate::receive_path::bench::{Bench, settle, us};
use nix::libc;
use std::io::ErrorKind;
use std::time::Duration;
use wakeline::net::UdpSocket;
use wakeline::net::emulated::{Coalesce, IrqReturn, Lan, NapiSettings, NicModel, Rxfh};
use wakeline::time::{Instant, sleep};

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
    let single = Bench::new(|host| host.nic(NicModel::E1000));
    assert_eq!(single.host.rxfh().unwrap_err().raw_os_error(), Some(libc::EOPNOTSUPP));
    assert_eq!(bench.host.irq(23).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    let irq = bench.host.irq(24).unwrap();
    assert_eq!(errno(irq.enable()), Some(libc::EINVAL));
    assert_eq!(errno(irq.set_affinity(0b1100)), Some(libc::EINVAL));
    assert_eq!(irq.request("other", || IrqReturn::None).unwrap_err().raw_os_error(), Some(libc::EBUSY));
    let endless = NapiSettings { defer_hard_irqs: u32::MAX, ..NapiSettings::default() };
    assert_eq!(errno(bench.host.set_napi(endless)), Some(libc::ERANGE));
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
