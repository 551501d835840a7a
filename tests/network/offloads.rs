//! What hosts leave to their devices: whatever two of them have, the bytes arrive.

use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::emulated::{Coalesce, Host, HostBuilder, Lan, Mib, Netem, NicModel, Offloads};
use wakeline::net::event::DropReason;
use wakeline::net::{TcpListener, TcpStream, UdpSocket};
use wakeline::time::{sleep, timeout};

/// Some hosts, each with the offloads of its name, and what its link does.
struct Pair {
    server: Host,
    client: Host,
}

impl Pair {
    fn new(lan: &Lan, server: Offloads, client: Offloads, link: Netem) -> Pair {
        Pair {
            server: lan.host("server").offloads(server).build().unwrap(),
            client: lan.host("client").offloads(client).link(link).build().unwrap(),
        }
    }

    /// Sends `bytes` to the server and compares what comes back.
    async fn echo(&self, bytes: Vec<u8>) {
        let listener = self.server.run(TcpListener::bind("0.0.0.0:7000")).await.unwrap();
        self.server.spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut reader, mut writer) = stream.split();
            wakeline::io::copy(&mut reader, &mut writer).await.unwrap();
        });
        let (mut reader, mut writer) = self.client.run(TcpStream::connect("server:7000")).await.unwrap().into_split();
        let sent = bytes.clone();
        let writing = wakeline::spawn(async move {
            writer.write_all(&sent).await.unwrap();
            writer
        });
        let mut back = vec![0; bytes.len()];
        reader.read_exact(&mut back).await.unwrap();
        assert!(back == bytes, "another byte came back");
        drop(writing.await.unwrap());
    }

    /// Frames that a device or a stack found malformed, wrongly summed, or too large.
    fn refused(&self) -> u64 {
        let reasons = [DropReason::TcpCsum, DropReason::IpCsum, DropReason::PktTooBig, DropReason::PktTooSmall];
        let of_host = |host: &Host| reasons.iter().map(|&reason| host.counters().drops.get(reason)).sum::<u64>();
        of_host(&self.server) + of_host(&self.client)
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251) as u8).collect()
}

/// What a host may have, from nothing to everything.
fn choices() -> [Offloads; 6] {
    [
        Offloads::empty(),
        Offloads::TX_CHECKSUMMING | Offloads::RX_CHECKSUMMING,
        Offloads::TX_CHECKSUMMING | Offloads::TCP_SEGMENTATION,
        Offloads::GENERIC_RECEIVE,
        Offloads::GENERIC_SEGMENTATION | Offloads::GENERIC_RECEIVE,
        Offloads::all(),
    ]
}

#[wakeline::test]
async fn whatever_two_hosts_offload_the_bytes_arrive() {
    for server in choices() {
        for client in choices() {
            let pair = Pair::new(&Lan::with_seed(1), server, client, Netem::new());
            pair.echo(pattern(600_000)).await;
            assert_eq!(pair.refused(), 0, "{server:?} {client:?}");
        }
    }
}

/// A device that sums all that arrives, and compares nothing (`CHECKSUM_COMPLETE`): what was damaged is found all the same, by the stack. Streams,
/// with receive offload in software and by the device, and datagrams in pieces.
#[wakeline::test(start_paused = true)]
async fn a_device_that_only_sums_lets_nothing_damaged_through() {
    let sums = Offloads::TX_CHECKSUMMING | Offloads::RX_CHECKSUMMING;
    for offloads in [sums, sums | Offloads::GENERIC_RECEIVE, sums | Offloads::RX_GRO_HW] {
        let lan = Lan::with_seed(3);
        let link = Netem::new().delay(Duration::from_millis(1)).corrupt(0.02);
        let server = lan.host("server").nic(NicModel::Mlx5).offloads(offloads).build().unwrap();
        let client = lan.host("client").nic(NicModel::Mlx5).offloads(offloads).link(link).build().unwrap();
        let pair = Pair { server, client };
        pair.echo(pattern(300_000)).await;
        let [server, client] = [pair.server.counters(), pair.client.counters()];
        let damaged = [&server, &client].map(|it| it.stack.get(Mib::TcpInCsumErrors)).iter().sum::<u64>();
        assert!(damaged > 3, "{damaged} segments, {server:?}");
        assert_eq!(server.nic.rx_csum_offload_errors + client.nic.rx_csum_offload_errors, 0, "it compares nothing");
        let receiver = pair.server.run(UdpSocket::bind("[::]:9")).await.unwrap();
        let sender = pair.client.run(UdpSocket::bind("[::]:9")).await.unwrap();
        let mut arrived = 0;
        for ip in [pair.server.addrs()[0], *pair.server.addrs().iter().find(|addr| addr.is_ipv6()).unwrap()] {
            for _ in 0..20 {
                pair.client.run(sender.send_to(&pattern(4000), (ip, 9))).await.unwrap();
                let mut buf = vec![0; 9000];
                if let Ok(got) = timeout(Duration::from_secs(1), receiver.recv_from(&mut buf)).await {
                    assert!(buf[..got.unwrap().0] == pattern(4000));
                    arrived += 1;
                }
            }
        }
        assert!((20..40).contains(&arrived), "{arrived} of 40 datagrams, of which some were damaged");
    }
}

#[wakeline::test(start_paused = true)]
async fn they_arrive_over_a_link_that_loses_too() {
    let link = Netem::new().delay(Duration::from_millis(2)).loss(0.02);
    for offloads in choices() {
        let pair = Pair::new(&Lan::with_seed(7), offloads, Offloads::all(), link);
        pair.echo(pattern(300_000)).await;
        let segments = pair.client.counters().stack.get(Mib::TcpOutSegs);
        assert!(segments > 200, "each of {segments} segments had its own fate on the wire");
    }
}

#[wakeline::test]
async fn a_super_segment_is_one_frame_between_devices_that_offload() {
    let frames = async |server| {
        let pair = Pair::new(&Lan::with_seed(1), server, Offloads::all(), Netem::new());
        pair.echo(pattern(600_000)).await;
        pair.server.counters().nic.rx_packets
    };
    let (whole, cut) = (frames(Offloads::all()).await, frames(Offloads::empty()).await);
    assert!(whole * 5 < cut, "{whole} super-segments, {cut} frames");
}

/// `rx-gro-hw` where every frame is real: 12 us apart on a line of 1 Gbit/s, so that a device that interrupts at each of them has nothing
/// to put together, and one that waits for 200 us has about 16.
#[wakeline::test(start_paused = true)]
async fn a_device_puts_together_what_comes_before_it_interrupts() {
    let merged = async |coalesce: Coalesce| {
        let receiver = Offloads::RX_CHECKSUMMING | Offloads::RX_GRO_HW;
        let link = Netem::new().rate(1_000_000_000);
        let pair = Pair::new(&Lan::with_seed(1), receiver, Offloads::GENERIC_SEGMENTATION, link);
        pair.server.set_coalesce(coalesce).unwrap();
        pair.echo(pattern(600_000)).await;
        // The last acknowledgements are under way.
        sleep(Duration::from_secs(1)).await;
        let (sent, got) = (pair.client.counters().nic, pair.server.counters().nic);
        assert_eq!(got.rx_packets - got.rx_gro_skbs + got.rx_gro_packets, sent.tx_packets, "{got:?}");
        assert_eq!((pair.refused(), pair.client.counters().stack.get(Mib::TcpRetransSegs)), (0, 0));
        (got.rx_gro_packets, got.rx_gro_skbs)
    };
    assert_eq!(merged(Coalesce::default()).await, (0, 0));
    let (segments, packets) = merged(Coalesce { rx_usecs: 200, rx_frames: 0, adaptive_rx: false }).await;
    assert!(segments > 300 && packets * 4 < segments, "{segments} segments in {packets}");
}

/// On a link that loses nothing, nothing is lost in the queues of the hosts, and nothing is sent twice.
#[wakeline::test(start_paused = true)]
async fn a_plain_link_brings_everything_at_the_first_time() {
    let large = |host: HostBuilder| host.tcp_buffers(8 << 20, 4 << 20);
    let usual = |host: HostBuilder| host;
    for (offloads, buffers) in choices().into_iter().flat_map(|it| [(it, usual as fn(_) -> _), (it, large)]) {
        let lan = Lan::with_seed(1);
        let host = |name| buffers(lan.host(name).offloads(offloads)).build().unwrap();
        let (server, client) = (host("server"), host("client"));
        let listener = server.run(TcpListener::bind("[::]:7000")).await.unwrap();
        let receiving = server.spawn(async move {
            let (mut v4, _) = listener.accept().await.unwrap();
            let (mut v6, _) = listener.accept().await.unwrap();
            let (mut bytes_v4, mut bytes_v6) = (Vec::new(), Vec::new());
            v4.read_to_end(&mut bytes_v4).await.unwrap();
            v6.read_to_end(&mut bytes_v6).await.unwrap();
            (bytes_v4, bytes_v6)
        });
        let bytes = pattern(3_000_000);
        for addr in [server.addrs()[0], *server.addrs().iter().find(|addr| addr.is_ipv6()).unwrap()] {
            let mut stream = client.run(TcpStream::connect((addr, 7000))).await.unwrap();
            let bytes = bytes.clone();
            drop(client.spawn(async move { stream.write_all(&bytes).await }));
        }
        let (bytes_v4, bytes_v6) = receiving.await.unwrap();
        assert!(bytes_v4 == bytes && bytes_v6 == bytes, "{offloads:?}");
        for counters in [client.counters(), server.counters()] {
            assert_eq!(counters.stack.get(Mib::TcpRetransSegs), 0, "{offloads:?}: {counters:?}");
            assert_eq!((counters.drops.total(), counters.nic.tx_dropped), (0, 0), "{offloads:?}: {counters:?}");
        }
    }
}

/// A program behind a raw port sees frames as they are on the wire: no longer than the MTU, with their checksums.
#[wakeline::test]
async fn a_raw_port_sees_real_frames() {
    let lan = Lan::with_seed(1);
    let host = lan.host("host").offloads(Offloads::all()).build().unwrap();
    let port = lan.raw_port().unwrap();
    let socket = host.run(UdpSocket::bind("0.0.0.0:9")).await.unwrap();
    let payload = [0xab; 32];
    socket.set_broadcast(true).unwrap();
    host.run(socket.send_to(&payload, "255.255.255.255:7")).await.unwrap();
    let frame = port.recv().await;
    let datagram = &frame[34..];
    let mut sum = u32::from(u16::from_be_bytes([0, 17])) + datagram.len() as u32;
    for pair in frame[26..34].chunks(2).chain(datagram.chunks(2)) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    assert_eq!(sum, 0xffff, "{frame:02x?}");
}

#[wakeline::test]
async fn large_packets_go_where_they_fit() {
    let lan = Lan::with_seed(1);
    let client = lan.host("client").mtu(9000).build().unwrap();
    let other = lan.host("other").mtu(9000).build().unwrap();
    let pair = Pair { server: lan.host("server").build().unwrap(), client };
    let sender = pair.client.run(UdpSocket::bind("0.0.0.0:9")).await.unwrap();
    let receiver = other.run(UdpSocket::bind("0.0.0.0:9")).await.unwrap();
    let datagram = pattern(8972);
    pair.client.run(sender.send_to(&datagram, "other:9")).await.unwrap();
    let mut buf = vec![0; 9000];
    let (n, _) = receiver.recv_from(&mut buf).await.unwrap();
    assert!(buf[..n] == datagram);
    pair.client.run(sender.send_to(&pattern(8973), "other:9")).await.unwrap();
    assert_eq!(receiver.recv_from(&mut buf).await.unwrap().0, 8973, "in two pieces");
    // TCP finds the smaller MTU by itself; a datagram does not, and the device of the other host loses it.
    pair.echo(pattern(100_000)).await;
    assert_eq!(pair.refused(), 0);
    pair.client.run(sender.send_to(&datagram, "server:9")).await.unwrap();
    assert_eq!(pair.server.counters().nic.rx_length_errors, 1);
    assert!(lan.host("none").mtu(1000).build().is_err());
}
