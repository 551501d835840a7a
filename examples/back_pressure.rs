//! Back-pressure: a slow reader slows its writer down, all the way, and nothing in between grows.
//!
//! ```text
//! cargo run --example back_pressure                                         a pipeline and a slow client, checked
//! cargo run --example back_pressure -- --backend os                         the same on the system's network
//! cargo run --example back_pressure -- --listen 127.0.0.1:7000              then: nc 127.0.0.1 7000 | pv -L 100k > /dev/null
//! ```
//! Three stages, each with a bound: a producer, a channel of a few chunks, a socket. The producer runs ahead of the client by what
//! these hold, and then exactly as fast as the client reads.

#[path = "common/stage.rs"]
mod stage;

use stage::{Stage, expect};
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::{TcpListener, TcpSocket, TcpStream};
use wakeline::sync::mpsc;
use wakeline::task::yield_now;

fn main() -> ExitCode {
    stage::run("back_pressure", serve, play)
}

const CHUNK: usize = 16 << 10;
/// Chunks between the producer and the writer.
const CHUNKS_MAX: usize = 4;
/// What the client's socket may hold.
const CLIENT_BYTES: u32 = 64 << 10;

async fn serve(addr: String) -> io::Result<()> {
    let listener = TcpListener::bind(&addr).await?;
    println!("zeros on {}, as fast as they are read, until Ctrl-C", listener.local_addr()?);
    pour(listener, Arc::default()).await
}

/// Gives each client zeros for ever, and counts what was produced.
async fn pour(listener: TcpListener, produced: Arc<AtomicUsize>) -> io::Result<()> {
    loop {
        let (mut stream, _) = stage::accept("back_pressure", &listener).await?;
        let (chunks, mut to_write) = mpsc::channel::<Vec<u8>>(CHUNKS_MAX);
        let produced = produced.clone();
        wakeline::spawn(async move {
            // The channel is where the producer waits; it ends when the writer has.
            while let Ok(place) = chunks.reserve().await {
                produced.fetch_add(CHUNK, Ordering::Relaxed);
                place.send(vec![0; CHUNK]);
            }
        });
        wakeline::spawn(async move {
            while let Some(chunk) = to_write.recv().await {
                // The socket is where the writer waits.
                stream.write_all(&chunk).await?;
            }
            io::Result::Ok(())
        });
    }
}

async fn play(stage: Stage) -> io::Result<()> {
    let bind = stage.bind();
    let produced = Arc::new(AtomicUsize::new(0));
    let counted = produced.clone();
    let addr = stage
        .server(async move {
            let listener = TcpListener::bind(bind).await?;
            let addr = listener.local_addr()?;
            wakeline::spawn(pour(listener, counted));
            io::Result::Ok(addr)
        })
        .await??;
    let read = async move {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(CLIENT_BYTES)?;
        let mut stream = socket.connect(addr).await?;
        let filled = standstill(&produced).await;
        println!("with nobody reading, {} KiB were produced, and then no more", filled >> 10);
        // What is read makes room for as much.
        let mut left = 4 * filled;
        let mut buf = vec![0; CHUNK];
        while left > 0 {
            let want = buf.len().min(left);
            stream.read_exact(&mut buf[..want]).await?;
            left -= want;
        }
        let ahead = standstill(&produced).await - 4 * filled;
        println!("after {} KiB were read, the producer is ahead by {} KiB", (4 * filled) >> 10, ahead >> 10);
        // Buffers of sockets adapt to what is read, within their own bounds.
        expect(ahead < AHEAD_BYTES_MAX, true)?;
        drop::<TcpStream>(stream);
        io::Result::Ok(())
    };
    stage.client(read).await?
}

/// More than all that is between producer and client may hold: the server's send buffer above all.
const AHEAD_BYTES_MAX: usize = 64 << 20;

/// Waits until nothing more is produced, and says how much was.
async fn standstill(produced: &AtomicUsize) -> usize {
    let (mut before, mut unchanged) = (0, 0);
    while before == 0 || unchanged < 50 {
        wakeline::time::sleep(std::time::Duration::from_millis(2)).await;
        yield_now().await;
        let now = produced.load(Ordering::Relaxed);
        unchanged = if now == before { unchanged + 1 } else { 0 };
        before = now;
    }
    before
}
