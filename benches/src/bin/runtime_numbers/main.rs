//! The runtime's figures: wakeline beside tokio, smol and the standard library's threads, in one run.
//!
//! ```sh
//! cargo run --release -p wakeline-benches --bin runtime_numbers -- --markdown table.md
//! ```
//!
//! # Method
//! - Every row is written once, generic over the runtime (`src/runtime_rows`), and compiled for each through an adapter that
//!   adds nothing (`src/contestant`). Capacities, payloads and numbers of tasks are the same; where tokio's own benchmarks have
//!   the row, they are its. Each runtime uses the channels and locks of its own: smol those of async-channel and async-lock,
//!   and futures-channel's oneshot.
//! - Each measurement is a process of its own, with a warm-up of a fifth of its time that does not count. Rounds are
//!   interleaved: every round runs every row, every row all contestants, beginning with another one each time.
//! - What is measured runs in tasks of the runtime; the thread outside waits. One worker ("ct") is the current-thread runtime
//!   of wakeline and tokio, and one thread in smol's `block_on(executor.run(..))`. Two ("mt2") are the multi-thread runtimes
//!   with two worker threads, and two such threads for smol. All have I/O and time enabled and are otherwise as built.
//! - A figure is the median over the rounds; behind it stands the distance between the quartiles as a part of it. Costs are
//!   means within a round, latencies quantiles within a round.
//! - The ratio is wakeline's figure over that of the better of tokio and smol, taken within each round: below 1 is better. Its
//!   median is shown with the smallest and the largest. `NOISY` stands behind it when its quartiles lie more than 15 % apart.
//! - Instructions are callgrind's count of a long run minus that of a short one. Memory is resident memory after a million
//!   idle tasks minus that before, so the allocator's own part is in it; the tasks' future has no size.
//!
//! # Limits
//! - On two CPUs, two workers and a thread beside them share: the rows that wake from a thread, or write to sockets from one,
//!   measure the kernel's scheduler as well.
//! - p99 of the rows beside a blocked worker rests on some dozens of blocks a round; the median over the rounds is what says
//!   something.
//! - smol's reactor thread is there in addition to its workers, and its timers' rows may profit from it.
//! - smol has no timeout: the idiom of its documentation makes no timer, and reads no clock, for a future that is ready at once.
//! - smol is driven through one static executor, as `smol::spawn` does; its `LocalExecutor` and `StaticExecutor` are not here.

mod per_task;
mod plan;
mod table;
mod who;

use clap::{Args, Parser, Subcommand};
use plan::{Plan, workers_text};
use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;
use std::time::Duration;
use table::{Table, summary};
use wakeline_benches::child::{give_up_after, tell};
use wakeline_benches::command_line::{TableOptions, exit_code, invalid, until};
use wakeline_benches::contestant::Tokio;
use wakeline_benches::runtime_rows::{self, About};
use who::Who;

/// The runtime's figures: wakeline beside tokio, smol and threads, interleaved in one run
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
    #[command(flatten)]
    table: TableOptions,
    /// Only these contestants: wakeline, tokio-ct, ..
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    who: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Counts instructions per operation with callgrind, and nothing else
    Instructions,
    /// One row by one contestant in this process, for a profiler
    Once {
        row: String,
        contestant: String,
        /// A number of requests behind a tenth as warm-up, or milliseconds with `ms` behind
        amount: String,
    },
    /// Resident memory of idle tasks
    Idle { contestant: String, tasks: usize },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.part {
        None if arguments.options.table.list => {
            list();
            Ok(())
        }
        None => run(&arguments.options),
        Some(Part::Instructions) => per_task::instructions(&Who::all()).map(|table| print!("{}", table.to_text())),
        Some(Part::Once { row, contestant, amount }) => once(&row, &contestant, &amount),
        Some(Part::Idle { contestant, tasks }) => idle(&contestant, tasks),
    };
    exit_code("runtime_numbers", result)
}

/// What stands beside the rows in --only.
const INSTRUCTIONS: &str = "instructions";
const IDLE_TASK: &str = "idle-task";

fn abouts() -> Vec<About> {
    runtime_rows::all::<Tokio>().iter().map(|row| row.about).collect()
}

fn list() {
    for about in abouts() {
        println!("{:<20} {}", about.name, about.title);
    }
    println!("{INSTRUCTIONS:<20} instructions per operation, by callgrind");
    println!("{IDLE_TASK:<20} memory of an idle task");
    println!("\ncontestants: {}", Who::all().into_iter().map(Who::name).collect::<Vec<_>>().join(" "));
}

impl Options {
    fn plan(&self) -> io::Result<Plan> {
        let rows = abouts();
        let is_known =
            |name: &String| rows.iter().any(|row| row.name == name) || [INSTRUCTIONS, IDLE_TASK].contains(&&**name);
        if let Some(unknown) = self.table.only.iter().find(|name| !is_known(name)) {
            return Err(invalid(format!("there is no row {unknown}; see --list")));
        }
        if let Some(unknown) = self.who.iter().find(|name| !Who::all().iter().any(|who| who.is_called(name))) {
            return Err(invalid(format!("there is no contestant {unknown}; see --list")));
        }
        let is_wanted = |who: &Who| self.who.is_empty() || self.who.iter().any(|name| who.is_called(name));
        Ok(Plan {
            rows: rows.into_iter().filter(|row| self.table.wants(row.name)).collect(),
            contestants: Who::all().into_iter().filter(is_wanted).collect(),
            rounds: self.table.rounds(7),
            time: if self.table.quick { QUICK } else { USUAL },
        })
    }
}

/// The time of a measurement of weight 1.
const USUAL: Duration = Duration::from_millis(200);
const QUICK: Duration = Duration::from_millis(40);
/// More than any measurement takes that does not hang.
const CHILD_TIME_MAX: Duration = Duration::from_secs(30);

const IDLE_TASKS: usize = 1_000_000;
const IDLE_TASKS_QUICK: usize = 200_000;

fn run(options: &Options) -> io::Result<()> {
    let plan = options.plan()?;
    let options = &options.table;
    let results = plan.carry_out();
    let mut tables: Vec<Table> = [1, 2].iter().flat_map(|&workers| plan.tables(workers, &results)).collect();
    // They take longer than all else that is quick.
    let is_too_long = options.quick && options.only.is_empty();
    if !is_too_long && options.wants(INSTRUCTIONS) {
        match per_task::instructions(&plan.contestants) {
            Ok(table) => tables.push(table),
            Err(error) => eprintln!("runtime_numbers: {error}"),
        }
    }
    if options.wants(IDLE_TASK) {
        let tasks = if options.quick { IDLE_TASKS_QUICK } else { IDLE_TASKS };
        tables.push(per_task::memory(&plan.contestants, tasks));
    }
    tables.retain(|table| !table.lines.is_empty());
    let head = head(&plan);
    println!("{head}\n");
    tables.iter().for_each(|table| println!("{}", table.to_text()));
    let summaries = summaries(&tables);
    print!("{summaries}");
    let markdown = || {
        let tables: String = tables.iter().map(|table| format!("{}\n", table.to_markdown())).collect();
        format!("{head}\n\n{tables}{}", summaries.replace('\n', "\n\n"))
    };
    let json = || {
        let lines: Vec<_> = tables.iter().flat_map(Table::to_json).collect();
        format!("{:#}\n", serde_json::Value::from(lines))
    };
    options.write(markdown, json)
}

/// For each number of workers, over all that is timed.
fn summaries(tables: &[Table]) -> String {
    let mut text = String::new();
    for workers in [1, 2] {
        let timed: Vec<_> = tables.iter().filter(|table| table.workers == workers && table.is_timed).collect();
        if !timed.is_empty() {
            let _ = writeln!(text, "{}", summary(workers_text(workers), &timed));
        }
    }
    text
}

fn head(plan: &Plan) -> String {
    let first = |file: &str, name: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or("unknown");
        line.rsplit(": ").next().unwrap_or(line).to_owned()
    };
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{} rounds of {} ms; {cpus} CPUs, {}; Linux {}.",
        plan.rounds,
        plan.time.as_millis(),
        first("/proc/cpuinfo", "model name"),
        first("/proc/sys/kernel/osrelease", ""),
    )
}

fn who(name: &str) -> io::Result<Who> {
    Who::by_name(name).ok_or_else(|| invalid(format!("there is no contestant {name}; see --list")))
}

fn once(row: &str, contestant: &str, amount: &str) -> io::Result<()> {
    for (name, value) in who(contestant)?.measure(row, until(amount, CHILD_TIME_MAX)?)? {
        tell(name, value);
    }
    Ok(())
}

fn idle(contestant: &str, tasks: usize) -> io::Result<()> {
    give_up_after(CHILD_TIME_MAX);
    tell("bytes", who(contestant)?.resident_bytes_each(tasks)?);
    // A million tasks need not be taken apart.
    std::process::exit(0)
}
