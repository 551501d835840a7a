//! Systems that are not Linux: none of its control messages and flags.

use crate::recv_meta::RecvMeta;
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;

pub(crate) fn recv(_: SockRef<'_>, _: &mut [u8]) -> io::Result<RecvMeta> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn send_segments(_: SockRef<'_>, _: (&[u8], u16), _: Option<SocketAddr>) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn peek(_: SockRef<'_>, _: &mut [u8]) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}
