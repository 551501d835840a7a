//! Datagrams over Unix sockets.

use super::addr::address;
use crate::os::message;
use crate::os::transfer::retry;
use socket2::{SockAddr, SockRef};
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use wakeline_runtime::io::Source;
use wakeline_runtime::wait_queue::Events;

/// A Unix socket for datagrams, which arrive whole, in order, and all of them; see [the module](crate::unix) about paths.
///
/// A sender waits while the receiver's queue is full. A datagram that is longer than the buffer it is received into is cut.
///
/// # Cancel safety
/// A call that is dropped before it is ready has sent or taken no datagram.
///
/// # Examples
/// ```
/// # wakeline_runtime::Runtime::new()?.block_on(async {
/// use wakeline_net::UnixDatagram;
///
/// let (one, other) = UnixDatagram::pair()?;
/// one.send(b"hello").await?;
/// let mut buf = [0; 16];
/// assert_eq!(other.recv(&mut buf).await?, 5);
/// # std::io::Result::Ok(())
/// # })?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct UnixDatagram {
    source: Source<mio::net::UnixDatagram>,
}

impl UnixDatagram {
    /// Receives on a path.
    ///
    /// # Errors
    /// Those of `bind(2)`: `AddrInUse` when there is a file, `NotFound`, `PermissionDenied`, ..; `InvalidInput` for a
    /// path that is too long.
    ///
    /// # Panics
    /// Outside a runtime, or in one that was built without `enable_io`.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
        UnixDatagram::of_mio(mio::net::UnixDatagram::bind_addr(&address(path.as_ref())?)?)
    }

    /// A socket without a name: it can send, and nobody can answer.
    ///
    /// # Errors
    /// Those of `socket(2)`.
    ///
    /// # Panics
    /// As [`bind`](UnixDatagram::bind).
    #[track_caller]
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::of_mio(mio::net::UnixDatagram::unbound()?)
    }

    /// Two sockets that are connected, without a name.
    ///
    /// # Errors
    /// Those of `socketpair(2)`.
    ///
    /// # Panics
    /// As [`bind`](UnixDatagram::bind).
    #[track_caller]
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = mio::net::UnixDatagram::pair()?;
        Ok((UnixDatagram::of_mio(one)?, UnixDatagram::of_mio(other)?))
    }

    /// Takes over a socket, which must be in non-blocking mode.
    ///
    /// # Errors
    /// When it can not be registered with the reactor.
    ///
    /// # Panics
    /// As [`bind`](UnixDatagram::bind).
    #[track_caller]
    pub fn from_std(socket: std::os::unix::net::UnixDatagram) -> io::Result<UnixDatagram> {
        UnixDatagram::of_mio(mio::net::UnixDatagram::from_std(socket))
    }

    #[track_caller]
    fn of_mio(socket: mio::net::UnixDatagram) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram { source: Source::new(socket, Events::READABLE | Events::WRITABLE)? })
    }

    /// Gives the socket back to the standard library; it stays in non-blocking mode.
    ///
    /// # Errors
    /// When the reactor does not know it.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixDatagram> {
        Ok(self.source.into_inner()?.into())
    }

    /// Sets the peer of [`send`](UnixDatagram::send) and [`recv`](UnixDatagram::recv); datagrams of others are refused.
    ///
    /// # Errors
    /// Those of `connect(2)`: `NotFound`, `ConnectionRefused`, `PermissionDenied`, ..
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        SockRef::from(self.source.get_ref()).connect(&SockAddr::unix(path)?)
    }

    /// Sends a datagram to the connected peer.
    ///
    /// # Errors
    /// Those of `send(2)`: `NotConnected`, `ConnectionRefused` when the peer is gone, `EMSGSIZE`, ..
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.source.io(Events::WRITABLE, |io| retry(|| io.send(buf))).await
    }

    /// Sends a datagram to a path.
    ///
    /// # Errors
    /// Those of `sendto(2)`: `NotFound`, `ConnectionRefused` when nobody receives there, ..
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn send_to(&self, buf: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let to = SockAddr::unix(path)?;
        self.source.io(Events::WRITABLE, |io| retry(|| SockRef::from(io).send_to(buf, &to))).await
    }

    /// Receives a datagram.
    ///
    /// # Errors
    /// Those of `recv(2)`.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.source.io(Events::READABLE, |io| retry(|| io.recv(buf))).await
    }

    /// Receives a datagram, and says from whom; a sender without a name has an address without a path.
    ///
    /// # Errors
    /// Those of `recvfrom(2)`.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.source.io(Events::READABLE, |io| retry(|| io.recv_from(buf))).await
    }

    /// Receives a datagram and leaves it in the socket.
    ///
    /// # Errors
    /// Those of `recv(2)`; `Unsupported` where this is not Linux.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.source.io(Events::READABLE, |io| retry(|| message::peek(SockRef::from(io), buf))).await
    }

    /// As [`peek`](UnixDatagram::peek), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is no datagram; those of [`peek`](UnixDatagram::peek).
    pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.source.try_io(Events::READABLE, |io| retry(|| message::peek(SockRef::from(io), buf)))
    }

    /// As [`send`](UnixDatagram::send), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; those of [`send`](UnixDatagram::send).
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.source.try_io(Events::WRITABLE, |io| retry(|| io.send(buf)))
    }

    /// As [`send_to`](UnixDatagram::send_to), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; those of [`send_to`](UnixDatagram::send_to).
    pub fn try_send_to(&self, buf: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let to = SockAddr::unix(path)?;
        self.source.try_io(Events::WRITABLE, |io| retry(|| SockRef::from(io).send_to(buf, &to)))
    }

    /// As [`recv`](UnixDatagram::recv), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is no datagram; those of `recv(2)`.
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.source.try_io(Events::READABLE, |io| retry(|| io.recv(buf)))
    }

    /// As [`recv_from`](UnixDatagram::recv_from), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is no datagram; those of `recvfrom(2)`.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.source.try_io(Events::READABLE, |io| retry(|| io.recv_from(buf)))
    }

    /// Does `op` on the socket's descriptor if it is known to be ready for `interest`.
    ///
    /// # Errors
    /// `WouldBlock` when it is not ready; those of `op`, whose `WouldBlock` clears the readiness.
    pub fn try_io<R>(&self, interest: Events, mut op: impl FnMut() -> io::Result<R>) -> io::Result<R> {
        self.source.try_io(interest, |_| op())
    }

    /// Waits until it is ready for some of `interest`, `READABLE`, `WRITABLE` or both, and says for what.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn ready(&self, interest: Events) -> io::Result<Events> {
        self.source.ready(interest).await
    }

    /// Waits until there is a datagram, or an error.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Events::READABLE).await.map(drop)
    }

    /// Waits until there is room to send, or an error.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Events::WRITABLE).await.map(drop)
    }

    /// Closes one direction, or both.
    ///
    /// # Errors
    /// Those of `shutdown(2)`: `NotConnected`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.source.get_ref().shutdown(how)
    }

    /// Where it receives.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.get_ref().local_addr()
    }

    /// The connected peer.
    ///
    /// # Errors
    /// Those of `getpeername(2)`: `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source.get_ref().peer_addr()
    }

    /// The error that is pending on the socket, which this takes.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.source.get_ref().take_error()
    }
}

impl AsFd for UnixDatagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.get_ref().as_fd()
    }
}

impl AsRawFd for UnixDatagram {
    fn as_raw_fd(&self) -> RawFd {
        self.source.get_ref().as_raw_fd()
    }
}
