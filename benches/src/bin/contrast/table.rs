//! The tables, each made once and written for people, for a document and for the page.

use crate::model::{Model, Network};
use crate::results::{Cell, Results};
use crate::workload::{Pattern, Workload, size_text};
use std::fmt::Write as _;
use wakeline_benches::row::grouped;

/// A table whose first column names the row.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
    /// Why cells are empty: `a`, `b`, ..
    pub(crate) notes: Vec<String>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, head: impl IntoIterator<Item = impl Into<String>>) -> Table {
        let head = head.into_iter().map(Into::into).collect();
        Table { title: title.into(), head, rows: vec![], notes: vec![] }
    }

    /// The text of one figure of a cell; a note if there is none.
    fn text(&mut self, cell: &Cell, figure: &str) -> String {
        match (cell, cell.median(figure)) {
            (_, Some(value)) if cell.is_noisy(figure) => format!("{} ?", number(value)),
            (_, Some(value)) => number(value),
            (Cell::Failed(why), _) => format!("({})", self.note(why)),
            (Cell::Measured(figures), _) if figure.starts_with("syscalls.") && figures.contains_key("closed.rate") => {
                format!("({})", self.note(NOT_COUNTED))
            }
            _ => String::new(),
        }
    }

    pub(crate) fn note(&mut self, why: &str) -> char {
        let at = self.notes.iter().position(|note| note == why).unwrap_or_else(|| {
            self.notes.push(why.to_owned());
            self.notes.len() - 1
        });
        char::from(b'a' + u8::try_from(at).unwrap_or(25).min(25))
    }

    fn noted(&self) -> impl Iterator<Item = String> + '_ {
        (b'a'..=b'z').map(char::from).zip(&self.notes).map(|(letter, note)| format!("({letter}) {note}"))
    }

    pub(crate) fn to_text(&self) -> String {
        let widths: Vec<usize> = (0..self.head.len()).map(|column| self.width(column)).collect();
        let mut text = format!("{}\n", self.title);
        for row in std::iter::once(&self.head).chain(&self.rows) {
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let _ = if column == 0 { write!(text, "  {cell:<width$}") } else { write!(text, "  {cell:>width$}") };
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        self.noted().for_each(|note| text.push_str(&format!("  {note}\n")));
        text
    }

    fn width(&self, column: usize) -> usize {
        std::iter::once(&self.head).chain(&self.rows).map(|row| row[column].chars().count()).max().unwrap_or(0)
    }

    pub(crate) fn to_markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = line(&self.head);
        text += &format!("|---|{}\n", "---:|".repeat(self.head.len() - 1));
        self.rows.iter().for_each(|row| text += &line(row));
        if !self.notes.is_empty() {
            text += &format!("\n{}\n", self.noted().collect::<Vec<_>>().join("; "));
        }
        text
    }

    pub(crate) fn to_html(&self) -> String {
        let line = |cells: &[String], tag: &str| {
            let cells = cells.iter().enumerate().map(|(column, cell)| match column {
                0 => format!("<th scope=\"row\">{}</th>", escaped(cell)),
                _ => format!("<{tag}>{}</{tag}>", escaped(cell)),
            });
            format!("<tr>{}</tr>\n", cells.collect::<String>())
        };
        let rows: String = self.rows.iter().map(|row| line(row, "td")).collect();
        let notes: String = self.noted().map(|note| format!("<p class=\"note\">{}</p>\n", escaped(&note))).collect();
        format!(
            "<div class=\"scroll\"><table>\n<thead>{}</thead>\n<tbody>{rows}</tbody>\n</table></div>\n{notes}",
            line(&self.head, "th")
        )
    }
}

/// Text in the page.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Three digits that count.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => grouped(value),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.0995 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// What counting asks for: root, and a descriptor for each thread of the server beside those of the load's connections.
const NOT_COUNTED: &str = "not counted: it takes root, and a descriptor for each thread";

/// A figure and its heading.
type Column = (&'static str, &'static str);

/// The workload that the headline is about.
pub(crate) const HEADLINE: Workload = Workload::new(Pattern::Request, 64, 64);

const HEADLINE_OS: &[Column] = &[
    ("closed.rate", "messages/s"),
    ("closed.p50_us", "p50, us"),
    ("closed.p99_us", "p99, us"),
    ("fixed.p99_us", "p99 at a fixed rate, us"),
    ("closed.cpu_us", "CPU, us"),
    ("closed.voluntary", "voluntary switches"),
    ("closed.involuntary", "involuntary"),
    ("syscalls.all", "system calls"),
    ("closed.returns", "returns"),
    ("closed.spurious", "spurious"),
    ("threads", "threads"),
];

const HEADLINE_EMULATED: &[Column] = &[
    ("closed.rate", "messages/s"),
    ("closed.p50_us", "p50, us"),
    ("closed.p99_us", "p99, us"),
    ("fixed.p99_us", "p99 at a fixed rate, us"),
    ("closed.cpu_us", "CPU, us"),
    ("closed.voluntary", "voluntary switches"),
    ("closed.involuntary", "involuntary"),
    ("closed.returns", "returns"),
    ("closed.spurious", "spurious"),
    ("closed.irqs", "IRQs"),
    ("closed.polls", "NAPI polls"),
    ("closed.packets_per_poll", "packets/poll"),
    ("closed.wakeups", "wake-ups"),
    ("threads", "threads"),
];

/// What a message costs at 64 connections.
pub(crate) fn headline(results: &Results, network: Network) -> Table {
    let columns = if network == Network::Os { HEADLINE_OS } else { HEADLINE_EMULATED };
    let title =
        format!("{}: {} connections, {}, per message", network.title(), HEADLINE.connections, size_text(HEADLINE.size));
    let mut table = Table::new(title, std::iter::once("model").chain(columns.iter().map(|(_, heading)| *heading)));
    for model in models(results, network) {
        let cell = results.cell(model, HEADLINE);
        let mut row = vec![model.title.to_owned()];
        for (figure, _) in columns {
            row.push(table.text(&cell, figure));
        }
        table.rows.push(row);
    }
    if network == Network::Os
        && let Some(why) = &results.about.no_syscalls
    {
        table.note(why);
    }
    table
}

/// The system calls of a message, by name.
fn syscalls(results: &Results) -> Table {
    let title = format!("{}: system calls per message, {}", Network::Os.title(), work_text(HEADLINE));
    let mut table = Table::new(title, ["model", "all", "by name"]);
    for model in models(results, Network::Os) {
        let Cell::Measured(figures) = results.cell(model, HEADLINE) else { continue };
        let all = figures.get("syscalls.all").map(|samples| number(samples.median()));
        let mut named: Vec<_> = figures
            .iter()
            .filter_map(|(name, samples)| Some((name.strip_prefix("syscalls.")?, samples.median())))
            .filter(|(name, count)| *name != "all" && *count >= 0.005)
            .collect();
        named.sort_by(|one, other| other.1.total_cmp(&one.1));
        let named: Vec<_> = named.into_iter().map(|(name, count)| format!("{name} {}", number(count))).collect();
        table.rows.push(vec![model.title.to_owned(), all.unwrap_or_default(), named.join(", ")]);
    }
    table
}

fn models(results: &Results, network: Network) -> impl Iterator<Item = &'static Model> {
    results.models().into_iter().filter(move |model| model.network() == network)
}

/// The headline of both networks, a line for each way to wait.
pub(crate) fn summary(results: &Results) -> Table {
    const COLUMNS: [Column; 4] = [
        ("closed.rate", "messages/s"),
        ("closed.p99_us", "p99, us"),
        ("closed.cpu_us", "CPU, us"),
        ("closed.voluntary", "switches"),
    ];
    let head =
        Network::ALL.iter().flat_map(|network| COLUMNS.map(|(_, heading)| format!("{}: {heading}", network.name())));
    let mut table = Table::new("both networks", std::iter::once("way to wait".to_owned()).chain(head));
    let mut names: Vec<&str> = Vec::new();
    for model in results.models() {
        if names.contains(&model.name) {
            continue;
        }
        names.push(model.name);
        let mut row = vec![model.title.to_owned()];
        for network in Network::ALL {
            let fellow = models(results, network).find(|fellow| fellow.name == model.name);
            let cell = fellow.map_or(Cell::Empty, |fellow| results.cell(fellow, HEADLINE));
            for (figure, _) in COLUMNS {
                row.push(table.text(&cell, figure));
            }
        }
        table.rows.push(row);
    }
    table
}

/// A table of a document: `os headline`, `os syscalls`, `emulated closed.rate` by connections, `os work closed.rate` by work.
pub(crate) fn named(results: &Results, name: &str) -> Option<Table> {
    let (network, what) = name.split_once(' ')?;
    let network = Network::ALL.into_iter().find(|known| known.name() == network)?;
    if what == "syscalls" {
        return Some(syscalls(results));
    }
    if what == "headline" {
        return Some(headline(results, network));
    }
    if let Some(figure) = what.strip_prefix("work ") {
        return Some(matrix(results, network, String::new(), &by_work(results), work_text, figure));
    }
    let count = |workload: Workload| grouped(workload.connections as f64);
    Some(matrix(results, network, String::new(), &by_connections(results), count, what))
}

/// One figure of several workloads.
fn matrix(
    results: &Results,
    network: Network,
    title: String,
    workloads: &[Workload],
    heading: fn(Workload) -> String,
    figure: &str,
) -> Table {
    let mut table =
        Table::new(title, std::iter::once("model".to_owned()).chain(workloads.iter().copied().map(heading)));
    for model in models(results, network) {
        let mut row = vec![model.title.to_owned()];
        for &workload in workloads {
            let cell = results.cell(model, workload);
            row.push(table.text(&cell, figure));
        }
        table.rows.push(row);
    }
    table
}

/// The workloads that differ from the headline in their connections only.
pub(crate) fn by_connections(results: &Results) -> Vec<Workload> {
    let is_alike = |w: &Workload| w.pattern == HEADLINE.pattern && w.size == HEADLINE.size;
    results.workloads().into_iter().filter(is_alike).collect()
}

/// The others.
fn by_work(results: &Results) -> Vec<Workload> {
    let is_alike = |w: &Workload| w.pattern == HEADLINE.pattern && w.size == HEADLINE.size;
    results.workloads().into_iter().filter(|workload| !is_alike(workload)).collect()
}

fn work_text(workload: Workload) -> String {
    format!("{}, {}, {}", workload.pattern.title(), grouped(workload.connections as f64), size_text(workload.size))
}

/// Everything about one network, table by table.
pub(crate) fn all(results: &Results, network: Network) -> Vec<Table> {
    let connections = by_connections(results);
    let count = |workload: Workload| grouped(workload.connections as f64);
    let over = |what: &str| {
        format!("{}: {what}, by connections ({}, request and response)", network.title(), size_text(HEADLINE.size))
    };
    // The emulated network makes no system calls.
    let has = |(figure, _): &Column| network == Network::Os || !figure.starts_with("syscalls.");
    let mut tables = vec![headline(results, network)];
    if network == Network::Os {
        tables.push(syscalls(results));
    }
    for (figure, what) in [
        ("closed.rate", "messages/s"),
        ("closed.p99_us", "p99, us, closed loop"),
        ("fixed.p50_us", "p50, us, at a fixed rate"),
        ("fixed.p99_us", "p99, us, at a fixed rate"),
        ("fixed.p999_us", "p99.9, us, at a fixed rate"),
        ("fixed.max_us", "slowest, us, at a fixed rate"),
        ("closed.cpu_us", "CPU per message, us"),
        ("closed.voluntary", "voluntary context switches per message"),
        ("closed.involuntary", "involuntary context switches per message"),
        ("syscalls.all", "system calls per message"),
        ("closed.returns", "returns from waiting per message"),
        ("bytes_per_connection", "bytes per connection"),
        ("threads", "threads"),
    ]
    .into_iter()
    .filter(has)
    {
        tables.push(matrix(results, network, over(what), &connections, count, figure));
    }
    let work = by_work(results);
    for (figure, what) in [
        ("closed.rate", "messages/s"),
        ("closed.p99_us", "p99, us, closed loop"),
        ("fixed.p99_us", "p99, us, at a fixed rate"),
        ("closed.cpu_us", "CPU per message, us"),
        ("closed.voluntary", "voluntary context switches per message"),
        ("syscalls.all", "system calls per message"),
    ]
    .into_iter()
    .filter(has)
    {
        let title = format!("{}: {what}, by work", network.title());
        tables.push(matrix(results, network, title, &work, work_text, figure));
    }
    tables
}

/// What each model is.
pub(crate) fn entries(results: &Results, network: Network) -> Table {
    let mut table =
        Table::new(format!("{}: who waits where", network.title()), ["model", "entry in the socket's wait queue"]);
    table.rows = models(results, network).map(|model| vec![model.title.to_owned(), model.entry.to_owned()]).collect();
    table
}

/// The thundering herd.
pub(crate) fn herd(results: &Results) -> Table {
    let head = ["way to wait", "network", "sleepers", "woken", "of use", "entry"];
    let mut table = Table::new("one event, several sleepers", head);
    for herd in results.herd.clone() {
        let mut row = vec![herd.way.clone(), herd.network.clone()];
        match &herd.failed {
            None => row.extend([herd.sleepers, herd.woken, herd.useful].map(|count| count.to_string())),
            Some(why) => {
                let note = format!("({})", table.note(why));
                row.extend([herd.sleepers.to_string(), note.clone(), note]);
            }
        }
        row.push(herd.entry);
        table.rows.push(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_the_same_in_every_form() {
        let mut table = Table::new("t", ["model", "messages/s"]);
        let note = table.note("at most 1000: FD_SETSIZE");
        assert_eq!(table.note("at most 1000: FD_SETSIZE"), note);
        table.rows = vec![vec!["a<b".to_owned(), "1,234".to_owned()], vec!["c".to_owned(), format!("({note})")]];
        assert_eq!(
            table.to_text(),
            "t\n  model  messages/s\n  a<b         1,234\n  c             (a)\n  (a) at most 1000: FD_SETSIZE\n"
        );
        assert_eq!(
            table.to_markdown(),
            "| model | messages/s |\n|---|---:|\n| a<b | 1,234 |\n| c | (a) |\n\n(a) at most 1000: FD_SETSIZE\n"
        );
        let html = table.to_html();
        assert!(html.contains("<th scope=\"row\">a&lt;b</th><td>1,234</td>"), "{html}");
    }

    #[test]
    fn a_number_has_three_digits_that_count() {
        let check = |value, text: &str| assert_eq!(number(value), text);
        check(0.0, "0.00");
        check(0.0123, "0.012");
        check(1.0, "1.00");
        check(12.34, "12.3");
        check(123_456.7, "123,457");
    }
}
