//! Completion: one thread and one ring. For each connection a receive or a send is always on its way.

use super::host_and_listener;
use crate::model::READ_MAX;
use crate::server::returned;
use slab::Slab;
use std::io;
use std::thread::Builder;
use wakeline::net::TcpStream;
use wakeline::net::blocking::TcpListener;
use wakeline::net::completion::{Completion, ENTRIES_MAX, Ring};
use wakeline::net::emulated::{Host, Lan};

pub(crate) fn serve(lan: &Lan) -> io::Result<Host> {
    let (host, listener) = host_and_listener(lan)?;
    Builder::new().spawn(move || turn_forever(&listener))?;
    Ok(host)
}

const ACCEPT: u64 = u64::MAX;
/// A send; the rest of its number is its connection's.
const SEND: u64 = 1 << 63;

fn turn_forever(listener: &TcpListener) -> io::Result<()> {
    let ring = Ring::new(ENTRIES_MAX)?;
    ring.accept_multishot(listener, ACCEPT)?;
    let mut connections: Slab<TcpStream> = Slab::new();
    loop {
        ring.wait_blocking(1, None)?;
        let mut is_useful = false;
        while let Some(done) = ring.pop() {
            is_useful = true;
            if done.user_data == ACCEPT {
                if !done.more {
                    ring.accept_multishot(listener, ACCEPT)?;
                }
                if let Some(stream) = done.stream {
                    stream.set_nodelay(true)?;
                    let entry = connections.vacant_entry();
                    ring.recv(&stream, vec![0; READ_MAX], entry.key() as u64)?;
                    entry.insert(stream);
                }
                continue;
            }
            let key = (done.user_data & !SEND) as usize;
            if go_on(&ring, &connections[key], done).is_err() {
                connections.remove(key);
            }
        }
        returned(is_useful);
    }
}

/// Behind a receive stands the send of what came, behind that the next receive.
fn go_on(ring: &Ring, stream: &TcpStream, done: Completion) -> io::Result<()> {
    let (key, n, mut buffer) = (done.user_data & !SEND, done.result?, done.buffer.unwrap_or_default());
    if done.user_data & SEND != 0 {
        buffer.resize(READ_MAX, 0);
        return Ok(ring.recv(stream, buffer, key)?);
    }
    if n == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    buffer.truncate(n);
    Ok(ring.send(stream, buffer, key | SEND)?)
}
