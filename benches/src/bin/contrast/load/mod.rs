//! The load: what every server of a network is given, letter by letter the same.
//!
//! [`conversation`] knows the bytes, [`schedule`] the moments; neither knows a socket. [`os`] drives them from one bare epoll
//! loop, [`emulated`] from tasks on a host of its own.

pub(crate) mod conversation;
pub(crate) mod emulated;
pub(crate) mod os;
pub(crate) mod schedule;

use crate::workload::Workload;
use hdrhistogram::Histogram;
use schedule::Pace;
use std::io;
use std::time::{Duration, Instant};

/// One who puts load on a server.
pub(crate) trait Load {
    /// Goes over to another workload of the sitting, on the same connections, between runs.
    fn turn_to(&mut self, workload: Workload);

    /// Begins messages for `time` and waits for all their answers.
    async fn run(&mut self, pace: Pace, time: Duration) -> io::Result<Measured>;
}

/// What a load has seen.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Messages that came back, every byte compared.
    pub(crate) messages: u64,
    /// From the first message to the last answer.
    pub(crate) elapsed: Duration,
    /// From the moment at which a message was due to its answer; of a fan-out, to its last answer.
    pub(crate) latency_ns: Histogram<u64>,
}

/// Collects what is measured.
#[derive(Debug)]
pub(crate) struct Recorder {
    began: Instant,
    messages: u64,
    latency_ns: Histogram<u64>,
}

impl Recorder {
    pub(crate) fn new(began: Instant) -> io::Result<Recorder> {
        let latency_ns = Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(io::Error::other)?;
        Ok(Recorder { began, messages: 0, latency_ns })
    }

    pub(crate) fn count(&mut self, messages: u64) {
        self.messages += messages;
    }

    pub(crate) fn record(&mut self, due: Instant, now: Instant) {
        let latency = now.saturating_duration_since(due);
        self.latency_ns.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn finish(self) -> Measured {
        Measured { messages: self.messages, elapsed: self.began.elapsed(), latency_ns: self.latency_ns }
    }
}

/// A server that is silent for this long is broken.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How many connections are opened before the server is given time to accept them: fewer than any listener has room for. One
/// that is overrun drops SYNs, and each of them is sent again a second later.
pub(crate) const BURST: usize = 64;
