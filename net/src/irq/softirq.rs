//! Softirqs: which are raised on a CPU, whether they may run now, and the loop that runs them.
//!
//! What a CPU raises itself is its own, what others raise is in a word that both can see. [`run`] is `__do_softirq`: it takes what is raised,
//! runs it in the order of the bits, and looks again, within limits; what is left then is `ksoftirqd`'s.

use crate::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// The vectors, in order of priority; the number is the bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(dead_code, reason = "an emulated CPU has the kernel's ten vectors, though no disk, no tasklets and no RCU")]
pub(crate) enum Softirq {
    Hi = 0,
    Timer = 1,
    NetTx = 2,
    NetRx = 3,
    Block = 4,
    IrqPoll = 5,
    Tasklet = 6,
    Sched = 7,
    Hrtimer = 8,
    Rcu = 9,
}

impl Softirq {
    /// All of them, by number.
    pub(crate) const ALL: [Softirq; 10] = [
        Softirq::Hi,
        Softirq::Timer,
        Softirq::NetTx,
        Softirq::NetRx,
        Softirq::Block,
        Softirq::IrqPoll,
        Softirq::Tasklet,
        Softirq::Sched,
        Softirq::Hrtimer,
        Softirq::Rcu,
    ];

    /// Its row in `/proc/softirqs`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Softirq::Hi => "HI",
            Softirq::Timer => "TIMER",
            Softirq::NetTx => "NET_TX",
            Softirq::NetRx => "NET_RX",
            Softirq::Block => "BLOCK",
            Softirq::IrqPoll => "IRQ_POLL",
            Softirq::Tasklet => "TASKLET",
            Softirq::Sched => "SCHED",
            Softirq::Hrtimer => "HRTIMER",
            Softirq::Rcu => "RCU",
        }
    }
}

/// What a CPU has raised itself, and whether softirqs may run on it. Plain memory: only who runs the CPU touches it.
#[derive(Debug, Default)]
pub(crate) struct Softirqs {
    raised: u32,
    /// How often bottom halves are disabled.
    bh_disabled: u32,
}

impl Softirqs {
    /// `raise_softirq_irqoff`: the turn that runs will see it.
    #[inline]
    pub(crate) fn raise(&mut self, vector: Softirq) {
        self.raised |= 1 << vector as u32;
    }

    /// What others have raised is raised here.
    pub(crate) fn keep(&mut self, by_others: u32) {
        self.raised |= by_others;
    }

    /// The raised vectors, with those that others have raised, and raised no more; none while bottom halves are disabled.
    #[inline]
    pub(crate) fn take(&mut self, by_others: u32) -> u32 {
        self.raised |= by_others;
        if self.bh_disabled > 0 { 0 } else { std::mem::take(&mut self.raised) }
    }

    /// Whether a vector is raised and may run.
    #[inline]
    pub(crate) fn are_pending(&self) -> bool {
        self.raised != 0 && self.bh_disabled == 0
    }

    /// `local_bh_disable`; nests.
    pub(crate) fn bh_disable(&mut self) {
        self.bh_disabled += 1;
    }

    /// `local_bh_enable`: whether what was raised meanwhile is to be run.
    #[must_use]
    pub(crate) fn bh_enable(&mut self) -> bool {
        debug_assert!(self.bh_disabled > 0, "bottom halves are enabled as often as they were disabled");
        self.bh_disabled = self.bh_disabled.saturating_sub(1);
        self.are_pending()
    }
}

/// What others have raised on a CPU: a bit for each softirq, and further ones of theirs.
#[derive(Debug, Default)]
pub(crate) struct Raised(AtomicU32);

impl Raised {
    /// Raises these bits; the CPU has to be told.
    pub(crate) fn raise(&self, bits: u32) {
        // SeqCst, as `Halt` asks.
        self.0.fetch_or(bits, Ordering::SeqCst);
    }

    /// What was raised, which is raised no more.
    #[inline]
    pub(crate) fn take(&self) -> u32 {
        if self.is_any() { self.0.swap(0, Ordering::AcqRel) } else { 0 }
    }

    /// Whether anything is raised.
    #[inline]
    pub(crate) fn is_any(&self) -> bool {
        self.0.load(Ordering::SeqCst) != 0
    }
}

/// What the loop needs of the CPU that it runs on.
pub(crate) trait SoftirqContext {
    /// The raised vectors, which are raised no more.
    fn take(&mut self) -> u32;
    /// Whether any is raised, and may run.
    fn are_pending(&self) -> bool;
    /// Runs a vector's action.
    fn action(&mut self, vector: Softirq, now: Instant);
    /// Interrupts are on between passes: a handler may run and raise more.
    fn interrupts_on(&mut self);
    /// The time.
    fn now(&self) -> Instant;
    /// Whether a thread waits for the CPU.
    fn need_resched(&self) -> bool;
}

/// Passes over the pending softirqs in one turn (`MAX_SOFTIRQ_RESTART`).
pub(crate) const SOFTIRQ_PASSES_MAX: u32 = 10;
/// How long one turn may go on with softirqs (`MAX_SOFTIRQ_TIME`).
pub(crate) const SOFTIRQ_TIME_MAX: Duration = Duration::from_millis(2);

/// Runs what is raised; `true` when something is left for `ksoftirqd`.
#[inline]
pub(crate) fn run(cpu: &mut impl SoftirqContext, started: Instant) -> bool {
    let mut now = started;
    for _pass in 0..SOFTIRQ_PASSES_MAX {
        let mut pending = cpu.take();
        if pending == 0 {
            return false;
        }
        while pending != 0 {
            let vector = Softirq::ALL[pending.trailing_zeros() as usize];
            pending &= pending - 1;
            cpu.action(vector, now);
        }
        if !cpu.are_pending() {
            return false;
        }
        now = cpu.now();
        if now - started >= SOFTIRQ_TIME_MAX || cpu.need_resched() {
            break;
        }
        cpu.interrupts_on();
    }
    true
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Cpu {
        softirqs: Softirqs,
        ran: Vec<Softirq>,
        /// What each action raises.
        raises: Option<Softirq>,
        ns_per_action: u64,
        resched: bool,
    }

    impl SoftirqContext for Cpu {
        fn take(&mut self) -> u32 {
            self.softirqs.take(0)
        }
        fn are_pending(&self) -> bool {
            self.softirqs.are_pending()
        }
        fn action(&mut self, vector: Softirq, _now: Instant) {
            self.ran.push(vector);
            if let Some(vector) = self.raises {
                self.softirqs.raise(vector);
            }
        }
        fn interrupts_on(&mut self) {}
        fn now(&self) -> Instant {
            Instant::from_virtual_ns(self.ran.len() as u64 * self.ns_per_action)
        }
        fn need_resched(&self) -> bool {
            self.resched
        }
    }

    fn start() -> Instant {
        Instant::from_virtual_ns(0)
    }

    /// Row 13.
    #[test]
    fn vectors_run_in_the_order_of_their_bits() {
        let mut cpu = Cpu::default();
        for vector in [Softirq::NetRx, Softirq::Timer, Softirq::Hi] {
            cpu.softirqs.raise(vector);
        }
        assert!(!run(&mut cpu, start()));
        assert_eq!(cpu.ran, [Softirq::Hi, Softirq::Timer, Softirq::NetRx]);
        cpu.ran.clear();
        Softirq::ALL.iter().rev().for_each(|&vector| cpu.softirqs.raise(vector));
        assert!(!run(&mut cpu, start()));
        assert_eq!(cpu.ran, Softirq::ALL);
    }

    /// Row 14: what raises itself runs ten times, or for two milliseconds, or until a thread wants the CPU.
    #[test]
    fn what_is_left_after_the_limits_is_ksoftirqds() {
        for (ns_per_action, resched, runs) in [(0, false, 10), (700_000, false, 3), (0, true, 1)] {
            let mut cpu = Cpu { raises: Some(Softirq::NetRx), ..Cpu::default() };
            (cpu.ns_per_action, cpu.resched) = (ns_per_action, resched);
            cpu.softirqs.raise(Softirq::NetRx);
            assert!(run(&mut cpu, start()));
            assert_eq!(cpu.ran.len(), runs);
            assert!(cpu.softirqs.are_pending());
        }
    }

    /// Row 16: nothing runs until the last enable.
    #[test]
    fn bottom_halves_run_at_the_last_enable() {
        let mut cpu = Cpu::default();
        cpu.softirqs.bh_disable();
        cpu.softirqs.bh_disable();
        cpu.softirqs.raise(Softirq::NetRx);
        assert!(!run(&mut cpu, start()) && !cpu.softirqs.are_pending());
        assert!(!cpu.softirqs.bh_enable());
        assert!(!run(&mut cpu, start()) && cpu.ran.is_empty());
        assert!(cpu.softirqs.bh_enable());
        assert!(!run(&mut cpu, start()));
        assert_eq!(cpu.ran, [Softirq::NetRx]);
        cpu.softirqs.bh_disable();
        assert!(!cpu.softirqs.bh_enable(), "nothing was raised");
    }
}
