//! TCP for tasks.

use crate::api::budget::budgeted;
use crate::api::options::tcp_options;
use crate::api::resolve::{ToSocketAddrs, no_address, resolve, target_of};
use crate::api::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use crate::fasync::{AsFile, Fcntl, sealed::Sealed};
use crate::forward::{forward_read, forward_write};
use crate::host::socket::file::SocketFile;
use crate::host::socket::tcp as emulated;
use crate::netns::Netns;
use crate::os;
use crate::sockopt::{Opt, Value};
use crate::tcp_info::TcpInfo;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use wakeline_runtime::wait_queue::{Events, WaitSlot};

/// A connection, on whichever network the task stood that opened it.
///
/// Reads and writes go through [`AsyncRead`](futures_io::AsyncRead) and [`AsyncWrite`](futures_io::AsyncWrite) of `futures-io`; their extension methods are
/// re-exported as `wakeline::io`. Dropping the stream closes it: with a FIN, or with a RST when received data was not
/// read.
///
/// # Cancel safety
/// A read or write that is dropped before it is ready has moved no byte.
///
/// # Examples
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
/// use wakeline_net::TcpStream;
///
/// let mut stream = TcpStream::connect("127.0.0.1:7000").await?;
/// stream.write_all(b"hello").await?;
/// let mut answer = [0; 5];
/// stream.read_exact(&mut answer).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TcpStream {
    pub(crate) socket: Connection,
    read: WaitSlot,
    write: WaitSlot,
}

/// A connection on one of the two networks.
#[derive(Debug)]
pub(crate) enum Connection {
    Os(os::TcpStream),
    Emulated(emulated::TcpStream),
}

impl Connection {
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Connection::Os(stream) => stream.poll_read(cx, slot, buf),
            Connection::Emulated(stream) => budgeted(cx, |cx| stream.poll_recv(cx, slot, buf)),
        }
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, slot: &mut WaitSlot, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Connection::Os(stream) => stream.poll_write(cx, slot, buf),
            Connection::Emulated(stream) => budgeted(cx, |cx| stream.poll_send(cx, slot, buf)),
        }
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Connection::Os(stream) => stream.poll_write_vectored(cx, slot, bufs),
            Connection::Emulated(stream) => budgeted(cx, |cx| stream.poll_send(cx, slot, bufs)),
        }
    }

    pub(crate) fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Connection::Os(stream) => stream.poll_read_vectored(cx, slot, bufs),
            Connection::Emulated(stream) => budgeted(cx, |cx| stream.poll_recv(cx, slot, bufs)),
        }
    }

    fn poll_peek(&self, cx: &mut Context<'_>, slot: &mut WaitSlot, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Connection::Os(stream) => stream.poll_peek(cx, slot, buf),
            Connection::Emulated(stream) => budgeted(cx, |cx| stream.poll_peek(cx, slot, buf)),
        }
    }

    pub(crate) fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        interest: Events,
    ) -> Poll<io::Result<Events>> {
        match self {
            Connection::Os(stream) => stream.poll_ready(cx, slot, interest),
            Connection::Emulated(stream) => budgeted(cx, |cx| stream.poll_ready(cx, slot, interest)),
        }
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Connection::Os(stream) => stream.shutdown(how),
            Connection::Emulated(stream) => stream.shutdown(how),
        }
    }

    pub(crate) fn close(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Connection::Os(stream) => stream.local_addr(),
            Connection::Emulated(stream) => stream.local_addr(),
        }
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Connection::Os(stream) => stream.peer_addr(),
            Connection::Emulated(stream) => stream.peer_addr(),
        }
    }

    pub(crate) fn release(&self, slot: &mut WaitSlot) {
        match self {
            Connection::Os(stream) => stream.release(slot),
            Connection::Emulated(stream) => stream.release(slot),
        }
    }

    /// The socket as `fcntl` sees it; none on the operating system's network.
    pub(crate) fn as_file(&self) -> Option<&dyn AsFile> {
        match self {
            Connection::Os(_) => None,
            Connection::Emulated(stream) => Some(stream),
        }
    }

    /// The socket as `poll` sees it; none on the operating system's network.
    pub(crate) fn file(&self) -> Option<SocketFile> {
        match self {
            Connection::Os(_) => None,
            Connection::Emulated(stream) => Some(stream.file()),
        }
    }

    async fn connect(addr: SocketAddr) -> io::Result<Connection> {
        match Netns::current() {
            Netns::Os => Ok(Connection::Os(os::TcpStream::connect(addr).await?)),
            Netns::Emulated(host) => Connection::finish(emulated::TcpStream::start_connect(host, addr)?).await,
        }
    }

    async fn finish(stream: emulated::TcpStream) -> io::Result<Connection> {
        // The slot needs no release: dropping the stream ends its wait queue.
        let mut slot = WaitSlot::new();
        poll_fn(|cx| stream.poll_connected(cx, &mut slot)).await?;
        Ok(Connection::Emulated(stream))
    }
}

impl TcpStream {
    pub(crate) fn new(socket: Connection) -> TcpStream {
        TcpStream { socket, read: WaitSlot::new(), write: WaitSlot::new() }
    }

    /// Connects to the first address of `target` that answers, on the network the calling task stands on.
    ///
    /// # Errors
    /// Those of looking the name up; `ConnectionRefused`, `TimedOut`, `HostUnreachable` and the others of `connect(2)`, for
    /// the last address tried.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the attempt and frees its port.
    pub async fn connect(target: impl ToSocketAddrs) -> io::Result<TcpStream> {
        let mut last = no_address();
        let target = target_of(&target);
        for addr in resolve(target).await? {
            match Connection::connect(addr).await {
                Ok(socket) => return Ok(TcpStream::new(socket)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Reads without taking: the same bytes are read again. Gives how many were copied; 0 is the end.
    ///
    /// # Errors
    /// Those of `recv(2)`.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut wait = SlotOf::new(&self.socket);
        poll_fn(|cx| self.socket.poll_peek(cx, &mut wait.slot, buf)).await
    }

    /// Waits until there is something to read, or the peer has closed.
    ///
    /// # Errors
    /// When the runtime shuts down.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn readable(&self) -> io::Result<()> {
        let mut wait = SlotOf::new(&self.socket);
        poll_fn(|cx| self.socket.poll_ready(cx, &mut wait.slot, Events::READABLE | Events::RDHUP)).await?;
        Ok(())
    }

    /// Waits until there is room to write.
    ///
    /// # Errors
    /// When the runtime shuts down.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn writable(&self) -> io::Result<()> {
        let mut wait = SlotOf::new(&self.socket);
        poll_fn(|cx| self.socket.poll_ready(cx, &mut wait.slot, Events::WRITABLE)).await?;
        Ok(())
    }

    /// Closes one direction or both.
    ///
    /// # Errors
    /// `NotConnected` when the peer has reset the connection.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }

    /// The address of this end.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// `NotConnected` when the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// The connection's figures at this moment (`TCP_INFO`).
    ///
    /// # Errors
    /// Those of `getsockopt(2)`; `Unsupported` where the operating system has no such option.
    pub fn tcp_info(&self) -> io::Result<TcpInfo> {
        match &self.socket {
            Connection::Os(stream) => os::options::tcp_info(&stream.as_socket()),
            Connection::Emulated(stream) => stream.info(),
        }
    }

    fn get_option(&self, opt: Opt) -> io::Result<Value> {
        match &self.socket {
            Connection::Os(stream) => stream.option(opt),
            Connection::Emulated(stream) => stream.option(opt),
        }
    }

    fn set_option(&self, opt: Opt, value: Value) -> io::Result<()> {
        match &self.socket {
            Connection::Os(stream) => stream.set_option(opt, value),
            Connection::Emulated(stream) => stream.set_option(opt, value),
        }
    }

    /// The error that is pending on the socket, which is cleared (`SO_ERROR`).
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match &self.socket {
            Connection::Os(stream) => stream.take_error(),
            Connection::Emulated(stream) => Ok(stream.take_error()),
        }
    }

    /// Two halves that borrow the stream and can be used at the same time, without a lock.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf::new(&self.socket, &mut self.read), WriteHalf::new(&self.socket, &mut self.write))
    }

    /// Two halves that can go to different tasks. Dropping the write half sends the FIN.
    #[must_use]
    pub fn into_split(mut self) -> (OwnedReadHalf, OwnedWriteHalf) {
        self.socket.release(&mut self.read);
        self.socket.release(&mut self.write);
        let socket = Arc::new(self.socket);
        (OwnedReadHalf::new(socket.clone()), OwnedWriteHalf::new(socket))
    }

    pub(crate) fn of_os(stream: os::TcpStream) -> TcpStream {
        TcpStream::new(Connection::Os(stream))
    }

    /// Waits until a connection is made that was begun.
    pub(crate) async fn finish_connect(stream: emulated::TcpStream) -> io::Result<TcpStream> {
        Ok(TcpStream::new(Connection::finish(stream).await?))
    }

    pub(crate) fn of_emulated(stream: emulated::TcpStream) -> TcpStream {
        TcpStream::new(Connection::Emulated(stream))
    }

    pub(crate) fn file(&self) -> Option<SocketFile> {
        self.socket.file()
    }
}

tcp_options!(TcpStream);

forward_read!(TcpStream, read);
forward_write!(TcpStream, write);

/// A slot of one async call, given back when the call ends or is dropped.
struct SlotOf<'a> {
    socket: &'a Connection,
    slot: WaitSlot,
}

impl<'a> SlotOf<'a> {
    fn new(socket: &'a Connection) -> Self {
        SlotOf { socket, slot: WaitSlot::new() }
    }
}

impl Drop for SlotOf<'_> {
    fn drop(&mut self) {
        self.socket.release(&mut self.slot);
    }
}

impl Sealed for TcpStream {
    fn emulated(&self) -> Option<&dyn AsFile> {
        self.socket.as_file()
    }
}

impl Fcntl for TcpStream {}
