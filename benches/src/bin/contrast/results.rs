//! What was measured, as it is kept: raw, one line for each cell and round. Every table, page and picture is made from this.

use crate::model::{MODELS, Model};
use crate::workload::Workload;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use wakeline_benches::samples::{NOISY_SPREAD, Samples};

/// A run of the whole matrix.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) about: About,
    pub(crate) lines: Vec<Line>,
    #[serde(default)]
    pub(crate) herd: Vec<Herd>,
}

/// Where and how.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct About {
    /// `2026-12-01`.
    pub(crate) date: String,
    pub(crate) machine: String,
    pub(crate) command: String,
    pub(crate) rounds: usize,
    /// Of one run of one cell.
    pub(crate) run_ms: u64,
    pub(crate) elapsed_s: u64,
    /// Why system calls were not counted, if they were not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) no_syscalls: Option<String>,
}

/// One cell in one round.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) round: usize,
    /// `os/blocking`.
    pub(crate) model: String,
    /// `request,64,1024`.
    pub(crate) workload: String,
    /// Why there are no figures.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) failed: Option<String>,
    pub(crate) figures: BTreeMap<String, f64>,
}

/// One way to wait, with several sleepers and one event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Herd {
    pub(crate) network: String,
    pub(crate) way: String,
    pub(crate) entry: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) failed: Option<String>,
    pub(crate) sleepers: u64,
    pub(crate) woken: u64,
    pub(crate) useful: u64,
}

/// A cell over all rounds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    /// Nobody has asked.
    Empty,
    Failed(String),
    Measured(BTreeMap<String, Samples>),
}

impl Cell {
    /// The median of `figure`.
    pub(crate) fn median(&self, figure: &str) -> Option<f64> {
        self.samples(figure).map(Samples::median)
    }

    pub(crate) fn samples(&self, figure: &str) -> Option<&Samples> {
        match self {
            Cell::Measured(figures) => figures.get(figure),
            _ => None,
        }
    }

    pub(crate) fn is_noisy(&self, figure: &str) -> bool {
        self.samples(figure).is_some_and(|samples| samples.spread() > NOISY_SPREAD)
    }
}

impl Results {
    pub(crate) fn read(file: &Path) -> io::Result<Results> {
        serde_json::from_str(&fs::read_to_string(file)?).map_err(io::Error::from)
    }

    /// Writes it so that there is always a whole one.
    pub(crate) fn write(&self, file: &Path) -> io::Result<()> {
        let part = file.with_extension("json.part");
        fs::write(&part, self.to_json()?)?;
        fs::rename(part, file)
    }

    fn to_json(&self) -> io::Result<String> {
        serde_json::to_string_pretty(self).map_err(io::Error::from)
    }

    /// One line for each figure, for a spreadsheet.
    pub(crate) fn to_csv(&self) -> io::Result<String> {
        let mut csv = csv::Writer::from_writer(vec![]);
        let head = ["network", "model", "pattern", "connections", "size_bytes", "round", "figure", "value", "failed"];
        csv.write_record(head)?;
        for line in &self.lines {
            let (network, model) = line.model.split_once('/').unwrap_or_default();
            let workload: Vec<_> = line.workload.split(',').collect();
            let round = line.round.to_string();
            let mut row = |figure: &str, value: &str, failed: &str| {
                let mut record = vec![network, model];
                record.extend(&workload);
                record.extend([&round, figure, value, failed]);
                csv.write_record(record)
            };
            if let Some(why) = &line.failed {
                row("", "", why)?;
            }
            for (figure, value) in &line.figures {
                row(figure, &value.to_string(), "")?;
            }
        }
        let bytes = csv.into_inner().map_err(io::Error::other)?;
        String::from_utf8(bytes).map_err(io::Error::other)
    }

    /// A model's cell under `workload`.
    pub(crate) fn cell(&self, model: &Model, workload: Workload) -> Cell {
        let (path, workload) = (model.path(), workload.to_string());
        let mut cell = Cell::Empty;
        for line in self.lines.iter().filter(|line| line.model == path && line.workload == workload) {
            if let Some(why) = &line.failed {
                return Cell::Failed(why.clone());
            }
            if cell == Cell::Empty {
                cell = Cell::Measured(BTreeMap::new());
            }
            if let Cell::Measured(figures) = &mut cell {
                for (name, value) in &line.figures {
                    figures.entry(name.clone()).or_default().push(*value);
                }
            }
        }
        cell
    }

    /// Whether a cell needs no measuring in this round: it was, or it has failed before.
    pub(crate) fn is_done(&self, round: usize, model: &Model, workload: Workload) -> bool {
        let (path, workload) = (model.path(), workload.to_string());
        let is_it = |line: &&Line| line.model == path && line.workload == workload;
        self.lines.iter().filter(is_it).any(|line| line.round == round || line.failed.is_some())
    }

    /// How many cells have failed that were not known to be impossible.
    pub(crate) fn unexpected(&self) -> usize {
        let is_known = |line: &Line| {
            let workload = Workload::parse(&line.workload).ok();
            Model::by_path(&line.model)
                .ok()
                .zip(workload)
                .is_some_and(|(model, workload)| model.can_not(workload).is_some())
        };
        self.lines.iter().filter(|line| line.failed.is_some() && !is_known(line)).count()
    }

    /// The workloads that anybody was asked for, in order.
    pub(crate) fn workloads(&self) -> Vec<Workload> {
        let mut workloads: Vec<_> = self.lines.iter().filter_map(|line| Workload::parse(&line.workload).ok()).collect();
        workloads.sort_unstable();
        workloads.dedup();
        workloads
    }

    /// The models that anybody was asked for, in the order of the tables.
    pub(crate) fn models(&self) -> Vec<&'static Model> {
        let is_asked = |model: &&Model| self.lines.iter().any(|line| line.model == model.path());
        MODELS.iter().filter(is_asked).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Pattern;

    fn line(round: usize, rate: f64) -> Line {
        Line {
            round,
            model: "os/blocking".to_owned(),
            workload: "request,8,64".to_owned(),
            failed: None,
            figures: [("closed.rate".to_owned(), rate)].into(),
        }
    }

    #[test]
    fn a_cell_is_the_median_of_its_rounds_and_says_when_they_differ() {
        let mut results = Results { lines: vec![line(0, 10.0), line(1, 30.0), line(2, 11.0)], ..Results::default() };
        let (model, workload) = (Model::by_path("os/blocking").unwrap(), Workload::new(Pattern::Request, 8, 64));
        assert_eq!((results.workloads(), results.models().len()), (vec![workload], 1));
        let cell = results.cell(model, workload);
        assert_eq!((cell.median("closed.rate"), cell.is_noisy("closed.rate")), (Some(11.0), true));
        let never = Workload::new(Pattern::Request, 1, 64);
        assert_eq!(results.cell(model, never), Cell::Empty);
        let is_done = |results: &Results, round| results.is_done(round, model, workload);
        assert!(is_done(&results, 2) && !is_done(&results, 3) && !results.is_done(0, model, never));

        results.lines.push(Line { failed: Some("it, \"hung\"".to_owned()), figures: BTreeMap::new(), ..line(3, 0.0) });
        assert_eq!(results.cell(model, workload), Cell::Failed("it, \"hung\"".to_owned()));
        assert_eq!(results.unexpected(), 1);
        assert!(is_done(&results, 4), "what has failed is not tried again");
        let again: Results = serde_json::from_str(&results.to_json().unwrap()).unwrap();
        assert_eq!(again.cell(model, workload), results.cell(model, workload));
        let csv = results.to_csv().unwrap();
        assert!(csv.contains("os,blocking,request,8,64,1,closed.rate,30,\n"), "{csv}");
        assert!(csv.ends_with("os,blocking,request,8,64,3,,,\"it, \"\"hung\"\"\"\n"), "{csv}");
    }
}
