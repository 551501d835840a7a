//! What can be polled: the sockets of either face, prepared ones, and an epoll.

use crate::api;
use crate::blocking;
use crate::epoll::Epoll;
use crate::poll::file::{File, FileId};
use crate::poll::source::sealed::Named;
use std::io;

/// What `poll`, `select` and an epoll can wait for: an emulated socket, of tasks or of threads, or an
/// [`Epoll`](crate::epoll::Epoll).
///
/// A handle stands for a *descriptor*, and what it refers to is the *file*: all clones of one
/// [`blocking::TcpStream`](crate::blocking::TcpStream) refer to one file, as descriptors do that `dup(2)` has made. The
/// trait is sealed.
///
/// A socket of the operating system's network can not be waited for here: every call that meets one fails with
/// `Unsupported`. Use the `mio` crate, or the system's own `epoll`, for those.
pub trait Source: Named {}

impl<T: Named + ?Sized> Source for T {}

pub(crate) mod sealed {
    pub trait Named: Sync {
        #[doc(hidden)]
        fn descriptor(&self) -> std::io::Result<super::Descriptor>;
    }
}

/// A handle as the tables of an epoll know it.
#[derive(Clone)]
pub struct Descriptor {
    pub(crate) file: File,
    /// Which of the file's descriptors it is.
    pub(crate) number: u32,
}

impl Descriptor {
    /// By which it is found.
    pub(crate) fn name(&self) -> (FileId, u32) {
        (self.file.id(), self.number)
    }

    /// The only descriptor of a file.
    fn of(file: impl Into<File>) -> Descriptor {
        Descriptor { file: file.into(), number: 0 }
    }
}

impl<T: Named + ?Sized> Named for &T {
    fn descriptor(&self) -> io::Result<Descriptor> {
        (**self).descriptor()
    }
}

macro_rules! sockets {
    ($($type:ty),*) => {$(
        impl Named for $type {
            fn descriptor(&self) -> io::Result<Descriptor> {
                self.file().map(Descriptor::of).ok_or_else(not_here)
            }
        }
    )*};
}

sockets!(
    api::tcp::TcpStream,
    api::split::OwnedReadHalf,
    api::split::OwnedWriteHalf,
    api::tcp_listener::TcpListener,
    api::udp::UdpSocket,
    blocking::TcpListener,
    blocking::UdpSocket
);

impl Named for blocking::TcpStream {
    fn descriptor(&self) -> io::Result<Descriptor> {
        let (file, number) = self.file().ok_or_else(not_here)?;
        Ok(Descriptor { file: file.into(), number })
    }
}

macro_rules! prepared {
    ($($type:ty),*) => {$(
        impl Named for $type {
            fn descriptor(&self) -> io::Result<Descriptor> {
                if self.is_emulated() { Ok(Descriptor::of(File::Unconnected)) } else { Err(not_here()) }
            }
        }
    )*};
}

prepared!(api::tcp_socket::TcpSocket, blocking::TcpSocket);

impl Named for Epoll {
    fn descriptor(&self) -> io::Result<Descriptor> {
        Ok(Descriptor::of(self.inner().clone()))
    }
}

fn not_here() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "a socket of the operating system's network: wakeline's poll, select and epoll wait for emulated sockets; use mio, or the system's own",
    )
}
