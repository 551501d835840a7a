//! What a run measures, and which rows come of it.

use crate::args::{invalid, parse};
use crate::one_connection::OneConnection;
use std::io;
use std::time::Duration;
use wakeline_benches::child::{Figures, ServerProcess, call};
use wakeline_benches::row::{Bound, Promise, Row};
use wakeline_benches::samples::Samples;
use wakeline_benches::servers::Server;

/// What is to be measured, and how long.
pub(crate) struct Plan {
    questions: String,
    rounds: usize,
    /// Of one measurement.
    time: Duration,
}

/// What answers one question or two.
type Answer = fn(&Plan) -> io::Result<Vec<Row>>;

impl Plan {
    /// Reads the options.
    pub(crate) fn parse(options: &[&str]) -> io::Result<Plan> {
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

    /// Measures, and prints the rows: for people as each question is answered, for programs at the end. A question that can
    /// not be answered does not keep the others from being asked.
    pub(crate) fn carry_out(&self) -> io::Result<()> {
        let questions: [(&str, Answer); 3] = [("ab", Plan::one_connection), ("c", Plan::servers), ("d", Plan::crowds)];
        let mut json = Vec::new();
        let mut result = Ok(());
        for (questions, answer) in questions {
            if !questions.chars().any(|question| self.asks(question)) {
                continue;
            }
            match answer(self) {
                Ok(rows) => {
                    rows.iter().for_each(|row| println!("{}", row.to_text()));
                    json.extend(rows.iter().map(Row::to_json));
                }
                Err(error) => {
                    eprintln!("echo_numbers: question {questions}: {error}");
                    result = Err(io::Error::other("not every question could be answered"));
                }
            }
        }
        println!();
        json.iter().for_each(|object| println!("{object}"));
        result
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
        let time = format!("{}ms", self.time.as_millis());
        let figures = self.interleave("one connection", self.rounds, &contestants, |contestant| {
            call(&["once", contestant.name(), &time])
        })?;
        let rates = figures.iter().map(|rounds| samples(rounds, "rate")).collect::<io::Result<Vec<_>>>()?;
        let rate_of = |wanted| contestants.iter().position(|&c| c == wanted).map(|at| &rates[at]);
        let row = |(contestant, rate): (&OneConnection, &Samples)| Row {
            question: contestant.question(),
            what: contestant.what().to_owned(),
            unit: "requests/s",
            samples: rate.clone(),
            more: vec![("ns_per_request", 1e9 / rate.median())],
            promises: promises_of(*contestant, rate, rate_of),
        };
        Ok(contestants.iter().zip(&rates).map(row).collect())
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
            for name in ["verified", "elapsed_ms", "drops", "resident", "page_tables", "kernel_stacks", "threads"] {
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

/// What question a and b promise of `contestant`, as far as those it is compared with were measured.
fn promises_of<'a>(
    contestant: OneConnection,
    rate: &Samples,
    rate_of: impl Fn(OneConnection) -> Option<&'a Samples>,
) -> Vec<Promise> {
    let slower_than = |peer, ratio_of: &str, bound| {
        Some(Promise { ratio_of: ratio_of.to_owned(), ratio: rate_of(peer)?.over(rate), bound: Bound::AtMost(bound) })
    };
    let faster_than = |peer, ratio_of: &str, bound| {
        Some(Promise { ratio_of: ratio_of.to_owned(), ratio: rate.over(rate_of(peer)?), bound: Bound::AtLeast(bound) })
    };
    let promises = match contestant {
        OneConnection::EmulatedTasks => vec![
            faster_than(OneConnection::OsThreads, "this / threads on the kernel's loopback", 5.0),
            slower_than(OneConnection::Smoltcp, "smoltcp's bare loop / this", 3.0),
        ],
        OneConnection::EmulatedTasksBesideIdle => {
            vec![slower_than(OneConnection::EmulatedTasks, "without idle connections / this", 1.5)]
        }
        _ => vec![],
    };
    promises.into_iter().flatten().collect()
}

fn measure_server(server: Server, seconds: &str) -> io::Result<Figures> {
    let process = ServerProcess::start(&["serve", server.name()])?;
    let before = process.cpu_time()?;
    let mut figures = call(&["load", process.addr(), "64", seconds])?;
    let used = process.cpu_time()?.saturating_sub(before);
    figures.set("server_cpu_us", used.as_secs_f64() * 1e6 / figures.get("requests_with_warm_up")?);
    Ok(figures)
}

fn samples(rounds: &[Figures], name: &str) -> io::Result<Samples> {
    rounds.iter().map(|figures| figures.get(name)).collect()
}
