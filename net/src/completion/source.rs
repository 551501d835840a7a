//! What operations are about: connections, listeners, UDP sockets of the emulated network.

use crate::api;
use crate::blocking;
use crate::host::socket::file::SocketFile;
use crate::host::socket::udp as emulated;
use crate::poll::file::File;
use crate::poll::source::Source;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};
use wakeline_runtime::wait_queue::WaitSlot;

/// A connection: [`TcpStream`](crate::TcpStream), its owned halves, [`blocking::TcpStream`](crate::blocking::TcpStream).
pub trait Stream: Source {}

/// [`TcpListener`](crate::TcpListener), [`blocking::TcpListener`](crate::blocking::TcpListener).
pub trait Listener: Source {}

/// [`UdpSocket`](crate::UdpSocket), [`blocking::UdpSocket`](crate::blocking::UdpSocket).
pub trait Datagrams: Source + sealed::SendsAtOnce {}

impl<T: Stream + ?Sized> Stream for &T {}
impl<T: Listener + ?Sized> Listener for &T {}
impl<T: Datagrams + ?Sized> Datagrams for &T {}
impl Stream for api::tcp::TcpStream {}
impl Stream for api::split::OwnedReadHalf {}
impl Stream for api::split::OwnedWriteHalf {}
impl Stream for blocking::TcpStream {}
impl Listener for api::tcp_listener::TcpListener {}
impl Listener for blocking::TcpListener {}
impl Datagrams for api::udp::UdpSocket {}
impl Datagrams for blocking::UdpSocket {}

pub(crate) mod sealed {
    use std::io;
    use std::net::SocketAddr;

    pub trait SendsAtOnce {
        #[doc(hidden)]
        fn send_now(&self, buf: &[u8], to: Option<SocketAddr>) -> io::Result<usize>;
    }
}

impl<T: sealed::SendsAtOnce + ?Sized> sealed::SendsAtOnce for &T {
    fn send_now(&self, buf: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        (**self).send_now(buf, to)
    }
}

impl sealed::SendsAtOnce for api::udp::UdpSocket {
    fn send_now(&self, buf: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        send(self.emulated(), buf, to)
    }
}

impl sealed::SendsAtOnce for blocking::UdpSocket {
    fn send_now(&self, buf: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        send(self.emulated(), buf, to)
    }
}

/// A UDP socket is always writable: it has no send buffer that could be full.
fn send(socket: Option<&emulated::UdpSocket>, buf: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
    let socket = socket.ok_or(io::ErrorKind::Unsupported)?;
    let mut cx = Context::from_waker(Waker::noop());
    match socket.poll_send_to(&mut cx, &mut WaitSlot::new(), buf, to) {
        Poll::Ready(sent) => sent,
        Poll::Pending => Err(io::Error::from_raw_os_error(libc::ENOBUFS)),
    }
}

/// The socket that an operation is about.
pub(super) fn file_of<S: Source + ?Sized>(source: &S) -> io::Result<SocketFile> {
    match source.descriptor()?.file {
        File::Socket(file) => Ok(file),
        _ => Err(io::Error::from_raw_os_error(libc::EINVAL)),
    }
}
