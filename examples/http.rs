//! HTTP/1.1 and HTTP/2 with hyper, which runs here without another runtime: the sockets are its `Read` and `Write`, the tasks
//! its `Executor`, and its timeouts go by the runtime's clock.
//!
//! ```text
//! cargo run --release --features hyper --example http                       a server and its clients, checked
//! cargo run --release --features hyper --example http -- --backend os       the same on the system's network
//! cargo run --release --features hyper --example http -- --listen 127.0.0.1:8080      then: wrk -c 64 http://127.0.0.1:8080/
//! ```
//! A client has some seconds for the head of its request, a bound on its size, and as long for each piece of a body; one that does not
//! send them is left.

#[path = "common/stage.rs"]
mod stage;

use futures_lite::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, client, server};
use stage::{Stage, expect};
use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use wakeline::hyper::{HyperExecutor, HyperTimer};
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::{TcpListener, TcpStream};
use wakeline::time::timeout;

fn main() -> ExitCode {
    stage::run("http", serve, play)
}

/// How long a client may take to send the head of a request or the next piece of its body, and how much a head may be.
const PATIENCE: Duration = Duration::from_secs(5);
const HEAD_BYTES_MAX: usize = 64 << 10;

async fn serve(addr: String) -> io::Result<()> {
    let listener = TcpListener::bind(&addr).await?;
    println!("HTTP/1.1 on http://{}/, until Ctrl-C", listener.local_addr()?);
    accept(listener, Version::Http1, PATIENCE).await
}

#[derive(Clone, Copy, Debug)]
enum Version {
    Http1,
    /// Without TLS, by prior knowledge.
    Http2,
}

async fn accept(listener: TcpListener, version: Version, patience: Duration) -> io::Result<()> {
    loop {
        let (stream, _) = stage::accept("http", &listener).await?;
        // A connection that fails concerns nobody but its client, who sees it fail too.
        wakeline::spawn(connection(stream, version, patience));
    }
}

async fn connection(stream: TcpStream, version: Version, patience: Duration) -> hyper::Result<()> {
    // It fails when the client is gone already, which hyper will notice.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| ready(Ok::<_, Infallible>(respond(request, patience))));
    match version {
        Version::Http1 => {
            let mut http = server::conn::http1::Builder::new();
            http.timer(HyperTimer::new()).header_read_timeout(patience).max_buf_size(HEAD_BYTES_MAX);
            http.serve_connection(stream, service).await
        }
        Version::Http2 => {
            let mut http = server::conn::http2::Builder::new(HyperExecutor::new());
            http.timer(HyperTimer::new()).max_header_list_size(HEAD_BYTES_MAX as u32).keep_alive_interval(patience);
            http.serve_connection(stream, service).await
        }
    }
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

fn respond(request: Request<Incoming>, patience: Duration) -> Response<Body> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => Response::new(whole("hello\n")),
        (&Method::POST, "/echo") => Response::new(echo(request.into_body(), patience)),
        _ => {
            let mut answer = Response::new(whole(""));
            *answer.status_mut() = StatusCode::NOT_FOUND;
            answer
        }
    }
}

fn whole(text: &'static str) -> Body {
    Full::from(text).map_err(|never| match never {}).boxed_unsync()
}

/// The body as it comes, however long it is; but not however slow. An error ends the connection.
fn echo(body: Incoming, patience: Duration) -> Body {
    let frames = stream::try_unfold(body, move |mut body| async move {
        let frame = timeout(patience, body.frame()).await?;
        Ok(frame.transpose().map_err(io::Error::other)?.map(|frame| (frame, body)))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Begins to serve, and says where.
async fn open(bind: &'static str, version: Version, patience: Duration) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(bind).await?;
    let addr = listener.local_addr()?;
    wakeline::spawn(accept(listener, version, patience));
    Ok(addr)
}

async fn play(stage: Stage) -> io::Result<()> {
    let bind = stage.bind();
    let http1 = stage.server(open(bind, Version::Http1, PATIENCE)).await??;
    let http2 = stage.server(open(bind, Version::Http2, PATIENCE)).await??;
    let hasty = stage.server(open(bind, Version::Http1, Duration::from_millis(50))).await??;
    stage.client(clients(http1, http2, hasty)).await??;
    println!("HTTP/1.1 and HTTP/2 answered, the slow and the boundless were refused");
    Ok(())
}

async fn clients(http1: SocketAddr, http2: SocketAddr, hasty: SocketAddr) -> io::Result<()> {
    let (mut one, connection) =
        client::conn::http1::handshake(TcpStream::connect(http1).await?).await.map_err(io::Error::other)?;
    wakeline::spawn(connection);
    for (request, expected) in requests() {
        one.ready().await.map_err(io::Error::other)?;
        expect(read(one.send_request(request).await).await?, expected)?;
    }
    let stream = TcpStream::connect(http2).await?;
    let (two, connection) =
        client::conn::http2::handshake(HyperExecutor::new(), stream).await.map_err(io::Error::other)?;
    wakeline::spawn(connection);
    // All at once, over one connection.
    let answers: Vec<_> = requests()
        .into_iter()
        .map(|(request, expected)| {
            let mut two = two.clone();
            wakeline::spawn(async move { expect(read(two.send_request(request).await).await?, expected) })
        })
        .collect();
    for answer in answers {
        answer.await.map_err(io::Error::other)??;
    }
    // The slow loris, and the head without an end.
    let mut slow = TcpStream::connect(hasty).await?;
    slow.write_all(b"GET / HTTP/1.1\r\nHost: s").await?;
    let mut told = Vec::new();
    slow.read_to_end(&mut told).await?;
    let mut body = TcpStream::connect(hasty).await?;
    body.write_all(b"POST /echo HTTP/1.1\r\nHost: s\r\nContent-Length: 9\r\n\r\n12345").await?;
    // What came is sent back, and then nothing for as long as the client is silent.
    told.clear();
    let ended = body.read_to_end(&mut told).await.is_ok() && told.ends_with(b"\r\n5\r\n12345\r\n");
    expect(ended, true)?;
    let mut long = TcpStream::connect(http1).await?;
    // It is answered before it is read to its end, so writing may fail.
    let _ = long.write_all(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(2 * HEAD_BYTES_MAX)).as_bytes()).await;
    let mut status = [0; 12];
    if long.read_exact(&mut status).await.is_ok() {
        expect(&status, b"HTTP/1.1 431")?;
    }
    // They have held up nobody.
    for server in [http1, hasty] {
        let stream = TcpStream::connect(server).await?;
        let (mut polite, connection) = client::conn::http1::handshake(stream).await.map_err(io::Error::other)?;
        wakeline::spawn(connection);
        for (request, expected) in requests() {
            polite.ready().await.map_err(io::Error::other)?;
            expect(read(polite.send_request(request).await).await?, expected)?;
        }
    }
    Ok(())
}

/// A request, and what is answered.
type Asked = (Request<Full<Bytes>>, (StatusCode, usize));

fn requests() -> Vec<Asked> {
    let request = |method: Method, path: &str, body: Vec<u8>| {
        let built = Request::builder().method(method).uri(path).header("host", "server").body(Full::from(body));
        built.expect("these are requests")
    };
    vec![
        (request(Method::GET, "/", Vec::new()), (StatusCode::OK, 6)),
        (request(Method::POST, "/echo", vec![b'x'; 300_000]), (StatusCode::OK, 300_000)),
        (request(Method::GET, "/nowhere", Vec::new()), (StatusCode::NOT_FOUND, 0)),
        (request(Method::GET, "/", Vec::new()), (StatusCode::OK, 6)),
    ]
}

/// The status of an answer, and how much was in it.
async fn read(answer: hyper::Result<Response<Incoming>>) -> io::Result<(StatusCode, usize)> {
    let answer = answer.map_err(io::Error::other)?;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(io::Error::other)?;
    Ok((status, body.to_bytes().len()))
}
