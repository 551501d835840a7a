//! Echoes over links that lose, double, overtake and corrupt: every one comes back, and every byte of it is right.

use std::io;
use std::ops::Range;
use std::time::Duration;
use wakeline::net::emulated::{Lan, Netem};
use wakeline::net::{TcpListener, TcpStream};
use wakeline::runtime::Builder;

const LOSS: [f64; 3] = [0.01, 0.05, 0.2];

/// Runs every seed at every loss rate, and says how long the simulated time was.
///
/// # Errors
/// The first seed that did not end well.
pub(crate) fn all(seeds: Range<u64>, echoes: u32) -> io::Result<()> {
    for loss in LOSS {
        let mut simulated = Duration::ZERO;
        for seed in seeds.clone() {
            let failed = |error| io::Error::other(format!("loss {loss}, seed {seed}: {error}"));
            simulated += one(seed, loss, echoes).map_err(failed)?;
        }
        let count = (seeds.end - seeds.start) * u64::from(echoes);
        println!(
            "{} seeds at {} % loss: {count} echoes, all right, in {simulated:.0?} simulated",
            seeds.end - seeds.start,
            loss * 100.0
        );
    }
    Ok(())
}

fn one(seed: u64, loss: f64, echoes: u32) -> io::Result<Duration> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).rng_seed(seed).build()?;
    runtime.block_on(async {
        let began = wakeline::time::Instant::now();
        let lan = Lan::with_seed(seed);
        let bad = Netem::new()
            .delay(Duration::from_millis(5))
            .jitter(Duration::from_millis(1))
            .loss(loss)
            .reorder(0.05)
            .duplicate(0.02)
            .corrupt(0.02);
        let (server, client) = (lan.host("server").build()?, lan.host("client").link(bad).build()?);
        let listener = server.run(TcpListener::bind("0.0.0.0:7")).await?;
        drop(server.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(wakeline::spawn(answer(stream)));
            }
        }));
        let asking = client.spawn(async move { ask(connect().await?, seed, echoes).await });
        wakeline::time::timeout(Duration::from_secs(100_000), asking)
            .await
            .map_err(|_| io::Error::other("it has stalled"))?
            .map_err(io::Error::other)??;
        Ok(began.elapsed())
    })
}

/// At 20 % loss one attempt in twenty finds no neighbour: three questions or their answers are lost. A program then tries
/// again.
async fn connect() -> io::Result<TcpStream> {
    let mut attempts = 1;
    loop {
        match TcpStream::connect("server:7").await {
            Err(_) if attempts < ATTEMPTS_MAX => attempts += 1,
            outcome => return outcome,
        }
    }
}

/// So many fail in a row in none of 10^12 seeds.
const ATTEMPTS_MAX: u32 = 10;

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    use futures_lite::{AsyncReadExt, AsyncWriteExt};
    let mut buf = [0; 4096];
    loop {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..n]).await?;
    }
}

/// Sizes and bytes come from the seed; most are small, some take several segments.
async fn ask(mut stream: TcpStream, seed: u64, echoes: u32) -> io::Result<()> {
    use futures_lite::{AsyncReadExt, AsyncWriteExt};
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut question, mut received) = (Vec::new(), Vec::new());
    for echo in 0..echoes {
        let len = if rng.u8(..) < 16 { rng.usize(1..8000) } else { rng.usize(1..200) };
        question.clear();
        question.extend(std::iter::repeat_with(|| rng.u8(..)).take(len));
        received.resize(len, 0);
        stream.write_all(&question).await?;
        stream.read_exact(&mut received).await?;
        if received != question {
            return Err(io::Error::other(format!("echo {echo} of {len} bytes came back changed")));
        }
    }
    stream.close().await
}
