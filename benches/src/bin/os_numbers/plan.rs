//! What is measured in which order, and which rows come of it.

use crate::part::{Part, Promised};
use crate::who::{Runtime, Who};
use crate::{idle, tools};
use std::io;
use std::time::Duration;
use wakeline_benches::child::{Figures, ServerProcess, call};
use wakeline_benches::row::{Bound, Promise, Row};
use wakeline_benches::samples::Samples;

/// What is to be measured, and how long.
pub(crate) struct Plan {
    pub(crate) parts: Vec<Part>,
    pub(crate) servers: Vec<Who>,
    pub(crate) rounds: usize,
    /// Of one measurement.
    pub(crate) time: Duration,
}

/// One server's figures, a set a round; nothing when it has failed.
type Rounds = Option<Vec<Figures>>;

impl Plan {
    /// Measures part after part, and tells the rows of each; gives all of them, and how many servers have failed. Who has failed
    /// is not asked again.
    pub(crate) fn carry_out(&self, tell: impl Fn(&[Row])) -> (Vec<Row>, usize) {
        let (mut all, mut failed) = (Vec::new(), 0);
        for &part in &self.parts {
            let servers: Vec<Who> = self.servers.iter().copied().filter(|&who| part.is_for(who)).collect();
            let results = self.measure(part, &servers);
            failed += results.iter().filter(|rounds| rounds.is_none()).count();
            let rows = rows(part, &servers, &results);
            tell(&rows);
            all.extend(rows);
        }
        (all, failed)
    }

    fn measure(&self, part: Part, servers: &[Who]) -> Vec<Rounds> {
        let mut results: Vec<Rounds> = vec![Some(vec![]); servers.len()];
        for round in 0..self.rounds {
            eprintln!("{}: round {} of {}", part.what(), round + 1, self.rounds);
            for turn in 0..servers.len() {
                let at = (turn + round) % servers.len();
                let Some(so_far) = &mut results[at] else { continue };
                match self.ask(part, servers[at]) {
                    Ok(figures) => so_far.push(figures),
                    Err(error) => {
                        eprintln!("os_numbers: {}: {}: {error}", part.what(), servers[at].name());
                        results[at] = None;
                    }
                }
            }
        }
        results
    }

    fn ask(&self, part: Part, who: Who) -> io::Result<Figures> {
        let mut server = ServerProcess::start(&["serve", part.service().name(), &who.name()])?;
        let seconds = self.time.as_secs_f64().to_string();
        let before = server.cpu_time()?;
        let mut figures = match part {
            Part::Echo(connections) => call(&["load", server.addr(), &connections.to_string(), &seconds])?,
            Part::Short => call(&["short", server.addr(), &seconds])?,
            Part::Idle => return idle::bytes_each(&mut server),
            Part::Http(connections) => tools::wrk(server.addr(), connections)?,
            Part::KeyValue(pipeline) => tools::redis_benchmark(server.addr(), pipeline, self.time)?,
        };
        let used = server.cpu_time()?.saturating_sub(before);
        figures.set("server_cpu_us", used.as_secs_f64() * 1e6 / figures.get("requests_in_all")?);
        Ok(figures)
    }
}

fn rows(part: Part, servers: &[Who], results: &[Rounds]) -> Vec<Row> {
    let of = |who: Who, figure: &str| {
        let at = servers.iter().position(|&other| other == who)?;
        results[at].as_ref()?.iter().map(|figures| figures.get(figure).ok()).collect::<Option<Samples>>()
    };
    servers.iter().filter_map(|&who| row(part, who, &of)).collect()
}

fn row(part: Part, who: Who, of: &dyn Fn(Who, &str) -> Option<Samples>) -> Option<Row> {
    let (figure, unit) = part.figure();
    let promised = match who.runtime {
        Runtime::Wakeline => part.promises(who.workers),
        Runtime::WakelineRing => part.promises_of_ring(who.workers),
        _ => vec![],
    };
    let more = |&name: &&'static str| Some((name, of(who, name)?.median()));
    Some(Row {
        question: part.letter(),
        what: format!("{}: {}", part.what(), who.what()),
        unit,
        samples: of(who, figure)?,
        more: part.more().iter().filter_map(more).collect(),
        promises: promised.into_iter().filter_map(|promised| promise(promised, who, of)).collect(),
    })
}

/// `None` when whom it is compared with was not measured.
fn promise(promised: Promised, who: Who, of: &dyn Fn(Who, &str) -> Option<Samples>) -> Option<Promise> {
    let against = |figure: &str, other: Runtime| Some(of(who, figure)?.over(&of(other.with(who.workers), figure)?));
    let named = |figure: &str, other: Runtime| format!("{figure} / {}", other.with(who.workers).name());
    Some(match promised {
        Promised::AtLeast(figure, bound, other) => {
            Promise { ratio_of: named(figure, other), ratio: against(figure, other)?, bound: Bound::AtLeast(bound) }
        }
        Promised::AtMost(figure, bound, other) => {
            Promise { ratio_of: named(figure, other), ratio: against(figure, other)?, bound: Bound::AtMost(bound) }
        }
        Promised::NoMoreThanTheBetter(figure) => Promise {
            ratio_of: format!("{figure} / the better's"),
            ratio: against(figure, Runtime::Tokio)?.larger(&against(figure, Runtime::Epoll)?),
            bound: Bound::AtMost(1.0),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_compared_with_servers_of_as_many_workers() {
        let part = Part::Echo(1024);
        let figures = |rate: f64, p99: f64, cpu: f64| {
            let figures = [("rate", rate), ("p50_us", 1.0), ("p99_us", p99), ("server_cpu_us", cpu)];
            Some(vec![figures.iter().map(|&(name, value)| (name.to_owned(), value)).collect::<Figures>()])
        };
        let servers =
            [Runtime::Wakeline.with(2), Runtime::Tokio.with(2), Runtime::Tokio.with(1), Runtime::Epoll.with(2)];
        let results =
            [figures(8.0, 2.0, 3.0), figures(4.0, 8.0, 3.0), figures(100.0, 1.0, 1.0), figures(10.0, 1.0, 2.0)];
        let rows = rows(part, &servers, &results);
        let verdicts: Vec<_> = rows[0].promises.iter().map(|p| (p.ratio.median(), p.kept())).collect();
        assert_eq!(verdicts, [(2.0, true), (0.8, false), (1.5, false), (0.25, true)]);
        assert!(rows[1..].iter().all(|row| row.promises.is_empty()));
        assert!(rows[0].to_text().contains("rate / tokio-mt2"), "{}", rows[0].to_text());
        // Who has failed has no row, and nobody is compared with it.
        let rows = super::rows(part, &servers[..2], &[figures(8.0, 2.0, 3.0), None]);
        assert_eq!((rows.len(), rows[0].promises.len()), (1, 0));
    }
}
