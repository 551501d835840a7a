//! One sitting, in a process of its own: a model, the workloads that share its connections, and what all of them have to say.
//!
//! Over the operating system's network this process is the load, and the server one more. Over the emulated network both
//! stand in this process: the load on the main thread, the server on others, and what the main thread has used is taken off
//! from what the process has.

use crate::load::emulated::EmulatedLoad;
use crate::load::os::OsLoad;
use crate::load::schedule::Pace;
use crate::load::{Load, Measured};
use crate::model::{Model, PORT, Serve};
use crate::server::{self, COUNTS, LEVELS, Server};
use crate::syscalls::Counting;
use crate::table::HEADLINE;
use crate::workload::{Pattern, Workload};
use futures_lite::future::block_on;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use wakeline::net::emulated::{Host, Lan};
use wakeline::net::event::Record;
use wakeline::runtime::Builder;
use wakeline::time::sleep;
use wakeline_benches::child::{Figures, ServerProcess};

/// What is measured in one process.
#[derive(Debug)]
pub(crate) struct Sitting {
    /// All [share](Workload::shares_with) their connections.
    pub(crate) workloads: Vec<Workload>,
    /// Of each run.
    pub(crate) time: Duration,
    /// Whether system calls are counted behind the others, which is in nobody's way then.
    pub(crate) counts_calls: bool,
}

impl Sitting {
    /// The command line that measures it.
    pub(crate) fn command(&self, model: &Model) -> Vec<String> {
        let workloads: Vec<_> = self.workloads.iter().map(Workload::to_string).collect();
        let mut command = vec!["cell".to_owned(), model.path(), workloads.join("+"), self.time.as_millis().to_string()];
        command.extend(self.counts_calls.then(|| "--count-calls".to_owned()));
        command
    }

    /// The workloads of a command line.
    pub(crate) fn workloads(text: &str) -> io::Result<Vec<Workload>> {
        let workloads = text.split('+').map(Workload::parse).collect::<io::Result<Vec<_>>>()?;
        match workloads.iter().find(|workload| !workload.shares_with(workloads[0])) {
            None => Ok(workloads),
            Some(other) => {
                let text = format!("{other} and {} can not share their connections", workloads[0]);
                Err(io::Error::new(io::ErrorKind::InvalidInput, text))
            }
        }
    }

    /// What stands before the names of a workload's figures.
    pub(crate) fn prefix(workload: Workload) -> String {
        format!("{workload}/")
    }
}

/// Takes the figures of a workload as soon as they are there, perhaps several times.
type Tell<'a> = &'a mut dyn FnMut(Workload, &Figures);

/// Measures `model` in all workloads of the sitting.
pub(crate) fn measure(model: &Model, sitting: &Sitting, tell: Tell<'_>) -> io::Result<()> {
    match model.serve {
        Serve::Os(_) => over_os(model, sitting, tell),
        Serve::Emulated(start) => over_emulated(start, false, sitting, tell),
        Serve::EmulatedWithLoad(start) => over_emulated(start, true, sitting, tell),
    }
}

fn over_os(model: &Model, sitting: &Sitting, tell: Tell<'_>) -> io::Result<()> {
    let mut server = ServerProcess::start(&["serve", &model.path()])?;
    let addr: SocketAddr = server.addr().parse().map_err(io::Error::other)?;
    pin_to_last_cpu()?;
    let before = server.ask(LEVELS)?;
    let mut load = OsLoad::connect(addr, sitting.workloads[0])?;
    block_on(runs(&mut load, &mut server, &before, sitting, tell))
}

impl Server for ServerProcess {
    fn ask(&mut self, question: &str) -> io::Result<Figures> {
        ServerProcess::ask(self, question)
    }

    fn process(&self) -> Option<u32> {
        Some(self.id())
    }
}

/// The load keeps to one CPU, and leaves the choice to the server.
fn pin_to_last_cpu() -> io::Result<()> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let Some(last) = (0..CpuSet::count()).rev().find(|&cpu| allowed.is_set(cpu).unwrap_or(false)) else {
        return Ok(());
    };
    let mut one = CpuSet::new();
    one.set(last)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &one)?)
}

fn over_emulated(
    start: fn(&Lan) -> io::Result<Host>,
    is_with_load: bool,
    sitting: &Sitting,
    tell: Tell<'_>,
) -> io::Result<()> {
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let lan = Lan::with_seed(1);
        let host = start(&lan)?;
        // Short connections would have all ports in TIME-WAIT within a second.
        let client = lan.host("client").sysctl("net.ipv4.tcp_max_tw_buckets", 4096).build()?;
        let addr = SocketAddr::new(host.addr(), PORT);
        let mut server = EmulatedServer { host, is_with_load };
        let before = server.ask(LEVELS)?;
        let mut load = EmulatedLoad::connect(client, addr, sitting.workloads[0]).await?;
        runs(&mut load, &mut server, &before, sitting, tell).await
    })
}

/// What the emulated network does for one message, once everything is warm.
pub(crate) fn trace(model: &Model) -> io::Result<Vec<Record>> {
    let (Serve::Emulated(start) | Serve::EmulatedWithLoad(start)) = model.serve else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "only the emulated network tells what it does"));
    };
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let lan = Lan::with_seed(1);
        let host = start(&lan)?;
        let client = lan.host("client").build()?;
        let workload = Workload::new(Pattern::Request, 1, 64);
        let mut load = EmulatedLoad::connect(client, SocketAddr::new(host.addr(), PORT), workload).await?;
        load.run(Pace::Closed, WARM_UP).await?;
        lan.trace().start();
        load.run(Pace::Once, Duration::ZERO).await?;
        // The server still goes to sleep.
        sleep(WARM_UP).await;
        Ok(lan.trace().stop())
    })
}

const WARM_UP: Duration = Duration::from_millis(50);

/// What stands beside the load in this process.
struct EmulatedServer {
    host: Host,
    is_with_load: bool,
}

impl Server for EmulatedServer {
    fn ask(&mut self, question: &str) -> io::Result<Figures> {
        let mut figures = server::answer(question)?;
        if question == COUNTS {
            if !self.is_with_load {
                figures = figures.since(&server::of_this_thread()?);
            }
            let counters = self.host.counters();
            figures.set("wakeups", counters.wakeups as f64);
            figures.set("irqs", counters.irqs as f64);
            figures.set("polls", counters.napi_polls as f64);
            figures.set("packets", counters.packets as f64);
            figures.set("drops", counters.drops.total() as f64);
        }
        Ok(figures)
    }

    fn process(&self) -> Option<u32> {
        None
    }
}

/// Every workload, and behind them, if so asked, every workload once more with its system calls counted.
async fn runs(
    load: &mut impl Load,
    server: &mut impl Server,
    before: &Figures,
    sitting: &Sitting,
    tell: Tell<'_>,
) -> io::Result<()> {
    load.run(Pace::Once, sitting.time).await?;
    for (number, &workload) in sitting.workloads.iter().enumerate() {
        load.turn_to(workload);
        let mut figures = timed(load, server, workload, sitting.time).await?;
        let bytes = figures.get("bytes")? - before.get("bytes")?;
        // What other workloads have left behind is not the connections' own.
        if number == 0 && workload.pattern != Pattern::Connect {
            figures.set("bytes_per_connection", bytes / workload.connections as f64);
        }
        tell(workload, &figures);
    }
    let Some(process) = server.process().filter(|_| sitting.counts_calls) else { return Ok(()) };
    let why_not = |error| io::Error::other(format!("system calls are not counted: {error}"));
    let mut counting = Counting::of(process, sitting.workloads.contains(&HEADLINE)).map_err(why_not)?;
    for &workload in &sitting.workloads {
        load.turn_to(workload);
        let before = counting.counts()?;
        let messages = load.run(Pace::Closed, sitting.time / 4).await?.messages as f64;
        let counts = counting.counts()?.since(&before);
        tell(workload, &counts.iter().map(|(name, count)| (format!("syscalls.{name}"), count / messages)).collect());
    }
    Ok(())
}

/// Warm-up, closed loop, fixed rate: the figures of each, under its name.
async fn timed(
    load: &mut impl Load,
    server: &mut impl Server,
    workload: Workload,
    time: Duration,
) -> io::Result<Figures> {
    load.run(Pace::Closed, time / 5).await?;
    let mut figures = server.ask(LEVELS)?;
    figures.set("threads", figures.get("threads")? - CONTROL_THREADS);
    let measured = run(load, server, &mut figures, "closed", Pace::Closed, time).await?;
    figures.set("closed.rate", measured.messages as f64 / measured.elapsed.as_secs_f64());
    if let Some(rate) = workload.rate() {
        let measured = run(load, server, &mut figures, "fixed", Pace::Fixed(rate), time).await?;
        figures.set("fixed.offered", rate);
        figures.set("fixed.rate", measured.messages as f64 / measured.elapsed.as_secs_f64());
    }
    Ok(figures)
}

/// The thread that answers; over the emulated network, the load's.
const CONTROL_THREADS: f64 = 1.0;

async fn run(
    load: &mut impl Load,
    server: &mut impl Server,
    figures: &mut Figures,
    name: &str,
    pace: Pace,
    time: Duration,
) -> io::Result<Measured> {
    let before = server.ask(COUNTS)?;
    let measured = load.run(pace, time).await?;
    let counted = server.ask(COUNTS)?.since(&before);
    for (what, count) in counted.iter() {
        figures.set(&format!("{name}.{what}"), count / measured.messages as f64);
    }
    if let (Ok(packets), Ok(polls)) = (counted.get("packets"), counted.get("polls")) {
        figures.set(&format!("{name}.packets_per_poll"), packets / polls);
    }
    for (what, quantile) in [("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999), ("max_us", 1.0)] {
        figures.set(&format!("{name}.{what}"), measured.latency_ns.value_at_quantile(quantile) as f64 / 1e3);
    }
    figures.set(&format!("{name}.messages"), measured.messages as f64);
    Ok(measured)
}
