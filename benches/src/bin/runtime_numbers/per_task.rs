//! What is counted once and not timed: instructions an operation, memory of an idle task.

use crate::plan::workers_text;
use crate::table::{Cell, Line, Table};
use crate::who::{Runtime, Who};
use std::io;
use std::process::{Command, Stdio};
use wakeline_benches::child::call;
use wakeline_benches::runtime_rows::{COUNTED, Counted};

/// Instructions an operation, by callgrind, one worker.
///
/// # Errors
/// When there is no valgrind.
pub(crate) fn instructions(contestants: &[Who]) -> io::Result<Table> {
    let found = Command::new("valgrind").arg("--version").stdin(Stdio::null()).output();
    found.map_err(|error| io::Error::other(format!("instructions need valgrind, which can not be run: {error}")))?;
    let line = |counted: &Counted| {
        eprintln!("instructions: {}", counted.row);
        let count = |who| count(counted, who);
        Line {
            name: format!("{}/instructions", counted.row),
            title: counted.title.to_owned(),
            cells: cells(contestants, 1, count),
            at_most: None,
        }
    };
    let lines = COUNTED.iter().map(line).collect();
    Ok(Table { title: "instructions per operation, one worker".to_owned(), workers: 1, is_timed: false, lines })
}

/// Resident bytes of an idle task beyond its future, which has no size.
pub(crate) fn memory(contestants: &[Who], tasks: usize) -> Table {
    let line = |workers: usize| {
        let bytes = |who: Who| {
            eprintln!("memory: {}", who.name());
            call(&["idle", &who.name(), &tasks.to_string()])?.get("bytes")
        };
        Line {
            name: format!("idle-task/{}", if workers == 1 { "ct_bytes" } else { "mt2_bytes" }),
            title: format!("idle task, {}", workers_text(workers)),
            cells: cells(contestants, workers, bytes),
            at_most: Some(160.0),
        }
    };
    Table {
        title: "resident bytes beyond the future".to_owned(),
        workers: 1,
        is_timed: false,
        lines: [1, 2].map(line).into(),
    }
}

fn cells(contestants: &[Who], workers: usize, measure: impl Fn(Who) -> io::Result<f64>) -> [Cell; 4] {
    Runtime::ALL.map(|runtime| {
        let who = runtime.with(workers);
        if runtime == Runtime::Threads || !contestants.contains(&who) {
            return Cell::Empty;
        }
        match measure(who) {
            Ok(value) => Cell::Measured([value].into_iter().collect()),
            Err(error) => {
                eprintln!("runtime_numbers: {}: {error}", who.name());
                Cell::Failed
            }
        }
    })
}

fn count(counted: &Counted, who: Who) -> io::Result<f64> {
    Ok(counted.each(executed(counted, who, counted.few)?, executed(counted, who, counted.more)?))
}

/// Instructions of a whole run.
fn executed(counted: &Counted, who: Who, requests: u64) -> io::Result<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["once", counted.row, &who.name(), &requests.to_string()])
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(io::Error::other(format!("callgrind: {}\n{said}", output.status)));
    }
    collected(&said).ok_or_else(|| io::Error::other(format!("callgrind told no count:\n{said}")))
}

/// `==1234== Collected : 56789`
fn collected(said: &str) -> Option<f64> {
    said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callgrinds_count_is_found() {
        let said = "==7== Callgrind\n==7== \n==7== Events    : Ir\n==7== Collected : 1234567\n";
        assert_eq!(collected(said), Some(1_234_567.0));
        assert_eq!(collected("valgrind: no such program"), None);
    }
}
