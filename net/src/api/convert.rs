//! From and to the standard library's sockets, and to descriptors: of the operating system's network only.

use crate::api::tcp::{Connection, TcpStream};
use crate::api::tcp_listener::{Listener, TcpListener};
use crate::api::udp::{Socket, UdpSocket};
use crate::os;
use std::io;

macro_rules! conversions {
    ($socket:ident of $std:ty, $wrap:expr, |$this:ident| $inner:expr, $arm:ident) => {
        impl $socket {
            /// Takes over a socket of the operating system, which must be in non-blocking mode, wherever the caller stands.
            ///
            /// # Errors
            /// When it can not be registered with the reactor.
            ///
            /// # Panics
            /// Outside a runtime, or in one that was built without `enable_io`.
            #[track_caller]
            pub fn from_std(socket: $std) -> io::Result<$socket> {
                os::$socket::from_std(socket).map($wrap)
            }

            /// Gives the socket back to the standard library; it stays in non-blocking mode.
            ///
            /// # Errors
            /// `Unsupported` for a socket of an emulated host, which is closed then; when the reactor does not know it.
            /// `InvalidInput` in a runtime that goes by io_uring, for a stream for which bytes were received that nobody has
            /// read: they would be lost, and it is closed.
            pub fn into_std(self) -> io::Result<$std> {
                let $this = self;
                match $inner {
                    $arm::Os(socket) => socket.into_std(),
                    $arm::Emulated(_) => Err(io::Error::new(
                        io::ErrorKind::Unsupported,
                        "a socket of an emulated host is none of the operating system's",
                    )),
                }
            }

            /// The socket's descriptor; `None` for a socket of an emulated host, which has none.
            #[cfg(unix)]
            #[must_use]
            pub fn os_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
                let $this = self;
                match &$inner {
                    $arm::Os(socket) => Some(std::os::fd::AsFd::as_fd(socket)),
                    $arm::Emulated(_) => None,
                }
            }
        }

        impl TryFrom<$std> for $socket {
            type Error = io::Error;

            /// As `from_std`.
            #[track_caller]
            fn try_from(socket: $std) -> io::Result<$socket> {
                $socket::from_std(socket)
            }
        }
    };
}

conversions!(TcpStream of std::net::TcpStream, TcpStream::of_os, |this| this.socket, Connection);
conversions!(TcpListener of std::net::TcpListener, TcpListener::of_os, |this| this.0, Listener);
conversions!(UdpSocket of std::net::UdpSocket, |socket| UdpSocket(Socket::Os(socket)), |this| this.0, Socket);
