//! Readiness, and calls that do not wait, of the sockets on both networks.
//!
//! The system's sockets know what the reactor has told, so the first such call on a new socket may say `WouldBlock` where a
//! `ready` before it would have waited a moment; the emulated ones look at the socket.

use crate::api::tcp::{Connection, TcpStream};
use crate::api::udp::{Socket, UdpSocket};
use crate::host::socket::attempt::or_would_block;
use crate::host::socket::file::Places;
use crate::syscall::Syscall;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};
use wakeline_runtime::wait_queue::{Events, WaitSlot};

impl TcpStream {
    /// Waits until it is ready for some of `interest`, `READABLE`, `WRITABLE` or both, and says for what.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Yes.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(stream: wakeline_net::TcpStream) -> std::io::Result<()> {
    /// use std::io::ErrorKind;
    /// use wakeline_runtime::wait_queue::Events;
    ///
    /// let ready = stream.ready(Events::READABLE | Events::WRITABLE).await?;
    /// if ready.intersects(Events::READABLE) {
    ///     let mut buf = [0; 4096];
    ///     match stream.try_read(&mut buf) {
    ///         Ok(n) => println!("{n} bytes"),
    ///         Err(error) if error.kind() == ErrorKind::WouldBlock => {} // it was not, after all
    ///         Err(error) => return Err(error),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn ready(&self, interest: Events) -> io::Result<Events> {
        let mut wait = OfStream { socket: &self.socket, slot: WaitSlot::new() };
        poll_fn(|cx| self.socket.poll_ready(cx, &mut wait.slot, interest)).await
    }

    /// Reads what is there, without waiting; 0 is the end.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is; those of `recv(2)`.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.try_read(buf)
    }

    /// As [`try_read`](TcpStream::try_read), into several buffers in turn.
    ///
    /// # Errors
    /// As [`try_read`](TcpStream::try_read).
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match &self.socket {
            Connection::Os(stream) => stream.try_read_vectored(bufs),
            Connection::Emulated(stream) => stream.recv_now(bufs),
        }
    }

    /// Writes what there is room for, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; those of `send(2)`.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.try_write(buf)
    }

    /// As [`try_write`](TcpStream::try_write), from several buffers in turn.
    ///
    /// # Errors
    /// As [`try_write`](TcpStream::try_write).
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.socket {
            Connection::Os(stream) => stream.try_write_vectored(bufs),
            Connection::Emulated(stream) => stream.send_now(bufs),
        }
    }

    /// Does `op` if the stream is known to be ready for `interest`: several `try_*` calls, or one on the descriptor of a
    /// system's socket.
    ///
    /// # Errors
    /// `WouldBlock` when it is not ready; those of `op`, whose `WouldBlock` clears what is known. `InvalidInput` in a runtime
    /// that goes by io_uring, when bytes were received for the stream that nobody has read: they come first, by `try_read`.
    pub fn try_io<R>(&self, interest: Events, mut op: impl FnMut() -> io::Result<R>) -> io::Result<R> {
        match &self.socket {
            Connection::Os(stream) => stream.try_io(interest, op),
            socket => {
                let mut wait = OfStream { socket, slot: WaitSlot::new() };
                or_would_block(socket.poll_ready(&mut Context::from_waker(Waker::noop()), &mut wait.slot, interest))?;
                op()
            }
        }
    }

    /// Waits and does `op`, until it does anything but fail with `WouldBlock`.
    ///
    /// # Errors
    /// Those of `op`, or that the runtime is shutting down.
    ///
    /// # Cancel safety
    /// When the future is dropped before it is ready, `op` has done nothing but fail with `WouldBlock`.
    pub async fn async_io<R>(&self, interest: Events, mut op: impl FnMut() -> io::Result<R>) -> io::Result<R> {
        loop {
            self.ready(interest).await?;
            match self.try_io(interest, &mut op) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }
}

impl Connection {
    pub(crate) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Connection::Os(stream) => stream.try_read(buf),
            Connection::Emulated(stream) => stream.recv_now(buf),
        }
    }

    pub(crate) fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Connection::Os(stream) => stream.try_write(buf),
            Connection::Emulated(stream) => stream.send_now(buf),
        }
    }
}

/// The place of one call in a stream's queue.
struct OfStream<'a> {
    socket: &'a Connection,
    slot: WaitSlot,
}

impl Drop for OfStream<'_> {
    fn drop(&mut self) {
        self.socket.release(&mut self.slot);
    }
}

impl UdpSocket {
    /// Waits until it is ready for some of `interest`, `READABLE`, `WRITABLE` or both, and says for what.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn ready(&self, interest: Events) -> io::Result<Events> {
        match &self.0 {
            Socket::Os(socket) => socket.ready(interest).await,
            Socket::Emulated(socket) => {
                let mut wait = OfSocket { socket: self, emulated: Places::new() };
                poll_fn(|cx| socket.poll_ready(cx, &mut wait.emulated, interest)).await
            }
        }
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

    /// As [`recv`](UdpSocket::recv), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is no datagram; those of [`recv`](UdpSocket::recv).
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Socket::Os(socket) => socket.try_recv(buf),
            Socket::Emulated(_) => self.try_recv_from(buf).map(|(n, _)| n),
        }
    }

    /// As [`recv_from`](UdpSocket::recv_from), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is no datagram; those of [`recv_from`](UdpSocket::recv_from).
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match &self.0 {
            Socket::Os(socket) => socket.try_recv_from(buf),
            Socket::Emulated(socket) => {
                let received = self.spread(|cx, slots| socket.poll_recv_from(cx, slots, buf, false));
                match received {
                    Poll::Ready(received) => received,
                    Poll::Pending => Err(socket.told_would_block(Syscall::Recvfrom)),
                }
            }
        }
    }

    /// As [`send`](UdpSocket::send), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; those of [`send`](UdpSocket::send).
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Socket::Os(socket) => socket.try_send(buf),
            Socket::Emulated(_) => self.try_send_emulated(buf, None),
        }
    }

    /// As [`send_to`](UdpSocket::send_to), without waiting, and to an address: a name would have to be looked up.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; those of [`send_to`](UdpSocket::send_to).
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        match &self.0 {
            Socket::Os(socket) => socket.try_send_to(buf, target),
            Socket::Emulated(_) => self.try_send_emulated(buf, Some(target)),
        }
    }

    /// Does `op` if the socket is known to be ready for `interest`: several `try_*` calls, or one on the descriptor of a
    /// system's socket.
    ///
    /// # Errors
    /// `WouldBlock` when it is not ready; those of `op`, whose `WouldBlock` clears what is known.
    pub fn try_io<R>(&self, interest: Events, mut op: impl FnMut() -> io::Result<R>) -> io::Result<R> {
        match &self.0 {
            Socket::Os(socket) => socket.try_io(interest, op),
            Socket::Emulated(socket) => {
                or_would_block(self.spread(|cx, slots| socket.poll_ready(cx, slots, interest)))?;
                op()
            }
        }
    }

    fn try_send_emulated(&self, buf: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        let Socket::Emulated(socket) = &self.0 else { unreachable!("its callers have looked") };
        // A datagram never waits for room there, so no place in a queue is left behind.
        let mut slot = WaitSlot::new();
        or_would_block(socket.poll_send_to(&mut Context::from_waker(Waker::noop()), &mut slot, buf, to))
    }

    fn spread<R>(&self, poll: impl FnOnce(&mut Context<'_>, &mut Places) -> Poll<R>) -> Poll<R> {
        let mut wait = OfSocket { socket: self, emulated: Places::new() };
        poll(&mut Context::from_waker(Waker::noop()), &mut wait.emulated)
    }
}

/// The places of one call in the queues of an emulated socket.
struct OfSocket<'a> {
    socket: &'a UdpSocket,
    emulated: Places,
}

impl Drop for OfSocket<'_> {
    fn drop(&mut self) {
        if let Socket::Emulated(socket) = &self.socket.0 {
            socket.release(&mut self.emulated);
        }
    }
}
