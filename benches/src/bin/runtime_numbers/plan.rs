//! What is measured in which order, and which tables come of it.

use crate::table::{Cell, Line, Table};
use crate::who::{Runtime, Who};
use std::collections::BTreeMap;
use std::time::Duration;
use wakeline_benches::child::call;
use wakeline_benches::runtime_rows::{About, Unit};
use wakeline_benches::samples::Samples;

/// What is to be measured, and how long.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rows: Vec<About>,
    pub(crate) contestants: Vec<Who>,
    pub(crate) rounds: usize,
    /// Of one measurement of weight 1.
    pub(crate) time: Duration,
}

/// Everybody's figures, by row and contestant: for each figure of the row its value in each round.
pub(crate) type Results = BTreeMap<(&'static str, Who), Option<Vec<Samples>>>;

impl Plan {
    /// Measures: in each round every row, in each row every contestant, beginning with another one each time. Who has failed
    /// a row is not asked for it again: what hung would hang again.
    pub(crate) fn carry_out(&self) -> Results {
        let mut results = Results::new();
        for round in 0..self.rounds {
            for (number, row) in self.rows.iter().enumerate() {
                eprintln!("round {} of {}: {}", round + 1, self.rounds, row.name);
                let able: Vec<_> = self.contestants.iter().filter(|who| who.does(row)).collect();
                for turn in 0..able.len() {
                    let who = *able[(turn + round + number) % able.len()];
                    let so_far = results.entry((row.name, who)).or_insert_with(|| Some(vec![]));
                    let Some(samples) = so_far else { continue };
                    match self.measure(row, who) {
                        Ok(values) => push(samples, &values),
                        Err(error) => {
                            eprintln!("runtime_numbers: {} by {}: {error}", row.name, who.name());
                            *so_far = None;
                        }
                    }
                }
            }
        }
        results
    }

    fn measure(&self, row: &About, who: Who) -> std::io::Result<Vec<f64>> {
        let time = format!("{}ms", (self.time * row.weight).as_millis());
        let figures = call(&["once", row.name, &who.name(), &time])?;
        row.figures.iter().map(|figure| figures.get(figure.name)).collect()
    }

    /// What an operation costs, and the latencies, with this many workers.
    pub(crate) fn tables(&self, workers: usize, results: &Results) -> [Table; 2] {
        [(Unit::Ns, "ns per operation"), (Unit::Us, "latency, us")].map(|(unit, title)| Table {
            title: format!("{title}, {}", workers_text(workers)),
            workers,
            is_timed: true,
            lines: self.rows.iter().flat_map(|row| lines(row, unit, workers, results)).collect(),
        })
    }
}

pub(crate) fn workers_text(workers: usize) -> &'static str {
    if workers == 1 { "one worker" } else { "two workers" }
}

fn push(samples: &mut Vec<Samples>, values: &[f64]) {
    samples.resize(values.len(), Samples::default());
    samples.iter_mut().zip(values).for_each(|(samples, &value)| samples.push(value));
}

/// The lines of a row, if anybody was asked for it with this many workers.
fn lines(row: &About, unit: Unit, workers: usize, results: &Results) -> Vec<Line> {
    let of = |runtime: Runtime| results.get(&(row.name, runtime.with(workers)));
    if (workers == 1 && !row.with_one_worker) || Runtime::ALL.iter().all(|&runtime| of(runtime).is_none()) {
        return vec![];
    }
    let line = |(number, figure): (usize, &wakeline_benches::runtime_rows::Figure)| {
        let cell = |runtime| match of(runtime) {
            None => Cell::Empty,
            Some(None) => Cell::Failed,
            Some(Some(samples)) => samples.get(number).cloned().map_or(Cell::Failed, Cell::Measured),
        };
        Line {
            name: format!("{}/{}", row.name, figure.name),
            title: format!("{}{}", row.title, figure.label),
            cells: Runtime::ALL.map(cell),
            at_most: figure.at_most[workers - 1],
        }
    };
    row.figures.iter().enumerate().filter(|(_, figure)| figure.unit == unit).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wakeline_benches::contestant::Tokio;
    use wakeline_benches::runtime_rows::all;

    fn plan() -> Plan {
        let rows = all::<Tokio>().iter().map(|row| row.about).collect();
        Plan { rows, contestants: Who::all(), rounds: 1, time: Duration::ZERO }
    }

    #[test]
    fn what_was_measured_stands_in_its_table() {
        let mut results = Results::new();
        let tokio = Runtime::Tokio.with(2);
        results.insert(("timers-100k", tokio), Some([1.0, 2.0].map(|value| [value].into_iter().collect()).into()));
        results.insert(("wake-across", tokio), None);
        let [costs, latencies] = plan().tables(2, &results);
        let names: Vec<_> = costs.lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names, ["timers-100k/insert_ns", "timers-100k/cancel_ns"]);
        assert_eq!(costs.lines[1].cells[Runtime::Tokio as usize], Cell::Measured([2.0].into_iter().collect()));
        assert!(latencies.lines.iter().all(|line| line.cells[Runtime::Tokio as usize] == Cell::Failed));
        assert_eq!(latencies.lines.len(), 2);
        assert!(plan().tables(1, &results).iter().all(|table| table.lines.is_empty()));
    }
}
