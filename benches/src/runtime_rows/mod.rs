//! The rows of the runtime's table: what is measured, the same work for every contestant.
//!
//! A row is written once and compiled for each runtime. Unless its text says otherwise, the work that is measured is done by
//! tasks of the runtime, and the thread outside only waits. Every worker is busy only with its row.

mod blocked_worker;
mod blocking;
mod channels;
mod counted;
mod idle_tasks;
mod latencies;
mod lateness;
mod locks;
mod tasks;
mod threads;
mod timers;
mod wakes;

pub use counted::{COUNTED, Counted};
pub use idle_tasks::resident_bytes_each;

use crate::contestant::{Contestant, Primitives};
use crate::run::{Measured, Until};
use std::future::Future;
use std::io;

/// One row: what it is called, and how a contestant does it.
#[derive(Debug)]
pub struct Row<C> {
    /// All that does not depend on the contestant.
    pub about: About,
    /// Does it; gives a value for each of [`About::figures`].
    pub measure: fn(&C, Until) -> io::Result<Vec<f64>>,
}

/// What there is to know of a row before it is measured.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// On the command line.
    pub name: &'static str,
    /// In the table.
    pub title: &'static str,
    /// What it gives.
    pub figures: &'static [Figure],
    /// How many times the usual time it is measured.
    pub weight: u32,
    /// Whether it is there for one worker as well; with one it would be the same as another row.
    pub with_one_worker: bool,
}

/// One figure of a row, a line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// To programs, with the unit in its name.
    pub name: &'static str,
    /// Behind the row's title.
    pub label: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// What wakeline must not exceed, with one worker and with two.
    pub at_most: [Option<f64>; 2],
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds an operation, the mean.
    Ns,
    /// Microseconds, a quantile.
    Us,
}

impl<C> Row<C> {
    fn cost(name: &'static str, title: &'static str, measure: fn(&C, Until) -> io::Result<Vec<f64>>) -> Row<C> {
        let about = About { name, title, figures: &NS, weight: 1, with_one_worker: true };
        Row { about, measure }
    }

    fn latency(
        name: &'static str,
        title: &'static str,
        weight: u32,
        measure: fn(&C, Until) -> io::Result<Vec<f64>>,
    ) -> Row<C> {
        Row { about: About { name, title, figures: &P50_P99, weight, with_one_worker: true }, measure }
    }

    fn figures(mut self, figures: &'static [Figure]) -> Row<C> {
        self.about.figures = figures;
        self
    }
}

const NONE: [Option<f64>; 2] = [None, None];
const NS: [Figure; 1] = [Figure { name: "ns", label: "", unit: Unit::Ns, at_most: NONE }];
const NS_TIMER: [Figure; 1] = [Figure { name: "ns", label: "", unit: Unit::Ns, at_most: [Some(100.0), Some(100.0)] }];
const NS_INSERT_CANCEL: [Figure; 2] = [
    Figure { name: "insert_ns", label: ": insert", unit: Unit::Ns, at_most: NONE },
    Figure { name: "cancel_ns", label: ": cancel", unit: Unit::Ns, at_most: NONE },
];
const P50_P99: [Figure; 2] = quantiles(NONE, NONE);
const SLEEP_1_MS: [Figure; 2] = quantiles([Some(1100.0), Some(1100.0)], NONE);
const SLEEPS_100K: [Figure; 2] = quantiles(NONE, [Some(100.0), Some(100.0)]);
const BESIDE_BLOCKED: [Figure; 2] = quantiles(NONE, [None, Some(300.0)]);
const BESIDE_YIELDING: [Figure; 2] = quantiles(NONE, [Some(8.0), Some(8.0)]);

const fn quantiles(p50: [Option<f64>; 2], p99: [Option<f64>; 2]) -> [Figure; 2] {
    [
        Figure { name: "p50_us", label: ", p50", unit: Unit::Us, at_most: p50 },
        Figure { name: "p99_us", label: ", p99", unit: Unit::Us, at_most: p99 },
    ]
}

/// The rows that every runtime can do, in the order of the table: tasks first, then time and the pool, then latencies.
#[must_use]
pub fn all<C: Primitives>() -> Vec<Row<C>> {
    let mut rows = of_tasks();
    rows.extend(of_primitives());
    rows.extend(of_time());
    rows.extend(of_latency());
    rows
}

fn of_tasks<C: Contestant>() -> Vec<Row<C>> {
    vec![
        Row::cost("spawn-join-one", "spawn + join one", tasks::spawn_join_one),
        Row::cost("spawn-many", "spawn 10,000, then join (each)", tasks::spawn_many),
        Row::cost("spawn-outside", "spawn 10,000 from outside the runtime, then join (each)", tasks::spawn_outside),
        Row::cost("spawn-chain", "chained spawn, 1,000 long", tasks::spawn_chain),
        Row::cost("yield-many", "yield_now, 200 tasks", tasks::yield_many),
        Row::cost("yield-one", "yield_now, one task", tasks::yield_one),
    ]
}

fn of_primitives<C: Primitives>() -> Vec<Row<C>> {
    vec![
        Row::cost("ping-pong-oneshot", "ping-pong, new tasks and oneshot pair each", channels::ping_pong_oneshot),
        Row::cost("ping-pong-mpsc", "ping-pong over mpsc", channels::ping_pong_mpsc),
        Row::cost("mpsc-1-1", "bounded mpsc (100) 1:1, per message", channels::bounded_one_to_one),
        Row::cost("mpsc-8-1", "bounded mpsc (100) 8:1, per message", channels::bounded_eight_to_one),
        Row::cost("mpsc-unbounded", "unbounded mpsc 1:1, per message", channels::unbounded_one_to_one),
        Row::cost("mutex", "Mutex, uncontended", locks::mutex_uncontended),
        Row::cost("mutex-contended", "Mutex, 8 tasks, held across a yield", locks::mutex_contended),
        Row::cost(
            "semaphore-contended",
            "Semaphore, 4 permits, 8 tasks, held across a yield",
            locks::semaphore_contended,
        ),
    ]
}

fn of_time<C: Contestant>() -> Vec<Row<C>> {
    let mut of_each_worker =
        Row::cost("timer-each-worker", "timer create + drop, every worker at it", timers::create_drop_on_each);
    of_each_worker.about.with_one_worker = false;
    vec![
        Row::cost("timer", "timer create + drop", timers::create_drop).figures(&NS_TIMER),
        of_each_worker.figures(&NS_TIMER),
        Row::cost("timeout-ready", "timeout around a ready future", timers::timeout_ready),
        Row::cost("timeout-yield", "timeout around a future that yields once", timers::timeout_yield),
        Row::cost("timers-100k", "100k live timers", timers::hundred_thousand).figures(&NS_INSERT_CANCEL),
        Row::cost("blocking-one", "spawn_blocking, one after another", blocking::one_after_another),
        Row::cost("blocking-many", "spawn_blocking, 1,000 at once (each)", blocking::many),
    ]
}

fn of_latency<C: Contestant>() -> Vec<Row<C>> {
    vec![
        Row::latency("sleep-1ms", "sleep(1 ms), measured", 2, lateness::sleep_1_ms).figures(&SLEEP_1_MS),
        Row::latency("sleeps-100k", "100k sleeps, lateness", 1, lateness::sleeps_100k).figures(&SLEEPS_100K),
        Row::latency(
            "blocked-woken",
            "beside a task that blocks its worker 20 ms: a task it just woke",
            5,
            |c, until| blocked_worker::woken_task(c, until),
        )
        .figures(&BESIDE_BLOCKED),
        Row::latency("blocked-timers", "same: timers of 1 ms, lateness", 5, blocked_worker::timers)
            .figures(&BESIDE_BLOCKED),
        Row::latency("blocked-sockets", "same: socket readiness", 5, blocked_worker::sockets).figures(&BESIDE_BLOCKED),
        Row::latency(
            "beside-yielding",
            "beside 10 tasks that never stop yielding: a wake from a thread",
            2,
            |c, until| wakes::beside_yielding(c, until),
        )
        .figures(&BESIDE_YIELDING),
        Row::latency("wake-across", "wake across threads, into an idle runtime", 2, wakes::across_threads),
    ]
}

/// A row whose instructions are counted, but not its time: it is a part of others.
#[must_use]
pub fn wake_and_poll<C: Contestant>() -> Row<C> {
    Row::cost(counted::WAKE_AND_POLL, "one wake + poll: two tasks wake each other", tasks::wake_and_poll)
}

/// The rows by the standard library's threads and channels.
#[must_use]
pub fn of_threads() -> Vec<Row<Threads>> {
    threads::rows()
}

/// Threads of the standard library, where a row has a counterpart.
#[derive(Clone, Copy, Debug)]
pub struct Threads;

/// Does `work` in a task of the contestant; the calling thread waits.
fn inside<C, F>(contestant: &C, work: F) -> F::Output
where
    C: Contestant,
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let task = contestant.spawn_from_outside(work);
    contestant.block_on(C::join(task))
}

/// Nanoseconds an operation, of a run whose requests were `operations` each.
fn ns_each(measured: Measured, operations: usize) -> io::Result<Vec<f64>> {
    Ok(vec![measured.elapsed.as_nanos() as f64 / (measured.requests as f64 * operations as f64)])
}

#[cfg(test)]
mod tests;
