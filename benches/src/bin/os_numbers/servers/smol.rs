//! The echo on smol.

use super::{ANY_PORT, ECHO_BYTES};
use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};
use std::io;
use std::net::SocketAddr;
use wakeline_benches::contestant::{Contestant, Smol};

pub(super) fn serve(workers: usize, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    Smol::new(workers)?.block_on(async move {
        let listener = TcpListener::bind(ANY_PORT).await?;
        ready(listener.local_addr()?);
        // A task as well: with several workers, who blocks on a future is none of them.
        Smol::join(Smol::spawn(accept(listener))).await
    })
}

async fn accept(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Smol::detach(Smol::spawn(echo(stream)));
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; ECHO_BYTES];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            n => stream.write_all(&buf[..n]).await?,
        }
    }
}
