//! The device driver: the interrupt handler, and the poll function that cleans a receive ring.
//!
//! As an MSI-X driver's: the device has masked the vector when the handler runs, which schedules NAPI and returns; the ring
//! is cleaned in the softirq, and the vector unmasked when a poll has found less than its weight.

use crate::host::machine::Works;
use crate::host::napi::Napi;
use crate::packet::PacketBuf;

/// The hard interrupt handler of one queue pair; says whether its instance is newly to be polled.
pub(crate) fn interrupt(queue: &Napi) -> bool {
    queue.schedule_prep()
}

/// Takes up to `limit` received frames from the ring of `cpu`'s queue.
pub(crate) fn clean_rx(host: &Works, cpu: usize, limit: usize, frames: &mut Vec<PacketBuf>) {
    host.nic.clean_rx(cpu, limit, frames);
}

/// Lets the device interrupt again. A frame that came since the last look has latched its cause: it fires now.
pub(crate) fn enable_irq(host: &Works, cpu: usize) {
    host.nic.line(cpu).unmask();
}
