//! Two threads that each wait for half of all connections at once: with the emulated `select`, with the emulated `poll`. A third
//! accepts, and rings at the thread to which it gives a connection: with a datagram over the host's own loopback.

use super::{echo_once, host_and_listener};
use crate::model::READ_MAX;
use crate::server::returned;
use slab::Slab;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Builder;
use wakeline::net::blocking::{TcpListener, TcpStream, UdpSocket};
use wakeline::net::emulated::{Host, Lan};
use wakeline::net::poll::{Events, FdSet, PollFd, poll_blocking, select_blocking};

/// Waits until something holds: puts the keys of connections that can go on into `ready`, and says whether the bell rings.
type Wait = fn(&UdpSocket, &Slab<TcpStream>, ready: &mut Vec<usize>) -> io::Result<bool>;

const THREADS: usize = 2;

pub(crate) fn with_select(lan: &Lan) -> io::Result<Host> {
    serve(lan, select)
}

pub(crate) fn with_poll(lan: &Lan) -> io::Result<Host> {
    serve(lan, poll)
}

fn serve(lan: &Lan, wait: Wait) -> io::Result<Host> {
    let (host, listener) = host_and_listener(lan)?;
    let threads = {
        let _here = host.enter();
        (0..THREADS).map(|_| Thread::start(wait)).collect::<io::Result<Vec<_>>>()?
    };
    Builder::new().spawn(move || accept(&listener, &threads))?;
    Ok(host)
}

fn accept(listener: &TcpListener, threads: &[Thread]) -> io::Result<()> {
    for turn in 0.. {
        let (stream, _) = listener.accept()?;
        returned(true);
        threads[turn % THREADS].give(stream)?;
    }
    Ok(())
}

/// One of the threads, seen from the one that accepts.
struct Thread {
    give: Sender<TcpStream>,
    bell: UdpSocket,
    rings_at: SocketAddr,
}

impl Thread {
    fn start(wait: Wait) -> io::Result<Thread> {
        let (give, given) = channel();
        let rings = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let rings_at = rings.local_addr()?;
        let bell = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        Builder::new().spawn(move || turn_forever(wait, &given, &rings))?;
        Ok(Thread { give, bell, rings_at })
    }

    fn give(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        self.give.send(stream).map_err(|_| io::Error::other("a thread of the pool has ended"))?;
        self.bell.send_to(&[1], self.rings_at).map(drop)
    }
}

fn turn_forever(wait: Wait, given: &Receiver<TcpStream>, bell: &UdpSocket) -> io::Result<()> {
    let (mut connections, mut ready, mut buf) = (Slab::new(), Vec::new(), [0; READ_MAX]);
    loop {
        ready.clear();
        let rings = wait(bell, &connections, &mut ready)?;
        returned(rings || !ready.is_empty());
        if rings {
            bell.recv(&mut [0])?;
            // A ring may have been lost when many came at once: whoever is there is taken.
            for stream in given.try_iter() {
                connections.insert(stream);
            }
        }
        for &key in &ready {
            if !echo_once(&mut connections[key], &mut buf) {
                connections.remove(key);
            }
        }
    }
}

fn select(bell: &UdpSocket, connections: &Slab<TcpStream>, ready: &mut Vec<usize>) -> io::Result<bool> {
    let mut read = FdSet::new();
    read.set(bell)?;
    for (_, connection) in connections {
        read.set(connection)?;
    }
    select_blocking(Some(&mut read), None, None, None)?;
    ready.extend(connections.iter().filter(|(_, connection)| read.is_set(*connection)).map(|(key, _)| key));
    Ok(read.is_set(bell))
}

fn poll(bell: &UdpSocket, connections: &Slab<TcpStream>, ready: &mut Vec<usize>) -> io::Result<bool> {
    let mut fds = Vec::with_capacity(1 + connections.len());
    fds.push(PollFd::new(bell, Events::IN));
    fds.extend(connections.iter().map(|(_, connection)| PollFd::new(connection, Events::IN)));
    poll_blocking(&mut fds, None)?;
    ready.extend(connections.iter().zip(&fds[1..]).filter(|(_, fd)| !fd.revents.is_empty()).map(|((key, _), _)| key));
    Ok(!fds[0].revents.is_empty())
}
