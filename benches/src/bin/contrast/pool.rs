//! Two threads that each wait for half of all connections at once, with a `select` or a `poll` of either network. Somebody else
//! accepts, and rings at the thread to which it gives a connection.

use crate::connection::{Amount, Connection, Stream, Turn, buffer};
use crate::server::returned;
use slab::Slab;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Builder;

/// What a thread hears beside its connections.
pub(crate) trait Bell: Sized + Send + 'static {
    /// The other end, which rings it.
    type Button: Send;

    fn new() -> io::Result<(Self::Button, Self)>;

    fn ring(button: &Self::Button) -> io::Result<()>;

    /// Takes a ring, or several: each connection that has come meanwhile is taken with it.
    fn hush(&self) -> io::Result<()>;
}

/// Waits until something holds: puts the keys of connections that can go on into `ready`, and says whether the bell rings.
pub(crate) type Wait<B, S> = fn(&B, &Slab<Connection<S>>, ready: &mut Vec<usize>) -> io::Result<bool>;

const THREADS: usize = 2;

/// The threads, seen from the one that accepts.
pub(crate) struct Pool<B: Bell, S> {
    threads: Vec<(Sender<S>, B::Button)>,
    next: usize,
}

impl<B: Bell, S: Stream + Send + 'static> Pool<B, S> {
    pub(crate) fn start(wait: Wait<B, S>) -> io::Result<Pool<B, S>> {
        let thread = |_| {
            let (give, given) = channel();
            let (button, bell) = B::new()?;
            Builder::new().spawn(move || turn_forever(wait, &given, &bell))?;
            Ok((give, button))
        };
        Ok(Pool { threads: (0..THREADS).map(thread).collect::<io::Result<_>>()?, next: 0 })
    }

    /// Gives it to the next thread.
    pub(crate) fn give(&mut self, stream: S) -> io::Result<()> {
        returned(true);
        let (give, button) = &self.threads[self.next % THREADS];
        self.next += 1;
        give.send(stream).map_err(|_| io::Error::other("a thread of the pool has ended"))?;
        B::ring(button)
    }
}

fn turn_forever<B: Bell, S: Stream>(wait: Wait<B, S>, given: &Receiver<S>, bell: &B) -> io::Result<()> {
    let (mut connections, mut ready, mut buf) = (Slab::new(), Vec::new(), buffer());
    loop {
        ready.clear();
        let mut is_useful = wait(bell, &connections, &mut ready)?;
        if is_useful {
            bell.hush()?;
            for stream in given.try_iter() {
                connections.insert(Connection::new(stream)?);
            }
        }
        for &key in &ready {
            match connections[key].turn(Amount::Once, &mut buf) {
                Turn::Waits { got, .. } => is_useful |= got,
                Turn::Closed => {
                    is_useful = true;
                    connections.remove(key);
                }
            }
        }
        returned(is_useful);
    }
}
