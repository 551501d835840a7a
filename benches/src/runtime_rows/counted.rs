//! The rows whose instructions are counted.

use crate::run::with_warm_up;
use crate::runtime_rows::tasks::{CHAIN, SPAWNED, YIELDING_TASKS, YIELDS_EACH};

/// A row, and two lengths of its run: what the longer one executes beyond the shorter one is the row's own work.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// The row's name.
    pub row: &'static str,
    /// In the table.
    pub title: &'static str,
    operations: usize,
    /// Requests of the shorter run.
    pub few: u64,
    /// Requests of the longer run.
    pub more: u64,
}

pub(crate) const WAKE_AND_POLL: &str = "wake-poll";

/// What is counted.
pub const COUNTED: [Counted; 7] = [
    Counted { row: "spawn-join-one", title: "spawn + join one", operations: 1, few: 1000, more: 11_000 },
    Counted { row: "spawn-many", title: "spawn 10,000, then join (each)", operations: SPAWNED, few: 1, more: 4 },
    Counted { row: "spawn-outside", title: "spawn from outside (each)", operations: SPAWNED, few: 1, more: 4 },
    Counted { row: "spawn-chain", title: "chained spawn", operations: CHAIN, few: 5, more: 35 },
    Counted { row: "yield-one", title: "yield_now, one task", operations: 1, few: 1000, more: 11_000 },
    Counted {
        row: "yield-many",
        title: "yield_now, 200 tasks",
        operations: YIELDING_TASKS * YIELDS_EACH,
        few: 1,
        more: 3,
    },
    Counted { row: WAKE_AND_POLL, title: "one wake + poll", operations: 2, few: 1000, more: 11_000 },
];

impl Counted {
    /// Instructions an operation, from what both runs executed in all.
    #[must_use]
    pub fn each(&self, of_few: f64, of_more: f64) -> f64 {
        let requests = with_warm_up(self.more) - with_warm_up(self.few);
        (of_more - of_few) / (requests as f64 * self.operations as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_difference_counts() {
        let counted = Counted { row: "", title: "", operations: 10, few: 10, more: 110 };
        // 12 requests and 122, at 70 instructions an operation and a start of 5000.
        assert_eq!(counted.each(5000.0 + 12.0 * 700.0, 5000.0 + 122.0 * 700.0), 70.0);
    }
}
