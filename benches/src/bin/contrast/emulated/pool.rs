//! The pool with the emulated `select`, and with the emulated `poll`; a third thread accepts. Its bell is a datagram over the host's
//! own loopback.

use super::host_and_listener;
use crate::connection::Connection;
use crate::pool::{Bell, Pool, Wait};
use slab::Slab;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread::Builder;
use wakeline::net::blocking::{TcpStream, UdpSocket};
use wakeline::net::emulated::{Host, Lan};
use wakeline::net::poll::{Events, FdSet, PollFd, poll_blocking, select_blocking};

pub(crate) fn with_select(lan: &Lan) -> io::Result<Host> {
    serve(lan, select)
}

pub(crate) fn with_poll(lan: &Lan) -> io::Result<Host> {
    serve(lan, poll)
}

fn serve(lan: &Lan, wait: Wait<UdpSocket, TcpStream>) -> io::Result<Host> {
    let (host, listener) = host_and_listener(lan)?;
    let mut pool = {
        let _here = host.enter();
        Pool::start(wait)?
    };
    Builder::new().spawn(move || -> io::Result<()> {
        loop {
            pool.give(listener.accept()?.0)?;
        }
    })?;
    Ok(host)
}

impl Bell for UdpSocket {
    type Button = (UdpSocket, SocketAddr);

    fn new() -> io::Result<((UdpSocket, SocketAddr), UdpSocket)> {
        let bell = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let rings_at = bell.local_addr()?;
        Ok(((UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?, rings_at), bell))
    }

    fn ring((from, to): &(UdpSocket, SocketAddr)) -> io::Result<()> {
        from.send_to(&[1], *to).map(drop)
    }

    fn hush(&self) -> io::Result<()> {
        self.recv(&mut [0]).map(drop)
    }
}

fn select(bell: &UdpSocket, connections: &Slab<Connection<TcpStream>>, ready: &mut Vec<usize>) -> io::Result<bool> {
    let (mut read, mut write) = (FdSet::new(), FdSet::new());
    read.set(bell)?;
    for (_, connection) in connections {
        if connection.reads() { &mut read } else { &mut write }.set(connection.stream())?;
    }
    select_blocking(Some(&mut read), Some(&mut write), None, None)?;
    let holds =
        |connection: &Connection<TcpStream>| read.is_set(connection.stream()) || write.is_set(connection.stream());
    ready.extend(connections.iter().filter(|(_, connection)| holds(connection)).map(|(key, _)| key));
    Ok(read.is_set(bell))
}

fn poll(bell: &UdpSocket, connections: &Slab<Connection<TcpStream>>, ready: &mut Vec<usize>) -> io::Result<bool> {
    let wants = |connection: &Connection<TcpStream>| if connection.reads() { Events::IN } else { Events::OUT };
    let mut fds = Vec::with_capacity(1 + connections.len());
    fds.push(PollFd::new(bell, Events::IN));
    fds.extend(connections.iter().map(|(_, connection)| PollFd::new(connection.stream(), wants(connection))));
    poll_blocking(&mut fds, None)?;
    ready.extend(connections.iter().zip(&fds[1..]).filter(|(_, fd)| !fd.revents.is_empty()).map(|((key, _), _)| key));
    Ok(!fds[0].revents.is_empty())
}
