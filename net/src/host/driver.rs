//! The device driver: the interrupt handler, and the poll function that cleans a receive ring.
//!
//! As an MSI-X driver's: the handler masks its own vector, schedules NAPI and returns; the ring is cleaned in the
//! softirq, and the vector unmasked when a poll has found less than its weight.

use crate::event::Event;
use crate::host::machine::Machine;
use crate::host::softnet::{CpuShared, Instance, Softirq};
use crate::packet::PacketBuf;

/// The hard interrupt handler of one queue pair; says whether the interrupt was the device's.
pub(crate) fn interrupt(host: &Machine, cpu: usize, shared: &CpuShared) -> bool {
    host.nic.line(cpu).mask();
    if shared.napi_schedule(Instance::Queue) {
        host.tracer.emit(|| Event::SoftirqRaise { vec: Softirq::NetRx as u8 });
        shared.raise_softirq_irqoff(Softirq::NetRx);
    }
    true
}

/// Takes up to `limit` received frames from the ring of `cpu`'s queue.
pub(crate) fn clean_rx(host: &Machine, cpu: usize, limit: usize, frames: &mut Vec<PacketBuf>) {
    host.nic.clean_rx(cpu, limit, frames);
}

/// Lets the device interrupt again. A frame that came since the last look has latched its cause: it fires now.
pub(crate) fn enable_irq(host: &Machine, cpu: usize) {
    host.nic.line(cpu).unmask();
}
