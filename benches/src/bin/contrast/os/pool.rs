//! The pool on the operating system's network; the main thread accepts.

use super::listen;
use crate::pool::{Bell, Pool, Wait};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

pub(crate) fn serve(wait: Wait<UnixStream, TcpStream>, ready: &mut dyn FnMut(SocketAddr)) -> io::Result<()> {
    let listener = listen()?;
    let mut pool = Pool::start(wait)?;
    ready(listener.local_addr()?);
    loop {
        pool.give(listener.accept()?.0)?;
    }
}

impl Bell for UnixStream {
    type Button = UnixStream;

    fn new() -> io::Result<(UnixStream, UnixStream)> {
        UnixStream::pair()
    }

    fn ring(mut button: &UnixStream) -> io::Result<()> {
        button.write_all(&[1])
    }

    fn hush(&self) -> io::Result<()> {
        let mut bell = self;
        bell.read(&mut [0; 64]).map(drop)
    }
}
