//! Echo between two hosts of the emulated network, one connection: by tasks and by threads.

use crate::request::{Requests, SIZE};
use crate::run::{Measured, Run, Until};
use crate::tasks;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use wakeline::net::emulated::{Host, HostBuilder, Lan};
use wakeline::net::{TcpListener, TcpStream, blocking};
use wakeline::runtime::Builder;

const SERVER: &str = "server:7000";
const ANY: &str = "0.0.0.0:7000";

/// How many connections are opened at once: fewer than a listener's backlog holds.
const CONNECT_BATCH: usize = 256;

/// A LAN with a server and a client whose CPUs are tasks of the current runtime.
///
/// # Errors
/// Those of building a host.
pub fn hosts() -> io::Result<(Host, Host)> {
    hosts_with(|host| host)
}

/// The same with what `describe` adds to each.
///
/// # Errors
/// Those of building a host.
pub fn hosts_with(describe: fn(HostBuilder) -> HostBuilder) -> io::Result<(Host, Host)> {
    let lan = Lan::with_seed(1);
    Ok((describe(lan.host("server")).build()?, describe(lan.host("client")).build()?))
}

/// One worker for everything: both hosts' CPUs, the server's tasks and the client's. Beside the connection that is
/// measured, `idle` others are established, each with a task that waits for a request.
///
/// # Errors
/// Those of the sockets, and a wrong byte.
pub fn tasks(until: Until, idle: usize) -> io::Result<Measured> {
    Builder::new_current_thread().enable_all().build()?.block_on(async move {
        let (server, client) = hosts()?;
        let listener = server.run(TcpListener::bind(ANY)).await?;
        drop(server.spawn(serve(listener)));
        let idle = connect_idle(&server, &client, idle).await?;
        let asking = client.spawn(async move {
            let mut stream = TcpStream::connect(SERVER).await?;
            stream.set_nodelay(true)?;
            tasks::ask(&mut stream, until).await
        });
        let measured = asking.await.map_err(io::Error::other)?;
        drop(idle);
        measured
    })
}

/// From one address to one port go fewer than there are ephemeral ports.
const CONNECTIONS_PER_PORT: usize = 25_000;

/// Opens `count` connections to as many ports of `server` as it takes.
async fn connect_idle(server: &Host, client: &Host, count: usize) -> io::Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(count);
    let mut port = 7001;
    while streams.len() < count {
        let listener = server.run(TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))).await?;
        drop(server.spawn(serve(listener)));
        let more = CONNECTIONS_PER_PORT.min(count - streams.len());
        streams.extend(connect(client, SocketAddr::new(server.addr(), port), more).await?);
        port += 1;
    }
    Ok(streams)
}

/// Accepts for ever, a task for each connection.
///
/// # Errors
/// Those of the listener.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        drop(wakeline::spawn(tasks::echo(stream)));
    }
}

/// Opens `count` connections from `client` to a server.
///
/// # Errors
/// Those of the sockets.
pub async fn connect(client: &Host, server: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(count);
    while streams.len() < count {
        let batch = CONNECT_BATCH.min(count - streams.len());
        let connecting: Vec<_> = (0..batch).map(|_| client.spawn(TcpStream::connect(server))).collect();
        for stream in connecting {
            streams.push(stream.await.map_err(io::Error::other)??);
        }
    }
    Ok(streams)
}

/// No executor: a thread for each host's CPU, one for the server and this one for the client.
///
/// # Errors
/// Those of the sockets, and a wrong byte.
pub fn threads(until: Until) -> io::Result<Measured> {
    let lan = Lan::with_seed(1);
    let server = lan.host("server").build_threaded()?;
    let client = lan.host("client").build_threaded()?;
    let listener = {
        let _here = server.enter();
        blocking::TcpListener::bind(ANY)?
    };
    let serving = std::thread::spawn(move || -> io::Result<()> {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        echo_blocking(stream)
    });
    let measured = {
        let _here = client.enter();
        let mut stream = blocking::TcpStream::connect(SERVER)?;
        stream.set_nodelay(true)?;
        let mut requests = Requests::of_connection(0);
        let mut run = Run::new(until);
        while run.goes_on() {
            ask_once_blocking(&mut stream, &mut requests)?;
        }
        run.finish()
    };
    serving.join().map_err(|_| io::Error::other("the server panicked"))??;
    Ok(measured)
}

/// Sends back what comes, until the peer closes.
///
/// # Errors
/// Those of the stream.
pub fn echo_blocking(mut stream: blocking::TcpStream) -> io::Result<()> {
    let mut buf = [0; SIZE];
    loop {
        match stream.read(&mut buf)? {
            0 => return Ok(()),
            n => stream.write_all(&buf[..n])?,
        }
    }
}

/// One request and its answer.
///
/// # Errors
/// Those of the stream, and a wrong byte.
pub fn ask_once_blocking(stream: &mut blocking::TcpStream, requests: &mut Requests) -> io::Result<()> {
    let mut answer = [0; SIZE];
    stream.write_all(requests.next_request())?;
    stream.read_exact(&mut answer)?;
    requests.check(&answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_and_threads_echo() {
        assert_eq!(tasks(Until::Requests(50), 0).unwrap().requests, 50);
        assert_eq!(tasks(Until::Requests(50), 600).unwrap().requests, 50);
        assert_eq!(threads(Until::Requests(50)).unwrap().requests, 50);
    }
}
