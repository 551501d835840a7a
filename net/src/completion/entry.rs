//! What comes out of a ring, and why something does not go in.

use crate::api::tcp::TcpStream;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// An entry of the completion queue (`struct io_uring_cqe`): how an operation ended, or, of a multishot one, what it has given.
#[derive(Debug)]
#[non_exhaustive]
pub struct Completion {
    /// What the operation was submitted with.
    pub user_data: u64,
    /// How many bytes were moved; 0 where there is nothing to count.
    ///
    /// # Errors
    /// Those of the system call; `ECANCELED` when the operation was cancelled before it began, or the one before it in its [`Chain`](super::Chain) has failed, `EBADF` when its socket was
    /// closed, `ENOBUFS` when a group of buffers is empty, `ETIME` when the time of a timeout is over. Never `WouldBlock`.
    pub result: io::Result<usize>,
    /// The buffer that was submitted, or taken from a group. It is as long as it was.
    pub buffer: Option<Vec<u8>>,
    /// The connection that was accepted or made.
    pub stream: Option<TcpStream>,
    /// Who has sent the datagram, or was accepted.
    pub peer: Option<SocketAddr>,
    /// Whether the operation goes on and more will come of it (`IORING_CQE_F_MORE`).
    pub more: bool,
}

impl Completion {
    pub(super) fn new(user_data: u64, result: io::Result<usize>) -> Completion {
        Completion { user_data, result, buffer: None, stream: None, peer: None, more: false }
    }

    pub(super) fn with_buffer(self, buffer: Vec<u8>) -> Completion {
        Completion { buffer: Some(buffer), ..self }
    }
}

/// An operation that was not taken, and its buffer, which is the caller's again.
#[derive(Debug)]
pub struct Rejected {
    /// Why.
    pub error: io::Error,
    /// What came with it; empty where nothing did.
    pub buffer: Vec<u8>,
}

impl Rejected {
    pub(super) fn new(error: io::Error) -> Rejected {
        Rejected { error, buffer: Vec::new() }
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the operation was not taken: {}", self.error)
    }
}

impl std::error::Error for Rejected {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<Rejected> for io::Error {
    fn from(rejected: Rejected) -> io::Error {
        rejected.error
    }
}
