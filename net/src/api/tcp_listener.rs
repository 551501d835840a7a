//! TCP listeners for tasks.

use crate::api::budget::budgeted;
use crate::api::options::tcp_options;
use crate::api::resolve::{ToSocketAddrs, first_of, resolve, target_of};
use crate::api::tcp::{Connection, TcpStream};
use crate::fasync::{AsFile, Fcntl, sealed::Sealed};
use crate::host::socket::file::{Places, SocketFile};
use crate::host::socket::tcp as emulated;
use crate::netns::Netns;
use crate::os;
use crate::sockopt::{Opt, Value};
use futures_core::Stream;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use wakeline_runtime::wait_queue::WaitSlot;

/// The backlog of a listener: how many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Accepts connections, on whichever network the task stood that bound it.
///
/// # Examples
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use wakeline_net::TcpListener;
///
/// let listener = TcpListener::bind("127.0.0.1:7000").await?;
/// loop {
///     let (stream, peer) = listener.accept().await?;
///     println!("{peer} has connected");
///     drop(stream);
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct TcpListener(pub(crate) Listener);

#[derive(Debug)]
pub(crate) enum Listener {
    Os(os::TcpListener),
    Emulated(emulated::TcpListener),
}

impl TcpListener {
    /// Listens on the first address of `target` that can be bound, with a backlog of 1024.
    ///
    /// # Errors
    /// Those of looking the name up; `AddrInUse`, `AddrNotAvailable` and the others of `bind(2)`.
    pub async fn bind(target: impl ToSocketAddrs) -> io::Result<TcpListener> {
        let target = target_of(&target);
        let addrs = resolve(target).await?;
        first_of(addrs, |addr| match Netns::current() {
            Netns::Os => Ok(TcpListener(Listener::Os(os::TcpListener::bind(addr)?))),
            Netns::Emulated(host) => {
                Ok(TcpListener(Listener::Emulated(emulated::TcpListener::bind(host, addr, BACKLOG)?)))
            }
        })
    }

    /// Takes the next connection, waiting for one if there is none.
    ///
    /// Waiters are served in the order in which they came, one for each connection.
    ///
    /// # Errors
    /// Those of `accept(2)`; most concern one connection only, and the listener goes on.
    ///
    /// # Cancel safety
    /// Dropping the future loses no connection.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let mut wait = AcceptSlots { listener: self, os: WaitSlot::new(), emulated: Places::new() };
        poll_fn(|cx| self.poll_accept(cx, &mut wait)).await
    }

    /// The connections as they come, as a stream without end.
    ///
    /// # Cancel safety
    /// Dropping the stream loses no connection.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { wait: AcceptSlots { listener: self, os: WaitSlot::new(), emulated: Places::new() } }
    }

    fn poll_accept(
        &self,
        cx: &mut Context<'_>,
        wait: &mut AcceptSlots<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let (socket, peer) = match &self.0 {
            Listener::Os(listener) => {
                let (stream, peer) = std::task::ready!(listener.poll_accept(cx, &mut wait.os))?;
                (Connection::Os(stream), peer)
            }
            Listener::Emulated(listener) => {
                let accepted = budgeted(cx, |cx| listener.poll_accept(cx, &mut wait.emulated));
                let (stream, peer) = std::task::ready!(accepted)?;
                (Connection::Emulated(stream), peer)
            }
        };
        Poll::Ready(Ok((TcpStream::new(socket), peer)))
    }

    /// The address that was bound, with the port that was chosen for port 0.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Listener::Os(listener) => listener.local_addr(),
            Listener::Emulated(listener) => listener.local_addr(),
        }
    }
}

impl TcpListener {
    pub(crate) fn of_os(listener: os::TcpListener) -> TcpListener {
        TcpListener(Listener::Os(listener))
    }

    pub(crate) fn of_emulated(listener: emulated::TcpListener) -> TcpListener {
        TcpListener(Listener::Emulated(listener))
    }

    pub(crate) fn file(&self) -> Option<SocketFile> {
        match &self.0 {
            Listener::Os(_) => None,
            Listener::Emulated(listener) => Some(listener.file()),
        }
    }

    /// The error that is pending on the socket, which is cleared (`SO_ERROR`).
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match &self.0 {
            Listener::Os(listener) => listener.as_socket().take_error(),
            // Nothing that happens to a listener of an emulated host outlasts the call that meets it.
            Listener::Emulated(_) => Ok(None),
        }
    }

    fn get_option(&self, opt: Opt) -> io::Result<Value> {
        match &self.0 {
            Listener::Os(listener) => os::options::get(listener.as_socket(), opt),
            Listener::Emulated(listener) => listener.option(opt),
        }
    }

    fn set_option(&self, opt: Opt, value: Value) -> io::Result<()> {
        match &self.0 {
            Listener::Os(listener) => os::options::set(listener.as_socket(), opt, value),
            Listener::Emulated(listener) => listener.set_option(opt, value),
        }
    }
}

tcp_options!(TcpListener);

/// The stream of [`TcpListener::incoming`].
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Incoming<'a> {
    wait: AcceptSlots<'a>,
}

impl Stream for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let wait = &mut self.get_mut().wait;
        let listener = wait.listener;
        listener.poll_accept(cx, wait).map(|accepted| Some(accepted.map(|(stream, _peer)| stream)))
    }
}

/// The places of one `accept` call in the wait queues, given back when it ends or is dropped.
#[derive(Debug)]
struct AcceptSlots<'a> {
    listener: &'a TcpListener,
    os: WaitSlot,
    emulated: Places,
}

impl Drop for AcceptSlots<'_> {
    fn drop(&mut self) {
        match &self.listener.0 {
            Listener::Os(listener) => listener.release(&mut self.os),
            Listener::Emulated(listener) => listener.release(&mut self.emulated),
        }
    }
}

impl Sealed for TcpListener {
    fn emulated(&self) -> Option<&dyn AsFile> {
        match &self.0 {
            Listener::Emulated(listener) => Some(listener.as_file()),
            _ => None,
        }
    }
}

impl Fcntl for TcpListener {}
