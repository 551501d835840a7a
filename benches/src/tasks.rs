//! The two ends of an echo as wakeline's tasks, on whichever network their streams stand.

use crate::request::{Requests, SIZE};
use crate::run::{Measured, Run, Until};
use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use std::io;
use wakeline::net::TcpStream;

/// Sends back what comes, until the peer closes.
///
/// # Errors
/// Those of the stream.
pub async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; SIZE];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            n => stream.write_all(&buf[..n]).await?,
        }
    }
}

/// Sends requests one after another and checks every answer.
///
/// # Errors
/// Those of the stream, and a wrong byte.
pub async fn ask(stream: &mut TcpStream, until: Until) -> io::Result<Measured> {
    let mut requests = Requests::of_connection(0);
    let mut run = Run::new(until);
    while run.goes_on() {
        ask_once(stream, &mut requests).await?;
    }
    Ok(run.finish())
}

/// One request and its answer.
///
/// # Errors
/// Those of the stream, and a wrong byte.
pub async fn ask_once(stream: &mut TcpStream, requests: &mut Requests) -> io::Result<()> {
    let mut answer = [0; SIZE];
    stream.write_all(requests.next_request()).await?;
    stream.read_exact(&mut answer).await?;
    requests.check(&answer)
}
