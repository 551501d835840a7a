//! Signal-driven: every socket is in its own fasync list, and one thread sleeps in the emulated `sigwaitinfo`.

use super::{echo_all, host_and_listener, is_ready};
use crate::model::READ_MAX;
use crate::server::returned;
use slab::Slab;
use std::io;
use std::thread::Builder;
use wakeline::net::blocking::{TcpListener, TcpStream};
use wakeline::net::emulated::{Host, Lan};
use wakeline::net::fasync::{Fcntl, Process, SigSet, Signal};

pub(crate) fn serve(lan: &Lan) -> io::Result<Host> {
    let (host, listener) = host_and_listener(lan)?;
    Builder::new().spawn(move || turn_forever(listener))?;
    Ok(host)
}

const LISTENER: i32 = -1;

fn turn_forever(listener: TcpListener) -> io::Result<()> {
    let process = Process::new("server");
    signal_for(&listener, &process, LISTENER)?;
    let mut server = Server { listener, process, connections: Slab::new(), buf: [0; READ_MAX] };
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
    connections: Slab<TcpStream>,
    buf: [u8; READ_MAX],
}

impl Server {
    fn accept(&mut self) -> io::Result<bool> {
        let mut is_useful = false;
        while is_ready(&self.listener) {
            let (stream, _) = self.listener.accept()?;
            stream.set_nodelay(true)?;
            let entry = self.connections.vacant_entry();
            let key = entry.key();
            signal_for(&stream, &self.process, i32::try_from(key).map_err(io::Error::other)?)?;
            entry.insert(stream);
            // What came before there was an owner has sent no signal.
            self.turn(key);
            is_useful = true;
        }
        Ok(is_useful)
    }

    fn turn(&mut self, key: usize) -> bool {
        // Its last signal may stand behind the one at which it was closed.
        let Some(stream) = self.connections.get_mut(key) else { return false };
        if !is_ready(&*stream) {
            return false;
        }
        if !echo_all(stream, &mut self.buf) {
            self.connections.remove(key);
        }
        true
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
