//! The traits of futures-io, tokio and hyper on streams and their halves: one body for the three, on both networks.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

#[path = "network/both.rs"]
mod both;

use both::{on_both_networks, pair};
use futures_io::{AsyncRead as FuturesRead, AsyncWrite as FuturesWrite};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::rt::{Executor, Read as HyperRead, ReadBuf as HyperBuf, Timer, Write as HyperWrite};
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead as TokioRead, AsyncWrite as TokioWrite, ReadBuf as TokioBuf};
use wakeline::hyper::{HyperExecutor, HyperTimer};
use wakeline::net::{TcpListener, TcpStream};
use wakeline::sync::oneshot;
use wakeline::time::timeout;

/// What can be read through any of the traits.
trait Reads: FuturesRead + TokioRead + HyperRead + Unpin + Send + 'static {}
impl<R: FuturesRead + TokioRead + HyperRead + Unpin + Send + 'static> Reads for R {}

/// What can be written through any of them.
trait Writes: FuturesWrite + TokioWrite + HyperWrite + Unpin + Send + 'static {}
impl<W: FuturesWrite + TokioWrite + HyperWrite + Unpin + Send + 'static> Writes for W {}

/// One crate's traits.
trait Traits: 'static {
    fn poll_read(reader: Pin<&mut impl Reads>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<Result<usize>>;
    fn poll_write(writer: Pin<&mut impl Writes>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>>;
    fn poll_writev(writer: Pin<&mut impl Writes>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<Result<usize>>;
    fn poll_flush(writer: Pin<&mut impl Writes>, cx: &mut Context<'_>) -> Poll<Result<()>>;
    fn poll_shutdown(writer: Pin<&mut impl Writes>, cx: &mut Context<'_>) -> Poll<Result<()>>;
    fn is_write_vectored(writer: &impl Writes) -> bool;
}

struct Futures;
struct Tokio;
struct Hyper;

macro_rules! writing_by {
    ($write:ident, $shutdown:ident) => {
        fn poll_write(writer: Pin<&mut impl Writes>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
            $write::poll_write(writer, cx, buf)
        }

        fn poll_writev(
            writer: Pin<&mut impl Writes>,
            cx: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<Result<usize>> {
            $write::poll_write_vectored(writer, cx, bufs)
        }

        fn poll_flush(writer: Pin<&mut impl Writes>, cx: &mut Context<'_>) -> Poll<Result<()>> {
            $write::poll_flush(writer, cx)
        }

        fn poll_shutdown(writer: Pin<&mut impl Writes>, cx: &mut Context<'_>) -> Poll<Result<()>> {
            $write::$shutdown(writer, cx)
        }
    };
}

impl Traits for Futures {
    writing_by!(FuturesWrite, poll_close);

    fn poll_read(reader: Pin<&mut impl Reads>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<Result<usize>> {
        FuturesRead::poll_read(reader, cx, buf)
    }

    /// This trait does not say.
    fn is_write_vectored(_writer: &impl Writes) -> bool {
        true
    }
}

impl Traits for Tokio {
    writing_by!(TokioWrite, poll_shutdown);

    fn poll_read(reader: Pin<&mut impl Reads>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<Result<usize>> {
        let mut buf = TokioBuf::new(buf);
        ready!(TokioRead::poll_read(reader, cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    fn is_write_vectored(writer: &impl Writes) -> bool {
        TokioWrite::is_write_vectored(writer)
    }
}

impl Traits for Hyper {
    writing_by!(HyperWrite, poll_shutdown);

    fn poll_read(reader: Pin<&mut impl Reads>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<Result<usize>> {
        let mut buf = HyperBuf::new(buf);
        ready!(HyperRead::poll_read(reader, cx, buf.unfilled()))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    fn is_write_vectored(writer: &impl Writes) -> bool {
        HyperWrite::is_write_vectored(writer)
    }
}

async fn read<T: Traits>(reader: &mut impl Reads, buf: &mut [u8]) -> Result<usize> {
    poll_fn(|cx| T::poll_read(Pin::new(reader), cx, buf)).await
}

async fn read_to_end<T: Traits>(reader: &mut impl Reads) -> Result<Vec<u8>> {
    let (mut all, mut buf) = (Vec::new(), [0; 4096]);
    loop {
        match read::<T>(reader, &mut buf).await? {
            0 => return Ok(all),
            n => all.extend_from_slice(&buf[..n]),
        }
    }
}

async fn write<T: Traits>(writer: &mut impl Writes, buf: &[u8]) -> Result<usize> {
    poll_fn(|cx| T::poll_write(Pin::new(writer), cx, buf)).await
}

async fn write_all<T: Traits>(writer: &mut impl Writes, mut buf: &[u8]) -> Result<()> {
    while !buf.is_empty() {
        let n = write::<T>(writer, buf).await?;
        buf = &buf[n..];
    }
    poll_fn(|cx| T::poll_flush(Pin::new(writer), cx)).await
}

async fn writev<T: Traits>(writer: &mut impl Writes, bufs: &[IoSlice<'_>]) -> Result<usize> {
    poll_fn(|cx| T::poll_writev(Pin::new(writer), cx, bufs)).await
}

async fn shutdown<T: Traits>(writer: &mut impl Writes) -> Result<()> {
    poll_fn(|cx| T::poll_shutdown(Pin::new(writer), cx)).await
}

/// Each of these bodies, through each crate's traits.
macro_rules! through_each {
    ($($body:ident),+ $(,)?) => {
        through_each! { @by_futures_io Futures: $($body)+ }
        through_each! { @by_tokio Tokio: $($body)+ }
        through_each! { @by_hyper Hyper: $($body)+ }
    };
    (@$name:ident $traits:ident: $($body:ident)+) => {
        mod $name {
            $(#[test]
            fn $body() {
                super::on_both_networks(|bind| Box::pin(super::$body::<super::$traits>(bind)));
            })+
        }
    };
}

through_each! {
    an_echo_by_halves,
    an_end_in_one_direction,
    vectors_go_down_in_one_call,
    a_broken_pipe,
    nothing_is_lost_by_a_call_that_is_dropped,
}

async fn an_echo_by_halves<T: Traits>(bind: &'static str) {
    let (a, mut b) = pair(bind).await;
    let server = wakeline::spawn(async move {
        let mut buf = [0; 10_000];
        loop {
            match read::<T>(&mut b, &mut buf).await.unwrap() {
                0 => return shutdown::<T>(&mut b).await.unwrap(),
                n => write_all::<T>(&mut b, &buf[..n]).await.unwrap(),
            }
        }
    });
    let sent: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let expected = sent.clone();
    let (mut reader, mut writer) = a.into_split();
    let writing = wakeline::spawn(async move {
        write_all::<T>(&mut writer, &sent).await.unwrap();
        shutdown::<T>(&mut writer).await.unwrap();
        writer
    });
    let back = read_to_end::<T>(&mut reader).await.unwrap();
    assert!(back == expected, "what came back is not what was sent");
    drop(writing.await.unwrap());
    server.await.unwrap();
}

async fn an_end_in_one_direction<T: Traits>(bind: &'static str) {
    let (mut a, mut b) = pair(bind).await;
    write_all::<T>(&mut a, b"question").await.unwrap();
    shutdown::<T>(&mut a).await.unwrap();
    shutdown::<T>(&mut a).await.unwrap();
    assert_eq!(write::<T>(&mut a, b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(read_to_end::<T>(&mut b).await.unwrap(), b"question");
    assert_eq!(read::<T>(&mut b, &mut [0; 8]).await.unwrap(), 0, "an end stays one");
    write_all::<T>(&mut b, b"answer").await.unwrap();
    drop(b);
    assert_eq!(read_to_end::<T>(&mut a).await.unwrap(), b"answer");
    assert_eq!(read::<T>(&mut a, &mut []).await.unwrap(), 0);
}

async fn vectors_go_down_in_one_call<T: Traits>(bind: &'static str) {
    let (a, mut b) = pair(bind).await;
    assert!(T::is_write_vectored(&a));
    let (_reader, mut a) = a.into_split();
    assert!(T::is_write_vectored(&a));
    let text = vec![b'x'; 5000];
    let bufs = [IoSlice::new(b""), IoSlice::new(b"head"), IoSlice::new(b""), IoSlice::new(&text)];
    assert_eq!(writev::<T>(&mut a, &bufs).await.unwrap(), 5004);
    assert_eq!(writev::<T>(&mut a, &[IoSlice::new(b""), IoSlice::new(b"")]).await.unwrap(), 0);
    assert_eq!(writev::<T>(&mut a, &[]).await.unwrap(), 0);
    shutdown::<T>(&mut a).await.unwrap();
    let got = read_to_end::<T>(&mut b).await.unwrap();
    assert!(got == [b"head", &text[..]].concat());
    assert_eq!(writev::<T>(&mut a, &bufs).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

/// The peer has closed, and resets what comes; as its end came first, the pipe is broken.
async fn a_broken_pipe<T: Traits>(bind: &'static str) {
    let (mut a, b) = pair(bind).await;
    drop(b);
    assert_eq!(read::<T>(&mut a, &mut [0; 8]).await.unwrap(), 0);
    assert_eq!(write::<T>(&mut a, b"is anybody there?").await.unwrap(), 17);
    while a.take_error().unwrap().is_none() {
        wakeline::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(write::<T>(&mut a, b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(writev::<T>(&mut a, &[IoSlice::new(b"x")]).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

async fn nothing_is_lost_by_a_call_that_is_dropped<T: Traits>(bind: &'static str) {
    let (mut a, mut b) = pair(bind).await;
    let mut buf = [0; 8];
    assert!(timeout(Duration::from_millis(2), read::<T>(&mut b, &mut buf)).await.is_err());
    write_all::<T>(&mut a, b"first").await.unwrap();
    assert_eq!(read::<T>(&mut b, &mut buf).await.unwrap(), 5);
    // Until there is no room: the last call is dropped.
    let (chunk, mut sent) = (vec![7; 64 << 10], 0);
    while let Ok(n) = timeout(Duration::from_millis(50), write::<T>(&mut a, &chunk)).await {
        sent += n.unwrap();
        assert!(sent < 256 << 20, "nothing bounds the buffers");
    }
    let reader = wakeline::spawn(async move { read_to_end::<T>(&mut b).await.unwrap().len() });
    shutdown::<T>(&mut a).await.unwrap();
    assert_eq!(reader.await.unwrap(), sent);
}

/// What hyper spawns stands where its caller stands: it can bind an address of that network.
#[test]
fn what_hypers_executor_runs_stands_on_its_callers_network() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let (tell, told) = oneshot::channel();
            HyperExecutor::new().execute(async move {
                let listener = TcpListener::bind(bind).await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let (mut stream, _) = listener.accept().await.unwrap();
                write_all::<Hyper>(&mut stream, b"here").await.unwrap();
            });
            let mut stream = TcpStream::connect(told.await.unwrap()).await.unwrap();
            assert_eq!(read_to_end::<Hyper>(&mut stream).await.unwrap(), b"here");
        })
    });
}

/// hyper's own client and server; and a client that never ends its head, whom hyper's timer ends.
#[test]
fn hyper_serves_and_leaves_who_is_slow() {
    on_both_networks(|bind| {
        Box::pin(async move {
            let listener = TcpListener::bind(bind).await.unwrap();
            let addr = listener.local_addr().unwrap();
            wakeline::spawn(async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let mut http = server::conn::http1::Builder::new();
                    http.timer(HyperTimer::new()).header_read_timeout(Duration::from_millis(20));
                    wakeline::spawn(http.serve_connection(stream, service_fn(echo)));
                }
            });
            let mut slow = TcpStream::connect(addr).await.unwrap();
            write_all::<Hyper>(&mut slow, b"GET / HTTP/1.1\r\nHost: s").await.unwrap();
            let told = read_to_end::<Hyper>(&mut slow).await.unwrap();
            assert!(told.is_empty() || told.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&told));

            let stream = TcpStream::connect(addr).await.unwrap();
            let (mut requests, connection) = client::conn::http1::handshake(stream).await.unwrap();
            HyperExecutor::new().execute(connection);
            for len in [0, 5, 200_000] {
                requests.ready().await.unwrap();
                let request =
                    Request::post("/").header("host", "s").body(Full::new(Bytes::from(vec![b'x'; len]))).unwrap();
                let answer = requests.send_request(request).await.unwrap();
                assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().len(), len);
            }
        })
    });
}

async fn echo(request: Request<Incoming>) -> std::result::Result<Response<Incoming>, Infallible> {
    Ok(Response::new(request.into_body()))
}

#[test]
fn hypers_timer_counts_what_has_passed() {
    on_both_networks(|_| {
        Box::pin(async {
            let timer = HyperTimer::new();
            let began = timer.now();
            let mut sleep = timer.sleep(Duration::from_secs(3600));
            timer.reset(&mut sleep, began + Duration::from_millis(2));
            sleep.await;
            timer.sleep_until(began + Duration::from_millis(3)).await;
            assert!(timer.now() - began >= Duration::from_millis(3));
        })
    });
}
