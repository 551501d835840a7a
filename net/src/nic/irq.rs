//! Interrupt lines, and the controller that brings them to an emulated CPU.
//!
//! A line is one word with two bits: the driver's mask, and the latched cause. A cause that comes while the line is
//! masked is remembered once and delivered at unmask, as an MSI-X vector's pending bit is. Delivery sets the line's bit
//! in its CPU's [`IrqController`] and wakes whoever runs that CPU.
//!
//! # State
//! ```text
//!           raise: PENDING, delivered            take (the CPU): handler runs
//!   quiet -----------------------------> pending ----------------------------> quiet
//!     |  mask (the handler)                                                      ^
//!     v                   raise: latched                unmask: delivered        |
//!   masked ------------------------------> masked+pending -----------------> pending
//! ```

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use wakeline_runtime::wait_queue::{Events, WaitQueue};

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
        if let Some(preempt) = self.controller.preempt.get() {
            preempt.0();
        }
    }

    /// The CPU takes the interrupt; `false` when it was masked after it had been delivered.
    pub(crate) fn take(&self) -> bool {
        let taken = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
            (state & (MASKED | PENDING) == PENDING).then_some(state & !PENDING)
        });
        taken.is_ok()
    }

    /// The driver wants no more interrupts; causes are latched from here on.
    pub(crate) fn mask(&self) {
        self.state.fetch_or(MASKED, Ordering::AcqRel);
    }

    /// The driver wants interrupts again; a cause latched meanwhile is delivered now.
    pub(crate) fn unmask(&self) {
        if self.state.fetch_and(!MASKED, Ordering::AcqRel) & PENDING != 0 {
            self.controller.deliver(self.bit);
        }
    }
}

/// A CPU's interrupt input: which lines have been delivered, and who is to be woken for them.
///
/// The wait queue holds the waker of whatever runs the CPU, a task or a thread; while the CPU runs nobody waits in it
/// and a delivery costs no lock.
#[derive(Debug, Default)]
pub(crate) struct IrqController {
    delivered: AtomicU64,
    /// Who runs the CPU, while it is idle.
    pub(crate) idle: WaitQueue,
    preempt: OnceLock<Preempt>,
}

/// Runs the CPU in the context of whoever presses.
struct Preempt(Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for Preempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Preempt")
    }
}

impl IrqController {
    fn deliver(&self, bit: u32) {
        self.delivered.fetch_or(1 << bit, Ordering::Release);
        self.idle.wake(Events::IN, 1);
    }

    /// Says how the CPU is run by whoever feeds it too fast; the first call counts.
    pub(crate) fn on_pressure(&self, run: impl Fn() + Send + Sync + 'static) {
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
        self.delivered.load(Ordering::Acquire) != 0
    }

    /// An inter-processor interrupt: wakes the CPU for work that has no line (a softirq raised from elsewhere).
    pub(crate) fn kick(&self) {
        self.idle.wake(Events::IN, 1);
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
        line.raise();
        assert_eq!(cpu.take(), 1 << 3);
    }

    /// RXPATH row 8: a cause while masked gives exactly one interrupt after unmask.
    #[test]
    fn a_cause_while_masked_is_latched_once() {
        let (line, cpu) = line();
        line.mask();
        line.raise();
        line.raise();
        assert_eq!(cpu.take(), 0);
        line.unmask();
        assert_eq!(cpu.take(), 1 << 3);
        assert!(line.take());
        line.unmask();
        assert_eq!(cpu.take(), 0);
    }

    #[test]
    fn a_delivered_interrupt_that_is_masked_before_it_is_taken_waits_for_unmask() {
        let (line, cpu) = line();
        line.raise();
        line.mask();
        assert_eq!(cpu.take(), 1 << 3);
        assert!(!line.take());
        line.unmask();
        assert_eq!(cpu.take(), 1 << 3);
        assert!(line.take());
    }
}
