//! The contrast: what it costs to block a thread per socket, to block on an aggregator, to be signalled, to hold a Waker.
//!
//! ```sh
//! cargo run --release -p wakeline-benches --bin contrast -- --quick
//! ```
//!
//! # Method
//! - The matrix is a star around its middle, 64 connections that carry 64 bytes there and back: every number of connections at
//!   that size, every size at that number, every pattern at 64 and at 512 connections, and the mostly idle one at 10,000, which
//!   it is about. Short connections come at 64 only: more at once overflow the backlog that a runtime's listener has by itself.
//!   What lies off the axes would be many times as many cells; `--workload` measures any of them.
//! - A sitting is a model with a number of connections, in a process of its own, and over the operating system's network with
//!   the server in one more. The workloads of that number share the connections, one after another, large messages last; short
//!   connections have a sitting for themselves. Rounds are interleaved: every round has every sitting, each with all models,
//!   beginning with another one each time. A figure is the median over the rounds; `?` stands behind one whose rounds lie more
//!   than 30 % apart.
//! - The load is the same for every server of a network: one epoll loop, pinned to the last CPU, or one worker's tasks on an
//!   emulated host of their own. Every byte of every answer is compared.
//! - Behind a warm-up stand two runs of the same length. Closed-loop: an answer makes the next message. At a fixed rate,
//!   the same for all: a message is due at its moment, and its latency counts from there, whether or not the server was able
//!   to take it (no coordinated omission). The load is silent while the server is asked what it has counted.
//! - Processor time and context switches are the kernel's (`clock_gettime`, `getrusage`) for the server's process; over the
//!   emulated network for this process without the load's thread. A return is a waiter that comes back: a thread from the call
//!   in which it waits, a task by being polled; it is spurious when nothing could be read, written or accepted.
//! - System calls are counted by the kernel's tracepoints (`perf_event_open`), in the first round, in runs of their own behind all
//!   others of a sitting; by name where the headline is.
//! - Memory of a connection is what the server's process has grown by (resident pages, page tables, kernel stacks) once each
//!   was open and used; over the emulated network both ends are in it, and the sockets themselves. The kernel's socket
//!   buffers are in no process and in no figure.

mod blocking;
mod cell;
mod claims;
mod connection;
mod cross_check;
mod emulated;
mod epoll_loop;
mod herd;
mod load;
mod machine;
mod model;
mod os;
mod plan;
mod pool;
mod report;
mod results;
mod server;
mod signal_loop;
mod syscalls;
mod table;
mod tasks;
mod workload;

use cell::Sitting;
use clap::{Args, Parser, Subcommand};
use model::{MODELS, Model, Serve};
use plan::Plan;
use report::Report;
use results::Results;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use wakeline_benches::child::{answer_parent, give_up_after, tell};
use wakeline_benches::command_line::{exit_code, invalid};
use workload::Workload;

/// Blocking, select, poll, epoll, SIGIO, completion and Wakers, over the operating system's network and the emulated one
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
    /// One round of short runs of a part of the matrix, under a minute; do not quote it
    #[arg(long)]
    quick: bool,
    /// How many rounds [default: 3]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: Option<u64>,
    /// Of each run of a cell, in milliseconds [default: 250]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    time: Option<u64>,
    /// Only these models, or all of a network: os/blocking,emulated
    #[arg(long, value_delimiter = ',', value_name = "MODEL,..")]
    models: Vec<String>,
    /// Only this workload; may be given several times: --workload request,64,1024
    #[arg(long, value_name = "PATTERN,CONNECTIONS,SIZE")]
    workload: Vec<String>,
    /// Ends the measuring after so many minutes, with what there is
    #[arg(long, value_name = "MINUTES", default_value_t = 30.0)]
    time_limit: f64,
    /// Goes on with the results.json of a run that was interrupted
    #[arg(long, conflicts_with = "from")]
    resume: bool,
    /// Where report.html, results.json, results.csv and the pictures go
    #[arg(long, value_name = "FOLDER", default_value = "target/contrast")]
    out: PathBuf,
    /// Measures nothing, and makes everything from a results.json
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// A second run, whose ratios stand beside those of the first where rankings are claimed
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Fails when a ranking that docs/contrast.md claims does not hold, and says which
    #[arg(long)]
    check: bool,
    /// Writes the tables as Markdown, too
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Renews the tables between the marks of this document; may be given several times
    #[arg(long, value_name = "FILE")]
    update: Vec<PathBuf>,
    /// Lists models and workloads
    #[arg(long)]
    list: bool,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// One cell in this process, for a profiler: os/epoll-lt request,64,1024 500
    Cell {
        model: String,
        /// PATTERN,CONNECTIONS,SIZE; or several that share their connections, with a + between them
        workload: String,
        /// Of each run
        milliseconds: u64,
        /// Counts system calls behind the others
        #[arg(long)]
        count_calls: bool,
    },
    /// One way to wait for one thing together, eight sleepers: os/epoll-lt
    Herd { way: String },
    /// One process of a group that waits for a signal
    #[command(hide = true)]
    HerdSleeper,
    /// What the server's host does for one message, event by event: emulated/epoll-lt
    Trace { model: String },
    /// Whether system calls are counted as strace sees them: of these models, or of all; takes root
    CrossCheck { models: Vec<String> },
    /// One server of the operating system's network, until its input ends
    Serve { model: String },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    machine::allow_descriptors();
    let result = match arguments.part {
        None if arguments.options.list => {
            list();
            Ok(())
        }
        None => run(&arguments.options),
        Some(Part::Cell { model, workload, milliseconds, count_calls }) => {
            cell(&model, &workload, milliseconds, count_calls)
        }
        Some(Part::Herd { way }) => herd::run(&way),
        Some(Part::HerdSleeper) => herd::sleep_in_a_group(),
        Some(Part::Trace { model }) => trace(&model),
        Some(Part::CrossCheck { models }) => models_named(&models).and_then(|models| cross_check::run(&models)),
        Some(Part::Serve { model }) => serve(&model),
    };
    exit_code("contrast", result)
}

fn list() {
    for model in MODELS {
        println!("{:<24} {}", model.path(), model.title);
    }
    for way in herd::ways() {
        println!("herd {}", way.path());
    }
    for workload in plan::FULL {
        let quick = if plan::QUICK.contains(workload) { "  (quick)" } else { "" };
        println!("--workload {workload}{quick}");
    }
}

impl Options {
    fn plan(&self) -> io::Result<Plan> {
        let (workloads, rounds, time) = if self.quick { (plan::QUICK, 1, QUICK) } else { (plan::FULL, 3, USUAL) };
        let given = self.workload.iter().map(|text| Workload::parse(text)).collect::<io::Result<Vec<_>>>()?;
        let models = models_named(&self.models)?;
        Ok(Plan {
            models,
            workloads: if given.is_empty() { workloads.to_vec() } else { given },
            rounds: self.rounds.map_or(rounds, |rounds| usize::try_from(rounds).unwrap_or(usize::MAX)),
            time: self.time.map_or(time, Duration::from_millis),
            limit: Duration::try_from_secs_f64(self.time_limit * 60.0).map_err(|error| invalid(error.to_string()))?,
        })
    }
}

/// Those, or all of a network; all if there are no names.
fn models_named(names: &[String]) -> io::Result<Vec<&'static Model>> {
    let is_called = |model: &Model, name: &String| *name == model.path() || *name == model.network().name();
    if let Some(unknown) = names.iter().find(|name| !MODELS.iter().any(|model| is_called(model, name))) {
        return Err(invalid(format!("there is no model {unknown}; see --list")));
    }
    let is_wanted = |model: &&Model| names.is_empty() || names.iter().any(|name| is_called(model, name));
    Ok(MODELS.iter().filter(is_wanted).collect())
}

/// The time of a run of a cell.
const USUAL: Duration = Duration::from_millis(250);
const QUICK: Duration = Duration::from_millis(60);

fn run(options: &Options) -> io::Result<()> {
    // A document that is not there is told of before half an hour has passed.
    let read = |file: &PathBuf| std::fs::read_to_string(file).map_err(named(file));
    let documents = options.update.iter().map(read).collect::<io::Result<Vec<_>>>()?;
    let results = match &options.from {
        Some(file) => Results::read(file).map_err(named(file))?,
        None => measured(options)?,
    };
    let again = options.against.as_ref().map(|file| Results::read(file).map_err(named(file))).transpose()?;
    let report = Report { results: &results, again: again.as_ref() };
    print!("{}", report.text());
    report.write(&options.out).map_err(named(&options.out))?;
    if let Some(file) = &options.markdown {
        std::fs::write(file, report.markdown()).map_err(named(file))?;
    }
    for (file, document) in options.update.iter().zip(&documents) {
        let updated = report.updated(document).map_err(named(file))?;
        std::fs::write(file, updated).map_err(named(file))?;
    }
    eprintln!("contrast: {}", options.out.join("report.html").display());
    if options.check {
        check(&report)?;
    }
    match results.unexpected() {
        0 => Ok(()),
        count => Err(io::Error::other(format!("{count} cells have failed; the tables say why"))),
    }
}

fn check(report: &Report<'_>) -> io::Result<()> {
    let of_run = |(number, results): (usize, &Results)| {
        claims::broken(results).into_iter().map(move |claim| format!("run {}: {claim}", number + 1)).collect::<Vec<_>>()
    };
    let broken: Vec<_> = report.runs().into_iter().enumerate().flat_map(of_run).collect();
    broken.iter().for_each(|claim| eprintln!("contrast: {claim}"));
    if broken.is_empty() { Ok(()) } else { Err(io::Error::other(format!("{} claims do not hold", broken.len()))) }
}

fn measured(options: &Options) -> io::Result<Results> {
    let plan = options.plan()?;
    std::fs::create_dir_all(&options.out).map_err(named(&options.out))?;
    let file = options.out.join(report::RESULTS);
    let mut results = plan.begin(command());
    if options.resume {
        let kept = Results::read(&file).map_err(named(&file))?;
        if (kept.about.run_ms, &kept.about.machine) != (results.about.run_ms, &results.about.machine) {
            return Err(invalid(format!("{} has runs of another length, or of another machine", file.display())));
        }
        results = kept;
        results.about.rounds = plan.rounds;
    }
    eprintln!("contrast: about {} s", plan.estimate().as_secs());
    plan.carry_out(&mut results, |results| results.write(&file).map_err(named(&file)))?;
    if results.herd.is_empty() {
        results.herd = herd::all();
    }
    Ok(results)
}

/// Says which file an error is of.
fn named(file: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", file.display()))
}

/// How somebody else runs the same.
fn command() -> String {
    let mut command = "cargo run --release -p wakeline-benches --bin contrast --".to_owned();
    for argument in std::env::args().skip(1) {
        command.push(' ');
        command.push_str(&argument);
    }
    command
}

/// More than a cell takes that does not hang, beyond its runs.
const CELL_TIME_MAX: Duration = Duration::from_secs(30);

fn cell(model: &str, workloads: &str, milliseconds: u64, counts_calls: bool) -> io::Result<()> {
    let (model, workloads) = (Model::by_path(model)?, Sitting::workloads(workloads)?);
    if let Some(why) = workloads.iter().find_map(|workload| model.can_not(*workload)) {
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    let sitting = Sitting { workloads, time: Duration::from_millis(milliseconds), counts_calls };
    give_up_after((CELL_TIME_MAX + 3 * sitting.time) * sitting.workloads.len() as u32);
    cell::measure(model, &sitting, &mut |workload, figures| {
        figures.iter().for_each(|(name, value)| tell(&(Sitting::prefix(workload) + name), value));
    })?;
    // Threads that wait hold nothing that must be put in order.
    std::process::exit(0)
}

fn trace(model: &str) -> io::Result<()> {
    let records = cell::trace(Model::by_path(model)?)?;
    let records: Vec<_> = records.iter().filter(|record| &*record.host == "server").collect();
    let Some(first) = records.first() else { return Err(io::Error::other("there was no event")) };
    for record in records.iter().take_while(|record| record.at - first.at < ONE_MESSAGE_MAX) {
        println!("{:>8} ns  {}", (record.at - first.at).as_nanos(), record.event);
    }
    // Threads that wait hold nothing that must be put in order.
    std::process::exit(0)
}

/// Behind it comes the delayed acknowledgement.
const ONE_MESSAGE_MAX: Duration = Duration::from_millis(10);

fn serve(path: &str) -> io::Result<()> {
    let model = Model::by_path(path)?;
    let Serve::Os(serve) = model.serve else {
        return Err(invalid(format!("{path} is no server of the system's network")));
    };
    answer_parent(server::answer);
    serve(&mut |addr| println!("{addr}"))
}
