//! A server of one thread on one epoll, level-triggered or edge-triggered; the same loop on both networks.

use crate::connection::{Amount, Connection, Stream, Turn, buffer};
use crate::server::returned;
use slab::Slab;
use std::io;

/// An epoll of one of the networks, and what it waits for.
pub(crate) trait Poller: Sized {
    type Listener;
    type Stream: Stream;

    fn accept(listener: &Self::Listener) -> io::Result<Self::Stream>;

    fn add_listener(&self, listener: &Self::Listener, key: u64) -> io::Result<()>;

    fn add(&self, stream: &Self::Stream, interest: Interest, key: u64) -> io::Result<()>;

    fn modify(&self, stream: &Self::Stream, interest: Interest, key: u64) -> io::Result<()>;

    /// Sleeps until something has come, and appends whose it is.
    fn wait(&mut self, keys: &mut Vec<u64>) -> io::Result<()>;
}

/// What a connection is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    In,
    Out,
    /// Both, told when they change: an edge tells of room, too, and so needs no change later.
    Edges,
}

/// How many events one wait takes.
pub(crate) const EVENTS_MAX: usize = 1024;

const LISTENER: u64 = u64::MAX;

struct Loop<'a, P: Poller> {
    poller: P,
    listener: &'a P::Listener,
    is_edge: bool,
    connections: Slab<(Connection<P::Stream>, Interest)>,
    buf: Vec<u8>,
}

/// Serves whoever connects, until something fails. The listener must not block.
pub(crate) fn serve<P: Poller>(poller: P, listener: &P::Listener, is_edge: bool) -> io::Result<()> {
    poller.add_listener(listener, LISTENER)?;
    let mut keys = Vec::with_capacity(EVENTS_MAX);
    let mut served = Loop { poller, listener, is_edge, connections: Slab::new(), buf: buffer() };
    loop {
        served.poller.wait(&mut keys)?;
        let mut is_useful = false;
        for key in keys.drain(..) {
            is_useful |= match key {
                LISTENER => served.accept()?,
                key => served.turn(key as usize)?,
            };
        }
        returned(is_useful);
    }
}

impl<P: Poller> Loop<'_, P> {
    fn accept(&mut self) -> io::Result<bool> {
        let mut is_useful = false;
        loop {
            match P::accept(self.listener) {
                Ok(stream) => {
                    let entry = self.connections.vacant_entry();
                    let interest = if self.is_edge { Interest::Edges } else { Interest::In };
                    let connection = Connection::new(stream)?;
                    self.poller.add(connection.stream(), interest, entry.key() as u64)?;
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
                let wanted = if readable { Interest::In } else { Interest::Out };
                if wanted != *interest {
                    *interest = wanted;
                    self.poller.modify(connection.stream(), wanted, key as u64)?;
                }
                Ok(got)
            }
        }
    }
}
