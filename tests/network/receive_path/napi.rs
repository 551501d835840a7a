//! Polls: their budget and weight, and who polls when.

use crate::frames::{datagram, mac, v4};
use crate::receive_path::bench::{Bench, flood_during, names, polls, settle, us};
use std::time::Duration;
use wakeline::net::emulated::{Lan, NapiSettings};
use wakeline::net::{UdpSocket, blocking};
use wakeline::time::{Instant, sleep};

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

/// The budget, its time and the backlog's weight are settings that count from the next round on.
#[wakeline::test(start_paused = true)]
async fn a_round_of_polls_is_as_long_as_its_settings_say() {
    let bench = Bench::new(|host| host.sysctl("net.core.netdev_budget", 50));
    let squeezes = |packets: u64| {
        let (bench, before) = (&bench, bench.host.counters().time_squeeze);
        async move {
            bench.host.pause();
            (0..packets).for_each(|_| bench.send(0));
            bench.host.resume();
            settle().await;
            bench.host.counters().time_squeeze - before
        }
    };
    assert_eq!((squeezes(49).await, squeezes(50).await, squeezes(150).await), (0, 1, 2));
    bench.host.set_sysctl("net.core.netdev_budget", 300).unwrap();
    assert_eq!((bench.host.sysctl("net.core.netdev_budget").unwrap(), squeezes(150).await), (300, 0));
    let none = bench.host.set_sysctl("net.core.netdev_rss_key", 1).unwrap_err();
    assert_eq!(none.kind(), std::io::ErrorKind::NotFound);

    let socket = bench.host.run(UdpSocket::bind("127.0.0.1:9")).await.unwrap();
    for (weight, expected) in [(64, vec![20]), (8, vec![8, 8, 4])] {
        bench.host.set_sysctl("net.core.dev_weight", weight).unwrap();
        bench.host.pause();
        for _ in 0..20 {
            bench.host.run(socket.send_to(b"x", "127.0.0.1:9")).await.unwrap();
        }
        assert_eq!(polls(&bench.traced(async || bench.host.resume()).await), expected);
    }
}

/// Row 29: packets go up in lists of eight, the last one at the end of the poll; who waits for one of the first is woken before
/// the last ones have come up.
#[wakeline::test(start_paused = true)]
async fn packets_go_up_in_lists_of_eight() {
    for (packets, batch, expected) in
        [(1, 8, vec![1]), (7, 8, vec![7]), (8, 8, vec![8]), (20, 8, vec![8]), (20, 3, vec![3]), (20, 100, vec![20])]
    {
        let bench = Bench::new(|host| host.sysctl("net.core.gro_normal_batch", batch));
        let socket = bench.host.run(UdpSocket::bind("0.0.0.0:9")).await.unwrap();
        bench.host.pause();
        (0..packets).for_each(|_| bench.send(0));
        // It will be woken by the list with the first one.
        let reader = wakeline::spawn(async move { socket.recv_from(&mut [0; 64]).await.map(|_| ()) });
        settle().await;
        let records = bench.traced(async || bench.host.resume()).await;
        let names = names(&records);
        let before = |end: &str| {
            let end = names.iter().position(|&name| name == end).unwrap();
            names[..end].iter().filter(|&&name| name == "netif_receive_skb").count()
        };
        assert_eq!((vec![before("sched_waking")], before("napi_poll")), (expected, packets), "{names:?}");
        reader.await.unwrap().unwrap();
    }
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
    flood_during(|host| {
        for n in 0..200 {
            host.set_rx_ring(if n % 2 == 0 { 64 } else { 512 }).unwrap();
        }
        assert_eq!((host.ring_param().rx, host.ring_param().rx_max), (512, 4096));
    });
}

/// Row 22: after traffic has ended, three polls by the timer find nothing, then the device may interrupt again.
#[wakeline::test(start_paused = true)]
async fn interrupts_are_deferred_while_packets_come() {
    let bench = Bench::new(|host| host);
    let deferring = NapiSettings { defer_hard_irqs: 3, gro_flush_timeout: us(100), ..NapiSettings::default() };
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
    socket.set_busy_poll(Some(Duration::from_secs(20))).unwrap();
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
    socket.set_busy_poll(None).unwrap();
    port.send(&datagram(&port, mac(1), 1000, (v4(&host), 9))).unwrap();
    assert_eq!(socket.recv_from(&mut [0; 64]).unwrap().0, 18);
    assert_eq!(host.counters().busy_poll_rx_packets, 100);
}

/// `net.core.busy_read` is for sockets that come after it; of two sockets one polls busily and the other waits for an interrupt.
#[wakeline::test(start_paused = true)]
async fn each_socket_says_whether_it_is_polled_busily() {
    let bench = Bench::new(|host| host.sysctl("net.core.busy_read", 50));
    let bind = async |port: u16| bench.host.run(UdpSocket::bind(("0.0.0.0", port))).await.unwrap();
    let polled = bind(9).await;
    bench.host.set_sysctl("net.core.busy_read", 0).unwrap();
    let waited = bind(10).await;
    assert_eq!((polled.busy_poll().unwrap(), polled.prefer_busy_poll().unwrap()), (Some(us(50)), false));
    assert_eq!((waited.busy_poll().unwrap(), waited.prefer_busy_poll().unwrap()), (None, false));
    // No interrupt comes; who looks by himself finds the packet.
    let irq = bench.host.irq(24).unwrap();
    irq.disable();
    let mut readers = Vec::new();
    for (socket, finds) in [(polled, true), (waited, false)] {
        let to = (v4(&bench.host), socket.local_addr().unwrap().port());
        bench.port.send(&datagram(&bench.port, mac(1), 1000, to)).unwrap();
        let reader = wakeline::spawn(async move { socket.recv_from(&mut [0; 64]).await.map(|(len, _)| len) });
        settle().await;
        assert_eq!(reader.is_finished(), finds, "{to:?}");
        readers.push(reader);
    }
    assert_eq!(bench.host.counters().busy_poll_rx_packets, 1);
    irq.enable().unwrap();
    for reader in readers {
        assert_eq!(reader.await.unwrap().unwrap(), 18);
    }
}

/// With `prefer` and deferred interrupts a busy reader keeps them away, and they come back when it stops.
#[wakeline::test(start_paused = true)]
async fn a_reader_that_prefers_to_poll_keeps_interrupts_away() {
    let bench = Bench::new(|host| host);
    let socket = bench.host.run(UdpSocket::bind("0.0.0.0:9")).await.unwrap();
    bench
        .host
        .set_napi(NapiSettings { defer_hard_irqs: 2, gro_flush_timeout: us(200), ..NapiSettings::default() })
        .unwrap();
    socket.set_busy_poll(Some(us(50))).unwrap();
    socket.set_prefer_busy_poll(true).unwrap();
    let mut buf = [0; 64];
    for _ in 0..50 {
        bench.send(0);
        socket.recv_from(&mut buf).await.unwrap();
        sleep(us(20)).await;
    }
    assert!(bench.irqs() <= 1, "{} interrupts for 50 packets", bench.irqs());
    socket.set_busy_poll(None).unwrap();
    sleep(us(2000)).await;
    let before = bench.irqs();
    bench.send(0);
    settle().await;
    assert_eq!(bench.irqs() - before, 1);
}
