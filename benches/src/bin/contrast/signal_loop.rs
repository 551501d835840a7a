//! A server of one thread that sleeps on its signals, on either network: each names the connection that it is about.

use crate::connection::{Amount, Connection, Stream, Turn, buffer};
use crate::server::returned;
use std::collections::BTreeMap;
use std::io;

/// The signals of one of the networks, and the listener that sends some of them.
pub(crate) trait Signalled {
    type Stream: Stream;

    /// Accepts one, which signals with this number from now on. Must not block.
    fn accept(&mut self) -> io::Result<(i32, Self::Stream)>;

    /// Sleeps until there is a signal.
    fn wait(&mut self) -> io::Result<About>;
}

/// What a signal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Listener,
    Connection(i32),
    /// Some were lost: it may be about anybody.
    Anybody,
}

/// Serves whoever connects, until something fails.
pub(crate) fn serve<S: Signalled>(signals: S) -> io::Result<()> {
    let mut served = Loop { signals, connections: BTreeMap::new(), buf: buffer() };
    // Who came before the listener signalled.
    served.accept()?;
    loop {
        let is_useful = match served.signals.wait()? {
            About::Listener => served.accept()?,
            About::Connection(number) => served.turn(number),
            About::Anybody => served.look_at_all()?,
        };
        returned(is_useful);
    }
}

struct Loop<S: Signalled> {
    signals: S,
    connections: BTreeMap<i32, Connection<S::Stream>>,
    buf: Vec<u8>,
}

impl<S: Signalled> Loop<S> {
    fn accept(&mut self) -> io::Result<bool> {
        let mut is_useful = false;
        loop {
            match self.signals.accept() {
                Ok((number, stream)) => {
                    self.connections.insert(number, Connection::new(stream)?);
                    // What came before it signalled.
                    self.turn(number);
                    is_useful = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(is_useful),
                Err(error) => return Err(error),
            }
        }
    }

    fn turn(&mut self, number: i32) -> bool {
        // Its last signal may stand behind the one at which it was closed.
        let Some(connection) = self.connections.get_mut(&number) else { return false };
        match connection.turn(Amount::All, &mut self.buf) {
            Turn::Waits { got, .. } => got,
            Turn::Closed => {
                self.connections.remove(&number);
                true
            }
        }
    }

    fn look_at_all(&mut self) -> io::Result<bool> {
        let mut is_useful = self.accept()?;
        let all: Vec<i32> = self.connections.keys().copied().collect();
        for number in all {
            is_useful |= self.turn(number);
        }
        Ok(is_useful)
    }
}
