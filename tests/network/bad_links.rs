//! Links that lose, double, overtake and corrupt, in virtual time: every echo comes back, and every byte of it is right.
//!
//! `transport_loss echoes`, in the member `wakeline-benches`, does the same with a thousand seeds.

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use std::io;
use std::time::Duration;
use wakeline::net::emulated::{CongestionChoice, Lan, Netem};
use wakeline::net::{TcpListener, TcpStream};
use wakeline::runtime::Builder;

const ECHOES: usize = 60;

#[test]
fn echoes_survive_loss_reordering_duplication_and_corruption() {
    for loss in [0.01, 0.05, 0.2] {
        for seed in 0..6 {
            let choice = CongestionChoice::ALL[seed as usize % CongestionChoice::ALL.len()];
            let runtime = Builder::new_current_thread().enable_time().start_paused(true).rng_seed(seed).build();
            let done = runtime.and_then(|runtime| runtime.block_on(echoes(seed, loss, choice)));
            assert!(done.is_ok(), "{choice}, loss {loss}, seed {seed}: {done:?}");
        }
    }
}

async fn echoes(seed: u64, loss: f64, choice: CongestionChoice) -> io::Result<()> {
    let lan = Lan::with_seed(seed);
    let (delay, jitter) = (Duration::from_millis(5), Duration::from_millis(1));
    let bad = Netem::new().delay(delay).jitter(jitter).loss(loss).reorder(0.05).duplicate(0.02).corrupt(0.02);
    let server = lan.host("server").tcp_congestion(choice).build()?;
    let client = lan.host("client").tcp_congestion(choice).link(bad).build()?;
    let listener = server.run(TcpListener::bind("0.0.0.0:7")).await?;
    drop(server.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(wakeline::spawn(answer(stream)));
        }
    }));
    let asking = client.spawn(async move {
        // The neighbour may not be found: three questions or their answers are lost.
        let mut attempts = 1;
        loop {
            match TcpStream::connect("server:7").await {
                Err(_) if attempts < 10 => attempts += 1,
                stream => return ask(stream?).await,
            }
        }
    });
    let limit = Duration::from_secs(100_000);
    wakeline::time::timeout(limit, asking).await.map_err(io::Error::other)?.map_err(io::Error::other)?
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            n => stream.write_all(&buf[..n]).await?,
        }
    }
}

/// Most questions are small, some take several segments.
async fn ask(mut stream: TcpStream) -> io::Result<()> {
    for echo in 0..ECHOES {
        let len = if echo % 16 == 7 { 6000 } else { 1 + echo };
        let question: Vec<u8> = (0..len).map(|at| (at * 7 + echo) as u8).collect();
        let mut received = vec![0; len];
        stream.write_all(&question).await?;
        stream.read_exact(&mut received).await?;
        if received != question {
            return Err(io::Error::other(format!("echo {echo} came back changed")));
        }
    }
    stream.close().await
}
