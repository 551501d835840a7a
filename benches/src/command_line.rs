//! What the command lines of the programs have in common.

use crate::child::give_up_after;
use crate::row::{self, Row};
use crate::run::Until;
use clap::Args;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How a table is measured, and where it goes.
#[derive(Debug, Args)]
pub struct TableOptions {
    /// How many rounds, instead of the usual number
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// One short round, to see that it works; do not quote it
    #[arg(long)]
    pub quick: bool,
    /// Only these, as --list names them, and whom they are compared with
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    pub only: Vec<String>,
    /// Writes the tables as Markdown, too
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Writes all rows as JSON, too; one object a line, or an array
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Lists what there is to measure
    #[arg(long)]
    pub list: bool,
}

impl TableOptions {
    /// How many rounds, where `usual` are what figures are quoted from.
    #[must_use]
    pub fn rounds(&self, usual: usize) -> usize {
        let rounds = if self.quick { 1 } else { usual };
        self.rounds.map_or(rounds, |rounds| usize::try_from(rounds).unwrap_or(usize::MAX))
    }

    /// Whether --only names this, or is not there.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| wanted == name)
    }

    /// Says how many bounds are kept, and writes the files that were asked for.
    ///
    /// # Errors
    /// Those of writing them.
    pub fn conclude(&self, rows: &[Row]) -> io::Result<()> {
        let promises = || rows.iter().flat_map(|row| &row.promises);
        println!("\n{} bounds, {} kept", promises().count(), promises().filter(|promise| promise.kept()).count());
        self.write(|| row::markdown(rows), || rows.iter().map(|row| row.to_json() + "\n").collect())
    }

    /// Writes the files that were asked for.
    ///
    /// # Errors
    /// Those of writing them.
    pub fn write(&self, markdown: impl FnOnce() -> String, json: impl FnOnce() -> String) -> io::Result<()> {
        if let Some(file) = &self.markdown {
            std::fs::write(file, markdown())?;
        }
        if let Some(file) = &self.json {
            std::fs::write(file, json())?;
        }
        Ok(())
    }
}

/// A command line that can not be understood.
pub fn invalid(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text.into())
}

/// What a program ends with: one line for an error, and code 2 where it is the command line's.
pub fn exit_code(program: &str, result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program}: {error}");
            ExitCode::from(if error.kind() == io::ErrorKind::InvalidInput { 2 } else { 1 })
        }
    }
}

/// How long one contestant is to run: a number of requests, or milliseconds with `ms` behind, and then no longer than `time_max`.
///
/// # Errors
/// When it is neither.
pub fn until(amount: &str, time_max: Duration) -> io::Result<Until> {
    let bad = |_| invalid(format!("{amount:?} is no number of requests, and no time in ms"));
    match amount.strip_suffix("ms") {
        Some(millis) => {
            give_up_after(time_max);
            Ok(Until::Elapsed(Duration::from_millis(millis.parse().map_err(bad)?)))
        }
        None => Ok(Until::Requests(amount.parse().map_err(bad)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_a_number_or_a_time() {
        assert!(matches!(until("12", Duration::MAX), Ok(Until::Requests(12))));
        assert_eq!(until("12s", Duration::MAX).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(until("ms", Duration::MAX).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
