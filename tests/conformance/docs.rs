//! The tables of `docs/` name their tests; here they are looked up.

use crate::scripts;
use libtest_mimic::{Failed, Trial};
use std::collections::BTreeSet;
use std::path::Path;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("docs::rfc9293", || check_requirements(&read("docs/rfc9293.md")?)),
        Trial::test("docs::transport", || check_rows(&read("docs/transport.md")?)),
        Trial::test("docs::rxpath", || check_behaviours(&read("docs/rxpath.md")?)),
        Trial::test("docs::what_does_not_exist_is_found", finds_what_is_wrong),
    ]
}

/// All 69 labels, in order, each with something that exists or a refusal.
fn check_requirements(text: &str) -> Result<(), Failed> {
    let rows = rows(text);
    let labels: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    let expected: Vec<String> = (1..=69).map(|n| format!("MUST-{n}")).collect();
    if labels != expected {
        return Err(format!("the labels are {labels:?}").into());
    }
    for row in rows {
        let [label, _, cell] = row[..] else { return Err(format!("{}: not three columns", row[0]).into()) };
        let names = names(cell);
        let excused = ["Refused", "Open:"].iter().any(|word| cell.contains(word));
        if names.is_empty() && !excused {
            return Err(format!("{label} names no test and gives no reason").into());
        }
        exist(label, &names)?;
    }
    Ok(())
}

/// Every row names tests that exist, and every folder of scripts has a row.
fn check_rows(text: &str) -> Result<(), Failed> {
    let mut covered = BTreeSet::new();
    for row in rows(text) {
        let [area, _, _, cell] = row[..] else { return Err(format!("{}: not four columns", row[0]).into()) };
        let names = names(cell);
        let folders = names.iter().filter_map(|name| name.strip_suffix('/'));
        covered.extend(folders.map(str::to_owned));
        if names.is_empty() && !cell.starts_with("Not there") {
            return Err(format!("{area} names no test").into());
        }
        exist(area, &names)?;
    }
    let root = root().join("tests/conformance/scripts");
    for script in scripts(&root) {
        let folder = script.strip_prefix(&root).unwrap().parent().unwrap().to_string_lossy().into_owned();
        if !covered.contains(&folder) {
            return Err(format!("the scripts of {folder}/ belong to no row of docs/transport.md").into());
        }
    }
    Ok(())
}

/// All 54 behaviours, in order, each with a place that exists and with a test or a reason.
fn check_behaviours(text: &str) -> Result<(), Failed> {
    let rows = rows(text);
    let numbers: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    let expected: Vec<String> = (1..=54).map(|n| n.to_string()).collect();
    if numbers != expected {
        return Err(format!("the rows are {numbers:?}").into());
    }
    for row in rows {
        let [number, _, place, cell] = row[..] else { return Err(format!("{}: not four columns", row[0]).into()) };
        let names = names(cell);
        if !names.iter().any(|name| name.contains('/')) && !cell.starts_with("Open:") {
            return Err(format!("row {number} names no test and gives no reason").into());
        }
        for place in self::names(place) {
            if !root().join(place).exists() {
                return Err(format!("row {number}: there is no {place}").into());
            }
        }
        // What is no path is a word of Linux's.
        exist(number, &names.into_iter().filter(|name| name.contains('/')).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// The cells of a table's rows, without its head.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().filter(|line| line.starts_with('|')).skip(2);
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// What stands between backticks.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn exist(row: &str, names: &[&str]) -> Result<(), Failed> {
    for name in names {
        let found = match name.split_once("::") {
            Some((file, test)) => {
                let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
                text.contains(&format!("fn {test}("))
            }
            None if name.ends_with('/') => root().join("tests/conformance/scripts").join(name).is_dir(),
            None => root().join("tests/conformance/scripts").join(format!("{name}.pkt")).is_file(),
        };
        if !found {
            return Err(format!("{row}: there is no {name}").into());
        }
    }
    Ok(())
}

/// A check that cannot fail would be worthless.
fn finds_what_is_wrong() -> Result<(), Failed> {
    let text = read("docs/rfc9293.md")?;
    let wrong = [
        ("`rto/karn`", "`rto/carn`", "rto/carn"),
        ("one_batch_is_answered_with_one_acknowledgement", "one_batch", "one_batch"),
        ("`rto/karn`", "", "names no test"),
        ("| MUST-40 |", "| MUST-4O |", "the labels are"),
    ];
    for (from, to, message) in wrong {
        match check_requirements(&text.replace(from, to)) {
            Err(error) if error.message().is_some_and(|said| said.contains(message)) => {}
            other => return Err(format!("{to:?} instead of {from:?} gives {other:?}").into()),
        }
    }
    let text = read("docs/transport.md")?;
    match check_rows(&text.replace("`udp/`, ", "`ip/`, ")) {
        Err(_) => {}
        Ok(()) => return Err("a row without its scripts was not missed".into()),
    }
    let text = read("docs/rxpath.md")?;
    let wrong = [
        ("::the_published_vectors_hold", "::the_vectors_hold", "the_vectors_hold"),
        ("| `net/src/nic/rss.rs` |", "| `net/src/nic/rsss.rs` |", "rsss.rs"),
        ("| `net/src/irq/softirq.rs::vectors_run_in_the_order_of_their_bits` |", "| It is so |", "names no test"),
        ("| 54 |", "| 55 |", "the rows are"),
    ];
    for (from, to, message) in wrong {
        match check_behaviours(&text.replace(from, to)) {
            Err(error) if error.message().is_some_and(|said| said.contains(message)) => {}
            other => return Err(format!("{to:?} instead of {from:?} gives {other:?}").into()),
        }
    }
    Ok(())
}

fn read(file: &str) -> Result<String, Failed> {
    std::fs::read_to_string(root().join(file)).map_err(|error| format!("{file}: {error}").into())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
