//! UDP over the operating system.

use super::message;
use super::transfer::retry;
use crate::recv_meta::RecvMeta;
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use wakeline_runtime::io::Source;
use wakeline_runtime::wait_queue::{Events, WaitSlot};

/// A UDP socket.
///
/// A datagram longer than the buffer it is received into is cut; the rest is lost, as `recv(2)` does.
///
/// # Examples
/// ```no_run
/// use wakeline_net::os::UdpSocket;
///
/// async fn echo_one() -> std::io::Result<()> {
///     let socket = UdpSocket::bind(([127, 0, 0, 1], 0).into())?;
///     let mut buf = [0; 1500];
///     let (n, peer) = socket.recv_from(&mut buf).await?;
///     socket.send_to(&buf[..n], peer).await?;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    pub(super) source: Source<mio::net::UdpSocket>,
}

const BOTH: Events = Events::READABLE.union(Events::WRITABLE);

impl UdpSocket {
    /// Receives on `addr`.
    ///
    /// # Errors
    /// Those of `socket(2)` and `bind(2)`: `AddrInUse`, `AddrNotAvailable`, ..
    ///
    /// # Panics
    /// Outside a runtime, or in one that was built without `enable_io`.
    #[track_caller]
    pub fn bind(addr: SocketAddr) -> io::Result<UdpSocket> {
        UdpSocket::of_mio(mio::net::UdpSocket::bind(addr)?)
    }

    /// Takes over a socket, which must be in non-blocking mode.
    ///
    /// # Errors
    /// When it can not be registered with the reactor.
    ///
    /// # Panics
    /// Outside a runtime, or in one that was built without `enable_io`.
    #[track_caller]
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
        UdpSocket::of_mio(mio::net::UdpSocket::from_std(socket))
    }

    #[track_caller]
    fn of_mio(socket: mio::net::UdpSocket) -> io::Result<UdpSocket> {
        let source = Source::new(socket, BOTH)?;
        // There is room to send in a new socket.
        source.presume_ready(Events::OUT);
        Ok(UdpSocket { source })
    }

    /// Sets the peer of [`send`](UdpSocket::send) and [`recv`](UdpSocket::recv); datagrams of others are dropped.
    ///
    /// # Errors
    /// Those of `connect(2)`, which for UDP does not wait: `NetworkUnreachable`, ..
    pub fn connect(&self, addr: SocketAddr) -> io::Result<()> {
        self.source.get_ref().connect(addr)
    }

    /// Sends a datagram to the connected peer.
    ///
    /// # Errors
    /// Those of `send(2)`; `ConnectionRefused` when an earlier datagram met a closed port.
    ///
    /// # Cancel safety
    /// Nothing is sent unless the future is ready.
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.source.io(Events::WRITABLE, |io| retry(|| io.send(buf))).await
    }

    /// As [`send`](UdpSocket::send), for who polls.
    ///
    /// # Errors
    /// As [`send`](UdpSocket::send).
    pub fn poll_send(&self, cx: &mut Context<'_>, slot: &mut WaitSlot, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.source.poll_io(cx, slot, Events::WRITABLE, |io| retry(|| io.send(buf)))
    }

    /// As [`send`](UdpSocket::send), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; those of `send(2)`.
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.source.try_io(Events::WRITABLE, |io| retry(|| io.send(buf)))
    }

    /// Receives a datagram from the connected peer.
    ///
    /// # Errors
    /// Those of `recv(2)`; `ConnectionRefused` when an earlier datagram met a closed port.
    ///
    /// # Cancel safety
    /// No datagram is lost.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.source.io(Events::READABLE, |io| retry(|| io.recv(buf))).await
    }

    /// As [`recv`](UdpSocket::recv), for who polls.
    ///
    /// # Errors
    /// As [`recv`](UdpSocket::recv).
    pub fn poll_recv(&self, cx: &mut Context<'_>, slot: &mut WaitSlot, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.source.poll_io(cx, slot, Events::READABLE, |io| retry(|| io.recv(buf)))
    }

    /// As [`recv`](UdpSocket::recv), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is no datagram; those of `recv(2)`.
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.source.try_io(Events::READABLE, |io| retry(|| io.recv(buf)))
    }

    /// Sends a datagram to `target`.
    ///
    /// # Errors
    /// Those of `sendto(2)`: `InvalidInput` for an address of the other family, `NetworkUnreachable`, `EMSGSIZE`, ..
    ///
    /// # Cancel safety
    /// Nothing is sent unless the future is ready.
    pub async fn send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.source.io(Events::WRITABLE, |io| retry(|| io.send_to(buf, target))).await
    }

    /// As [`send_to`](UdpSocket::send_to), for who polls.
    ///
    /// # Errors
    /// As [`send_to`](UdpSocket::send_to).
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.source.poll_io(cx, slot, Events::WRITABLE, |io| retry(|| io.send_to(buf, target)))
    }

    /// As [`send_to`](UdpSocket::send_to), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; those of `sendto(2)`.
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.source.try_io(Events::WRITABLE, |io| retry(|| io.send_to(buf, target)))
    }

    /// Receives a datagram, and says from whom.
    ///
    /// # Errors
    /// Those of `recvfrom(2)`.
    ///
    /// # Cancel safety
    /// No datagram is lost.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.source.io(Events::READABLE, |io| retry(|| io.recv_from(buf))).await
    }

    /// As [`recv_from`](UdpSocket::recv_from), for who polls.
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.source.poll_io(cx, slot, Events::READABLE, |io| retry(|| io.recv_from(buf)))
    }

    /// As [`recv_from`](UdpSocket::recv_from), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is no datagram; those of `recvfrom(2)`.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.source.try_io(Events::READABLE, |io| retry(|| io.recv_from(buf)))
    }

    /// Receives a datagram and leaves it in the socket.
    ///
    /// # Errors
    /// Those of `recvfrom(2)`.
    ///
    /// # Cancel safety
    /// Nothing is taken from the socket.
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.source.io(Events::READABLE, |io| retry(|| io.peek_from(buf))).await
    }

    /// As [`peek_from`](UdpSocket::peek_from), for who polls.
    ///
    /// # Errors
    /// As [`peek_from`](UdpSocket::peek_from).
    pub fn poll_peek_from(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.source.poll_io(cx, slot, Events::READABLE, |io| retry(|| io.peek_from(buf)))
    }

    /// Receives a datagram with what is known of it, for who polls.
    pub(crate) fn poll_recv_msg(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        buf: &mut [u8],
    ) -> Poll<io::Result<RecvMeta>> {
        self.source.poll_io(cx, slot, Events::READABLE, |io| retry(|| message::recv(SockRef::from(io), buf)))
    }

    /// Sends datagrams of a length each in one call, for who polls.
    pub(crate) fn poll_send_segments(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        message: (&[u8], u16),
        to: Option<SocketAddr>,
    ) -> Poll<io::Result<usize>> {
        let send = |io: &mio::net::UdpSocket| retry(|| message::send_segments(SockRef::from(io), message, to));
        self.source.poll_io(cx, slot, Events::WRITABLE, send)
    }

    /// Waits until there is a datagram, or an error.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Nothing is taken from the socket.
    pub async fn readable(&self) -> io::Result<()> {
        self.source.ready(Events::READABLE).await.map(drop)
    }

    /// Waits until there is room to send, or an error.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Nothing is given to the socket.
    pub async fn writable(&self) -> io::Result<()> {
        self.source.ready(Events::WRITABLE).await.map(drop)
    }

    /// As [`readable`](UdpSocket::readable) and [`writable`](UdpSocket::writable), for who polls.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub fn poll_ready(&self, cx: &mut Context<'_>, slot: &mut WaitSlot, interest: Events) -> Poll<io::Result<Events>> {
        self.source.poll_ready(cx, slot, interest)
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.get_ref().local_addr()
    }

    /// The address it is connected to.
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

    /// The underlying socket, for options that this type has no name for.
    #[must_use]
    pub fn get_ref(&self) -> &mio::net::UdpSocket {
        self.source.get_ref()
    }

    /// Gives up a slot that was used to poll this socket.
    pub fn release(&self, slot: &mut WaitSlot) {
        self.source.release(slot);
    }
}

#[cfg(test)]
mod tests;
