//! TCP connections over the operating system.

use super::options;
use super::transfer::{copy_out, copy_out_to_all, retry, sum, transfer};
use crate::sockopt::{Opt, Value};
use futures_io::{AsyncRead, AsyncWrite};
use parking_lot::Mutex;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use wakeline_runtime::io::{Inlet, Source, Transfer};
use wakeline_runtime::wait_queue::{Events, WaitSlot};

/// A TCP connection.
///
/// Reads and writes through `futures_io`'s traits, or with [`poll_read`](TcpStream::poll_read) and its neighbours, which
/// take `&self`.
///
/// # Examples
/// ```no_run
/// use futures_lite::{AsyncReadExt, AsyncWriteExt};
/// use wakeline_net::os::TcpStream;
///
/// async fn ask(addr: std::net::SocketAddr) -> std::io::Result<Vec<u8>> {
///     let mut stream = TcpStream::connect(addr).await?;
///     stream.write_all(b"hello").await?;
///     stream.shutdown(std::net::Shutdown::Write)?;
///     let mut answer = Vec::new();
///     stream.read_to_end(&mut answer).await?;
///     Ok(answer)
/// }
/// ```
#[derive(Debug)]
pub struct TcpStream {
    pub(super) source: Source<mio::net::TcpStream>,
    /// Where the task waits that reads through `AsyncRead`.
    reader: WaitSlot,
    /// Where the task waits that writes through `AsyncWrite`.
    writer: WaitSlot,
    /// SO_LINGER with a time, which the kernel is not told: all that it would do is let `close(2)` sleep.
    linger: Mutex<Option<Duration>>,
}

const BOTH: Events = Events::READABLE.union(Events::WRITABLE);

impl TcpStream {
    /// Connects to `addr`.
    ///
    /// # Errors
    /// Those of `connect(2)`: `ConnectionRefused`, `TimedOut`, `NetworkUnreachable`, `AddrNotAvailable` (no port is
    /// left), ..
    ///
    /// # Panics
    /// Outside a runtime, or in one that was built without `enable_io`.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket, whatever became of the connection.
    pub async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        TcpStream::connect_on(socket, addr).await
    }

    /// Connects a socket that has been prepared (bound, options set); it must be in non-blocking mode.
    ///
    /// # Errors
    /// As [`connect`](TcpStream::connect).
    pub async fn connect_on(socket: Socket, addr: SocketAddr) -> io::Result<TcpStream> {
        match socket.connect(&SockAddr::from(addr)) {
            Ok(()) => {}
            Err(error) if is_in_progress(&error) => {}
            Err(error) => return Err(error),
        }
        let stream = TcpStream::from_std(socket.into())?;
        // Writable, or in error: either way the handshake is over.
        stream.source.ready(Events::WRITABLE).await?;
        match stream.source.get_ref().take_error()? {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }

    /// Takes over a connection, which must be in non-blocking mode.
    ///
    /// # Errors
    /// When it can not be registered with the reactor.
    ///
    /// # Panics
    /// Outside a runtime, or in one that was built without `enable_io`.
    #[track_caller]
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        TcpStream::of_mio(mio::net::TcpStream::from_std(stream))
    }

    #[track_caller]
    fn of_mio(stream: mio::net::TcpStream) -> io::Result<TcpStream> {
        Ok(TcpStream {
            source: Source::new_socket(stream, BOTH)?,
            reader: WaitSlot::new(),
            writer: WaitSlot::new(),
            linger: Mutex::new(None),
        })
    }

    /// Takes over what a listener accepted.
    pub(super) fn of_accepted(
        (stream, peer): (mio::net::TcpStream, SocketAddr),
    ) -> io::Result<(TcpStream, SocketAddr)> {
        let stream = TcpStream::of_mio(stream)?;
        // It has room to write, and by now the peer's first bytes are often here as well.
        stream.source.presume_ready(Events::IN | Events::OUT);
        Ok((stream, peer))
    }

    /// Gives the connection back to the standard library; it stays in non-blocking mode.
    ///
    /// # Errors
    /// When the reactor does not know it. `InvalidInput` in a runtime that goes by io_uring, when bytes have been received that
    /// nobody has read: they would be lost, and the connection is closed instead. A task that has read until it would have to
    /// wait, or that has not read at all, need not fear that: receiving begins where a read waits, and ends here.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        Ok(self.source.into_inner()?.into())
    }

    /// Reads into `buf` when there is something; 0 is the end of the stream (or an empty `buf`).
    ///
    /// # Errors
    /// Those of `recv(2)`.
    pub fn poll_read(&self, cx: &mut Context<'_>, slot: &mut WaitSlot, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let asked = buf.len();
        self.source.poll_receive(cx, slot, |inlet| match inlet {
            Inlet::Socket(mut io) => retry(|| io.read(buf)).map(|n| transfer(n, asked)),
            Inlet::Received(bytes) => Ok(Transfer::Partial(copy_out(bytes, buf))),
        })
    }

    /// As [`poll_read`](TcpStream::poll_read), into several buffers in turn.
    ///
    /// # Errors
    /// Those of `readv(2)`.
    pub fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let asked = sum(bufs.iter().map(|buf| buf.len()));
        self.source.poll_receive(cx, slot, |inlet| match inlet {
            Inlet::Socket(mut io) => retry(|| io.read_vectored(bufs)).map(|n| transfer(n, asked)),
            Inlet::Received(bytes) => Ok(Transfer::Partial(copy_out_to_all(bytes, bufs))),
        })
    }

    /// Writes from `buf` when there is room; says how much.
    ///
    /// # Errors
    /// Those of `send(2)`: `BrokenPipe` (no signal is raised), `ConnectionReset`, ..
    pub fn poll_write(&self, cx: &mut Context<'_>, slot: &mut WaitSlot, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.source
            .poll_transfer(cx, slot, Events::WRITABLE, |mut io| retry(|| io.write(buf)).map(|n| transfer(n, buf.len())))
    }

    /// As [`poll_write`](TcpStream::poll_write), from several buffers in turn.
    ///
    /// # Errors
    /// Those of `writev(2)`.
    pub fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let asked = sum(bufs.iter().map(|buf| buf.len()));
        self.source.poll_transfer(cx, slot, Events::WRITABLE, |mut io| {
            retry(|| io.write_vectored(bufs)).map(|n| transfer(n, asked))
        })
    }

    /// Reads into `buf` and leaves the bytes in the socket.
    ///
    /// # Errors
    /// Those of `recv(2)`.
    pub fn poll_peek(&self, cx: &mut Context<'_>, slot: &mut WaitSlot, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.source.poll_peek(cx, slot, |inlet| peek(inlet, buf))
    }

    /// As [`poll_peek`](TcpStream::poll_peek).
    ///
    /// # Errors
    /// Those of `recv(2)`.
    ///
    /// # Cancel safety
    /// Nothing is taken from the socket.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.source.peek(|inlet| peek(inlet, buf)).await
    }

    /// Waits until there is something to read, or the end of the stream, or an error.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Nothing is taken from the socket.
    pub async fn readable(&self) -> io::Result<()> {
        self.source.ready(Events::READABLE).await.map(drop)
    }

    /// Waits until there is room to write, or an error.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Nothing is given to the socket.
    pub async fn writable(&self) -> io::Result<()> {
        self.source.ready(Events::WRITABLE).await.map(drop)
    }

    /// As [`readable`](TcpStream::readable) and [`writable`](TcpStream::writable), for who polls: `READABLE`,
    /// `WRITABLE` or both.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub fn poll_ready(&self, cx: &mut Context<'_>, slot: &mut WaitSlot, interest: Events) -> Poll<io::Result<Events>> {
        self.source.poll_ready(cx, slot, interest)
    }

    /// Reads what is there, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is; those of `recv(2)`.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.source.try_receive(|inlet| match inlet {
            Inlet::Socket(mut io) => retry(|| io.read(buf)).map(Transfer::Partial),
            Inlet::Received(bytes) => Ok(Transfer::Partial(copy_out(bytes, buf))),
        })
    }

    /// As [`try_read`](TcpStream::try_read), into several buffers in turn.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing to read; those of `readv(2)`.
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.source.try_receive(|inlet| match inlet {
            Inlet::Socket(mut io) => retry(|| io.read_vectored(bufs)).map(Transfer::Partial),
            Inlet::Received(bytes) => Ok(Transfer::Partial(copy_out_to_all(bytes, bufs))),
        })
    }

    /// Writes what there is room for, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; those of `send(2)`.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.source.try_io(Events::WRITABLE, |mut io| retry(|| io.write(buf)))
    }

    /// As [`try_write`](TcpStream::try_write), from several buffers in turn.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; those of `writev(2)`.
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.source.try_io(Events::WRITABLE, |mut io| retry(|| io.write_vectored(bufs)))
    }

    /// Closes one direction, or both: after `Write` the peer reads the end of the stream.
    ///
    /// # Errors
    /// Those of `shutdown(2)`: `NotConnected`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.source.get_ref().shutdown(how)
    }

    /// The address of this end.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.get_ref().local_addr()
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// Those of `getpeername(2)`: `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source.get_ref().peer_addr()
    }

    /// Whether small segments are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.source.get_ref().nodelay()
    }

    /// Sets whether small segments are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.source.get_ref().set_nodelay(nodelay)
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

    /// The error that is pending on the socket, which this takes.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.source.get_ref().take_error()
    }

    /// `getsockopt(2)`, with the time that was set for SO_LINGER.
    pub(crate) fn option(&self, opt: Opt) -> io::Result<Value> {
        let lingers = *self.linger.lock();
        match opt {
            Opt::Linger if lingers.is_some() => Ok(Value::Time(lingers)),
            opt => options::get(self.as_socket(), opt),
        }
    }

    /// `setsockopt(2)`. Dropping the stream never sleeps: a time for SO_LINGER other than zero is remembered here, and
    /// the kernel delivers what was written as it does without it.
    pub(crate) fn set_option(&self, opt: Opt, value: Value) -> io::Result<()> {
        let (Opt::Linger, Value::Time(time)) = (opt, value) else {
            return options::set(self.as_socket(), opt, value);
        };
        let (kernel, ours) = if time.is_some_and(|time| time.as_secs() > 0) { (None, time) } else { (time, None) };
        options::set(self.as_socket(), opt, Value::Time(kernel))?;
        *self.linger.lock() = ours;
        Ok(())
    }

    /// The socket itself, for its options.
    pub(crate) fn as_socket(&self) -> SockRef<'_> {
        SockRef::from(self.source.get_ref())
    }

    /// Gives up a slot that was used to poll this stream. Who polls and goes away before the stream has to.
    pub fn release(&self, slot: &mut WaitSlot) {
        self.source.release(slot);
    }

    /// Lends a direction's own slot out, for a poll that borrows the rest of the stream.
    fn with_slot<R>(&mut self, slot: fn(&mut Self) -> &mut WaitSlot, f: impl FnOnce(&Self, &mut WaitSlot) -> R) -> R {
        let mut lent = std::mem::take(slot(self));
        let result = f(self, &mut lent);
        *slot(self) = lent;
        result
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.get_mut().with_slot(|s| &mut s.reader, |this, slot| this.poll_read(cx, slot, buf))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().with_slot(|s| &mut s.reader, |this, slot| this.poll_read_vectored(cx, slot, bufs))
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().with_slot(|s| &mut s.writer, |this, slot| this.poll_write(cx, slot, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().with_slot(|s| &mut s.writer, |this, slot| this.poll_write_vectored(cx, slot, bufs))
    }

    /// Nothing is buffered above the kernel.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Closes the writing direction.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.shutdown(Shutdown::Write) {
            // The peer was faster: it is closed.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        })
    }
}

fn peek(inlet: Inlet<'_, mio::net::TcpStream>, buf: &mut [u8]) -> io::Result<Transfer<usize>> {
    match inlet {
        Inlet::Socket(io) => retry(|| io.peek(buf)).map(Transfer::Partial),
        Inlet::Received(bytes) => Ok(Transfer::Partial(copy_out(bytes, buf))),
    }
}

fn is_in_progress(error: &io::Error) -> bool {
    #[cfg(unix)]
    return error.raw_os_error() == Some(libc::EINPROGRESS);
    #[cfg(not(unix))]
    return error.kind() == io::ErrorKind::WouldBlock;
}

#[cfg(test)]
mod tests;
