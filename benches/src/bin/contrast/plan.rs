//! What is measured in which order, with what it will take.

use crate::cell::Sitting;
use crate::machine;
use crate::model::{Model, Network};
use crate::results::{About, Line, Results};
use crate::syscalls;
use crate::workload::{Pattern, Workload};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};
use wakeline_benches::child::{Figures, call_and_keep};

/// What is to be measured, and how long.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) models: Vec<&'static Model>,
    pub(crate) workloads: Vec<Workload>,
    pub(crate) rounds: usize,
    /// Of one run of one cell.
    pub(crate) time: Duration,
    /// After this no sitting begins any more.
    pub(crate) limit: Duration,
}

use Pattern::{Connect, FanOut, Idle, Pipelined, Request};

/// The matrix is a star: from the headline in its middle, connections at its size, sizes at its connections, and the other
/// patterns at 64 and 512 connections; the idle one at 10,000, too, for it is about them; short connections at 64 alone, for more
/// at once overflow the backlog that a runtime's listener has by itself, and the time is that of SYNs sent again.
pub(crate) const FULL: &[Workload] = &[
    Workload::new(Request, 1, 64),
    Workload::new(Request, 8, 64),
    Workload::new(Request, 64, 64),
    Workload::new(Request, 512, 64),
    Workload::new(Request, 4096, 64),
    Workload::new(Request, 10_000, 64),
    Workload::new(Request, 64, 1 << 10),
    Workload::new(Request, 64, 16 << 10),
    Workload::new(Pipelined, 64, 64),
    Workload::new(Pipelined, 512, 64),
    Workload::new(Idle, 64, 64),
    Workload::new(Idle, 512, 64),
    Workload::new(Idle, 10_000, 64),
    Workload::new(FanOut, 64, 64),
    Workload::new(FanOut, 512, 64),
    Workload::new(Connect, 64, 64),
];

pub(crate) const QUICK: &[Workload] = &[
    Workload::new(Request, 1, 64),
    Workload::new(Request, 64, 64),
    Workload::new(Request, 512, 64),
    Workload::new(Request, 64, 16 << 10),
    Workload::new(Idle, 512, 64),
    Workload::new(FanOut, 512, 64),
];

/// Those that share a server and its connections, in order: what may leave large buffers behind comes last.
fn shared(workloads: &[Workload]) -> Vec<Vec<Workload>> {
    let mut sorted = workloads.to_vec();
    sorted.sort_by_key(|w| (w.connections, w.pattern == Connect, w.size, w.pattern));
    sorted.dedup();
    sorted.chunk_by(|one, other| one.shares_with(*other)).map(<[Workload]>::to_vec).collect()
}

impl Plan {
    /// Measures what `results` has not yet: in each round every sitting with all models, beginning with another one each
    /// time. A cell that has failed is not tried again. `save` is called every ten seconds.
    pub(crate) fn carry_out(
        &self,
        results: &mut Results,
        mut save: impl FnMut(&Results) -> io::Result<()>,
    ) -> io::Result<()> {
        let (began, before) = (Instant::now(), results.about.elapsed_s);
        let (bar, mut saved) = (self.progress(), Instant::now());
        for round in 0..self.rounds {
            for (number, workloads) in shared(&self.workloads).iter().enumerate() {
                for turn in 0..self.models.len() {
                    if began.elapsed() > self.limit {
                        bar.suspend(|| {
                            eprintln!("contrast: the time is over, in round {} of {}", round + 1, self.rounds)
                        });
                        return Ok(());
                    }
                    let model = self.models[(turn + round + number) % self.models.len()];
                    bar.set_message(format!("{}, {} connections", model.path(), workloads[0].connections));
                    self.sit(round, model, workloads, results, &bar);
                    bar.inc(self.estimate_of(model, workloads).as_millis() as u64);
                    results.about.elapsed_s = before + began.elapsed().as_secs();
                    if saved.elapsed() > SAVE_EVERY {
                        save(results)?;
                        saved = Instant::now();
                    }
                }
                if bar.is_hidden() {
                    let (now, all) = (began.elapsed().as_secs(), self.estimate().as_secs());
                    eprintln!("contrast: round {} of {}, {now} s of about {all} s", round + 1, self.rounds);
                }
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// One model under workloads that share its connections. When one of them fails, those behind it get another sitting.
    fn sit(&self, round: usize, model: &Model, workloads: &[Workload], results: &mut Results, bar: &ProgressBar) {
        let line = |workload: &Workload| Line {
            round,
            model: model.path(),
            workload: workload.to_string(),
            failed: None,
            figures: BTreeMap::new(),
        };
        let mut left = Vec::new();
        for workload in workloads {
            match model.can_not(*workload) {
                _ if results.is_done(round, model, *workload) => {}
                None => left.push(*workload),
                failed => results.lines.push(Line { failed, ..line(workload) }),
            }
        }
        while !left.is_empty() {
            let sitting = Sitting { workloads: left, time: self.time, counts_calls: round == 0 };
            let (told, failed) = call_and_keep(&sitting.command(model))
                .unwrap_or_else(|error| (Figures::default(), Some(error.to_string())));
            if let Some(why) = &failed {
                bar.suspend(|| {
                    eprintln!("contrast: {}, {} connections: {why}", model.path(), workloads[0].connections)
                });
            }
            // The first that has no figures is the one that has failed.
            let mut failed = Some(failed.unwrap_or_else(|| "it has told nothing".to_owned()));
            left = Vec::new();
            for workload in &sitting.workloads {
                let figures = told.below(&Sitting::prefix(*workload));
                if figures.is_empty() && failed.is_none() {
                    left.push(*workload);
                } else if figures.is_empty() {
                    results.lines.push(Line { failed: failed.take(), ..line(workload) });
                } else {
                    let figures = figures.iter().map(|(name, value)| (name.to_owned(), value)).collect();
                    results.lines.push(Line { figures, ..line(workload) });
                }
            }
        }
    }

    /// What everything will take, about, on a machine that does nothing else.
    pub(crate) fn estimate(&self) -> Duration {
        let sittings = shared(&self.workloads);
        let all = sittings.iter().flat_map(|workloads| self.models.iter().map(move |model| (model, workloads)));
        all.map(|(model, workloads)| self.estimate_of(model, workloads)).sum::<Duration>() * self.rounds as u32
    }

    fn estimate_of(&self, model: &Model, workloads: &[Workload]) -> Duration {
        let possible: Vec<_> = workloads.iter().filter(|workload| model.can_not(**workload).is_none()).collect();
        let Some(first) = possible.first() else { return Duration::ZERO };
        let connect = if first.pattern == Connect { 0 } else { first.connections as u32 };
        let calls = if model.network() == Network::Os { CALLS / self.rounds as u32 } else { Duration::ZERO };
        let runs = |workload: &&Workload| if workload.rate().is_some() { 2.2 } else { 1.2 };
        let runs: f64 = possible.iter().map(runs).sum();
        START + PER_CONNECTION * connect + calls + self.time.mul_f64(runs)
    }

    fn progress(&self) -> ProgressBar {
        let all = self.estimate().as_millis() as u64;
        let bar = ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::stderr_with_hz(4));
        let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {eta} left  {msg:<40}");
        bar.set_style(style.expect("the template is well formed"));
        bar
    }

    /// An empty result.
    pub(crate) fn begin(&self, command: String) -> Results {
        let about = About {
            date: machine::date(),
            machine: machine::describe(),
            command,
            rounds: self.rounds,
            run_ms: self.time.as_millis() as u64,
            elapsed_s: 0,
            no_syscalls: syscalls::why_not(),
        };
        Results { about, ..Results::default() }
    }
}

/// Not behind each: a large file would be written while others are measured.
const SAVE_EVERY: Duration = Duration::from_secs(10);

/// Two processes that start, and end.
const START: Duration = Duration::from_millis(60);
/// To open one, to use it once or twice, and to close it.
const PER_CONNECTION: Duration = Duration::from_micros(120);
/// To set up the counting of system calls.
const CALLS: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_share_their_connections_and_short_ones_have_none() {
        let sittings = shared(FULL);
        assert_eq!(sittings.iter().map(Vec::len).sum::<usize>(), FULL.len());
        let of = |connections| sittings.iter().filter(move |w| w[0].connections == connections).map(Vec::as_slice);
        assert_eq!(
            of(10_000).collect::<Vec<_>>(),
            [[Workload::new(Request, 10_000, 64), Workload::new(Idle, 10_000, 64)]]
        );
        let of_64: Vec<_> = of(64).collect();
        assert_eq!((of_64.len(), of_64[0][0]), (2, Workload::new(Request, 64, 64)));
        assert_eq!(of_64[0].last(), Some(&Workload::new(Request, 64, 16 << 10)));
        assert_eq!(of_64[1], [Workload::new(Connect, 64, 64)]);
    }
}
