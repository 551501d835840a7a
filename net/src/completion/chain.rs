//! Operations that are done one after the other (`IOSQE_IO_LINK`).

use crate::completion::entry::Rejected;
use crate::completion::op::Work;
use crate::completion::shared::Shared;
use crate::completion::source::{Datagrams, Listener, Stream, file_of};
use crate::completion::timeout::{Timeout, Until};
use crate::host::socket::file::{Places, SocketFile};
use crate::poll::source::Source;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Operations of which each begins when the one before it has succeeded, without the program in between; see
/// [`Ring::chain`](crate::completion::Ring::chain).
///
/// When one fails, is cancelled, or loses its socket, those behind it complete with `ECANCELED`, and their buffers come back. The end
/// of a stream, of which a receive gives 0 bytes, is no failure, nor in Linux. Each operation has its place in the ring from
/// [`submit`](Chain::submit) on and a completion of its own, in the chain's order.
///
/// # Examples
/// A request and its answer, as one thing to wait for:
/// ```no_run
/// # async fn example(stream: wakeline_net::TcpStream) -> std::io::Result<()> {
/// use wakeline_net::completion::Ring;
///
/// let ring = Ring::new(2)?;
/// let mut chain = ring.chain();
/// chain.send(&stream, b"ask".to_vec(), 1)?;
/// chain.recv(&stream, vec![0; 64], 2)?;
/// chain.submit()?;
/// ring.wait(2).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a chain does nothing until it is submitted"]
pub struct Chain<'a> {
    ring: &'a Arc<Shared>,
    steps: Vec<(u64, Work)>,
}

impl<'a> Chain<'a> {
    pub(super) fn new(ring: &'a Arc<Shared>) -> Chain<'a> {
        Chain { ring, steps: Vec::new() }
    }

    /// As [`Ring::recv`](crate::completion::Ring::recv), when its turn has come.
    ///
    /// # Errors
    /// `Unsupported` for a socket of the operating system's network. The buffer comes back.
    pub fn recv(&mut self, stream: &dyn Stream, buffer: Vec<u8>, user_data: u64) -> Result<&mut Self, Rejected> {
        self.step(stream, buffer, user_data, |file, buf| Work::Recv { file, places: Places::new(), buf })
    }

    /// As [`Ring::send`](crate::completion::Ring::send), when its turn has come.
    ///
    /// # Errors
    /// As [`recv`](Chain::recv).
    pub fn send(&mut self, stream: &dyn Stream, buffer: Vec<u8>, user_data: u64) -> Result<&mut Self, Rejected> {
        self.step(stream, buffer, user_data, |file, buf| Work::Send { file, places: Places::new(), buf, sent: 0 })
    }

    /// As [`Ring::recv_from`](crate::completion::Ring::recv_from), when its turn has come.
    ///
    /// # Errors
    /// As [`recv`](Chain::recv).
    pub fn recv_from(
        &mut self,
        socket: &dyn Datagrams,
        buffer: Vec<u8>,
        user_data: u64,
    ) -> Result<&mut Self, Rejected> {
        self.step(socket, buffer, user_data, |file, buf| Work::RecvFrom { file, places: Places::new(), buf })
    }

    /// As [`Ring::accept`](crate::completion::Ring::accept), when its turn has come.
    ///
    /// # Errors
    /// As [`recv`](Chain::recv).
    pub fn accept(&mut self, listener: &dyn Listener, user_data: u64) -> Result<&mut Self, Rejected> {
        self.step(listener, Vec::new(), user_data, |file, _| Work::Accept { file, places: Places::new(), many: false })
    }

    /// The operation before this may take so long, counted from when it waits (`IORING_OP_LINK_TIMEOUT`). Then it is cancelled: it completes
    /// with `ECANCELED`, or with what it had done, and the timeout with `ETIME`. When the operation is over first, the timeout
    /// completes with `ECANCELED`, which ends nothing: the chain goes on with what comes behind the two.
    ///
    /// # Errors
    /// `EINVAL` where there is no operation before this, or it has a timeout; `Unsupported` outside of a runtime.
    ///
    /// # Panics
    /// In a runtime that was built without `enable_time`.
    #[track_caller]
    pub fn link_timeout(&mut self, duration: Duration, user_data: u64) -> Result<&mut Self, Rejected> {
        if self.steps.last().is_none_or(|(_, work)| matches!(work, Work::Timeout(_))) {
            return Err(Rejected::new(io::Error::from_raw_os_error(libc::EINVAL)));
        }
        // Of which operation, will be known when it is submitted.
        let timeout = Timeout::new(duration, Until::Time).map_err(Rejected::new)?;
        self.steps.push((user_data, Work::Timeout(timeout)));
        Ok(self)
    }

    /// Takes them all into the ring, and begins the first. An empty chain does nothing.
    ///
    /// # Errors
    /// `EBUSY` when the ring has no room for all of them, `EBADF` when it was shut down. None is taken then, and all buffers come
    /// back.
    pub fn submit(self) -> Result<(), ChainRejected> {
        let rejected = |(error, works): (io::Error, Vec<Work>)| {
            let buffers = works.into_iter().map(|work| work.into_buffer().unwrap_or_default()).collect();
            ChainRejected { error, buffers }
        };
        self.ring.submit_chain(self.steps).map_err(rejected)
    }

    fn step<S: Source + ?Sized>(
        &mut self,
        source: &S,
        buffer: Vec<u8>,
        user_data: u64,
        work: impl FnOnce(SocketFile, Vec<u8>) -> Work,
    ) -> Result<&mut Self, Rejected> {
        match file_of(source) {
            Ok(file) => {
                self.steps.push((user_data, work(file, buffer)));
                Ok(self)
            }
            Err(error) => Err(Rejected { error, buffer }),
        }
    }
}

impl fmt::Debug for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("len", &self.steps.len()).finish_non_exhaustive()
    }
}

/// A chain that was not taken, and its buffers, which are the caller's again.
#[derive(Debug)]
pub struct ChainRejected {
    /// Why.
    pub error: io::Error,
    /// One for each operation, in their order; empty where nothing came with it.
    pub buffers: Vec<Vec<u8>>,
}

impl fmt::Display for ChainRejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} operations were not taken: {}", self.buffers.len(), self.error)
    }
}

impl std::error::Error for ChainRejected {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<ChainRejected> for io::Error {
    fn from(rejected: ChainRejected) -> io::Error {
        rejected.error
    }
}
