//! The echo's figures: wakeline beside its peers, interleaved in one run, with the ratios that are promised.
//!
//! Every measurement is a process of its own (this program again), and every round runs all contestants, in turned order.
//! `--help` tells how to run it; README.md beside the sources tells how to read it.

mod args;
mod one_connection;
mod plan;

use args::{invalid, parse};
use one_connection::OneConnection;
use plan::Plan;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use wakeline_benches::child::{self, give_up_after, tell};
use wakeline_benches::crowd::{self, Crowd, REQUESTS_EACH};
use wakeline_benches::load;
use wakeline_benches::run::Until;
use wakeline_benches::servers::Server;

const HELP: &str = "\
usage: echo_numbers [--quick] [--rounds N] [--only a,b,c,d]
       echo_numbers once CONTESTANT REQUESTS
       echo_numbers serve SERVER
       echo_numbers load ADDR CONNECTIONS SECONDS
       echo_numbers crowd tasks|threads CONNECTIONS

Questions, all answered unless --only chooses:
  a  one emulated connection, 64 B, one worker: against threads on the kernel's loopback, and smoltcp's bare loop
  b  the same beside 10,000 idle connections
  c  the OS's network, 64 connections, 64 B, load from another process: against tokio, 1 and 2 workers
  d  10,000 emulated connections at once: every answer checked; memory of one, by tasks and by threads

  --quick     3 short rounds, to see that it works; do not quote them
  --rounds N  how many rounds (7)

The other forms are what a round runs, for a profiler:
  once    one contestant of a or b:
          emulated-tasks, emulated-tasks-beside-idle, emulated-threads,
          os-threads, os-tasks, os-tokio, smoltcp
  serve   one server of c until its input ends: wakeline-ct, wakeline-mt2, tokio-ct, tokio-mt2, epoll
  load    the load of c
  crowd   one crowd of d
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["--help" | "-h"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        ["once", name, amount] => once(name, amount),
        ["serve", name] => serve(name),
        ["load", addr, connections, seconds] => put_load(addr, connections, seconds),
        ["crowd", who, connections] => one_crowd(who, connections),
        options => Plan::parse(options).and_then(|plan| plan.carry_out()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_numbers: {error}");
            ExitCode::from(if error.kind() == io::ErrorKind::InvalidInput { 2 } else { 1 })
        }
    }
}

/// More than any measurement takes on a machine that can be used at all.
const CHILD_TIME_MAX: Duration = Duration::from_secs(120);

/// `amount` is a number of requests, or milliseconds with `ms` behind.
fn once(name: &str, amount: &str) -> io::Result<()> {
    let contestant =
        OneConnection::by_name(name).ok_or_else(|| invalid(format!("there is no contestant {name}; see --help")))?;
    let until = match amount.strip_suffix("ms") {
        Some(millis) => Until::Elapsed(Duration::from_millis(parse(millis, "time")?)),
        None => Until::Requests(parse(amount, "number of requests")?),
    };
    if matches!(until, Until::Elapsed(_)) {
        give_up_after(CHILD_TIME_MAX);
    }
    let measured = contestant.measure(until)?;
    tell("rate", measured.rate());
    Ok(())
}

fn serve(name: &str) -> io::Result<()> {
    let server = Server::by_name(name).ok_or_else(|| invalid(format!("there is no server {name}; see --help")))?;
    child::end_with_parent();
    server.serve(|addr| println!("{addr}"))
}

fn put_load(addr: &str, connections: &str, seconds: &str) -> io::Result<()> {
    give_up_after(CHILD_TIME_MAX);
    let addr: SocketAddr = parse(addr, "address")?;
    let time = Duration::try_from_secs_f64(parse(seconds, "time")?).map_err(|error| invalid(error.to_string()))?;
    let load = load::run(addr, parse(connections, "number of connections")?, time)?;
    tell("rate", load.requests as f64 / load.elapsed.as_secs_f64());
    tell("requests_with_warm_up", load.requests_with_warm_up as f64);
    tell("p50_us", load.latency_ns.value_at_quantile(0.50) as f64 / 1e3);
    tell("p99_us", load.latency_ns.value_at_quantile(0.99) as f64 / 1e3);
    Ok(())
}

fn one_crowd(who: &str, connections: &str) -> io::Result<()> {
    give_up_after(CHILD_TIME_MAX);
    let connections = parse(connections, "number of connections")?;
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
