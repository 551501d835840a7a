//! Two threads that each wait for half of all connections at once: with `select`, with `poll`. The main thread accepts, and
//! rings at the thread to which it gives a connection.

use super::listen;
use crate::connection::{Amount, Connection, Turn, buffer};
use crate::server::returned;
use slab::Slab;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Builder;

/// Waits until something holds: puts the keys of connections that can go on into `ready`, and says whether the bell rings.
pub(crate) type Wait = fn(&UnixStream, &Slab<Connection<TcpStream>>, ready: &mut Vec<usize>) -> io::Result<bool>;

const THREADS: usize = 2;

pub(crate) fn serve(wait: Wait, ready: &mut dyn FnMut(SocketAddr)) -> io::Result<()> {
    let listener = listen()?;
    let mut threads = (0..THREADS).map(|_| Thread::start(wait)).collect::<io::Result<Vec<_>>>()?;
    ready(listener.local_addr()?);
    for turn in 0.. {
        let (stream, _) = listener.accept()?;
        returned(true);
        threads[turn % THREADS].give(stream)?;
    }
    Ok(())
}

/// One of the threads, seen from the one that accepts.
struct Thread {
    give: Sender<TcpStream>,
    bell: UnixStream,
}

impl Thread {
    fn start(wait: Wait) -> io::Result<Thread> {
        let (give, given) = channel();
        let (bell, rings) = UnixStream::pair()?;
        Builder::new().spawn(move || turn_forever(wait, &given, &rings))?;
        Ok(Thread { give, bell })
    }

    fn give(&mut self, stream: TcpStream) -> io::Result<()> {
        self.give.send(stream).map_err(|_| io::Error::other("a thread of the pool has ended"))?;
        self.bell.write_all(&[1])
    }
}

fn turn_forever(wait: Wait, given: &Receiver<TcpStream>, mut bell: &UnixStream) -> io::Result<()> {
    let (mut connections, mut ready, mut buf) = (Slab::new(), Vec::new(), buffer());
    loop {
        ready.clear();
        let mut is_useful = wait(bell, &connections, &mut ready)?;
        if is_useful {
            // Behind each ring stands a connection.
            let rings = bell.read(&mut [0; 64])?;
            for stream in given.iter().take(rings) {
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
