//! The table of sockets: connections, listeners and UDP sockets by small numbers that are never mistaken for each other.

use crate::stack::endpoint::Family;
use crate::stack::error::SocketError;
use crate::stack::socket_wq::SocketWq;
use crate::stack::tcp::connection::Connection;
use crate::stack::tcp::listen::Listener;
use crate::stack::udp::UdpSocket;
use slab::Slab;

/// Names a socket to the program that owns it. When the socket is closed, its name means nothing for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SocketId {
    index: u32,
    generation: u32,
}

impl SocketId {
    /// The socket's place in the table.
    #[inline]
    pub(crate) const fn index(self) -> u32 {
        self.index
    }
}

/// A socket of whatever kind.
#[derive(Debug)]
pub(crate) enum Socket {
    Connection(Box<Connection>),
    Listener(Box<Listener>),
    Udp(Box<UdpSocket>),
}

impl Socket {
    /// The family that it was opened in.
    pub(crate) fn family(&self) -> Family {
        match self {
            Socket::Connection(connection) => connection.family,
            Socket::Listener(listener) => listener.binding.family,
            Socket::Udp(socket) => socket.binding.family,
        }
    }
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    socket: Socket,
}

/// All sockets of a shard.
#[derive(Debug)]
pub(crate) struct Sockets {
    slots: Slab<Slot>,
    next_generation: u32,
    max: usize,
}

impl Sockets {
    /// An empty table for at most `max` sockets.
    pub(crate) fn new(max: usize) -> Sockets {
        Sockets { slots: Slab::new(), next_generation: 0, max }
    }

    /// How many sockets there are, those without an owner included.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether another one may be added.
    pub(crate) fn has_room(&self) -> bool {
        self.slots.len() < self.max
    }

    /// The number that the next socket will have.
    pub(crate) fn next_index(&self) -> u32 {
        self.slots.vacant_key() as u32
    }

    /// Adds a socket.
    ///
    /// # Errors
    /// [`SocketError::TooManySockets`] when there are as many as may be.
    pub(crate) fn insert(&mut self, socket: Socket) -> Result<SocketId, SocketError> {
        if !self.has_room() {
            return Err(SocketError::TooManySockets);
        }
        let generation = self.generation();
        let index = self.slots.insert(Slot { generation, socket }) as u32;
        Ok(SocketId { index, generation })
    }

    /// Removes a socket.
    pub(crate) fn remove(&mut self, index: u32) -> Option<Socket> {
        self.slots.try_remove(index as usize).map(|slot| slot.socket)
    }

    /// Makes every name of a socket stale, though the socket lives on without an owner.
    pub(crate) fn disown(&mut self, index: u32) {
        let generation = self.generation();
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.generation = generation;
        }
    }

    /// The name of the socket at `index`.
    pub(crate) fn id(&self, index: u32) -> Option<SocketId> {
        self.slots.get(index as usize).map(|slot| SocketId { index, generation: slot.generation })
    }

    /// The socket with a name.
    ///
    /// # Errors
    /// [`SocketError::Stale`] when it was closed.
    #[inline]
    pub(crate) fn get(&self, id: SocketId) -> Result<&Socket, SocketError> {
        match self.slots.get(id.index as usize) {
            Some(slot) if slot.generation == id.generation => Ok(&slot.socket),
            _ => Err(SocketError::Stale),
        }
    }

    /// The same, to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self, id: SocketId) -> Result<&mut Socket, SocketError> {
        match self.slots.get_mut(id.index as usize) {
            Some(slot) if slot.generation == id.generation => Ok(&mut slot.socket),
            _ => Err(SocketError::Stale),
        }
    }

    /// The connection with a name.
    ///
    /// # Errors
    /// [`SocketError::Stale`] when it was closed, [`SocketError::NotConnected`] for a listener,
    /// [`SocketError::InvalidInput`] for a UDP socket.
    #[inline]
    pub(crate) fn connection(&mut self, id: SocketId) -> Result<&mut Connection, SocketError> {
        match self.get_mut(id)? {
            Socket::Connection(connection) => Ok(connection),
            Socket::Listener(_) => Err(SocketError::NotConnected),
            Socket::Udp(_) => Err(SocketError::InvalidInput),
        }
    }

    /// The listener with a name.
    ///
    /// # Errors
    /// [`SocketError::Stale`] when it was closed, [`SocketError::InvalidInput`] for another kind.
    pub(crate) fn listener(&mut self, id: SocketId) -> Result<&mut Listener, SocketError> {
        match self.get_mut(id)? {
            Socket::Listener(listener) => Ok(listener),
            _ => Err(SocketError::InvalidInput),
        }
    }

    /// The UDP socket with a name.
    ///
    /// # Errors
    /// As for a listener.
    #[inline]
    pub(crate) fn udp(&mut self, id: SocketId) -> Result<&mut UdpSocket, SocketError> {
        match self.get_mut(id)? {
            Socket::Udp(socket) => Ok(socket),
            _ => Err(SocketError::InvalidInput),
        }
    }

    /// The connection at a place to which a table of the stack points.
    #[inline]
    pub(crate) fn connection_at(&mut self, index: u32) -> Option<&mut Connection> {
        match &mut self.slots.get_mut(index as usize)?.socket {
            Socket::Connection(connection) => Some(connection),
            _ => None,
        }
    }

    /// The listener at such a place.
    pub(crate) fn listener_at(&mut self, index: u32) -> Option<&mut Listener> {
        match &mut self.slots.get_mut(index as usize)?.socket {
            Socket::Listener(listener) => Some(listener),
            _ => None,
        }
    }

    /// The UDP socket at such a place.
    #[inline]
    pub(crate) fn udp_at(&mut self, index: u32) -> Option<&mut UdpSocket> {
        match &mut self.slots.get_mut(index as usize)?.socket {
            Socket::Udp(socket) => Some(socket),
            _ => None,
        }
    }

    /// The same, to be looked at.
    #[inline]
    pub(crate) fn udp_ref(&self, index: u32) -> Option<&UdpSocket> {
        match &self.slots.get(index as usize)?.socket {
            Socket::Udp(socket) => Some(socket),
            _ => None,
        }
    }

    /// The connection at such a place, to be looked at.
    #[inline]
    pub(crate) fn connection_ref(&self, index: u32) -> Option<&Connection> {
        match &self.slots.get(index as usize)?.socket {
            Socket::Connection(connection) => Some(connection),
            _ => None,
        }
    }

    /// How many places the table has, taken or not.
    pub(crate) fn places(&self) -> usize {
        self.slots.capacity()
    }

    /// The socket at such a place.
    pub(crate) fn at(&self, index: u32) -> Option<&Socket> {
        self.slots.get(index as usize).map(|slot| &slot.socket)
    }

    /// Who waits for a socket, and whose signals it sends.
    pub(crate) fn wq(&mut self, id: SocketId) -> Option<&mut SocketWq> {
        Some(match self.get_mut(id).ok()? {
            Socket::Connection(connection) => &mut connection.wq,
            Socket::Listener(listener) => &mut listener.wq,
            Socket::Udp(socket) => &mut socket.wq,
        })
    }

    /// Every socket's place, in order.
    pub(crate) fn indices(&self) -> Vec<u32> {
        self.slots.iter().map(|(index, _)| index as u32).collect()
    }

    /// What a socket's place in the table costs when the table has just doubled.
    #[cfg(test)]
    pub(crate) const PLACE_COST_MAX: usize = 2 * size_of::<Option<Slot>>();

    fn generation(&mut self) -> u32 {
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        generation
    }
}
