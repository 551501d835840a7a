//! A blocking thread per connection. The host has a thread for its CPU.

use crate::model::{PORT, READ_MAX};
use crate::server::returned;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::thread::Builder;
use wakeline::net::blocking::{TcpListener, TcpStream};
use wakeline::net::emulated::{Host, Lan};

pub(crate) fn serve(lan: &Lan) -> io::Result<Host> {
    let host = lan.host("server").build_threaded()?;
    let listener = {
        let _here = host.enter();
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?
    };
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
