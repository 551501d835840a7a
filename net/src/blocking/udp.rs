//! UDP for threads.

use crate::api::options::{UdpBindOptions, udp_options};
use crate::api::resolve::{ToSocketAddrs, first_of, no_address, resolve_blocking, target_of};
use crate::blocking::tcp::not_zero;
use crate::extended_error::ExtendedError;
use crate::fasync::{AsFile, Fcntl, sealed::Sealed};
use crate::host::socket::file::SocketFile;
use crate::host::socket::udp as emulated;
use crate::netns::Netns;
use crate::os;
use crate::sockopt::{Opt, Value};
use socket2::SockRef;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A UDP socket for threads; as [`std::net::UdpSocket`], on whichever network the thread stood that bound it.
#[derive(Debug)]
pub struct UdpSocket(Socket);

#[derive(Debug)]
enum Socket {
    Os(std::net::UdpSocket),
    Emulated { socket: emulated::UdpSocket, timeout: Mutex<Timeout> },
}

/// How long a receive may sleep.
#[derive(Clone, Copy, Debug, Default)]
struct Timeout {
    read: Option<Duration>,
    nonblocking: bool,
}

impl UdpSocket {
    /// Binds to the first address of `target` that can be bound.
    ///
    /// # Errors
    /// Those of looking the name up; `AddrInUse`, `AddrNotAvailable` and the others of `bind(2)`.
    pub fn bind(target: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        UdpSocket::bind_with(target, UdpBindOptions::new())
    }

    /// The same with options that an address is bound with.
    ///
    /// # Errors
    /// As [`bind`](UdpSocket::bind); `Unsupported` where the operating system has no such option.
    pub fn bind_with(target: impl ToSocketAddrs, options: UdpBindOptions) -> io::Result<UdpSocket> {
        first_of(resolve_blocking(target_of(&target))?, |addr| match Netns::current() {
            Netns::Os => Ok(UdpSocket(Socket::Os(os::options::udp_socket(addr, options.sharing)?))),
            Netns::Emulated(host) => {
                let socket = emulated::UdpSocket::bind(host, addr, options.sharing)?;
                Ok(UdpSocket(Socket::Emulated { socket, timeout: Mutex::default() }))
            }
        })
    }

    /// Fixes the peer: [`send`](UdpSocket::send) goes there, and only its datagrams are received.
    ///
    /// # Errors
    /// Those of looking the name up, and of `connect(2)`.
    pub fn connect(&self, target: impl ToSocketAddrs) -> io::Result<()> {
        first_of(resolve_blocking(target_of(&target))?, |addr| match &self.0 {
            Socket::Os(socket) => socket.connect(addr),
            Socket::Emulated { socket, .. } => socket.connect(addr),
        })
    }

    /// Sends one datagram to the peer given to [`connect`](UdpSocket::connect).
    ///
    /// # Errors
    /// Those of `send(2)`.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Socket::Os(socket) => socket.send(buf),
            Socket::Emulated { socket, .. } => socket.send_to_blocking(buf, None),
        }
    }

    /// Sends one datagram to the first address of `target`.
    ///
    /// # Errors
    /// Those of looking the name up, and of `sendto(2)`.
    pub fn send_to(&self, buf: &[u8], target: impl ToSocketAddrs) -> io::Result<usize> {
        let addr = resolve_blocking(target_of(&target))?.first().copied().ok_or_else(no_address)?;
        match &self.0 {
            Socket::Os(socket) => socket.send_to(buf, addr),
            Socket::Emulated { socket, .. } => socket.send_to_blocking(buf, Some(addr)),
        }
    }

    /// Takes one datagram from the peer; the thread sleeps until there is one.
    ///
    /// # Errors
    /// Those of `recv(2)`; `WouldBlock` when the read timeout has passed.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.recv_from(buf)?.0)
    }

    /// Takes one datagram; the thread sleeps until there is one. What does not fit into `buf` is cut off.
    ///
    /// # Errors
    /// Those of `recvfrom(2)`; `WouldBlock` when the read timeout has passed.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_datagram(buf, false)
    }

    /// As [`recv_from`](UdpSocket::recv_from), but leaves the datagram in the queue.
    ///
    /// # Errors
    /// Those of `recvfrom(2)`.
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_datagram(buf, true)
    }

    fn recv_datagram(&self, buf: &mut [u8], peek: bool) -> io::Result<(usize, SocketAddr)> {
        match &self.0 {
            Socket::Os(socket) if peek => socket.peek_from(buf),
            Socket::Os(socket) => socket.recv_from(buf),
            Socket::Emulated { socket, timeout } => {
                let Timeout { read, nonblocking } = *timeout.lock().unwrap_or_else(PoisonError::into_inner);
                let timeout = if nonblocking { Some(Duration::ZERO) } else { read };
                socket.recv_from_blocking(buf, peek, timeout)
            }
        }
    }

    /// Whether a receive that would sleep fails with `WouldBlock` instead (`O_NONBLOCK`).
    ///
    /// # Errors
    /// Those of `fcntl(2)`.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match &self.0 {
            Socket::Os(socket) => socket.set_nonblocking(nonblocking),
            Socket::Emulated { timeout, .. } => {
                timeout.lock().unwrap_or_else(PoisonError::into_inner).nonblocking = nonblocking;
                Ok(())
            }
        }
    }

    /// How long a receive may sleep before it fails with `WouldBlock`; `None` is for ever.
    ///
    /// # Errors
    /// `InvalidInput` for a timeout of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match &self.0 {
            Socket::Os(socket) => socket.set_read_timeout(timeout),
            Socket::Emulated { timeout: kept, .. } => {
                kept.lock().unwrap_or_else(PoisonError::into_inner).read = not_zero(timeout)?;
                Ok(())
            }
        }
    }

    /// The error that is pending on the socket, which is cleared (`SO_ERROR`).
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match &self.0 {
            Socket::Os(socket) => socket.take_error(),
            Socket::Emulated { socket, .. } => Ok(socket.take_error()),
        }
    }

    /// Takes what the network has said about one datagram of the socket's, as
    /// [the task's](crate::UdpSocket::try_recv_error).
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing; `Unsupported` where the operating system has no such queue.
    pub fn try_recv_error(&self) -> io::Result<ExtendedError> {
        match &self.0 {
            Socket::Os(socket) => os::error_queue::recv_error(SockRef::from(socket)),
            Socket::Emulated { socket, .. } => socket.try_recv_error(),
        }
    }

    /// The socket, if it is an emulated one.
    pub(crate) fn emulated(&self) -> Option<&emulated::UdpSocket> {
        match &self.0 {
            Socket::Os(_) => None,
            Socket::Emulated { socket, .. } => Some(socket),
        }
    }

    pub(crate) fn file(&self) -> Option<SocketFile> {
        self.emulated().map(emulated::UdpSocket::file)
    }

    fn get_option(&self, opt: Opt) -> io::Result<Value> {
        match &self.0 {
            Socket::Os(socket) => os::options::get(SockRef::from(socket), opt),
            Socket::Emulated { socket, .. } => socket.option(opt),
        }
    }

    fn set_option(&self, opt: Opt, value: Value) -> io::Result<()> {
        match &self.0 {
            Socket::Os(socket) => os::options::set(SockRef::from(socket), opt, value),
            Socket::Emulated { socket, .. } => socket.set_option(opt, value),
        }
    }

    /// Joins a group of IPv4 on the interface with this address; `0.0.0.0` lets the network choose.
    ///
    /// # Errors
    /// `InvalidInput` for what is no group, `AddrInUse` when the socket has joined it already, `ENODEV` for an address that
    /// is not the interface's.
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        match &self.0 {
            Socket::Os(socket) => socket.join_multicast_v4(group, interface),
            Socket::Emulated { socket, .. } => socket.membership_v4(*group, *interface, true),
        }
    }

    /// Leaves a group of IPv4.
    ///
    /// # Errors
    /// `AddrNotAvailable` when the socket has not joined it.
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        match &self.0 {
            Socket::Os(socket) => socket.leave_multicast_v4(group, interface),
            Socket::Emulated { socket, .. } => socket.membership_v4(*group, *interface, false),
        }
    }

    /// Joins a group of IPv6 on the interface with this number; 0 lets the network choose.
    ///
    /// # Errors
    /// As [`join_multicast_v4`](UdpSocket::join_multicast_v4).
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        match &self.0 {
            Socket::Os(socket) => socket.join_multicast_v6(group, interface),
            Socket::Emulated { socket, .. } => socket.membership_v6(*group, interface, true),
        }
    }

    /// Leaves a group of IPv6.
    ///
    /// # Errors
    /// As [`leave_multicast_v4`](UdpSocket::leave_multicast_v4).
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        match &self.0 {
            Socket::Os(socket) => socket.leave_multicast_v6(group, interface),
            Socket::Emulated { socket, .. } => socket.membership_v6(*group, interface, false),
        }
    }

    /// The address that was bound, with the port that was chosen for port 0.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Socket::Os(socket) => socket.local_addr(),
            Socket::Emulated { socket, .. } => socket.local_addr(),
        }
    }

    /// The peer given to [`connect`](UdpSocket::connect).
    ///
    /// # Errors
    /// `NotConnected` without one.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Socket::Os(socket) => socket.peer_addr(),
            Socket::Emulated { socket, .. } => socket.peer_addr(),
        }
    }
}

udp_options!(UdpSocket);

impl Sealed for UdpSocket {
    fn emulated(&self) -> Option<&dyn AsFile> {
        match &self.0 {
            Socket::Emulated { socket, .. } => Some(socket.as_file()),
            _ => None,
        }
    }
}

impl Fcntl for UdpSocket {}
