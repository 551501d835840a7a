//! An emulated CPU: takes interrupts, runs softirqs with Linux's limits, polls NAPI instances.
//!
//! A CPU is run by an [`Engine`]: as a task it is polled by whatever worker has time, as a thread it runs alone. One turn is one
//! interrupt's worth of work: take the delivered lines and run their handlers; then the pending softirqs in the order of
//! their bits, at most ten passes or two milliseconds ([`softirq::run`]); what is left then goes to `ksoftirqd`, that
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
use crate::host::machine::Works;
use crate::host::softnet::{BACKLOG_LISTED, CpuShared, Instance, Kthread, LOOK_AGAIN, PollList, QUEUES_LISTED};
use crate::irq::controller::{Interrupt, Preempted};
use crate::irq::hrtimer::TimerFor;
use crate::irq::napi::{Completed, Scheduled};
use crate::irq::softirq::{self, Softirq, SoftirqContext, Softirqs};
use crate::packet::PacketBuf;
use crate::stack::timers::earlier;
use crate::waking;
use parking_lot::Mutex;
use std::cell::Cell;
use std::sync::Arc;
use wakeline_runtime::clock::Instant;
use wakeline_runtime::park::non_block;

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
    /// `None` once nobody turns the engine any more, so that its interrupts' hold on it holds nothing else.
    cpu: Arc<Mutex<Option<Cpu>>>,
}

impl CpuEngine {
    pub(crate) fn new(index: usize, shared: Arc<CpuShared>, host: Arc<Works>) -> CpuEngine {
        let cpu = Cpu {
            index,
            shared: shared.clone(),
            host,
            own: Own::default(),
            armed: None,
            awaited: None,
            preempted_in: None,
            frames: Vec::new(),
        };
        let engine = CpuEngine { shared, cpu: Arc::new(Mutex::new(Some(cpu))) };
        let preempted = engine.cpu.clone();
        engine.shared.irq.on_preemption(move |interrupt| preempt(&preempted, interrupt));
        let waited_for = engine.cpu.clone();
        engine.shared.irq.on_synchronize(move || {
            if let Some(cpu) = &mut *waited_for.lock() {
                cpu.drop_disabled();
            }
        });
        engine
    }
}

/// Turns the CPU on the calling thread, and says so, unless it is being turned, or was so in the same `poll`.
///
/// The sender's time is this CPU's as long as the sender is not itself a CPU that was preempted: what a host
/// hears in answer to what it has just sent comes later.
fn preempt(cpu: &Mutex<Option<Cpu>>, interrupt: Interrupt) -> Preempted {
    let Interrupt { lines, poll, now } = interrupt;
    let Some(nested) = Nested::deeper() else { return Preempted::No };
    let Some(mut running) = cpu.try_lock() else { return Preempted::No };
    let Some(running) = &mut *running else { return Preempted::No };
    if poll.is_some() && poll == running.preempted_in {
        return Preempted::No;
    }
    running.preempted_in = poll;
    let now = now.filter(|_| nested.is_outermost).unwrap_or_else(|| running.host.clock.now());
    let turn = running.turn(now, lines);
    let engine_must = match turn {
        Turn::Idle(deadline) => earlier(deadline, running.awaited) != running.awaited,
        Turn::Again | Turn::Done => true,
    };
    // The engine sets its timer anew, or goes on with what is left.
    if engine_must { Preempted::Left } else { Preempted::Done }
}

/// One of the CPUs that preempt each other on this thread: each one's frames may interrupt the next, and all stand on one
/// stack, whose depth is so bounded.
struct Nested {
    is_outermost: bool,
}

const NESTED_MAX: u32 = 8;

thread_local! {
    static NESTED: Cell<u32> = const { Cell::new(0) };
}

impl Nested {
    fn deeper() -> Option<Nested> {
        let depth = NESTED.get();
        (depth < NESTED_MAX).then(|| {
            NESTED.set(depth + 1);
            Nested { is_outermost: depth == 0 }
        })
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        NESTED.set(NESTED.get() - 1);
    }
}

/// The CPU itself. Aligned, so that it has no cache line in common with another one.
#[repr(align(128))]
struct Cpu {
    index: usize,
    shared: Arc<CpuShared>,
    host: Arc<Works>,
    own: Own,
    /// What the CPU's timer is set to. Only the TIMER softirq sets it: an earlier deadline raises that softirq, and a
    /// later one can wait until this moment has come.
    armed: Option<Instant>,
    /// When the engine is turned at the latest.
    awaited: Option<Instant>,
    /// The poll, of the only worker, in which it was last turned by a sender.
    preempted_in: Option<u64>,
    /// Frames on their way from a ring to the stack, kept for its capacity.
    frames: Vec<PacketBuf>,
}

/// What a CPU has raised and scheduled itself.
#[derive(Default)]
pub(crate) struct Own {
    pub(crate) softirqs: Softirqs,
    pub(crate) poll_list: PollList,
}

impl Cpu {
    /// `lines`: what it is interrupted for, beside what has been delivered.
    #[inline]
    fn turn(&mut self, now: Instant, lines: u64) -> Turn {
        if self.shared.is_paused() {
            if lines != 0 {
                self.shared.irq.latch(lines);
            }
            return Turn::Idle(None);
        }
        if self.shared.irq.timers.is_due(now) {
            self.on_hrtimers(now);
        }
        self.do_irqs(lines);
        if self.armed.is_some_and(|armed| armed <= now) {
            self.own.softirqs.raise(Softirq::Timer);
        }
        if softirq::run(self, now) {
            self.shared.counters.ksoftirqd.add(1);
            return Turn::Again;
        }
        if self.shared.runnable_threads() > 0 {
            self.run_threads(now);
            return Turn::Again;
        }
        Turn::Idle(match (self.armed, self.shared.irq.timers.next()) {
            (armed, None) => armed,
            (None, timer) => timer,
            (Some(armed), Some(timer)) => Some(armed.min(timer)),
        })
    }

    /// The clock's interrupt: the timers whose time has come.
    #[cold]
    fn on_hrtimers(&mut self, now: Instant) {
        let _in_hardirq = non_block();
        let Cpu { shared, host, own, .. } = self;
        for timer in shared.irq.timers.take_due(now) {
            match timer {
                TimerFor::Coalesce(queue) => host.nic.on_coalesce_timer(queue.into(), now),
                TimerFor::NapiWatchdog(queue) | TimerFor::Refill(queue) => {
                    driver::on_timer(host, shared, queue.into(), own);
                }
                TimerFor::SpuriousPoll(line) => host.irqs[usize::from(line)].poll_spurious(host, shared, own, now),
            }
        }
    }

    #[inline]
    fn do_irqs(&mut self, lines: u64) {
        let _in_hardirq = non_block();
        let mut delivered = lines | self.shared.irq.take();
        while delivered != 0 {
            let line = delivered.trailing_zeros() as usize;
            delivered &= delivered - 1;
            self.host.irqs[line].handle(&self.host, self.index, &self.shared, &mut self.own);
        }
    }

    /// The kernel's threads run, each for one piece of work, with bottom halves disabled; what they have raised runs after it.
    #[cold]
    fn run_threads(&mut self, now: Instant) {
        for _thread in 0..self.shared.runnable_threads() {
            let Some(thread) = self.shared.next_thread() else { break };
            self.own.softirqs.bh_disable();
            match thread {
                Kthread::Irq(line, action) => {
                    let Cpu { shared, host, own, .. } = &mut *self;
                    host.irqs[usize::from(line)].run_thread(host, shared, own, action);
                }
                Kthread::Napi(queue) => {
                    let _bh_disabled = non_block();
                    if self.napi_poll_out_of_line(Instance::Queue(queue), now).again {
                        self.shared.wake_thread(thread);
                    }
                }
            }
            let started = self.host.clock.now();
            if self.own.softirqs.bh_enable() && softirq::run(self, started) {
                self.shared.counters.ksoftirqd.add(1);
                break;
            }
        }
    }

    /// What is being disabled is owned by nobody and listed nowhere.
    #[cold]
    fn drop_disabled(&mut self) {
        let Cpu { shared, host, own, .. } = self;
        let raised = shared.raised.take();
        shared.join_listed(raised, &mut own.poll_list);
        own.softirqs.keep(raised & !(BACKLOG_LISTED | QUEUES_LISTED | LOOK_AGAIN));
        own.poll_list.retain(|instance| match *instance {
            Instance::Queue(queue) => !driver::give_up_disabled(host, queue.into()),
            Instance::Backlog => true,
        });
        for queue in 0..host.driver.vectors.len() {
            if host.driver.vectors[queue].napi.is_disable_pending() && shared.stop_thread(Kthread::Napi(queue as u16)) {
                let _given_up = driver::give_up_disabled(host, queue);
            }
        }
    }

    /// Polls the listed instances under the budget.
    #[inline]
    fn net_rx_action(&mut self, started: Instant) {
        // Mostly there is one, which needs no list of its own; or none, because an earlier round of this softirq has polled
        // what this one was raised for.
        match self.own.poll_list.len() {
            0 => {}
            1 => {
                let Some(instance) = self.own.poll_list.pop() else { return };
                let work = self.napi_poll(instance, started);
                if work.packets >= self.host.core.netdev_budget.get() as usize {
                    self.shared.counters.time_squeeze.add(1);
                }
                if work.again {
                    self.go_on_later([].into_iter(), PollList::from_elem(instance, 1));
                }
            }
            _ => self.poll_many(started),
        }
    }

    fn poll_many(&mut self, started: Instant) {
        let mut unpolled = std::mem::take(&mut self.own.poll_list).into_iter();
        let mut repoll = PollList::new();
        let mut budget = self.host.core.netdev_budget.get() as usize;
        while let Some(instance) = unpolled.next() {
            let work = self.napi_poll_out_of_line(instance, started);
            budget = budget.saturating_sub(work.packets);
            if work.again {
                repoll.push(instance);
            }
            if unpolled.len() == 0 && repoll.is_empty() {
                return;
            }
            if budget == 0 || self.host.clock.now() - started >= self.host.core.budget_time() {
                self.shared.counters.time_squeeze.add(1);
                break;
            }
        }
        self.go_on_later(unpolled, repoll);
    }

    /// What is left is put back in order: not polled yet, newly scheduled, to be polled again.
    fn go_on_later(&mut self, unpolled: impl Iterator<Item = Instance>, repoll: PollList) {
        let newly = std::mem::take(&mut self.own.poll_list);
        self.own.poll_list = unpolled.chain(newly).chain(repoll).collect();
        self.host.tracer.emit(|| Event::SoftirqRaise { vec: Softirq::NetRx as u8 });
        self.own.softirqs.raise(Softirq::NetRx);
    }

    /// For whoever is not in a hurry.
    #[inline(never)]
    fn napi_poll_out_of_line(&mut self, instance: Instance, now: Instant) -> Work {
        self.napi_poll(instance, now)
    }

    #[inline(always)]
    fn napi_poll(&mut self, instance: Instance, now: Instant) -> Work {
        let Cpu { index, shared, host, frames, .. } = self;
        let weight = match instance {
            Instance::Queue(_) => NAPI_POLL_WEIGHT,
            Instance::Backlog => host.core.dev_weight.get() as usize,
        };
        let (packets, dev) = match instance {
            Instance::Queue(queue) => {
                let packets = driver::clean(host, shared, queue.into(), weight, now, frames);
                (packets, host.nic.name())
            }
            Instance::Backlog => (shared.take_backlog(weight, frames), &host.loopback.name),
        };
        // "exceeding weight": a poll that lies about its work would keep others from theirs.
        debug_assert!(
            packets <= weight,
            "a poll of {dev} has found {packets} packets, more than its weight of {weight}"
        );
        let packets = packets.min(weight);
        if !frames.is_empty() {
            let _in = host.tracer.is_listening().then(|| {
                let poll = if instance == Instance::Backlog { "process_backlog" } else { "wakeline_poll" };
                waking::enter(&host.tracer, &[poll, "__napi_poll", "net_rx_action"])
            });
            host.deliver(*index, now, frames);
        }
        shared.counters.napi_polls.add(1);
        shared.counters.processed.add(packets as u64);
        host.tracer.emit(|| Event::NapiPoll {
            dev: dev.clone(),
            work: u32::try_from(packets).unwrap_or(u32::MAX),
            budget: u32::try_from(weight).unwrap_or(u32::MAX),
        });
        let again = match instance {
            // A full weight means that there may be more: ownership is kept.
            Instance::Queue(queue) if packets >= weight => driver::goes_on(host, shared, queue.into(), now),
            Instance::Queue(queue) => driver::complete(host, *index, queue.into(), packets, now, frames),
            Instance::Backlog if packets >= weight => true,
            Instance::Backlog => {
                // The backlog has no line to latch a cause: look again, now that others can schedule it.
                shared.backlog.complete_done() == Completed::Again
                    || !shared.input_queue().is_empty() && shared.backlog.schedule_prep() != Scheduled::No
            }
        };
        if let Instance::Queue(queue) = instance {
            debug_assert!(
                again || driver::is_looked_after(host, queue.into()),
                "the driver of {dev} has left queue {queue} without an interrupt and without a poll"
            );
        }
        Work { packets, again }
    }
}

impl SoftirqContext for Cpu {
    #[inline]
    fn take(&mut self) -> u32 {
        let by_others = self.shared.raised.take();
        self.shared.join_listed(by_others, &mut self.own.poll_list);
        self.own.softirqs.take(by_others & !(BACKLOG_LISTED | QUEUES_LISTED | LOOK_AGAIN))
    }

    #[inline]
    fn are_pending(&self) -> bool {
        self.own.softirqs.are_pending() || self.shared.raised.is_any()
    }

    #[inline]
    fn action(&mut self, vector: Softirq, now: Instant) {
        let _in_softirq = non_block();
        self.shared.counters.softirqs[vector as usize].add(1);
        self.host.tracer.emit(|| Event::SoftirqEntry { vec: vector as u8 });
        match vector {
            Softirq::Timer => self.armed = self.host.on_timer(self.index, now),
            Softirq::NetRx => self.net_rx_action(now),
            // Nobody raises the others: there is no disk, no tasklet and no RCU, and transmission completes at once.
            _ => {}
        }
        self.host.tracer.emit(|| Event::SoftirqExit { vec: vector as u8 });
    }

    #[inline]
    fn interrupts_on(&mut self) {
        self.do_irqs(0);
    }

    #[inline]
    fn now(&self) -> Instant {
        self.host.clock.now()
    }

    #[inline]
    fn need_resched(&self) -> bool {
        self.shared.runnable_threads() > 0
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
        let Some(cpu) = cpu.as_mut().filter(|_| !self.shared.is_orphaned()) else { return Turn::Done };
        let turn = cpu.turn(now, 0);
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
        self.shared.is_orphaned() || (!stands && (self.shared.irq.has_delivered() || self.shared.raised.is_any()))
    }

    fn abandoned(&mut self) {
        if !self.shared.is_orphaned() {
            let host = self.cpu.lock().as_ref().map(|cpu| cpu.host.clone());
            if let Some(host) = host {
                host.shut_down();
            }
        }
    }
}

impl Drop for CpuEngine {
    fn drop(&mut self) {
        // The host's lines hold the lock, and the CPU holds the host.
        let gone = self.cpu.lock().take();
        drop(gone);
    }
}
