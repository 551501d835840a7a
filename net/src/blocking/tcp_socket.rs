//! A TCP socket before it connects or listens, for threads.

use crate::api::options::tcp_options;
use crate::api::prepared::Prepared;
use crate::blocking::tcp::{TcpListener, TcpStream};
use crate::sockopt::{Opt, Value};
use socket2::Domain;
use std::io;
use std::net::SocketAddr;

/// A socket that does not connect or listen yet; as [`TcpSocket`](crate::TcpSocket), for threads.
#[derive(Debug)]
pub struct TcpSocket(Prepared);

impl TcpSocket {
    /// A socket of IPv4, on the network that the caller stands on.
    ///
    /// # Errors
    /// Those of `socket(2)`.
    pub fn new_v4() -> io::Result<TcpSocket> {
        Prepared::new(Domain::IPV4, false).map(TcpSocket)
    }

    /// A socket of IPv6, likewise.
    ///
    /// # Errors
    /// Those of `socket(2)`.
    pub fn new_v6() -> io::Result<TcpSocket> {
        Prepared::new(Domain::IPV6, false).map(TcpSocket)
    }

    /// Binds the socket to an address of this host; port 0 is replaced by a free one.
    ///
    /// # Errors
    /// Those of `bind(2)`: `AddrInUse`, `AddrNotAvailable`, `InvalidInput` when it is bound already.
    pub fn bind(&self, addr: SocketAddr) -> io::Result<()> {
        self.0.bind(addr)
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The error that is pending on the socket, which is cleared (`SO_ERROR`).
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }

    /// Connects, from the address that was bound if one was; the thread sleeps until then.
    ///
    /// # Errors
    /// As [`crate::TcpSocket::connect`].
    pub fn connect(self, addr: SocketAddr) -> io::Result<TcpStream> {
        match self.0 {
            Prepared::Os(socket) => {
                socket.connect(&addr.into())?;
                Ok(TcpStream::of_os(socket.into()))
            }
            Prepared::Emulated(socket) => {
                let stream = socket.start_connect(addr)?;
                stream.connected_blocking(None)?;
                Ok(TcpStream::emulated(stream))
            }
        }
    }

    /// Listens.
    ///
    /// # Errors
    /// As [`crate::TcpSocket::listen`].
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        match self.0 {
            Prepared::Os(socket) => {
                socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
                Ok(TcpListener::of_os(socket.into()))
            }
            Prepared::Emulated(socket) => Ok(TcpListener::of_emulated(socket.listen(backlog)?)),
        }
    }

    pub(crate) fn is_emulated(&self) -> bool {
        matches!(self.0, Prepared::Emulated(_))
    }

    fn get_option(&self, opt: Opt) -> io::Result<Value> {
        self.0.get_option(opt)
    }

    fn set_option(&self, opt: Opt, value: Value) -> io::Result<()> {
        self.0.set_option(opt, value)
    }
}

tcp_options!(TcpSocket);
