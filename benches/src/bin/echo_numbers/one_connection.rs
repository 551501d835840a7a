//! The contestants of questions a and b: who sends one request after another over one connection.

use std::io;
use wakeline_benches::run::{Measured, Until};
use wakeline_benches::{emulated_echo, os_echo, smoltcp_loop};

/// Who answers questions a and b.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OneConnection {
    EmulatedTasks,
    EmulatedTasksBesideIdle,
    EmulatedThreads,
    OsThreads,
    OsTasks,
    OsTokio,
    Smoltcp,
}

impl OneConnection {
    /// Everybody, in the order of the table.
    pub(crate) const ALL: [OneConnection; 7] = [
        OneConnection::EmulatedTasks,
        OneConnection::EmulatedThreads,
        OneConnection::Smoltcp,
        OneConnection::OsThreads,
        OneConnection::OsTasks,
        OneConnection::OsTokio,
        OneConnection::EmulatedTasksBesideIdle,
    ];

    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            OneConnection::EmulatedTasks => "emulated-tasks",
            OneConnection::EmulatedTasksBesideIdle => "emulated-tasks-beside-idle",
            OneConnection::EmulatedThreads => "emulated-threads",
            OneConnection::OsThreads => "os-threads",
            OneConnection::OsTasks => "os-tasks",
            OneConnection::OsTokio => "os-tokio",
            OneConnection::Smoltcp => "smoltcp",
        }
    }

    /// The name in the table.
    pub(crate) fn what(self) -> &'static str {
        match self {
            OneConnection::EmulatedTasks => "emulated network, tasks, one worker",
            OneConnection::EmulatedTasksBesideIdle => "the same beside 10,000 idle connections",
            OneConnection::EmulatedThreads => "emulated network, threads",
            OneConnection::OsThreads => "kernel's loopback, threads",
            OneConnection::OsTasks => "kernel's loopback, wakeline's tasks, one worker",
            OneConnection::OsTokio => "kernel's loopback, tokio, one worker",
            OneConnection::Smoltcp => "smoltcp's bare loop",
        }
    }

    pub(crate) fn by_name(name: &str) -> Option<OneConnection> {
        OneConnection::ALL.into_iter().find(|contestant| contestant.name() == name)
    }

    /// The question its row stands under.
    pub(crate) fn question(self) -> char {
        if self == OneConnection::EmulatedTasksBesideIdle { 'b' } else { 'a' }
    }

    /// The questions that can not be answered without it.
    pub(crate) fn needed_for(self) -> &'static str {
        match self {
            OneConnection::EmulatedTasks => "ab",
            OneConnection::EmulatedTasksBesideIdle => "b",
            _ => "a",
        }
    }

    /// Runs it in this process.
    pub(crate) fn measure(self, until: Until) -> io::Result<Measured> {
        match self {
            OneConnection::EmulatedTasks => emulated_echo::tasks(until, 0),
            OneConnection::EmulatedTasksBesideIdle => emulated_echo::tasks(until, IDLE_CONNECTIONS),
            OneConnection::EmulatedThreads => emulated_echo::threads(until),
            OneConnection::OsThreads => os_echo::threads(until),
            OneConnection::OsTasks => os_echo::wakeline(until),
            OneConnection::OsTokio => os_echo::tokio(until),
            OneConnection::Smoltcp => smoltcp_loop::echo::measure(until),
        }
    }
}

const IDLE_CONNECTIONS: usize = 10_000;
