//! A blocking thread per connection.

use super::listen;
use crate::model::READ_MAX;
use crate::server::returned;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

pub(crate) fn serve(ready: &mut dyn FnMut(SocketAddr)) -> io::Result<()> {
    let listener = listen()?;
    ready(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        returned(true);
        stream.set_nodelay(true)?;
        std::thread::Builder::new().spawn(move || echo(stream))?;
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
