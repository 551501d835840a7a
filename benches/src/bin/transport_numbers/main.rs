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

use clap::{Parser, Subcommand};
use contestants::{CONTESTANTS, Contestant, Work};
use plan::Plan;
use std::io;
use std::process::ExitCode;
use std::time::Duration;
use wakeline_benches::child::tell;
use wakeline_benches::command_line::{TableOptions, exit_code, invalid, until};
use wakeline_benches::transport::pin_to_one_cpu;

/// The transport's figures: wakeline, smoltcp and the kernel, interleaved in one run
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    options: TableOptions,
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
    exit_code("transport_numbers", result)
}

const USUAL: Duration = Duration::from_secs(1);
const QUICK: Duration = Duration::from_millis(50);
/// More than any measurement takes on a machine that can be used at all.
const CHILD_TIME_MAX: Duration = Duration::from_secs(120);

fn plan(options: &TableOptions) -> io::Result<Plan> {
    let is_called = |c: &Contestant, name: &str| c.name == name || c.row.to_string() == name;
    if let Some(unknown) = options.only.iter().find(|name| !CONTESTANTS.iter().any(|c| is_called(c, name))) {
        return Err(invalid(format!("there is no row or contestant {unknown}; see --list")));
    }
    let is_wanted = |c: &Contestant| options.wants(c.name) || options.wants(&c.row.to_string());
    let is_needed = |c: &Contestant| CONTESTANTS.iter().any(|other| is_wanted(other) && other.needs(c.name));
    let (time, fewer) = if options.quick { (QUICK, 20) } else { (USUAL, 1) };
    Ok(Plan {
        contestants: CONTESTANTS.iter().copied().filter(|c| is_wanted(c) || is_needed(c)).collect(),
        rounds: options.rounds(7),
        time,
        fewer,
    })
}

fn run(options: &TableOptions) -> io::Result<()> {
    let plan = plan(options)?;
    let asked = plan.contestants.len();
    let rows = plan.carry_out();
    rows.iter().for_each(|row| println!("{}", row.to_text()));
    options.conclude(&rows)?;
    match asked - rows.len() {
        0 => Ok(()),
        failed => Err(io::Error::other(format!("{failed} contestants have failed"))),
    }
}

fn once(name: &str, amount: &str) -> io::Result<()> {
    let contestant =
        Contestant::by_name(name).ok_or_else(|| invalid(format!("there is no contestant {name}; see --list")))?;
    let until = until(amount, CHILD_TIME_MAX)?;
    if !matches!(contestant.work, Work::TimedOnAll(_)) {
        pin_to_one_cpu()?;
    }
    for (name, value) in contestant.measure(until)? {
        tell(name, value);
    }
    // A million connections need not be taken apart.
    std::process::exit(0)
}
