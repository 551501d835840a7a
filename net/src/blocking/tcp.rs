//! TCP for threads.

use crate::api::options::tcp_options;
use crate::api::resolve::{ToSocketAddrs, first_of, resolve_blocking, target_of};
use crate::fasync::{AsFile, Fcntl, sealed::Sealed};
use crate::host::socket::file::SocketFile;
use crate::host::socket::tcp as emulated;
use crate::netns::Netns;
use crate::os;
use crate::sockopt::{Opt, Value};
use crate::tcp_info::TcpInfo;
use socket2::SockRef;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The backlog of a listener.
const BACKLOG: u32 = 1024;

/// A connection for threads; as [`std::net::TcpStream`], on whichever network the thread stood that opened it.
///
/// Dropping the last clone closes the connection.
#[derive(Debug)]
pub struct TcpStream(Stream);

#[derive(Debug)]
enum Stream {
    Os(std::net::TcpStream),
    Emulated(Descriptor),
}

/// One of the descriptors of a socket.
#[derive(Debug)]
struct Descriptor {
    file: Arc<Emulated>,
    number: u32,
}

impl Deref for Descriptor {
    type Target = Emulated;

    fn deref(&self) -> &Emulated {
        &self.file
    }
}

#[derive(Debug)]
struct Emulated {
    socket: emulated::TcpStream,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    nonblocking: bool,
    /// How many descriptors were made.
    descriptors: u32,
}

impl State {
    /// How long a read may sleep.
    fn read(self) -> Option<Duration> {
        if self.nonblocking { Some(Duration::ZERO) } else { self.read_timeout }
    }

    /// How long a write may sleep.
    fn write(self) -> Option<Duration> {
        if self.nonblocking { Some(Duration::ZERO) } else { self.write_timeout }
    }
}

impl TcpStream {
    /// Connects to the first address of `target` that answers; the thread sleeps until then.
    ///
    /// # Errors
    /// Those of looking the name up, and of `connect(2)` for the last address tried.
    pub fn connect(target: impl ToSocketAddrs) -> io::Result<TcpStream> {
        first_of(resolve_blocking(target_of(&target))?, |addr| match Netns::current() {
            Netns::Os => Ok(TcpStream(Stream::Os(std::net::TcpStream::connect(addr)?))),
            Netns::Emulated(host) => {
                let socket = emulated::TcpStream::start_connect(host, addr)?;
                socket.connected_blocking(None)?;
                Ok(TcpStream::emulated(socket))
            }
        })
    }

    pub(super) fn of_os(stream: std::net::TcpStream) -> TcpStream {
        TcpStream(Stream::Os(stream))
    }

    pub(super) fn emulated(socket: emulated::TcpStream) -> TcpStream {
        let file = Arc::new(Emulated { socket, state: Mutex::default() });
        TcpStream(Stream::Emulated(Descriptor { file, number: 0 }))
    }

    /// Another handle to the same connection.
    ///
    /// # Errors
    /// Those of `dup(2)`.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        match &self.0 {
            Stream::Os(stream) => Ok(TcpStream(Stream::Os(stream.try_clone()?))),
            Stream::Emulated(stream) => Ok(TcpStream(Stream::Emulated(stream.dup()))),
        }
    }

    /// Closes one direction or both.
    ///
    /// # Errors
    /// `NotConnected` when the connection is gone.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match &self.0 {
            Stream::Os(stream) => stream.shutdown(how),
            Stream::Emulated(stream) => stream.socket.shutdown(how),
        }
    }

    /// The address of this end.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Stream::Os(stream) => stream.local_addr(),
            Stream::Emulated(stream) => stream.socket.local_addr(),
        }
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// `NotConnected` when the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Stream::Os(stream) => stream.peer_addr(),
            Stream::Emulated(stream) => stream.socket.peer_addr(),
        }
    }

    /// The connection's figures at this moment (`TCP_INFO`).
    ///
    /// # Errors
    /// Those of `getsockopt(2)`; `Unsupported` where the operating system has no such option.
    pub fn tcp_info(&self) -> io::Result<TcpInfo> {
        match &self.0 {
            Stream::Os(stream) => os::options::tcp_info(&SockRef::from(stream)),
            Stream::Emulated(stream) => stream.socket.info(),
        }
    }

    /// The error that is pending on the socket, which is cleared (`SO_ERROR`).
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match &self.0 {
            Stream::Os(stream) => stream.take_error(),
            Stream::Emulated(stream) => Ok(stream.socket.take_error()),
        }
    }

    /// The socket as `poll` sees it, and which of its descriptors this is.
    pub(crate) fn file(&self) -> Option<(SocketFile, u32)> {
        match &self.0 {
            Stream::Os(_) => None,
            Stream::Emulated(stream) => Some((stream.socket.file(), stream.number)),
        }
    }

    fn get_option(&self, opt: Opt) -> io::Result<Value> {
        match &self.0 {
            Stream::Os(stream) => os::options::get(SockRef::from(stream), opt),
            Stream::Emulated(stream) => stream.socket.option(opt),
        }
    }

    fn set_option(&self, opt: Opt, value: Value) -> io::Result<()> {
        match &self.0 {
            Stream::Os(stream) => os::options::set(SockRef::from(stream), opt, value),
            Stream::Emulated(stream) => stream.socket.set_option(opt, value),
        }
    }

    /// How long a read may sleep before it fails with `WouldBlock`; `None` is for ever.
    ///
    /// # Errors
    /// `InvalidInput` for a timeout of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match &self.0 {
            Stream::Os(stream) => stream.set_read_timeout(timeout),
            Stream::Emulated(stream) => {
                stream.state().read_timeout = not_zero(timeout)?;
                Ok(())
            }
        }
    }

    /// How long a write may sleep before it fails with `WouldBlock`; `None` is for ever.
    ///
    /// # Errors
    /// `InvalidInput` for a timeout of zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match &self.0 {
            Stream::Os(stream) => stream.set_write_timeout(timeout),
            Stream::Emulated(stream) => {
                stream.state().write_timeout = not_zero(timeout)?;
                Ok(())
            }
        }
    }
}

impl TcpStream {
    /// Whether reads and writes that would sleep fail with `WouldBlock` instead (`O_NONBLOCK`), for all clones.
    ///
    /// # Errors
    /// Those of `fcntl(2)`.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match &self.0 {
            Stream::Os(stream) => stream.set_nonblocking(nonblocking),
            Stream::Emulated(stream) => {
                stream.state().nonblocking = nonblocking;
                Ok(())
            }
        }
    }
}

tcp_options!(TcpStream);

impl Descriptor {
    /// `dup(2)`
    fn dup(&self) -> Descriptor {
        let mut state = self.state();
        state.descriptors += 1;
        Descriptor { file: self.file.clone(), number: state.descriptors }
    }
}

impl Emulated {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn not_zero(timeout: Option<Duration>) -> io::Result<Option<Duration>> {
    if timeout == Some(Duration::ZERO) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "cannot set a 0 duration timeout"));
    }
    Ok(timeout)
}

impl Read for &TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Stream::Os(stream) => (&mut &*stream).read(buf),
            Stream::Emulated(stream) => {
                let timeout = stream.state().read();
                stream.socket.recv_blocking(buf, timeout)
            }
        }
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match &self.0 {
            Stream::Os(stream) => (&mut &*stream).read_vectored(bufs),
            Stream::Emulated(stream) => {
                let timeout = stream.state().read();
                stream.socket.recv_blocking(bufs, timeout)
            }
        }
    }
}

impl Write for &TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Stream::Os(stream) => (&mut &*stream).write(buf),
            Stream::Emulated(stream) => {
                let timeout = stream.state().write();
                stream.socket.send_blocking(buf, timeout)
            }
        }
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.0 {
            Stream::Os(stream) => (&mut &*stream).write_vectored(bufs),
            Stream::Emulated(stream) => {
                let timeout = stream.state().write();
                stream.socket.send_blocking(bufs, timeout)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&mut &*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&mut &*self).read_vectored(bufs)
    }
}

impl Write for TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&mut &*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&mut &*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Accepts connections on threads; as [`std::net::TcpListener`].
#[derive(Debug)]
pub struct TcpListener(Listener);

#[derive(Debug)]
enum Listener {
    Os(std::net::TcpListener),
    Emulated { listener: emulated::TcpListener, is_nonblocking: Mutex<bool> },
}

impl TcpListener {
    /// Listens on the first address of `target` that can be bound.
    ///
    /// # Errors
    /// Those of looking the name up; `AddrInUse`, `AddrNotAvailable` and the others of `bind(2)`.
    pub fn bind(target: impl ToSocketAddrs) -> io::Result<TcpListener> {
        first_of(resolve_blocking(target_of(&target))?, |addr| match Netns::current() {
            Netns::Os => Ok(TcpListener(Listener::Os(std::net::TcpListener::bind(addr)?))),
            Netns::Emulated(host) => Ok(TcpListener::of_emulated(emulated::TcpListener::bind(host, addr, BACKLOG)?)),
        })
    }

    /// Takes the next connection; the thread sleeps until there is one. Threads are served in the order in which they
    /// came, one for each connection.
    ///
    /// # Errors
    /// Those of `accept(2)`.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.0 {
            Listener::Os(listener) => {
                let (stream, peer) = listener.accept()?;
                Ok((TcpStream(Stream::Os(stream)), peer))
            }
            Listener::Emulated { listener, is_nonblocking } => {
                let is_nonblocking = *is_nonblocking.lock().unwrap_or_else(PoisonError::into_inner);
                let (socket, peer) = listener.accept_blocking(is_nonblocking.then_some(Duration::ZERO))?;
                Ok((TcpStream::emulated(socket), peer))
            }
        }
    }

    /// Whether [`accept`](TcpListener::accept) fails with `WouldBlock` when there is no connection (`O_NONBLOCK`).
    ///
    /// # Errors
    /// Those of `fcntl(2)`.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match &self.0 {
            Listener::Os(listener) => listener.set_nonblocking(nonblocking),
            Listener::Emulated { is_nonblocking, .. } => {
                *is_nonblocking.lock().unwrap_or_else(PoisonError::into_inner) = nonblocking;
                Ok(())
            }
        }
    }

    /// The connections as they come, without end.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming(self)
    }

    /// The address that was bound, with the port that was chosen for port 0.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Listener::Os(listener) => listener.local_addr(),
            Listener::Emulated { listener, .. } => listener.local_addr(),
        }
    }
}

impl TcpListener {
    pub(super) fn of_os(listener: std::net::TcpListener) -> TcpListener {
        TcpListener(Listener::Os(listener))
    }

    pub(crate) fn file(&self) -> Option<SocketFile> {
        match &self.0 {
            Listener::Os(_) => None,
            Listener::Emulated { listener, .. } => Some(listener.file()),
        }
    }

    pub(super) fn of_emulated(listener: emulated::TcpListener) -> TcpListener {
        TcpListener(Listener::Emulated { listener, is_nonblocking: Mutex::new(false) })
    }

    fn get_option(&self, opt: Opt) -> io::Result<Value> {
        match &self.0 {
            Listener::Os(listener) => os::options::get(SockRef::from(listener), opt),
            Listener::Emulated { listener, .. } => listener.option(opt),
        }
    }

    fn set_option(&self, opt: Opt, value: Value) -> io::Result<()> {
        match &self.0 {
            Listener::Os(listener) => os::options::set(SockRef::from(listener), opt, value),
            Listener::Emulated { listener, .. } => listener.set_option(opt, value),
        }
    }
}

tcp_options!(TcpListener);

/// The iterator of [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a>(&'a TcpListener);

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.accept().map(|(stream, _peer)| stream))
    }
}

impl Sealed for TcpStream {
    fn emulated(&self) -> Option<&dyn AsFile> {
        match &self.0 {
            Stream::Emulated(stream) => Some(&stream.socket),
            _ => None,
        }
    }
}

impl Fcntl for TcpStream {}

impl Sealed for TcpListener {
    fn emulated(&self) -> Option<&dyn AsFile> {
        match &self.0 {
            Listener::Emulated { listener, .. } => Some(listener.as_file()),
            _ => None,
        }
    }
}

impl Fcntl for TcpListener {}
