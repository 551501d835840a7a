//! The two halves of a connection over a Unix socket.

use super::stream::{Connection, UnixStream};
use crate::forward::{forward_read, forward_write};
use std::fmt;
use std::io;
use std::os::unix::net::SocketAddr;
use std::sync::Arc;
use wakeline_runtime::io::ecosystem::{reader, writer};
use wakeline_runtime::wait_queue::WaitSlot;

/// The reading half of [`UnixStream::split`].
#[derive(Debug)]
pub struct ReadHalf<'a> {
    socket: &'a Connection,
    slot: &'a mut WaitSlot,
}

/// The writing half of [`UnixStream::split`].
#[derive(Debug)]
pub struct WriteHalf<'a> {
    socket: &'a Connection,
    slot: &'a mut WaitSlot,
}

impl<'a> ReadHalf<'a> {
    pub(super) fn new(socket: &'a Connection, slot: &'a mut WaitSlot) -> Self {
        ReadHalf { socket, slot }
    }
}

impl<'a> WriteHalf<'a> {
    pub(super) fn new(socket: &'a Connection, slot: &'a mut WaitSlot) -> Self {
        WriteHalf { socket, slot }
    }
}

/// The reading half of [`UnixStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf {
    socket: Arc<Connection>,
    slot: WaitSlot,
}

/// The writing half of [`UnixStream::into_split`]. Dropping it closes the writing direction.
#[derive(Debug)]
pub struct OwnedWriteHalf {
    socket: Arc<Connection>,
    slot: WaitSlot,
    closes_on_drop: bool,
}

impl OwnedReadHalf {
    pub(super) fn new(socket: Arc<Connection>) -> OwnedReadHalf {
        OwnedReadHalf { socket, slot: WaitSlot::new() }
    }

    /// Puts the two halves of one stream together again.
    ///
    /// # Errors
    /// The halves, when they are not of the same stream.
    pub fn reunite(self, other: OwnedWriteHalf) -> Result<UnixStream, ReuniteError> {
        if !Arc::ptr_eq(&self.socket, &other.socket) {
            return Err(ReuniteError(self, other));
        }
        drop(self);
        let socket = other.keep_open();
        let socket = Arc::into_inner(socket).expect("a stream has one read half and one write half");
        Ok(UnixStream::of_connection(socket))
    }
}

impl OwnedWriteHalf {
    pub(super) fn new(socket: Arc<Connection>) -> OwnedWriteHalf {
        OwnedWriteHalf { socket, slot: WaitSlot::new(), closes_on_drop: true }
    }

    /// Drops the half without closing the writing direction: it stays open until the read half is dropped too.
    pub fn forget(self) {
        drop(self.keep_open());
    }

    fn keep_open(mut self) -> Arc<Connection> {
        self.closes_on_drop = false;
        self.socket.clone()
    }
}

impl Drop for OwnedReadHalf {
    fn drop(&mut self) {
        self.socket.release(&mut self.slot);
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        self.socket.release(&mut self.slot);
        if self.closes_on_drop {
            // The connection may be gone already; then there is nothing left to close.
            let _ = self.socket.close();
        }
    }
}

/// The halves given to [`OwnedReadHalf::reunite`] are of two different streams.
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the two halves are not of the same stream")
    }
}

impl std::error::Error for ReuniteError {}

macro_rules! addresses {
    ($($half:ty),+) => {$(
        impl $half {
            /// The address of this end.
            ///
            /// # Errors
            /// As [`UnixStream::local_addr`].
            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                self.socket.local_addr()
            }

            /// The address of the other end.
            ///
            /// # Errors
            /// As [`UnixStream::peer_addr`].
            pub fn peer_addr(&self) -> io::Result<SocketAddr> {
                self.socket.peer_addr()
            }
        }
    )+};
}

addresses!(ReadHalf<'_>, WriteHalf<'_>, OwnedReadHalf, OwnedWriteHalf);
forward_read!(ReadHalf<'_>, slot);
forward_read!(OwnedReadHalf, slot);
forward_write!(WriteHalf<'_>, slot);
forward_write!(OwnedWriteHalf, slot);
reader!(ReadHalf<'_>, OwnedReadHalf);
writer!(WriteHalf<'_>, OwnedWriteHalf);
