//! What stands before and between CPUs: the backlog, RPS and RFS, the kernel's files about them, and how they bear load.

use crate::receive_path::bench::{Bench, names, round, settle, start_echo, us};
use std::sync::Arc;
use std::time::Duration;
use wakeline::net::emulated::{Host, Lan, Rxfh};
use wakeline::net::event::DropReason;
use wakeline::net::{TcpStream, UdpSocket};
use wakeline::task::JoinHandle;
use wakeline::time::{Instant, sleep, timeout};

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

/// A flow that floods a backlog with a flow limit loses what others then have room for.
#[wakeline::test]
async fn a_flow_limit_leaves_room_for_others() {
    let lan = Lan::with_seed(1);
    let host = lan.host("host").sysctl("net.core.netdev_max_backlog", 200).build().unwrap();
    assert_eq!(host.set_flow_limit_cpus(0b10).unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    host.set_flow_limit_cpus(1).unwrap();
    let receiver = host.run(UdpSocket::bind("127.0.0.1:9")).await.unwrap();
    let (flood, other) = (
        host.run(UdpSocket::bind("127.0.0.1:1")).await.unwrap(),
        host.run(UdpSocket::bind("127.0.0.1:2")).await.unwrap(),
    );
    let send = async |socket: &UdpSocket, times: u64| {
        for _ in 0..times {
            host.run(socket.send_to(b"x", "127.0.0.1:9")).await.unwrap();
        }
    };
    host.pause();
    send(&flood, 300).await;
    send(&other, 30).await;
    // From the half on it may have as many as half of what is remembered.
    let lost = 300 - (100 + 64);
    assert_eq!(softnet_stat(&host)[0][..2], [0, lost]);
    assert_eq!((softnet_stat(&host)[0][10], host.counters().drops.get(DropReason::CpuBacklog)), (lost, lost));
    host.resume();
    settle().await;
    let received = |socket: &UdpSocket| socket.try_recv_from(&mut [0; 8]).ok().map(|(_, from)| from.port());
    let from: Vec<u16> = std::iter::from_fn(|| received(&receiver)).collect();
    let of = |port: u16| from.iter().filter(|&&from| from == port).count();
    assert_eq!((of(1), of(2)), (164, 30));
    host.set_flow_limit_cpus(0).unwrap();
    assert_eq!(host.flow_limit_cpus(), 0);
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
    let socket = bench.host.run(UdpSocket::bind("127.0.0.1:9")).await.unwrap();
    bench.host.run(socket.send_to(b"x", "127.0.0.1:9")).await.unwrap();
    settle().await;
    let stat = softnet_stat(&bench.host);
    assert_eq!(stat.iter().map(Vec::len).collect::<Vec<_>>(), [15, 15]);
    assert_eq!(stat.iter().map(|cpu| cpu[0]).sum::<u64>(), 101);
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
    let device = |line: usize| {
        let (name, columns) = text.lines().nth(line).unwrap().split_once(':').unwrap();
        let columns: Vec<u64> = columns.split_whitespace().map(|column| column.parse().unwrap()).collect();
        assert_eq!(columns.len(), 16);
        (name.trim(), columns)
    };
    let ((lo, of_lo), (eth0, of_eth0)) = (device(2), device(3));
    assert_eq!((lo, [of_lo[0], of_lo[1], of_lo[8], of_lo[9]]), ("lo", [29, 1, 29, 1]));
    assert_eq!((eth0, of_eth0[1]), ("eth0", 100));

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

type Reader = JoinHandle<std::io::Result<Vec<u8>>>;

/// A datagram socket with a peer is looked at on one CPU only: there its reader hears of all that comes, wherever it comes.
#[wakeline::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_datagram_socket_with_a_peer_is_one_cpus() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").cpus(4).build().unwrap();
    let client = lan.host("client").cpus(2).build().unwrap();
    let on = async |host: &Host| Arc::new(host.run(UdpSocket::bind("0.0.0.0:0")).await.unwrap());
    let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
    let connect = async |host: &Host, socket: &UdpSocket, to: (&Host, u16)| {
        host.run(socket.connect((to.0.addr(), to.1))).await.unwrap();
    };
    let recv = |socket: &Arc<UdpSocket>| {
        let socket = socket.clone();
        wakeline::spawn(async move {
            let mut buf = vec![0; 9000];
            let len = socket.recv(&mut buf).await?;
            buf.truncate(len);
            Ok::<_, std::io::Error>(buf)
        })
    };
    let arrives = async |reader: Reader| timeout(Duration::from_secs(5), reader).await.expect("it is told").unwrap();
    for n in 0..16 {
        let (receiver, first, second) = (on(&server).await, on(&client).await, on(&client).await);
        for sender in [&first, &second] {
            connect(&client, sender, (&server, port(&receiver))).await;
        }
        // What came while it had no peer.
        first.send(&[n, 1]).await.unwrap();
        timeout(Duration::from_secs(5), receiver.readable()).await.expect("it is told").unwrap();
        connect(&server, &receiver, (&client, port(&first))).await;
        assert_eq!(arrives(recv(&receiver)).await.unwrap(), [n, 1]);
        // RSS spreads pieces by their addresses.
        let reader = recv(&receiver);
        first.send(&[n; 5000]).await.unwrap();
        assert!(arrives(reader).await.unwrap() == [n; 5000]);
        // It waits at the CPU of its first peer.
        let reader = recv(&receiver);
        settle().await;
        connect(&server, &receiver, (&client, port(&second))).await;
        second.send(&[n, 2]).await.unwrap();
        assert_eq!(arrives(reader).await.unwrap(), [n, 2]);
        // And ICMP by addresses, too; it may complain six times in a row.
        if n < 6 {
            connect(&client, &second, (&server, 1)).await;
            let reader = recv(&second);
            second.send(b"nobody").await.unwrap();
            assert_eq!(arrives(reader).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
        }
        // What a host sends to itself has no RSS.
        connect(&client, &second, (&client, port(&first))).await;
        connect(&client, &first, (&client, port(&second))).await;
        let reader = recv(&second);
        first.send(&[n, 3]).await.unwrap();
        assert_eq!(arrives(reader).await.unwrap(), [n, 3]);
    }
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
