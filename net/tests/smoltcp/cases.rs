//! The cases. Each is run in both roles (our host serves and smoltcp asks, then the other way round) and over both families.

use crate::peer::Peer;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use wakeline_net::emulated::{Host, Lan, Netem};
use wakeline_net::{TcpListener, TcpStream};
use wakeline_runtime::{Builder, time};

const PORT: u16 = 7000;

/// A LAN with one host of ours and one of smoltcp's.
struct World {
    host: Host,
    peer: Peer,
    family: IpAddr,
}

/// What a case may change of a world.
#[derive(Clone, Copy)]
struct Setting {
    link: Netem,
    /// smoltcp's buffers.
    rx: usize,
    tx: usize,
    seed: u64,
}

const PLAIN: Setting = Setting { link: Netem::new(), rx: 64 << 10, tx: 64 << 10, seed: 1 };

/// Runs `case` over both families, each time in a new world.
fn over_both_families(setting: Setting, case: impl AsyncFn(&mut World)) {
    for family in [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()] {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).rng_seed(1).build().unwrap();
        runtime.block_on(async {
            let lan = Lan::with_seed(setting.seed);
            let host = lan.host("host").link(setting.link).build().unwrap();
            let peer = Peer::new(lan.raw_port().unwrap(), setting.rx, setting.tx);
            case(&mut World { host, peer, family }).await;
        });
    }
}

impl World {
    /// We serve: a connection with smoltcp, which asked for it.
    async fn accepted(&mut self) -> TcpStream {
        let listener = self.host.run(TcpListener::bind(SocketAddr::new(self.family, PORT))).await.unwrap();
        let accepting = self.host.spawn(async move { listener.accept().await.unwrap().0 });
        assert!(self.peer.connect(self.our_addr()).await);
        accepting.await.unwrap()
    }

    /// smoltcp serves: a connection with it that we asked for.
    async fn connected(&mut self) -> TcpStream {
        self.peer.listen(PORT);
        let connecting = self.host.spawn(TcpStream::connect(self.peer_addr()));
        self.peer.accept().await;
        connecting.await.unwrap().unwrap()
    }

    fn our_addr(&self) -> SocketAddr {
        let addrs = self.host.addrs();
        SocketAddr::new(*addrs.iter().find(|addr| addr.is_ipv4() == self.family.is_ipv4()).unwrap(), PORT)
    }

    fn peer_addr(&self) -> SocketAddr {
        SocketAddr::new(self.peer.addr(self.family), PORT)
    }
}

/// Runs `case` with a connection that smoltcp asked for, and with one that we asked for.
fn in_both_roles(setting: Setting, case: impl AsyncFn(&mut World, TcpStream)) {
    over_both_families(setting, async |world| {
        let stream = world.accepted().await;
        case(world, stream).await;
    });
    over_both_families(setting, async |world| {
        let stream = world.connected().await;
        case(world, stream).await;
    });
}

/// `len` bytes that repeat nowhere, the same each time.
fn pattern(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(len as u64).fill(&mut bytes);
    bytes
}

#[test]
fn requests_and_responses() {
    in_both_roles(PLAIN, async |world, mut stream| {
        let ours = world.host.spawn(async move {
            for round in 0..200_u8 {
                let mut request = [0; 100];
                stream.read_exact(&mut request).await.unwrap();
                assert_eq!(request, [round; 100]);
                stream.write_all(&[!round; 150]).await.unwrap();
            }
        });
        for round in 0..200_u8 {
            let mut response = [0; 150];
            world.peer.send_all(&[round; 100]).await;
            world.peer.receive_exact(&mut response).await;
            assert_eq!(response, [!round; 150]);
        }
        ours.await.unwrap();
    });
}

#[test]
fn bulk_in_each_direction() {
    in_both_roles(PLAIN, async |world, mut stream| {
        let ours = world.host.spawn(async move {
            let mut all = vec![0; 1 << 20];
            stream.read_exact(&mut all).await.unwrap();
            stream.write_all(&all).await.unwrap();
            stream.close().await.unwrap();
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        });
        world.peer.send_all(&pattern(1 << 20)).await;
        assert!(world.peer.receive_all().await == pattern(1 << 20));
        world.peer.close();
        world.peer.closed().await;
        ours.await.unwrap();
        assert_eq!(world.host.counters().drops.total(), 0, "{:?}", world.host.counters().drops);
    });
}

/// We close our direction, and what smoltcp sends then still arrives.
#[test]
fn we_close_one_direction() {
    in_both_roles(PLAIN, async |world, mut stream| {
        let ours = world.host.spawn(async move {
            stream.write_all(b"question").await.unwrap();
            stream.close().await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            answer
        });
        assert_eq!(world.peer.receive_all().await, b"question");
        world.peer.send_all(&pattern(200_000)).await;
        world.peer.close();
        world.peer.closed().await;
        assert!(ours.await.unwrap() == pattern(200_000));
    });
}

/// smoltcp closes its direction, and what we send then still arrives.
#[test]
fn the_peer_closes_one_direction() {
    in_both_roles(PLAIN, async |world, mut stream| {
        let ours = world.host.spawn(async move {
            let mut question = Vec::new();
            stream.read_to_end(&mut question).await.unwrap();
            assert_eq!(question, b"question");
            stream.write_all(&pattern(200_000)).await.unwrap();
            stream.close().await.unwrap();
        });
        world.peer.send_all(b"question").await;
        world.peer.close();
        assert!(world.peer.receive_all().await == pattern(200_000));
        world.peer.closed().await;
        ours.await.unwrap();
    });
}

#[test]
fn the_peer_resets() {
    in_both_roles(PLAIN, async |world, mut stream| {
        let ours = world.host.spawn(async move { stream.read(&mut [0]).await.unwrap_err().kind() });
        world.peer.idle(Duration::from_millis(50)).await;
        world.peer.socket().abort();
        world.peer.closed().await;
        assert_eq!(ours.await.unwrap(), ErrorKind::ConnectionReset);
    });
}

/// Data that its reader has closed upon is answered by a reset.
#[test]
fn we_reset() {
    in_both_roles(PLAIN, async |world, stream| {
        world.peer.send_all(b"nobody will read this").await;
        world.peer.idle(Duration::from_millis(50)).await;
        drop(stream);
        world.peer.closed().await;
        assert!(!world.peer.socket().can_recv());
        assert_eq!(world.host.counters().sockets, 0);
    });
}

#[test]
fn where_nobody_listens_connections_are_refused() {
    over_both_families(PLAIN, async |world| {
        assert!(!world.peer.connect(world.our_addr()).await);
        let refused = world.host.spawn(TcpStream::connect(world.peer_addr()));
        world.peer.idle(Duration::from_millis(50)).await;
        assert_eq!(refused.await.unwrap().unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

/// smoltcp does not read for ten seconds, and its window is closed; we probe it, and go on when it opens.
#[test]
fn the_peer_closes_its_window() {
    in_both_roles(Setting { rx: 4096, ..PLAIN }, async |world, mut stream| {
        let began = time::Instant::now();
        let ours = world.host.spawn(async move {
            stream.write_all(&pattern(100_000)).await.unwrap();
            stream.close().await.unwrap();
        });
        world.peer.idle(Duration::from_secs(10)).await;
        assert_eq!(world.peer.socket().recv_queue(), 4096);
        assert!(world.peer.receive_all().await == pattern(100_000));
        assert!(began.elapsed() < Duration::from_secs(60), "it took {:?}", began.elapsed());
        world.peer.close();
        world.peer.closed().await;
        ours.await.unwrap();
    });
}

/// We do not read for ten seconds, and our window is closed; smoltcp probes it, and goes on when it opens.
#[test]
fn we_close_our_window() {
    in_both_roles(PLAIN, async |world, mut stream| {
        let ours = world.host.spawn(async move {
            time::sleep(Duration::from_secs(10)).await;
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            all
        });
        let began = time::Instant::now();
        world.peer.send_all(&pattern(1 << 20)).await;
        assert!(began.elapsed() >= Duration::from_secs(10), "the window was never closed");
        world.peer.close();
        world.peer.closed().await;
        assert!(ours.await.unwrap() == pattern(1 << 20));
    });
}

/// Five per cent of all frames are lost, on a path of ten milliseconds, with ten seeds.
#[test]
fn what_is_lost_is_sent_again() {
    for seed in 0..10 {
        let link = Netem::new().delay(Duration::from_millis(5)).loss(0.05);
        in_both_roles(Setting { link, seed, ..PLAIN }, async |world, mut stream| {
            let ours = world.host.spawn(async move {
                let mut all = vec![0; 100_000];
                stream.read_exact(&mut all).await.unwrap();
                stream.write_all(&all).await.unwrap();
                stream.close().await.unwrap();
                assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
            });
            world.peer.send_all(&pattern(100_000)).await;
            assert!(world.peer.receive_all().await == pattern(100_000));
            world.peer.close();
            // smoltcp forgets the connection when its last acknowledgement is on its way; ours may have to ask for it again.
            world.peer.idle(Duration::from_secs(5)).await;
            ours.await.unwrap();
        });
    }
}
