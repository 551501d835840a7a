//! What a run measures, and which rows come of it.

use crate::one_connection::OneConnection;
use std::io;
use std::time::Duration;
use wakeline_benches::child::{Figures, call};
use wakeline_benches::command_line::{TableOptions, invalid};
use wakeline_benches::row::{Bound, Promise, Row};
use wakeline_benches::samples::Samples;

/// What is to be measured, and how long.
pub(crate) struct Plan {
    questions: String,
    rounds: usize,
    /// Of one measurement.
    time: Duration,
}

/// What answers one question or two.
type Answer = fn(&Plan) -> io::Result<Vec<Row>>;

/// What is asked.
pub(crate) const QUESTIONS: [(char, &str); 3] = [
    (
        'a',
        "one emulated connection, 64 B, one worker: against threads on the kernel's loopback, and smoltcp's bare loop",
    ),
    ('b', "the same beside 10,000 idle connections"),
    ('c', "10,000 emulated connections at once: every answer checked; memory of one, by tasks and by threads"),
];

impl Plan {
    pub(crate) fn new(options: &TableOptions) -> io::Result<Plan> {
        let letters = || QUESTIONS.iter().map(|(letter, _)| *letter);
        if let Some(unknown) = options.only.iter().find(|name| !letters().any(|letter| letter.to_string() == **name)) {
            return Err(invalid(format!("there is no question {unknown}; see --list")));
        }
        Ok(Plan {
            questions: letters().filter(|letter| options.wants(&letter.to_string())).collect(),
            rounds: options.rounds(7),
            time: Duration::from_millis(if options.quick { 150 } else { 1000 }),
        })
    }

    fn asks(&self, question: char) -> bool {
        self.questions.contains(question)
    }

    /// Measures, and prints the rows as each question is answered. A question that can not be answered does not keep the others
    /// from being asked.
    pub(crate) fn carry_out(&self, options: &TableOptions) -> io::Result<()> {
        let questions: [(&str, Answer); 2] = [("ab", Plan::one_connection), ("c", Plan::crowds)];
        let mut rows = Vec::new();
        let mut result = Ok(());
        for (questions, answer) in questions {
            if !questions.chars().any(|question| self.asks(question)) {
                continue;
            }
            match answer(self) {
                Ok(answered) => {
                    answered.iter().for_each(|row| println!("{}", row.to_text()));
                    rows.extend(answered);
                }
                Err(error) => {
                    eprintln!("echo_numbers: question {questions}: {error}");
                    result = Err(io::Error::other("not every question could be answered"));
                }
            }
        }
        options.conclude(&rows)?;
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
                question: 'c',
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

fn samples(rounds: &[Figures], name: &str) -> io::Result<Samples> {
    rounds.iter().map(|figures| figures.get(name)).collect()
}
