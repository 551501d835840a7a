//! The report: one page that needs nothing else, and its pictures.

mod chart;
mod look;
mod page;
#[cfg(test)]
mod tests;

use crate::claims;
use crate::model::Network;
use crate::results::Results;
use crate::table::{self, Table};
use std::fs;
use std::io;
use std::path::Path;

/// A run, and perhaps a second one that shows which of its rankings last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report<'a> {
    pub(crate) results: &'a Results,
    pub(crate) again: Option<&'a Results>,
}

impl Report<'_> {
    /// Both, as far as there are two.
    pub(crate) fn runs(&self) -> Vec<&Results> {
        std::iter::once(self.results).chain(self.again).collect()
    }

    /// Writes `report.html`, `results.json`, `results.csv` and a picture for each chart into `folder`.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        self.results.write(&folder.join(RESULTS))?;
        fs::write(folder.join("results.csv"), self.results.to_csv()?)?;
        fs::write(folder.join("report.html"), page::html(*self))?;
        for (name, chart) in page::charts(self.results) {
            fs::write(folder.join(format!("{name}.svg")), chart.to_file(chart::WIDE))?;
        }
        Ok(())
    }

    /// All tables, for people.
    pub(crate) fn text(&self) -> String {
        self.tables().iter().map(|table| table.to_text() + "\n").collect()
    }

    /// All tables, for a document.
    pub(crate) fn markdown(&self) -> String {
        let about = &self.results.about;
        let mut text =
            format!("{}, {}; `{}`; {}.\n", about.machine, about.date, about.command, page::rounds_text(about));
        for table in self.tables() {
            text += &format!("\n### {}\n\n{}", table.title, table.to_markdown());
        }
        text
    }

    /// A document with its tables made anew: each stands between `<!-- contrast: NAME -->` and `<!-- /contrast -->`.
    pub(crate) fn updated(&self, document: &str) -> io::Result<String> {
        let mut text = String::new();
        let mut rest = document;
        while let Some((before, behind)) = rest.split_once(BEGIN) {
            let wrong = |what: &str| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("{what} behind a mark of the document"))
            };
            let (name, behind) = behind.split_once(" -->\n").ok_or_else(|| wrong("no name"))?;
            let (_, behind) = behind.split_once(END).ok_or_else(|| wrong("no end"))?;
            let block = self.block(name).ok_or_else(|| wrong(&format!("no table called {name:?}")))?;
            text += &format!("{before}{BEGIN}{name} -->\n{block}{END}");
            rest = behind;
        }
        Ok(text + rest)
    }

    fn block(&self, name: &str) -> Option<String> {
        if name == "about" {
            let about = &self.results.about;
            let rounds = page::rounds_text(about);
            return Some(format!("{}, {}, {rounds}: `{}`\n", about.machine, about.date, about.command));
        }
        let table = match name {
            "summary" => table::summary(self.results),
            "herd" => table::herd(self.results),
            "claims" => claims::table(&self.runs()),
            _ => table::named(self.results, name)?,
        };
        Some(table.to_markdown())
    }

    fn tables(&self) -> Vec<Table> {
        let of = |&network| table::all(self.results, network);
        let mut tables: Vec<Table> = Network::ALL.iter().flat_map(of).collect();
        tables.push(table::herd(self.results));
        // Nobody was asked for what is empty.
        tables.retain(|table| table.rows.iter().any(|row| row.iter().skip(1).any(|cell| !cell.is_empty())));
        tables.push(claims::table(&self.runs()));
        tables
    }
}

/// The name of the file from which all others can be made.
pub(crate) const RESULTS: &str = "results.json";

const BEGIN: &str = "<!-- contrast: ";
const END: &str = "<!-- /contrast -->";
