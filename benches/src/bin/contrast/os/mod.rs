//! The models on the operating system's network. All do the same: accept, `TCP_NODELAY`, then read up to 4 KiB and write it
//! back until the peer closes.

pub(crate) mod blocking;
pub(crate) mod connection;
pub(crate) mod epoll;
pub(crate) mod tasks;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// A listener with room for a burst of connections.
pub(crate) fn listen() -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

const BACKLOG: i32 = 4096;
