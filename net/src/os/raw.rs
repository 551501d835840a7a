//! The sockets as what they are below: std's types and descriptors, and calls on these that have no name here.

use super::listener::TcpListener;
use super::tcp::TcpStream;
use super::udp::UdpSocket;
use std::io;
use wakeline_runtime::wait_queue::Events;

macro_rules! raw {
    ($($socket:ident of $std:ty),+) => {$(
        impl $socket {
            /// Waits until it is ready for some of `interest`, `READABLE`, `WRITABLE` or both, and says for what.
            ///
            /// # Errors
            /// When the runtime is shutting down.
            ///
            /// # Cancel safety
            /// Yes.
            pub async fn ready(&self, interest: Events) -> io::Result<Events> {
                self.source.ready(interest).await
            }

            /// Does `op` on the socket's descriptor if it is known to be ready for `interest`.
            ///
            /// # Errors
            /// `WouldBlock` when it is not ready; those of `op`, whose `WouldBlock` clears the readiness. `InvalidInput` in a
            /// runtime that goes by io_uring, when bytes were received for a stream that nobody has read: they come first.
            pub fn try_io<R>(&self, interest: Events, mut op: impl FnMut() -> io::Result<R>) -> io::Result<R> {
                self.source.try_io(interest, |_| op())
            }

            /// Waits and does `op` on the socket's descriptor, until it does anything but fail with `WouldBlock`.
            ///
            /// # Errors
            /// Those of `op`, or that the runtime is shutting down; `InvalidInput` as for `try_io`.
            ///
            /// # Cancel safety
            /// When the future is dropped before it is ready, `op` has done nothing but fail with `WouldBlock`.
            pub async fn async_io<R>(&self, interest: Events, mut op: impl FnMut() -> io::Result<R>) -> io::Result<R> {
                self.source.io(interest, |_| op()).await
            }
        }

        #[cfg(unix)]
        impl std::os::fd::AsFd for $socket {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.source.get_ref().as_fd()
            }
        }

        #[cfg(unix)]
        impl std::os::fd::AsRawFd for $socket {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                self.source.get_ref().as_raw_fd()
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
    )+};
}

raw!(TcpStream of std::net::TcpStream, TcpListener of std::net::TcpListener, UdpSocket of std::net::UdpSocket);

impl TcpListener {
    /// Gives the listener back to the standard library; it stays in non-blocking mode.
    ///
    /// # Errors
    /// When the reactor does not know it.
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        Ok(self.source.into_inner()?.into())
    }
}

impl UdpSocket {
    /// Gives the socket back to the standard library; it stays in non-blocking mode.
    ///
    /// # Errors
    /// When the reactor does not know it.
    pub fn into_std(self) -> io::Result<std::net::UdpSocket> {
        Ok(self.source.into_inner()?.into())
    }
}
