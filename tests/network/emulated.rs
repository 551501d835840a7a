//! What only the emulated network has: links, several hosts, blocking threads in the same wait queues, shutdown.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::emulated::{Host, Lan, Mib, Netem};
use wakeline::net::event::DropReason;
use wakeline::net::{TcpListener, TcpStream, UdpSocket, blocking, lookup_host};
use wakeline::runtime::Builder;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

async fn echo_server(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        wakeline::spawn(async move {
            let (mut reader, mut writer) = stream.split();
            let _ = wakeline::io::copy(&mut reader, &mut writer).await;
        });
    }
}

async fn start_echo(server: &Host) {
    let listener = server.run(TcpListener::bind("0.0.0.0:7000")).await.unwrap();
    server.spawn(echo_server(listener));
}

/// `rounds` requests of 64 bytes, each compared.
async fn echo(target: &str, rounds: u32) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(target).await?;
    let mut back = [0; 64];
    for round in 0..rounds {
        let sent = [round as u8; 64];
        stream.write_all(&sent).await?;
        stream.read_exact(&mut back).await?;
        assert_eq!(back, sent);
    }
    Ok(())
}

#[wakeline::test]
async fn hosts_find_each_other_by_name() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").build().unwrap();
    let client = lan.host("client").build().unwrap();
    assert_eq!((server.addr().to_string(), client.addr().to_string()), ("10.0.0.1".into(), "10.0.0.2".into()));
    start_echo(&server).await;
    client.spawn(echo("server:7000", 10)).await.unwrap().unwrap();
    let error = client.run(TcpStream::connect("nobody:7000")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(lan.host("server").build().unwrap_err().kind(), ErrorKind::AlreadyExists);
}

#[wakeline::test]
async fn hosts_have_addresses_of_both_families_and_names_lead_to_both() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").cpus(2).build().unwrap();
    let client = lan.host("client").cpus(2).build().unwrap();
    let addrs: Vec<_> = server.addrs().iter().map(ToString::to_string).collect();
    assert_eq!(addrs, ["10.0.0.1", "fd00::1", "fe80::ff:fe00:1"]);
    let found: Vec<_> = client.run(lookup_host("server:7000")).await.unwrap().map(|addr| addr.to_string()).collect();
    assert_eq!(found, ["10.0.0.1:7000", "[fd00::1]:7000"]);
    let listener = server.run(TcpListener::bind("[fd00::1]:7000")).await.unwrap();
    server.spawn(echo_server(listener));
    // By name: nobody listens at the address of IPv4, so the other one is tried.
    client.spawn(echo("server:7000", 10)).await.unwrap().unwrap();
    for _ in 0..20 {
        client.spawn(echo("[fd00::1]:7000", 3)).await.unwrap().unwrap();
    }
    let stack = server.counters().stack;
    assert!(stack.get(Mib::Ip6InDelivers) > 60 && stack.get(Mib::TcpOutRsts) == 1);
}

#[wakeline::test]
async fn an_address_that_nobody_has_is_unreachable() {
    let lan = Lan::with_seed(1);
    let client = lan.host("client").build().unwrap();
    let error = client.run(TcpStream::connect("10.0.3.77:7000")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HostUnreachable, "{error}");
    assert!(client.counters().drops.get(DropReason::NeighFailed) > 0);
}

#[wakeline::test]
async fn bad_hosts_are_refused_in_one_line() {
    let lan = Lan::new();
    for (builder, wrong) in [
        (lan.host("a").cpus(0), "CPUs"),
        (lan.host("b").cpus(65), "CPUs"),
        (lan.host("c").rings(32, 512), "descriptors"),
        (lan.host("d").rings(512, 8192), "descriptors"),
        (lan.host(""), "host name"),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(wrong) && !error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn building_outside_a_runtime_says_what_to_do() {
    let error = Lan::new().host("a").build().unwrap_err();
    assert!(error.to_string().contains("build_threaded"), "{error}");
}

#[wakeline::test]
async fn a_delayed_link_delays_a_round_trip_twice() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").build().unwrap();
    let client = lan.host("client").link(Netem::new().delay(ms(20))).build().unwrap();
    start_echo(&server).await;
    let rtt = client
        .spawn(async {
            let mut stream = TcpStream::connect("server:7000").await.unwrap();
            let started = Instant::now();
            stream.write_all(b"x").await.unwrap();
            stream.read_exact(&mut [0]).await.unwrap();
            started.elapsed()
        })
        .await
        .unwrap();
    assert!(rtt >= ms(40), "a round trip over a link of 20 ms took {rtt:?}");
}

#[wakeline::test]
async fn a_lossy_link_loses_frames_and_no_bytes() {
    let lan = Lan::with_seed(7);
    let server = lan.host("server").build().unwrap();
    let client = lan.host("client").link(Netem::new().loss(0.05)).build().unwrap();
    start_echo(&server).await;
    let tasks: Vec<_> = (0..20).map(|_| client.spawn(echo("server:7000", 20))).collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert!(client.counters().drops.get(DropReason::NetemLoss) > 0);
}

/// The same seed loses the same frames.
#[test]
fn a_seed_decides_the_losses() {
    let losses = |seed| {
        let lan = Lan::with_seed(seed);
        let host = lan.host("h").link(Netem::new().loss(0.3)).build_threaded().unwrap();
        let port = lan.raw_port().unwrap();
        let mut frame = vec![0; 60];
        frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        let mut pattern = Vec::new();
        for _ in 0..200 {
            let before = host.counters().drops.get(DropReason::NetemLoss);
            port.send(&frame).unwrap();
            pattern.push(host.counters().drops.get(DropReason::NetemLoss) > before);
        }
        pattern
    };
    assert_eq!(losses(3), losses(3));
    assert_ne!(losses(3), losses(4));
    assert!((30..90).contains(&losses(3).iter().filter(|lost| **lost).count()));
}

#[test]
fn threads_echo_without_a_runtime() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").build_threaded().unwrap();
    let client = lan.host("client").build_threaded().unwrap();
    threads_echo(&server, &client);
}

/// The same two hosts serve tasks and threads at once: a blocking client of an asynchronous server, and the reverse.
#[test]
fn tasks_and_threads_meet_on_one_host() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let lan = Lan::with_seed(1);
    let (server, client) = {
        let _in_runtime = runtime.enter();
        (lan.host("server").build().unwrap(), lan.host("client").build().unwrap())
    };
    runtime.block_on(start_echo(&server));
    {
        let _here = client.enter();
        let mut stream = blocking::TcpStream::connect("server:7000").unwrap();
        for round in 0..100_u8 {
            stream.write_all(&[round; 64]).unwrap();
            let mut back = [0; 64];
            stream.read_exact(&mut back).unwrap();
            assert_eq!(back, [round; 64]);
        }
    }
    threads_echo(&server, &client);
}

fn threads_echo(server: &Host, client: &Host) {
    let listener = {
        let _here = server.enter();
        blocking::TcpListener::bind("0.0.0.0:7001").unwrap()
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for stream in listener.incoming().take(8) {
                let mut stream = stream.unwrap();
                scope.spawn(move || {
                    let mut buf = [0; 64];
                    while stream.read_exact(&mut buf).is_ok() {
                        stream.write_all(&buf).unwrap();
                    }
                });
            }
        });
        for thread in 0..8_u8 {
            scope.spawn(move || {
                let _here = client.enter();
                let mut stream = blocking::TcpStream::connect("server:7001").unwrap();
                let mut back = [0; 64];
                for _ in 0..50 {
                    stream.write_all(&[thread; 64]).unwrap();
                    stream.read_exact(&mut back).unwrap();
                    assert_eq!(back, [thread; 64]);
                }
            });
        }
    });
}

#[test]
fn a_blocking_read_times_out_and_the_data_still_comes() {
    let lan = Lan::with_seed(1);
    let host = lan.host("host").build_threaded().unwrap();
    let _here = host.enter();
    let listener = blocking::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut a = blocking::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut b, _) = listener.accept().unwrap();
    assert_eq!(b.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(), ErrorKind::InvalidInput);
    b.set_read_timeout(Some(ms(10))).unwrap();
    assert_eq!(b.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    a.write_all(b"late").unwrap();
    b.set_read_timeout(None).unwrap();
    let mut text = [0; 4];
    b.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"late");
    let socket = blocking::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(ms(10))).unwrap();
    assert_eq!(socket.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// A runtime that goes away takes its hosts' CPUs with it; a thread parked in one of their sockets must not sleep on.
#[test]
fn a_runtime_that_ends_wakes_the_threads_that_wait_on_its_hosts() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let lan = Lan::with_seed(1);
    let host = {
        let _in_runtime = runtime.enter();
        lan.host("host").build().unwrap()
    };
    let (connected, is_connected) = std::sync::mpsc::channel();
    let reader = {
        let host = host.clone();
        std::thread::spawn(move || {
            let _here = host.enter();
            let listener = blocking::TcpListener::bind("127.0.0.1:0").unwrap();
            let mut stream = blocking::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            connected.send(()).unwrap();
            stream.read(&mut [0; 8]).unwrap_err()
        })
    };
    is_connected.recv().unwrap();
    drop(runtime);
    assert_eq!(reader.join().unwrap().kind(), ErrorKind::NetworkDown);
}

#[wakeline::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_cpus_share_the_connections_and_keep_each_on_its_own() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").cpus(4).build().unwrap();
    let client = lan.host("client").cpus(4).build().unwrap();
    start_echo(&server).await;
    let tasks: Vec<_> = (0..64).map(|_| client.spawn(echo("server:7000", 50))).collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(server.counters().drops.total(), 0, "{:?}", server.counters());
    assert_eq!(client.counters().drops.total(), 0, "{:?}", client.counters());
}

/// One request and its answer cost one frame, one interrupt and one wake-up on each side, when nothing else goes on.
#[wakeline::test]
async fn a_quiet_request_costs_one_interrupt_a_side() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").build().unwrap();
    let client = lan.host("client").build().unwrap();
    start_echo(&server).await;
    client
        .spawn(async move {
            const ROUNDS: u64 = 1000;
            let mut stream = TcpStream::connect("server:7000").await.unwrap();
            let mut round = async || {
                stream.write_all(&[1; 64]).await.unwrap();
                stream.read_exact(&mut [0; 64]).await.unwrap();
            };
            for _ in 0..100 {
                round().await;
            }
            let before = server.counters();
            for _ in 0..ROUNDS {
                round().await;
            }
            let after = server.counters();
            for (what, n) in [
                ("irqs", after.irqs - before.irqs),
                ("packets", after.packets - before.packets),
                ("wakeups", after.wakeups - before.wakeups),
            ] {
                // A delayed acknowledgement or a late timer may add a few.
                assert!((ROUNDS..ROUNDS + 20).contains(&n), "{n} {what} for {ROUNDS} requests");
            }
        })
        .await
        .unwrap();
}

#[wakeline::test]
async fn a_trace_tells_the_stages_in_the_kernels_order() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").build().unwrap();
    let client = lan.host("client").build().unwrap();
    let socket = server.run(UdpSocket::bind("0.0.0.0:5000")).await.unwrap();
    let receiver = server.spawn(async move { socket.recv_from(&mut [0; 64]).await.unwrap() });
    let sender = client.run(UdpSocket::bind("0.0.0.0:0")).await.unwrap();
    // The first datagram finds the neighbour.
    client.run(sender.send_to(b"warm", "server:5000")).await.unwrap();
    receiver.await.unwrap();
    let socket = server.run(UdpSocket::bind("0.0.0.0:5000")).await.unwrap();
    let receiver = server.spawn(async move { socket.recv_from(&mut [0; 64]).await.unwrap() });
    wakeline::task::yield_now().await;
    lan.trace().start();
    client.run(sender.send_to(b"traced", "server:5000")).await.unwrap();
    receiver.await.unwrap();
    let names: Vec<_> = lan.trace().stop().iter().map(|record| record.event.name()).collect();
    let expected = [
        "net_dev_queue",
        "irq_handler_entry",
        "softirq_raise",
        "irq_handler_exit",
        "softirq_entry",
        "netif_receive_skb",
        "sk_data_ready",
        "sched_waking",
        "napi_poll",
        "softirq_exit",
    ];
    let mut rest = names.iter();
    for name in expected {
        assert!(rest.any(|n| *n == name), "{name} is missing or out of order in {names:?}");
    }
}

#[test]
fn a_sysctl_that_there_is_not_is_refused() {
    let lan = Lan::with_seed(1);
    let error = lan.host("host").sysctl("net.ipv4.tcp_none_such", 1).build_threaded().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("net.ipv4.tcp_none_such = 1"), "{error}");
    lan.host("host").sysctl("net.ipv4.tcp_syncookies", 2).sysctl("net.core.somaxconn", 9).build_threaded().unwrap();
}

/// The table that `ss` prints, on one CPU and on four.
#[wakeline::test]
async fn a_host_lists_its_sockets() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").cpus(4).build().unwrap();
    let client = lan.host("client").build().unwrap();
    let listener = server.run(TcpListener::bind("0.0.0.0:7")).await.unwrap();
    let udp = server.run(UdpSocket::bind("10.0.0.1:53")).await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(client.run(TcpStream::connect("10.0.0.1:7")).await.unwrap());
    }
    let (first, peer) = server.run(listener.accept()).await.unwrap();
    let lines = |host: &Host| -> Vec<String> {
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        host.sockets().to_string().lines().map(words).collect()
    };
    let shown = lines(&server);
    assert_eq!(shown[0], "Netid State Recv-Q Send-Q Local Address:Port Peer Address:Port");
    // Two wait to be accepted; each of the four CPUs has a backlog of its own.
    assert!(shown.contains(&"tcp LISTEN 2 4096 0.0.0.0:7 0.0.0.0:*".to_owned()), "{shown:#?}");
    assert!(shown.contains(&"udp UNCONN 0 0 10.0.0.1:53 0.0.0.0:*".to_owned()), "{shown:#?}");
    assert!(shown.contains(&format!("tcp ESTAB 0 0 10.0.0.1:7 {peer}")), "{shown:#?}");
    assert_eq!(shown.len(), 1 + 2 + 3);
    assert!(format!("{:#}", client.sockets()).contains(" wscale:7,7 rto:"), "{:#}", client.sockets());
    drop((first, waiting, listener, udp));
    assert!(lines(&server).iter().all(|line| !line.contains("LISTEN") && !line.contains("udp")));
}

/// One entry into the stack for many datagrams; a batch ends where there are no more.
#[wakeline::test]
async fn datagrams_go_and_come_in_batches() {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").build().unwrap();
    let client = lan.host("client").build().unwrap();
    let receiver = server.run(UdpSocket::bind("0.0.0.0:7000")).await.unwrap();
    let sender = client.run(UdpSocket::bind("0.0.0.0:7001")).await.unwrap();
    assert!(sender.send_many(&[[0; 4]]).await.is_err(), "it has no peer");
    client.run(sender.connect("server:7000")).await.unwrap();
    let datagrams: Vec<Vec<u8>> = (0..40).map(|n| vec![n; usize::from(n) + 1]).collect();
    assert_eq!(sender.send_many(&datagrams).await.unwrap(), 40);
    let (mut bufs, mut received) = ([[0; 30]; 64], Vec::new());
    while received.len() < 40 {
        let from = received.len();
        let n = receiver.recv_many(&mut bufs[from..], &mut received).await.unwrap();
        assert!(n > 0 && received.len() == from + n);
    }
    for (n, (datagram, (len, peer))) in datagrams.iter().zip(received).enumerate() {
        let cut = datagram.len().min(30);
        assert_eq!((len, &bufs[n][..cut], peer.to_string()), (cut, &datagram[..cut], "10.0.0.2:7001".to_owned()));
    }
    let nothing: &mut [[u8; 4]] = &mut [];
    assert_eq!(receiver.recv_many(nothing, &mut Vec::new()).await.unwrap(), 0);
    // The second one is too long: the first is sent, and the second's error is the next call's.
    let batch = [vec![1; 10], vec![2; 70_000]];
    assert_eq!(sender.send_many(&batch).await.unwrap(), 1);
    assert!(sender.send_many(&batch[1..]).await.is_err());
}

/// Datagrams to a group reach its members on every host, whichever CPU hears them, and one to everybody all hosts.
#[wakeline::test]
async fn groups_and_broadcasts_reach_several_hosts() {
    let lan = Lan::with_seed(1);
    let sender = lan.host("sender").build().unwrap();
    let hearers = ["a", "b"].map(|name| lan.host(name).cpus(3).build().unwrap());
    let talk = sender.run(UdpSocket::bind("[::]:0")).await.unwrap();
    let mut sockets = Vec::new();
    for host in &hearers {
        let socket = host.run(UdpSocket::bind("[::]:5353")).await.unwrap();
        socket.join_multicast_v4("239.1.2.3".parse().unwrap(), "0.0.0.0".parse().unwrap()).unwrap();
        socket.join_multicast_v6(&"ff05::7".parse().unwrap(), 0).unwrap();
        assert_eq!(socket.join_multicast_v6(&"ff05::8".parse().unwrap(), 9).unwrap_err().raw_os_error(), Some(19));
        sockets.push(socket);
    }
    talk.set_broadcast(true).unwrap();
    let mut buf = [0; 16];
    for to in ["239.1.2.3:5353", "[ff05::7]:5353", "10.0.255.255:5353"] {
        talk.send_to(b"hello", to).await.unwrap();
        for socket in &sockets {
            let heard = wakeline::time::timeout(ms(5000), socket.recv_from(&mut buf)).await;
            assert_eq!(heard.expect("a member hears").unwrap().0, 5, "{to}");
        }
    }
    drop(sockets);
    talk.send_to(b"nobody", "239.1.2.3:5353").await.unwrap();
}
