//! A small HTTP/1.1 server (RFC 9112) behind a TAP device: GET and HEAD, persistent connections, pipelining.
//!
//! # Simplifications
//! It serves what it makes itself and takes nothing: a request with a body is refused and ends its connection. No ranges,
//! no conditions, no encodings.

#[path = "generated.rs"]
mod generated;
#[path = "site.rs"]
mod site;

use generated::Generated;
use std::io;
use std::process::ExitCode;
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::{TcpListener, TcpStream};

pub(crate) fn main() -> ExitCode {
    site::main("http", 80, serve)
}

pub(crate) async fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("::", port)).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        wakeline::spawn(async move {
            // Who goes away in the middle of an answer needs none.
            let _ = connection(&mut stream).await;
        });
    }
}

/// How long a request may take to come.
const PATIENCE: Duration = Duration::from_secs(30);
const HEAD_BYTES_MAX: usize = 8 << 10;
const HEADERS_MAX: usize = 64;
const INDEX: &[u8] = b"wakeline: try /file/100000000 and /file/100000000.sha256\n";

async fn connection(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::new();
    loop {
        let request = loop {
            match parse(&received) {
                Parsed::Request(request, len) => {
                    received.drain(..len);
                    break request;
                }
                Parsed::Refused(status) => {
                    respond(stream, status, Body::None, false).await?;
                    return stream.close().await;
                }
                Parsed::Incomplete => {}
            }
            let mut piece = [0; 2048];
            let n = match wakeline::time::timeout(PATIENCE, stream.read(&mut piece)).await {
                Ok(n) => n?,
                Err(_elapsed) => 0,
            };
            if n == 0 {
                return stream.close().await;
            }
            received.extend_from_slice(&piece[..n]);
        };
        let (status, body) = answer(&request.path).await?;
        let body = if request.is_head { body.headed() } else { body };
        respond(stream, status, body, request.keep_alive).await?;
        if !request.keep_alive {
            return stream.close().await;
        }
    }
}

struct Request {
    path: String,
    is_head: bool,
    keep_alive: bool,
}

enum Parsed {
    Incomplete,
    /// The request, and how many bytes it took.
    Request(Request, usize),
    Refused(&'static str),
}

fn parse(received: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let len = match request.parse(received) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if received.len() < HEAD_BYTES_MAX => return Parsed::Incomplete,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Parsed::Refused("431 Request Header Fields Too Large");
        }
        Err(_) => return Parsed::Refused("400 Bad Request"),
    };
    let header = |name: &str| request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    if header("transfer-encoding").is_some() || header("content-length").is_some_and(|length| length.value != b"0") {
        return Parsed::Refused("413 Content Too Large");
    }
    let is_head = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Parsed::Refused("405 Method Not Allowed"),
    };
    let connection = header("connection").map(|header| header.value.to_ascii_lowercase());
    let keep_alive = match connection.as_deref() {
        Some(b"close") => false,
        Some(b"keep-alive") => true,
        _ => request.version == Some(1),
    };
    Parsed::Request(Request { path: request.path.unwrap_or("/").to_owned(), is_head, keep_alive }, len)
}

enum Body {
    None,
    Text(Vec<u8>),
    File(Generated),
    /// Only its length is told.
    Headed(u64),
}

impl Body {
    fn len(&self) -> u64 {
        match self {
            Body::None => 0,
            Body::Text(text) => text.len() as u64,
            Body::File(file) => file.len(),
            Body::Headed(len) => *len,
        }
    }

    fn headed(self) -> Body {
        Body::Headed(self.len())
    }
}

async fn answer(path: &str) -> io::Result<(&'static str, Body)> {
    const OK: &str = "200 OK";
    let missing = ("404 Not Found", Body::Text(b"not found\n".to_vec()));
    if path == "/" {
        return Ok((OK, Body::Text(INDEX.to_vec())));
    }
    let Some(name) = path.strip_prefix("/file/") else { return Ok(missing) };
    let number = |text: &str| text.parse().ok().filter(|&len| len <= generated::LEN_MAX).map(Generated::new);
    let file = number(name.strip_suffix(".sha256").unwrap_or(name));
    Ok(match (file, name.strip_suffix(".sha256")) {
        (None, _) => missing,
        (Some(file), None) => (OK, Body::File(file)),
        (Some(file), Some(name)) => {
            // It takes a while, which other connections need not wait for.
            let sum = wakeline::spawn_blocking(move || file.sha256()).await.map_err(io::Error::other)?;
            (OK, Body::Text(format!("{sum}  {name}\n").into_bytes()))
        }
    })
}

async fn respond(stream: &mut TcpStream, status: &str, body: Body, keep_alive: bool) -> io::Result<()> {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: {connection}\r\nContent-Type: application/octet-stream\r\n\r\n",
        body.len()
    );
    match body {
        Body::None | Body::Headed(_) => stream.write_all(head.as_bytes()).await,
        Body::Text(text) => stream.write_all(&[head.as_bytes(), &text].concat()).await,
        Body::File(mut file) => {
            stream.write_all(head.as_bytes()).await?;
            while let Some(piece) = file.next_piece() {
                stream.write_all(piece).await?;
            }
            Ok(())
        }
    }
}
