//! `poll`: an array with an entry for each connection, looked through after every call.

use super::pool;
use crate::connection::Connection;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use slab::Slab;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

pub(crate) fn serve(ready: &mut dyn FnMut(SocketAddr)) -> io::Result<()> {
    pool::serve(wait, ready)
}

fn wait(bell: &UnixStream, connections: &Slab<Connection<TcpStream>>, ready: &mut Vec<usize>) -> io::Result<bool> {
    let wants =
        |connection: &Connection<TcpStream>| if connection.reads() { PollFlags::POLLIN } else { PollFlags::POLLOUT };
    let mut fds = Vec::with_capacity(1 + connections.len());
    fds.push(PollFd::new(bell.as_fd(), PollFlags::POLLIN));
    fds.extend(connections.iter().map(|(_, connection)| PollFd::new(connection.as_fd(), wants(connection))));
    match poll(&mut fds, PollTimeout::NONE) {
        Err(Errno::EINTR) => return Ok(false),
        other => other?,
    };
    let holds = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
    ready.extend(connections.iter().zip(&fds[1..]).filter(|(_, fd)| holds(fd)).map(|((key, _), _)| key));
    Ok(holds(&fds[0]))
}
