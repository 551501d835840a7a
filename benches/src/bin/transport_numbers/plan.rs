//! What is measured in which order, and which rows come of it.

use crate::contestants::{Contestant, Promised, Work};
use std::io;
use std::time::Duration;
use wakeline_benches::child::{Figures, call};
use wakeline_benches::row::{Bound, Promise, Row};
use wakeline_benches::samples::Samples;

/// What is to be measured, and how long.
pub(crate) struct Plan {
    pub(crate) contestants: Vec<Contestant>,
    pub(crate) rounds: usize,
    /// Of one measurement.
    pub(crate) time: Duration,
    /// What counted work is divided by.
    pub(crate) fewer: u64,
}

/// One contestant's figures, a set a round; nothing when it has failed.
type Rounds = Option<Vec<Figures>>;

impl Plan {
    /// Measures: every round asks every contestant, beginning with another one each time. Who has failed is not asked again.
    pub(crate) fn carry_out(&self) -> Vec<Row> {
        let mut results: Vec<Rounds> = vec![Some(vec![]); self.contestants.len()];
        for round in 0..self.rounds {
            eprintln!("round {} of {}", round + 1, self.rounds);
            for turn in 0..self.contestants.len() {
                let at = (turn + round) % self.contestants.len();
                self.ask(&self.contestants[at], round, &mut results[at]);
            }
        }
        self.rows(&results)
    }

    fn ask(&self, contestant: &Contestant, round: usize, so_far: &mut Rounds) {
        let Some(rounds) = so_far else { return };
        let amount = match contestant.work {
            Work::Timed(_) | Work::TimedOnAll(_) => format!("{}ms", self.time.as_millis()),
            Work::Counted(usual, _) if round == 0 => format!("{}", usual / self.fewer),
            Work::Counted(..) => return,
        };
        match call(&["once", contestant.name, &amount]) {
            Ok(figures) => rounds.push(figures),
            Err(error) => {
                eprintln!("transport_numbers: {}: {error}", contestant.name);
                *so_far = None;
            }
        }
    }

    fn rows(&self, results: &[Rounds]) -> Vec<Row> {
        let of = |name: &str, figure: &str| {
            let at = self.contestants.iter().position(|contestant| contestant.name == name)?;
            samples(results[at].as_ref()?, figure).ok()
        };
        self.contestants.iter().filter_map(|contestant| row(contestant, &of)).collect()
    }
}

fn row(contestant: &Contestant, of: &dyn Fn(&str, &str) -> Option<Samples>) -> Option<Row> {
    let [first, more @ ..] = contestant.figures else { return None };
    let mine = of(contestant.name, first)?;
    let promise = |promised: &Promised| {
        let (ratio_of, ratio, bound) = match *promised {
            Promised::AtLeast(bound) => (contestant.unit.to_owned(), mine.clone(), Bound::AtLeast(bound)),
            Promised::AtMost(bound) => (contestant.unit.to_owned(), mine.clone(), Bound::AtMost(bound)),
            Promised::FigureAtMost(figure, bound) => {
                (figure.to_owned(), of(contestant.name, figure)?, Bound::AtMost(bound))
            }
            Promised::TimesAtLeast(bound, other) => {
                (format!("this / {other}"), mine.over(&of(other, first)?), Bound::AtLeast(bound))
            }
            Promised::TimesAtMost(bound, other) => {
                (format!("this / {other}"), mine.over(&of(other, first)?), Bound::AtMost(bound))
            }
        };
        Some(Promise { ratio_of, ratio, bound })
    };
    let of_figure = |&figure: &&'static str| Some((figure, of(contestant.name, figure)?.median()));
    Some(Row {
        question: contestant.row,
        what: format!("{}: {}", contestant.name, contestant.what),
        unit: contestant.unit,
        samples: mine.clone(),
        more: more.iter().filter_map(of_figure).collect(),
        promises: contestant.promises.iter().filter_map(promise).collect(),
    })
}

fn samples(rounds: &[Figures], name: &str) -> io::Result<Samples> {
    rounds.iter().map(|figures| figures.get(name)).collect()
}
