//! A TCP socket that does not connect or listen yet, on either network: what tasks' and threads' types have in common.

use crate::host::socket::tcp_socket as emulated;
use crate::netns::Netns;
use crate::os;
use crate::sockopt::{Opt, Value};
use socket2::{Domain, SockRef, Socket};
use std::io;
use std::net::SocketAddr;

/// See the [module](self).
#[derive(Debug)]
pub(crate) enum Prepared {
    Os(Socket),
    Emulated(emulated::TcpSocket),
}

impl Prepared {
    /// A socket on the network that the caller stands on.
    pub(crate) fn new(domain: Domain, nonblocking: bool) -> io::Result<Prepared> {
        Ok(match Netns::current() {
            Netns::Os => Prepared::Os(os::options::tcp_socket(domain, nonblocking)?),
            Netns::Emulated(host) => Prepared::Emulated(emulated::TcpSocket::new(host, domain == Domain::IPV6)),
        })
    }

    pub(crate) fn bind(&self, addr: SocketAddr) -> io::Result<()> {
        match self {
            Prepared::Os(socket) => socket.bind(&addr.into()),
            Prepared::Emulated(socket) => socket.bind(addr),
        }
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Prepared::Os(socket) => socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::InvalidData.into()),
            Prepared::Emulated(socket) => socket.local_addr(),
        }
    }

    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Prepared::Os(socket) => socket.take_error(),
            Prepared::Emulated(_) => Ok(None),
        }
    }

    pub(crate) fn get_option(&self, opt: Opt) -> io::Result<Value> {
        match self {
            Prepared::Os(socket) => os::options::get(SockRef::from(socket), opt),
            Prepared::Emulated(socket) => socket.option(opt),
        }
    }

    pub(crate) fn set_option(&self, opt: Opt, value: Value) -> io::Result<()> {
        match self {
            Prepared::Os(socket) => os::options::set(SockRef::from(socket), opt, value),
            Prepared::Emulated(socket) => socket.set_option(opt, value),
        }
    }
}
