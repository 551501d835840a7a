//! One connection that sends as fast as it may.
//!
//! The sender's link carries 100 Mbit/s of frames, holds 250 kB before it drops, and loses data packets by a seeded verdict
//! (the acknowledgements' way is perfect). The goodput is what the receiving program has read, over the whole time, slow
//! start included. Buffers are large enough never to be what limits.

use std::io;
use std::time::Duration;
use wakeline::net::emulated::{CongestionChoice, Lan, Netem};
use wakeline::net::{TcpListener, TcpStream};
use wakeline::runtime::Builder;
use wakeline::time::{Instant, timeout_at};

/// One run.
pub(crate) struct Bulk {
    pub(crate) choice: CongestionChoice,
    /// From 0 to 1.
    pub(crate) loss: f64,
    pub(crate) time: Duration,
    pub(crate) seed: u64,
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) mbit_per_s: f64,
    /// The sender's counters that tell of loss, as `nstat` prints them.
    pub(crate) counters: String,
}

const RATE: u64 = 100_000_000;
const ONE_WAY: Duration = Duration::from_millis(10);
const QUEUE_BYTES: usize = 250_000;
pub(crate) const BUFFER: usize = 8 << 20;

impl Bulk {
    /// Runs in virtual time.
    ///
    /// # Errors
    /// Those of building hosts and connecting them.
    pub(crate) fn run(&self) -> io::Result<Outcome> {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).rng_seed(self.seed).build()?;
        runtime.block_on(self.transfer())
    }

    /// The way from the sender.
    pub(crate) fn outbound(&self) -> Netem {
        Netem::new().rate(RATE).queue(QUEUE_BYTES).delay(ONE_WAY).loss(self.loss).limit(4096)
    }

    async fn transfer(&self) -> io::Result<Outcome> {
        let lan = Lan::with_seed(self.seed);
        let host = |name| lan.host(name).tcp_buffers(BUFFER, BUFFER).tcp_congestion(self.choice).rings(4096, 4096);
        let (receiver, sender) =
            (host("receiver").build()?, host("sender").egress(self.outbound()).ingress(inbound()).build()?);
        let listener = receiver.run(TcpListener::bind("0.0.0.0:5001")).await?;
        let end = Instant::now() + self.time;
        let receiving = receiver.spawn(async move {
            let (stream, _) = listener.accept().await?;
            Ok::<_, io::Error>(drain(stream, end).await)
        });
        drop(sender.spawn(async move { flood(TcpStream::connect("receiver:5001").await?).await }));
        let bytes = receiving.await.map_err(io::Error::other)??;
        let counters = sender.counters().stack;
        let counters: Vec<String> = counters
            .iter()
            .filter(|(mib, _)| mib.name().starts_with("TcpExt") || mib.name() == "TcpRetransSegs")
            .map(|(mib, n)| format!("{}={n}", mib.name()))
            .collect();
        let mbit_per_s = bytes as f64 * 8.0 / self.time.as_secs_f64() / 1e6;
        Ok(Outcome { mbit_per_s, counters: counters.join(" ") })
    }
}

/// The way of the acknowledgements.
pub(crate) fn inbound() -> Netem {
    Netem::new().delay(ONE_WAY).limit(4096)
}

async fn flood(mut stream: TcpStream) -> io::Result<()> {
    use futures_lite::AsyncWriteExt;
    let bytes = vec![0x5a; 64 << 10];
    loop {
        stream.write_all(&bytes).await?;
    }
}

/// How many bytes could be read until `end`.
async fn drain(mut stream: TcpStream, end: Instant) -> u64 {
    use futures_lite::AsyncReadExt;
    let (mut buf, mut total) = (vec![0; 256 << 10], 0);
    while let Ok(Ok(n)) = timeout_at(end, stream.read(&mut buf)).await {
        if n == 0 {
            break;
        }
        total += n as u64;
    }
    total
}
