//! The figures of the operating system's network: wakeline's servers beside tokio's, smol's and a bare epoll loop.
//!
//! ```sh
//! cargo run --release -p wakeline-benches --bin os_numbers -- --markdown table.md
//! ```
//!
//! # Method
//! - Each server is a process of its own, and so is the load, which is the same for every server: a bare epoll loop, `wrk`, or
//!   `redis-benchmark`. Both stand on the same machine.
//! - All servers of a part do the same work with as many workers, read into buffers of the same size, and set `TCP_NODELAY`.
//!   The loads of this program compare every byte of every answer.
//! - A bare epoll loop has a thread for each worker and one that accepts, for all of its life, and deals the connections out in
//!   turn. A bare io_uring loop has multishot accepts and receives, a ring of buffers, and one system call a turn; where the kernel
//!   refuses it, it counts as failed.
//! - Rounds are interleaved: each asks everybody, beginning with another one each time. A figure is the median over the rounds.
//!   A ratio is taken within each round, and its median is shown. `spread` is the distance between the largest and the smallest,
//!   as a part of the median; `NOISY` stands behind more than 30 %.
//! - `server_cpu_us` is processor time of the server's process for each request, the kernel's work included.
//! - Memory is resident memory of the server with idle connections that have been used once, less that without, for each; the
//!   kernel's part of a socket is not in it.
//!
//! # Limits
//! The load takes processors, too: with two of them a server with two workers shares one with it.

mod idle;
mod part;
mod plan;
#[path = "../../../../examples/key_value/resp.rs"]
mod resp;
mod servers;
mod short;
#[path = "../../../../examples/key_value/store.rs"]
mod store;
mod tools;
mod who;

use clap::{Args, Parser, Subcommand};
use part::Part;
use plan::Plan;
use servers::Service;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use wakeline_benches::child::{answer_parent, give_up_after, tell};
use wakeline_benches::command_line::{TableOptions, exit_code, invalid};
use wakeline_benches::load;
use who::Who;

/// The figures of the operating system's network: wakeline, tokio, smol and a bare epoll loop, interleaved in one run
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    step: Option<Step>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Args)]
struct Options {
    #[command(flatten)]
    table: TableOptions,
    /// Only these servers, by name
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    who: Vec<String>,
}

/// What a round is made of, for a profiler
#[derive(Debug, Subcommand)]
enum Step {
    /// Serves until its input ends: `echo`, `hello` or `key-value`
    Serve { service: String, server: String },
    /// Asks an echo server through so many connections
    Load { addr: SocketAddr, connections: usize, seconds: f64 },
    /// Connects to an echo server, asks once and closes, again and again
    Short { addr: SocketAddr, seconds: f64 },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.step {
        None if arguments.options.table.list => {
            list();
            Ok(())
        }
        None => run(&arguments.options),
        Some(Step::Serve { service, server }) => serve(&service, &server),
        Some(Step::Load { addr, connections, seconds }) => put_load(addr, connections, seconds),
        Some(Step::Short { addr, seconds }) => put_short_load(addr, seconds),
    };
    exit_code("os_numbers", result)
}

fn list() {
    Part::ALL.iter().for_each(|part| println!("{}  {}", part.letter(), part.what()));
    Who::all().iter().for_each(|who| println!("{:<14} {}", who.name(), who.what()));
}

fn run(options: &Options) -> io::Result<()> {
    let Options { table, who } = options;
    if let Some(unknown) =
        table.only.iter().find(|name| !Part::ALL.iter().any(|part| part.letter().to_string() == **name))
    {
        return Err(invalid(format!("there is no part {unknown}; see --list")));
    }
    let servers = who.iter().map(|name| Who::by_name(name)).collect::<io::Result<Vec<_>>>()?;
    let plan = Plan {
        parts: Part::ALL.into_iter().filter(|part| table.wants(&part.letter().to_string())).collect(),
        servers: if servers.is_empty() { Who::all() } else { servers },
        rounds: table.rounds(5),
        time: Duration::from_millis(if table.quick { 100 } else { 500 }),
    };
    let (rows, failed) = plan.carry_out(|rows| rows.iter().for_each(|row| println!("{}", row.to_text())));
    table.conclude(&rows)?;
    match failed {
        0 => Ok(()),
        failed => Err(io::Error::other(format!("{failed} servers have failed"))),
    }
}

/// More than any measurement takes on a machine that can be used at all.
const CHILD_TIME_MAX: Duration = Duration::from_secs(60);

fn serve(service: &str, server: &str) -> io::Result<()> {
    let (service, who) = (Service::by_name(service)?, Who::by_name(server)?);
    answer_parent(idle::resident);
    servers::serve(service, who, |addr| println!("{addr}"))
}

fn put_load(addr: SocketAddr, connections: usize, seconds: f64) -> io::Result<()> {
    give_up_after(CHILD_TIME_MAX);
    let load = load::run(addr, connections, seconds_of(seconds)?)?;
    tell("rate", load.requests as f64 / load.elapsed.as_secs_f64());
    tell("requests_in_all", load.requests_with_warm_up as f64);
    tell("p50_us", load.latency_ns.value_at_quantile(0.50) as f64 / 1e3);
    tell("p99_us", load.latency_ns.value_at_quantile(0.99) as f64 / 1e3);
    Ok(())
}

fn put_short_load(addr: SocketAddr, seconds: f64) -> io::Result<()> {
    give_up_after(CHILD_TIME_MAX);
    let measured = short::run(addr, seconds_of(seconds)?)?;
    tell("rate", measured.requests as f64 / measured.elapsed.as_secs_f64());
    tell("requests_in_all", measured.requests as f64);
    Ok(())
}

fn seconds_of(seconds: f64) -> io::Result<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|error| invalid(error.to_string()))
}
