//! One cell of the matrix, in a process of its own: a model, a workload, and what both have to say.
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
use crate::workload::{Pattern, Workload};
use futures_lite::future::block_on;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use wakeline::net::emulated::{Host, Lan};
use wakeline::runtime::Builder;
use wakeline_benches::child::{Figures, ServerProcess};

/// Measures `model` under `workload`: each of its runs takes `time`.
pub(crate) fn measure(model: &Model, workload: Workload, time: Duration) -> io::Result<Figures> {
    match model.serve {
        Serve::Os(_) => over_os(model, workload, time),
        Serve::Emulated(start) => over_emulated(start, false, workload, time),
        Serve::EmulatedWithLoad(start) => over_emulated(start, true, workload, time),
        Serve::Missing(_, why) => Err(io::Error::new(io::ErrorKind::Unsupported, why)),
    }
}

fn over_os(model: &Model, workload: Workload, time: Duration) -> io::Result<Figures> {
    let mut server = ServerProcess::start(&["serve", &model.path()])?;
    let addr: SocketAddr = server.addr().parse().map_err(io::Error::other)?;
    pin_to_last_cpu()?;
    let before = server.ask(LEVELS)?;
    let mut load = OsLoad::connect(addr, workload)?;
    block_on(runs(&mut load, &mut server, &before, workload, time))
}

impl Server for ServerProcess {
    fn ask(&mut self, question: &str) -> io::Result<Figures> {
        ServerProcess::ask(self, question)
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
    workload: Workload,
    time: Duration,
) -> io::Result<Figures> {
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let lan = Lan::with_seed(1);
        let host = start(&lan)?;
        let client = lan.host("client").build()?;
        let addr = SocketAddr::new(host.addr(), PORT);
        let mut server = EmulatedServer { host, is_with_load };
        let before = server.ask(LEVELS)?;
        let mut load = EmulatedLoad::connect(client, addr, workload).await?;
        runs(&mut load, &mut server, &before, workload, time).await
    })
}

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
}

/// Warm-up, closed loop, fixed rate: the figures of each, under its name.
async fn runs(
    load: &mut impl Load,
    server: &mut impl Server,
    before: &Figures,
    workload: Workload,
    time: Duration,
) -> io::Result<Figures> {
    load.run(Pace::Once, time).await?;
    load.run(Pace::Closed, time / 5).await?;
    let levels = server.ask(LEVELS)?;
    let mut figures = Figures::default();
    figures.set("threads", levels.get("threads")? - CONTROL_THREADS);
    if workload.pattern != Pattern::Connect {
        let bytes = levels.get("bytes")? - before.get("bytes")?;
        figures.set("bytes_per_connection", bytes / workload.connections as f64);
    }
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
