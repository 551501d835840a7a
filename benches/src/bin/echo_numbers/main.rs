//! The echo's figures: wakeline beside its peers, interleaved in one run, with the ratios that are promised.
//!
//! Every measurement is a process of its own (this program again), and every round runs all contestants, in turned order.
//! `--help` tells how to run it; README.md beside the sources tells how to read it.

mod one_connection;
mod plan;

use clap::{Parser, Subcommand};
use one_connection::OneConnection;
use plan::{Plan, QUESTIONS};
use std::io;
use std::process::ExitCode;
use std::time::Duration;
use wakeline_benches::child::{give_up_after, tell};
use wakeline_benches::command_line::{TableOptions, exit_code, invalid, until};
use wakeline_benches::crowd::{self, Crowd, REQUESTS_EACH};

/// The echo's figures: wakeline's emulated network beside threads and smoltcp, interleaved in one run
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    options: TableOptions,
}

/// What a round is made of, for a profiler
#[derive(Debug, Subcommand)]
enum Part {
    /// One contestant of a or b in this process
    Once {
        contestant: String,
        /// A number of requests behind a tenth as warm-up, or milliseconds with `ms` behind
        amount: String,
    },
    /// One crowd of c: `tasks` or `threads`
    Crowd { who: String, connections: usize },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.part {
        None if arguments.options.list => {
            QUESTIONS.iter().for_each(|(letter, what)| println!("{letter}  {what}"));
            OneConnection::ALL
                .iter()
                .for_each(|contestant| println!("{:<27} {}", contestant.name(), contestant.what()));
            Ok(())
        }
        None => Plan::new(&arguments.options).and_then(|plan| plan.carry_out(&arguments.options)),
        Some(Part::Once { contestant, amount }) => once(&contestant, &amount),
        Some(Part::Crowd { who, connections }) => one_crowd(&who, connections),
    };
    exit_code("echo_numbers", result)
}

/// More than any measurement takes on a machine that can be used at all.
const CHILD_TIME_MAX: Duration = Duration::from_secs(120);

fn once(name: &str, amount: &str) -> io::Result<()> {
    let contestant =
        OneConnection::by_name(name).ok_or_else(|| invalid(format!("there is no contestant {name}; see --list")))?;
    let measured = contestant.measure(until(amount, CHILD_TIME_MAX)?)?;
    tell("rate", measured.rate());
    Ok(())
}

fn one_crowd(who: &str, connections: usize) -> io::Result<()> {
    give_up_after(CHILD_TIME_MAX);
    let crowd = match who {
        "tasks" => crowd::tasks(connections)?,
        "threads" => crowd::threads(connections)?,
        other => return Err(invalid(format!("there is no crowd of {other}; see --help"))),
    };
    if crowd.verified != crowd.connections * REQUESTS_EACH {
        return Err(io::Error::other(format!("only {} answers came back", crowd.verified)));
    }
    tell_crowd(&crowd);
    // The waiting threads hold nothing that must be put in order.
    std::process::exit(0)
}

fn tell_crowd(crowd: &Crowd) {
    let each = |after: u64, before: u64| after.saturating_sub(before) as f64 / crowd.connections as f64;
    tell("bytes", crowd.bytes_per_connection());
    tell("verified", crowd.verified as f64);
    tell("elapsed_ms", crowd.elapsed.as_secs_f64() * 1e3);
    tell("drops", crowd.drops as f64);
    tell("resident", each(crowd.after.resident, crowd.before.resident));
    tell("page_tables", each(crowd.after.page_tables, crowd.before.page_tables));
    tell("kernel_stacks", each(crowd.after.kernel_stacks, crowd.before.kernel_stacks));
    tell("threads", crowd.after.threads as f64);
}
