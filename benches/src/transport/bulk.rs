//! A TCP stream in one direction: bytes written and read by chunks of 64 KiB, every one compared, counted on both sides.

use crate::emulated_echo::hosts_with;
use crate::run::{Measured, Run, Until};
use crate::stream::{CHUNK, Pattern};
use crate::transport::same_count;
use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wakeline::net::emulated::HostBuilder;
use wakeline::net::{TcpListener, TcpStream};
use wakeline::runtime::Builder;

/// What chunks in a time are in Gbit/s.
#[must_use]
pub fn gbit_per_second(measured: Measured) -> f64 {
    measured.rate() * (CHUNK * 8) as f64 / 1e9
}

/// Two emulated hosts that `describe` describes, a task on each, one worker for everything.
///
/// # Errors
/// Those of the sockets, and a wrong byte.
pub fn emulated(until: Until, describe: fn(HostBuilder) -> HostBuilder) -> io::Result<Measured> {
    Builder::new_current_thread().enable_all().build()?.block_on(async move {
        let (server, client) = hosts_with(describe)?;
        let listener = server.run(TcpListener::bind("0.0.0.0:7000")).await?;
        let enough = Arc::new(AtomicBool::new(false));
        let receiving = server.spawn(receive(listener, until, enough.clone()));
        let sending = client.spawn(async move { send(TcpStream::connect("server:7000").await?, &enough).await });
        let (measured, received) = receiving.await.map_err(io::Error::other)??;
        same_count("bytes", sending.await.map_err(io::Error::other)??, received)?;
        Ok(measured)
    })
}

async fn send(mut stream: TcpStream, enough: &AtomicBool) -> io::Result<u64> {
    let pattern = Pattern::new();
    let mut sent = 0;
    while !enough.load(Ordering::Relaxed) {
        stream.write_all(pattern.at(sent)).await?;
        sent += CHUNK as u64;
    }
    Ok(sent)
}

async fn receive(listener: TcpListener, until: Until, enough: Arc<AtomicBool>) -> io::Result<(Measured, u64)> {
    let (mut stream, _) = listener.accept().await?;
    let mut sink = Sink::new();
    let mut run = Run::new(until);
    while run.goes_on() {
        let wanted = sink.received + CHUNK as u64;
        while sink.received < wanted {
            let n = stream.read(sink.room(wanted)).await?;
            sink.take(n)?;
        }
    }
    enough.store(true, Ordering::Relaxed);
    loop {
        match stream.read(&mut sink.buf).await? {
            0 => return Ok((run.finish(), sink.received)),
            n => sink.take(n)?,
        }
    }
}

/// The kernel's loopback, a thread on each side.
///
/// # Errors
/// Those of the sockets, and a wrong byte.
pub fn kernel(until: Until) -> io::Result<Measured> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let addr = listener.local_addr()?;
    let enough = Arc::new(AtomicBool::new(false));
    let told = enough.clone();
    let sending = std::thread::spawn(move || -> io::Result<u64> {
        let mut stream = std::net::TcpStream::connect(addr)?;
        let pattern = Pattern::new();
        let mut sent = 0;
        while !told.load(Ordering::Relaxed) {
            stream.write_all(pattern.at(sent))?;
            sent += CHUNK as u64;
        }
        Ok(sent)
    });
    let (measured, received) = receive_blocking(listener.accept()?.0, until, &enough)?;
    let sent = sending.join().map_err(|_| io::Error::other("the sender panicked"))??;
    same_count("bytes", sent, received)?;
    Ok(measured)
}

fn receive_blocking(mut stream: std::net::TcpStream, until: Until, enough: &AtomicBool) -> io::Result<(Measured, u64)> {
    let mut sink = Sink::new();
    let mut run = Run::new(until);
    while run.goes_on() {
        let wanted = sink.received + CHUNK as u64;
        while sink.received < wanted {
            let n = stream.read(sink.room(wanted))?;
            sink.take(n)?;
        }
    }
    enough.store(true, Ordering::Relaxed);
    loop {
        match stream.read(&mut sink.buf)? {
            0 => return Ok((run.finish(), sink.received)),
            n => sink.take(n)?,
        }
    }
}

/// Where the stream ends.
struct Sink {
    pattern: Pattern,
    buf: Vec<u8>,
    received: u64,
}

impl Sink {
    fn new() -> Sink {
        Sink { pattern: Pattern::new(), buf: vec![0; CHUNK], received: 0 }
    }

    /// Where to read what is left up to `wanted`.
    fn room(&mut self, wanted: u64) -> &mut [u8] {
        &mut self.buf[..(wanted - self.received) as usize]
    }

    /// Compares the first `n` bytes of the buffer, which have just been read.
    fn take(&mut self, n: usize) -> io::Result<()> {
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.pattern.check(self.received, &self.buf[..n])?;
        self.received += n as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wakeline::net::emulated::Offloads;

    #[test]
    fn both_stream() {
        let describe = |host: HostBuilder| host.offloads(Offloads::all());
        assert_eq!(emulated(Until::Requests(100), describe).unwrap().requests, 100);
        assert_eq!(kernel(Until::Requests(100)).unwrap().requests, 100);
    }
}
