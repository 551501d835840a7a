//! What a host counts, and the snapshot that its users read.

use crate::event::Drops;
use crate::nic::stats::NicStats;
use crate::stack::counters::Counters as StackCounters;
use std::sync::atomic::{AtomicU64, Ordering};

/// A count with one writer at a time and any number of readers.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Not a read-modify-write: only the thread that runs the owner of the counter calls it.
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) + n, Ordering::Relaxed);
    }

    /// Adds `n` where several threads may.
    pub(crate) fn add_shared(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one emulated CPU has done: `/proc/interrupts`, `/proc/softirqs` and `softnet_stat` in one.
#[derive(Debug, Default)]
pub(crate) struct CpuCounters {
    pub(crate) irqs: Counter,
    pub(crate) softirqs: Counter,
    pub(crate) napi_polls: Counter,
    pub(crate) processed: Counter,
    pub(crate) time_squeeze: Counter,
    pub(crate) ksoftirqd: Counter,
    pub(crate) backlog_drops: Counter,
}

/// A host's counts at one moment, summed over its CPUs.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct HostCounters {
    /// Interrupts taken (`/proc/interrupts`).
    pub irqs: u64,
    /// Softirq actions run (`/proc/softirqs`).
    pub softirqs: u64,
    /// NAPI polls.
    pub napi_polls: u64,
    /// Frames that NAPI polls brought to the stack (`softnet_stat`, first column).
    pub packets: u64,
    /// How often a poll round ended with work left (`softnet_stat`, third column).
    pub time_squeeze: u64,
    /// How often softirq work was left to `ksoftirqd` because it went on for too long.
    pub ksoftirqd: u64,
    /// Waiters, tasks and threads, that the stack has woken.
    pub wakeups: u64,
    /// The device's counters (`ethtool -S`).
    pub nic: NicStats,
    /// The stack's counters (`nstat`).
    pub stack: StackCounters,
    /// Every lost frame under its reason: device, link, backlog and stack together.
    pub drops: Drops,
    /// Sockets that exist.
    pub sockets: usize,
}
