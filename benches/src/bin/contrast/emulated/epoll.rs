//! One thread, one emulated epoll: level-triggered and edge-triggered.

use super::host_and_listener;
use crate::connection::{Amount, Connection, Turn, buffer};
use crate::server::returned;
use slab::Slab;
use std::io;
use std::thread::Builder;
use wakeline::net::blocking::{TcpListener, TcpStream};
use wakeline::net::emulated::{Host, Lan};
use wakeline::net::epoll::{Ctl, Epoll, EpollFlags, Event};

pub(crate) fn level_triggered(lan: &Lan) -> io::Result<Host> {
    serve(lan, false)
}

pub(crate) fn edge_triggered(lan: &Lan) -> io::Result<Host> {
    serve(lan, true)
}

fn serve(lan: &Lan, is_edge: bool) -> io::Result<Host> {
    let (host, listener) = host_and_listener(lan)?;
    listener.set_nonblocking(true)?;
    Builder::new().spawn(move || Loop::new(is_edge)?.turn_forever(&listener))?;
    Ok(host)
}

struct Loop {
    epoll: Epoll,
    is_edge: bool,
    connections: Slab<(Connection<TcpStream>, EpollFlags)>,
    buf: Vec<u8>,
}

const LISTENER: u64 = u64::MAX;
const EVENTS_MAX: usize = 1024;

impl Loop {
    fn new(is_edge: bool) -> io::Result<Loop> {
        Ok(Loop { epoll: Epoll::new()?, is_edge, connections: Slab::new(), buf: buffer() })
    }

    fn turn_forever(&mut self, listener: &TcpListener) -> io::Result<()> {
        self.epoll.ctl(listener, Ctl::Add(Event::new(EpollFlags::IN, LISTENER)))?;
        let mut events = vec![Event::default(); EVENTS_MAX];
        loop {
            let told = self.epoll.wait_blocking(&mut events, None)?;
            let mut is_useful = false;
            for event in &events[..told] {
                is_useful |= match event.data {
                    LISTENER => self.accept(listener)?,
                    key => self.turn(key as usize)?,
                };
            }
            returned(is_useful);
        }
    }

    fn accept(&mut self, listener: &TcpListener) -> io::Result<bool> {
        let mut is_useful = false;
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    let entry = self.connections.vacant_entry();
                    // An edge tells of room, too, and so needs no change later.
                    let interest =
                        if self.is_edge { EpollFlags::IN | EpollFlags::OUT | EpollFlags::ET } else { EpollFlags::IN };
                    let connection = Connection::new(stream)?;
                    self.epoll.ctl(connection.stream(), Ctl::Add(Event::new(interest, entry.key() as u64)))?;
                    entry.insert((connection, interest));
                    is_useful = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(is_useful),
                Err(error) => return Err(error),
            }
        }
    }

    fn turn(&mut self, key: usize) -> io::Result<bool> {
        // Its last event may stand behind the one at which it was closed.
        let Some((connection, interest)) = self.connections.get_mut(key) else { return Ok(false) };
        let amount = if self.is_edge { Amount::All } else { Amount::Once };
        match connection.turn(amount, &mut self.buf) {
            Turn::Closed => {
                self.connections.remove(key);
                Ok(true)
            }
            Turn::Waits { got, .. } if self.is_edge => Ok(got),
            Turn::Waits { readable, got } => {
                let wanted = if readable { EpollFlags::IN } else { EpollFlags::OUT };
                if wanted != *interest {
                    *interest = wanted;
                    self.epoll.ctl(connection.stream(), Ctl::Mod(Event::new(wanted, key as u64)))?;
                }
                Ok(got)
            }
        }
    }
}
