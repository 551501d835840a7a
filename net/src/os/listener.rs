//! TCP listeners over the operating system.

use super::tcp::TcpStream;
use super::transfer::retry;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use wakeline_runtime::io::Source;
use wakeline_runtime::wait_queue::{Events, WaitSlot};

/// A TCP socket that accepts connections.
///
/// # Examples
/// ```no_run
/// use wakeline_net::os::TcpListener;
///
/// async fn first_peer() -> std::io::Result<std::net::SocketAddr> {
///     let listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
///     let (_stream, peer) = listener.accept().await?;
///     Ok(peer)
/// }
/// ```
#[derive(Debug)]
pub struct TcpListener {
    pub(super) source: Source<mio::net::TcpListener>,
}

/// How many connections the kernel queues before they are accepted; it takes less when `somaxconn` says so.
const BACKLOG: i32 = 1024;

impl TcpListener {
    /// Listens on `addr`, with a backlog of 1024.
    ///
    /// Sets `SO_REUSEADDR` where it means what it does on Unix, so that a server can be restarted while connections of
    /// its predecessor linger.
    ///
    /// # Errors
    /// Those of `socket(2)`, `bind(2)` and `listen(2)`: `AddrInUse`, `AddrNotAvailable`, `PermissionDenied`, ..
    ///
    /// # Panics
    /// Outside a runtime, or in one that was built without `enable_io`.
    #[track_caller]
    pub fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        // On Windows the option lets another process take the address over.
        if cfg!(unix) {
            socket.set_reuse_address(true)?;
        }
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    }

    /// Takes over a listener, which must be in non-blocking mode.
    ///
    /// # Errors
    /// When it can not be registered with the reactor.
    ///
    /// # Panics
    /// Outside a runtime, or in one that was built without `enable_io`.
    #[track_caller]
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        let source = Source::new_socket(mio::net::TcpListener::from_std(listener), Events::READABLE)?;
        Ok(TcpListener { source })
    }

    /// Waits for a connection; gives it and the peer's address.
    ///
    /// # Errors
    /// Those of `accept(2)`. The connection for which a descriptor was lacking (`EMFILE`) stays in the backlog, so a
    /// later call gets it; `ECONNABORTED` concerns one connection only. Servers go on after either.
    ///
    /// # Cancel safety
    /// No connection is lost.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let accepted = self.source.io(Events::READABLE, |listener| retry(|| listener.accept())).await?;
        TcpStream::of_accepted(accepted)
    }

    /// As [`accept`](TcpListener::accept), for who polls.
    ///
    /// # Errors
    /// As [`accept`](TcpListener::accept).
    pub fn poll_accept(&self, cx: &mut Context<'_>, slot: &mut WaitSlot) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let accepted = ready!(self.source.poll_io(cx, slot, Events::READABLE, |listener| retry(|| listener.accept())))?;
        Poll::Ready(TcpStream::of_accepted(accepted))
    }

    /// The address it listens on; with the port that the kernel chose when it was bound to port 0.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.get_ref().local_addr()
    }

    /// The time to live of the packets it sends.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn ttl(&self) -> io::Result<u32> {
        self.source.get_ref().ttl()
    }

    /// Sets the time to live of the packets it sends.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.source.get_ref().set_ttl(ttl)
    }

    /// The socket itself, for its options.
    pub(crate) fn as_socket(&self) -> SockRef<'_> {
        SockRef::from(self.source.get_ref())
    }

    /// Gives up a slot that was used to poll this listener.
    pub fn release(&self, slot: &mut WaitSlot) {
        self.source.release(slot);
    }
}
