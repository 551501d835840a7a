//! Many emulated connections at once, by tasks and by threads: do they all echo, and what does one cost?
//!
//! Both do the same work: every connection is opened before the first request, each end has a task or a thread of its own,
//! all ask at the same time, and when all answers have been checked every end waits for more. Then memory is read. It is meant
//! for a process of its own that ends afterwards, because the waiting ends never do.

use crate::emulated_echo::{ask_once_blocking, connect, echo_blocking, hosts, serve};
use crate::memory::Memory;
use crate::request::Requests;
use crate::tasks::ask_once;
use futures_lite::io::AsyncReadExt;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};
use wakeline::net::emulated::{Host, Lan};
use wakeline::net::{TcpListener, TcpStream, blocking};
use wakeline::runtime::Builder;
use wakeline::time::sleep;

/// Requests on each connection.
pub const REQUESTS_EACH: u64 = 4;

/// What a crowd has shown.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// Connections that were open at the same time, each with both its ends in this process.
    pub connections: u64,
    /// Answers that came back and were right.
    pub verified: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Frames that were lost on the way; TCP has sent their bytes again. Ten thousand requests at one moment are more than
    /// the rings hold.
    pub drops: u64,
    /// Before the first connection: hosts, runtime and listener exist.
    pub before: Memory,
    /// With every connection open and waiting, after it has been used.
    pub after: Memory,
}

impl Crowd {
    /// Bytes that one connection, both ends, has added.
    #[must_use]
    pub fn bytes_per_connection(&self) -> f64 {
        self.after.total().saturating_sub(self.before.total()) as f64 / self.connections as f64
    }
}

/// Each client's word that its answers were right, or why not.
type Report = io::Result<u64>;

/// A task for each end, all on one worker.
///
/// # Errors
/// Those of the sockets, and a wrong byte.
pub fn tasks(connections: usize) -> io::Result<Crowd> {
    Builder::new_current_thread().enable_all().build()?.block_on(async move {
        let (server, client) = hosts()?;
        let listener = server.run(TcpListener::bind("0.0.0.0:7000")).await?;
        drop(server.spawn(serve(listener)));
        let before = Memory::now()?;
        let streams = connect(&client, SocketAddr::new(server.addr(), 7000), connections).await?;
        let (tell, told) = mpsc::channel();
        let began = Instant::now();
        for (number, stream) in streams.into_iter().enumerate() {
            drop(wakeline::spawn(ask_and_stay(stream, number as u64, tell.clone())));
        }
        drop(tell);
        let verified = all_reports(&told).await?;
        let elapsed = began.elapsed();
        let drops = drops([&server, &client]);
        Ok(Crowd { connections: connections as u64, verified, elapsed, drops, before, after: Memory::now()? })
    })
}

async fn ask_and_stay(mut stream: TcpStream, number: u64, tell: Sender<Report>) {
    let report = ask_some(&mut stream, number).await;
    // Nobody listens any more only when the crowd has failed.
    let _ = tell.send(report);
    drop(tell);
    let _ = stream.read(&mut [0]).await;
}

async fn ask_some(stream: &mut TcpStream, number: u64) -> Report {
    let mut requests = Requests::of_connection(number);
    for _ in 0..REQUESTS_EACH {
        ask_once(stream, &mut requests).await?;
    }
    Ok(REQUESTS_EACH)
}

async fn all_reports(told: &Receiver<Report>) -> io::Result<u64> {
    let mut verified = 0;
    loop {
        match told.try_recv() {
            Ok(report) => verified += report?,
            Err(TryRecvError::Empty) => sleep(Duration::from_millis(1)).await,
            Err(TryRecvError::Disconnected) => return Ok(verified),
        }
    }
}

/// A thread for each end, as [`std::thread::spawn`] gives them.
///
/// # Errors
/// Those of the sockets and of starting threads, and a wrong byte.
pub fn threads(connections: usize) -> io::Result<Crowd> {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").build_threaded()?;
    let client = lan.host("client").build_threaded()?;
    let listener = {
        let _here = server.enter();
        blocking::TcpListener::bind("0.0.0.0:7000")?
    };
    let before = Memory::now()?;
    start(move || serve_blocking(&listener))?;
    let streams = {
        let _here = client.enter();
        let connect = |_| blocking::TcpStream::connect("server:7000");
        (0..connections).map(connect).collect::<io::Result<Vec<_>>>()?
    };
    let (tell, told) = mpsc::channel();
    let began = Instant::now();
    for (number, stream) in streams.into_iter().enumerate() {
        let tell = tell.clone();
        start(move || ask_and_stay_blocking(stream, number as u64, tell))?;
    }
    drop(tell);
    let verified = told.iter().sum::<Report>()?;
    let elapsed = began.elapsed();
    let drops = drops([&server, &client]);
    Ok(Crowd { connections: connections as u64, verified, elapsed, drops, before, after: Memory::now()? })
}

fn drops(hosts: [&Host; 2]) -> u64 {
    hosts.into_iter().map(|host| host.counters().drops.total()).sum()
}

fn start<R: Send + 'static>(run: impl FnOnce() -> R + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().spawn(run)?;
    Ok(())
}

fn serve_blocking(listener: &blocking::TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        start(move || echo_blocking(stream))?;
    }
}

fn ask_and_stay_blocking(mut stream: blocking::TcpStream, number: u64, tell: Sender<Report>) {
    let mut requests = Requests::of_connection(number);
    let ask = |_| ask_once_blocking(&mut stream, &mut requests).map(|()| 1);
    let _ = tell.send((0..REQUESTS_EACH).map(ask).sum());
    drop(tell);
    let _ = stream.read(&mut [0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ends that wait go with the process.
    #[test]
    fn both_crowds_echo() {
        for crowd in [tasks(300).unwrap(), threads(20).unwrap()] {
            assert_eq!(crowd.verified, crowd.connections * REQUESTS_EACH);
            // Not its memory: the tests beside this one take and give back their own.
            assert!(crowd.after.total() > 0, "{crowd:?}");
        }
    }
}
