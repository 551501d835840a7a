//! What a host counts, and the snapshot that its users read.

use crate::event::Drops;
use crate::nic::stats::NicStats;
use crate::stack::counters::Counters as StackCounters;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

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

/// A setting that is read for every packet or interrupt, and changed now and then. What it guards is changed first, so that
/// whoever sees the old value does what was right before.
#[derive(Debug, Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn new(set: bool) -> Flag {
        Flag(AtomicBool::new(set))
    }

    #[inline]
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, set: bool) {
        self.0.store(set, Ordering::Relaxed);
    }
}

/// The same for a number.
#[derive(Debug, Default)]
pub(crate) struct Setting(AtomicU32);

impl Setting {
    pub(crate) fn new(value: u32) -> Setting {
        Setting(AtomicU32::new(value))
    }

    #[inline]
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: u32) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// What one emulated CPU has done: `/proc/softirqs` and `softnet_stat` in one.
#[derive(Debug, Default)]
pub(crate) struct CpuCounters {
    /// By vector.
    pub(crate) softirqs: [Counter; 10],
    pub(crate) napi_polls: Counter,
    pub(crate) processed: Counter,
    pub(crate) time_squeeze: Counter,
    pub(crate) ksoftirqd: Counter,
    /// How often `ksoftirqd` was woken for what was raised outside of interrupts.
    pub(crate) ksoftirqd_wakeups: Counter,
    pub(crate) backlog_drops: Counter,
    /// Those of them that a flow limit has dropped.
    pub(crate) flow_limit: Counter,
    /// How often another CPU has interrupted it for frames that it handed over.
    pub(crate) received_rps: Counter,
    /// Frames that readers have polled busily.
    pub(crate) busy_poll_rx: Counter,
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
    /// How often `ksoftirqd` was woken for a softirq that was raised outside of interrupts.
    pub ksoftirqd_wakeups: u64,
    /// How often a CPU was interrupted by another for frames that it was handed (`softnet_stat`, tenth column).
    pub received_rps: u64,
    /// Frames that readers have polled busily (`BusyPollRxPackets`).
    pub busy_poll_rx_packets: u64,
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
