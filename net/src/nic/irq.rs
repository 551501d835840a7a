//! Interrupt lines, and the controller that brings them to an emulated CPU.
//!
//! A line is one word with two bits: the driver's mask, and the latched cause. A cause that comes while the line is
//! masked is remembered once and delivered at unmask, as an MSI-X vector's pending bit is. Delivery sets the line's bit
//! in its CPU's [`IrqController`] and rings for that CPU. The device masks a line by itself when its interrupt is taken,
//! as ixgbe has its device do (`EIAM`); the driver unmasks it.
//!
//! # State
//! ```text
//!           raise: PENDING, delivered            take (the CPU): handler runs
//!   quiet -----------------------------> pending ----------------------------> masked
//!     ^                                     ^                                    |
//!     |  unmask (the driver)                | unmask: delivered                  | raise: latched
//!   masked <------------                 masked+pending <------------------------+
//! ```

use crate::halt::Halt;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use wakeline_runtime::lone_poll;

/// One line, or MSI-X vector, of a device.
#[derive(Debug)]
pub(crate) struct IrqLine {
    number: u32,
    name: Arc<str>,
    state: AtomicU32,
    /// The line's bit at its CPU.
    bit: u32,
    controller: Arc<IrqController>,
}

const MASKED: u32 = 1;
const PENDING: u32 = 2;

impl IrqLine {
    /// An unmasked line that interrupts the CPU behind `controller`, whose bit `bit` (0..64) it takes.
    pub(crate) fn new(number: u32, name: Arc<str>, bit: u32, controller: Arc<IrqController>) -> IrqLine {
        assert!(bit < 64, "a CPU has 64 interrupt lines");
        IrqLine { number, name, state: AtomicU32::new(0), bit, controller }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The device has a cause. What it wrote before is visible to the handler that the interrupt runs.
    pub(crate) fn raise(&self) {
        // AcqRel: publishes the descriptors to `take`, and sees the driver's last `mask` or `unmask`.
        let before = self.state.fetch_or(PENDING, Ordering::AcqRel);
        if before & (MASKED | PENDING) == 0 {
            self.controller.deliver(self.bit);
        }
    }

    /// The device's ring fills faster than it is cleaned: the CPU is run here and now, if nobody runs it elsewhere.
    pub(crate) fn press(&self) {
        self.controller.preempt(None);
    }

    /// The CPU takes the interrupt, which masks the line: causes are latched from here on. `false` when there is none, or
    /// it is masked.
    pub(crate) fn take(&self) -> bool {
        self.state.compare_exchange(PENDING, MASKED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The driver wants interrupts again; a cause latched meanwhile is delivered now.
    pub(crate) fn unmask(&self) {
        if self.state.fetch_and(!MASKED, Ordering::AcqRel) & PENDING != 0 {
            self.controller.deliver(self.bit);
        }
    }
}

/// A CPU's interrupt input: which lines have been delivered, and what starts the CPU when it has halted.
#[derive(Debug, Default)]
pub(crate) struct IrqController {
    delivered: AtomicU64,
    pub(crate) halt: Halt,
    preempt: OnceLock<Preempt>,
}

/// Runs the CPU in the context of whoever interrupts it, and says whether it did.
struct Preempt(Box<dyn Fn(Option<u64>) -> bool + Send + Sync>);

impl fmt::Debug for Preempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Preempt")
    }
}

impl IrqController {
    fn deliver(&self, bit: u32) {
        // SeqCst, as `Halt` asks; it publishes the line's state to `take`, too.
        self.delivered.fetch_or(1 << bit, Ordering::SeqCst);
        // Where another task is ready, more frames may come before the CPU has its turn, and one batch will do for all. So will
        // it for what one poll sends beyond the first.
        if !lone_poll().is_some_and(|poll| self.preempt(Some(poll))) {
            self.halt.ring();
        }
    }

    /// Runs the CPU here and now, if nobody runs it elsewhere; with the number of a poll, if it was not in that poll before.
    /// Says whether it did.
    fn preempt(&self, poll: Option<u64>) -> bool {
        self.preempt.get().is_some_and(|preempt| preempt.0(poll))
    }

    /// Says how the CPU is run in the context of an interrupt's sender; the first call counts.
    pub(crate) fn on_preemption(&self, run: impl Fn(Option<u64>) -> bool + Send + Sync + 'static) {
        let _ = self.preempt.set(Preempt(Box::new(run)));
    }

    /// The delivered lines as a bit set, which is emptied.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> (IrqLine, Arc<IrqController>) {
        let controller = Arc::new(IrqController::default());
        (IrqLine::new(24, "eth0-rx-0".into(), 3, controller.clone()), controller)
    }

    #[test]
    fn raises_coalesce_until_taken() {
        let (line, cpu) = line();
        line.raise();
        line.raise();
        assert_eq!(cpu.take(), 1 << 3);
        assert!(line.take());
        assert!(!line.take());
        line.unmask();
        line.raise();
        assert_eq!(cpu.take(), 1 << 3);
        assert!(line.take());
    }

    /// RXPATH row 8: a cause while masked gives exactly one interrupt after unmask.
    #[test]
    fn a_cause_while_masked_is_latched_once() {
        let (line, cpu) = line();
        line.raise();
        assert!(cpu.take() != 0 && line.take(), "which masks it");
        line.raise();
        line.raise();
        assert_eq!(cpu.take(), 0);
        line.unmask();
        assert_eq!(cpu.take(), 1 << 3);
        assert!(line.take());
        line.unmask();
        assert_eq!(cpu.take(), 0);
    }
}
