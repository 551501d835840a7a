//! Overload: frames are lost as counted drops only, memory stays bounded, and what was there before goes on.

use crate::frames::{datagram, mac, v4};
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::emulated::{Host, Lan};
use wakeline::net::event::DropReason;
use wakeline::net::{TcpListener, TcpStream, UdpSocket};
use wakeline::time::sleep;

async fn settle(host: &Host) {
    // Nothing is sent any more: the CPU is idle when its counts stand still.
    let mut last = u64::MAX;
    while last != host.counters().packets {
        last = host.counters().packets;
        sleep(Duration::from_millis(5)).await;
    }
}

async fn echo_works(server: &Host, client: &Host, port: u16) {
    let listener = server.run(TcpListener::bind(("0.0.0.0", port))).await.unwrap();
    server.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let _ = wakeline::io::copy(&mut reader, &mut writer).await;
    });
    client
        .spawn(async move {
            let mut stream = TcpStream::connect(("server", port)).await.unwrap();
            for n in 0..100_u8 {
                stream.write_all(&[n; 64]).await.unwrap();
                let mut back = [0; 64];
                stream.read_exact(&mut back).await.unwrap();
                assert_eq!(back, [n; 64]);
            }
        })
        .await
        .unwrap();
}

/// Row 2, end to end: the receiver's CPU stands still, its ring and FIFO fill, the rest is `rx_missed_errors`.
#[wakeline::test]
async fn a_flood_into_a_stopped_host_is_lost_by_count_and_the_echo_recovers() {
    const FLOOD: u64 = 50_000;
    let lan = Lan::with_seed(1);
    let server = lan.host("server").build().unwrap();
    let client = lan.host("client").build().unwrap();
    let port = lan.raw_port().unwrap();
    let sink = server.run(UdpSocket::bind("0.0.0.0:9")).await.unwrap();
    echo_works(&server, &client, 7000).await;
    settle(&server).await;
    let before = server.counters();

    server.pause();
    let frame = datagram(&port, mac(1), 9, (v4(&server), 9));
    for _ in 0..FLOOD {
        port.send(&frame).unwrap();
    }
    let (used, most) = lan.packet_memory();
    assert!(used < 16 << 20 && used <= most, "{used} bytes are held by frames");
    let missed = server.counters().drops.get(DropReason::RxMissed);
    let held = FLOOD - missed;
    let fifo = (512 << 10) / frame.len() as u64;
    // Up to 15 of the ring's 511 usable slots await their refill, which comes in batches of 16.
    assert!((496 + fifo..=511 + fifo).contains(&held), "the ring and the FIFO hold {held} frames");

    server.resume();
    settle(&server).await;
    let after = server.counters();
    assert_eq!(after.packets - before.packets, held);
    let lost = after.drops.get(DropReason::SocketRcvbuff);
    assert!(lost > 0, "nobody reads the socket");
    let mut read = 0;
    let mut buf = [0; 64];
    while wakeline::time::timeout(Duration::from_millis(5), sink.recv_from(&mut buf)).await.is_ok() {
        read += 1;
    }
    assert_eq!(missed + lost + read, FLOOD, "every frame is delivered or counted once: {after:?}");
    echo_works(&server, &client, 7001).await;
}

/// Row 35: a socket that nobody reads holds 256 small datagrams; each further one is counted.
#[wakeline::test]
async fn a_receiver_that_never_reads_loses_by_count_and_others_do_not_notice() {
    const FLOOD: u64 = 20_000;
    let lan = Lan::with_seed(1);
    let server = lan.host("server").build().unwrap();
    let client = lan.host("client").build().unwrap();
    let port = lan.raw_port().unwrap();
    let _never_read = server.run(UdpSocket::bind("0.0.0.0:9")).await.unwrap();
    let frame = datagram(&port, mac(1), 9, (v4(&server), 9));
    for n in 0..FLOOD {
        port.send(&frame).unwrap();
        if n % 64 == 0 {
            wakeline::task::yield_now().await;
        }
    }
    echo_works(&server, &client, 7000).await;
    settle(&server).await;
    let drops = server.counters().drops;
    assert_eq!(drops.get(DropReason::SocketRcvbuff) + drops.get(DropReason::RxMissed), FLOOD - 256);
    assert!(lan.packet_memory().0 < 4 << 20, "{:?}", lan.packet_memory());
}

/// Row 24: what a host sends to itself waits in the CPU's backlog, 1001 frames at most.
#[wakeline::test]
async fn a_full_backlog_drops_by_count() {
    let lan = Lan::with_seed(1);
    let host = lan.host("server").build().unwrap();
    let socket = host.run(UdpSocket::bind("127.0.0.1:9")).await.unwrap();
    let sender = host.run(UdpSocket::bind("127.0.0.1:0")).await.unwrap();
    host.pause();
    for _ in 0..1500 {
        host.run(sender.send_to(b"x", "127.0.0.1:9")).await.unwrap();
    }
    assert_eq!(host.counters().drops.get(DropReason::CpuBacklog), 1500 - 1001);
    host.resume();
    settle(&host).await;
    assert_eq!(host.counters().drops.get(DropReason::SocketRcvbuff), 1001 - 256);
    drop(socket);
    echo_works(&host, &host, 7000).await;
}

/// Frames of every length and random content: counted drops, no panic, and the host goes on.
#[wakeline::test]
async fn garbage_is_counted_and_harmless() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").build().unwrap();
    let client = lan.host("client").build().unwrap();
    let port = lan.raw_port().unwrap();
    let mut rng = wakeline::rng::Rng::seeded(5);
    let mut sent = 0;
    for n in 0..20_000_u32 {
        let len = 14 + rng.below(200) as usize;
        let mut frame: Vec<u8> = (0..len).map(|_| rng.next_u32() as u8).collect();
        frame[..6].copy_from_slice(&mac(1));
        if n % 2 == 0 {
            // Half of them look like IPv4 at least.
            frame[12..14].copy_from_slice(&[0x08, 0x00]);
            if let Some(version) = frame.get_mut(14) {
                *version = 0x45;
            }
        }
        port.send(&frame).unwrap();
        sent += 1;
        if n % 64 == 0 {
            wakeline::task::yield_now().await;
        }
    }
    settle(&server).await;
    assert_eq!(server.counters().drops.total(), sent, "{:?}", server.counters().drops.iter().collect::<Vec<_>>());
    echo_works(&server, &client, 7000).await;
}
