//! The herd over the operating system's network.

use super::{Count, PATIENCE, SLEEPERS, Way, threads};
use crate::os::listen;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::sleep;

const fn way(name: &'static str, title: &'static str, entry: &'static str, run: fn() -> io::Result<Count>) -> Way {
    Way { name, network: "os", title, entry, run }
}

pub(super) const WAYS: &[Way] = &[
    way("os-accept", "accept on one listener", "thread, exclusive", accept),
    way("os-udp", "receive on one UDP socket", "thread, exclusive", udp),
    way("os-tcp", "read on one connection", "thread, not exclusive", tcp),
    way("os-poll", "poll of one socket", "pollwake, not exclusive", polled),
    way("os-epoll-each", "an epoll each", "ep_poll_callback, not exclusive", || each(EpollFlags::EPOLLIN)),
    way("os-epoll-exclusive", "an epoll each, EPOLLEXCLUSIVE", "ep_poll_callback, exclusive", || {
        each(EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE)
    }),
    way(
        "os-epoll-lt",
        "one epoll for all, level-triggered",
        "one ep_poll_callback; threads, exclusive, on the epoll",
        || shared(EpollFlags::EPOLLIN),
    ),
    way(
        "os-epoll-et",
        "one epoll for all, edge-triggered",
        "one ep_poll_callback; threads, exclusive, on the epoll",
        || shared(EpollFlags::EPOLLIN | EpollFlags::EPOLLET),
    ),
];

fn accept() -> io::Result<Count> {
    let listener = Arc::new(listen()?);
    let addr = listener.local_addr()?;
    let wait = |_| {
        let listener = listener.clone();
        Ok(move || listener.accept().map(|_| true))
    };
    threads(wait, || TcpStream::connect(addr).map(drop))
}

/// Two ends of a datagram socket over loopback.
fn datagrams() -> io::Result<(Arc<UdpSocket>, UdpSocket)> {
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    sender.connect(receiver.local_addr()?)?;
    Ok((Arc::new(receiver), sender))
}

fn udp() -> io::Result<Count> {
    let (receiver, sender) = datagrams()?;
    let wait = |_| {
        let receiver = receiver.clone();
        Ok(move || receiver.recv(&mut [0]).map(|_| true))
    };
    threads(wait, || sender.send(&[1]).map(drop))
}

fn tcp() -> io::Result<Count> {
    let listener = listen()?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    let (receiver, _) = listener.accept()?;
    let wait = |_| {
        let mut receiver = receiver.try_clone()?;
        Ok(move || receiver.read(&mut [0]).map(|_| true))
    };
    threads(wait, || sender.write_all(&[1]))
}

/// Who was told takes it, if it is still there.
fn take(receiver: &UdpSocket) -> bool {
    sleep(PATIENCE);
    receiver.recv(&mut [0]).is_ok()
}

fn polled() -> io::Result<Count> {
    let (receiver, sender) = datagrams()?;
    receiver.set_nonblocking(true)?;
    let wait = |_| {
        let receiver = receiver.clone();
        Ok(move || {
            poll(&mut [PollFd::new(receiver.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
            Ok(take(&receiver))
        })
    };
    threads(wait, || sender.send(&[1]).map(drop))
}

fn each(interest: EpollFlags) -> io::Result<Count> {
    let epoll = || Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map(Arc::new);
    let epolls = (0..SLEEPERS).map(|_| epoll()).collect::<Result<Vec<_>, _>>()?;
    epolled(&epolls, interest)
}

fn shared(interest: EpollFlags) -> io::Result<Count> {
    epolled(&[Arc::new(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?)], interest)
}

/// Each sleeper waits on one of `epolls`, all of which watch the same socket.
fn epolled(epolls: &[Arc<Epoll>], interest: EpollFlags) -> io::Result<Count> {
    let (receiver, sender) = datagrams()?;
    receiver.set_nonblocking(true)?;
    for epoll in epolls {
        epoll.add(&*receiver, EpollEvent::new(interest, 0))?;
    }
    let wait = |number: usize| {
        let (epoll, receiver) = (epolls[number % epolls.len()].clone(), receiver.clone());
        Ok(move || {
            epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE)?;
            Ok(take(&receiver))
        })
    };
    threads(wait, || sender.send(&[1]).map(drop))
}
