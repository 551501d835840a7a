//! The command line, and what can be refused before anything starts.

use clap::{Parser, ValueEnum};
use std::time::Duration;

/// An echo server and its clients, on an emulated network or the operating system's, with tasks and with threads.
#[derive(Parser, Debug)]
#[command(name = "echo", version, max_term_width = 100)]
pub(crate) struct Args {
    /// The network to run on.
    #[arg(long, value_enum, default_value_t = Backend::Emulated)]
    pub(crate) backend: Backend,

    /// How clients and server wait: as tasks, as blocking threads, or one after the other.
    #[arg(long, value_enum, default_value_t = Mode::Both)]
    pub(crate) mode: Mode,

    /// Connections that echo at the same time.
    #[arg(long, default_value_t = 16, value_name = "N")]
    pub(crate) connections: usize,

    /// Requests in all, shared out among the connections [default: 100000, or 5000 on a link with delay or loss].
    #[arg(long, value_name = "N")]
    pub(crate) requests: Option<u64>,

    /// Bytes in each request, and in its echo.
    #[arg(long, default_value_t = 64, value_name = "BYTES")]
    pub(crate) size: usize,

    /// Emulated CPUs of each host; each has its own queue pair and its own shard of the stack.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) cpus: usize,

    /// Worker threads of the runtime.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) workers: usize,

    /// By what the runtime hears of the operating system's sockets; io-uring needs the feature of that name.
    #[arg(long, value_enum, default_value_t = Driver::Mio)]
    pub(crate) driver: Driver,

    /// Probability that the client's link loses a frame, in each direction (emulated network).
    #[arg(long, default_value_t = 0.0, value_name = "0..1")]
    pub(crate) loss: f64,

    /// One-way delay of the client's link, such as 500us or 2ms (emulated network).
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) delay: Duration,

    /// The seed of the network's chance: the same losses for the same seed.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,

    /// Print one JSON object per mode, each on its line, and nothing else.
    #[arg(long)]
    pub(crate) json: bool,

    /// Only serve, on this address of the operating system's network, until Ctrl-C.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// Two emulated hosts on one LAN.
    Emulated,
    /// Loopback of the operating system.
    Os,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Driver {
    /// Readiness, by epoll, kqueue or what the system has.
    Mio,
    /// Completions, by Linux's io_uring; where the kernel refuses it, mio.
    IoUring,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Tasks that leave wakers.
    Async,
    /// Threads that park.
    Blocking,
    /// First the one, then the other.
    Both,
}

impl Args {
    /// Requests in all, rounded up so that every connection makes as many as the others.
    pub(crate) fn requests(&self) -> u64 {
        let asked = self.requests.unwrap_or(if self.link_is_plain() { 100_000 } else { 5_000 });
        asked.max(1).div_ceil(self.connections as u64) * self.connections as u64
    }

    pub(crate) fn requests_per_connection(&self) -> u64 {
        self.requests() / self.connections as u64
    }

    pub(crate) fn link_is_plain(&self) -> bool {
        self.loss == 0.0 && self.delay.is_zero()
    }

    /// Refuses what can not be served, in one line.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.connections == 0 {
            return Err("--connections must be at least 1".into());
        }
        if self.size == 0 {
            return Err("--size must be at least 1 byte: an empty request has no echo".into());
        }
        if self.requests == Some(0) {
            return Err("--requests must be at least 1".into());
        }
        if !(0.0..=1.0).contains(&self.loss) {
            return Err(format!("--loss is a probability from 0 to 1, not {}", self.loss));
        }
        if self.loss > LOSS_MAX {
            return Err(format!("--loss above {LOSS_MAX} leaves TCP no way to finish"));
        }
        if !(1..=64).contains(&self.cpus) {
            return Err(format!("--cpus must be from 1 to 64, not {}", self.cpus));
        }
        if !(1..=1024).contains(&self.workers) {
            return Err(format!("--workers must be from 1 to 1024, not {}", self.workers));
        }
        if self.backend == Backend::Os && !self.link_is_plain() {
            return Err(
                "--loss and --delay need the emulated network: the operating system's loopback has neither".into()
            );
        }
        self.check_capacity()
    }

    fn check_capacity(&self) -> Result<(), String> {
        if self.connections > PORTS {
            return Err(format!(
                "--connections {}: one client has {PORTS} ports towards one server, and so at most as many connections",
                self.connections
            ));
        }
        let threads = self.mode != Mode::Async;
        let threads_max = threads_max();
        if threads && self.connections > threads_max / 2 {
            return Err(format!(
                "--connections {}: blocking mode takes two threads each, and this system allows about {threads_max} \
                 (--mode async needs none)",
                self.connections
            ));
        }
        let (descriptors, descriptors_max) = (2 * self.connections as u64 + DESCRIPTORS_ELSEWHERE, descriptors_max());
        if self.backend == Backend::Os && descriptors > descriptors_max {
            return Err(format!(
                "--connections {}: needs {descriptors} file descriptors, and this process may have {descriptors_max} \
                 (see ulimit -n)",
                self.connections
            ));
        }
        let each = self.size.saturating_mul(4).saturating_add(if threads { THREADS_BYTES } else { TASKS_BYTES });
        let needed = self.connections.saturating_mul(each);
        match available_memory() {
            Some(available) if needed > available => Err(format!(
                "{} connections with requests of {} bytes need about {} MiB, and this machine has {} MiB free",
                self.connections,
                self.size,
                needed >> 20,
                available >> 20
            )),
            _ => Ok(()),
        }
    }
}

/// Beyond this a connection's seven tries of a SYN, or fifteen of a segment, are likely to be used up.
const LOSS_MAX: f64 = 0.5;
/// Linux's `ip_local_port_range` holds this many ports.
const PORTS: usize = 28_232;
/// What two tasks and two sockets need, beside the requests themselves.
const TASKS_BYTES: usize = 8 << 10;
/// What two threads need in the process and in the kernel.
const THREADS_BYTES: usize = 128 << 10;

/// Descriptors of the process that are no connection's.
const DESCRIPTORS_ELSEWHERE: u64 = 32;

/// How many files the process may have open, once it has asked for as many as it can get.
fn descriptors_max() -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return u64::MAX };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}

/// How many threads a process can have here: bounded by process numbers and by memory mappings, of which a thread takes
/// four (its stack, its signal stack, and a guard page for each).
fn threads_max() -> usize {
    let setting = |path: &str| -> Option<usize> { std::fs::read_to_string(path).ok()?.trim().parse().ok() };
    let numbers = setting("/proc/sys/kernel/pid_max").unwrap_or(usize::MAX);
    let threads = setting("/proc/sys/kernel/threads-max").unwrap_or(usize::MAX);
    let mappings = setting("/proc/sys/vm/max_map_count").unwrap_or(usize::MAX);
    // Some are in use already, by this process and by others.
    (mappings / 4).min(threads).min(numbers) / 10 * 9
}

/// `MemAvailable` of `/proc/meminfo`, in bytes; `None` where there is no such file.
fn available_memory() -> Option<usize> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: usize = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib << 10)
}
