//! What is measured around a run, the same for both ways to wait.

use crate::args::{Args, Backend};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use wakeline::net::emulated::{Host, HostCounters};

/// What one mode has done and cost.
pub(crate) struct Outcome {
    pub(crate) mode: &'static str,
    pub(crate) elapsed: Duration,
    pub(crate) latency_ns: Histogram<u64>,
    /// Threads of the process while all connections were open.
    pub(crate) threads: usize,
    /// Voluntary and involuntary, of the whole process, while requests ran.
    pub(crate) context_switches: i64,
    /// The emulated network's part; `None` on the operating system's.
    pub(crate) network: Option<NetworkCost>,
}

/// What the emulated network counted, both hosts together.
#[derive(Clone, Copy, Default)]
pub(crate) struct NetworkCost {
    pub(crate) wakeups: u64,
    pub(crate) irqs: u64,
    pub(crate) napi_polls: u64,
    pub(crate) packets: u64,
    pub(crate) drops: u64,
}

impl NetworkCost {
    pub(crate) fn of(hosts: &[Host]) -> NetworkCost {
        let mut cost = NetworkCost::default();
        for counters in hosts.iter().map(Host::counters) {
            let HostCounters { wakeups, irqs, napi_polls, packets, .. } = counters;
            cost.wakeups += wakeups;
            cost.irqs += irqs;
            cost.napi_polls += napi_polls;
            cost.packets += packets;
            cost.drops += counters.drops.total();
        }
        cost
    }

    pub(crate) fn since(self, before: NetworkCost) -> NetworkCost {
        NetworkCost {
            wakeups: self.wakeups - before.wakeups,
            irqs: self.irqs - before.irqs,
            napi_polls: self.napi_polls - before.napi_polls,
            packets: self.packets - before.packets,
            drops: self.drops - before.drops,
        }
    }
}

/// The state of the process and its hosts when the requests start.
pub(crate) struct Start {
    at: Instant,
    context_switches: i64,
    threads: usize,
    network: Option<NetworkCost>,
}

impl Start {
    pub(crate) fn now(hosts: Option<&[Host]>) -> Start {
        Start {
            threads: thread_count(),
            context_switches: context_switches(),
            network: hosts.map(NetworkCost::of),
            at: Instant::now(),
        }
    }

    pub(crate) fn finish(self, mode: &'static str, latency_ns: Histogram<u64>, hosts: Option<&[Host]>) -> Outcome {
        let elapsed = self.at.elapsed();
        let context_switches = context_switches() - self.context_switches;
        let network = hosts.map(NetworkCost::of).zip(self.network).map(|(after, before)| after.since(before));
        Outcome { mode, elapsed, latency_ns, threads: self.threads, context_switches, network }
    }
}

fn context_switches() -> i64 {
    use nix::sys::resource::{UsageWho, getrusage};
    getrusage(UsageWho::RUSAGE_SELF)
        .map(|usage| usage.voluntary_context_switches() + usage.involuntary_context_switches())
        .unwrap_or(0)
}

fn thread_count() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// All latencies of a run, in nanoseconds up to an hour, to three digits.
///
/// One histogram for all clients: it takes some 200 KiB, which ten thousand connections should not take each.
#[derive(Clone)]
pub(crate) struct Latencies(Arc<Mutex<Histogram<u64>>>);

impl Latencies {
    pub(crate) fn new() -> Latencies {
        let histogram = Histogram::new_with_bounds(1, 3_600_000_000_000, 3);
        Latencies(Arc::new(Mutex::new(histogram.expect("the bounds are in order and the digits few"))))
    }

    /// One client's stop watch.
    pub(crate) fn watch(&self) -> Watch {
        Watch { latencies: self.clone(), kept: Vec::new(), last: Instant::now() }
    }

    /// What all watches have recorded that have been dropped.
    pub(crate) fn take(&self) -> Histogram<u64> {
        self.histogram().clone()
    }

    fn histogram(&self) -> MutexGuard<'_, Histogram<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records how long each of a client's requests took, some at a time.
pub(crate) struct Watch {
    latencies: Latencies,
    kept: Vec<u64>,
    last: Instant,
}

/// Latencies that a watch keeps before it takes them to the histogram.
const KEPT: usize = 64;

impl Watch {
    /// A request has come to its end, and the next one begins.
    pub(crate) fn lap(&mut self) {
        let now = Instant::now();
        self.kept.push((now - self.last).as_nanos() as u64);
        self.last = now;
        if self.kept.len() == KEPT {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let mut histogram = self.latencies.histogram();
        for ns in self.kept.drain(..) {
            histogram.saturating_record(ns);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.flush();
    }
}

/// One connection's requests: each is stamped, so that no echo can be mistaken for another.
pub(crate) struct Request {
    message: Vec<u8>,
    answer: Vec<u8>,
}

impl Request {
    pub(crate) fn new(connection: usize, size: usize) -> Request {
        let message = (0..size).map(|i| (connection.wrapping_mul(31) + i) as u8).collect();
        Request { message, answer: vec![0; size] }
    }

    /// Makes the message that of request `number`.
    pub(crate) fn stamp(&mut self, number: u64) {
        for (byte, stamp) in self.message.iter_mut().zip(number.to_le_bytes()) {
            *byte = stamp;
        }
    }

    /// What is sent, and where its echo goes.
    pub(crate) fn both(&mut self) -> (&[u8], &mut [u8]) {
        (&self.message, &mut self.answer)
    }

    /// Compares every byte of the echo.
    pub(crate) fn verify(&self, connection: usize, number: u64) -> io::Result<()> {
        if self.message == self.answer {
            return Ok(());
        }
        let at = self.message.iter().zip(&self.answer).position(|(sent, got)| sent != got).unwrap_or(0);
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("connection {connection}, request {number}: byte {at} came back wrong"),
        ))
    }
}

/// A bar on the terminal for runs that take long; nothing when standard error is no terminal.
pub(crate) fn progress(args: &Args, mode: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(args.requests()), ProgressDrawTarget::stderr_with_hz(4));
    let style = ProgressStyle::with_template("{msg:<9} {wide_bar} {percent:>3} %  {per_sec}  {eta} left");
    bar.set_style(style.expect("the template is well formed"));
    bar.set_message(mode);
    bar
}

/// How many requests a client makes between two reports to the progress bar.
pub(crate) const PROGRESS_STEP: u64 = 256;

/// What the server binds and what the clients connect to.
pub(crate) fn addresses(backend: Backend) -> (&'static str, &'static str) {
    match backend {
        Backend::Emulated => ("0.0.0.0:7000", "server:7000"),
        // A free port: the real one is asked for after binding.
        Backend::Os => ("127.0.0.1:0", ""),
    }
}
