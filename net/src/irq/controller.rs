//! A CPU's interrupt input: which lines have been delivered, and who is to be woken for them.

use crate::atomic::{AtomicU64, Ordering};
use crate::halt::Halt;
use crate::irq::hrtimer::HrTimers;
use std::fmt;
use std::sync::OnceLock;
use wakeline_runtime::clock::Instant;
#[cfg(not(loom))]
use wakeline_runtime::lone_poll;

/// A model has no polls.
#[cfg(loom)]
fn lone_poll() -> Option<u64> {
    None
}

/// Where a CPU's lines end, and what starts it when it has halted. Aligned, so that it has no cache line in common with
/// another CPU's.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct IrqController {
    delivered: AtomicU64,
    pub(crate) halt: Halt,
    /// What the CPU is to be told of at a certain time.
    pub(crate) timers: HrTimers,
    preempt: OnceLock<Preempt>,
    synchronize: OnceLock<Hook>,
}

/// Runs the CPU in the context of whoever interrupts it.
struct Preempt(Box<dyn Fn(Interrupt) -> Preempted + Send + Sync>);

/// What a CPU is interrupted for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interrupt {
    /// Lines that have not been delivered; unless the CPU runs, they are not.
    pub(crate) lines: u64,
    /// The number of a poll: the CPU runs if it was not in that poll before.
    pub(crate) poll: Option<u64>,
    /// The time, where the interrupter knows it.
    pub(crate) now: Option<Instant>,
}

/// What became of it.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preempted {
    /// The CPU runs elsewhere, or was in that poll before.
    No,
    /// It has run, and waits for what it waited for.
    Done,
    /// It has run, and its engine has something to do about it.
    Left,
}

impl fmt::Debug for Preempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Preempt")
    }
}

/// Waits for what runs on the CPU.
struct Hook(Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

impl IrqController {
    #[inline]
    pub(crate) fn deliver(&self, bit: u32, now: Option<Instant>) {
        let lines = 1 << bit;
        // Where another task is ready, more frames may come before the CPU has its turn, and one batch will do for all. So will
        // it for what one poll sends beyond the first.
        if !lone_poll().is_some_and(|poll| self.preempt(Interrupt { lines, poll: Some(poll), now })) {
            self.latch(lines);
            self.halt.ring();
        }
    }

    /// The lines wait until the CPU takes them.
    pub(crate) fn latch(&self, lines: u64) {
        // SeqCst, as `Halt` asks; it publishes the line's state to `take`, too.
        self.delivered.fetch_or(lines, Ordering::SeqCst);
    }

    /// Runs the CPU here and now, if nobody runs it elsewhere.
    pub(crate) fn press(&self, now: Instant) {
        self.preempt(Interrupt { lines: 0, poll: None, now: Some(now) });
    }

    #[inline]
    fn preempt(&self, interrupt: Interrupt) -> bool {
        let Some(preempt) = self.preempt.get() else { return false };
        let preempted = preempt.0(interrupt);
        if preempted == Preempted::Left {
            self.kick();
        }
        preempted != Preempted::No
    }

    /// Says how the CPU is run in the context of an interrupt's sender; the first call counts.
    pub(crate) fn on_preemption(&self, run: impl Fn(Interrupt) -> Preempted + Send + Sync + 'static) {
        let _ = self.preempt.set(Preempt(Box::new(run)));
    }

    /// Says how to wait for what runs on the CPU; the first call counts.
    pub(crate) fn on_synchronize(&self, wait: impl Fn() + Send + Sync + 'static) {
        let _ = self.synchronize.set(Hook(Box::new(wait)));
    }

    /// `synchronize_irq`: a handler, a softirq or a poll that runs on the CPU has ended when this returns, and what is disabled is
    /// not on its poll list. Not to be called from any of them.
    pub(crate) fn synchronize(&self) {
        if let Some(wait) = self.synchronize.get() {
            wait.0();
        }
    }

    /// The delivered lines as a bit set, which is emptied.
    #[inline]
    pub(crate) fn take(&self) -> u64 {
        if self.delivered.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        self.delivered.swap(0, Ordering::Acquire)
    }

    /// Whether a line waits for its handler.
    pub(crate) fn has_delivered(&self) -> bool {
        self.delivered.load(Ordering::SeqCst) != 0
    }

    /// An inter-processor interrupt: starts the CPU for work that has no line (a softirq raised from elsewhere), which the
    /// caller has written with `SeqCst`.
    pub(crate) fn kick(&self) {
        self.halt.ring();
    }
}
