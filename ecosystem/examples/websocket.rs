//! WebSocket (RFC 6455) with tungstenite, over wakeline's streams as they are: what comes, goes back.
//!
//! ```text
//! cargo run --example websocket                                   a server and its clients, checked
//! cargo run --example websocket -- --backend os                   the same on the system's network
//! cargo run --example websocket -- --listen 127.0.0.1:9001        websocat ws://127.0.0.1:9001/
//! ```
//! A client has some seconds for its handshake; one that is silent is asked whether it is there, and left when it is not. A
//! message has a bound.

#[path = "../../examples/common/stage.rs"]
mod stage;

use async_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode};
use async_tungstenite::tungstenite::{Error, Message};
use async_tungstenite::{WebSocketStream, accept_async_with_config, client_async};
use futures_util::StreamExt;
use stage::{Stage, expect};
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::{TcpListener, TcpStream};
use wakeline::time::timeout;

fn main() -> ExitCode {
    stage::run("websocket", serve, play)
}

/// How long a client may take for its handshake, and to say that it is there.
const PATIENCE: Duration = Duration::from_secs(5);
const MESSAGE_BYTES_MAX: usize = 64 << 10;

async fn serve(addr: String) -> io::Result<()> {
    let listener = TcpListener::bind(&addr).await?;
    println!("ws://{}/, until Ctrl-C", listener.local_addr()?);
    accept(listener, PATIENCE).await
}

async fn accept(listener: TcpListener, patience: Duration) -> io::Result<()> {
    loop {
        let (stream, peer) = stage::accept("websocket", &listener).await?;
        wakeline::spawn(async move {
            // A connection that fails concerns nobody but its client.
            if let Err(error) = connection(stream, patience).await {
                eprintln!("websocket: {peer}: {error}");
            }
        });
    }
}

async fn connection(stream: TcpStream, patience: Duration) -> Result<(), Error> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        // What the client does not take is kept up to here; then sending fails.
        .max_write_buffer_size(4 * MESSAGE_BYTES_MAX);
    let upgrade = timeout(patience, accept_async_with_config(stream, Some(config)));
    let mut socket = upgrade.await.map_err(io::Error::from)??;
    let mut asked = false;
    loop {
        let message = match timeout(patience, socket.next()).await {
            Ok(Some(Ok(message))) => message,
            // Both sides have said farewell.
            Ok(None) => return Ok(()),
            Ok(Some(Err(Error::Capacity(error)))) => {
                let frame = CloseFrame { code: CloseCode::Size, reason: "that is too long".into() };
                let _ = timeout(patience, socket.close(Some(frame))).await;
                return Err(Error::Capacity(error));
            }
            Ok(Some(Err(error))) => return Err(error),
            Err(_) if asked => return Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            Err(_) => {
                asked = true;
                socket.send(Message::Ping(Default::default())).await?;
                continue;
            }
        };
        asked = false;
        if message.is_text() || message.is_binary() {
            // A client that does not read holds up nobody but itself, and not for ever.
            timeout(patience, socket.send(message)).await.map_err(io::Error::from)??;
        }
    }
}

/// Begins to serve, and says where.
async fn open(bind: &'static str, patience: Duration) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(bind).await?;
    let addr = listener.local_addr()?;
    wakeline::spawn(accept(listener, patience));
    Ok(addr)
}

async fn play(stage: Stage) -> io::Result<()> {
    let bind = stage.bind();
    let server = stage.server(open(bind, PATIENCE)).await??;
    let hasty = stage.server(open(bind, Duration::from_millis(50))).await??;
    stage.client(clients(server, hasty)).await?.map_err(io::Error::other)?;
    println!("messages came back; the slow, the boundless and the mute were left, and the next was served");
    Ok(())
}

type Socket = WebSocketStream<TcpStream>;

async fn connect(addr: SocketAddr) -> Result<Socket, Error> {
    let stream = TcpStream::connect(addr).await?;
    Ok(client_async(format!("ws://{addr}/"), stream).await?.0)
}

async fn exchange(socket: &mut Socket, message: Message) -> Result<(), Error> {
    socket.send(message.clone()).await?;
    let back = socket.next().await.transpose()?;
    Ok(expect(back, Some(message))?)
}

async fn clients(server: SocketAddr, hasty: SocketAddr) -> Result<(), Error> {
    let mut several = Vec::new();
    for number in 0..8 {
        several.push(wakeline::spawn(async move {
            let mut socket = connect(server).await?;
            for len in [0, 1, 125, 126, MESSAGE_BYTES_MAX] {
                exchange(&mut socket, Message::binary(vec![number; len])).await?;
            }
            exchange(&mut socket, Message::text("grüß dich")).await?;
            socket.close(None).await?;
            // The other side's farewell, then the end.
            while let Some(message) = socket.next().await {
                message?;
            }
            Ok::<(), Error>(())
        }));
    }
    for one in several {
        one.await.map_err(io::Error::other)??;
    }
    // The slow loris, and a handshake without an end: both see the end of the connection.
    let mut slow = TcpStream::connect(hasty).await?;
    slow.write_all(b"GET / HTTP/1.1\r\nHost: s").await?;
    expect(slow.read_to_end(&mut Vec::new()).await.unwrap_or(0), 0)?;
    let mut long = TcpStream::connect(server).await?;
    let _ = long.write_all(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(1 << 20)).as_bytes()).await;
    expect(long.read_to_end(&mut Vec::new()).await.unwrap_or(0), 0)?;
    // A message beyond the bound is answered by a close that says why.
    let mut boundless = connect(server).await?;
    // The server closes while it is being written, so that may fail.
    let _ = boundless.send(Message::binary(vec![0; 2 * MESSAGE_BYTES_MAX])).await;
    let told = boundless.next().await;
    if let Some(Ok(Message::Close(frame))) = told {
        expect(frame.map(|frame| frame.code), Some(CloseCode::Size))?;
    }
    // One that does not answer a ping, as it does not read, is left.
    let mute = connect(hasty).await?;
    let mut stream = mute.into_inner();
    stream.read_to_end(&mut Vec::new()).await?;
    // A client that is gone without a farewell.
    let mut gone = connect(server).await?;
    gone.send(Message::text("bye")).await?;
    drop(gone);
    exchange(&mut connect(server).await?, Message::text("still here")).await
}
