//! What is measured in which order, with what it will take.

use crate::machine;
use crate::model::Model;
use crate::results::{About, Line, Results};
use crate::workload::{Pattern, Workload};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};
use wakeline_benches::child::call_and_ask_why;

/// What is to be measured, and how long.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) models: Vec<&'static Model>,
    pub(crate) workloads: Vec<Workload>,
    pub(crate) rounds: usize,
    /// Of one run of one cell.
    pub(crate) time: Duration,
}

use Pattern::{Connect, FanOut, Idle, Pipelined, Request};

/// The matrix: connections at one size, sizes at one number of connections, patterns where they tell something.
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
    Workload::new(Idle, 512, 64),
    Workload::new(Idle, 10_000, 64),
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

impl Plan {
    /// Measures: in each round every workload, in each all models, beginning with another one each time. A cell that has
    /// failed is not tried again.
    pub(crate) fn carry_out(&self, command: String) -> Results {
        let began = Instant::now();
        let mut results = Results { about: self.about(command), ..Results::default() };
        let mut failed = BTreeSet::new();
        let bar = self.progress();
        for round in 0..self.rounds {
            for (number, &workload) in self.workloads.iter().enumerate() {
                for turn in 0..self.models.len() {
                    let model = self.models[(turn + round + number) % self.models.len()];
                    if !failed.contains(&(model.path(), workload)) {
                        bar.set_message(format!("{} {workload}", model.path()));
                        let figures = self.measure(model, workload);
                        if let Err(error) = &figures {
                            failed.insert((model.path(), workload));
                            if model.can_not(workload).is_none() {
                                bar.suspend(|| eprintln!("contrast: {} {workload}: {error}", model.path()));
                            }
                        }
                        results.lines.push(Line {
                            round,
                            model: model.path(),
                            workload: workload.to_string(),
                            failed: figures.as_ref().err().map(ToString::to_string),
                            figures: figures.unwrap_or_default(),
                        });
                    }
                    bar.inc(self.estimate_of(model, workload).as_millis() as u64);
                }
            }
        }
        bar.finish_and_clear();
        results.about.elapsed_s = began.elapsed().as_secs();
        results
    }

    fn measure(&self, model: &Model, workload: Workload) -> io::Result<BTreeMap<String, f64>> {
        if let Some(why) = model.can_not(workload) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        let time = self.time.as_millis().to_string();
        let figures = call_and_ask_why(&["cell", &model.path(), &workload.to_string(), &time])?;
        Ok(figures.iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// What everything will take, about.
    pub(crate) fn estimate(&self) -> Duration {
        let all = || self.workloads.iter().flat_map(|&workload| self.models.iter().map(move |model| (model, workload)));
        all().map(|(model, workload)| self.estimate_of(model, workload)).sum::<Duration>() * self.rounds as u32
    }

    fn estimate_of(&self, model: &Model, workload: Workload) -> Duration {
        if model.can_not(workload).is_some() {
            return Duration::ZERO;
        }
        let runs = if workload.rate().is_some() { 2.2 } else { 1.2 };
        let connect = if workload.pattern == Pattern::Connect { 0 } else { workload.connections as u32 };
        START + PER_CONNECTION * connect + self.time.mul_f64(runs)
    }

    fn progress(&self) -> ProgressBar {
        let all = self.estimate().as_millis() as u64;
        let bar = ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::stderr_with_hz(4));
        let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {eta} left  {msg:<40}");
        bar.set_style(style.expect("the template is well formed"));
        bar
    }

    fn about(&self, command: String) -> About {
        About {
            date: machine::date(),
            machine: machine::describe(),
            command,
            rounds: self.rounds,
            run_ms: self.time.as_millis() as u64,
            elapsed_s: 0,
        }
    }
}

/// Two processes that start, and end.
const START: Duration = Duration::from_millis(30);
const PER_CONNECTION: Duration = Duration::from_micros(100);
