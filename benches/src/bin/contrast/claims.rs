//! What docs/contrast.md claims: rankings, each with the least ratio at which it is worth a sentence, held against a result.
//!
//! The text has no figures of its own. A sentence in it that ranks something stands here, too, and the table of these is the
//! text's last; a second run shows whether they are of the machine or of the moment.

use crate::model::Model;
use crate::results::Results;
use crate::table::{HEADLINE, Table, number};
use crate::workload::{Pattern, Workload};

/// Whatever stands in `more` has at least `least` times the figure of whatever stands in `less`.
#[derive(Debug)]
struct Claim {
    text: &'static str,
    figure: &'static str,
    workload: Workload,
    more: &'static [&'static str],
    less: &'static [&'static str],
    least: f64,
}

const CALLS: &str = "syscalls.all";
const CPU: &str = "closed.cpu_us";
const MEMORY: &str = "bytes_per_connection";
const RATE: &str = "closed.rate";
const SLEEPS: &str = "closed.voluntary";

const ONE: Workload = Workload::new(Pattern::Request, 1, 64);
const MANY: Workload = Workload::new(Pattern::Request, 4096, 64);
const IDLE: Workload = Workload::new(Pattern::Idle, 512, 64);
const MOST_IDLE: Workload = Workload::new(Pattern::Idle, 10_000, 64);

/// io_uring, and everybody else.
const OS: &[&str] = &[
    "os/completion",
    "os/blocking",
    "os/select",
    "os/poll",
    "os/epoll-lt",
    "os/epoll-et",
    "os/sigio",
    "os/wakeline-ct",
    "os/wakeline-mt",
    "os/tokio-ct",
    "os/tokio-mt",
    "os/smol-ct",
    "os/smol-mt",
];

/// In the order of the text.
const CLAIMS: &[Claim] = &[
    Claim {
        text: "under load a thread per connection sleeps more than any aggregator (OS)",
        figure: SLEEPS,
        workload: HEADLINE,
        more: &["os/blocking"],
        less: &["os/select", "os/poll", "os/epoll-lt", "os/epoll-et", "os/sigio", "os/completion"],
        least: 2.0,
    },
    Claim {
        text: "under load a thread per connection sleeps more than any aggregator (emulated)",
        figure: SLEEPS,
        workload: HEADLINE,
        more: &["emulated/blocking"],
        less: &["emulated/select", "emulated/poll", "emulated/epoll-lt", "emulated/epoll-et", "emulated/completion"],
        least: 1.5,
    },
    Claim {
        text: "on the OS's network nobody needs a third of the CPU time that another needs",
        figure: CPU,
        workload: HEADLINE,
        more: OS,
        less: OS,
        least: 0.34,
    },
    Claim {
        text: "sigwaitinfo takes about twice the system calls of a level-triggered epoll",
        figure: CALLS,
        workload: HEADLINE,
        more: &["os/sigio"],
        less: &["os/epoll-lt"],
        least: 1.8,
    },
    Claim {
        text: "an edge-triggered epoll reads once more than a level-triggered one",
        figure: CALLS,
        workload: HEADLINE,
        more: &["os/epoll-et"],
        less: &["os/epoll-lt"],
        least: 1.3,
    },
    Claim {
        text: "everybody else makes several times the system calls of io_uring",
        figure: CALLS,
        workload: HEADLINE,
        more: OS.split_at(1).1,
        less: &["os/completion"],
        least: 2.5,
    },
    Claim {
        text: "wakeline's tasks take no third more CPU time than an epoll loop by hand",
        figure: CPU,
        workload: HEADLINE,
        more: &["os/epoll-lt", "os/epoll-et"],
        less: &["os/wakeline-ct"],
        least: 0.75,
    },
    Claim {
        text: "nor a third more than tokio's",
        figure: CPU,
        workload: HEADLINE,
        more: &["os/tokio-ct"],
        less: &["os/wakeline-ct"],
        least: 0.75,
    },
    Claim {
        text: "on the emulated network a thread takes several times the CPU time of a task",
        figure: CPU,
        workload: HEADLINE,
        more: &["emulated/blocking"],
        less: &["emulated/wakeline-ct"],
        least: 3.0,
    },
    Claim {
        text: "tasks answer more messages there than threads, by whatever they wait",
        figure: RATE,
        workload: HEADLINE,
        more: &["emulated/wakeline-ct"],
        less: &[
            "emulated/blocking",
            "emulated/select",
            "emulated/poll",
            "emulated/epoll-lt",
            "emulated/epoll-et",
            "emulated/sigio",
            "emulated/completion",
        ],
        least: 1.3,
    },
    Claim {
        text: "with one connection everybody else but io_uring makes more system calls than a thread that blocks",
        figure: CALLS,
        workload: ONE,
        more: &[
            "os/select",
            "os/poll",
            "os/epoll-lt",
            "os/epoll-et",
            "os/sigio",
            "os/wakeline-ct",
            "os/tokio-ct",
            "os/smol-ct",
        ],
        less: &["os/blocking"],
        least: 1.3,
    },
    Claim {
        text: "of 512 connections five active ones are served faster by epoll than by select or poll (OS)",
        figure: RATE,
        workload: IDLE,
        more: &["os/epoll-lt", "os/epoll-et"],
        less: &["os/select", "os/poll"],
        least: 1.3,
    },
    Claim {
        text: "of 10,000 a hundred are served faster by epoll than by poll (OS)",
        figure: RATE,
        workload: MOST_IDLE,
        more: &["os/epoll-lt", "os/epoll-et"],
        less: &["os/poll"],
        least: 1.5,
    },
    Claim {
        text: "of 10,000 a hundred are served faster by epoll than by poll (emulated)",
        figure: RATE,
        workload: MOST_IDLE,
        more: &["emulated/epoll-lt", "emulated/epoll-et"],
        less: &["emulated/poll"],
        least: 2.0,
    },
    Claim {
        text: "a connection with a thread takes more memory than one with a task",
        figure: MEMORY,
        workload: MANY,
        more: &["os/blocking"],
        less: &["os/wakeline-ct", "os/tokio-ct", "os/smol-ct"],
        least: 1.5,
    },
    Claim {
        text: "and one with a task more than one with an entry in a loop's table",
        figure: MEMORY,
        workload: MANY,
        more: &["os/wakeline-ct", "os/tokio-ct", "os/smol-ct"],
        less: &["os/epoll-lt", "os/epoll-et", "os/poll"],
        least: 2.0,
    },
];

impl Claim {
    /// The smallest ratio of anybody in `more` to anybody in `less`, or who was not measured.
    fn ratio(&self, results: &Results) -> Result<f64, String> {
        let figures = |paths: &[&str]| -> Result<Vec<f64>, String> {
            let figure = |path: &&str| {
                let cell = Model::by_path(path).map(|model| results.cell(model, self.workload));
                let median = cell.ok().and_then(|cell| cell.median(self.figure));
                median.ok_or_else(|| format!("not measured: {path} {}, {}", self.workload, self.figure))
            };
            paths.iter().map(figure).collect()
        };
        let least = figures(self.more)?.into_iter().fold(f64::INFINITY, f64::min);
        let most = figures(self.less)?.into_iter().fold(0.0, f64::max);
        Ok(least / most)
    }
}

/// Each claim, and its ratio in each of `runs`.
pub(crate) fn table(runs: &[&Results]) -> Table {
    let measured =
        (1..=runs.len()).map(|run| if run == 1 { "measured".to_owned() } else { "measured again".to_owned() });
    let head = ["claim", "of", "at", "least ratio"].map(str::to_owned).into_iter().chain(measured);
    let mut table = Table::new("what is claimed", head);
    for claim in CLAIMS {
        let mut row = vec![claim.text.to_owned(), claim.figure.to_owned(), claim.workload.to_string()];
        row.push(number(claim.least));
        for results in runs {
            row.push(match claim.ratio(results) {
                Ok(ratio) if ratio >= claim.least => ratio_text(ratio),
                Ok(ratio) => format!("{}: does not hold", ratio_text(ratio)),
                Err(why) => format!("({})", table.note(&why)),
            });
        }
        table.rows.push(row);
    }
    table
}

fn ratio_text(ratio: f64) -> String {
    if ratio > RATIO_MAX { format!("> {RATIO_MAX}") } else { number(ratio) }
}

/// What is beyond this was divided by about nothing.
const RATIO_MAX: f64 = 1000.0;

/// The claims that do not hold in `results`, or can not be told, each in a line.
pub(crate) fn broken(results: &Results) -> Vec<String> {
    let line = |claim: &Claim| match claim.ratio(results) {
        Ok(ratio) if ratio >= claim.least => None,
        Ok(ratio) => {
            Some(format!("{}: {} at {}: {ratio:.2}, not {}", claim.text, claim.figure, claim.workload, claim.least))
        }
        Err(why) => Some(format!("{}: {why}", claim.text)),
    };
    CLAIMS.iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::FULL;
    use crate::results::Line;

    #[test]
    fn the_matrix_has_every_cell_that_is_claimed_about() {
        for claim in CLAIMS {
            assert!(FULL.contains(&claim.workload), "{}", claim.text);
            for path in claim.more.iter().chain(claim.less) {
                let model = Model::by_path(path).unwrap_or_else(|error| panic!("{}: {error}", claim.text));
                assert_eq!(model.can_not(claim.workload), None, "{}", claim.text);
            }
        }
    }

    #[test]
    fn a_claim_is_about_the_closest_two() {
        let line = |model: &str, figure: f64| Line {
            round: 0,
            model: model.to_owned(),
            workload: ONE.to_string(),
            failed: None,
            figures: [(RATE.to_owned(), figure)].into(),
        };
        let claim = Claim {
            text: "",
            figure: RATE,
            workload: ONE,
            more: &["os/poll", "os/select"],
            less: &["os/epoll-lt", "os/epoll-et"],
            least: 2.0,
        };
        let mut results = Results::default();
        results.lines.extend([line("os/poll", 6.0), line("os/select", 9.0), line("os/epoll-lt", 3.0)]);
        assert!(claim.ratio(&results).is_err_and(|why| why.contains("os/epoll-et")));
        results.lines.push(line("os/epoll-et", 1.0));
        assert_eq!(claim.ratio(&results), Ok(2.0));
        assert_eq!(broken(&results).len(), CLAIMS.len(), "nobody has measured what is claimed");
        let row = &table(&[&results, &results]).rows[0];
        assert_eq!((row.len(), &row[4..]), (6, &["(a)".to_owned(), "(a)".to_owned()][..]));
    }
}
