//! Graceful shutdown: no new connections, a while for those that are open, then the rest is cut.
//!
//! ```text
//! cargo run --example drain                                                 a server that is ended under load, checked
//! cargo run --example drain -- --backend os                                 the same on the system's network
//! cargo run --example drain -- --listen 127.0.0.1:7000                      until Ctrl-C or SIGTERM
//! ```
//! Each connection is a task of one `JoinSet` and hears of the end through a token, between two requests: a request that has
//! begun is answered. Idle connections end at once.

#[path = "common/stage.rs"]
mod stage;

use stage::{Stage, expect};
use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use wakeline::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use wakeline::net::{TcpListener, TcpStream};
use wakeline::select;
use wakeline::sync::{CancellationToken, oneshot};
use wakeline::task::JoinSet;
use wakeline::time::{sleep, timeout};

fn main() -> ExitCode {
    stage::run("drain", serve, play)
}

/// How long open connections have.
const GRACE: Duration = Duration::from_millis(500);
/// How long the work for a request takes.
const WORK: Duration = Duration::from_millis(50);
/// For one that nobody should wait for.
const LONG_WORK: Duration = Duration::from_secs(3600);
const REQUEST_BYTES_MAX: u64 = 1024;

async fn serve(addr: String) -> io::Result<()> {
    let listener = TcpListener::bind(&addr).await?;
    println!("answering lines on {}, until Ctrl-C", listener.local_addr()?);
    let drained = drain(listener, told_to_end()).await?;
    println!("{} connections ended by themselves, {} were cut", drained.ended, drained.cut);
    Ok(())
}

/// Ctrl-C, or what a service manager sends.
async fn told_to_end() {
    #[cfg(unix)]
    {
        use wakeline::signal::{SignalKind, signal};
        let signals = signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
        match signals {
            Ok((mut terminate, mut interrupt)) => {
                select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
            Err(error) => {
                eprintln!("drain: no signal will be heard: {error}");
                pending().await
            }
        }
    }
    #[cfg(not(unix))]
    pending::<()>().await
}

#[derive(Debug, Default, PartialEq)]
struct Drained {
    ended: usize,
    cut: usize,
}

/// Serves until `end`, and then lets the connections end.
async fn drain(listener: TcpListener, end: impl Future<Output = ()>) -> io::Result<Drained> {
    let ending = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut end = std::pin::pin!(end);
    loop {
        select! {
            _ = &mut end => break,
            accepted = stage::accept("drain", &listener) => drop(connections.spawn(answer(accepted?.0, ending.clone()))),
            // Those that have ended before; otherwise the set would grow for ever.
            Some(_) = connections.join_next() => {}
        }
    }
    // From here on a client is refused, and may try another server.
    drop(listener);
    ending.cancel();
    let mut drained = Drained::default();
    let all = async {
        while connections.join_next().await.is_some() {
            drained.ended += 1;
        }
    };
    if timeout(GRACE, all).await.is_err() {
        drained.cut = connections.len();
        connections.shutdown().await;
    }
    Ok(drained)
}

/// Answers each line, until the client or the server ends.
async fn answer(stream: TcpStream, ending: CancellationToken) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut request = String::new();
        let mut limited = (&mut stream).take(REQUEST_BYTES_MAX);
        let read = select! {
            read = limited.read_line(&mut request) => read?,
            _ = ending.cancelled() => 0,
        };
        if read == 0 {
            return stream.get_mut().close().await;
        }
        sleep(if request == "long\n" { LONG_WORK } else { WORK }).await;
        stream.get_mut().write_all(format!("done: {request}").as_bytes()).await?;
    }
}

async fn play(stage: Stage) -> io::Result<()> {
    let bind = stage.bind();
    let (end, ends) = oneshot::channel::<()>();
    let (addr, server) = stage
        .server(async move {
            let listener = TcpListener::bind(bind).await?;
            let addr = listener.local_addr()?;
            let end = async {
                let _ = ends.await;
            };
            io::Result::Ok((addr, wakeline::spawn(drain(listener, end))))
        })
        .await??;
    stage.client(clients(addr, end)).await??;
    let drained = server.await.map_err(io::Error::other)??;
    expect(drained, Drained { ended: 2, cut: 1 })?;
    println!("the request that had begun was answered, the idle connection ended, the one that takes for ever was cut");
    Ok(())
}

/// One that is idle, one in a request, one in a request that takes for ever; then the end.
async fn clients(addr: SocketAddr, end: oneshot::Sender<()>) -> io::Result<()> {
    let mut idle = TcpStream::connect(addr).await?;
    idle.write_all(b"hello\n").await?;
    expect(read_line(&mut idle).await?, "done: hello\n".to_owned())?;
    let mut long = TcpStream::connect(addr).await?;
    long.write_all(b"long\n").await?;
    let mut busy = TcpStream::connect(addr).await?;
    busy.write_all(b"work\n").await?;
    // Answered once, it has been accepted and is being worked for again.
    expect(read_line(&mut busy).await?, "done: work\n".to_owned())?;
    busy.write_all(b"last work\n").await?;
    sleep(WORK / 2).await;
    let _ = end.send(());
    expect(read_line(&mut busy).await?, "done: last work\n".to_owned())?;
    expect(read_line(&mut busy).await?, String::new())?;
    expect(read_line(&mut idle).await?, String::new())?;
    expect(read_line(&mut long).await?, String::new())?;
    let refused = TcpStream::connect(addr).await.map(drop).map_err(|error| error.kind());
    expect(refused, Err(io::ErrorKind::ConnectionRefused))
}

async fn read_line(stream: &mut TcpStream) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await?;
    Ok(line)
}
