//! Two threads that each wait for half of all connections at once: with the emulated `select`, with the emulated `poll`. A third
//! accepts, and rings at the thread to which it gives a connection: with a datagram over the host's own loopback.

use super::host_and_listener;
use crate::connection::{Amount, Connection, Turn, buffer};
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
type Wait = fn(&UdpSocket, &Slab<Connection<TcpStream>>, ready: &mut Vec<usize>) -> io::Result<bool>;

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
        self.give.send(stream).map_err(|_| io::Error::other("a thread of the pool has ended"))?;
        self.bell.send_to(&[1], self.rings_at).map(drop)
    }
}

fn turn_forever(wait: Wait, given: &Receiver<TcpStream>, bell: &UdpSocket) -> io::Result<()> {
    let (mut connections, mut ready, mut buf) = (Slab::new(), Vec::new(), buffer());
    loop {
        ready.clear();
        let mut is_useful = wait(bell, &connections, &mut ready)?;
        if is_useful {
            bell.recv(&mut [0])?;
            // A ring may have been lost when many came at once: whoever is there is taken.
            for stream in given.try_iter() {
                connections.insert(Connection::new(stream)?);
            }
        }
        for &key in &ready {
            match connections[key].turn(Amount::Once, &mut buf) {
                Turn::Waits { got, .. } => is_useful |= got,
                Turn::Closed => {
                    is_useful = true;
                    connections.remove(key);
                }
            }
        }
        returned(is_useful);
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
