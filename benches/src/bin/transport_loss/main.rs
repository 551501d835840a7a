//! Goodput of one TCP connection over a lossy link, by congestion control and loss rate, beside Linux's figures.
//!
//! Two emulated hosts, one link of 100 Mbit/s with 20 ms of round trip and a queue of 250 kB, in virtual time: the table
//! is the same in every run, whatever the machine. `--help` tells how to run it, the module `bulk` what is measured,
//! `linux` where the figures beside it come from. `echoes` is the other question of a bad link: does everything arrive?

mod bulk;
mod echoes;
mod linux;

use bulk::Bulk;
use clap::{Parser, Subcommand};
use std::io;
use std::process::ExitCode;
use std::time::Duration;
use wakeline::net::emulated::CongestionChoice;

#[derive(Parser)]
#[command(about = "TCP over lossy links, in virtual time")]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Simulated seconds of each run.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many seeds each figure is the mean of.
    #[arg(long, default_value_t = 4)]
    seeds: u64,
    /// Only these, by Linux's names.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these loss rates, in percent.
    #[arg(long, value_delimiter = ',')]
    loss: Vec<f64>,
    /// With each figure, what the sender counted.
    #[arg(long)]
    counters: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Echoes at 1, 5 and 20 % loss with reordering, duplication and corruption: all complete, no wrong byte.
    Echoes {
        /// How many seeds, at each loss rate.
        #[arg(long, default_value_t = 1000)]
        seeds: u64,
        /// How many echoes each.
        #[arg(long, default_value_t = 1000)]
        echoes: u32,
        /// The first seed.
        #[arg(long, default_value_t = 0)]
        from: u64,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.command {
        Some(Command::Echoes { seeds, echoes, from }) => echoes::all(from..from + seeds, echoes),
        None => table(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("transport_loss: {error}");
            ExitCode::FAILURE
        }
    }
}

fn table(args: &Args) -> io::Result<()> {
    let wanted = |choice: &&CongestionChoice| args.only.is_empty() || args.only.iter().any(|n| n == choice.name());
    for &choice in CongestionChoice::ALL.iter().filter(wanted) {
        println!("{choice}: Mbit/s over 100 Mbit/s, 20 ms, 250 kB; {} s, mean of {} seeds", args.seconds, args.seeds);
        println!("| loss % | wakeline | smallest | largest | Linux | ratio |");
        println!("|---|---|---|---|---|---|");
        for (percent, linux) in linux::figures(choice) {
            if !args.loss.is_empty() && !args.loss.contains(&percent) {
                continue;
            }
            let mut rates = Vec::new();
            for seed in 0..args.seeds {
                let bulk = Bulk { choice, loss: percent / 100.0, time: Duration::from_secs(args.seconds), seed };
                let outcome = bulk.run()?;
                rates.push(outcome.mbit_per_s);
                if args.counters {
                    eprintln!("{choice} {percent} % seed {seed}: {:.2} {}", outcome.mbit_per_s, outcome.counters);
                }
            }
            let mean = rates.iter().sum::<f64>() / rates.len() as f64;
            let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
            let most = rates.iter().copied().fold(0.0, f64::max);
            println!("| {percent} | {mean:.2} | {least:.2} | {most:.2} | {linux} | {:.2} |", mean / linux);
        }
        println!();
    }
    Ok(())
}
