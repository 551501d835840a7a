//! `select`: two sets of bits, made anew for every call, looked through after it.

use super::pool;
use crate::connection::Connection;
use nix::errno::Errno;
use nix::sys::select::{FdSet, select};
use slab::Slab;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

pub(crate) fn serve(ready: &mut dyn FnMut(SocketAddr)) -> io::Result<()> {
    pool::serve(wait, ready)
}

fn wait(bell: &UnixStream, connections: &Slab<Connection<TcpStream>>, ready: &mut Vec<usize>) -> io::Result<bool> {
    let (mut read, mut write) = (FdSet::new(), FdSet::new());
    read.insert(bell.as_fd());
    for (_, connection) in connections {
        if connection.reads() { &mut read } else { &mut write }.insert(connection.as_fd());
    }
    match select(None, &mut read, &mut write, None, None) {
        Err(Errno::EINTR) => return Ok(false),
        other => other?,
    };
    let holds =
        |connection: &Connection<TcpStream>| read.contains(connection.as_fd()) || write.contains(connection.as_fd());
    ready.extend(connections.iter().filter(|(_, connection)| holds(connection)).map(|(key, _)| key));
    Ok(read.contains(bell.as_fd()))
}
