//! Signal-driven: every socket is in its own fasync list, and one thread sleeps in the emulated `sigwaitinfo`.

use super::host_and_listener;
use crate::signal_loop::{self, About, Signalled};
use std::io;
use std::thread::Builder;
use wakeline::net::blocking::{TcpListener, TcpStream};
use wakeline::net::emulated::{Host, Lan};
use wakeline::net::fasync::{Fcntl, Process, SigSet, Signal};

pub(crate) fn serve(lan: &Lan) -> io::Result<Host> {
    let (host, listener) = host_and_listener(lan)?;
    listener.set_nonblocking(true)?;
    let process = Process::new("server");
    signal_for(&listener, &process, LISTENER)?;
    Builder::new().spawn(move || signal_loop::serve(Emulated { listener, process, accepted: LISTENER }))?;
    Ok(host)
}

const LISTENER: i32 = 0;

struct Emulated {
    listener: TcpListener,
    process: Process,
    /// Emulated sockets have no descriptor: the last one's number.
    accepted: i32,
}

fn signal_for(socket: &impl Fcntl, process: &Process, number: i32) -> io::Result<()> {
    socket.set_owner(&[process])?;
    socket.set_sig(Signal::rt(0))?;
    socket.set_async(Some(number))
}

impl Signalled for Emulated {
    type Stream = TcpStream;

    fn accept(&mut self) -> io::Result<(i32, TcpStream)> {
        let (stream, _) = self.listener.accept()?;
        self.accepted += 1;
        signal_for(&stream, &self.process, self.accepted)?;
        Ok((self.accepted, stream))
    }

    fn wait(&mut self) -> io::Result<About> {
        Ok(match self.process.sigwaitinfo(SigSet::all()).fd {
            Some(LISTENER) => About::Listener,
            Some(number) => About::Connection(number),
            None => About::Anybody,
        })
    }
}
