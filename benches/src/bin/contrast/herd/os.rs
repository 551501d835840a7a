//! The herd over the operating system's network.

use super::threads::{Net, Watch, Ways, datagram, take};
use super::{Count, PATIENCE, SLEEPERS, Way};
use crate::os::listen;
use crate::os::sigio::{Owner, Signals, signal_for};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io::{self, ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;

pub(super) const WAYS: &[Way] = Ways::<Os>::ALL;

pub(super) const SIGNALS: &[Way] = &Ways::<Os>::signals(signalled, signalled_group);

struct Os;

impl Net for Os {
    const NAME: &'static str = "os";
    type Listener = TcpListener;
    type Stream = TcpStream;
    type Udp = UdpSocket;
    type Epoll = Epoll;

    fn new() -> io::Result<Os> {
        Ok(Os)
    }

    fn listen(&self) -> io::Result<(TcpListener, SocketAddr)> {
        let listener = listen()?;
        let addr = listener.local_addr()?;
        Ok((listener, addr))
    }

    fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(addr)
    }

    fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        listener.accept().map(|(stream, _)| stream)
    }

    fn try_clone(stream: &TcpStream) -> io::Result<TcpStream> {
        stream.try_clone()
    }

    fn datagrams(&self) -> io::Result<(UdpSocket, UdpSocket)> {
        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        sender.connect(receiver.local_addr()?)?;
        Ok((receiver, sender))
    }

    fn send(sender: &UdpSocket) -> io::Result<()> {
        sender.send(&[1]).map(drop)
    }

    fn receive(receiver: &UdpSocket) -> io::Result<()> {
        receiver.recv(&mut [0]).map(drop)
    }

    fn try_receive(receiver: &UdpSocket) -> io::Result<bool> {
        receiver.set_nonblocking(true)?;
        match receiver.recv(&mut [0]) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn poll(receiver: &UdpSocket) -> io::Result<()> {
        poll(&mut [PollFd::new(receiver.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
        Ok(())
    }

    fn epoll() -> io::Result<Epoll> {
        Ok(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?)
    }

    fn watch(epoll: &Epoll, receiver: &UdpSocket, watch: Watch) -> io::Result<()> {
        let flags = match watch {
            Watch::Level => EpollFlags::EPOLLIN,
            Watch::Edge => EpollFlags::EPOLLIN | EpollFlags::EPOLLET,
            Watch::Exclusive => EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE,
        };
        Ok(epoll.add(receiver, EpollEvent::new(flags, 0))?)
    }

    fn wait(epoll: &Epoll) -> io::Result<()> {
        epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE)?;
        Ok(())
    }
}

/// The socket is owned by this process, whose threads all wait for its signal.
fn signalled() -> io::Result<Count> {
    let signals = Signals::blocked()?;
    datagram::<Os, _>(|receiver, _| {
        signal_for(&*receiver, Owner::Process)?;
        Ok(move || {
            signals.next()?;
            take::<Os>(&receiver)
        })
    })
}

/// The socket is owned by a group of processes, each of which waits for its signal and ends behind it.
fn signalled_group() -> io::Result<Count> {
    let (receiver, sender) = Os.datagrams()?;
    let mut group = 0;
    let mut sleepers = Vec::new();
    for _ in 0..SLEEPERS {
        let mut command = Command::new(std::env::current_exe()?);
        let socket = OwnedFd::from(receiver.try_clone()?);
        command.arg("herd-sleeper").stdin(socket).stdout(Stdio::piped()).process_group(group);
        let mut sleeper = command.spawn()?;
        group = sleepers.first().map_or(sleeper.id(), Child::id).cast_signed();
        // It tells when no signal can be missed any more.
        let told = sleeper.stdout.take().map(|mut stdout| stdout.read(&mut [0])).transpose()?;
        sleepers.push(sleeper);
        if told != Some(1) {
            return Err(io::Error::other("a sleeper has ended"));
        }
    }
    signal_for(&receiver, Owner::Group(group.cast_unsigned()))?;
    Os::send(&sender)?;
    sleep(4 * PATIENCE);
    let mut count = Count { woken: 0, useful: 0 };
    for mut sleeper in sleepers {
        if let Some(status) = sleeper.try_wait()? {
            count.woken += 1;
            count.useful += u64::from(status.success());
        }
        sleeper.kill()?;
        sleeper.wait()?;
    }
    Ok(count)
}

/// One of the processes; the socket is its standard input. Ends well when it has found something.
pub(crate) fn sleep_in_a_group() -> io::Result<()> {
    let signals = Signals::blocked()?;
    let receiver = UdpSocket::from(io::stdin().as_fd().try_clone_to_owned()?);
    println!();
    signals.next()?;
    std::process::exit(if take::<Os>(&receiver)? { 0 } else { 1 })
}
