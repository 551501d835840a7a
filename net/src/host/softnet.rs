//! What others see of a CPU, after the kernel's `softnet_data`: the softirqs that they raise, the backlog.
//!
//! What a CPU raises itself, and its poll list, is its own (`host/cpu.rs`).

use crate::event::DropReason;
use crate::host::counters::CpuCounters;
use crate::host::napi::Napi;
use crate::nic::irq::IrqController;
use crate::packet::PacketBuf;
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Softirq vectors, in order of priority; the number is the bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Softirq {
    Timer = 1,
    NetRx = 3,
}

/// Frames that wait in a CPU's backlog before more are dropped (`netdev_max_backlog`).
const NETDEV_MAX_BACKLOG: usize = 1000;

/// A CPU's poll instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instance {
    /// The device's receive queue of this CPU.
    Queue,
    /// The CPU's backlog: what the host sends to itself.
    Backlog,
}

/// Beside the softirqs' bits: the backlog waits to be polled, and the CPU is to put it on its poll list.
pub(crate) const BACKLOG_LISTED: u32 = 1 << 31;

/// The part of a CPU that others see.
#[derive(Debug, Default)]
pub(crate) struct CpuShared {
    pub(crate) irq: Arc<IrqController>,
    pub(crate) counters: CpuCounters,
    /// Softirqs that others have raised, and [`BACKLOG_LISTED`].
    raised: AtomicU32,
    queue: Napi,
    backlog: Napi,
    /// `softnet_data.input_pkt_queue`.
    input_queue: Mutex<VecDeque<PacketBuf>>,
    paused: AtomicBool,
    /// The host is gone.
    orphaned: AtomicBool,
}

impl CpuShared {
    /// Raises a softirq from outside of the CPU, which starts when it has halted.
    pub(crate) fn raise_softirq(&self, vector: Softirq) {
        self.raise(1 << vector as u32);
    }

    fn raise(&self, bits: u32) {
        // SeqCst, as `Halt` asks.
        self.raised.fetch_or(bits, Ordering::SeqCst);
        self.irq.kick();
    }

    /// What others have raised, which is raised no more: a bit for each softirq, and [`BACKLOG_LISTED`].
    pub(crate) fn take_raised(&self) -> u32 {
        if !self.is_raised() { 0 } else { self.raised.swap(0, Ordering::AcqRel) }
    }

    /// Whether others have raised a softirq.
    pub(crate) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::SeqCst) != 0
    }

    /// Puts frames that the host sends to itself into the backlog, as `netif_rx` does; the rest is dropped and counted.
    pub(crate) fn enqueue_to_backlog(&self, frames: &mut Vec<PacketBuf>) {
        let dropped = {
            let mut input = self.input_queue();
            let room = (NETDEV_MAX_BACKLOG + 1).saturating_sub(input.len()).min(frames.len());
            input.extend(frames.drain(..room));
            frames.len()
        };
        frames.clear();
        if dropped > 0 {
            self.counters.backlog_drops.add_shared(dropped as u64);
        }
        if self.backlog.schedule_prep() {
            self.raise(1 << Softirq::NetRx as u32 | BACKLOG_LISTED);
        }
    }

    /// Stops or starts the taking of interrupts and the running of softirqs.
    pub(crate) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::SeqCst);
        self.irq.kick();
    }

    /// The host goes away: the engine ends at its next turn.
    pub(crate) fn orphan(&self) {
        self.orphaned.store(true, Ordering::SeqCst);
        self.irq.kick();
    }

    pub(crate) fn is_orphaned(&self) -> bool {
        self.orphaned.load(Ordering::SeqCst)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    pub(crate) fn napi(&self, instance: Instance) -> &Napi {
        match instance {
            Instance::Queue => &self.queue,
            Instance::Backlog => &self.backlog,
        }
    }

    /// No instance will be polled again.
    pub(crate) fn napi_disable(&self) {
        self.queue.disable();
        self.backlog.disable();
        self.input_queue().clear();
    }

    pub(crate) fn input_queue(&self) -> MutexGuard<'_, VecDeque<PacketBuf>> {
        self.input_queue.lock()
    }
}

/// The reason under which a full backlog loses frames.
pub(crate) const BACKLOG_DROP: DropReason = DropReason::CpuBacklog;
