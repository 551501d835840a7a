//! A TCP proxy: whatever comes is passed on to another address, and back, until both sides have ended.
//!
//! ```text
//! cargo run --example proxy                                                 an origin, the proxy and its clients, checked
//! cargo run --example proxy -- --backend os                                 the same on the system's network
//! cargo run --example proxy -- --listen 127.0.0.1:8080                      pass on to 127.0.0.1:80
//! ```
//! `copy_bidirectional` forwards the end of one direction while the other goes on, so protocols that half-close work.

#[path = "common/stage.rs"]
mod stage;

use stage::{Stage, expect};
use std::io;
use std::process::ExitCode;
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use wakeline::net::{TcpListener, TcpStream};
use wakeline::time::timeout;

fn main() -> ExitCode {
    stage::run("proxy", serve, play)
}

/// Where `--listen` passes on to.
const ORIGIN: &str = "127.0.0.1:80";
/// How long an origin may take to accept.
const CONNECT: Duration = Duration::from_secs(5);

async fn serve(addr: String) -> io::Result<()> {
    let listener = TcpListener::bind(&addr).await?;
    println!("passing on from {} to {ORIGIN}, until Ctrl-C", listener.local_addr()?);
    proxy(listener, ORIGIN.to_owned()).await
}

async fn proxy(listener: TcpListener, origin: String) -> io::Result<()> {
    loop {
        let (client, peer) = stage::accept("proxy", &listener).await?;
        let origin = origin.clone();
        wakeline::spawn(async move {
            match pass_on(client, &origin).await {
                Ok((up, down)) => println!("{peer}: {up} bytes up, {down} bytes down"),
                Err(error) => println!("{peer}: {error}"),
            }
        });
    }
}

async fn pass_on(mut client: TcpStream, origin: &str) -> io::Result<(u64, u64)> {
    let mut server = timeout(CONNECT, TcpStream::connect(origin)).await.map_err(io::Error::from)??;
    copy_bidirectional(&mut client, &mut server).await
}

/// Reads a question to its end and then answers, which only works if the end arrives.
async fn shout(listener: TcpListener) -> io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        wakeline::spawn(async move {
            let mut question = Vec::new();
            stream.read_to_end(&mut question).await?;
            question.make_ascii_uppercase();
            stream.write_all(&question).await?;
            stream.close().await
        });
    }
}

async fn play(stage: Stage) -> io::Result<()> {
    let bind = stage.bind();
    let addr = stage
        .server(async move {
            let origin = TcpListener::bind(bind).await?;
            let listener = TcpListener::bind(bind).await?;
            let (addr, origin_addr) = (listener.local_addr()?, origin.local_addr()?);
            wakeline::spawn(shout(origin));
            wakeline::spawn(proxy(listener, origin_addr.to_string()));
            io::Result::Ok(addr)
        })
        .await??;
    for size in [0, 1, 100_000] {
        let answer = stage
            .client(async move {
                let mut stream = TcpStream::connect(addr).await?;
                let (mut reader, mut writer) = stream.split();
                let write = async {
                    writer.write_all(&vec![b'a'; size]).await?;
                    writer.close().await
                };
                let mut answer = Vec::new();
                wakeline::io::try_zip(write, reader.read_to_end(&mut answer)).await?;
                io::Result::Ok(answer)
            })
            .await??;
        expect(answer == vec![b'A'; size], true)?;
    }
    println!("every answer came back through the proxy");
    Ok(())
}
