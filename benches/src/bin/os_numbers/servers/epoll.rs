//! The echo by bare epoll loops on mio, one a worker: what the kernel allows.

use super::{ANY_PORT, ECHO_BYTES};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread;

/// What wakes a loop to take over a connection.
const DEALT: Token = Token(usize::MAX);

/// This thread accepts, and deals the connections out in turn.
pub(super) fn serve(workers: usize, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let mut loops = Vec::new();
    for number in 0..workers {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), DEALT)?;
        let (deal, dealt) = mpsc::channel();
        thread::Builder::new().name(format!("loop-{number}")).spawn(move || turn(poll, &dealt))?;
        loops.push((deal, waker));
    }
    let listener = TcpListener::bind(ANY_PORT)?;
    ready(listener.local_addr()?);
    let mut next = (0..workers).cycle();
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let (deal, waker) = &loops[next.next().unwrap_or(0)];
        deal.send(stream).map_err(|_| io::Error::other("a loop has ended"))?;
        waker.wake()?;
    }
}

fn turn(mut poll: Poll, dealt: &mpsc::Receiver<std::net::TcpStream>) -> io::Result<()> {
    let mut events = Events::with_capacity(1024);
    let mut streams: Slab<TcpStream> = Slab::new();
    let mut buf = [0; ECHO_BYTES];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            let Token(at) = event.token();
            if event.token() == DEALT {
                for stream in dealt.try_iter() {
                    let entry = streams.vacant_entry();
                    let mut stream = TcpStream::from_std(stream);
                    poll.registry().register(&mut stream, Token(entry.key()), Interest::READABLE)?;
                    entry.insert(stream);
                }
            } else if streams.get_mut(at).is_some_and(|stream| echo_what_came(stream, &mut buf).is_err()) {
                streams.remove(at);
            }
        }
    }
}

/// Reads until less than the buffer comes: then the socket is empty, and what follows makes a new edge.
fn echo_what_came(stream: &mut TcpStream, buf: &mut [u8]) -> io::Result<()> {
    loop {
        match stream.read(buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                stream.write_all(&buf[..n])?;
                if n < buf.len() {
                    return Ok(());
                }
            }
        }
    }
}
