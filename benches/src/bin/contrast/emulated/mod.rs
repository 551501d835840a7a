//! The models on the emulated network: each builds a host named `server`, and serves on it as its fellow does on the operating
//! system's.
//!
//! # Simplification
//! The threads' sockets block: a loop reads what it was told of, and would wait in a write that finds no room. The load always
//! takes its answers, so none does for long.

pub(crate) mod blocking;
pub(crate) mod completion;
pub(crate) mod epoll;
pub(crate) mod fasync;
pub(crate) mod pool;
pub(crate) mod tasks;

use crate::model::PORT;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::time::Duration;
use wakeline::net::blocking::{TcpListener, TcpStream};
use wakeline::net::emulated::{Host, Lan};
use wakeline::net::poll::{Events, PollFd, Source, poll_blocking};

/// A host whose CPU has a thread, and its listener.
fn host_and_listener(lan: &Lan) -> io::Result<(Host, TcpListener)> {
    let host = lan.host("server").build_threaded()?;
    let listener = {
        let _here = host.enter();
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?
    };
    Ok((host, listener))
}

/// Echoes what a read brings; whether the connection goes on.
fn echo_once(stream: &mut TcpStream, buf: &mut [u8]) -> bool {
    matches!(echoed(stream, buf), Ok(1..))
}

/// Echoes until there is nothing more: what comes then makes a new edge. The socket blocks, so it is asked before.
fn echo_all(stream: &mut TcpStream, buf: &mut [u8]) -> bool {
    loop {
        match echoed(stream, buf) {
            Ok(0) | Err(_) => return false,
            Ok(n) if n < buf.len() => return true,
            Ok(_) if !is_ready(&*stream) => return true,
            Ok(_) => {}
        }
    }
}

/// Whether a read, or an accept, would not block.
fn is_ready(socket: &dyn Source) -> bool {
    poll_blocking(&mut [PollFd::new(socket, Events::IN)], Some(Duration::ZERO)).is_ok_and(|ready| ready > 0)
}

fn echoed(stream: &mut TcpStream, buf: &mut [u8]) -> io::Result<usize> {
    let n = stream.read(buf)?;
    stream.write_all(&buf[..n])?;
    Ok(n)
}
