//! A key-value store that speaks the protocol of Redis (RESP2), for `redis-cli` and `redis-benchmark`.
//!
//! ```text
//! cargo run --release --example key_value                                   a server and its clients, checked
//! cargo run --release --example key_value -- --backend os                   the same on the system's network
//! cargo run --release --example key_value -- --listen 127.0.0.1:6379        then: redis-benchmark -P 16 -t get,set
//! ```
//! Requests that arrive together are answered together, so pipelining costs one write. A request has some seconds to come to its
//! end. Every length that a client names has a bound, and nothing is set aside for it before it arrives; answers that the client does not take are not made, and a full
//! store refuses what is new.

#[path = "key_value/resp.rs"]
mod resp;
#[path = "common/stage.rs"]
mod stage;
#[path = "key_value/store.rs"]
mod store;

use stage::{Stage, expect};
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::{TcpListener, TcpStream};
use wakeline::task::JoinSet;
use wakeline::time::{Instant, timeout_at};

fn main() -> ExitCode {
    stage::run("key_value", serve, play)
}

/// How much is read at a time.
const READ_BYTES: usize = 16 << 10;
/// How much is answered before it is written: a short request may ask for a long answer.
const ANSWER_BYTES: usize = 64 << 10;
/// What the store of a server holds at most.
const STORE_BYTES: usize = 256 << 20;
/// How long a client may take for one request, once it has begun it.
const PATIENCE: Duration = Duration::from_secs(30);

async fn serve(addr: String) -> io::Result<()> {
    let listener = TcpListener::bind(&addr).await?;
    println!("keys and values on {}, until Ctrl-C", listener.local_addr()?);
    keep(listener, STORE_BYTES, PATIENCE).await
}

async fn keep(listener: TcpListener, room: usize, patience: Duration) -> io::Result<()> {
    let store = Arc::new(Store::new(room));
    loop {
        let (stream, _) = stage::accept("key_value", &listener).await?;
        wakeline::spawn(answer(stream, store.clone(), patience));
    }
}

/// One client, until it goes, dawdles or says something that is no request. It may be silent between requests for as long as the
/// kernel finds it there.
async fn answer(mut stream: TcpStream, store: Arc<Store>, patience: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_keepalive(true)?;
    let (mut input, mut output) = (Vec::new(), Vec::new());
    let mut chunk = vec![0; READ_BYTES];
    let mut begun = Instant::now();
    loop {
        let read = stream.read(&mut chunk);
        let n = match input.is_empty() {
            true => read.await?,
            false => timeout_at(begun + patience, read).await??,
        };
        if input.is_empty() {
            begun = Instant::now();
        }
        if n == 0 {
            return Ok(());
        }
        input.extend_from_slice(&chunk[..n]);
        let mut done = 0;
        let stays = loop {
            match resp::request(&input[done..]) {
                Ok(Some((request, len))) => {
                    done += len;
                    if !store.answer(&request, &mut output) {
                        break false;
                    }
                    if output.len() >= ANSWER_BYTES {
                        stream.write_all(&output).await?;
                        output.clear();
                    }
                }
                Ok(None) if input.len() - done > resp::REQUEST_BYTES_MAX => {
                    resp::error(&mut output, "Protocol error: too big request");
                    break false;
                }
                Ok(None) => break true,
                Err(text) => {
                    resp::error(&mut output, text);
                    break false;
                }
            }
        };
        if done > 0 {
            begun = Instant::now();
        }
        input.drain(..done);
        stream.write_all(&output).await?;
        output.clear();
        if !stays {
            return stream.close().await;
        }
    }
}

async fn play(stage: Stage) -> io::Result<()> {
    let bind = stage.bind();
    let addr = stage.server(begin(bind, PATIENCE)).await??;
    let hasty = stage.server(begin(bind, Duration::from_millis(50))).await??;
    stage
        .client(async move {
            let mut clients: JoinSet<_> = (0..CLIENTS).map(|_| count(addr)).collect();
            while let Some(ended) = clients.join_next().await {
                ended.map_err(io::Error::other)??;
            }
            let total = format!("${}\r\n{}\r\n", (CLIENTS * ROUNDS).to_string().len(), CLIENTS * ROUNDS);
            talk(addr, &[("*2\r\n$3\r\nGET\r\n$7\r\ncounter\r\n", &total)]).await?;
            talk(addr, CONVERSATION).await?;
            let too_much = format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n${ROOM}\r\n{}\r\n", "x".repeat(ROOM));
            let refused = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
            talk(addr, &[(&too_much, refused), ("GET a\r\n", "$-1\r\n")]).await?;
            misbehave(addr, hasty).await?;
            talk(hasty, &[("PING\r\n", "+PONG\r\n")]).await
        })
        .await??;
    println!("{} increments from {CLIENTS} clients, none lost", CLIENTS * ROUNDS);
    Ok(())
}

/// Begins to serve, and says where.
async fn begin(bind: &'static str, patience: Duration) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(bind).await?;
    let addr = listener.local_addr()?;
    wakeline::spawn(keep(listener, ROOM, patience));
    Ok(addr)
}

/// A line without an end, and a request that does not come.
async fn misbehave(addr: SocketAddr, hasty: SocketAddr) -> io::Result<()> {
    let mut long = TcpStream::connect(addr).await?;
    long.write_all(&[b'x'; resp::LINE_BYTES_MAX]).await?;
    let mut told = String::new();
    long.read_to_string(&mut told).await?;
    expect(told.as_str(), "-ERR Protocol error: too big inline request\r\n")?;
    let mut slow = TcpStream::connect(hasty).await?;
    slow.write_all(b"*2\r\n$3\r\nGE").await?;
    expect(slow.read(&mut [0; 8]).await?, 0)
}

/// What the server under test holds.
const ROOM: usize = 4096;
const CLIENTS: usize = 8;
const ROUNDS: usize = 50;

/// Pipelined increments.
async fn count(addr: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all("*2\r\n$4\r\nINCR\r\n$7\r\ncounter\r\n".repeat(ROUNDS).as_bytes()).await?;
    let (mut lines, mut buf) = (0, [0; 512]);
    while lines < ROUNDS {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        lines += buf[..n].iter().filter(|&&byte| byte == b'\n').count();
    }
    Ok(())
}

/// What a client says, and what it hears.
const CONVERSATION: &[(&str, &str)] = &[
    ("PING\r\n", "+PONG\r\n"),
    ("*2\r\n$4\r\nPING\r\n$2\r\nhi\r\n", "$2\r\nhi\r\n"),
    ("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$4\r\n\r\n\r\n\r\n", "+OK\r\n"),
    ("*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "$4\r\n\r\n\r\n\r\n"),
    ("*2\r\n$3\r\nGET\r\n$1\r\nb\r\n", "$-1\r\n"),
    ("*2\r\n$4\r\nINCR\r\n$1\r\na\r\n", "-ERR value is not an integer or out of range\r\n"),
    ("*3\r\n$3\r\nDEL\r\n$1\r\na\r\n$1\r\nb\r\n", ":1\r\n"),
    ("*1\r\n$3\r\nGET\r\n", "-ERR wrong number of arguments for 'get' command\r\n"),
    ("*1\r\n$4\r\nSING\r\n", "-ERR unknown command 'sing'\r\n"),
    ("*2\r\n$3\r\nGET\r\n$99999999999\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
];

async fn talk(addr: SocketAddr, conversation: &[(&str, &str)]) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr).await?;
    for (said, expected) in conversation {
        stream.write_all(said.as_bytes()).await?;
        let mut heard = vec![0; expected.len()];
        stream.read_exact(&mut heard).await?;
        expect(String::from_utf8_lossy(&heard).as_ref(), *expected)?;
    }
    Ok(())
}
