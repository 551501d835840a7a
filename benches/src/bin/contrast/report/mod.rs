//! The report: one page that needs nothing else, and its pictures.

mod chart;
mod look;
mod page;
#[cfg(test)]
mod tests;

use crate::model::Network;
use crate::results::Results;
use crate::table::{self, Table};
use std::fs;
use std::io;
use std::path::Path;

/// Writes `report.html`, `results.json`, `results.csv` and a picture for each chart into `folder`.
pub(crate) fn write(results: &Results, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("results.json"), results.to_json()?)?;
    fs::write(folder.join("results.csv"), results.to_csv()?)?;
    fs::write(folder.join("report.html"), page::html(results))?;
    for (name, chart) in page::charts(results) {
        fs::write(folder.join(format!("{name}.svg")), chart.to_file(chart::WIDE))?;
    }
    Ok(())
}

/// All tables, for people.
pub(crate) fn text(results: &Results) -> String {
    tables(results).iter().map(|table| table.to_text() + "\n").collect()
}

/// All tables, for a document.
pub(crate) fn markdown(results: &Results) -> String {
    let about = &results.about;
    let mut text = format!("{}, {}; `{}`; {}.\n", about.machine, about.date, about.command, page::rounds_text(about));
    for table in tables(results) {
        text += &format!("\n### {}\n\n{}", table.title, table.to_markdown());
    }
    text
}

fn tables(results: &Results) -> Vec<Table> {
    let mut tables: Vec<Table> = Network::ALL.iter().flat_map(|&network| table::all(results, network)).collect();
    tables.push(table::herd(results));
    // Nobody was asked for what is empty.
    tables.retain(|table| table.rows.iter().any(|row| row.iter().skip(1).any(|cell| !cell.is_empty())));
    tables
}
