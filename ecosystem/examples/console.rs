//! A program that tokio-console can look into: start this, then `tokio-console` in another terminal (`cargo install
//! tokio-console`).
//!
//! ```text
//! cargo run --example console                     for half a minute, at 127.0.0.1:6669
//! cargo run --example console -- --for-seconds 1
//! ```
//! Some tasks wait for timers and for a lock, one never yields for long, and one is woken by itself. That is all it takes in a
//! program of your own: the feature `tracing`, `console_subscriber::init()`, and `--cfg console_without_tokio_unstable` in its
//! rustflags.

use clap::Parser;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wakeline::sync::Mutex;
use wakeline::task::{Builder, yield_now};
use wakeline::time::{interval, sleep};

#[derive(Parser)]
struct Args {
    /// How long to run.
    #[arg(long, default_value_t = 30)]
    for_seconds: u64,
}

fn main() -> std::io::Result<()> {
    let args = Args::parse();
    console_subscriber::init();
    wakeline::runtime::Runtime::new()?.block_on(run(args.for_seconds))
}

async fn run(seconds: u64) -> std::io::Result<()> {
    let lock = Arc::new(Mutex::new(0_u64));
    for name in ["alpha", "beta", "gamma"] {
        let lock = lock.clone();
        Builder::new().name(name).spawn(async move {
            loop {
                let mut turns = lock.lock().await;
                *turns += 1;
                sleep(Duration::from_millis(200)).await;
            }
        })?;
    }
    Builder::new().name("busy").spawn(async {
        let mut pace = interval(Duration::from_millis(500));
        loop {
            pace.tick().await;
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(100) {
                std::hint::spin_loop();
            }
        }
    })?;
    Builder::new().name("self-waker").spawn(async {
        loop {
            yield_now().await;
            sleep(Duration::from_millis(10)).await;
        }
    })?;
    sleep(Duration::from_secs(seconds)).await;
    Ok(())
}
