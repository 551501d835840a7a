//! Unix sockets that accept connections.

use super::addr::address;
use super::stream::UnixStream;
use crate::os::transfer::retry;
use futures_core::Stream;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use wakeline_runtime::io::Source;
use wakeline_runtime::wait_queue::{Events, WaitSlot};

/// A Unix socket that accepts connections; see [the module](crate::unix) about paths.
///
/// # Examples
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use wakeline_net::UnixListener;
///
/// let listener = UnixListener::bind("/run/service.sock")?;
/// let (stream, _) = listener.accept().await?;
/// # drop(stream);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct UnixListener {
    source: Source<mio::net::UnixListener>,
}

impl UnixListener {
    /// Listens on a path, with the backlog that std takes.
    ///
    /// # Errors
    /// Those of `bind(2)` and `listen(2)`: `AddrInUse` when there is a file, `NotFound`, `PermissionDenied`, ..;
    /// `InvalidInput` for a path that is too long.
    ///
    /// # Panics
    /// Outside a runtime, or in one that was built without `enable_io`.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        UnixListener::bind_addr(&address(path.as_ref())?)
    }

    /// As [`bind`](UnixListener::bind).
    ///
    /// # Errors
    /// As [`bind`](UnixListener::bind).
    ///
    /// # Panics
    /// As [`bind`](UnixListener::bind).
    #[track_caller]
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixListener> {
        UnixListener::of_mio(mio::net::UnixListener::bind_addr(addr)?)
    }

    /// Takes over a listener, which must be in non-blocking mode.
    ///
    /// # Errors
    /// When it can not be registered with the reactor.
    ///
    /// # Panics
    /// As [`bind`](UnixListener::bind).
    #[track_caller]
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
        UnixListener::of_mio(mio::net::UnixListener::from_std(listener))
    }

    #[track_caller]
    fn of_mio(listener: mio::net::UnixListener) -> io::Result<UnixListener> {
        Ok(UnixListener { source: Source::new(listener, Events::READABLE)? })
    }

    /// Gives the listener back to the standard library; it stays in non-blocking mode.
    ///
    /// # Errors
    /// When the reactor does not know it.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixListener> {
        Ok(self.source.into_inner()?.into())
    }

    /// Takes the next connection, waiting for one if there is none. The peer's address has a path only if it bound one.
    ///
    /// # Errors
    /// Those of `accept(2)`. A connection for which a descriptor was lacking (`EMFILE`) stays in the backlog.
    ///
    /// # Cancel safety
    /// No connection is lost.
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let mut wait = Wait { listener: self, slot: WaitSlot::new() };
        poll_fn(|cx| self.poll_accept(cx, &mut wait.slot)).await
    }

    /// As [`accept`](UnixListener::accept), for who polls, with a slot of its own.
    ///
    /// # Errors
    /// As [`accept`](UnixListener::accept).
    pub fn poll_accept(&self, cx: &mut Context<'_>, slot: &mut WaitSlot) -> Poll<io::Result<(UnixStream, SocketAddr)>> {
        let accepted = self.source.poll_io(cx, slot, Events::READABLE, |listener| retry(|| listener.accept()));
        let (stream, peer) = ready!(accepted)?;
        Poll::Ready(UnixStream::of_connected(stream).map(|stream| (stream, peer)))
    }

    /// The connections as they come, as a stream without end.
    ///
    /// # Cancel safety
    /// Dropping the stream loses no connection.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { wait: Wait { listener: self, slot: WaitSlot::new() } }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.get_ref().local_addr()
    }

    /// The error that is pending on the socket, which this takes.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.source.get_ref().take_error()
    }

    /// Gives up a slot that was used to poll this listener.
    pub fn release(&self, slot: &mut WaitSlot) {
        self.source.release(slot);
    }
}

/// The place of one call in the wait queue, given back when it ends or is dropped.
#[derive(Debug)]
struct Wait<'a> {
    listener: &'a UnixListener,
    slot: WaitSlot,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.listener.release(&mut self.slot);
    }
}

/// The stream of [`UnixListener::incoming`].
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Incoming<'a> {
    wait: Wait<'a>,
}

impl Stream for Incoming<'_> {
    type Item = io::Result<UnixStream>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let wait = &mut self.get_mut().wait;
        wait.listener.poll_accept(cx, &mut wait.slot).map(|accepted| Some(accepted.map(|(stream, _peer)| stream)))
    }
}

impl AsFd for UnixListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.get_ref().as_fd()
    }
}

impl AsRawFd for UnixListener {
    fn as_raw_fd(&self) -> RawFd {
        self.source.get_ref().as_raw_fd()
    }
}
