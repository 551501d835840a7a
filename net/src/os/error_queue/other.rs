//! Systems that are not Linux: there is no such queue.

use crate::extended_error::ExtendedError;
use socket2::SockRef;
use std::io;

pub(crate) fn recv_error(_: SockRef<'_>) -> io::Result<ExtendedError> {
    Err(io::ErrorKind::Unsupported.into())
}
