//! The models: who waits how, on which network.
//!
//! A model is one file below [`os`](crate::os) or [`emulated`](crate::emulated) and one entry here.

use crate::workload::{Pattern, Workload};
use crate::{emulated, os};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use wakeline::net::emulated::{Host, Lan};

/// A way to wait, on a network.
#[derive(Debug)]
pub(crate) struct Model {
    /// On the command line, after the network's name.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What stands in the socket's wait queue, and where the thread or task sleeps.
    pub(crate) entry: &'static str,
    pub(crate) serve: Serve,
    /// The most connections it can have, and why.
    pub(crate) connections_max: Option<(usize, &'static str)>,
}

/// How it is started.
#[derive(Clone, Copy)]
pub(crate) enum Serve {
    /// Serves for ever, in a process of its own; tells where once it listens.
    Os(fn(&mut dyn FnMut(SocketAddr)) -> io::Result<()>),
    /// Builds a host named `server` that serves [`PORT`], and leaves it to its own threads. Called in the runtime of the load.
    Emulated(fn(&Lan) -> io::Result<Host>),
    /// The same on the very worker that the load has.
    EmulatedWithLoad(fn(&Lan) -> io::Result<Host>),
    /// Nobody can be measured yet.
    Missing(Network, &'static str),
}

impl fmt::Debug for Serve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.network().name())
    }
}

impl Serve {
    fn network(self) -> Network {
        match self {
            Serve::Os(_) => Network::Os,
            Serve::Emulated(_) | Serve::EmulatedWithLoad(_) => Network::Emulated,
            Serve::Missing(network, _) => network,
        }
    }
}

/// How much every server reads at once.
pub(crate) const READ_MAX: usize = 4096;

/// Where an emulated server listens.
pub(crate) const PORT: u16 = 7000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Network {
    Os,
    Emulated,
}

impl Network {
    pub(crate) const ALL: [Network; 2] = [Network::Os, Network::Emulated];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Network::Os => "os",
            Network::Emulated => "emulated",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Network::Os => "OS network",
            Network::Emulated => "emulated network",
        }
    }
}

impl Model {
    pub(crate) fn network(&self) -> Network {
        self.serve.network()
    }

    /// As on the command line: `os/blocking`.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.network().name(), self.name)
    }

    pub(crate) fn by_path(path: &str) -> io::Result<&'static Model> {
        let unknown = || io::Error::new(io::ErrorKind::InvalidInput, format!("there is no model {path:?}; see --list"));
        MODELS.iter().find(|model| model.path() == path).ok_or_else(unknown)
    }

    /// Why it can not be given `workload`, if that is known beforehand.
    pub(crate) fn can_not(&self, workload: Workload) -> Option<String> {
        if let Serve::Missing(_, why) = self.serve {
            return Some(format!("not available: {why}"));
        }
        let (most, why) = self.connections_max?;
        let many = workload.connections > most && workload.pattern != Pattern::Connect;
        many.then(|| format!("at most {most} connections: {why}"))
    }
}

/// Everybody, in the order of the tables.
pub(crate) static MODELS: &[Model] = &[
    Model {
        name: "blocking",
        title: "thread per connection",
        entry: THREAD,
        serve: Serve::Os(os::blocking::serve),
        connections_max: None,
    },
    Model {
        name: "epoll-lt",
        title: "epoll, level-triggered",
        entry: EPOLL,
        serve: Serve::Os(os::epoll::level_triggered),
        connections_max: None,
    },
    Model {
        name: "epoll-et",
        title: "epoll, edge-triggered",
        entry: EPOLL,
        serve: Serve::Os(os::epoll::edge_triggered),
        connections_max: None,
    },
    Model {
        name: "wakeline-ct",
        title: "wakeline, one worker",
        entry: EPOLL_OF_A_RUNTIME,
        serve: Serve::Os(os::tasks::wakeline_one),
        connections_max: None,
    },
    Model {
        name: "wakeline-mt",
        title: "wakeline, two workers",
        entry: EPOLL_OF_A_RUNTIME,
        serve: Serve::Os(os::tasks::wakeline_two),
        connections_max: None,
    },
    Model {
        name: "tokio-ct",
        title: "tokio, one worker",
        entry: EPOLL_OF_A_RUNTIME,
        serve: Serve::Os(os::tasks::tokio_one),
        connections_max: None,
    },
    Model {
        name: "tokio-mt",
        title: "tokio, two workers",
        entry: EPOLL_OF_A_RUNTIME,
        serve: Serve::Os(os::tasks::tokio_two),
        connections_max: None,
    },
    Model {
        name: "smol-ct",
        title: "smol, one worker",
        entry: EPOLL_OF_A_RUNTIME,
        serve: Serve::Os(os::tasks::smol_one),
        connections_max: None,
    },
    Model {
        name: "smol-mt",
        title: "smol, two workers",
        entry: EPOLL_OF_A_RUNTIME,
        serve: Serve::Os(os::tasks::smol_two),
        connections_max: None,
    },
    Model {
        name: "blocking",
        title: "thread per connection",
        entry: THREAD,
        serve: Serve::Emulated(emulated::blocking::serve),
        connections_max: None,
    },
    Model {
        name: "wakeline-ct",
        title: "wakeline, one worker",
        entry: WAKER,
        serve: Serve::Emulated(emulated::tasks::one_worker),
        connections_max: None,
    },
    Model {
        name: "wakeline-mt",
        title: "wakeline, two workers",
        entry: WAKER,
        serve: Serve::Emulated(emulated::tasks::two_workers),
        connections_max: None,
    },
    Model {
        name: "wakeline-one",
        title: "wakeline, one worker for server and load",
        entry: WAKER,
        serve: Serve::EmulatedWithLoad(emulated::tasks::with_the_load),
        connections_max: None,
    },
    Model {
        name: "sigio",
        title: "fasync",
        entry: "none: the file stands in the socket's fasync list",
        serve: Serve::Missing(Network::Emulated, "the emulated network has no fasync yet"),
        connections_max: None,
    },
    Model {
        name: "completion",
        title: "completion",
        entry: "the operation, once for each",
        serve: Serve::Missing(Network::Emulated, "the emulated network has no completions yet"),
        connections_max: None,
    },
];

const THREAD: &str = "the thread, on the socket that it reads; it sleeps there";
const EPOLL: &str = "ep_poll_callback, for good; the thread sleeps on the epoll's own queue";
const EPOLL_OF_A_RUNTIME: &str =
    "ep_poll_callback, for good; it ends in a task's Waker. The worker sleeps on the epoll's own queue";
const WAKER: &str = "a task's Waker, on the socket that it reads; a worker without tasks to run sleeps on its own word";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_is_found_by_its_path_alone() {
        for model in MODELS {
            assert!(std::ptr::eq(Model::by_path(&model.path()).unwrap(), model), "{}", model.path());
        }
        assert!(Model::by_path("os/carrier-pigeon").is_err());
    }
}
