//! TCP with the kernel as the peer. Each case is written once, as a server and a client, and runs in both roles: the kernel
//! serves and our client asks, then the other way round.

use crate::lab::{KERNEL, KERNEL_V6, Lab, within};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::emulated::{Netem, Offloads, Tap};
use wakeline::net::{TcpListener, TcpStream};

/// Runs `client` against `server` in both roles and over both families, each to its end.
pub(crate) async fn in_both_roles<S, C>(lab: &Lab, server: impl Fn(TcpListener) -> S, client: impl Fn(String) -> C)
where
    S: Future<Output = ()> + Send + 'static,
    C: Future<Output = ()> + Send + 'static,
{
    for (any, kernel, ours) in [("0.0.0.0", KERNEL, lab.host.addrs()[0]), ("::", KERNEL_V6, lab.host.addrs()[1])] {
        let any = SocketAddr::new(any.parse().unwrap(), 7000);
        let kernel = SocketAddr::new(kernel.parse().unwrap(), 7000);
        let ours = SocketAddr::new(ours, 7000);

        let kernel_serves = wakeline::spawn(server(TcpListener::bind(any).await.unwrap()));
        lab.host.spawn(client(kernel.to_string())).await.expect("our client");
        kernel_serves.await.expect("the kernel's server");

        let we_serve = lab.host.spawn(server(lab.host.run(TcpListener::bind(any)).await.unwrap()));
        wakeline::spawn(client(ours.to_string())).await.expect("the kernel's client");
        we_serve.await.expect("our server");
    }
}

/// `len` bytes that repeat nowhere, the same each time.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(len as u64).fill(&mut bytes);
    bytes
}

pub(crate) async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    all
}

/// Sends back what comes, until the peer has closed its direction.
pub(crate) async fn echo_one(listener: TcpListener) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let (mut reader, mut writer) = stream.split();
    wakeline::io::copy(&mut reader, &mut writer).await.unwrap();
    writer.close().await.unwrap();
}

#[test]
fn requests_and_responses() {
    within(&[], || async {
        let lab = Lab::new();
        let client = |server: String| async move {
            let mut stream = TcpStream::connect(server).await.unwrap();
            for round in 0..500 {
                let (sent, mut back) = ([round as u8; 200], [0; 200]);
                stream.write_all(&sent).await.unwrap();
                stream.read_exact(&mut back).await.unwrap();
                assert_eq!(back, sent);
            }
        };
        in_both_roles(&lab, echo_one, client).await;
        lab.finish().await;
    });
}

/// One direction is closed, and the other goes on: the answer begins when the question has ended.
#[test]
fn half_close() {
    within(&[], || async {
        let lab = Lab::new();
        let server = |listener: TcpListener| async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let question = read_all(&mut stream).await;
            assert_eq!(question, pattern(100_000));
            stream.write_all(&pattern(300_000)).await.unwrap();
            stream.close().await.unwrap();
        };
        let client = |server: String| async move {
            let mut stream = TcpStream::connect(server).await.unwrap();
            stream.write_all(&pattern(100_000)).await.unwrap();
            stream.close().await.unwrap();
            assert_eq!(read_all(&mut stream).await, pattern(300_000));
        };
        in_both_roles(&lab, server, client).await;
        lab.finish().await;
    });
}

/// Who closes a connection with data unread resets it, and who asks where nobody listens is reset.
#[test]
fn resets() {
    within(&[], || async {
        let lab = Lab::new();
        let server = |listener: TcpListener| async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut [0; 1]).await.unwrap();
        };
        let client = |server: String| async move {
            let mut stream = TcpStream::connect(server.clone()).await.unwrap();
            stream.write_all(&pattern(1000)).await.unwrap();
            let error = stream.read(&mut [0; 1]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            let elsewhere = server.replace("7000", "7001");
            assert_eq!(TcpStream::connect(elsewhere).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        };
        in_both_roles(&lab, server, client).await;
        lab.finish().await;
    });
}

/// A reader that sleeps closes its window; the sender probes it, and goes on when it opens.
#[test]
fn zero_window() {
    within(&[], || async {
        let lab = Lab::new();
        let server = |listener: TcpListener| async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            wakeline::time::sleep(Duration::from_millis(700)).await;
            let got = read_all(&mut stream).await;
            assert!(got == pattern(6 << 20), "{} bytes arrived, or others", got.len());
        };
        let client = |server: String| async move {
            let mut stream = TcpStream::connect(server).await.unwrap();
            let begun = std::time::Instant::now();
            stream.write_all(&pattern(6 << 20)).await.unwrap();
            assert!(begun.elapsed() > Duration::from_millis(500), "the window was never closed");
            stream.close().await.unwrap();
            read_all(&mut stream).await;
        };
        in_both_roles(&lab, server, client).await;
        lab.finish().await;
    });
}

/// Both directions at once, over a cable that loses frames in both.
#[test]
fn bulk_over_a_lossy_cable() {
    within(&[], || async {
        let lab = Lab::with(Tap::open("tap0").unwrap().link(Netem::new().loss(0.01)), Offloads::all());
        let client = |server: String| async move {
            let mut stream = TcpStream::connect(server).await.unwrap();
            let (mut reader, mut writer) = stream.split();
            let sent = pattern(2 << 20);
            let send = async {
                writer.write_all(&sent).await.unwrap();
                writer.close().await.unwrap();
            };
            let mut back = Vec::new();
            let receive = async { reader.read_to_end(&mut back).await.unwrap() };
            wakeline::join!(send, receive);
            assert!(back == sent, "{} bytes came back, or others", back.len());
        };
        in_both_roles(&lab, echo_one, client).await;
        lab.finish().await;
    });
}

/// More connections at once than a listener's backlog holds, each with a few bytes.
#[test]
fn a_crowd_connects() {
    const CROWD: usize = 300;
    within(&[], || async {
        let lab = Lab::new();
        let server = |listener: TcpListener| async move {
            let mut served = wakeline::task::JoinSet::new();
            for _ in 0..CROWD {
                let (mut stream, _) = listener.accept().await.unwrap();
                served.spawn(async move {
                    let question = read_all(&mut stream).await;
                    stream.write_all(&question).await.unwrap();
                    stream.close().await.unwrap();
                });
            }
            while let Some(ended) = served.join_next().await {
                ended.unwrap();
            }
        };
        let client = |server: String| async move {
            let mut asked = wakeline::task::JoinSet::new();
            for n in 0..CROWD {
                let server = server.clone();
                asked.spawn(async move {
                    let mut stream = TcpStream::connect(server).await.unwrap();
                    stream.write_all(&n.to_be_bytes()).await.unwrap();
                    stream.close().await.unwrap();
                    assert_eq!(read_all(&mut stream).await, n.to_be_bytes());
                });
            }
            while let Some(ended) = asked.join_next().await {
                ended.unwrap();
            }
        };
        in_both_roles(&lab, server, client).await;
        lab.finish().await;
    });
}
