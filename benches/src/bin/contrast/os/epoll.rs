//! One thread, one epoll: level-triggered and edge-triggered.

use super::connection::{Amount, Connection, Turn, buffer};
use super::listen;
use crate::server::returned;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use slab::Slab;
use std::io;
use std::net::{SocketAddr, TcpListener};

pub(crate) fn level_triggered(ready: &mut dyn FnMut(SocketAddr)) -> io::Result<()> {
    Loop::new(false)?.serve(ready)
}

pub(crate) fn edge_triggered(ready: &mut dyn FnMut(SocketAddr)) -> io::Result<()> {
    Loop::new(true)?.serve(ready)
}

struct Loop {
    epoll: Epoll,
    is_edge: bool,
    connections: Slab<(Connection, EpollFlags)>,
    buf: Vec<u8>,
}

const LISTENER: u64 = u64::MAX;
const EVENTS_MAX: usize = 1024;

impl Loop {
    fn new(is_edge: bool) -> io::Result<Loop> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Loop { epoll, is_edge, connections: Slab::new(), buf: buffer() })
    }

    fn serve(&mut self, ready: &mut dyn FnMut(SocketAddr)) -> io::Result<()> {
        let listener = listen()?;
        listener.set_nonblocking(true)?;
        self.epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        ready(listener.local_addr()?);
        let mut events = vec![EpollEvent::empty(); EVENTS_MAX];
        loop {
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                other => other?,
            };
            let mut is_useful = false;
            for event in &events[..count] {
                is_useful |= match event.data() {
                    LISTENER => self.accept(&listener)?,
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
                    let interest = if self.is_edge {
                        EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET
                    } else {
                        EpollFlags::EPOLLIN
                    };
                    let connection = Connection::new(stream)?;
                    self.epoll.add(&connection, EpollEvent::new(interest, entry.key() as u64))?;
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
                let wanted = if readable { EpollFlags::EPOLLIN } else { EpollFlags::EPOLLOUT };
                if wanted != *interest {
                    *interest = wanted;
                    self.epoll.modify(&*connection, &mut EpollEvent::new(wanted, key as u64))?;
                }
                Ok(got)
            }
        }
    }
}
