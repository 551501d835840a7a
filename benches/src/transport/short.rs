//! Connections that carry one byte: connect, write, close; accept, read the byte and the end, close.

use crate::emulated_echo::hosts;
use crate::run::{Measured, Run, Until};
use crate::transport::same_count;
use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wakeline::net::emulated::Host;
use wakeline::net::{TcpListener, TcpStream};
use wakeline::runtime::Builder;

/// Who closes first keeps an entry in TIME-WAIT for a minute, and with it the pair of ports; so there are several ports to
/// connect to, each in turn.
const PORTS: u16 = 64;
const FIRST_PORT: u16 = 7000;

/// Two emulated hosts and their tasks on one worker; `at_once` clients take turns.
///
/// # Errors
/// Those of the sockets, and a byte that is lost.
pub fn emulated(until: Until, at_once: usize) -> io::Result<Measured> {
    Builder::new_current_thread().enable_all().build()?.block_on(async move {
        let (server, client) = hosts()?;
        let bytes = listen(&server).await?;
        let (measured, connections) = connect_until(&client, server.addr(), until, at_once).await?;
        finish(&bytes, Some(connections)).await?;
        Ok(measured)
    })
}

/// Opens the ports; gives the count of bytes that have arrived.
pub(crate) async fn listen(server: &Host) -> io::Result<Arc<AtomicU64>> {
    let bytes = Arc::new(AtomicU64::new(0));
    for port in FIRST_PORT..FIRST_PORT + PORTS {
        let listener = server.run(TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))).await?;
        drop(server.spawn(accept_for_ever(listener, bytes.clone())));
    }
    Ok(bytes)
}

async fn accept_for_ever(listener: TcpListener, bytes: Arc<AtomicU64>) -> io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut byte = [0; 2];
        while let n @ 1.. = stream.read(&mut byte).await? {
            bytes.fetch_add(n as u64, Ordering::Relaxed);
        }
    }
}

/// Lets the last connections end; compares the bytes that have arrived with what was sent.
pub(crate) async fn finish(bytes: &AtomicU64, sent: Option<u64>) -> io::Result<()> {
    for _ in 0..1000 {
        wakeline::task::yield_now().await;
    }
    sent.map_or(Ok(()), |sent| same_count("bytes", sent, bytes.load(Ordering::Relaxed)))
}

/// Connects again and again; gives how many connections there were in all.
pub(crate) async fn connect_until(
    client: &Host,
    to: IpAddr,
    until: Until,
    at_once: usize,
) -> io::Result<(Measured, u64)> {
    let turns = Arc::new(Mutex::new(Turns { run: Run::new(until), connections: 0 }));
    let clients: Vec<_> = (0..at_once).map(|_| client.spawn(connect_in_turn(to, turns.clone()))).collect();
    for client in clients {
        client.await.map_err(io::Error::other)??;
    }
    let turns = Arc::into_inner(turns).and_then(|turns| turns.into_inner().ok());
    let Turns { run, connections } = turns.ok_or_else(|| io::Error::other("a client goes on"))?;
    Ok((run.finish(), connections))
}

/// Which connection is next, for all clients.
struct Turns {
    run: Run,
    connections: u64,
}

async fn connect_in_turn(to: IpAddr, turns: Arc<Mutex<Turns>>) -> io::Result<()> {
    while let Some(number) = next_of(&turns) {
        connect(to, number).await?;
    }
    Ok(())
}

fn next_of(turns: &Mutex<Turns>) -> Option<u64> {
    let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
    let goes_on = turns.run.goes_on();
    turns.connections += u64::from(goes_on);
    goes_on.then(|| turns.connections - 1)
}

async fn connect(to: IpAddr, number: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect(address(to, number)).await?;
    stream.write_all(&[7]).await
}

fn address(to: IpAddr, number: u64) -> SocketAddr {
    SocketAddr::new(to, FIRST_PORT + (number % u64::from(PORTS)) as u16)
}

/// The kernel's loopback by one thread, so that no switch of threads is in it.
///
/// # Errors
/// Those of the sockets, and a byte that is lost.
pub fn kernel(until: Until) -> io::Result<Measured> {
    let listen = |_| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners = (0..PORTS).map(listen).collect::<io::Result<Vec<_>>>()?;
    let addrs = listeners.iter().map(std::net::TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
    let mut run = Run::new(until);
    let mut number = 0;
    while run.goes_on() {
        let at = number % listeners.len();
        let mut client = std::net::TcpStream::connect(addrs[at])?;
        client.write_all(&[7])?;
        drop(client);
        let (mut server, _) = listeners[at].accept()?;
        let mut bytes = Vec::new();
        same_count("bytes", 1, server.read_to_end(&mut bytes)? as u64)?;
        number += 1;
    }
    Ok(run.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_brings_its_byte() {
        for at_once in [1, 8] {
            assert_eq!(emulated(Until::Requests(200), at_once).unwrap().requests, 200);
        }
        assert_eq!(kernel(Until::Requests(50)).unwrap().requests, 50);
    }
}
