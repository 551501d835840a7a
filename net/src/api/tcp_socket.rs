//! A TCP socket before it connects or listens, for tasks.

use crate::api::options::tcp_options;
use crate::api::prepared::Prepared;
use crate::api::tcp::TcpStream;
use crate::api::tcp_listener::TcpListener;
use crate::os;
use crate::sockopt::{Opt, Value};
use socket2::Domain;
use std::io;
use std::net::SocketAddr;

/// A socket that does not connect or listen yet, so that options can be set and an address bound before it does; as
/// tokio's type of that name, on whichever network the caller stood that made it.
///
/// Unlike [`TcpListener::bind`] it sets no option by itself: without [`set_reuseaddr`](TcpSocket::set_reuseaddr) an address
/// that connections of the past still use is in use.
///
/// # Examples
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use wakeline_net::TcpSocket;
///
/// let socket = TcpSocket::new_v4()?;
/// socket.set_reuseaddr(true)?;
/// socket.set_recv_buffer_size(1 << 20)?;
/// socket.bind("0.0.0.0:7000".parse().expect("an address"))?;
/// let listener = socket.listen(128)?;
/// let (stream, _) = listener.accept().await?;
/// assert!(stream.recv_buffer_size()? >= 1 << 20);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TcpSocket(Prepared);

impl TcpSocket {
    /// A socket of IPv4, on the network that the caller stands on.
    ///
    /// # Errors
    /// Those of `socket(2)`.
    pub fn new_v4() -> io::Result<TcpSocket> {
        Prepared::new(Domain::IPV4, true).map(TcpSocket)
    }

    /// A socket of IPv6, likewise.
    ///
    /// # Errors
    /// Those of `socket(2)`.
    pub fn new_v6() -> io::Result<TcpSocket> {
        Prepared::new(Domain::IPV6, true).map(TcpSocket)
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

    /// Connects, from the address that was bound if one was.
    ///
    /// # Errors
    /// Those of `connect(2)`: `ConnectionRefused`, `TimedOut`, `HostUnreachable`, `NetworkUnreachable`,
    /// `AddrNotAvailable` when no port is left or the two addresses have a connection already, ..
    ///
    /// # Cancel safety
    /// Dropping the future abandons the attempt and frees its port.
    pub async fn connect(self, addr: SocketAddr) -> io::Result<TcpStream> {
        match self.0 {
            Prepared::Os(socket) => Ok(TcpStream::of_os(os::TcpStream::connect_on(socket, addr).await?)),
            Prepared::Emulated(socket) => TcpStream::finish_connect(socket.start_connect(addr)?).await,
        }
    }

    /// Listens. As in Linux `backlog + 1` connections may wait to be accepted, within the host's `somaxconn`; on an
    /// emulated host with several CPUs, on each of them.
    ///
    /// # Errors
    /// Those of `listen(2)`: `AddrInUse`.
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        match self.0 {
            Prepared::Os(socket) => {
                socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
                Ok(TcpListener::of_os(os::TcpListener::from_std(socket.into())?))
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
