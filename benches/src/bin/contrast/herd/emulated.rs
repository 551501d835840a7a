//! The herd over the emulated network.

use super::threads::{Net, Watch, Ways, datagram, take};
use super::{Count, SLEEPERS, Way};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use wakeline::net::blocking::{TcpListener, TcpStream, UdpSocket};
use wakeline::net::emulated::{Host, Lan};
use wakeline::net::epoll::{Ctl, Epoll, EpollFlags, Event};
use wakeline::net::fasync::{Fcntl, Process, SigSet, Signal};
use wakeline::net::poll::{Events, PollFd, poll_blocking};

pub(super) const WAYS: &[Way] = Ways::<Emulated>::ALL;

pub(super) const SIGNALS: &[Way] = &Ways::<Emulated>::signals(|| signalled(1), || signalled(SLEEPERS));

/// Two hosts.
struct Emulated {
    server: Host,
    client: Host,
}

const PORT: u16 = 7000;
const ANY: (Ipv4Addr, u16) = (Ipv4Addr::UNSPECIFIED, PORT);

fn on<T>(host: &Host, open: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let _here = host.enter();
    open()
}

impl Net for Emulated {
    const NAME: &'static str = "emulated";
    type Listener = TcpListener;
    type Stream = TcpStream;
    type Udp = UdpSocket;
    type Epoll = Epoll;

    fn new() -> io::Result<Emulated> {
        let lan = Lan::with_seed(1);
        Ok(Emulated { server: lan.host("server").build_threaded()?, client: lan.host("client").build_threaded()? })
    }

    fn listen(&self) -> io::Result<(TcpListener, SocketAddr)> {
        Ok((on(&self.server, || TcpListener::bind(ANY))?, SocketAddr::new(self.server.addr(), PORT)))
    }

    fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        on(&self.client, || TcpStream::connect(addr))
    }

    fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        listener.accept().map(|(stream, _)| stream)
    }

    fn try_clone(stream: &TcpStream) -> io::Result<TcpStream> {
        stream.try_clone()
    }

    fn datagrams(&self) -> io::Result<(UdpSocket, UdpSocket)> {
        let receiver = on(&self.server, || UdpSocket::bind(ANY))?;
        let sender = on(&self.client, || UdpSocket::bind(ANY))?;
        sender.connect((self.server.addr(), PORT))?;
        Ok((receiver, sender))
    }

    fn send(sender: &UdpSocket) -> io::Result<()> {
        sender.send(&[1]).map(drop)
    }

    fn receive(receiver: &UdpSocket) -> io::Result<()> {
        receiver.recv(&mut [0]).map(drop)
    }

    /// The socket would block; so one at a time looks before it reads.
    fn try_receive(receiver: &UdpSocket) -> io::Result<bool> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = poll_blocking(&mut [PollFd::new(receiver, Events::IN)], Some(Duration::ZERO))?;
        if ready > 0 {
            receiver.recv(&mut [0])?;
        }
        Ok(ready > 0)
    }

    fn poll(receiver: &UdpSocket) -> io::Result<()> {
        poll_blocking(&mut [PollFd::new(receiver, Events::IN)], None).map(drop)
    }

    fn epoll() -> io::Result<Epoll> {
        Epoll::new()
    }

    fn watch(epoll: &Epoll, receiver: &UdpSocket, watch: Watch) -> io::Result<()> {
        let flags = match watch {
            Watch::Level => EpollFlags::IN,
            Watch::Edge => EpollFlags::IN | EpollFlags::ET,
            Watch::Exclusive => EpollFlags::IN | EpollFlags::EXCLUSIVE,
        };
        epoll.ctl(receiver, Ctl::Add(Event::new(flags, 0)))
    }

    fn wait(epoll: &Epoll) -> io::Result<()> {
        epoll.wait_blocking(&mut [Event::default()], None).map(drop)
    }
}

/// The socket is owned by so many processes, at which the sleepers wait for its signal.
fn signalled(processes: usize) -> io::Result<Count> {
    let processes: Vec<_> = (0..processes).map(|_| Process::new("sleeper")).collect();
    datagram::<Emulated, _>(|receiver, number| {
        receiver.set_owner(&processes.iter().collect::<Vec<_>>())?;
        receiver.set_sig(Signal::rt(0))?;
        receiver.set_async(Some(0))?;
        let process = processes[number % processes.len()].clone();
        Ok(move || {
            let _ = process.sigwaitinfo(SigSet::all());
            take::<Emulated>(&receiver)
        })
    })
}
