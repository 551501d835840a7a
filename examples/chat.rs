//! A chat: each line that somebody writes is sent to everybody else.
//!
//! ```text
//! cargo run --example chat                                                  a server and three clients, checked
//! cargo run --example chat -- --backend os                                  the same on the system's network
//! cargo run --example chat -- --listen 127.0.0.1:7000                       for `nc 127.0.0.1 7000`
//! ```
//! Lines go through a broadcast channel with a bound: who reads too slowly misses the oldest and is told how many. A line has a
//! bound too, so nobody fills the server's memory without a line feed.

#[path = "common/stage.rs"]
mod stage;

use stage::{Stage, expect};
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use wakeline::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use wakeline::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use wakeline::net::{TcpListener, TcpStream};
use wakeline::sync::broadcast::{self, error::RecvError};

fn main() -> ExitCode {
    stage::run("chat", serve, play)
}

/// How many lines the slowest may be behind.
const LINES_MAX: usize = 64;
const LINE_BYTES_MAX: u64 = 1024;

type Line = (SocketAddr, Arc<str>);

async fn serve(addr: String) -> io::Result<()> {
    let listener = TcpListener::bind(&addr).await?;
    println!("chatting on {}, until Ctrl-C", listener.local_addr()?);
    chat(listener).await
}

async fn chat(listener: TcpListener) -> io::Result<()> {
    let (lines, _) = broadcast::channel::<Line>(LINES_MAX);
    loop {
        let (stream, peer) = stage::accept("chat", &listener).await?;
        let (reader, writer) = stream.into_split();
        let (lines, heard) = (lines.clone(), lines.subscribe());
        // Who has ended writing may listen on; who has gone altogether makes the writer fail.
        let writing = wakeline::spawn(tell(writer, peer, heard));
        wakeline::spawn(async move {
            if hear(reader, peer, &lines).await.is_err() {
                writing.abort();
            }
        });
    }
}

/// Passes on what a client writes, line by line.
async fn hear(reader: OwnedReadHalf, peer: SocketAddr, lines: &broadcast::Sender<Line>) -> io::Result<()> {
    let mut reader = BufReader::new(reader);
    while let Some(line) = next_line(&mut reader).await? {
        // Nobody else may be there.
        let _ = lines.send((peer, line.into()));
    }
    Ok(())
}

async fn next_line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<String>> {
    let mut line = String::new();
    if reader.take(LINE_BYTES_MAX).read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    match line.pop() {
        Some('\n') => Ok(Some(line)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a line ends with a line feed, within its bound")),
    }
}

/// Tells a client what the others wrote.
async fn tell(mut writer: OwnedWriteHalf, own: SocketAddr, mut heard: broadcast::Receiver<Line>) -> io::Result<()> {
    // From here on nothing is missed.
    writer.write_all(b"welcome\n").await?;
    loop {
        let text = match heard.recv().await {
            Ok((from, _)) if from == own => continue,
            Ok((from, line)) => format!("{}: {line}\n", from.port()),
            Err(RecvError::Lagged(missed)) => format!("({missed} lines missed)\n"),
            Err(RecvError::Closed) => return Ok(()),
        };
        writer.write_all(text.as_bytes()).await?;
    }
}

async fn play(stage: Stage) -> io::Result<()> {
    let bind = stage.bind();
    let addr = stage
        .server(async move {
            let listener = TcpListener::bind(bind).await?;
            let addr = listener.local_addr()?;
            wakeline::spawn(chat(listener));
            io::Result::Ok(addr)
        })
        .await??;
    stage.client(talk(addr)).await?
}

/// Three clients, of which two talk.
async fn talk(addr: SocketAddr) -> io::Result<()> {
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = BufReader::new(TcpStream::connect(addr).await?);
        expect(next_line(&mut client).await?.as_deref(), Some("welcome"))?;
        clients.push(client);
    }
    for (speaker, word) in [(0, "hello"), (1, "and goodbye")] {
        clients[speaker].get_mut().write_all(format!("{word}\n").as_bytes()).await?;
        let port = clients[speaker].get_ref().local_addr()?.port();
        for (_, listener) in clients.iter_mut().enumerate().filter(|(number, _)| *number != speaker) {
            expect(next_line(listener).await?, Some(format!("{port}: {word}")))?;
        }
    }
    println!("everybody heard everybody else");
    Ok(())
}
