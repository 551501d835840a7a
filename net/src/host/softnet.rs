//! What others see of a CPU, after the kernel's `softnet_data`: the softirq mask, the poll list, the backlog.

use crate::event::DropReason;
use crate::host::counters::CpuCounters;
use crate::host::napi::Napi;
use crate::nic::irq::IrqController;
use crate::packet::PacketBuf;
use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;
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

/// Instances that wait to be polled: each of a CPU's two at most once.
pub(crate) type PollList = SmallVec<[Instance; 2]>;

/// The part of a CPU that others see.
#[derive(Debug, Default)]
pub(crate) struct CpuShared {
    pub(crate) irq: Arc<IrqController>,
    pub(crate) counters: CpuCounters,
    softirq_pending: AtomicU32,
    queue: Napi,
    backlog: Napi,
    poll_list: Mutex<PollList>,
    /// `softnet_data.input_pkt_queue`.
    input_queue: Mutex<VecDeque<PacketBuf>>,
    paused: AtomicBool,
    /// The host is gone.
    orphaned: AtomicBool,
}

impl CpuShared {
    /// Raises a softirq in interrupt or softirq context: the running turn will see it.
    pub(crate) fn raise_softirq_irqoff(&self, vector: Softirq) {
        self.softirq_pending.fetch_or(1 << vector as u32, Ordering::AcqRel);
    }

    /// Raises a softirq from anywhere else: wakes the CPU when it is idle.
    pub(crate) fn raise_softirq(&self, vector: Softirq) {
        self.raise_softirq_irqoff(vector);
        self.irq.kick();
    }

    /// The raised softirqs as a bit set, which is emptied.
    pub(crate) fn take_softirqs(&self) -> u32 {
        self.softirq_pending.swap(0, Ordering::AcqRel)
    }

    /// Whether a softirq is raised.
    pub(crate) fn has_softirqs(&self) -> bool {
        self.softirq_pending.load(Ordering::Acquire) != 0
    }

    /// The instances that wait to be polled, which wait no more.
    pub(crate) fn take_poll_list(&self) -> PollList {
        std::mem::take(&mut *self.poll_list.lock())
    }

    /// Puts instances back around those that were scheduled meanwhile: not polled yet, new, to be polled again.
    pub(crate) fn put_back(&self, unpolled: impl Iterator<Item = Instance>, repoll: PollList) {
        let mut listed = self.poll_list.lock();
        let newly = std::mem::take(&mut *listed);
        listed.extend(unpolled.chain(newly).chain(repoll));
    }

    /// `napi_schedule`: makes an instance be polled, unless it is scheduled already. Says whether it newly was.
    pub(crate) fn napi_schedule(&self, instance: Instance) -> bool {
        if !self.napi(instance).schedule_prep() {
            return false;
        }
        self.poll_list.lock().push(instance);
        true
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
        if self.napi_schedule(Instance::Backlog) {
            self.raise_softirq(Softirq::NetRx);
        }
    }

    /// Stops or starts the taking of interrupts and the running of softirqs.
    pub(crate) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
        self.irq.kick();
    }

    /// The host goes away: the engine ends at its next turn.
    pub(crate) fn orphan(&self) {
        self.orphaned.store(true, Ordering::Release);
        self.irq.kick();
    }

    pub(crate) fn is_orphaned(&self) -> bool {
        self.orphaned.load(Ordering::Acquire)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
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
        self.poll_list.lock().clear();
        self.input_queue().clear();
    }

    pub(crate) fn input_queue(&self) -> MutexGuard<'_, VecDeque<PacketBuf>> {
        self.input_queue.lock()
    }
}

/// The reason under which a full backlog loses frames.
pub(crate) const BACKLOG_DROP: DropReason = DropReason::CpuBacklog;
