//! An interrupt line, or MSI-X vector: one word with the masks, the latched cause, and who runs the handler.
//!
//! A cause that comes while the line is masked is remembered once and delivered at unmask, as an MSI-X vector's pending bit
//! is. So is an edge that comes while the handler runs: the handler runs once more, however many came.
//!
//! # State
//! ```text
//!           1 raise: PENDING, delivered         2 begin_edge: INPROGRESS        3 end_edge
//!   quiet -----------------------------> pending ----------------> in progress -----------> quiet
//!     |  4 mask, or 2 with auto-mask                                 |  ^
//!     v              1 raise: latched            5 unmask: delivered | 1| raise: PENDING; 3 says: again
//!   masked ------------------------> masked+pending ------> pending  +--+
//! ```
//! A level line is the same word, read otherwise: PENDING is the level, which the handler lets down by reading the cause
//! ([`IrqLine::read_cause`]); [`begin_level`](IrqLine::begin_level) masks the line at the chip, and
//! [`end_level`](IrqLine::end_level) delivers it again if it is still up.
//!
//! There are two masks, as in hardware: the driver's at its device (`IMC`, `EIMC`), and the interrupt chip's.

use crate::atomic::{AtomicU32, Ordering};
use crate::irq::controller::IrqController;
use std::sync::Arc;
use wakeline_runtime::clock::Instant;

/// One line, or MSI-X vector, of a device.
#[derive(Debug)]
pub(crate) struct IrqLine {
    number: u32,
    name: Arc<str>,
    state: AtomicU32,
    /// The line's bit at each CPU.
    bit: u32,
    /// What taking it masks: [`MASKED`] where the vector masks itself when it fires (`EIAM`).
    auto_mask: u32,
    controllers: Arc<[Arc<IrqController>]>,
}

/// The driver wants no interrupts.
const MASKED: u32 = 1 << 0;
/// There is a cause.
const PENDING: u32 = 1 << 1;
/// A CPU runs the handler (`IRQD_IRQ_INPROGRESS`).
const INPROGRESS: u32 = 1 << 2;
/// The interrupt chip lets nothing through (`IRQD_IRQ_MASKED`).
const CHIP_MASKED: u32 = 1 << 3;
/// `disable_irq`; the chip is masked when the next one comes (`IRQD_IRQ_DISABLED`).
const DISABLED: u32 = 1 << 4;
/// The device raises through [`moderation`](IrqLine::is_moderated).
const MODERATED: u32 = 1 << 5;
/// Another device on the line holds it up; our driver's mask does not concern that.
const FOREIGN: u32 = 1 << 6;
/// Above these: the CPU that it interrupts.
const CPU_SHIFT: u32 = 8;

/// What the line does when its handler is begun or has ended.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nothing came meanwhile, or it will be delivered.
    Quiet,
    /// An edge came meanwhile: the handler runs again.
    Again,
}

impl IrqLine {
    /// An unmasked line with the bit `bit` (0..64) at each of `controllers`, which interrupts CPU `cpu`.
    pub(crate) fn new(
        number: u32,
        name: Arc<str>,
        bit: u32,
        cpu: usize,
        controllers: Arc<[Arc<IrqController>]>,
    ) -> IrqLine {
        assert!(bit < 64 && cpu < controllers.len(), "a CPU has 64 interrupt lines");
        IrqLine { number, name, state: AtomicU32::new((cpu as u32) << CPU_SHIFT), bit, auto_mask: 0, controllers }
    }

    /// The vector masks itself when it is taken, which saves its driver a write.
    #[must_use]
    pub(crate) fn with_auto_mask(self) -> IrqLine {
        IrqLine { auto_mask: MASKED, ..self }
    }

    /// Another line of the same device, with its next numbers: bit `bit`, which interrupts the CPU of that number, beginning again
    /// after the last.
    pub(crate) fn sibling(&self, bit: u32, name: Arc<str>) -> IrqLine {
        let (number, cpu) = (self.number - self.bit + bit, bit as usize % self.controllers.len());
        IrqLine { auto_mask: self.auto_mask, ..IrqLine::new(number, name, bit, cpu, self.controllers.clone()) }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The device has a cause. What it wrote before is visible to the handler that the interrupt runs.
    pub(crate) fn raise(&self) {
        self.latch(None);
    }

    /// The same for a device that knows the time.
    #[inline]
    pub(crate) fn raise_at(&self, now: Instant) {
        self.latch(Some(now));
    }

    #[inline]
    fn latch(&self, now: Option<Instant>) {
        // AcqRel: publishes the descriptors to `begin_*`, and sees the driver's last `mask` or `unmask`.
        let before = self.state.fetch_or(PENDING, Ordering::AcqRel);
        if before & (MASKED | CHIP_MASKED | PENDING) == 0 {
            self.deliver_at(before, now);
        }
    }

    fn deliver(&self, state: u32) {
        self.deliver_at(state, None);
    }

    #[inline]
    fn deliver_at(&self, state: u32, now: Option<Instant>) {
        self.controllers[(state >> CPU_SHIFT) as usize].deliver(self.bit, now);
    }

    /// The device's ring fills faster than it is cleaned: the CPU is run here and now, if nobody runs it elsewhere.
    pub(crate) fn press(&self, now: Instant) {
        self.controllers[self.cpu()].press(now);
    }

    /// The CPU that it interrupts (`effective_affinity`).
    pub(crate) fn cpu(&self) -> usize {
        (self.state.load(Ordering::Relaxed) >> CPU_SHIFT) as usize
    }

    /// Interrupts CPU `cpu` from here on. What has been delivered already is still taken where it was.
    pub(crate) fn set_cpu(&self, cpu: usize) {
        debug_assert!(cpu < self.controllers.len(), "a line interrupts a CPU that exists");
        let low = (1 << CPU_SHIFT) - 1;
        let set = |state: u32| Some((state & low) | (cpu as u32) << CPU_SHIFT);
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, set);
    }

    /// The controller of the CPU that it interrupts.
    pub(crate) fn controller(&self) -> &IrqController {
        &self.controllers[self.cpu()]
    }

    /// `handle_edge_irq`: the CPU acknowledges the edge, which is latched anew from here on. `false` when there is none to
    /// take: it was masked after it had been delivered, or another CPU runs the handler, which will run again.
    pub(crate) fn begin_edge(&self) -> bool {
        self.begin(PENDING, INPROGRESS | self.auto_mask)
    }

    /// `handle_level_irq`: the CPU masks the line at the chip and runs the handler.
    pub(crate) fn begin_level(&self) -> bool {
        self.begin(0, INPROGRESS | CHIP_MASKED)
    }

    /// `handle_fasteoi_irq`: the chip holds the line back by itself until the end of the interrupt; `oneshot` masks it for
    /// the handler's thread.
    pub(crate) fn begin_fasteoi(&self, oneshot: bool) -> bool {
        self.begin(0, INPROGRESS | if oneshot { CHIP_MASKED } else { 0 })
    }

    #[inline]
    fn begin(&self, clear: u32, set: u32) -> bool {
        let taken = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
            let is_free = state & (CHIP_MASKED | DISABLED | INPROGRESS) == 0;
            (is_free && is_up(state)).then_some((state & !clear) | set)
        });
        match taken {
            Ok(_) => true,
            Err(state) => {
                if state & DISABLED != 0 {
                    // Lazily: nothing is masked for a line on which nothing comes.
                    self.state.fetch_or(CHIP_MASKED, Ordering::AcqRel);
                }
                false
            }
        }
    }

    /// The handler of an edge has run.
    #[inline]
    pub(crate) fn end_edge(&self) -> Ended {
        // The bit is set, so that taking it away can be a subtraction, which gives the old word in one instruction.
        let before = self.state.fetch_sub(INPROGRESS, Ordering::AcqRel);
        debug_assert!(before & INPROGRESS != 0, "a handler ends once");
        let again = before & (CHIP_MASKED | DISABLED) == 0 && is_up(before);
        if again { Ended::Again } else { Ended::Quiet }
    }

    /// More edges came than one visit should serve: the line is delivered again instead.
    pub(crate) fn resend(&self) {
        self.deliver(self.state.load(Ordering::Acquire));
    }

    /// The handler of a level line has run. Unless its thread still owns it, the line is unmasked, and comes again at once
    /// if the device holds it up still.
    pub(crate) fn end_level(&self, oneshot: bool) {
        let keep = if oneshot { CHIP_MASKED } else { 0 };
        let clear = INPROGRESS | (CHIP_MASKED & !keep);
        let before = self.state.fetch_and(!clear, Ordering::AcqRel);
        let after = before & !clear;
        if after & CHIP_MASKED == 0 && is_up(after) {
            self.deliver(after);
        }
    }

    /// Another device on the line holds it up from here on, or lets it down.
    pub(crate) fn set_foreign(&self, up: bool) {
        if !up {
            self.state.fetch_and(!FOREIGN, Ordering::AcqRel);
            return;
        }
        let before = self.state.fetch_or(FOREIGN, Ordering::AcqRel);
        if before & CHIP_MASKED == 0 && !is_up(before) {
            self.deliver(before);
        }
    }

    /// The driver reads its device's cause register, which clears it (`ICR`): whether there was one.
    pub(crate) fn read_cause(&self) -> bool {
        self.state.fetch_and(!PENDING, Ordering::AcqRel) & PENDING != 0
    }

    /// The driver wants no more interrupts; causes are latched from here on.
    pub(crate) fn mask(&self) {
        self.state.fetch_or(MASKED, Ordering::AcqRel);
    }

    /// Whether the driver wants none.
    pub(crate) fn is_masked(&self) -> bool {
        self.state.load(Ordering::Acquire) & MASKED != 0
    }

    /// Whether a CPU runs the handler.
    pub(crate) fn is_in_progress(&self) -> bool {
        self.state.load(Ordering::Acquire) & INPROGRESS != 0
    }

    /// The driver wants interrupts again; a cause latched meanwhile is delivered now.
    #[inline]
    pub(crate) fn unmask(&self) {
        self.open(MASKED);
    }

    /// The chip lets interrupts through again, when the last thread of the line has finished.
    pub(crate) fn chip_unmask(&self) {
        self.open(CHIP_MASKED);
    }

    /// `disable_irq`, at depth 0.
    pub(crate) fn disable(&self) {
        self.state.fetch_or(DISABLED, Ordering::AcqRel);
    }

    /// `enable_irq`, at depth 0: what came meanwhile is sent again.
    pub(crate) fn enable(&self) {
        self.open(DISABLED | CHIP_MASKED);
    }

    #[inline]
    fn open(&self, bits: u32) {
        let before = self.state.fetch_and(!bits, Ordering::AcqRel);
        let after = before & !bits;
        if before & bits != 0 && after & (CHIP_MASKED | DISABLED) == 0 && is_up(after) {
            self.deliver(after);
        }
    }

    /// Whether the device counts frames and time before it raises.
    #[inline]
    pub(crate) fn is_moderated(&self) -> bool {
        self.state.load(Ordering::Relaxed) & MODERATED != 0
    }

    pub(crate) fn set_moderated(&self, moderated: bool) {
        if moderated {
            self.state.fetch_or(MODERATED, Ordering::AcqRel);
        } else {
            self.state.fetch_and(!MODERATED, Ordering::AcqRel);
        }
    }
}

/// Whether there is something to interrupt for.
#[inline]
fn is_up(state: u32) -> bool {
    state & (MASKED | PENDING) == PENDING || state & FOREIGN != 0
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn line() -> (IrqLine, Arc<IrqController>) {
        let controllers: Arc<[_]> = Arc::new([Arc::default(), Arc::default()]);
        (IrqLine::new(24, "eth0-rx-0".into(), 3, 0, controllers.clone()), controllers[0].clone())
    }

    fn take(line: &IrqLine) -> bool {
        line.begin_edge() && line.end_edge() == Ended::Quiet
    }

    #[test]
    fn raises_coalesce_until_taken() {
        let (line, cpu) = line();
        line.raise();
        line.raise();
        assert_eq!(cpu.take(), 1 << 3);
        assert!(take(&line));
        assert!(!line.begin_edge());
        line.raise();
        assert_eq!(cpu.take(), 1 << 3);
    }

    /// Row 8: a cause while masked gives exactly one interrupt after unmask.
    #[test]
    fn a_cause_while_masked_is_latched_once() {
        let (line, cpu) = line();
        line.mask();
        line.raise();
        line.raise();
        assert_eq!(cpu.take(), 0);
        line.unmask();
        assert_eq!(cpu.take(), 1 << 3);
        assert!(take(&line));
        line.unmask();
        assert_eq!(cpu.take(), 0);
    }

    #[test]
    fn a_delivered_interrupt_that_is_masked_before_it_is_taken_waits_for_unmask() {
        let (line, cpu) = line();
        line.raise();
        line.mask();
        assert_eq!(cpu.take(), 1 << 3);
        assert!(!line.begin_edge());
        line.unmask();
        assert_eq!(cpu.take(), 1 << 3);
        assert!(take(&line));
    }

    /// Row 9: edges during the handler are one more run, and the last one is always followed by a whole one.
    #[test]
    fn edges_during_the_handler_are_remembered_once() {
        let (line, cpu) = line();
        line.raise();
        let mut runs = 0;
        while cpu.take() != 0 && line.begin_edge() {
            loop {
                runs += 1;
                if runs == 1 {
                    (0..5).for_each(|_| line.raise());
                }
                if line.end_edge() == Ended::Quiet || !line.begin_edge() {
                    break;
                }
            }
        }
        assert_eq!(runs, 2);
        assert!(!line.begin_edge());
    }

    /// The same line never runs on two CPUs: the second leaves it to the first.
    #[test]
    fn a_line_in_progress_is_not_taken_by_another_cpu() {
        let (line, cpu) = line();
        line.raise();
        assert!(cpu.take() != 0 && line.begin_edge());
        line.set_cpu(1);
        line.raise();
        assert_eq!((cpu.take(), line.controller().take()), (0, 1 << 3), "it goes to its new CPU");
        assert!(!line.begin_edge(), "which finds it in progress");
        assert_eq!(line.end_edge(), Ended::Again, "and the first one runs it again");
        assert!(take(&line));
    }

    #[test]
    fn a_level_line_comes_again_until_its_cause_is_read() {
        let (line, cpu) = line();
        line.raise();
        for _ in 0..3 {
            assert_eq!(cpu.take(), 1 << 3);
            assert!(line.begin_level());
            line.raise();
            assert_eq!(cpu.take(), 0, "the chip holds it back");
            line.end_level(false);
        }
        assert!(cpu.take() != 0 && line.begin_level());
        assert!(line.read_cause() && !line.read_cause());
        line.end_level(false);
        assert_eq!(cpu.take(), 0);
    }

    #[test]
    fn a_disabled_line_is_masked_when_something_comes_and_sent_again_when_enabled() {
        let (line, cpu) = line();
        line.disable();
        line.raise();
        assert_eq!(cpu.take(), 1 << 3, "it is not masked yet");
        assert!(!line.begin_edge());
        line.read_cause();
        line.raise();
        assert_eq!(cpu.take(), 0, "now it is");
        line.enable();
        assert_eq!(cpu.take(), 1 << 3);
        assert!(take(&line));
    }
}
