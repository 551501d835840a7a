//! Systems that are not Linux: none of its options.

use crate::sockopt::{Opt, Value};
use crate::tcp_info::TcpInfo;
use socket2::Socket;
use std::io;

pub(super) fn get(_: &Socket, _: Opt) -> io::Result<Value> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn set(_: &Socket, _: Opt, _: Value) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn tcp_info(_: &Socket) -> io::Result<TcpInfo> {
    Err(io::ErrorKind::Unsupported.into())
}
