//! Idle established connections: what one costs, and whether any of very many is reached as fast as one of few.

use crate::emulated_echo::hosts;
use crate::memory::Memory;
use crate::request::{Requests, SIZE};
use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;
use wakeline::net::emulated::Host;
use wakeline::net::{TcpListener, TcpStream};
use wakeline::runtime::Builder;

/// What idle connections have shown.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// Resident memory that the connections have added: both ends, the sockets of the programs included.
    pub bytes: u64,
    /// Resident memory of the process with all of them.
    pub resident: u64,
    /// Nanoseconds from a request to its answer, over one connection of them again and again.
    pub one_ns: f64,
    /// The same, each time over another one, by chance: what misses the cache shows.
    pub any_ns: f64,
}

/// Two emulated hosts and `connections` between them, each of which has carried a request before it became idle.
///
/// # Errors
/// Those of the sockets, and a wrong byte.
pub fn measure(connections: usize) -> io::Result<Idle> {
    Builder::new_current_thread().enable_all().build()?.block_on(async move {
        let (server, client) = hosts()?;
        let task = wakeline::spawn(async move {
            // Whatever is only made once is there before.
            drop(Crowd::gather(&server, &client, 6000, 100).await?);
            let before = Memory::now()?;
            let mut crowd = Crowd::gather(&server, &client, 7000, connections).await?;
            let after = Memory::now()?;
            let one_ns = crowd.ask_many(|_| 0).await?;
            let mut random = fastrand::Rng::with_seed(7);
            let any_ns = crowd.ask_many(|connections| random.usize(..connections)).await?;
            let bytes = after.total().saturating_sub(before.total());
            Ok(Idle { bytes, resident: after.total(), one_ns, any_ns })
        });
        task.await.map_err(io::Error::other)?
    })
}

/// Connections by their two ends, and how to use them.
struct Crowd {
    pairs: Vec<(TcpStream, TcpStream)>,
    requests: Requests,
}

/// From one address to one port go at most as many as there are ephemeral ports.
const CONNECTIONS_PER_PORT: usize = 25_000;

const REQUESTS: u32 = 100_000;

impl Crowd {
    async fn gather(server: &Host, client: &Host, first_port: u16, connections: usize) -> io::Result<Crowd> {
        let mut crowd = Crowd { pairs: Vec::with_capacity(connections), requests: Requests::of_connection(0) };
        let mut port = first_port;
        while crowd.pairs.len() < connections {
            let listener = server.run(TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))).await?;
            let to = SocketAddr::new(server.addr(), port);
            for _ in 0..CONNECTIONS_PER_PORT.min(connections - crowd.pairs.len()) {
                let ours = client.run(TcpStream::connect(to)).await?;
                let (theirs, _) = listener.accept().await?;
                crowd.pairs.push((ours, theirs));
                crowd.ask(crowd.pairs.len() - 1).await?;
            }
            port += 1;
        }
        Ok(crowd)
    }

    /// Nanoseconds a request, each over the connection that `choose` picks.
    async fn ask_many(&mut self, mut choose: impl FnMut(usize) -> usize) -> io::Result<f64> {
        let began = Instant::now();
        for _ in 0..REQUESTS {
            let at = choose(self.pairs.len());
            self.ask(at).await?;
        }
        Ok(began.elapsed().as_nanos() as f64 / f64::from(REQUESTS))
    }

    /// One request and its answer.
    async fn ask(&mut self, at: usize) -> io::Result<()> {
        let (ours, theirs) = &mut self.pairs[at];
        let mut buf = [0; SIZE];
        ours.write_all(self.requests.next_request()).await?;
        theirs.read_exact(&mut buf).await?;
        theirs.write_all(&buf).await?;
        ours.read_exact(&mut buf).await?;
        self.requests.check(&buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_connections_are_reached() {
        let idle = measure(300).unwrap();
        assert!(idle.one_ns > 0.0 && idle.any_ns > 0.0 && idle.resident > 0, "{idle:?}");
    }
}
