//! The echo's figures: wakeline beside its peers, interleaved in one run, with the ratios that are promised.
//!
//! Every measurement is a process of its own (this program again), and every round runs all contestants, in turned order.
//! `--help` tells how to run it; README.md beside the sources tells how to read it.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use wakeline_benches::child::{self, Figures, ServerProcess, call, give_up_after, tell};
use wakeline_benches::crowd::{self, Crowd};
use wakeline_benches::row::{Bound, Promise, Row};
use wakeline_benches::run::{Measured, Until};
use wakeline_benches::samples::Samples;
use wakeline_benches::servers::Server;
use wakeline_benches::{emulated_echo, load, os_echo, smoltcp_loop};

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

fn invalid(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text.into())
}

fn parse<T: std::str::FromStr>(text: &str, what: &str) -> io::Result<T> {
    text.parse().map_err(|_| invalid(format!("{text:?} is no {what}; see --help")))
}

/// What is to be measured, and how long.
struct Plan {
    questions: String,
    rounds: usize,
    /// Of one measurement.
    time: Duration,
}

impl Plan {
    fn parse(options: &[&str]) -> io::Result<Plan> {
        let mut plan = Plan { questions: "abcd".to_owned(), rounds: 7, time: Duration::from_millis(1000) };
        let mut options = options.iter();
        while let Some(&option) = options.next() {
            let mut value = || options.next().copied().ok_or_else(|| invalid(format!("{option} needs a value")));
            match option {
                "--quick" => (plan.rounds, plan.time) = (3, Duration::from_millis(150)),
                "--rounds" => plan.rounds = parse(value()?, "number of rounds")?,
                "--only" => plan.questions = value()?.replace(',', ""),
                other => return Err(invalid(format!("there is no option {other}; see --help"))),
            }
        }
        if plan.rounds == 0 {
            return Err(invalid("there must be at least one round"));
        }
        match plan.questions.chars().find(|question| !"abcd".contains(*question)) {
            Some(unknown) => Err(invalid(format!("there is no question {unknown}; see --help"))),
            None => Ok(plan),
        }
    }

    fn asks(&self, question: char) -> bool {
        self.questions.contains(question)
    }

    fn carry_out(&self) -> io::Result<()> {
        let mut rows = Vec::new();
        if self.asks('a') || self.asks('b') {
            rows.extend(self.one_connection()?);
        }
        if self.asks('c') {
            rows.extend(self.servers()?);
        }
        if self.asks('d') {
            rows.extend(self.crowds()?);
        }
        for row in &rows {
            println!("{}", row.to_text());
        }
        println!();
        for row in &rows {
            println!("{}", row.to_json());
        }
        Ok(())
    }

    /// Calls `measure` for each contestant in each round, beginning with another one each time.
    fn interleave<C: Copy>(
        &self,
        title: &str,
        rounds: usize,
        contestants: &[C],
        mut measure: impl FnMut(C) -> io::Result<Figures>,
    ) -> io::Result<Vec<Vec<Figures>>> {
        let mut figures = vec![Vec::new(); contestants.len()];
        for round in 0..rounds {
            eprintln!("{title}: round {} of {rounds}", round + 1);
            for turn in 0..contestants.len() {
                let at = (turn + round) % contestants.len();
                figures[at].push(measure(contestants[at])?);
            }
        }
        Ok(figures)
    }

    fn one_connection(&self) -> io::Result<Vec<Row>> {
        let contestants: Vec<OneConnection> =
            OneConnection::ALL.into_iter().filter(|c| c.needed_for().chars().any(|q| self.asks(q))).collect();
        let millis = format!("{}ms", self.time.as_millis());
        let figures = self.interleave("one connection", self.rounds, &contestants, |contestant| {
            call(&["once", contestant.name(), &millis])
        })?;
        let rates = figures.iter().map(|rounds| samples(rounds, "rate")).collect::<io::Result<Vec<_>>>()?;
        let rate_of = |wanted| contestants.iter().position(|&c| c == wanted).map(|at| &rates[at]);
        let mut rows = Vec::new();
        for (contestant, rate) in contestants.iter().zip(&rates) {
            let promise = |ratio_of: &str, ratio: Option<Samples>, bound| {
                ratio.map(|ratio| Promise { ratio_of: ratio_of.to_owned(), ratio, bound })
            };
            let promises = match contestant {
                OneConnection::EmulatedTasks if self.asks('a') => vec![
                    promise(
                        "this / threads on the kernel's loopback",
                        rate_of(OneConnection::OsThreads).map(|peer| rate.over(peer)),
                        Bound::AtLeast(5.0),
                    ),
                    promise(
                        "smoltcp's bare loop / this",
                        rate_of(OneConnection::Smoltcp).map(|peer| peer.over(rate)),
                        Bound::AtMost(3.0),
                    ),
                ],
                OneConnection::EmulatedTasksBesideIdle => vec![promise(
                    "without idle connections / this",
                    rate_of(OneConnection::EmulatedTasks).map(|alone| alone.over(rate)),
                    Bound::AtMost(1.5),
                )],
                _ => vec![],
            };
            rows.push(Row {
                question: if *contestant == OneConnection::EmulatedTasksBesideIdle { 'b' } else { 'a' },
                what: contestant.what().to_owned(),
                unit: "requests/s",
                samples: rate.clone(),
                more: vec![("ns_per_request", 1e9 / rate.median())],
                promises: promises.into_iter().flatten().collect(),
            });
        }
        Ok(rows)
    }

    fn servers(&self) -> io::Result<Vec<Row>> {
        let seconds = format!("{}", self.time.as_secs_f64());
        let figures =
            self.interleave("64 connections", self.rounds, &Server::ALL, |server| measure_server(server, &seconds))?;
        let rates = figures.iter().map(|rounds| samples(rounds, "rate")).collect::<io::Result<Vec<_>>>()?;
        let mut rows = Vec::new();
        for (at, server) in Server::ALL.into_iter().enumerate() {
            let mut more = Vec::new();
            for name in ["p50_us", "p99_us", "server_cpu_us"] {
                more.push((name, samples(&figures[at], name)?.median()));
            }
            let peer = match server {
                Server::Wakeline(workers) => Server::ALL.iter().position(|&peer| peer == Server::Tokio(workers)),
                _ => None,
            };
            let promise = |peer: usize| Promise {
                ratio_of: format!("this / {}", Server::ALL[peer].name()),
                ratio: rates[at].over(&rates[peer]),
                bound: Bound::AtLeast(0.9),
            };
            rows.push(Row {
                question: 'c',
                what: format!("OS network, 64 connections: {}", server.name()),
                unit: "requests/s",
                samples: rates[at].clone(),
                more,
                promises: peer.map(promise).into_iter().collect(),
            });
        }
        Ok(rows)
    }

    fn crowds(&self) -> io::Result<Vec<Row>> {
        // Memory varies little.
        let rounds = self.rounds.min(3);
        let crowds = [("tasks", "10000"), ("threads", "1000")];
        let figures = self.interleave("crowds", rounds, &crowds, |(who, count)| call(&["crowd", who, count]))?;
        let bytes = figures.iter().map(|rounds| samples(rounds, "bytes")).collect::<io::Result<Vec<_>>>()?;
        let mut rows = Vec::new();
        for (at, (who, count)) in crowds.into_iter().enumerate() {
            let mut more = Vec::new();
            for name in ["verified", "elapsed_ms", "resident", "page_tables", "kernel_stacks", "threads"] {
                more.push((name, samples(&figures[at], name)?.median()));
            }
            let promise = Promise {
                ratio_of: "by threads / by tasks".to_owned(),
                ratio: bytes[1].over(&bytes[0]),
                bound: Bound::AtLeast(20.0),
            };
            rows.push(Row {
                question: 'd',
                what: format!("{count} emulated connections, both ends, by {who}"),
                unit: "bytes/connection",
                samples: bytes[at].clone(),
                more,
                promises: if at == 0 { vec![promise] } else { vec![] },
            });
        }
        Ok(rows)
    }
}

fn samples(rounds: &[Figures], name: &str) -> io::Result<Samples> {
    rounds.iter().map(|figures| figures.get(name)).collect()
}

/// Who answers questions a and b.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OneConnection {
    EmulatedTasks,
    EmulatedTasksBesideIdle,
    EmulatedThreads,
    OsThreads,
    OsTasks,
    OsTokio,
    Smoltcp,
}

impl OneConnection {
    const ALL: [OneConnection; 7] = [
        OneConnection::EmulatedTasks,
        OneConnection::EmulatedThreads,
        OneConnection::Smoltcp,
        OneConnection::OsThreads,
        OneConnection::OsTasks,
        OneConnection::OsTokio,
        OneConnection::EmulatedTasksBesideIdle,
    ];

    fn name(self) -> &'static str {
        match self {
            OneConnection::EmulatedTasks => "emulated-tasks",
            OneConnection::EmulatedTasksBesideIdle => "emulated-tasks-beside-idle",
            OneConnection::EmulatedThreads => "emulated-threads",
            OneConnection::OsThreads => "os-threads",
            OneConnection::OsTasks => "os-tasks",
            OneConnection::OsTokio => "os-tokio",
            OneConnection::Smoltcp => "smoltcp",
        }
    }

    fn what(self) -> &'static str {
        match self {
            OneConnection::EmulatedTasks => "emulated network, tasks, one worker",
            OneConnection::EmulatedTasksBesideIdle => "the same beside 10,000 idle connections",
            OneConnection::EmulatedThreads => "emulated network, threads",
            OneConnection::OsThreads => "kernel's loopback, threads",
            OneConnection::OsTasks => "kernel's loopback, wakeline's tasks, one worker",
            OneConnection::OsTokio => "kernel's loopback, tokio, one worker",
            OneConnection::Smoltcp => "smoltcp's bare loop",
        }
    }

    fn needed_for(self) -> &'static str {
        match self {
            OneConnection::EmulatedTasks => "ab",
            OneConnection::EmulatedTasksBesideIdle => "b",
            _ => "a",
        }
    }

    fn measure(self, until: Until) -> io::Result<Measured> {
        match self {
            OneConnection::EmulatedTasks => emulated_echo::tasks(until, 0),
            OneConnection::EmulatedTasksBesideIdle => emulated_echo::tasks(until, IDLE_CONNECTIONS),
            OneConnection::EmulatedThreads => emulated_echo::threads(until),
            OneConnection::OsThreads => os_echo::threads(until),
            OneConnection::OsTasks => os_echo::wakeline(until),
            OneConnection::OsTokio => os_echo::tokio(until),
            OneConnection::Smoltcp => smoltcp_loop::measure(until),
        }
    }
}

const IDLE_CONNECTIONS: usize = 10_000;

/// More than any measurement takes on a machine that can be used at all.
const CHILD_TIME_MAX: Duration = Duration::from_secs(120);

/// `amount` is a number of requests, or milliseconds with `ms` behind.
fn once(name: &str, amount: &str) -> io::Result<()> {
    let contestant = OneConnection::ALL.into_iter().find(|contestant| contestant.name() == name);
    let contestant = contestant.ok_or_else(|| invalid(format!("there is no contestant {name}; see --help")))?;
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

fn measure_server(server: Server, seconds: &str) -> io::Result<Figures> {
    let process = ServerProcess::start(&["serve", server.name()])?;
    let before = process.cpu_time()?;
    let mut figures = call(&["load", process.addr(), "64", seconds])?;
    let used = process.cpu_time()?.saturating_sub(before);
    figures.set("server_cpu_us", used.as_secs_f64() * 1e6 / figures.get("requests_with_warm_up")?);
    Ok(figures)
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
    tell_crowd(&crowd);
    // The waiting threads hold nothing that must be put in order.
    std::process::exit(0)
}

fn tell_crowd(crowd: &Crowd) {
    let each = |after: u64, before: u64| after.saturating_sub(before) as f64 / crowd.connections as f64;
    tell("bytes", crowd.bytes_per_connection());
    tell("verified", crowd.verified as f64);
    tell("elapsed_ms", crowd.elapsed.as_secs_f64() * 1e3);
    tell("resident", each(crowd.after.resident, crowd.before.resident));
    tell("page_tables", each(crowd.after.page_tables, crowd.before.page_tables));
    tell("kernel_stacks", each(crowd.after.kernel_stacks, crowd.before.kernel_stacks));
    tell("threads", crowd.after.threads as f64);
}
