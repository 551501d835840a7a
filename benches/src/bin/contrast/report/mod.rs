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

/// A document with its tables made anew: each stands between `<!-- contrast: NAME -->` and `<!-- /contrast -->`.
pub(crate) fn updated(document: &str, results: &Results) -> io::Result<String> {
    let mut text = String::new();
    let mut rest = document;
    while let Some((before, behind)) = rest.split_once(BEGIN) {
        let wrong =
            |what: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{what} behind a mark of the document"));
        let (name, behind) = behind.split_once(" -->\n").ok_or_else(|| wrong("no name"))?;
        let (_, behind) = behind.split_once(END).ok_or_else(|| wrong("no end"))?;
        let block = block(results, name).ok_or_else(|| wrong(&format!("no table called {name:?}")))?;
        text += &format!("{before}{BEGIN}{name} -->\n{block}{END}");
        rest = behind;
    }
    Ok(text + rest)
}

const BEGIN: &str = "<!-- contrast: ";
const END: &str = "<!-- /contrast -->";

fn block(results: &Results, name: &str) -> Option<String> {
    if name == "about" {
        let about = &results.about;
        return Some(format!("{}, {}, {}: `{}`\n", about.machine, about.date, page::rounds_text(about), about.command));
    }
    let table = match name {
        "summary" => table::summary(results),
        "herd" => table::herd(results),
        _ => table::named(results, name)?,
    };
    Some(table.to_markdown())
}

fn tables(results: &Results) -> Vec<Table> {
    let mut tables: Vec<Table> = Network::ALL.iter().flat_map(|&network| table::all(results, network)).collect();
    tables.push(table::herd(results));
    // Nobody was asked for what is empty.
    tables.retain(|table| table.rows.iter().any(|row| row.iter().skip(1).any(|cell| !cell.is_empty())));
    tables
}
