//! Connections over Unix sockets.

use super::addr::address;
use super::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use crate::forward::{forward_read, forward_write};
use crate::os::transfer::{retry, sum, transfer};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use wakeline_runtime::io::Source;
use wakeline_runtime::io::ecosystem::{reader, writer};
use wakeline_runtime::wait_queue::{Events, WaitSlot};

/// A connection over a Unix socket; see [the module](crate::unix) about paths.
///
/// # Cancel safety
/// A read or write that is dropped before it is ready has moved no byte.
///
/// # Examples
/// ```
/// # wakeline_runtime::Runtime::new()?.block_on(async {
/// use futures_lite::{AsyncReadExt, AsyncWriteExt};
/// use wakeline_net::UnixStream;
///
/// let (mut one, mut other) = UnixStream::pair()?;
/// one.write_all(b"hello").await?;
/// drop(one);
/// let mut text = String::new();
/// other.read_to_string(&mut text).await?;
/// assert_eq!(text, "hello");
/// # std::io::Result::Ok(())
/// # })?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct UnixStream {
    socket: Connection,
    read: WaitSlot,
    write: WaitSlot,
}

/// The socket, for the stream and for its halves.
#[derive(Debug)]
pub(super) struct Connection(Source<mio::net::UnixStream>);

const BOTH: Events = Events::READABLE.union(Events::WRITABLE);

impl Connection {
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let asked = buf.len();
        self.0.poll_transfer(cx, slot, Events::READABLE, |mut io| retry(|| io.read(buf)).map(|n| transfer(n, asked)))
    }

    pub(super) fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let asked = sum(bufs.iter().map(|buf| buf.len()));
        self.0.poll_transfer(cx, slot, Events::READABLE, |mut io| {
            retry(|| io.read_vectored(bufs)).map(|n| transfer(n, asked))
        })
    }

    // A short write of a Unix socket does not say that the next would block: its room is the reader's, in buffers.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, slot: &mut WaitSlot, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_io(cx, slot, Events::WRITABLE, |mut io| retry(|| io.write(buf)))
    }

    pub(super) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_io(cx, slot, Events::WRITABLE, |mut io| retry(|| io.write_vectored(bufs)))
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.get_ref().shutdown(how)
    }

    /// Closes the writing direction.
    pub(super) fn close(&self) -> io::Result<()> {
        match self.shutdown(Shutdown::Write) {
            // The peer was faster: it is closed.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().peer_addr()
    }

    pub(super) fn release(&self, slot: &mut WaitSlot) {
        self.0.release(slot);
    }
}

impl UnixStream {
    /// Connects to a path.
    ///
    /// # Errors
    /// Those of `connect(2)`: `NotFound`, `ConnectionRefused` when nobody listens there, `PermissionDenied`, and `WouldBlock`
    /// when the listener's backlog is full, for which Linux has no waiting.
    ///
    /// # Panics
    /// Outside a runtime, or in one that was built without `enable_io`.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        UnixStream::connect_addr(&address(path.as_ref())?).await
    }

    /// As [`connect`](UnixStream::connect).
    ///
    /// # Errors
    /// As [`connect`](UnixStream::connect).
    ///
    /// # Panics
    /// As [`connect`](UnixStream::connect).
    ///
    /// # Cancel safety
    /// As [`connect`](UnixStream::connect).
    pub async fn connect_addr(addr: &SocketAddr) -> io::Result<UnixStream> {
        let stream = UnixStream::of_mio(mio::net::UnixStream::connect_addr(addr)?)?;
        // Writable, or in error: either way it is over.
        stream.writable().await?;
        match stream.take_error()? {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }

    /// Two streams that are connected, without a name.
    ///
    /// # Errors
    /// Those of `socketpair(2)`.
    ///
    /// # Panics
    /// As [`connect`](UnixStream::connect).
    #[track_caller]
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = mio::net::UnixStream::pair()?;
        Ok((UnixStream::of_connected(one)?, UnixStream::of_connected(other)?))
    }

    /// Takes over a connection, which must be in non-blocking mode.
    ///
    /// # Errors
    /// When it can not be registered with the reactor.
    ///
    /// # Panics
    /// As [`connect`](UnixStream::connect).
    #[track_caller]
    pub fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<UnixStream> {
        UnixStream::of_mio(mio::net::UnixStream::from_std(stream))
    }

    #[track_caller]
    fn of_mio(stream: mio::net::UnixStream) -> io::Result<UnixStream> {
        Ok(UnixStream::of_connection(Connection(Source::new(stream, BOTH)?)))
    }

    /// Takes over a connection that has room to write.
    #[track_caller]
    pub(super) fn of_connected(stream: mio::net::UnixStream) -> io::Result<UnixStream> {
        let stream = UnixStream::of_mio(stream)?;
        stream.socket.0.presume_ready(Events::OUT);
        Ok(stream)
    }

    pub(super) fn of_connection(socket: Connection) -> UnixStream {
        UnixStream { socket, read: WaitSlot::new(), write: WaitSlot::new() }
    }

    /// Gives the connection back to the standard library; it stays in non-blocking mode.
    ///
    /// # Errors
    /// When the reactor does not know it.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixStream> {
        Ok(self.socket.0.into_inner()?.into())
    }

    /// Waits until it is ready for some of `interest`, `READABLE`, `WRITABLE` or both, and says for what.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn ready(&self, interest: Events) -> io::Result<Events> {
        self.socket.0.ready(interest).await
    }

    /// Waits until there is something to read, or the end, or an error.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Events::READABLE).await.map(drop)
    }

    /// Waits until there is room to write, or an error.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Events::WRITABLE).await.map(drop)
    }

    /// Reads what is there, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is; those of `recv(2)`.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.0.try_io(Events::READABLE, |mut io| retry(|| io.read(buf)))
    }

    /// As [`try_read`](UnixStream::try_read), into several buffers in turn.
    ///
    /// # Errors
    /// As [`try_read`](UnixStream::try_read).
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.socket.0.try_io(Events::READABLE, |mut io| retry(|| io.read_vectored(bufs)))
    }

    /// Writes what there is room for, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; those of `send(2)`.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.0.try_io(Events::WRITABLE, |mut io| retry(|| io.write(buf)))
    }

    /// As [`try_write`](UnixStream::try_write), from several buffers in turn.
    ///
    /// # Errors
    /// As [`try_write`](UnixStream::try_write).
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.0.try_io(Events::WRITABLE, |mut io| retry(|| io.write_vectored(bufs)))
    }

    /// Does `op` on the socket's descriptor if it is known to be ready for `interest`: to pass descriptors, for example.
    ///
    /// # Errors
    /// `WouldBlock` when it is not ready; those of `op`, whose `WouldBlock` clears the readiness.
    pub fn try_io<R>(&self, interest: Events, mut op: impl FnMut() -> io::Result<R>) -> io::Result<R> {
        self.socket.0.try_io(interest, |_| op())
    }

    /// Waits and does `op` on the socket's descriptor, until it does anything but fail with `WouldBlock`.
    ///
    /// # Errors
    /// Those of `op`, or that the runtime is shutting down.
    ///
    /// # Cancel safety
    /// When the future is dropped before it is ready, `op` has done nothing but fail with `WouldBlock`.
    pub async fn async_io<R>(&self, interest: Events, mut op: impl FnMut() -> io::Result<R>) -> io::Result<R> {
        self.socket.0.io(interest, |_| op()).await
    }

    /// Closes one direction, or both.
    ///
    /// # Errors
    /// Those of `shutdown(2)`: `NotConnected`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }

    /// The address of this end, which has a path only if it bound one.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The address of the other end, which has a path only if it bound one.
    ///
    /// # Errors
    /// Those of `getpeername(2)`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Whose process the peer is (`SO_PEERCRED`).
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    #[cfg(target_os = "linux")]
    pub fn peer_cred(&self) -> io::Result<super::credentials::UCred> {
        super::credentials::of_peer(self.socket.0.get_ref())
    }

    /// The error that is pending on the socket, which this takes.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.0.get_ref().take_error()
    }

    /// Two halves that borrow the stream and can be used at the same time, without a lock.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf::new(&self.socket, &mut self.read), WriteHalf::new(&self.socket, &mut self.write))
    }

    /// Two halves that can go to different tasks. Dropping the write half closes its direction.
    #[must_use]
    pub fn into_split(mut self) -> (OwnedReadHalf, OwnedWriteHalf) {
        self.socket.release(&mut self.read);
        self.socket.release(&mut self.write);
        let socket = Arc::new(self.socket);
        (OwnedReadHalf::new(socket.clone()), OwnedWriteHalf::new(socket))
    }
}

forward_read!(UnixStream, read);
forward_write!(UnixStream, write);
reader!(UnixStream);
writer!(UnixStream);

impl AsFd for UnixStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.0.get_ref().as_fd()
    }
}

impl AsRawFd for UnixStream {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.0.get_ref().as_raw_fd()
    }
}
