//! The page: headings, charts, tables; no script, and nothing that would have to be fetched.

use super::Report;
use super::chart::{Bar, Body, Chart, NARROW, Series, WIDE};
use super::look::{self, CHART, COLOURS};
use crate::claims;
use crate::model::{Model, Network};
use crate::results::{About, Cell, Results};
use crate::table::{self, HEADLINE, escaped};
use crate::workload::size_text;

/// The page.
pub(crate) fn html(report: Report<'_>) -> String {
    let results = report.results;
    let about = &results.about;
    let mut body = format!(
        "<h1>The contrast</h1>\n<p>What it costs to block a thread per socket, to block on an aggregator, to be signalled, and to \
         hold a Waker: on the operating system's network and on wakeline's emulated one.</p>\n\
         <p class=\"note\">{}, {}. {}. <code>{}</code></p>\n",
        escaped(&about.machine),
        escaped(&about.date),
        rounds_text(about),
        escaped(&about.command)
    );
    let charts = charts(results);
    for network in Network::ALL {
        if !results.models().iter().any(|model| model.network() == network) {
            continue;
        }
        body += &format!("<h2>{}</h2>\n", capitalised(network.title()));
        body += &figure(&table::headline(results, network));
        for (_, chart) in charts.iter().filter(|(name, _)| name.starts_with(network.name())) {
            body += &drawn(chart);
        }
        body += &details("Who waits where", &table::entries(results, network).to_html());
        let tables = table::all(results, network);
        let all: String = tables
            .iter()
            .skip(1)
            .map(|table| format!("<h3>{}</h3>\n{}", escaped(&capitalised(&table.title)), table.to_html()))
            .collect();
        body += &details("All figures", &all);
    }
    if !results.herd.is_empty() {
        body += "<h2>The thundering herd</h2>\n<p>Several wait for the same thing, and one event comes: how many are woken, and how \
                 many of them find something?</p>\n";
        body += &table::herd(results).to_html();
    }
    body += "<h2>What is claimed</h2>\n<p>Each line is a ranking: whoever has more has at least so many times the figure of whoever has less.</p>\n";
    body += &claims::table(&report.runs()).to_html();
    body += &format!("<h2>Method</h2>\n<ul>\n{}</ul>\n", method());
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>The contrast: who waits how</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<style>\n{COLOURS}{CHART}{PAGE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

const PAGE: &str = include_str!("page.css");

/// 3 rounds of 700 ms for each run, 1,234 s in all.
pub(crate) fn rounds_text(about: &About) -> String {
    let rounds = match about.rounds {
        1 => "1 round (not to be quoted)".to_owned(),
        rounds => format!("{rounds} rounds"),
    };
    format!("{rounds}, {} ms for each run, {} s in all", about.run_ms, about.elapsed_s)
}

fn figure(table: &table::Table) -> String {
    format!("<h3>{}</h3>\n{}", escaped(&capitalised(&table.title)), table.to_html())
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn details(summary: &str, inside: &str) -> String {
    format!("<details><summary>{summary}</summary>\n{inside}</details>\n")
}

fn drawn(chart: &Chart) -> String {
    format!(
        "<figure>\n<figcaption>{}</figcaption>\n<div class=\"wide\">{}</div>\n<div class=\"narrow\">{}</div>\n</figure>\n",
        escaped(&chart.title),
        chart.to_svg(WIDE),
        chart.to_svg(NARROW)
    )
}

/// What the sources say of how it is done.
fn method() -> String {
    let mut items: Vec<String> = Vec::new();
    let lines = include_str!("../main.rs").lines().map_while(|line| line.strip_prefix("//!"));
    for line in lines.skip_while(|line| line.trim() != "# Method").skip(1) {
        match (line.strip_prefix(" - "), items.last_mut()) {
            (Some(first), _) => items.push(first.to_owned()),
            (None, Some(item)) => *item += line.get(2..).map_or("", |rest| rest),
            (None, None) => {}
        }
    }
    items.iter().map(|item| format!("<li>{}</li>\n", escaped(&item.replace('`', "")))).collect()
}

/// All charts that have something in them, each with the name of its file.
pub(crate) fn charts(results: &Results) -> Vec<(String, Chart)> {
    let mut charts = Vec::new();
    for network in Network::ALL {
        let over = size_text(HEADLINE.size);
        for (name, figure, what) in [
            ("rate", "closed.rate", format!("Messages per second, {over}, closed loop: more is better")),
            ("p99-closed", "closed.p99_us", format!("p99 latency in us, {over}, closed loop: less is better")),
            (
                "p99-fixed",
                "fixed.p99_us",
                format!("p99 latency in us, {over}, at a fixed rate that is the same for all: less is better"),
            ),
        ] {
            charts.push((name, network, what, lines(results, network, figure)));
        }
        let at = format!("{} connections, {over}", HEADLINE.connections);
        let switches: &[(&str, &str)] = &[("voluntary", "closed.voluntary"), ("involuntary", "closed.involuntary")];
        charts.push((
            "switches",
            network,
            format!("Context switches per message, {at}: voluntary, then involuntary"),
            bars(results, network, switches),
        ));
        charts.push((
            "cpu",
            network,
            format!("CPU time of the server per message in us, {at}"),
            bars(results, network, &[("CPU", "closed.cpu_us")]),
        ));
        charts.push((
            "memory",
            network,
            format!("Bytes of the process per connection, {at}"),
            bars(results, network, &[("bytes", "bytes_per_connection")]),
        ));
    }
    let named = |(name, network, title, body): (&str, Network, String, Body)| {
        (format!("{}-{name}", network.name()), Chart { title, body })
    };
    charts.into_iter().map(named).filter(|(_, chart)| !chart.is_empty()).collect()
}

fn of(results: &Results, network: Network) -> impl Iterator<Item = &'static Model> {
    results.models().into_iter().filter(move |model| model.network() == network)
}

fn lines(results: &Results, network: Network, figure: &str) -> Body {
    let workloads = table::by_connections(results);
    let series = of(results, network).map(|model| {
        let point = |workload| {
            let cell = results.cell(model, workload);
            let remark = if cell.is_noisy(figure) { " (noisy)" } else { "" };
            Some((workload.connections as f64, cell.median(figure).filter(|value| *value > 0.0)?, remark))
        };
        let points = workloads.iter().copied().filter_map(point).collect();
        Series { name: model.title.to_owned(), look: look::of(model), points }
    });
    Body::Lines {
        series: series.collect(),
        x_title: "connections".to_owned(),
        ticks: workloads.iter().map(|workload| workload.connections as f64).collect(),
    }
}

fn bars(results: &Results, network: Network, parts: &[(&str, &str)]) -> Body {
    let bar = |model: &'static Model| {
        let cell = results.cell(model, HEADLINE);
        let value = |(name, figure): &(&str, &str)| Some(((*name).to_owned(), cell.median(figure)?));
        let values: Option<Vec<_>> = parts.iter().map(value).collect();
        let why = match &cell {
            Cell::Failed(why) => why.clone(),
            _ => "not measured".to_owned(),
        };
        Bar {
            name: model.title.to_owned(),
            look: look::of(model),
            parts: values.ok_or(why),
            is_noisy: parts.iter().any(|(_, figure)| cell.is_noisy(figure)),
        }
    };
    Body::Bars(of(results, network).map(bar).collect())
}
