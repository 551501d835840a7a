//! The echo service (RFC 862) behind a TAP device.

#[path = "site.rs"]
mod site;

use std::io;
use std::process::ExitCode;
use wakeline::io::AsyncWriteExt;
use wakeline::net::{TcpListener, TcpStream};

pub(crate) fn main() -> ExitCode {
    site::main("echo", 7, serve)
}

async fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("::", port)).await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        wakeline::spawn(async move {
            if let Err(error) = echo(stream).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let (mut reader, mut writer) = stream.split();
    wakeline::io::copy(&mut reader, &mut writer).await?;
    writer.close().await
}
