//! Streams and listeners over the loopback.

use super::*;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use wakeline_runtime::spawn;

fn run<F: Future>(future: F) -> F::Output {
    wakeline_runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

async fn echo(mut stream: TcpStream) -> io::Result<u64> {
    let mut buf = [0; 4096];
    let mut total = 0;
    loop {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return Ok(total);
        }
        stream.write_all(&buf[..n]).await?;
        total += n as u64;
    }
}

/// An echo server on a port of its own, which takes `connections` connections.
fn serve(connections: usize) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).unwrap();
    let addr = listener.local_addr().unwrap();
    spawn(async move {
        for _ in 0..connections {
            let (stream, _) = listener.accept().await.unwrap();
            spawn(async move { echo(stream).await.unwrap() });
        }
    });
    addr
}

#[test]
fn many_connections_echo_every_byte() {
    const CONNECTIONS: usize = 200;
    const ROUNDS: usize = 50;
    run(async {
        let addr = serve(CONNECTIONS);
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|id| {
                spawn(async move {
                    let mut stream = TcpStream::connect(addr).await.unwrap();
                    for round in 0..ROUNDS {
                        let sent = [(id * 31 + round) as u8; 64];
                        stream.write_all(&sent).await.unwrap();
                        let mut got = [0; 64];
                        stream.read_exact(&mut got).await.unwrap();
                        assert_eq!(sent, got);
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
    });
}
