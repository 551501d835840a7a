//! The two halves of a connection.

use crate::api::tcp::{Connection, TcpStream};
use crate::fasync::{AsFile, Fcntl, sealed::Sealed};
use crate::forward::{forward_read, forward_write};
use crate::host::socket::file::SocketFile;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use wakeline_runtime::wait_queue::WaitSlot;

/// The reading half of [`TcpStream::split`].
#[derive(Debug)]
pub struct ReadHalf<'a> {
    socket: &'a Connection,
    slot: &'a mut WaitSlot,
}

/// The writing half of [`TcpStream::split`].
#[derive(Debug)]
pub struct WriteHalf<'a> {
    socket: &'a Connection,
    slot: &'a mut WaitSlot,
}

impl<'a> ReadHalf<'a> {
    pub(crate) fn new(socket: &'a Connection, slot: &'a mut WaitSlot) -> Self {
        ReadHalf { socket, slot }
    }
}

impl<'a> WriteHalf<'a> {
    pub(crate) fn new(socket: &'a Connection, slot: &'a mut WaitSlot) -> Self {
        WriteHalf { socket, slot }
    }
}

/// The reading half of [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf {
    socket: Arc<Connection>,
    slot: WaitSlot,
}

/// The writing half of [`TcpStream::into_split`]. Dropping it closes the writing direction, as tokio's does.
#[derive(Debug)]
pub struct OwnedWriteHalf {
    socket: Arc<Connection>,
    slot: WaitSlot,
    shut_down_on_drop: bool,
}

impl OwnedReadHalf {
    pub(crate) fn new(socket: Arc<Connection>) -> OwnedReadHalf {
        OwnedReadHalf { socket, slot: WaitSlot::new() }
    }

    pub(crate) fn file(&self) -> Option<SocketFile> {
        self.socket.file()
    }

    /// Puts the two halves of one stream together again.
    ///
    /// # Errors
    /// The halves, when they are not of the same stream.
    pub fn reunite(self, other: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        if !Arc::ptr_eq(&self.socket, &other.socket) {
            return Err(ReuniteError(self, other));
        }
        drop(self);
        let socket = other.keep_open();
        let socket = Arc::into_inner(socket).expect("a stream has one read half and one write half");
        Ok(TcpStream::new(socket))
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// As [`TcpStream::peer_addr`].
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// The address of this end.
    ///
    /// # Errors
    /// As [`TcpStream::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

impl OwnedWriteHalf {
    pub(crate) fn new(socket: Arc<Connection>) -> OwnedWriteHalf {
        OwnedWriteHalf { socket, slot: WaitSlot::new(), shut_down_on_drop: true }
    }

    pub(crate) fn file(&self) -> Option<SocketFile> {
        self.socket.file()
    }

    /// Drops the half without closing the writing direction: it stays open until the read half is dropped too.
    pub fn forget(self) {
        drop(self.keep_open());
    }

    fn keep_open(mut self) -> Arc<Connection> {
        self.shut_down_on_drop = false;
        self.socket.clone()
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// As [`TcpStream::peer_addr`].
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// The address of this end.
    ///
    /// # Errors
    /// As [`TcpStream::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
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
        if self.shut_down_on_drop {
            // The connection may be gone already; then there is nothing left to close.
            let _ = self.socket.close();
        }
    }
}

/// The halves given to [`OwnedReadHalf::reunite`] are of two different streams.
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl std::fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the two halves are not of the same stream")
    }
}

impl std::error::Error for ReuniteError {}

macro_rules! without_waiting {
    ($method:ident, $buf:ty, $doc:literal: $($half:ty),+) => {$(
        impl $half {
            #[doc = $doc]
            ///
            /// # Errors
            /// As there.
            pub fn $method(&self, buf: $buf) -> io::Result<usize> {
                self.socket.$method(buf)
            }
        }
    )+};
}

without_waiting!(try_read, &mut [u8], "As [`TcpStream::try_read`]." : ReadHalf<'_>, OwnedReadHalf);
without_waiting!(try_write, &[u8], "As [`TcpStream::try_write`]." : WriteHalf<'_>, OwnedWriteHalf);

macro_rules! fcntl {
    ($($half:ty),+) => {$(
        impl Sealed for $half {
            fn emulated(&self) -> Option<&dyn AsFile> {
                self.socket.as_file()
            }
        }

        /// Both halves have one file: what is set by one is set for both.
        impl Fcntl for $half {}
    )+};
}

fcntl!(ReadHalf<'_>, WriteHalf<'_>, OwnedReadHalf, OwnedWriteHalf);

forward_read!(ReadHalf<'_>, slot);
forward_read!(OwnedReadHalf, slot);
forward_write!(WriteHalf<'_>, slot);
forward_write!(OwnedWriteHalf, slot);
