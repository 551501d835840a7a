//! The servers by name.

use crate::invalid;
use std::io;

/// What a server stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    Wakeline,
    /// With its io_uring driver.
    WakelineRing,
    Tokio,
    Smol,
    Epoll,
    Ring,
}

/// A runtime with so many workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) runtime: Runtime,
    pub(crate) workers: usize,
}

impl Runtime {
    const ALL: [Runtime; 6] =
        [Runtime::Wakeline, Runtime::Tokio, Runtime::Smol, Runtime::Epoll, Runtime::WakelineRing, Runtime::Ring];

    pub(crate) fn with(self, workers: usize) -> Who {
        Who { runtime: self, workers }
    }

    fn name(self) -> &'static str {
        match self {
            Runtime::Wakeline => "wakeline",
            Runtime::WakelineRing => "wakeline-ring",
            Runtime::Tokio => "tokio",
            Runtime::Smol => "smol",
            Runtime::Epoll => "epoll",
            Runtime::Ring => "ring",
        }
    }
}

impl Who {
    /// Those with one worker first.
    pub(crate) fn all() -> Vec<Who> {
        let all = [1, 2].iter().flat_map(|&workers| Runtime::ALL.map(|runtime| runtime.with(workers)));
        all.filter(|&who| who != Runtime::Ring.with(2)).collect()
    }

    /// The name on the command line.
    pub(crate) fn name(self) -> String {
        match self.workers {
            1 => format!("{}-ct", self.runtime.name()),
            workers => format!("{}-mt{workers}", self.runtime.name()),
        }
    }

    /// The name in the table.
    pub(crate) fn what(self) -> String {
        let name = match self.runtime {
            Runtime::Epoll => "bare epoll loop",
            Runtime::Ring => "bare io_uring loop",
            Runtime::WakelineRing => "wakeline, io_uring",
            runtime => runtime.name(),
        };
        match self.workers {
            1 => format!("{name}, one worker"),
            _ => format!("{name}, two workers"),
        }
    }

    /// # Errors
    /// `InvalidInput` when there is none with this name.
    pub(crate) fn by_name(name: &str) -> io::Result<Who> {
        let found = Who::all().into_iter().find(|who| who.name() == name);
        found.ok_or_else(|| invalid(format!("there is no server {name}; see --list")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_found_by_name() {
        let names: Vec<_> = Who::all().into_iter().map(Who::name).collect();
        let expected =
            ["wakeline-ct", "tokio-ct", "smol-ct", "epoll-ct", "wakeline-ring-ct", "ring-ct", "wakeline-mt2"];
        assert_eq!(names[..7], expected);
        for who in Who::all() {
            assert_eq!(Who::by_name(&who.name()).unwrap(), who);
        }
        assert!(Who::by_name("tokio").is_err());
    }
}
