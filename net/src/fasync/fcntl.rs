//! The commands of `fcntl(2)` that make a socket send signals.

use crate::fasync::file::File;
use crate::fasync::process::Process;
use crate::fasync::signal::Signal;
use std::io;
use std::sync::Arc;

/// A socket's file: where [`Fcntl`] finds it, and how it enters and leaves the socket's list.
pub trait AsFile {
    /// The socket's file, made when it is first asked for.
    ///
    /// # Errors
    /// That the socket is closed.
    fn fasync_file(&self) -> io::Result<Arc<File>>;

    /// `sock_fasync`
    ///
    /// # Errors
    /// That the socket is closed.
    fn set_fasync(&self, on: bool) -> io::Result<()>;
}

/// Keeps the trait to this crate's sockets.
pub(crate) mod sealed {
    use super::AsFile;

    pub trait Sealed {
        /// The socket, when it is emulated.
        fn emulated(&self) -> Option<&dyn AsFile>;
    }
}

/// Signal-driven input and output, for sockets on emulated hosts: the `fcntl(2)` commands `F_SETOWN`, `F_SETSIG` and
/// `F_SETFL` with `O_ASYNC`.
///
/// Implemented by the sockets for tasks and those for threads; handles to the same socket share the settings, as file
/// descriptors that were duplicated do.
///
/// # Errors
/// `Unsupported` from every method on the operating system's network: there signals belong to the whole program, so a library
/// leaves them to it.
pub trait Fcntl: sealed::Sealed {
    /// `F_SETOWN`: whom signals go to. Several are a process group; none turns signals off until there is an owner again.
    ///
    /// A process that is gone is sent nothing, as is a `pid` that nobody has.
    fn set_owner(&self, processes: &[&Process]) -> io::Result<()> {
        self.to_file(|socket| socket.fasync_file()).map(|file| file.set_owner(processes))
    }

    /// `F_SETSIG`: which signal is sent. `None` (0 in Linux) is a plain [`SIGIO`](Signal::IO), which does not say what happened
    /// on which socket; any other one does, `SIGIO` included.
    fn set_sig(&self, signal: Option<Signal>) -> io::Result<()> {
        self.to_file(|socket| socket.fasync_file()).map(|file| file.set_sig(signal))
    }

    /// `F_GETSIG`
    fn sig(&self) -> io::Result<Option<Signal>> {
        self.to_file(|socket| socket.fasync_file()).map(|file| file.sig())
    }

    /// `F_SETFL` with `O_ASYNC` when `fd` is given, and without it otherwise. `fd` is what the socket is called in
    /// [`SigInfo::fd`](crate::fasync::SigInfo::fd): emulated sockets have no descriptor, so the caller chooses a number. Setting
    /// it again only changes the number.
    ///
    /// What has come before is not told of: look at the socket after this.
    fn set_async(&self, fd: Option<i32>) -> io::Result<()> {
        self.to_file(|socket| {
            if let Some(fd) = fd {
                socket.fasync_file()?.set_fd(fd);
            }
            socket.set_fasync(fd.is_some())
        })
    }

    #[doc(hidden)]
    fn to_file<R>(&self, f: impl FnOnce(&dyn AsFile) -> io::Result<R>) -> io::Result<R> {
        self.emulated().map_or_else(|| Err(io::ErrorKind::Unsupported.into()), f)
    }
}
