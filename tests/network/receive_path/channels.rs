//! `ethtool -L`: queues that come and go while packets do.

use crate::receive_path::bench::{Bench, flood_during, round, settle, start_echo, us};
use nix::libc;
use wakeline::net::emulated::{Coalesce, Lan, NapiSettings, NicModel, Rxfh};
use wakeline::net::{TcpStream, UdpSocket};

fn errno(result: std::io::Result<()>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

/// Connections go on while their queues go and others come; so do new ones.
#[wakeline::test]
async fn connections_outlive_their_queues() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").cpus(4).build().unwrap();
    let client = lan.host("client").build().unwrap();
    start_echo(&server, 7000).await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(client.run(TcpStream::connect("server:7000")).await.unwrap());
    }
    for (step, queues) in [1, 3, 2, 8, 4, 64, 1, 4].into_iter().enumerate() {
        server.set_channels(queues).unwrap();
        client.set_channels(queues.min(3)).unwrap();
        assert_eq!((server.channels().combined, server.channels().combined_max), (queues, 64));
        for stream in &mut streams {
            round(stream, step as u8).await;
        }
        let mut stream = client.run(TcpStream::connect("server:7000")).await.unwrap();
        round(&mut stream, 1).await;
    }
    assert_eq!((server.counters().drops.total(), client.counters().drops.total()), (0, 0), "{:?}", server.counters());
}

/// What stands in the rings of queues that go comes up all the same, and their counts stay in the sum.
#[wakeline::test]
async fn what_is_in_a_queue_that_goes_is_delivered() {
    let bench = Bench::new(|host| host.cpus(4));
    let socket = bench.host.run(UdpSocket::bind("0.0.0.0:9")).await.unwrap();
    bench.host.pause();
    (0..200).for_each(|flow| bench.send(flow));
    bench.host.set_channels(1).unwrap();
    bench.host.resume();
    for _ in 0..200 {
        socket.recv_from(&mut [0; 64]).await.unwrap();
    }
    let stats = bench.host.ethtool_stats();
    assert_eq!((stats.queues.len(), stats.total.rx_packets), (1, 200));
    assert!(stats.queues[0].rx_packets < 200);
    assert_eq!(bench.host.counters().drops.total(), 0);
    assert!(socket.try_recv_from(&mut [0; 64]).is_err());
}

/// Each queue in use has a vector, and those that come are set as the others are.
#[wakeline::test(start_paused = true)]
async fn queues_that_come_are_set_as_the_others_are() {
    let bench = Bench::new(|host| host.cpus(2).queues(1));
    let rows = || bench.host.proc_file("/proc/interrupts").unwrap().lines().count() - 1;
    assert_eq!(rows(), 1);
    bench.host.set_coalesce(Coalesce { rx_usecs: 50, rx_frames: 100, adaptive_rx: false }).unwrap();
    bench.host.set_napi(NapiSettings { threaded: true, ..NapiSettings::default() }).unwrap();
    bench.host.set_rx_ring(64).unwrap();
    bench.host.set_channels(3).unwrap();
    bench.host.set_rx_ring(128).unwrap();
    assert_eq!((rows(), bench.host.irq(26).unwrap().affinity(), bench.host.irq(27).is_err()), (3, 0, true));
    let text = bench.host.proc_file("/proc/interrupts").unwrap();
    assert!(text.contains("PCI-MSIX-0000:00:03.0  2-edge  eth0-TxRx-2"), "{text}");
    (0..60).for_each(|flow| bench.send(flow));
    settle().await;
    assert_eq!((bench.irqs(), bench.host.counters().packets), (0, 0), "they wait for 50 us");
    wakeline::time::sleep(us(60)).await;
    settle().await;
    assert_eq!((bench.irqs(), bench.host.counters().packets), (3, 60));
    let queues = bench.host.ethtool_stats().queues;
    assert!(queues.iter().all(|queue| queue.rx_packets > 0), "{queues:?}");
    // They go, and come as they were; what became of the table and its key meanwhile stays.
    bench.host.set_channels(1).unwrap();
    assert_eq!((rows(), bench.host.rxfh().unwrap().indirection), (1, vec![0; 128]));
    bench.host.set_channels(2).unwrap();
    (0..60).for_each(|flow| bench.send(flow));
    wakeline::time::sleep(us(60)).await;
    settle().await;
    assert_eq!(bench.host.counters().packets, 120);
}

#[wakeline::test]
async fn a_table_that_was_set_forbids_what_it_names() {
    let bench = Bench::new(|host| host.cpus(4));
    for none in [0, 65, usize::MAX] {
        assert_eq!(errno(bench.host.set_channels(none)), Some(libc::EINVAL));
    }
    let users = Rxfh { indirection: [0, 2].repeat(64), ..bench.host.rxfh().unwrap() };
    bench.host.set_rxfh(&users).unwrap();
    assert_eq!(errno(bench.host.set_channels(2)), Some(libc::EINVAL));
    assert_eq!(bench.host.channels().combined, 4);
    bench.host.set_channels(3).unwrap();
    assert_eq!(bench.host.rxfh().unwrap(), Rxfh { queues: 3, ..users }, "it stays");
    bench.host.reset_rxfh().unwrap();
    bench.host.set_channels(2).unwrap();
    assert_eq!(bench.host.rxfh().unwrap().indirection, [0, 1].repeat(64));
    let e1000 = Bench::new(|host| host.nic(NicModel::E1000));
    assert_eq!((errno(e1000.host.set_channels(2)), errno(e1000.host.set_channels(1))), (Some(libc::EINVAL), None));
    assert_eq!(errno(e1000.host.reset_rxfh()), Some(libc::EOPNOTSUPP));
}

/// Under load, from several threads: every frame is delivered, or counted, and nothing waits where nobody looks.
#[test]
fn queues_come_and_go_under_load() {
    flood_during(|host| {
        std::thread::scope(|scope| {
            for own in 0..2 {
                scope.spawn(move || (0..100).for_each(|n| host.set_channels(1 + (n * 7 + own) % 5).unwrap()));
            }
            for n in 0..50 {
                host.set_rx_ring(if n % 2 == 0 { 512 } else { 1024 }).unwrap();
            }
        });
    });
}
