//! The herd of tasks: one worker, and eight tasks that wait for the same thing. Woken is who was polled again, useful who has got
//! something by it.

use super::{Count, PATIENCE, SLEEPERS, Way};
use crate::server::{self, COUNTS, counted, progress};
use crate::tasks::{Receive, Serve};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use wakeline::net::emulated::{Host, Lan};
use wakeline_benches::contestant::{Contestant, Smol, Tokio, Wakeline};

const fn way(
    name: &'static str,
    network: &'static str,
    title: &'static str,
    entry: &'static str,
    run: fn() -> io::Result<Count>,
) -> Way {
    Way { name, network, title, entry, run }
}

const WAKER: &str = "a task's Waker, exclusive";
const EPOLL: &str = "ep_poll_callback; the Wakers stand in the runtime's own list";

pub(super) const WAYS: &[Way] = &[
    way("wakeline-accept", "os", "wakeline's tasks: accept on one listener", EPOLL, accept::<Wakeline>),
    way("wakeline-udp", "os", "wakeline's tasks: receive on one UDP socket", EPOLL, receive::<Wakeline>),
    way("tokio-accept", "os", "tokio's tasks: accept on one listener", EPOLL, accept::<Tokio>),
    way("tokio-udp", "os", "tokio's tasks: receive on one UDP socket", EPOLL, receive::<Tokio>),
    way("smol-accept", "os", "smol's tasks: accept on one listener", EPOLL, accept::<Smol>),
    way("smol-udp", "os", "smol's tasks: receive on one UDP socket", EPOLL, receive::<Smol>),
    way("tasks-accept", "emulated", "wakeline's tasks: accept on one listener", WAKER, emulated_accept),
    way("tasks-udp", "emulated", "wakeline's tasks: receive on one UDP socket", WAKER, emulated_receive),
];

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 7000);

fn accept<R: Serve>() -> io::Result<Count>
where
    R::Listener: Sync + 'static,
{
    R::new(1)?.block_on(async {
        let listener = R::bind(LOCAL).await?;
        let addr = R::addr(&listener)?;
        woken::<R, _, _, _>(listener, accepted::<R>, async { TcpStream::connect(addr) }).await
    })
}

async fn accepted<R: Serve>(listener: Arc<R::Listener>) -> io::Result<()>
where
    R::Listener: Sync,
{
    R::accept(&listener).await.map(drop)
}

fn receive<R: Receive>() -> io::Result<Count>
where
    R::Socket: 'static,
{
    R::new(1)?.block_on(async {
        let socket = R::bind_udp(LOCAL).await?;
        let addr = R::udp_addr(&socket)?;
        woken::<R, _, _, _>(socket, received::<R>, async { UdpSocket::bind(LOCAL)?.send_to(&[1], addr) }).await
    })
}

async fn received<R: Receive>(socket: Arc<R::Socket>) -> io::Result<()> {
    R::receive(&socket, &mut [0]).await.map(drop)
}

fn emulated_accept() -> io::Result<Count> {
    on_hosts(async |server, client| {
        let listener = server.run(Wakeline::bind(ANY)).await?;
        let connect = client.run(Wakeline::connect(SocketAddr::new(server.addr(), ANY.port())));
        woken::<Wakeline, _, _, _>(listener, accepted::<Wakeline>, connect).await
    })
}

fn emulated_receive() -> io::Result<Count> {
    on_hosts(async |server, client| {
        let socket = server.run(Wakeline::bind_udp(ANY)).await?;
        let sender = client.run(Wakeline::bind_udp(ANY)).await?;
        let send = sender.send_to(&[1], SocketAddr::new(server.addr(), ANY.port()));
        woken::<Wakeline, _, _, _>(socket, received::<Wakeline>, send).await
    })
}

fn on_hosts(herd: impl AsyncFnOnce(Host, Host) -> io::Result<Count>) -> io::Result<Count> {
    Wakeline::new(1)?.block_on(async {
        let lan = Lan::with_seed(1);
        herd(lan.host("server").build()?, lan.host("client").build()?).await
    })
}

/// Tasks that each `wait` for the same socket, and the `event`.
async fn woken<R: Contestant, S, W, T>(
    socket: S,
    wait: fn(Arc<S>) -> W,
    event: impl Future<Output = io::Result<T>>,
) -> io::Result<Count>
where
    W: Future<Output = io::Result<()>> + Send + 'static,
{
    let socket = Arc::new(socket);
    for _ in 0..SLEEPERS {
        let wait = wait(socket.clone());
        R::detach(R::spawn(counted(async move {
            let result = wait.await;
            progress();
            result
        })));
    }
    R::sleep(PATIENCE).await;
    let before = server::answer(COUNTS)?;
    // What it has opened stays open.
    let _kept = event.await?;
    R::sleep(PATIENCE).await;
    let counts = server::answer(COUNTS)?.since(&before);
    let (woken, spurious) = (counts.get("returns")? as u64, counts.get("spurious")? as u64);
    Ok(Count { woken, useful: woken - spurious })
}
