//! The transport's figures: wakeline's emulated network beside smoltcp and the kernel, on the same work, in one run.
//!
//! ```sh
//! cargo run --release -p wakeline-benches --bin transport_numbers -- --markdown table.md
//! ```
//!
//! # Method
//! - wakeline is measured through its public sockets: tasks of one worker, and below them device, interrupt, NAPI, IP, TCP or
//!   UDP, wait queue and waker, for both ends. smoltcp is its bare loop: no executor, no device model, no wake-up; the best that
//!   its interface lets one do. The kernel is its loopback.
//! - Everybody moves the same bytes and compares every one that arrives; what was sent and what has arrived is counted on both
//!   sides. Checksums are made and verified, unless the row says otherwise.
//! - Each measurement is a process of its own, with a warm-up of a fifth of its time that does not count, held to one CPU unless
//!   its row says "all CPUs". Rounds are interleaved: every round asks everybody, beginning with another one each time.
//! - A figure is the median over the rounds. A ratio is taken within each round, and its median is shown. `spread` is the distance
//!   between the largest and the smallest, as a part of the median; `NOISY` stands behind more than 30 %.
//! - Memory is resident memory after minus before, so the allocator's and the tables' part is in it; it is measured once.
//!
//! # Limits
//! - The kernel's sockets cross the boundary of a system call, which neither of the others does.
//! - smoltcp's short connections skip TIME-WAIT, and its sockets are used again.
//! - Datagrams go in batches of 64: sent, then received. smoltcp and the kernel get the same batches.

mod contestants;
mod plan;

use clap::{Args, Parser, Subcommand};
use contestants::{CONTESTANTS, Contestant, Work};
use plan::Plan;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use wakeline_benches::child::{give_up_after, tell};
use wakeline_benches::row::markdown;
use wakeline_benches::run::Until;
use wakeline_benches::transport::pin_to_one_cpu;

/// The transport's figures: wakeline, smoltcp and the kernel, interleaved in one run
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Args)]
struct Options {
    /// How many rounds [default: 7]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: Option<u64>,
    /// One short round with little memory, to see that it works; do not quote it
    #[arg(long)]
    quick: bool,
    /// Only these rows, by letter, or contestants, by name; and whom they are compared with
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    only: Vec<String>,
    /// Writes the table as Markdown, too
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Writes all rows as JSON, one object a line, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Lists rows and contestants
    #[arg(long)]
    list: bool,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// One contestant in this process, for a profiler
    Once {
        contestant: String,
        /// A number of requests behind a tenth as warm-up, or milliseconds with `ms` behind
        amount: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.part {
        None if arguments.options.list => {
            CONTESTANTS.iter().for_each(|c| println!("{}  {:<20} {} ({})", c.row, c.name, c.what, c.unit));
            Ok(())
        }
        None => run(&arguments.options),
        Some(Part::Once { contestant, amount }) => once(&contestant, &amount),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("transport_numbers: {error}");
            ExitCode::from(if error.kind() == io::ErrorKind::InvalidInput { 2 } else { 1 })
        }
    }
}

const USUAL: Duration = Duration::from_secs(1);
const QUICK: Duration = Duration::from_millis(50);
/// More than any measurement takes on a machine that can be used at all.
const CHILD_TIME_MAX: Duration = Duration::from_secs(120);

impl Options {
    fn plan(&self) -> io::Result<Plan> {
        let is_called = |c: &Contestant, name: &str| c.name == name || c.row.to_string() == name;
        if let Some(unknown) = self.only.iter().find(|name| !CONTESTANTS.iter().any(|c| is_called(c, name))) {
            return Err(invalid(format!("there is no row or contestant {unknown}; see --list")));
        }
        let is_wanted = |c: &Contestant| self.only.is_empty() || self.only.iter().any(|name| is_called(c, name));
        let is_needed = |c: &Contestant| CONTESTANTS.iter().any(|other| is_wanted(other) && other.needs(c.name));
        let (rounds, time, fewer) = if self.quick { (1, QUICK, 20) } else { (7, USUAL, 1) };
        Ok(Plan {
            contestants: CONTESTANTS.iter().copied().filter(|c| is_wanted(c) || is_needed(c)).collect(),
            rounds: self.rounds.map_or(rounds, |rounds| usize::try_from(rounds).unwrap_or(usize::MAX)),
            time,
            fewer,
        })
    }
}

fn run(options: &Options) -> io::Result<()> {
    let plan = options.plan()?;
    let asked = plan.contestants.len();
    let rows = plan.carry_out();
    rows.iter().for_each(|row| println!("{}", row.to_text()));
    let promises = || rows.iter().flat_map(|row| &row.promises);
    println!("\n{} bounds, {} kept", promises().count(), promises().filter(|promise| promise.kept()).count());
    if let Some(file) = &options.markdown {
        std::fs::write(file, markdown(&rows))?;
    }
    if let Some(file) = &options.json {
        let lines: String = rows.iter().map(|row| row.to_json() + "\n").collect();
        std::fs::write(file, lines)?;
    }
    match asked - rows.len() {
        0 => Ok(()),
        failed => Err(io::Error::other(format!("{failed} contestants have failed"))),
    }
}

fn once(name: &str, amount: &str) -> io::Result<()> {
    let contestant =
        Contestant::by_name(name).ok_or_else(|| invalid(format!("there is no contestant {name}; see --list")))?;
    let bad = |_| invalid(format!("{amount:?} is no number of requests, and no time in ms"));
    let until = match amount.strip_suffix("ms") {
        Some(millis) => {
            give_up_after(CHILD_TIME_MAX);
            Until::Elapsed(Duration::from_millis(millis.parse().map_err(bad)?))
        }
        None => Until::Requests(amount.parse().map_err(bad)?),
    };
    if !matches!(contestant.work, Work::TimedOnAll(_)) {
        pin_to_one_cpu()?;
    }
    for (name, value) in contestant.measure(until)? {
        tell(name, value);
    }
    // A million connections need not be taken apart.
    std::process::exit(0)
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
