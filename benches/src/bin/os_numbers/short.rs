//! The load of short connections: connect, ask once, compare the answer, close, again and again.
//!
//! The client closes first, so the addresses rest in TIME-WAIT on its side; it goes through many of its own, or the ports would
//! be used up.

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use wakeline_benches::request::{Requests, SIZE};
use wakeline_benches::run::{Measured, Run, Until};

/// How many connections there are at any time.
const AT_ONCE: usize = 64;
/// How many addresses the client has; each has some 28,000 ports, which rest for a minute.
const ADDRESSES: u64 = 200;
/// A server that is silent for this long is broken.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Puts load on the echo server at `addr` for `time`, behind a warm-up of a fifth of it.
///
/// # Errors
/// Those of the sockets, and a wrong byte.
pub(crate) fn run(addr: SocketAddr, time: Duration) -> io::Result<Measured> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut number = 0;
    let mut clients = Vec::with_capacity(AT_ONCE);
    for at in 0..AT_ONCE {
        clients.push(Client::begin(&poll, Token(at), addr, &mut number)?);
    }
    let mut run = Run::of_long(Until::Elapsed(time));
    loop {
        match poll.poll(&mut events, Some(SILENCE_MAX)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        if events.is_empty() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server has answered nobody for 10 s"));
        }
        for event in &events {
            let at = event.token();
            if clients[at.0].go_on()? {
                if !run.goes_on() {
                    return Ok(run.finish());
                }
                clients[at.0] = Client::begin(&poll, at, addr, &mut number)?;
            }
        }
    }
}

struct Client {
    stream: TcpStream,
    requests: Requests,
    has_asked: bool,
    answer: [u8; SIZE],
    filled: usize,
}

impl Client {
    fn begin(poll: &Poll, token: Token, addr: SocketAddr, number: &mut u64) -> io::Result<Client> {
        *number += 1;
        let mut stream = connect(addr, *number)?;
        poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let requests = Requests::of_connection(*number);
        Ok(Client { stream, requests, has_asked: false, answer: [0; SIZE], filled: 0 })
    }

    /// Does what it can; `true` when the answer is there, and right.
    fn go_on(&mut self) -> io::Result<bool> {
        if !self.has_asked {
            match self.stream.write(self.requests.next_request()) {
                Ok(SIZE) => self.has_asked = true,
                Ok(_) => return Err(io::Error::other("an empty send buffer had no room for 64 bytes")),
                // Not connected yet.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        match self.stream.read(&mut self.answer[self.filled..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => self.filled += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if self.filled < SIZE {
            return Ok(false);
        }
        self.requests.check(&self.answer)?;
        Ok(true)
    }
}

fn connect(addr: SocketAddr, number: u64) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // The port is chosen when the peer is known, so each address has all of them for each server.
    setsockopt(&socket, IpBindAddressNoPort, &true)?;
    let own = Ipv4Addr::new(127, 0, 1, (1 + number % ADDRESSES) as u8);
    socket.bind(&SocketAddr::from((own, 0)).into())?;
    match socket.connect(&addr.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
        _ => {}
    }
    Ok(TcpStream::from_std(socket.into()))
}
