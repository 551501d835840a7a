//! Signal-driven: every socket is in its own fasync list, and one thread sleeps in the emulated `sigwaitinfo`.

use super::host_and_listener;
use crate::connection::{Amount, Connection, Turn, buffer};
use crate::server::returned;
use slab::Slab;
use std::io;
use std::thread::Builder;
use wakeline::net::blocking::{TcpListener, TcpStream};
use wakeline::net::emulated::{Host, Lan};
use wakeline::net::fasync::{Fcntl, Process, SigSet, Signal};

pub(crate) fn serve(lan: &Lan) -> io::Result<Host> {
    let (host, listener) = host_and_listener(lan)?;
    listener.set_nonblocking(true)?;
    Builder::new().spawn(move || turn_forever(listener))?;
    Ok(host)
}

const LISTENER: i32 = -1;

fn turn_forever(listener: TcpListener) -> io::Result<()> {
    let process = Process::new("server");
    signal_for(&listener, &process, LISTENER)?;
    let mut server = Server { listener, process, connections: Slab::new(), buf: buffer() };
    server.accept()?;
    loop {
        let signal = server.process.sigwaitinfo(SigSet::all());
        let is_useful = match signal.fd {
            Some(LISTENER) => server.accept()?,
            Some(fd) => server.turn(fd as usize),
            // Signals were lost.
            None => server.look_at_all()?,
        };
        returned(is_useful);
    }
}

fn signal_for(socket: &impl Fcntl, process: &Process, fd: i32) -> io::Result<()> {
    socket.set_owner(&[process])?;
    socket.set_sig(Signal::rt(0))?;
    socket.set_async(Some(fd))
}

struct Server {
    listener: TcpListener,
    process: Process,
    connections: Slab<Connection<TcpStream>>,
    buf: Vec<u8>,
}

impl Server {
    fn accept(&mut self) -> io::Result<bool> {
        let mut is_useful = false;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    let entry = self.connections.vacant_entry();
                    let key = entry.key();
                    signal_for(&stream, &self.process, i32::try_from(key).map_err(io::Error::other)?)?;
                    entry.insert(Connection::new(stream)?);
                    // What came before there was an owner has sent no signal.
                    self.turn(key);
                    is_useful = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(is_useful),
                Err(error) => return Err(error),
            }
        }
    }

    fn turn(&mut self, key: usize) -> bool {
        // Its last signal may stand behind the one at which it was closed.
        let Some(connection) = self.connections.get_mut(key) else { return false };
        match connection.turn(Amount::All, &mut self.buf) {
            Turn::Waits { got, .. } => got,
            Turn::Closed => {
                self.connections.remove(key);
                true
            }
        }
    }

    fn look_at_all(&mut self) -> io::Result<bool> {
        let mut is_useful = self.accept()?;
        let all: Vec<usize> = self.connections.iter().map(|(key, _)| key).collect();
        for key in all {
            is_useful |= self.turn(key);
        }
        Ok(is_useful)
    }
}
