//! Goodput of one TCP connection over a lossy link, by congestion control and loss rate, beside Linux's figures.
//!
//! Two emulated hosts, one link of 100 Mbit/s with 20 ms of round trip and a queue of 250 kB, in virtual time: the table
//! is the same in every run, whatever the machine. `--help` tells how to run it, the module `bulk` what is measured,
//! `linux` where the figures beside it come from. `echoes` is the other question of a bad link: does everything arrive?

mod bulk;
mod echoes;
mod kernel;
mod linux;

use bulk::Bulk;
use clap::{Parser, Subcommand};
use std::fmt;
use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use wakeline::net::emulated::CongestionChoice;
use wakeline_benches::command_line::exit_code;

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
    /// The table by this machine's kernel, over the same link between two TAP devices, in real time; as root.
    Kernel {
        /// How many runs at once. Each keeps a tenth of a CPU busy.
        #[arg(long, default_value_t = 4)]
        at_once: usize,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.command {
        Some(Command::Echoes { seeds, echoes, from }) => echoes::all(from..from + seeds, echoes),
        Some(Command::Kernel { at_once }) => kernels_table(&args, at_once),
        None => table(&args),
    };
    exit_code("transport_loss", result)
}

fn table(args: &Args) -> io::Result<()> {
    for choice in args.choices() {
        println!("{choice}: Mbit/s over 100 Mbit/s, 20 ms, 250 kB; {} s, mean of {} seeds", args.seconds, args.seeds);
        println!("| loss % | wakeline | smallest | largest | Linux | ratio | one run | ratio |");
        println!("|---|---|---|---|---|---|---|---|");
        for linux in linux::figures(choice).filter(|linux| args.wants(linux.loss)) {
            let mut rates = Vec::new();
            for bulk in args.runs(choice, linux.loss) {
                let outcome = bulk.run()?;
                rates.push(outcome.mbit_per_s);
                if args.counters {
                    let (seed, rate) = (bulk.seed, outcome.mbit_per_s);
                    eprintln!("{choice} {} % seed {seed}: {rate:.2} {}", linux.loss, outcome.counters);
                }
            }
            let figure = Figure::of(&rates);
            let ratio = |linux: Option<f64>| match linux {
                Some(linux) => format!("{linux} | {:.2}", figure.mean / linux),
                None => "- | -".to_owned(),
            };
            println!("| {} | {figure} | {} | {} |", linux.loss, ratio(linux.mean), ratio(Some(linux.once)));
        }
        println!();
    }
    Ok(())
}

fn kernels_table(args: &Args, at_once: usize) -> io::Result<()> {
    for choice in args.choices() {
        println!("{choice}: this kernel's Mbit/s; {} s, mean of {} seeds", args.seconds, args.seeds);
        println!("| loss % | mean | smallest | largest |");
        println!("|---|---|---|---|");
        for linux in linux::figures(choice).filter(|linux| args.wants(linux.loss)) {
            let runs: Vec<Bulk> = args.runs(choice, linux.loss).collect();
            let mut rates = Vec::new();
            for together in runs.chunks(at_once.max(1)) {
                let together: Vec<_> = thread::scope(|scope| {
                    let started: Vec<_> = together.iter().map(|bulk| scope.spawn(|| kernel::run(bulk))).collect();
                    started.into_iter().map(|run| run.join()).collect()
                });
                for rate in together {
                    rates.push(rate.map_err(|_| io::Error::other("a run has panicked"))??);
                }
            }
            println!("| {} | {} |", linux.loss, Figure::of(&rates));
        }
        println!();
    }
    Ok(())
}

impl Args {
    fn choices(&self) -> impl Iterator<Item = CongestionChoice> {
        let wanted = |choice: &CongestionChoice| self.only.is_empty() || self.only.iter().any(|n| n == choice.name());
        CongestionChoice::ALL.iter().copied().filter(move |choice| wanted(choice))
    }

    fn wants(&self, loss: f64) -> bool {
        self.loss.is_empty() || self.loss.contains(&loss)
    }

    /// The runs of one figure, a seed each.
    fn runs(&self, choice: CongestionChoice, percent: f64) -> impl Iterator<Item = Bulk> {
        let time = Duration::from_secs(self.seconds);
        (0..self.seeds).map(move |seed| Bulk { choice, loss: percent / 100.0, time, seed })
    }
}

/// What several runs come to.
struct Figure {
    mean: f64,
    smallest: f64,
    largest: f64,
}

impl Figure {
    fn of(rates: &[f64]) -> Figure {
        Figure {
            mean: rates.iter().sum::<f64>() / rates.len() as f64,
            smallest: rates.iter().copied().fold(f64::INFINITY, f64::min),
            largest: rates.iter().copied().fold(0.0, f64::max),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} | {:.2} | {:.2}", self.mean, self.smallest, self.largest)
    }
}
