//! Who is measured at what, and what must come of it.

use std::io;
use wakeline::net::emulated::Offloads;
use wakeline_benches::run::{Measured, Until};
use wakeline_benches::transport::{bulk, datagrams, idle, queues, short};
use wakeline_benches::{emulated_echo, os_echo, smoltcp_loop};

/// One measurement: a line of the result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contestant {
    /// The letter of its row.
    pub(crate) row: char,
    /// On the command line.
    pub(crate) name: &'static str,
    /// In the table.
    pub(crate) what: &'static str,
    /// What its first figure counts.
    pub(crate) unit: &'static str,
    /// What it tells; the first is the one of the table.
    pub(crate) figures: &'static [&'static str],
    pub(crate) work: Work,
    pub(crate) promises: &'static [Promised],
}

/// What is done. Each gives a value for each of [`Contestant::figures`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// For a time, or a number of requests, on one CPU.
    Timed(fn(Until) -> io::Result<Vec<f64>>),
    /// The same on all CPUs.
    TimedOnAll(fn(Until) -> io::Result<Vec<f64>>),
    /// A number of things, usually this many; once, whatever the number of rounds.
    Counted(u64, fn(u64) -> io::Result<Vec<f64>>),
}

/// A bound.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Promised {
    /// On its first figure.
    AtLeast(f64),
    AtMost(f64),
    /// On another figure.
    FigureAtMost(&'static str, f64),
    /// On its first figure over that of another contestant in the same round.
    TimesAtLeast(f64, &'static str),
    TimesAtMost(f64, &'static str),
}

use Promised::{AtLeast, AtMost, FigureAtMost, TimesAtLeast, TimesAtMost};
use Work::{Counted, Timed, TimedOnAll};

impl Contestant {
    pub(crate) fn by_name(name: &str) -> Option<Contestant> {
        CONTESTANTS.iter().copied().find(|contestant| contestant.name == name)
    }

    /// Whether it is compared with `other`.
    pub(crate) fn needs(&self, other: &str) -> bool {
        self.promises.iter().any(|promised| matches!(promised, TimesAtLeast(_, o) | TimesAtMost(_, o) if *o == other))
    }

    /// Measures in this process.
    pub(crate) fn measure(&self, until: Until) -> io::Result<Vec<(&'static str, f64)>> {
        let values = match (self.work, until) {
            (Timed(work) | TimedOnAll(work), until) => work(until)?,
            (Counted(_, work), Until::Requests(count)) => work(count)?,
            (Counted(usual, work), Until::Elapsed(_)) => work(usual)?,
        };
        Ok(self.figures.iter().copied().zip(values).collect())
    }
}

const NS: &[&str] = &["ns"];
const GBIT: &[&str] = &["gbit_s"];
const MPPS: &[&str] = &["mpps"];
const RATE: &[&str] = &["connections_s"];
const BYTES: &[&str] = &["bytes"];

/// Everybody, row by row.
pub(crate) const CONTESTANTS: &[Contestant] = &[
    Contestant {
        row: 'a',
        name: "echo",
        what: "TCP, 64 B request and answer, one worker",
        unit: "ns",
        figures: NS,
        work: Timed(|until| ns(emulated_echo::tasks(until, 0)?)),
        promises: &[AtMost(1200.0), TimesAtMost(1.3, "echo-smoltcp")],
    },
    Contestant {
        row: 'a',
        name: "echo-10k",
        what: "the same beside 10,000 established connections",
        unit: "ns",
        figures: NS,
        work: Timed(|until| ns(emulated_echo::tasks(until, 10_000)?)),
        promises: &[TimesAtMost(1.15, "echo")],
    },
    Contestant {
        row: 'a',
        name: "echo-100k",
        what: "the same beside 100,000",
        unit: "ns",
        figures: NS,
        work: Timed(|until| ns(emulated_echo::tasks(until, 100_000)?)),
        promises: &[TimesAtMost(1.15, "echo")],
    },
    Contestant {
        row: 'a',
        name: "echo-smoltcp",
        what: "smoltcp's bare loop",
        unit: "ns",
        figures: NS,
        work: Timed(|until| ns(smoltcp_loop::echo::measure(until)?)),
        promises: &[],
    },
    Contestant {
        row: 'a',
        name: "echo-kernel",
        what: "kernel's loopback, threads on one CPU",
        unit: "ns",
        figures: NS,
        work: Timed(|until| ns(os_echo::threads(until)?)),
        promises: &[],
    },
    Contestant {
        row: 'b',
        name: "bulk",
        what: "TCP bulk, MTU 1500, checksums on; hosts as they are built, with GSO and GRO in software",
        unit: "Gbit/s",
        figures: GBIT,
        work: Timed(|until| gbit(bulk::emulated(until, |host| host)?)),
        promises: &[TimesAtLeast(1.25, "bulk-smoltcp")],
    },
    Contestant {
        row: 'b',
        name: "bulk-plain",
        what: "the same without GSO and GRO",
        unit: "Gbit/s",
        figures: GBIT,
        work: Timed(|until| gbit(bulk::emulated(until, |host| host.offloads(Offloads::empty()))?)),
        promises: &[],
    },
    Contestant {
        row: 'b',
        name: "bulk-offload",
        what: "the same with TSO, GRO and checksums by the device",
        unit: "Gbit/s",
        figures: GBIT,
        work: Timed(|until| gbit(bulk::emulated(until, |host| host.offloads(Offloads::all()))?)),
        promises: &[TimesAtLeast(2.5, "bulk-smoltcp"), TimesAtLeast(1.0, "bulk-kernel")],
    },
    Contestant {
        row: 'b',
        name: "bulk-9000",
        what: "TCP bulk, MTU 9000, checksums on",
        unit: "Gbit/s",
        figures: GBIT,
        work: Timed(|until| gbit(bulk::emulated(until, |host| host.mtu(9000))?)),
        promises: &[],
    },
    Contestant {
        row: 'b',
        name: "bulk-smoltcp",
        what: "smoltcp's bare loop, MTU 1500, checksums on",
        unit: "Gbit/s",
        figures: GBIT,
        work: Timed(|until| gbit(smoltcp_loop::bulk::measure(until, 1500)?)),
        promises: &[],
    },
    Contestant {
        row: 'b',
        name: "bulk-smoltcp-9000",
        what: "smoltcp's bare loop, MTU 9000, checksums on",
        unit: "Gbit/s",
        figures: GBIT,
        work: Timed(|until| gbit(smoltcp_loop::bulk::measure(until, 9000)?)),
        promises: &[],
    },
    Contestant {
        row: 'b',
        name: "bulk-kernel",
        what: "kernel's loopback with GSO, one CPU",
        unit: "Gbit/s",
        figures: GBIT,
        work: Timed(|until| gbit(bulk::kernel(until)?)),
        promises: &[],
    },
    Contestant {
        row: 'b',
        name: "bulk-kernel-all",
        what: "kernel's loopback with GSO, all CPUs",
        unit: "Gbit/s",
        figures: GBIT,
        work: TimedOnAll(|until| gbit(bulk::kernel(until)?)),
        promises: &[],
    },
    Contestant {
        row: 'c',
        name: "udp",
        what: "UDP, 64 B, checksums on, calls of 64",
        unit: "Mpps",
        figures: MPPS,
        work: Timed(|until| mpps(datagrams::emulated_in_batches(until, 0)?)),
        promises: &[AtLeast(8.0)],
    },
    Contestant {
        row: 'c',
        name: "udp-10k",
        what: "the same beside 10,000 bound sockets",
        unit: "Mpps",
        figures: MPPS,
        work: Timed(|until| mpps(datagrams::emulated_in_batches(until, 10_000)?)),
        promises: &[AtLeast(7.0)],
    },
    Contestant {
        row: 'c',
        name: "udp-single",
        what: "the same with a call for each datagram",
        unit: "Mpps",
        figures: MPPS,
        work: Timed(|until| mpps(datagrams::emulated(until, 0)?)),
        promises: &[],
    },
    Contestant {
        row: 'c',
        name: "udp-cpu",
        what: "UDP, 64 B, calls of 64, one emulated CPU on one worker",
        unit: "Mpps",
        figures: MPPS,
        work: TimedOnAll(|until| mpps(datagrams::emulated_on_cpus(until, 1)?)),
        promises: &[],
    },
    Contestant {
        row: 'c',
        name: "udp-2-cpus",
        what: "two emulated CPUs on two workers, a flow and its sender on each",
        unit: "Mpps",
        figures: MPPS,
        work: TimedOnAll(|until| mpps(datagrams::emulated_on_cpus(until, 2)?)),
        promises: &[TimesAtLeast(1.8, "udp-cpu")],
    },
    Contestant {
        row: 'c',
        name: "udp-2-apart",
        what: "one emulated CPU on one worker, twice at once: what the machine gives to two",
        unit: "Mpps",
        figures: MPPS,
        work: TimedOnAll(|until| mpps(datagrams::emulated_apart(until, 2)?)),
        promises: &[],
    },
    Contestant {
        row: 'c',
        name: "udp-smoltcp",
        what: "smoltcp's bare loop",
        unit: "Mpps",
        figures: MPPS,
        work: Timed(|until| mpps(smoltcp_loop::datagrams::measure(until, datagrams::BATCH, 0)?)),
        promises: &[],
    },
    Contestant {
        row: 'c',
        name: "udp-smoltcp-10k",
        what: "smoltcp's bare loop beside 10,000 bound sockets",
        unit: "Mpps",
        figures: MPPS,
        work: Timed(|until| mpps(smoltcp_loop::datagrams::measure(until, datagrams::BATCH, 10_000)?)),
        promises: &[],
    },
    Contestant {
        row: 'c',
        name: "udp-kernel",
        what: "kernel's loopback, sendmmsg and recvmmsg of 64",
        unit: "Mpps",
        figures: MPPS,
        work: Timed(|until| mpps(datagrams::kernel(until)?)),
        promises: &[],
    },
    Contestant {
        row: 'd',
        name: "short",
        what: "connect, 1 byte, close; 8 at a time",
        unit: "connections/s",
        figures: RATE,
        work: Timed(|until| Ok(vec![short::emulated(until, 8)?.rate()])),
        promises: &[AtLeast(250_000.0)],
    },
    Contestant {
        row: 'd',
        name: "short-one",
        what: "the same, one after another",
        unit: "connections/s",
        figures: RATE,
        work: Timed(|until| Ok(vec![short::emulated(until, 1)?.rate()])),
        promises: &[],
    },
    Contestant {
        row: 'd',
        name: "short-smoltcp",
        what: "smoltcp's bare loop, without TIME-WAIT",
        unit: "connections/s",
        figures: RATE,
        work: Timed(|until| Ok(vec![smoltcp_loop::short::measure(until)?.rate()])),
        promises: &[],
    },
    Contestant {
        row: 'd',
        name: "short-kernel",
        what: "kernel's loopback, one thread",
        unit: "connections/s",
        figures: RATE,
        work: Timed(|until| Ok(vec![short::kernel(until)?.rate()])),
        promises: &[],
    },
    Contestant {
        row: 'e',
        name: "idle",
        what: "one end of an idle connection, of 1,000,000",
        unit: "bytes",
        figures: &["bytes", "resident_gib", "one_ns", "any_ns"],
        work: Counted(1_000_000, idle_connections),
        promises: &[AtMost(1024.0), FigureAtMost("resident_gib", 2.0)],
    },
    Contestant {
        row: 'e',
        name: "time-wait",
        what: "an entry in TIME-WAIT, of 200,000",
        unit: "bytes",
        figures: BYTES,
        work: Counted(200_000, |count| Ok(vec![queues::time_wait(count)?.bytes_each()])),
        promises: &[AtMost(128.0)],
    },
    Contestant {
        row: 'e',
        name: "syn-queue",
        what: "an entry in the SYN queue, of 60,000",
        unit: "bytes",
        figures: BYTES,
        work: Counted(60_000, |count| Ok(vec![queues::syn_queue(count)?.bytes_each()])),
        promises: &[AtMost(160.0)],
    },
];

fn ns(measured: Measured) -> io::Result<Vec<f64>> {
    Ok(vec![1e9 / measured.rate()])
}

fn gbit(measured: Measured) -> io::Result<Vec<f64>> {
    Ok(vec![bulk::gbit_per_second(measured)])
}

fn mpps(measured: Measured) -> io::Result<Vec<f64>> {
    Ok(vec![datagrams::mpps(measured)])
}

fn idle_connections(count: u64) -> io::Result<Vec<f64>> {
    let idle = idle::measure(usize::try_from(count).map_err(io::Error::other)?)?;
    let gib = idle.resident as f64 / f64::from(1 << 30);
    Ok(vec![idle.bytes as f64 / (2 * count) as f64, gib, idle.one_ns, idle.any_ns])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_who_is_compared_with_is_there() {
        let names: BTreeSet<_> = CONTESTANTS.iter().map(|contestant| contestant.name).collect();
        assert_eq!(names.len(), CONTESTANTS.len());
        let needed = |contestant: &Contestant| CONTESTANTS.iter().filter(|other| contestant.needs(other.name)).count();
        let compared = |contestant: &Contestant| {
            contestant.promises.iter().filter(|p| matches!(p, TimesAtLeast(..) | TimesAtMost(..))).count()
        };
        for contestant in CONTESTANTS {
            assert_eq!(needed(contestant), compared(contestant), "{}", contestant.name);
        }
    }
}
