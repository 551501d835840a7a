//! The contestants by name, and what each does when it is asked for a row.

use std::io;
use wakeline_benches::contestant::{Contestant, Primitives, Smol, Tokio, Wakeline};
use wakeline_benches::run::Until;
use wakeline_benches::runtime_rows::{self, About, Row, Threads};

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Runtime {
    Wakeline,
    Tokio,
    Smol,
    Threads,
}

/// A contestant: a runtime with so many workers. Threads have none; they stand in both tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Who {
    pub(crate) runtime: Runtime,
    pub(crate) workers: usize,
}

impl Runtime {
    pub(crate) const ALL: [Runtime; 4] = [Runtime::Wakeline, Runtime::Tokio, Runtime::Smol, Runtime::Threads];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Runtime::Wakeline => "wakeline",
            Runtime::Tokio => "tokio",
            Runtime::Smol => "smol",
            Runtime::Threads => "threads",
        }
    }

    /// As it stands in the table of `workers`.
    pub(crate) fn with(self, workers: usize) -> Who {
        Who { runtime: self, workers: if self == Runtime::Threads { 1 } else { workers } }
    }
}

impl Who {
    pub(crate) fn all() -> Vec<Who> {
        let mut all: Vec<_> = Runtime::ALL.iter().flat_map(|runtime| [1, 2].map(|n| runtime.with(n))).collect();
        all.dedup();
        all
    }

    /// The name on the command line.
    pub(crate) fn name(self) -> String {
        match (self.runtime, self.workers) {
            (Runtime::Threads, _) => "threads".to_owned(),
            (runtime, 1) => format!("{}-ct", runtime.name()),
            (runtime, workers) => format!("{}-mt{workers}", runtime.name()),
        }
    }

    pub(crate) fn by_name(name: &str) -> Option<Who> {
        Who::all().into_iter().find(|who| who.name() == name)
    }

    /// Whether `name` is its own or its runtime's.
    pub(crate) fn is_called(self, name: &str) -> bool {
        self.name() == name || self.runtime.name() == name
    }

    /// Whether it can do the row.
    pub(crate) fn does(self, about: &About) -> bool {
        let has = match self.runtime {
            Runtime::Threads => runtime_rows::of_threads().iter().any(|row| row.about.name == about.name),
            Runtime::Wakeline | Runtime::Tokio | Runtime::Smol => true,
        };
        has && (self.workers > 1 || about.with_one_worker)
    }

    /// Does the row in this process; gives each figure with its name.
    pub(crate) fn measure(self, row: &str, until: Until) -> io::Result<Vec<(&'static str, f64)>> {
        match self.runtime {
            Runtime::Wakeline => of_runtime::<Wakeline>(self.workers, row, until),
            Runtime::Tokio => of_runtime::<Tokio>(self.workers, row, until),
            Runtime::Smol => of_runtime::<Smol>(self.workers, row, until),
            Runtime::Threads => of_rows(&runtime_rows::of_threads(), &Threads, row, until),
        }
    }

    /// Resident bytes of an idle task.
    pub(crate) fn resident_bytes_each(self, tasks: usize) -> io::Result<f64> {
        match self.runtime {
            Runtime::Wakeline => runtime_rows::resident_bytes_each(&Wakeline::new(self.workers)?, tasks),
            Runtime::Tokio => runtime_rows::resident_bytes_each(&Tokio::new(self.workers)?, tasks),
            Runtime::Smol => runtime_rows::resident_bytes_each(&Smol::new(self.workers)?, tasks),
            Runtime::Threads => Err(io::Error::new(io::ErrorKind::InvalidInput, "threads have no tasks")),
        }
    }
}

fn of_runtime<C: Primitives>(workers: usize, row: &str, until: Until) -> io::Result<Vec<(&'static str, f64)>> {
    let mut rows = runtime_rows::all();
    rows.push(runtime_rows::wake_and_poll());
    of_rows(&rows, &C::new(workers)?, row, until)
}

fn of_rows<C>(rows: &[Row<C>], contestant: &C, row: &str, until: Until) -> io::Result<Vec<(&'static str, f64)>> {
    let Some(row) = rows.iter().find(|candidate| candidate.about.name == row) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it has no row {row}; see --list")));
    };
    let values = (row.measure)(contestant, until)?;
    Ok(row.about.figures.iter().map(|figure| figure.name).zip(values).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_found_by_name() {
        let names: Vec<_> = Who::all().into_iter().map(Who::name).collect();
        assert_eq!(names, ["wakeline-ct", "wakeline-mt2", "tokio-ct", "tokio-mt2", "smol-ct", "smol-mt2", "threads"]);
        for who in Who::all() {
            assert_eq!(Who::by_name(&who.name()), Some(who));
        }
        let tokio = Runtime::Tokio.with(2);
        assert!(tokio.is_called("tokio") && tokio.is_called("tokio-mt2") && !tokio.is_called("tokio-ct"));
        assert_eq!(Runtime::Threads.with(2), Runtime::Threads.with(1));
    }
}
