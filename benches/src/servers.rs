//! The echo servers that are compared, each for a process of its own.
//!
//! All do the same: accept, `TCP_NODELAY`, then read up to 4 KiB and write it back until the peer closes.

use mio::{Events, Interest, Poll, Token};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// wakeline with this many workers; one is the current-thread runtime.
    Wakeline(usize),
    /// tokio with this many workers; one is the current-thread runtime.
    Tokio(usize),
    /// A bare epoll loop on mio: what the kernel allows.
    Epoll,
}

impl Server {
    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Server::Wakeline(1) => "wakeline-ct",
            Server::Wakeline(_) => "wakeline-mt2",
            Server::Tokio(1) => "tokio-ct",
            Server::Tokio(_) => "tokio-mt2",
            Server::Epoll => "epoll",
        }
    }

    /// The server with this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Server> {
        Server::ALL.into_iter().find(|server| server.name() == name)
    }

    /// Every server.
    pub const ALL: [Server; 5] =
        [Server::Wakeline(1), Server::Tokio(1), Server::Wakeline(2), Server::Tokio(2), Server::Epoll];

    /// Serves for ever; tells `ready` where once it listens.
    ///
    /// # Errors
    /// Those of the listener.
    pub fn serve(self, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
        match self {
            Server::Wakeline(workers) => wakeline(workers, ready),
            Server::Tokio(workers) => tokio(workers, ready),
            Server::Epoll => epoll(ready),
        }
    }
}

const BUFFER_BYTES: usize = 4096;
const ANY_PORT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

fn wakeline(workers: usize, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    use ::wakeline::net::{TcpListener, TcpStream};
    use ::wakeline::runtime::Builder;
    use futures_lite::io::{AsyncReadExt, AsyncWriteExt};

    async fn echo(mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buf = [0; BUFFER_BYTES];
        loop {
            match stream.read(&mut buf).await? {
                0 => return Ok(()),
                n => stream.write_all(&buf[..n]).await?,
            }
        }
    }

    let runtime = match workers {
        1 => Builder::new_current_thread().enable_all().build()?,
        _ => Builder::new_multi_thread().worker_threads(workers).enable_all().build()?,
    };
    runtime.block_on(async move {
        let listener = TcpListener::bind(ANY_PORT).await?;
        ready(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            drop(::wakeline::spawn(echo(stream)));
        }
    })
}

fn tokio(workers: usize, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
    use ::tokio::net::{TcpListener, TcpStream};
    use ::tokio::runtime::Builder;

    async fn echo(mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buf = [0; BUFFER_BYTES];
        loop {
            match stream.read(&mut buf).await? {
                0 => return Ok(()),
                n => stream.write_all(&buf[..n]).await?,
            }
        }
    }

    let runtime = match workers {
        1 => Builder::new_current_thread().enable_all().build()?,
        _ => Builder::new_multi_thread().worker_threads(workers).enable_all().build()?,
    };
    runtime.block_on(async move {
        let listener = TcpListener::bind(ANY_PORT).await?;
        ready(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            drop(::tokio::spawn(echo(stream)));
        }
    })
}

fn epoll(ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    const LISTENER: Token = Token(usize::MAX - 1);
    let mut poll = Poll::new()?;
    let mut listener = mio::net::TcpListener::bind(ANY_PORT.into())?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    ready(listener.local_addr()?);
    let mut events = Events::with_capacity(1024);
    let mut streams: HashMap<Token, mio::net::TcpStream> = HashMap::new();
    let mut accepted = 0;
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Some((mut stream, _)) = would_block_is_none(listener.accept())? {
                    stream.set_nodelay(true)?;
                    poll.registry().register(&mut stream, Token(accepted), Interest::READABLE)?;
                    streams.insert(Token(accepted), stream);
                    accepted += 1;
                }
            } else if let Some(stream) = streams.get_mut(&event.token())
                && echo_what_came(stream).is_err()
            {
                streams.remove(&event.token());
            }
        }
    }
}

fn would_block_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        other => other.map(Some),
    }
}

/// Reads until less than the buffer comes: then the socket is empty, and what follows makes a new edge.
fn echo_what_came(stream: &mut mio::net::TcpStream) -> io::Result<()> {
    let mut buf = [0; BUFFER_BYTES];
    loop {
        match would_block_is_none(stream.read(&mut buf))? {
            None => return Ok(()),
            Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(n) => {
                stream.write_all(&buf[..n])?;
                if n < buf.len() {
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;
    use std::sync::mpsc;
    use std::time::Duration;

    /// The servers end with the process.
    #[test]
    fn every_server_answers_the_load() {
        for server in Server::ALL {
            assert_eq!(Server::by_name(server.name()), Some(server));
            let (tell, told) = mpsc::channel();
            std::thread::spawn(move || server.serve(|addr| tell.send(addr).unwrap()));
            let load = load::run(told.recv().unwrap(), 8, Duration::from_millis(20)).unwrap();
            assert!(load.requests > 0, "{server:?}");
        }
    }
}
