//! The page in a browser: headless Chromium opens it in frames of two widths, in light and in dark.

use super::Report;
use super::page::{charts, html};
use crate::model::MODELS;
use crate::plan::FULL;
use crate::results::{About, Herd, Line, Results};
use crate::workload::Pattern;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// Everybody under every workload, with figures that differ, and cells of every kind.
fn results() -> Results {
    let mut results = Results {
        about: About {
            date: "2026-12-01".to_owned(),
            machine: "2 x CPU, Linux 6.18".to_owned(),
            command: "cargo run --release -p wakeline-benches --bin contrast -- --rounds 2".to_owned(),
            rounds: 2,
            run_ms: 100,
            elapsed_s: 10,
            no_syscalls: None,
        },
        ..Results::default()
    };
    for (number, model) in MODELS.iter().enumerate() {
        for &workload in FULL {
            for round in 0..2 {
                let failed =
                    model.can_not(workload).or((workload.pattern == Pattern::Connect).then(|| "it <hung>".to_owned()));
                let value = (1.0 + number as f64) * (1.0 + round as f64 * 0.1) * (workload.connections as f64).sqrt();
                let names = [
                    "closed.rate",
                    "closed.p50_us",
                    "closed.p99_us",
                    "fixed.p99_us",
                    "closed.cpu_us",
                    "closed.voluntary",
                ];
                let figures = names.into_iter().chain(["closed.involuntary", "bytes_per_connection", "threads"]);
                results.lines.push(Line {
                    round,
                    model: model.path(),
                    workload: workload.to_string(),
                    figures: if failed.is_none() {
                        figures.map(|name| (name.to_owned(), value * 100.0)).collect()
                    } else {
                        [].into()
                    },
                    failed,
                });
            }
        }
    }
    results.herd.push(Herd {
        network: "os".to_owned(),
        way: "accept on one listener".to_owned(),
        entry: "exclusive".to_owned(),
        failed: None,
        sleepers: 8,
        woken: 1,
        useful: 1,
    });
    results
}

#[test]
fn a_document_gets_its_tables_and_keeps_its_words() {
    let document = "one\n<!-- contrast: herd -->\nold\n<!-- /contrast -->\ntwo\n<!-- contrast: os closed.rate -->\n<!-- /contrast -->\n";
    let results = results();
    let report = Report { results: &results, again: None };
    let updated = report.updated(document).unwrap();
    assert!(
        updated.starts_with("one\n<!-- contrast: herd -->\n| way to wait |") && !updated.contains("old"),
        "{updated}"
    );
    assert!(
        updated.contains("| thread per connection | 105 |") && updated.ends_with("<!-- /contrast -->\n"),
        "{updated}"
    );
    assert_eq!(report.updated(&updated).unwrap(), updated);
    assert!(report.updated("<!-- contrast: pigeons -->\n<!-- /contrast -->").is_err());
}

#[test]
fn the_page_is_whole_at_both_widths_and_in_both_schemes() {
    let Some(browser) = browser() else { return };
    let results = results();
    let charts = charts(&results);
    assert!(charts.len() >= 12, "six for each network: {}", charts.len());
    for scheme in [Scheme::Light, Scheme::Dark] {
        let seen = open(&browser, &html(Report { results: &results, again: Some(&results) }), scheme);
        assert_eq!(seen.console, "", "{scheme:?}");
        for (width, frame) in [1280, 390].into_iter().zip(&seen.frames) {
            let number = |name: &str| frame[name].as_f64().unwrap_or_else(|| panic!("{name} at {width}: {frame}"));
            assert_eq!(number("width"), f64::from(width));
            assert!(number("scrollWidth") <= f64::from(width), "overflows at {width}, {scheme:?}: {frame}");
            assert_eq!(number("charts"), charts.len() as f64, "{width}: {frame}");
            assert!(number("marks") > 100.0 && number("undrawn") == 0.0, "{width}: {frame}");
            assert!(number("smallestLetter") >= 11.0, "{width}: {frame}");
            assert_eq!(frame["dark"].as_bool(), Some(scheme == Scheme::Dark), "{width}: {frame}");
            assert!(number("contrast") >= 4.5 && number("lineContrast") >= 3.0, "{width}, {scheme:?}: {frame}");
        }
    }
}

/// The checks see what they are for.
#[test]
fn a_bad_page_is_seen() {
    let Some(browser) = browser() else { return };
    let wide = "<p style=\"width:2000px\">wide</p><script>console.error('broken')</script></main>";
    let bad = html(Report { results: &results(), again: None }).replacen("</main>", wide, 1);
    let seen = open(&browser, &bad, Scheme::Light);
    assert!(seen.console.contains("broken"), "{}", seen.console);
    assert!(seen.frames.iter().all(|frame| frame["scrollWidth"].as_f64() > Some(1280.0)), "{:?}", seen.frames);
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Scheme {
    Dark = 0,
    Light = 1,
}

/// What the browser has told.
struct Seen {
    console: String,
    /// At 1280 and at 390 pixels.
    frames: Vec<Value>,
}

/// Chromium, unless there is none: then the test says so and is skipped.
fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name))).find(|file| file.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: the page was not opened, there is no Chromium");
    }
    found
}

fn open(browser: &std::path::Path, page: &str, scheme: Scheme) -> Seen {
    let folder = std::env::temp_dir().join(format!(
        "wakeline-contrast-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("frames.html");
    std::fs::write(&file, frames(page)).unwrap();
    let output = Command::new(browser)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("--blink-settings=preferredColorScheme={}", scheme as u8))
        .args(["--hide-scrollbars", "--window-size=1800,900", "--virtual-time-budget=10000", "--dump-dom"])
        .arg(format!("file://{}", file.display()))
        .output()
        .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let (dom, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let told = dom.rsplit_once("<pre>").and_then(|(_, rest)| rest.split_once("</pre>"));
    let told = told.unwrap_or_else(|| panic!("the browser told nothing: {dom} {log}")).0;
    let frames: Vec<Value> = serde_json::from_str(told).unwrap_or_else(|error| panic!("{error}: {told}"));
    Seen { console: log.lines().filter(|line| line.contains("CONSOLE")).collect(), frames }
}

/// The page in two frames, and a script that looks at both: a window is never as narrow as a telephone.
fn frames(page: &str) -> String {
    let page = crate::table::escaped(page);
    let frame =
        |width: u32| format!("<iframe style=\"width:{width}px;height:800px;border:0\" srcdoc=\"{page}\"></iframe>");
    format!(
        "<!doctype html><meta charset=\"utf-8\"><meta name=\"color-scheme\" content=\"light dark\"><body>{}{}<script>{}</script>",
        frame(1280),
        frame(390),
        include_str!("look_at_frames.js")
    )
}
