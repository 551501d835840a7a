//! The herd over the emulated network: the same ways, and tasks.

use super::{Count, PATIENCE, SLEEPERS, Way, threads};
use crate::server::{self, COUNTS, counted, progress};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;
use wakeline::net::blocking::{TcpListener, TcpStream, UdpSocket};
use wakeline::net::emulated::{Host, Lan};
use wakeline::net::epoll::{Ctl, Epoll, EpollFlags, Event};
use wakeline::net::poll::{Events, PollFd, poll_blocking};
use wakeline::runtime::Builder;

const fn way(name: &'static str, title: &'static str, entry: &'static str, run: fn() -> io::Result<Count>) -> Way {
    Way { name, network: "emulated", title, entry, run }
}

pub(super) const WAYS: &[Way] = &[
    way("emulated-accept", "accept on one listener", "thread, exclusive", accept),
    way("emulated-udp", "receive on one UDP socket", "thread, exclusive", udp),
    way("emulated-tcp", "read on one connection", "thread, not exclusive", tcp),
    way("emulated-poll", "poll of one socket", "the thread's waker, not exclusive", polled),
    way("emulated-epoll-each", "an epoll each", "ep_poll_callback, not exclusive", || each(EpollFlags::IN)),
    way("emulated-epoll-exclusive", "an epoll each, EXCLUSIVE", "ep_poll_callback, exclusive", || {
        each(EpollFlags::IN | EpollFlags::EXCLUSIVE)
    }),
    way(
        "emulated-epoll-lt",
        "one epoll for all, level-triggered",
        "one ep_poll_callback; threads, exclusive, on the epoll",
        || shared(EpollFlags::IN),
    ),
    way(
        "emulated-epoll-et",
        "one epoll for all, edge-triggered",
        "one ep_poll_callback; threads, exclusive, on the epoll",
        || shared(EpollFlags::IN | EpollFlags::ET),
    ),
    way("emulated-tasks-accept", "tasks: accept on one listener", "a task's Waker, exclusive", tasks_accept),
    way("emulated-tasks-udp", "tasks: receive on one UDP socket", "a task's Waker, exclusive", tasks_udp),
];

const PORT: u16 = 7000;
const ANY: (Ipv4Addr, u16) = (Ipv4Addr::UNSPECIFIED, PORT);

fn hosts() -> io::Result<(Host, Host)> {
    let lan = Lan::with_seed(1);
    Ok((lan.host("server").build_threaded()?, lan.host("client").build_threaded()?))
}

fn on<T>(host: &Host, open: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let _here = host.enter();
    open()
}

fn accept() -> io::Result<Count> {
    let (server, client) = hosts()?;
    let listener = Arc::new(on(&server, || TcpListener::bind(ANY))?);
    let wait = |_| {
        let listener = listener.clone();
        Ok(move || listener.accept().map(|_| true))
    };
    threads(wait, || on(&client, || TcpStream::connect((server.addr(), PORT)).map(drop)))
}

/// A socket that receives, and what sends it a datagram.
fn datagrams() -> io::Result<(Arc<UdpSocket>, impl Fn() -> io::Result<()>)> {
    let (server, client) = hosts()?;
    let receiver = on(&server, || UdpSocket::bind(ANY))?;
    let sender = on(&client, || UdpSocket::bind(ANY))?;
    let target = SocketAddr::new(server.addr(), PORT);
    Ok((Arc::new(receiver), move || sender.send_to(&[1], target).map(drop)))
}

fn udp() -> io::Result<Count> {
    let (receiver, send) = datagrams()?;
    let wait = |_| {
        let receiver = receiver.clone();
        Ok(move || receiver.recv(&mut [0]).map(|_| true))
    };
    // By reference: a host goes with its last socket, and a datagram that waits for ARP with it.
    threads(wait, &send)
}

fn tcp() -> io::Result<Count> {
    let (server, client) = hosts()?;
    let listener = on(&server, || TcpListener::bind(ANY))?;
    let mut sender = on(&client, || TcpStream::connect((server.addr(), PORT)))?;
    let (receiver, _) = listener.accept()?;
    let wait = |_| {
        let mut receiver = receiver.try_clone()?;
        Ok(move || receiver.read(&mut [0]).map(|_| true))
    };
    threads(wait, || sender.write_all(&[1]))
}

/// Who was told takes it, if it is still there. The socket would block; so one at a time looks before it reads.
fn take(receiver: &UdpSocket) -> io::Result<bool> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    sleep(PATIENCE);
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let ready = poll_blocking(&mut [PollFd::new(receiver, Events::IN)], Some(Duration::ZERO))?;
    if ready > 0 {
        receiver.recv(&mut [0])?;
    }
    Ok(ready > 0)
}

fn polled() -> io::Result<Count> {
    let (receiver, send) = datagrams()?;
    let wait = |_| {
        let receiver = receiver.clone();
        Ok(move || {
            poll_blocking(&mut [PollFd::new(&*receiver, Events::IN)], None)?;
            take(&receiver)
        })
    };
    threads(wait, &send)
}

fn each(interest: EpollFlags) -> io::Result<Count> {
    let epolls = (0..SLEEPERS).map(|_| Epoll::new().map(Arc::new)).collect::<io::Result<Vec<_>>>()?;
    epolled(&epolls, interest)
}

fn shared(interest: EpollFlags) -> io::Result<Count> {
    epolled(&[Arc::new(Epoll::new()?)], interest)
}

/// Each sleeper waits on one of `epolls`, all of which watch the same socket.
fn epolled(epolls: &[Arc<Epoll>], interest: EpollFlags) -> io::Result<Count> {
    let (receiver, send) = datagrams()?;
    for epoll in epolls {
        epoll.ctl(&*receiver, Ctl::Add(Event::new(interest, 0)))?;
    }
    let wait = |number: usize| {
        let (epoll, receiver) = (epolls[number % epolls.len()].clone(), receiver.clone());
        Ok(move || {
            epoll.wait_blocking(&mut [Event::default()], None)?;
            take(&receiver)
        })
    };
    threads(wait, &send)
}

/// Tasks of one worker instead of threads; woken is who was polled again.
fn tasks_accept() -> io::Result<Count> {
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let lan = Lan::with_seed(1);
        let (server, client) = (lan.host("server").build()?, lan.host("client").build()?);
        let listener = Arc::new(server.run(wakeline::net::TcpListener::bind(ANY)).await?);
        for _ in 0..SLEEPERS {
            let listener = listener.clone();
            drop(wakeline::spawn(counted(async move {
                let accepted = listener.accept().await;
                progress();
                accepted
            })));
        }
        let target = SocketAddr::new(server.addr(), PORT);
        woken_by(client.run(wakeline::net::TcpStream::connect(target))).await
    })
}

fn tasks_udp() -> io::Result<Count> {
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let lan = Lan::with_seed(1);
        let (server, client) = (lan.host("server").build()?, lan.host("client").build()?);
        let receiver = Arc::new(server.run(wakeline::net::UdpSocket::bind(ANY)).await?);
        let sender = client.run(wakeline::net::UdpSocket::bind(ANY)).await?;
        for _ in 0..SLEEPERS {
            let receiver = receiver.clone();
            drop(wakeline::spawn(counted(async move {
                let received = receiver.recv(&mut [0]).await;
                progress();
                received
            })));
        }
        woken_by(sender.send_to(&[1], SocketAddr::new(server.addr(), PORT))).await
    })
}

/// How often tasks were polled again because of `event`, and how many of these polls got something.
async fn woken_by<T>(event: impl Future<Output = io::Result<T>>) -> io::Result<Count> {
    wakeline::time::sleep(PATIENCE).await;
    let before = server::answer(COUNTS)?;
    let kept = event.await?;
    wakeline::time::sleep(PATIENCE).await;
    let counts = server::answer(COUNTS)?.since(&before);
    drop(kept);
    let (woken, spurious) = (counts.get("returns")? as u64, counts.get("spurious")? as u64);
    Ok(Count { woken, useful: woken - spurious })
}
