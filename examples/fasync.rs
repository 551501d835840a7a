//! One thread serves many connections by signals alone, and sleeps on none of them: `cargo run --example fasync`

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Result, Write};
use wakeline::net::blocking::{TcpListener, TcpStream};
use wakeline::net::emulated::{Host, Lan};
use wakeline::net::fasync::{Fcntl, Process, SigSet, Signal};

const CLIENTS: i32 = 4;

fn main() -> Result<()> {
    let lan = Lan::new();
    let (server, client) = (lan.host("server").build_threaded()?, lan.host("client").build_threaded()?);
    let _here = server.enter();
    let (listener, process) = (TcpListener::bind("0.0.0.0:7000")?, Process::new("server"));
    listener.set_nonblocking(true)?;
    send_signals(&listener, &process, 0)?;
    let clients = std::thread::spawn(move || (0..CLIENTS).try_for_each(|n| ask(&client, n)));
    let (mut streams, mut next) = (BTreeMap::new(), 1);
    while next <= CLIENTS || !streams.is_empty() {
        // A signal says that it is worth looking, and may come late or twice: so look until there is nothing more.
        let info = process.sigwaitinfo(SigSet::all());
        println!("{}: {:?} on {:?}, band {:#x}", info.signal, info.code, info.fd, info.band.bits());
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true)?;
            send_signals(&stream, &process, next)?;
            streams.insert(next, stream);
            next += 1;
        }
        streams.retain(|_, stream| echo(stream).unwrap_or(false));
    }
    clients.join().expect("the clients do not panic")
}

fn send_signals(socket: &impl Fcntl, process: &Process, fd: i32) -> Result<()> {
    socket.set_owner(&[process])?;
    socket.set_sig(Signal::rt(0))?;
    socket.set_async(Some(fd))
}

/// Whether the peer has not closed yet.
fn echo(stream: &mut TcpStream) -> Result<bool> {
    let mut buf = [0; 64];
    loop {
        match stream.read(&mut buf) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Ok(0) => return Ok(false),
            read => stream.write_all(&buf[..read?])?,
        }
    }
}

fn ask(host: &Host, n: i32) -> Result<()> {
    let _here = host.enter();
    let mut stream = TcpStream::connect("server:7000")?;
    write!(stream, "ask {n}")?;
    stream.read_exact(&mut [0; 5])
}
