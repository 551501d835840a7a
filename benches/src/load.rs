//! The load of the server benchmark: one bare epoll loop, the same for every server.
//!
//! Each connection has one request on its way at any time. No runtime takes part, so what differs between two servers is
//! the servers.

use crate::request::{Requests, SIZE};
use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What one load has seen of its server.
#[derive(Debug)]
pub struct Load {
    /// Requests answered after the warm-up.
    pub requests: u64,
    /// How long they took together.
    pub elapsed: Duration,
    /// All requests, those of the warm-up too.
    pub requests_with_warm_up: u64,
    /// Nanoseconds from each request to its answer.
    pub latency_ns: Histogram<u64>,
}

/// Puts load on the server at `addr` through `connections` connections for `time`, behind a warm-up of a fifth of it.
///
/// # Errors
/// Those of the sockets, and a wrong byte.
pub fn run(addr: SocketAddr, connections: usize, time: Duration) -> io::Result<Load> {
    let mut poll = Poll::new()?;
    let mut clients = Vec::with_capacity(connections);
    for number in 0..connections {
        let mut client = Client::connect(addr, number as u64)?;
        poll.registry().register(&mut client.stream, Token(number), Interest::READABLE)?;
        clients.push(client);
    }
    for client in &mut clients {
        client.send(Instant::now())?;
    }
    let mut warm_up = Turns::new()?;
    warm_up.run(&mut poll, &mut clients, time / 5)?;
    let mut turns = Turns::new()?;
    let elapsed = turns.run(&mut poll, &mut clients, time)?;
    let requests = turns.latency_ns.len();
    let requests_with_warm_up = requests + warm_up.latency_ns.len();
    Ok(Load { requests, elapsed, requests_with_warm_up, latency_ns: turns.latency_ns })
}

struct Turns {
    events: Events,
    latency_ns: Histogram<u64>,
}

impl Turns {
    fn new() -> io::Result<Turns> {
        let minute_ns = 60_000_000_000;
        let latency_ns = Histogram::new_with_bounds(1, minute_ns, 3).map_err(io::Error::other)?;
        Ok(Turns { events: Events::with_capacity(1024), latency_ns })
    }

    fn run(&mut self, poll: &mut Poll, clients: &mut [Client], time: Duration) -> io::Result<Duration> {
        let began = Instant::now();
        loop {
            match poll.poll(&mut self.events, Some(SILENCE_MAX)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            if self.events.is_empty() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the server has answered nobody for 10 s"));
            }
            for event in &self.events {
                let client = &mut clients[event.token().0];
                if client.receive()? {
                    let now = Instant::now();
                    let latency = now - client.sent;
                    self.latency_ns.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
                    client.send(now)?;
                }
            }
            let elapsed = began.elapsed();
            if elapsed >= time {
                return Ok(elapsed);
            }
        }
    }
}

/// A server that is silent for this long is broken.
const SILENCE_MAX: Duration = Duration::from_secs(10);

struct Client {
    stream: TcpStream,
    requests: Requests,
    answer: [u8; SIZE],
    filled: usize,
    sent: Instant,
}

impl Client {
    fn connect(addr: SocketAddr, number: u64) -> io::Result<Client> {
        let stream = std::net::TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Client {
            stream: TcpStream::from_std(stream),
            requests: Requests::of_connection(number),
            answer: [0; SIZE],
            filled: 0,
            sent: Instant::now(),
        })
    }

    fn send(&mut self, now: Instant) -> io::Result<()> {
        self.sent = now;
        match self.stream.write(self.requests.next_request())? {
            SIZE => Ok(()),
            _ => Err(io::Error::other("an empty send buffer had no room for 64 bytes")),
        }
    }

    /// Takes what has come; `true` when the answer is complete. One read is enough: no more than the answer is on its
    /// way, and what is missing makes a new edge.
    fn receive(&mut self) -> io::Result<bool> {
        match self.stream.read(&mut self.answer[self.filled..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => self.filled += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if self.filled < SIZE {
            return Ok(false);
        }
        self.filled = 0;
        self.requests.check(&self.answer)?;
        Ok(true)
    }
}
