//! A blocking thread per connection. The host has a thread for its CPU.

use super::host_and_listener;
use crate::model::READ_MAX;
use crate::server::returned;
use std::io::{self, Read, Write};
use std::thread::Builder;
use wakeline::net::blocking::{TcpListener, TcpStream};
use wakeline::net::emulated::{Host, Lan};

pub(crate) fn serve(lan: &Lan) -> io::Result<Host> {
    let (host, listener) = host_and_listener(lan)?;
    Builder::new().spawn(move || accept(&listener))?;
    Ok(host)
}

fn accept(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        returned(true);
        stream.set_nodelay(true)?;
        Builder::new().spawn(move || echo(stream))?;
    }
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; READ_MAX];
    loop {
        let n = stream.read(&mut buf)?;
        returned(true);
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..n])?;
    }
}
