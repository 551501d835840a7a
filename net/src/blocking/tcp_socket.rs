//! A TCP socket before it connects or listens, for threads.

use crate::api::options::tcp_options;
use crate::blocking::tcp::{TcpListener, TcpStream};
use crate::host::socket::tcp_socket as emulated;
use crate::netns::Netns;
use crate::os;
use crate::sockopt::{Opt, Value};
use socket2::{Domain, SockRef};
use std::io;
use std::net::SocketAddr;

/// A socket that does not connect or listen yet; as [`TcpSocket`](crate::TcpSocket), for threads.
#[derive(Debug)]
pub struct TcpSocket(Prepared);

#[derive(Debug)]
enum Prepared {
    Os(socket2::Socket),
    Emulated(emulated::TcpSocket),
}

const NONBLOCKING: bool = false;

impl TcpSocket {
    /// A socket of IPv4, on the network that the caller stands on.
    ///
    /// # Errors
    /// Those of `socket(2)`.
    pub fn new_v4() -> io::Result<TcpSocket> {
        TcpSocket::new(Domain::IPV4)
    }

    /// A socket of IPv6, likewise.
    ///
    /// # Errors
    /// Those of `socket(2)`.
    pub fn new_v6() -> io::Result<TcpSocket> {
        TcpSocket::new(Domain::IPV6)
    }

    fn new(domain: Domain) -> io::Result<TcpSocket> {
        Ok(TcpSocket(match Netns::current() {
            Netns::Os => Prepared::Os(os::options::tcp_socket(domain, NONBLOCKING)?),
            Netns::Emulated(host) => Prepared::Emulated(emulated::TcpSocket::new(host, domain == Domain::IPV6)),
        }))
    }

    /// Binds the socket to an address of this host; port 0 is replaced by a free one.
    ///
    /// # Errors
    /// Those of `bind(2)`: `AddrInUse`, `AddrNotAvailable`, `InvalidInput` when it is bound already.
    pub fn bind(&self, addr: SocketAddr) -> io::Result<()> {
        match &self.0 {
            Prepared::Os(socket) => socket.bind(&addr.into()),
            Prepared::Emulated(socket) => socket.bind(addr),
        }
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Prepared::Os(socket) => socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::InvalidData.into()),
            Prepared::Emulated(socket) => socket.local_addr(),
        }
    }

    /// The error that is pending on the socket, which is cleared (`SO_ERROR`).
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match &self.0 {
            Prepared::Os(socket) => socket.take_error(),
            Prepared::Emulated(_) => Ok(None),
        }
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

    fn get_option(&self, opt: Opt) -> io::Result<Value> {
        match &self.0 {
            Prepared::Os(socket) => os::options::get(SockRef::from(socket), opt),
            Prepared::Emulated(socket) => socket.option(opt),
        }
    }

    fn set_option(&self, opt: Opt, value: Value) -> io::Result<()> {
        match &self.0 {
            Prepared::Os(socket) => os::options::set(SockRef::from(socket), opt, value),
            Prepared::Emulated(socket) => socket.set_option(opt, value),
        }
    }
}

tcp_options!(TcpSocket);
