//! Lines that come back in capitals, over TLS 1.3 and 1.2 with rustls. wakeline's sockets are `futures-io`'s streams, so that
//! futures-rustls takes them as they are.
//!
//! ```text
//! cargo run --example tls                                   a server and its clients, checked
//! cargo run --example tls -- --backend os                   the same on the system's network
//! cargo run --example tls -- --listen 127.0.0.1:4433        openssl s_client -quiet -connect 127.0.0.1:4433
//! ```
//! A client has some seconds for its handshake and between lines, and a bound on the length of a line. The certificate is made
//! at each start.

#[path = "../../examples/common/stage.rs"]
mod stage;

use futures_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use futures_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use futures_rustls::{TlsAcceptor, TlsConnector};
use stage::{Stage, expect};
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use wakeline::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use wakeline::net::{TcpListener, TcpStream};
use wakeline::time::timeout;

fn main() -> ExitCode {
    stage::run("tls", serve, play)
}

/// The name in the certificate.
const NAME: &str = "wakeline.test";
/// How long a client may take for its handshake, or from one line to the next.
const PATIENCE: Duration = Duration::from_secs(5);
const LINE_BYTES_MAX: u64 = 4096;

async fn serve(addr: String) -> io::Result<()> {
    let (acceptor, _) = identity()?;
    let listener = TcpListener::bind(&addr).await?;
    println!("TLS on {}, until Ctrl-C", listener.local_addr()?);
    accept(listener, acceptor, PATIENCE).await
}

/// What a server shows, and what a client must know to believe it.
fn identity() -> io::Result<(TlsAcceptor, RootCertStore)> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).map_err(io::Error::other)?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(io::Error::other)?;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).map_err(io::Error::other)?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .map_err(io::Error::other)?;
    Ok((TlsAcceptor::from(Arc::new(config)), roots))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, patience: Duration) -> io::Result<()> {
    loop {
        let (stream, peer) = stage::accept("tls", &listener).await?;
        let acceptor = acceptor.clone();
        wakeline::spawn(async move {
            // A connection that fails concerns nobody but its client.
            if let Err(error) = connection(stream, acceptor, patience).await {
                eprintln!("tls: {peer}: {error}");
            }
        });
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, patience: Duration) -> io::Result<()> {
    let mut stream = BufReader::new(timeout(patience, acceptor.accept(stream)).await??);
    loop {
        let mut line = String::new();
        let read = timeout(patience, (&mut stream).take(LINE_BYTES_MAX).read_line(&mut line)).await??;
        if read == 0 {
            return stream.get_mut().close().await;
        }
        if !line.ends_with('\n') && read as u64 == LINE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line without an end"));
        }
        stream.get_mut().write_all(line.to_uppercase().as_bytes()).await?;
        stream.get_mut().flush().await?;
    }
}

async fn play(stage: Stage) -> io::Result<()> {
    let (acceptor, roots) = identity()?;
    let bind = stage.bind();
    let open = move |patience| {
        let acceptor = acceptor.clone();
        async move {
            let listener = TcpListener::bind(bind).await?;
            let addr = listener.local_addr()?;
            wakeline::spawn(accept(listener, acceptor, patience));
            io::Result::Ok(addr)
        }
    };
    let server = stage.server(open(PATIENCE)).await??;
    let hasty = stage.server(open(Duration::from_millis(50))).await??;
    stage.client(clients(server, hasty, roots)).await??;
    println!("lines came back over TLS; strangers, the slow and the boundless were refused, and the next was served");
    Ok(())
}

type Tls = BufReader<futures_rustls::client::TlsStream<TcpStream>>;

async fn connect(addr: SocketAddr, roots: &RootCertStore) -> io::Result<Tls> {
    let config = ClientConfig::builder().with_root_certificates(roots.clone()).with_no_client_auth();
    let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
    let stream = TcpStream::connect(addr).await?;
    Ok(BufReader::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
}

/// One line there and back.
async fn exchange(stream: &mut Tls, line: &str) -> io::Result<String> {
    stream.get_mut().write_all(line.as_bytes()).await?;
    stream.get_mut().flush().await?;
    let mut back = String::new();
    stream.read_line(&mut back).await?;
    Ok(back)
}

async fn clients(server: SocketAddr, hasty: SocketAddr, roots: RootCertStore) -> io::Result<()> {
    let mut several = Vec::new();
    for number in 0..8 {
        let roots = roots.clone();
        several.push(wakeline::spawn(async move {
            let mut stream = connect(server, &roots).await?;
            for _ in 0..4 {
                expect(exchange(&mut stream, &format!("line {number}\n")).await?, format!("LINE {number}\n"))?;
            }
            stream.get_mut().close().await
        }));
    }
    for one in several {
        one.await.map_err(io::Error::other)??;
    }
    // Who does not know the certificate does not believe it, and says so to the server.
    let strange = connect(server, &RootCertStore::empty()).await.map(drop);
    expect(strange.map_err(|error| error.kind()), Err(io::ErrorKind::InvalidData))?;
    // What is no TLS at all gets an alert (RFC 8446 6) and the end.
    let mut plain = TcpStream::connect(server).await?;
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
    let mut told = Vec::new();
    plain.read_to_end(&mut told).await?;
    expect(told.first(), Some(&21))?;
    // The slow loris: connected, and silent; the same after the handshake.
    let mut silent = TcpStream::connect(hasty).await?;
    expect(silent.read_to_end(&mut Vec::new()).await?, 0)?;
    let mut slow = connect(hasty, &roots).await?;
    expect(ends(slow.read_line(&mut String::new()).await), true)?;
    // A line without an end.
    let mut long = connect(server, &roots).await?;
    expect(ends(exchange(&mut long, &"x".repeat(3 * LINE_BYTES_MAX as usize)).await.map(|line| line.len())), true)?;
    // A client that is gone before its answer: the server's pipe breaks.
    let mut gone = connect(server, &roots).await?;
    gone.get_mut().write_all(b"bye\n").await?;
    gone.get_mut().flush().await?;
    drop(gone);
    expect(exchange(&mut connect(server, &roots).await?, "still here\n").await?, "STILL HERE\n".to_owned())
}

/// Whether the server has ended the connection: without the farewell that TLS wants, when it would not wait.
fn ends(read: io::Result<usize>) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match read {
        Ok(read) => read == 0,
        Err(error) => [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof].contains(&error.kind()),
    }
}
