//! A connection that never blocks: what it has read and could not write yet, it keeps, and reads no more until it could.

use crate::model::READ_MAX;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

/// One of a loop's connections.
pub(crate) struct Connection {
    stream: TcpStream,
    unsent: Vec<u8>,
}

/// What a turn has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It waits for this; `got` says whether there was anything to do.
    Waits { readable: bool, got: bool },
    /// The peer has closed it, or it failed.
    Closed,
}

/// How much a turn reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    /// Once: what is left will be told again (level-triggered).
    Once,
    /// Until there is nothing more, which is what an edge asks for.
    All,
}

/// A loop's buffer, one for all its connections.
pub(crate) fn buffer() -> Vec<u8> {
    vec![0; READ_MAX]
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Connection { stream, unsent: Vec::new() })
    }

    /// Writes what was left, then echoes what has come.
    pub(crate) fn turn(&mut self, amount: Amount, buf: &mut [u8]) -> Turn {
        self.try_turn(amount, buf).unwrap_or(Turn::Closed)
    }

    fn try_turn(&mut self, amount: Amount, buf: &mut [u8]) -> io::Result<Turn> {
        let mut got = false;
        if !self.unsent.is_empty() {
            let n = written(&mut self.stream, &self.unsent)?;
            self.unsent.drain(..n);
            got = n > 0;
        }
        while self.unsent.is_empty() {
            let n = match self.stream.read(buf) {
                Ok(0) => return Ok(Turn::Closed),
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            got = true;
            let sent = written(&mut self.stream, &buf[..n])?;
            self.unsent.extend_from_slice(&buf[sent..n]);
            if amount == Amount::Once {
                break;
            }
        }
        Ok(Turn::Waits { readable: self.unsent.is_empty(), got })
    }
}

/// As much as there is room for.
fn written(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match stream.write(&bytes[done..]) {
            Ok(n) => done += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::listen;

    #[test]
    fn what_finds_no_room_is_kept_and_written_later() {
        let listener = listen().unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut connection = Connection::new(listener.accept().unwrap().0).unwrap();
        let mut buf = buffer();
        assert_eq!(connection.turn(Amount::All, &mut buf), Turn::Waits { readable: true, got: false });

        // More than both directions hold, while nobody reads.
        peer.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while let Turn::Waits { readable: true, .. } = connection.turn(Amount::Once, &mut buf) {
            sent += peer.write(&vec![7; 1 << 20]).unwrap_or(0);
        }
        let mut came = 0;
        while came < sent {
            came += peer.read(&mut vec![0; 1 << 20]).unwrap_or(0);
            assert_ne!(connection.turn(Amount::All, &mut buf), Turn::Closed);
        }
        drop(peer);
        assert_eq!(connection.turn(Amount::All, &mut buf), Turn::Closed);
    }
}
