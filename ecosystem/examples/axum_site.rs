//! An axum application on wakeline, in both ways that there are.
//!
//! Its `Router` is a service, which hyper serves without another runtime: wakeline's streams are hyper's, its tasks hyper's
//! executor, and timeouts go by its clock. `axum::serve` itself spawns on tokio, so it wants tokio's runtime for its tasks; the
//! sockets it takes from a `Listener` of ours all the same, on either network.
//!
//! ```text
//! cargo run --example axum_site                                   both servers and their clients, checked
//! cargo run --example axum_site -- --backend os                   the same on the system's network
//! cargo run --example axum_site -- --listen 127.0.0.1:8080        curl http://127.0.0.1:8080/hello/you
//! ```
//! A client has some seconds for the head of its request and for its body, and bounds on both.

#[path = "../../examples/common/stage.rs"]
mod stage;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Json, Path, Request};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, StatusCode, client, server};
use hyper_util::service::TowerToHyperService;
use stage::{Stage, expect};
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use wakeline::hyper::HyperTimer;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::{TcpListener, TcpStream};
use wakeline::sync::oneshot;
use wakeline::time::timeout;

fn main() -> ExitCode {
    stage::run("axum_site", serve, play)
}

/// How long a client may take to send the head of a request, and then for the rest; how much either may be.
const HEAD: Duration = Duration::from_secs(5);
const REST: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: usize = 64 << 10;
const BODY_BYTES_MAX: usize = 64 << 10;

async fn hello(Path(name): Path<String>) -> String {
    format!("hello, {name}\n")
}

/// Numbers as JSON, and their sum; `None` where it is more than there is room for.
async fn sum(Json(numbers): Json<Vec<i64>>) -> Json<Option<i64>> {
    Json(numbers.iter().try_fold(0_i64, |sum, number| sum.checked_add(*number)))
}

fn site(rest: Duration) -> Router {
    let limit = move |request: Request, next: Next| async move {
        match timeout(rest, next.run(request)).await {
            Ok(response) => response,
            Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
        }
    };
    Router::new()
        .route("/hello/{name}", get(hello))
        .route("/sum", post(sum))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(limit))
}

async fn serve(addr: String) -> io::Result<()> {
    let listener = TcpListener::bind(&addr).await?;
    println!("http://{}/hello/you, until Ctrl-C", listener.local_addr()?);
    accept(listener, HEAD, REST).await
}

/// The router, served by hyper.
async fn accept(listener: TcpListener, head: Duration, rest: Duration) -> io::Result<()> {
    let site = site(rest);
    loop {
        let (stream, _) = stage::accept("axum_site", &listener).await?;
        // A connection that fails concerns nobody but its client, who sees it fail too.
        wakeline::spawn(connection(stream, site.clone(), head));
    }
}

async fn connection(stream: TcpStream, site: Router, head: Duration) -> hyper::Result<()> {
    // It fails when the client is gone already, which hyper will notice.
    let _ = stream.set_nodelay(true);
    let mut http = server::conn::http1::Builder::new();
    http.timer(HyperTimer::new()).header_read_timeout(head).max_buf_size(HEAD_BYTES_MAX);
    http.serve_connection(stream, TowerToHyperService::new(site)).await
}

/// A listener for `axum::serve`.
struct Listener(TcpListener);

impl axum::serve::Listener for Listener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        match stage::accept("axum_site", &self.0).await {
            Ok(accepted) => accepted,
            Err(_) => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// `axum::serve` until `stop`: a thread that tokio drives, and that stands in wakeline's runtime for sockets and timers.
async fn serve_by_axum(listener: TcpListener, stop: oneshot::Receiver<()>) -> io::Result<()> {
    let here = wakeline::runtime::Handle::current();
    let served = wakeline::spawn_blocking(move || {
        let _here = here.enter();
        let tokio = tokio::runtime::Builder::new_current_thread().build()?;
        tokio.block_on(async move {
            let server = axum::serve(Listener(listener), site(REST));
            server.with_graceful_shutdown(async move { drop(stop.await) }).await
        })
    });
    served.await.map_err(io::Error::other)?
}

async fn bound(bind: &'static str) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(bind).await?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

async fn play(stage: Stage) -> io::Result<()> {
    let bind = stage.bind();
    let open = move |head, rest| async move {
        let (listener, addr) = bound(bind).await?;
        wakeline::spawn(accept(listener, head, rest));
        io::Result::Ok(addr)
    };
    let by_hyper = stage.server(open(HEAD, REST)).await??;
    let hasty = stage.server(open(Duration::from_millis(50), Duration::from_millis(50))).await??;
    let (stop, stopped) = oneshot::channel();
    let (by_axum, ended) = stage
        .server(async move {
            let (listener, addr) = bound(bind).await?;
            io::Result::Ok((addr, wakeline::spawn(serve_by_axum(listener, stopped))))
        })
        .await??;
    stage.client(requests(by_hyper)).await??;
    stage.client(nuisances(by_hyper, hasty)).await??;
    stage.client(requests(by_axum)).await??;
    let _ = stop.send(());
    ended.await.map_err(io::Error::other)??;
    println!("hyper and axum::serve answered, the slow and the boundless were refused, and the latter ended in order");
    Ok(())
}

type Sender = client::conn::http1::SendRequest<Full<Bytes>>;

async fn connect(addr: SocketAddr) -> io::Result<Sender> {
    let stream = TcpStream::connect(addr).await?;
    let (sender, connection) = client::conn::http1::handshake(stream).await.map_err(io::Error::other)?;
    wakeline::spawn(connection);
    Ok(sender)
}

/// A request, and what is answered.
async fn ask(sender: &mut Sender, method: Method, path: &str, body: String) -> io::Result<(StatusCode, String)> {
    let request = hyper::Request::builder().method(method).uri(path).header("host", "server");
    let request =
        request.header("content-type", "application/json").body(Full::from(body)).map_err(io::Error::other)?;
    sender.ready().await.map_err(io::Error::other)?;
    let answer: hyper::Response<Incoming> = sender.send_request(request).await.map_err(io::Error::other)?;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Over one connection.
async fn requests(addr: SocketAddr) -> io::Result<()> {
    let mut sender = connect(addr).await?;
    let said = ask(&mut sender, Method::GET, "/hello/you", String::new()).await?;
    expect(said, (StatusCode::OK, "hello, you\n".to_owned()))?;
    let said = ask(&mut sender, Method::POST, "/sum", "[1, 2, 39]".to_owned()).await?;
    expect(said, (StatusCode::OK, "42".to_owned()))?;
    let said = ask(&mut sender, Method::POST, "/sum", format!("[{}, 1]", i64::MAX)).await?;
    expect(said, (StatusCode::OK, "null".to_owned()))?;
    let said = ask(&mut sender, Method::POST, "/sum", "[1, ".to_owned()).await?;
    expect(said.0, StatusCode::BAD_REQUEST)?;
    let said = ask(&mut sender, Method::GET, "/nowhere", String::new()).await?;
    expect(said.0, StatusCode::NOT_FOUND)
}

async fn nuisances(addr: SocketAddr, hasty: SocketAddr) -> io::Result<()> {
    let said = ask(&mut connect(addr).await?, Method::POST, "/sum", "1".repeat(2 * BODY_BYTES_MAX)).await?;
    expect(said.0, StatusCode::PAYLOAD_TOO_LARGE)?;
    // The slow loris, in its head: it sees the end. In its body: it is told.
    let mut slow = TcpStream::connect(hasty).await?;
    slow.write_all(b"GET / HTTP/1.1\r\nHost: s").await?;
    slow.read_to_end(&mut Vec::new()).await?;
    let mut slow = TcpStream::connect(hasty).await?;
    slow.write_all(b"POST /sum HTTP/1.1\r\nHost: s\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n[1")
        .await?;
    let mut status = [0; 12];
    slow.read_exact(&mut status).await?;
    expect(&status, b"HTTP/1.1 408")?;
    // The head without an end: it is answered before it is read to its end, so writing may fail.
    let mut long = TcpStream::connect(addr).await?;
    let _ = long.write_all(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(2 * HEAD_BYTES_MAX)).as_bytes()).await;
    if long.read_exact(&mut status).await.is_ok() {
        expect(&status, b"HTTP/1.1 431")?;
    }
    // A client that is gone before its answer.
    let mut gone = TcpStream::connect(addr).await?;
    gone.write_all(b"GET /hello/you HTTP/1.1\r\nHost: s\r\n\r\n").await?;
    drop(gone);
    requests(addr).await
}
