//! The ways of threads, the same on both networks.

use super::{Count, PATIENCE, SLEEPERS, Way, threads};
use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::sleep;

/// The sockets of one of the networks, both ends of them.
pub(super) trait Net: Sized + 'static {
    const NAME: &'static str;
    type Listener: Send + Sync;
    type Stream: Read + Write + Send;
    type Udp: Send + Sync;
    type Epoll: Send + Sync;

    fn new() -> io::Result<Self>;

    fn listen(&self) -> io::Result<(Self::Listener, SocketAddr)>;
    fn connect(&self, addr: SocketAddr) -> io::Result<Self::Stream>;
    fn accept(listener: &Self::Listener) -> io::Result<Self::Stream>;
    fn try_clone(stream: &Self::Stream) -> io::Result<Self::Stream>;

    /// One that receives, and one whose [`send`](Net::send) goes to it.
    fn datagrams(&self) -> io::Result<(Self::Udp, Self::Udp)>;
    fn send(sender: &Self::Udp) -> io::Result<()>;
    /// Sleeps until there is a datagram, and takes it.
    fn receive(receiver: &Self::Udp) -> io::Result<()>;
    /// Takes a datagram, if there is one.
    fn try_receive(receiver: &Self::Udp) -> io::Result<bool>;
    /// Sleeps in `poll`.
    fn poll(receiver: &Self::Udp) -> io::Result<()>;

    fn epoll() -> io::Result<Self::Epoll>;
    fn watch(epoll: &Self::Epoll, receiver: &Self::Udp, watch: Watch) -> io::Result<()>;
    /// Sleeps on the epoll.
    fn wait(epoll: &Self::Epoll) -> io::Result<()>;
}

/// How an epoll watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    Level,
    Edge,
    Exclusive,
}

/// The ways on a network.
pub(super) struct Ways<N>(PhantomData<N>);

impl<N: Net> Ways<N> {
    pub(super) const ALL: &[Way] = &[
        Self::way("accept", "accept on one listener", "thread, exclusive", Self::accept),
        Self::way("udp", "receive on one UDP socket", "thread, exclusive", Self::udp),
        Self::way("tcp", "read on one connection", "thread, not exclusive", Self::tcp),
        Self::way("poll", "poll of one socket", "pollwake, not exclusive", Self::polled),
        Self::way("epoll-each", "an epoll each", "ep_poll_callback, not exclusive", || {
            Self::epolled(SLEEPERS, Watch::Level)
        }),
        Self::way("epoll-exclusive", "an epoll each, EPOLLEXCLUSIVE", "ep_poll_callback, exclusive", || {
            Self::epolled(SLEEPERS, Watch::Exclusive)
        }),
        Self::way("epoll-lt", "one epoll for all, level-triggered", ONE_EPOLL, || Self::epolled(1, Watch::Level)),
        Self::way("epoll-et", "one epoll for all, edge-triggered", ONE_EPOLL, || Self::epolled(1, Watch::Edge)),
    ];

    /// By signals: of one process for all, and of a process each.
    pub(super) const fn signals(one: fn() -> io::Result<Count>, each: fn() -> io::Result<Count>) -> [Way; 2] {
        let (to_one, to_each) = ("sigwaitinfo, one process for all", "sigwaitinfo, a process each");
        [
            Self::way("fasync-process", to_one, "none: a fasync list; threads, on the process's signals", one),
            Self::way("fasync-group", to_each, "none: a fasync list; threads, on their processes' signals", each),
        ]
    }

    const fn way(name: &'static str, title: &'static str, entry: &'static str, run: fn() -> io::Result<Count>) -> Way {
        Way { name, network: N::NAME, title, entry, run }
    }

    fn accept() -> io::Result<Count> {
        let net = N::new()?;
        let (listener, addr) = net.listen()?;
        let listener = Arc::new(listener);
        let wait = |_| {
            let listener = listener.clone();
            Ok(move || N::accept(&listener).map(|_| true))
        };
        threads(wait, || net.connect(addr).map(drop))
    }

    fn udp() -> io::Result<Count> {
        datagram::<N, _>(|receiver, _| Ok(move || N::receive(&receiver).map(|()| true)))
    }

    fn tcp() -> io::Result<Count> {
        let net = N::new()?;
        let (listener, addr) = net.listen()?;
        let mut sender = net.connect(addr)?;
        let receiver = N::accept(&listener)?;
        let wait = |_| {
            let mut receiver = N::try_clone(&receiver)?;
            Ok(move || receiver.read(&mut [0]).map(|_| true))
        };
        threads(wait, || sender.write_all(&[1]))
    }

    fn polled() -> io::Result<Count> {
        let wait = |receiver: Arc<N::Udp>, _| {
            Ok(move || {
                N::poll(&receiver)?;
                take::<N>(&receiver)
            })
        };
        datagram::<N, _>(wait)
    }

    /// Each sleeper waits on one of so many epolls, all of which watch the same socket.
    fn epolled(epolls: usize, watch: Watch) -> io::Result<Count> {
        let epolls = (0..epolls).map(|_| N::epoll().map(Arc::new)).collect::<io::Result<Vec<_>>>()?;
        let wait = |receiver: Arc<N::Udp>, number: usize| {
            let epoll = epolls[number % epolls.len()].clone();
            if number < epolls.len() {
                N::watch(&epoll, &receiver, watch)?;
            }
            Ok(move || {
                N::wait(&epoll)?;
                take::<N>(&receiver)
            })
        };
        datagram::<N, _>(wait)
    }
}

const ONE_EPOLL: &str = "one ep_poll_callback; threads, exclusive, on the epoll";

/// Sleepers at one socket, and a datagram.
pub(super) fn datagram<N: Net, W>(wait: impl Fn(Arc<N::Udp>, usize) -> io::Result<W>) -> io::Result<Count>
where
    W: FnOnce() -> io::Result<bool> + Send + 'static,
{
    let net = N::new()?;
    let (receiver, sender) = net.datagrams()?;
    let receiver = Arc::new(receiver);
    threads(|number| wait(receiver.clone(), number), || N::send(&sender))
}

/// Who was told takes it, if it is still there.
pub(super) fn take<N: Net>(receiver: &N::Udp) -> io::Result<bool> {
    sleep(PATIENCE);
    N::try_receive(receiver)
}
