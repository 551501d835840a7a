//! Echo over the operating system's loopback inside one process, one connection: wakeline and its peers.

use crate::request::{Requests, SIZE};
use crate::run::{Measured, Run, Until};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

/// Two threads that block, one on each end.
///
/// # Errors
/// Those of the sockets, and a wrong byte.
pub fn threads(until: Until) -> io::Result<Measured> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let addr = listener.local_addr()?;
    let server = std::thread::spawn(move || -> io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut buf = [0; SIZE];
        loop {
            match stream.read(&mut buf)? {
                0 => return Ok(()),
                n => stream.write_all(&buf[..n])?,
            }
        }
    });
    let measured = {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        let mut requests = Requests::of_connection(0);
        let mut answer = [0; SIZE];
        let mut run = Run::new(until);
        while run.goes_on() {
            stream.write_all(requests.next_request())?;
            stream.read_exact(&mut answer)?;
            requests.check(&answer)?;
        }
        run.finish()
    };
    server.join().map_err(|_| io::Error::other("the server panicked"))??;
    Ok(measured)
}

/// tokio, current-thread: both ends are tasks of one worker.
///
/// # Errors
/// Those of the sockets, and a wrong byte.
pub fn tokio(until: Until) -> io::Result<Measured> {
    use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
    use ::tokio::net::{TcpListener, TcpStream};

    async fn serve(listener: TcpListener) -> io::Result<()> {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let mut buf = [0; SIZE];
        loop {
            match stream.read(&mut buf).await? {
                0 => return Ok(()),
                n => stream.write_all(&buf[..n]).await?,
            }
        }
    }

    ::tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async move {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let server = ::tokio::spawn(serve(listener));
        let client = ::tokio::spawn(async move {
            let mut stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            let mut requests = Requests::of_connection(0);
            let mut answer = [0; SIZE];
            let mut run = Run::new(until);
            while run.goes_on() {
                stream.write_all(requests.next_request()).await?;
                stream.read_exact(&mut answer).await?;
                requests.check(&answer)?;
            }
            Ok(run.finish())
        });
        let measured = client.await.map_err(io::Error::other)?;
        server.await.map_err(io::Error::other)??;
        measured
    })
}

/// wakeline, one worker: both ends are its tasks.
///
/// # Errors
/// Those of the sockets, and a wrong byte.
pub fn wakeline(until: Until) -> io::Result<Measured> {
    use ::wakeline::net::{TcpListener, TcpStream};

    ::wakeline::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async move {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let server = ::wakeline::spawn(async move {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            crate::tasks::echo(stream).await
        });
        let client = ::wakeline::spawn(async move {
            let mut stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            crate::tasks::ask(&mut stream, until).await
        });
        let measured = client.await.map_err(io::Error::other)?;
        server.await.map_err(io::Error::other)??;
        measured
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_echo() {
        for contestant in [threads, tokio, wakeline] {
            assert_eq!(contestant(Until::Requests(50)).unwrap().requests, 50);
        }
    }
}
