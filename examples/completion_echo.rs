//! An echo server that is never told to try again, for the emulated host's softirq side fills the buffers that go into its ring.
//! `cargo run --example completion_echo`.

use std::collections::HashMap;
use std::io;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::completion::{CompletionCounters, Ring};
use wakeline::net::emulated::Lan;
use wakeline::net::{TcpListener, TcpStream};

const CLIENTS: u64 = 16;
const REQUESTS: u8 = 100;

#[wakeline::main]
async fn main() -> io::Result<()> {
    let lan = Lan::new();
    let (server, client) = (lan.host("server").build()?, lan.host("client").build()?);
    let listener = server.run(TcpListener::bind("0.0.0.0:7000")).await?;
    let clients: Vec<_> = (0..CLIENTS).map(|_| client.spawn(ask())).collect();
    let counters = serve(listener).await?;
    println!("{CLIENTS} connections, {REQUESTS} requests each: {counters:?}");
    for client in clients {
        client.await.expect("a client does not panic")?;
    }
    Ok(())
}

async fn serve(listener: TcpListener) -> io::Result<CompletionCounters> {
    let (ring, mut streams, mut accepted) = (Ring::new(2 * CLIENTS as usize + 1)?, HashMap::new(), 0);
    ring.accept_multishot(&listener, 0)?; // and of connection n, 2 * n receives and 2 * n + 1 sends
    while accepted < CLIENTS || !streams.is_empty() {
        ring.wait(1).await?;
        while let Some(done) = ring.pop() {
            let (n, word, mut buffer) = (done.result?, done.user_data, done.buffer.unwrap_or(vec![0; 99]));
            if let Some(stream) = done.stream {
                accepted += 1;
                ring.recv(&stream, buffer, 2 * accepted)?;
                streams.insert(accepted, stream);
            } else if word % 2 == 1 {
                ring.recv(&streams[&(word / 2)], buffer, word - 1)?;
            } else if n == 0 {
                streams.remove(&(word / 2));
            } else {
                buffer.truncate(n);
                ring.send(&streams[&(word / 2)], buffer, word + 1)?;
            }
        }
    }
    Ok(ring.counters())
}

async fn ask() -> io::Result<()> {
    let mut stream = TcpStream::connect("server:7000").await?;
    for n in 0..REQUESTS {
        stream.write_all(&[n]).await?;
        stream.read_exact(&mut [0]).await?;
    }
    Ok(())
}
