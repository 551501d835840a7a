//! The tables: lines of figures, what they are compared with, and how they are printed.

use crate::who::Runtime;
use serde_json::{Value, json};
use std::fmt::Write;
use wakeline_benches::row::grouped;
use wakeline_benches::samples::{Samples, geometric_mean};

/// Some lines under one headline, with the same contestants.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) title: String,
    /// Those of all lines, or of most.
    pub(crate) workers: usize,
    /// Whether its ratios are what the summary is of.
    pub(crate) is_timed: bool,
    pub(crate) lines: Vec<Line>,
}

/// One figure of everybody.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// To programs: the row and the figure.
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) cells: [Cell; 4],
    /// What wakeline must not exceed.
    pub(crate) at_most: Option<f64>,
}

/// What is known of one contestant, in the order of [`Runtime::ALL`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Cell {
    /// It was not asked.
    #[default]
    Empty,
    /// It gave no answer in one round at least.
    Failed,
    Measured(Samples),
}

/// Beyond this distance between its quartiles a ratio must not be quoted without saying so.
const NOISY_QUARTILES: f64 = 0.15;

impl Cell {
    fn samples(&self) -> Option<&Samples> {
        match self {
            Cell::Measured(samples) => Some(samples),
            _ => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Cell::Empty => String::new(),
            Cell::Failed => "failed".to_owned(),
            Cell::Measured(samples) => {
                let mut text = number(samples.median());
                if samples.rounds() > 1 {
                    let _ = write!(text, " ({:.0} %)", samples.quartile_spread() * 100.0);
                }
                text
            }
        }
    }

    fn json(&self) -> Value {
        match self {
            Cell::Empty => Value::Null,
            Cell::Failed => json!("failed"),
            Cell::Measured(samples) => json!({
                "median": samples.median(),
                "min": samples.min(),
                "max": samples.max(),
                "quartile_spread": samples.quartile_spread(),
                "rounds": samples.rounds(),
            }),
        }
    }
}

impl Line {
    fn cell(&self, runtime: Runtime) -> &Cell {
        &self.cells[runtime as usize]
    }

    /// wakeline's figure over the better peer's, a ratio a round; below 1 is better than the peer.
    pub(crate) fn ratio(&self) -> Option<Samples> {
        let ours = self.cell(Runtime::Wakeline).samples()?;
        let peers = [Runtime::Tokio, Runtime::Smol].iter().filter_map(|&peer| self.cell(peer).samples());
        let best = peers.min_by(|a, b| a.median().total_cmp(&b.median()))?;
        Some(ours.over(best))
    }

    fn ratio_text(&self) -> String {
        let Some(ratio) = self.ratio() else { return String::new() };
        let mut text = format!("{:.2}", ratio.median());
        if ratio.rounds() > 1 {
            let _ = write!(text, " ({:.2} to {:.2})", ratio.min(), ratio.max());
        }
        if ratio.quartile_spread() > NOISY_QUARTILES {
            text.push_str(" NOISY");
        }
        text
    }

    fn promise_text(&self) -> String {
        let (Some(bound), Some(ours)) = (self.at_most, self.cell(Runtime::Wakeline).samples()) else {
            return String::new();
        };
        format!("<= {}: {}", number(bound), if ours.median() <= bound { "kept" } else { "BROKEN" })
    }

    fn json(&self, table: &Table) -> Value {
        let ratio = self.ratio();
        json!({
            "table": table.title,
            "workers": table.workers,
            "line": self.name,
            "wakeline": self.cell(Runtime::Wakeline).json(),
            "tokio": self.cell(Runtime::Tokio).json(),
            "smol": self.cell(Runtime::Smol).json(),
            "threads": self.cell(Runtime::Threads).json(),
            "ratio": ratio.as_ref().map(Samples::median),
            "ratio_min": ratio.as_ref().map(Samples::min),
            "ratio_max": ratio.as_ref().map(Samples::max),
            "noisy": ratio.is_some_and(|ratio| ratio.quartile_spread() > NOISY_QUARTILES),
            "at_most": self.at_most,
        })
    }
}

impl Table {
    /// The columns that have a cell.
    fn columns(&self) -> Vec<Runtime> {
        let used = |runtime: &Runtime| self.lines.iter().any(|line| *line.cell(*runtime) != Cell::Empty);
        Runtime::ALL.into_iter().filter(used).collect()
    }

    /// The headline, then a row of texts for each line.
    fn grid(&self) -> Vec<Vec<String>> {
        let columns = self.columns();
        let promises = self.lines.iter().any(|line| !line.promise_text().is_empty());
        let mut head = vec![self.title.clone()];
        head.extend(columns.iter().map(|runtime| runtime.name().to_owned()));
        head.push("wakeline / better peer".to_owned());
        head.extend(promises.then(|| "promised".to_owned()));
        let of_line = |line: &Line| {
            let mut row = vec![line.title.clone()];
            row.extend(columns.iter().map(|&runtime| line.cell(runtime).text()));
            row.push(line.ratio_text());
            row.extend(promises.then(|| line.promise_text()));
            row
        };
        std::iter::once(head).chain(self.lines.iter().map(of_line)).collect()
    }

    /// For a terminal.
    pub(crate) fn to_text(&self) -> String {
        let grid = self.grid();
        let wide = |column: usize| grid.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..grid[0].len()).map(wide).collect();
        let mut text = String::new();
        for row in &grid {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// For a document.
    pub(crate) fn to_markdown(&self) -> String {
        let grid = self.grid();
        let mut text = String::new();
        for (number, row) in grid.iter().enumerate() {
            let _ = writeln!(text, "| {} |", row.join(" | "));
            if number == 0 {
                let _ = writeln!(text, "|---{}|", "|---:".repeat(row.len() - 1));
            }
        }
        text
    }

    pub(crate) fn to_json(&self) -> Vec<Value> {
        self.lines.iter().map(|line| line.json(self)).collect()
    }
}

/// What the ratios of some tables come to: their geometric mean, and which lines are worse than the better peer.
pub(crate) fn summary(of: &str, tables: &[&Table]) -> String {
    let mut text = format!("{of}: ");
    let lines: Vec<(&Line, f64)> = lines_with_ratio(tables);
    let mean = |tables: &[&Table]| {
        let ratios: Vec<_> = lines_with_ratio(tables).into_iter().map(|(_, ratio)| ratio).collect();
        geometric_mean(&ratios)
    };
    let _ = write!(text, "geometric mean of wakeline / better peer {:.2} over {} lines", mean(tables), lines.len());
    let parts: Vec<_> = tables.iter().map(|table| format!("{} {:.2}", table.title, mean(&[table]))).collect();
    if parts.len() > 1 {
        let _ = write!(text, " ({})", parts.join("; "));
    }
    let worse: Vec<_> = lines.iter().filter(|(_, ratio)| *ratio > 1.0).collect();
    let clearly = worse.iter().filter(|(_, ratio)| *ratio > 1.05).count();
    let _ = write!(text, "; worse than 1.0: {}, by more than 5 %: {clearly}", worse.len());
    for (number, (line, ratio)) in worse.iter().enumerate() {
        let _ = write!(text, "{} {} {ratio:.2}", if number == 0 { ":" } else { "," }, line.name);
    }
    text
}

fn lines_with_ratio<'a>(tables: &[&'a Table]) -> Vec<(&'a Line, f64)> {
    let lines = tables.iter().flat_map(|table| &table.lines);
    lines.filter_map(|line| Some((line, line.ratio()?.median()))).collect()
}

/// Whole from 100 on, with thousands apart; two or three digits below.
fn number(value: f64) -> String {
    match value.abs() {
        small if small < 9.95 => format!("{value:.2}"),
        middle if middle < 99.5 => format!("{value:.1}"),
        _ => grouped(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(values: &[f64]) -> Cell {
        Cell::Measured(values.iter().copied().collect())
    }

    fn line(name: &str, ours: &[f64], tokio: &[f64], smol: &[f64]) -> Line {
        let cells = [measured(ours), measured(tokio), measured(smol), Cell::Empty];
        Line { name: name.to_owned(), title: name.to_owned(), cells, at_most: None }
    }

    fn table(lines: Vec<Line>) -> Table {
        Table { title: "ns".to_owned(), workers: 1, is_timed: true, lines }
    }

    #[test]
    fn a_ratio_is_to_the_better_peer_of_its_own_round() {
        let line = line("a", &[50.0, 60.0, 20.0], &[400.0, 1.0, 400.0], &[100.0, 60.0, 80.0]);
        assert_eq!(line.ratio().unwrap(), [0.5, 1.0, 0.25].into_iter().collect());
        assert_eq!(line.ratio_text(), "0.50 (0.25 to 1.00) NOISY");
    }

    #[test]
    fn who_failed_is_no_peer_and_without_us_there_is_no_ratio() {
        let mut line = line("a", &[50.0], &[100.0], &[10.0]);
        line.cells[Runtime::Smol as usize] = Cell::Failed;
        assert_eq!(line.ratio_text(), "0.50");
        line.cells[Runtime::Wakeline as usize] = Cell::Empty;
        assert_eq!(line.ratio_text(), "");
    }

    #[test]
    fn the_table_is_aligned_and_has_no_empty_column() {
        let mut kept = line("kept", &[50.0], &[100.0], &[2000.0]);
        kept.at_most = Some(100.0);
        let broken = Line { at_most: Some(9.5), name: "b".into(), title: "broken".into(), ..kept.clone() };
        let table = table(vec![kept, broken]);
        assert_eq!(
            table.to_text(),
            "\
ns      wakeline  tokio   smol  wakeline / better peer         promised
kept        50.0    100  2,000                    0.50     <= 100: kept
broken      50.0    100  2,000                    0.50  <= 9.50: BROKEN
"
        );
        assert_eq!(
            table.to_markdown(),
            "\
| ns | wakeline | tokio | smol | wakeline / better peer | promised |
|---|---:|---:|---:|---:|---:|
| kept | 50.0 | 100 | 2,000 | 0.50 | <= 100: kept |
| broken | 50.0 | 100 | 2,000 | 0.50 | <= 9.50: BROKEN |
"
        );
    }

    #[test]
    fn the_summary_counts_what_is_worse() {
        let good = table(vec![line("a", &[50.0], &[100.0], &[200.0]), line("b", &[200.0], &[200.0], &[100.0])]);
        assert_eq!(
            summary("one worker", &[&good]),
            "one worker: geometric mean of wakeline / better peer 1.00 over 2 lines; worse than 1.0: 1, by more than 5 %: 1: \
             b 2.00"
        );
    }

    #[test]
    fn spread_is_shown_where_there_are_rounds() {
        assert_eq!(measured(&[1000.0, 1100.0, 1200.0]).text(), "1,100 (9 %)");
        assert_eq!(measured(&[6.54]).text(), "6.54");
        assert_eq!(Cell::Failed.text(), "failed");
    }

    #[test]
    fn programs_get_every_line() {
        let json = table(vec![line("a", &[50.0], &[100.0], &[200.0])]).to_json();
        assert_eq!(json[0]["line"], "a");
        assert_eq!(json[0]["ratio"], 0.5);
        assert_eq!(json[0]["tokio"]["median"], 100.0);
        assert_eq!(json[0]["threads"], Value::Null);
    }
}
