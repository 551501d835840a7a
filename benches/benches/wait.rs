//! Criterion: what a way to wait costs by itself. One thread sends a datagram to one of many emulated sockets, is told in that way
//! which one has it, and reads it. It never sleeps, so that no scheduler of the operating system is in the figure.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wakeline::net::UdpSocket;
use wakeline::net::completion::Ring;
use wakeline::net::emulated::Host;
use wakeline::net::epoll::{Ctl, Epoll, EpollFlags, Event};
use wakeline::net::fasync::{Fcntl, Process, SigSet, Signal};
use wakeline::net::poll::{Events, FdSet, PollFd, poll, select};
use wakeline::runtime::Builder;
use wakeline::task::JoinSet;
use wakeline_benches::emulated_echo::hosts;

const SIZE: usize = 64;
const FIRST_PORT: u16 = 10_000;

/// Many receivers on one host, and who sends to the last of them from another.
struct Sockets {
    receivers: Vec<Arc<UdpSocket>>,
    sender: UdpSocket,
    last: SocketAddr,
    _hosts: (Host, Host),
}

impl Sockets {
    async fn new(n: u16) -> io::Result<Sockets> {
        let (server, client) = hosts()?;
        let mut receivers = Vec::new();
        for port in FIRST_PORT..FIRST_PORT + n {
            receivers.push(Arc::new(server.run(UdpSocket::bind(("0.0.0.0", port))).await?));
        }
        let sender = client.run(UdpSocket::bind("0.0.0.0:0")).await?;
        let last = SocketAddr::new(server.addr(), FIRST_PORT + n - 1);
        let sockets = Sockets { receivers, sender, last, _hosts: (server, client) };
        // So that the neighbour is known.
        sockets.send().await?;
        sockets.read(usize::from(n) - 1).await?;
        Ok(sockets)
    }

    async fn send(&self) -> io::Result<()> {
        self.sender.send_to(&[7; SIZE], self.last).await.map(drop)
    }

    async fn read(&self, which: usize) -> io::Result<()> {
        let (n, _) = self.receivers[which].recv_from(&mut [0; SIZE]).await?;
        assert_eq!(n, SIZE);
        Ok(())
    }
}

/// A task for each socket, of which all but one have nothing to do.
async fn by_task(sockets: &Sockets, iterations: u64) -> io::Result<Duration> {
    let (last, others) = sockets.receivers.split_last().expect("there is one");
    let mut waiting = JoinSet::new();
    for socket in others {
        let socket = socket.clone();
        waiting.spawn(async move { socket.recv_from(&mut [0; SIZE]).await });
    }
    wakeline::task::yield_now().await;
    let last = last.clone();
    let mine = wakeline::spawn(async move {
        for _ in 0..iterations {
            last.recv_from(&mut [0; SIZE]).await?;
        }
        Ok::<_, io::Error>(())
    });
    let began = Instant::now();
    for _ in 0..iterations {
        sockets.send().await?;
        // The task reads, and waits again.
        wakeline::task::yield_now().await;
    }
    mine.await.map_err(io::Error::other)??;
    Ok(began.elapsed())
}

async fn by_select(sockets: &Sockets, iterations: u64) -> io::Result<Duration> {
    let mut all = FdSet::new();
    sockets.receivers.iter().try_for_each(|socket| all.set(&**socket))?;
    let began = Instant::now();
    for _ in 0..iterations {
        sockets.send().await?;
        let mut ready = all.clone();
        select(Some(&mut ready), None, None).await?;
        let which = sockets.receivers.iter().position(|socket| ready.is_set(&**socket));
        sockets.read(which.expect("one is ready")).await?;
    }
    Ok(began.elapsed())
}

async fn by_poll(sockets: &Sockets, iterations: u64) -> io::Result<Duration> {
    let mut all: Vec<_> = sockets.receivers.iter().map(|socket| PollFd::new(&**socket, Events::IN)).collect();
    let began = Instant::now();
    for _ in 0..iterations {
        sockets.send().await?;
        poll(&mut all).await?;
        let which = all.iter().position(|fd| fd.revents.contains(Events::IN));
        sockets.read(which.expect("one is ready")).await?;
    }
    Ok(began.elapsed())
}

async fn by_epoll(sockets: &Sockets, iterations: u64, flags: EpollFlags) -> io::Result<Duration> {
    let epoll = Epoll::new()?;
    for (which, socket) in sockets.receivers.iter().enumerate() {
        epoll.ctl(&**socket, Ctl::Add(Event::new(flags, which as u64)))?;
    }
    let mut events = [Event::default(); 8];
    let began = Instant::now();
    for _ in 0..iterations {
        sockets.send().await?;
        epoll.wait(&mut events).await?;
        sockets.read(events[0].data as usize).await?;
    }
    Ok(began.elapsed())
}

async fn by_signal(sockets: &Sockets, iterations: u64) -> io::Result<Duration> {
    let process = Process::new("bench");
    for (which, socket) in sockets.receivers.iter().enumerate() {
        socket.set_owner(&[&process])?;
        socket.set_sig(Signal::rt(0))?;
        socket.set_async(Some(which as i32))?;
    }
    let began = Instant::now();
    for _ in 0..iterations {
        sockets.send().await?;
        let info = process.wait_signal(SigSet::all()).await;
        sockets.read(info.fd.expect("it comes from a socket") as usize).await?;
    }
    Ok(began.elapsed())
}

async fn by_completion(sockets: &Sockets, iterations: u64) -> io::Result<Duration> {
    let ring = Ring::new(sockets.receivers.len())?;
    for (which, socket) in sockets.receivers.iter().enumerate() {
        ring.recv_from(&**socket, vec![0; SIZE], which as u64)?;
    }
    let began = Instant::now();
    for _ in 0..iterations {
        sockets.send().await?;
        ring.wait(1).await?;
        let done = ring.pop().expect("one is done");
        assert_eq!(done.result?, SIZE);
        let buffer = done.buffer.expect("it comes back with its operation");
        ring.recv_from(&*sockets.receivers[done.user_data as usize], buffer, done.user_data)?;
    }
    Ok(began.elapsed())
}

/// Runs one way on a runtime of one worker, which is also both hosts' CPUs.
fn run(n: u16, way: impl AsyncFnOnce(&Sockets) -> io::Result<Duration>) -> Duration {
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime is built");
    let took = runtime.block_on(async { way(&Sockets::new(n).await?).await });
    took.expect("the datagrams arrive")
}

fn waits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one datagram for one of");
    group.sample_size(20).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
    for n in [1, 64, 512] {
        macro_rules! bench {
            ($name:literal, $way:expr) => {
                group.bench_function(BenchmarkId::new($name, n), |bencher| {
                    bencher.iter_custom(|iterations| run(n, async |sockets| $way(sockets, iterations).await));
                });
            };
        }
        bench!("task", by_task);
        bench!("select", by_select);
        bench!("poll", by_poll);
        bench!("epoll, level", |sockets, iterations| by_epoll(sockets, iterations, EpollFlags::IN));
        bench!("epoll, edge", |sockets, iterations| by_epoll(sockets, iterations, EpollFlags::IN | EpollFlags::ET));
        bench!("signal", by_signal);
        bench!("completion", by_completion);
    }
    group.finish();
}

criterion_group!(benches, waits);
criterion_main!(benches);
