//! An emulated CPU: takes interrupts, runs softirqs with Linux's limits, polls NAPI instances.
//!
//! A CPU is run by an [`Engine`]: as a task it is polled by whatever worker has time, as a thread it runs alone. One turn is one
//! interrupt's worth of work: take the delivered lines and run their handlers; then the pending softirqs in the order of
//! their bits, at most [`SOFTIRQ_PASSES_MAX`] passes or [`SOFTIRQ_TIME_MAX`]; what is left then goes to `ksoftirqd`, that
//! is, the engine yields and is turned again after others had their chance.
//!
//! # References
//! [`CpuShared`](crate::host::softnet::CpuShared) is what others may touch: raising softirqs, the backlog, the counters. [`CpuEngine`] runs the CPU and holds
//! the host's [`Works`], which nobody's hold on the host depends on: when its last handle or socket goes, the CPU is told so,
//! and lets go of them.

use crate::engine::{Engine, Turn};
use crate::event::Event;
use crate::halt::Halt;
use crate::host::driver;
use crate::host::gro::Gro;
use crate::host::machine::Works;
use crate::host::napi::Completed;
use crate::host::softnet::{BACKLOG_LISTED, CpuShared, Instance, Softirq};
use crate::packet::PacketBuf;
use crate::stack::timers::earlier;
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::cell::Cell;
use std::sync::{Arc, Weak};
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// Passes over the pending softirqs in one turn (`MAX_SOFTIRQ_RESTART`).
const SOFTIRQ_PASSES_MAX: u32 = 10;
/// How long one turn may go on with softirqs (`MAX_SOFTIRQ_TIME`).
const SOFTIRQ_TIME_MAX: Duration = Duration::from_millis(2);
/// Packets that one `net_rx_action` may process (`netdev_budget`).
const NETDEV_BUDGET: usize = 300;
/// How long one `net_rx_action` may go on (`netdev_budget_usecs`, two jiffies at 1000 Hz).
const NETDEV_BUDGET_TIME: Duration = Duration::from_millis(2);
/// Packets that one poll of one instance may process.
const NAPI_POLL_WEIGHT: usize = 64;

/// Whoever runs a CPU holds its lock: the engine by which it runs by itself, or a sender that it preempts.
///
/// A real interrupt preempts whatever runs. Here an interrupt makes the CPU's task or thread ready, which gathers packets
/// into batches but leaves the sender running. It preempts the sender ([`preempt`]) once a poll where nothing
/// would be gathered, because no other task is ready on the only worker; and where the ring is half full, so that ten thousand ready clients do not flood a
/// server that shares their worker.
pub(crate) struct CpuEngine {
    shared: Arc<CpuShared>,
    cpu: Arc<Mutex<Cpu>>,
}

impl CpuEngine {
    pub(crate) fn new(index: usize, shared: Arc<CpuShared>, host: Arc<Works>, gro: Option<Gro>) -> CpuEngine {
        let cpu = Cpu {
            index,
            shared: shared.clone(),
            host,
            raised: 0,
            poll_list: PollList::new(),
            armed: None,
            awaited: None,
            preempted_in: None,
            frames: Vec::new(),
            gro,
        };
        let engine = CpuEngine { shared, cpu: Arc::new(Mutex::new(cpu)) };
        let preempted = Arc::downgrade(&engine.cpu);
        engine.shared.irq.on_preemption(move |poll| preempt(&preempted, poll));
        engine
    }
}

/// Turns the CPU on the calling thread, and says so, unless it is being turned, or was so in the same `poll`.
fn preempt(cpu: &Weak<Mutex<Cpu>>, poll: Option<u64>) -> bool {
    let Some(_nested) = Nested::deeper() else { return false };
    let Some(cpu) = cpu.upgrade() else { return false };
    let Some(mut running) = cpu.try_lock() else { return false };
    if poll.is_some() && poll == running.preempted_in {
        return false;
    }
    running.preempted_in = poll;
    let now = running.host.clock.now();
    let turn = running.turn(now);
    let engine_must = match turn {
        Turn::Idle(deadline) => earlier(deadline, running.awaited) != running.awaited,
        Turn::Again | Turn::Done => true,
    };
    let shared = engine_must.then(|| running.shared.clone());
    drop(running);
    // The engine sets its timer anew, or goes on with what is left.
    if let Some(shared) = shared {
        shared.irq.kick();
    }
    true
}

/// One of the CPUs that preempt each other on this thread: each one's frames may interrupt the next, and all stand on one
/// stack, whose depth is so bounded.
struct Nested;

const NESTED_MAX: u32 = 8;

thread_local! {
    static NESTED: Cell<u32> = const { Cell::new(0) };
}

impl Nested {
    fn deeper() -> Option<Nested> {
        let depth = NESTED.get();
        (depth < NESTED_MAX).then(|| {
            NESTED.set(depth + 1);
            Nested
        })
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        NESTED.set(NESTED.get() - 1);
    }
}

/// The CPU itself.
struct Cpu {
    index: usize,
    shared: Arc<CpuShared>,
    host: Arc<Works>,
    /// Softirqs that the CPU has raised itself, a bit for each.
    raised: u32,
    poll_list: PollList,
    /// What the CPU's timer is set to. Only the TIMER softirq sets it: an earlier deadline raises that softirq, and a
    /// later one can wait until this moment has come.
    armed: Option<Instant>,
    /// When the engine is turned at the latest.
    awaited: Option<Instant>,
    /// The poll, of the only worker, in which it was last turned by a sender.
    preempted_in: Option<u64>,
    /// Frames on their way from a ring to the stack, kept for its capacity.
    frames: Vec<PacketBuf>,
    /// Merges segments that arrive together, if the host wants that.
    gro: Option<Gro>,
}

/// Instances that wait to be polled: each of a CPU's two at most once.
type PollList = SmallVec<[Instance; 2]>;

impl Cpu {
    fn turn(&mut self, now: Instant) -> Turn {
        if self.shared.is_paused() {
            return Turn::Idle(None);
        }
        self.do_irqs();
        if self.armed.is_some_and(|armed| armed <= now) {
            self.raise_softirq_irqoff(Softirq::Timer);
        }
        if self.do_softirqs(now) {
            self.shared.counters.ksoftirqd.add(1);
            return Turn::Again;
        }
        Turn::Idle(self.armed)
    }

    /// Raises a softirq in interrupt or softirq context: the running turn will see it.
    fn raise_softirq_irqoff(&mut self, vector: Softirq) {
        self.raised |= 1 << vector as u32;
    }

    /// The raised softirqs as a bit set, which is emptied. What others have put up to be polled joins the poll list.
    fn take_softirqs(&mut self) -> u32 {
        let by_others = self.shared.take_raised();
        if by_others & BACKLOG_LISTED != 0 {
            self.poll_list.push(Instance::Backlog);
        }
        std::mem::take(&mut self.raised) | (by_others & !BACKLOG_LISTED)
    }

    fn do_irqs(&mut self) {
        let mut delivered = self.shared.irq.take();
        while delivered != 0 {
            // A CPU has one line so far: that of its queue pair.
            delivered &= delivered - 1;
            let line = self.host.nic.line(self.index);
            if line.take() {
                let tracer = &self.host.tracer;
                self.shared.counters.irqs.add(1);
                tracer.emit(|| Event::IrqHandlerEntry { irq: line.number(), name: line.name().clone() });
                if driver::interrupt(self.shared.napi(Instance::Queue)) {
                    tracer.emit(|| Event::SoftirqRaise { vec: Softirq::NetRx as u8 });
                    self.poll_list.push(Instance::Queue);
                    self.raised |= 1 << Softirq::NetRx as u32;
                }
                tracer.emit(|| Event::IrqHandlerExit { irq: line.number(), handled: true });
            }
        }
    }

    /// Runs pending softirqs; `true` when some are left for `ksoftirqd`.
    fn do_softirqs(&mut self, started: Instant) -> bool {
        let mut now = started;
        for _pass in 0..SOFTIRQ_PASSES_MAX {
            let pending = self.take_softirqs();
            if pending == 0 {
                return false;
            }
            for vector in [Softirq::Timer, Softirq::NetRx] {
                if pending & (1 << vector as u32) != 0 {
                    self.shared.counters.softirqs.add(1);
                    self.host.tracer.emit(|| Event::SoftirqEntry { vec: vector as u8 });
                    match vector {
                        Softirq::Timer => self.armed = self.host.on_timer(self.index, now),
                        Softirq::NetRx => self.net_rx_action(now),
                    }
                    self.host.tracer.emit(|| Event::SoftirqExit { vec: vector as u8 });
                }
            }
            if self.raised == 0 && !self.shared.is_raised() {
                return false;
            }
            now = self.host.clock.now();
            if now - started >= SOFTIRQ_TIME_MAX {
                break;
            }
            // Interrupts are on between passes: a handler may run and raise more.
            self.do_irqs();
        }
        true
    }

    /// Polls the listed instances under the budget.
    fn net_rx_action(&mut self, started: Instant) {
        let mut unpolled = std::mem::take(&mut self.poll_list).into_iter();
        if unpolled.len() == 0 {
            // An earlier round of this softirq has polled what this one was raised for.
            return;
        }
        let mut repoll = PollList::new();
        let mut budget = NETDEV_BUDGET;
        while let Some(instance) = unpolled.next() {
            let work = self.napi_poll(instance, started);
            budget = budget.saturating_sub(work.packets);
            if work.again {
                repoll.push(instance);
            }
            if unpolled.len() == 0 && repoll.is_empty() {
                return;
            }
            if budget == 0 || self.host.clock.now() - started >= NETDEV_BUDGET_TIME {
                self.shared.counters.time_squeeze.add(1);
                break;
            }
        }
        // Put back in order: not polled yet, newly scheduled, to be polled again.
        let newly = std::mem::take(&mut self.poll_list);
        self.poll_list = unpolled.chain(newly).chain(repoll).collect();
        self.host.tracer.emit(|| Event::SoftirqRaise { vec: Softirq::NetRx as u8 });
        self.raise_softirq_irqoff(Softirq::NetRx);
    }

    fn napi_poll(&mut self, instance: Instance, now: Instant) -> Work {
        let (host, napi) = (&*self.host, self.shared.napi(instance));
        if napi.is_disabled() {
            return Work { packets: 0, again: false };
        }
        let packets;
        let dev = match instance {
            Instance::Queue => {
                driver::clean_rx(host, self.index, NAPI_POLL_WEIGHT, &mut self.frames);
                packets = self.frames.len();
                if let Some(gro) = self.gro.as_mut().filter(|_| packets > 1) {
                    gro.merge(&mut self.frames);
                }
                host.nic.name()
            }
            Instance::Backlog => {
                let mut input = self.shared.input_queue();
                let batch = input.len().min(NAPI_POLL_WEIGHT);
                self.frames.extend(input.drain(..batch));
                packets = batch;
                &host.loopback_name
            }
        };
        debug_assert!(packets <= NAPI_POLL_WEIGHT, "a poll keeps to its weight");
        if packets > 0 {
            host.receive(self.index, now, &mut self.frames);
        }
        self.shared.counters.napi_polls.add(1);
        self.shared.counters.processed.add(packets as u64);
        host.tracer.emit(|| Event::NapiPoll {
            dev: dev.clone(),
            work: u32::try_from(packets).unwrap_or(u32::MAX),
            budget: NAPI_POLL_WEIGHT as u32,
        });
        if packets == NAPI_POLL_WEIGHT {
            // A full weight means that there may be more: ownership is kept.
            return Work { packets, again: true };
        }
        let again = match (napi.complete_done(), instance) {
            (Completed::Again, _) => true,
            (Completed::Idle, Instance::Queue) => {
                driver::enable_irq(host, self.index);
                false
            }
            (Completed::Idle, Instance::Backlog) => {
                // The backlog has no line to latch a cause: look again, now that others can schedule it.
                !self.shared.input_queue().is_empty() && napi.schedule_prep()
            }
        };
        Work { packets, again }
    }
}

struct Work {
    packets: usize,
    again: bool,
}

impl Engine for CpuEngine {
    fn turn(&mut self, now: Instant) -> Turn {
        // Held by a sender that the CPU has preempted: it will be done in a moment.
        let Some(mut cpu) = self.cpu.try_lock() else { return Turn::Again };
        if self.shared.is_orphaned() {
            return Turn::Done;
        }
        let turn = cpu.turn(now);
        if let Turn::Idle(deadline) = turn {
            cpu.awaited = deadline;
        }
        turn
    }

    fn halt(&self) -> &Halt {
        &self.shared.irq.halt
    }

    fn has_work(&self) -> bool {
        let stands = self.shared.is_paused();
        self.shared.is_orphaned() || (!stands && (self.shared.irq.has_delivered() || self.shared.is_raised()))
    }

    fn abandoned(&mut self) {
        if !self.shared.is_orphaned() {
            let host = self.cpu.lock().host.clone();
            host.shut_down();
        }
    }
}
