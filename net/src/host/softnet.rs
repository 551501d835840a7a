//! What others see of a CPU, after the kernel's `softnet_data`: the softirqs that they raise, the backlog, its threads.
//!
//! What a CPU raises itself, and its poll list, is its own (`host/cpu.rs`).

use crate::event::DropReason;
use crate::host::counters::CpuCounters;
use crate::host::rps::FlowLimit;
use crate::host::sysctl::NetCore;
use crate::irq::controller::IrqController;
use crate::irq::napi::{Napi, Scheduled};
use crate::irq::softirq::{Raised, Softirq};
use crate::packet::PacketBuf;
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// A CPU's poll instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instance {
    /// A receive queue of the device.
    Queue(u16),
    /// The CPU's backlog: what the host sends to itself, and what other CPUs hand over.
    Backlog,
}

/// Instances that wait to be polled, each at most once.
pub(crate) type PollList = SmallVec<[Instance; 4]>;

/// Beside the softirqs' bits: the backlog waits to be polled, and the CPU is to put it on its poll list.
pub(crate) const BACKLOG_LISTED: u32 = 1 << 31;
/// So do queues of the device.
pub(crate) const QUEUES_LISTED: u32 = 1 << 30;
/// A thread wants to run, or a timer was set, which is not the softirqs' business.
pub(crate) const LOOK_AGAIN: u32 = 1 << 29;

/// A thread of the kernel's that wants to run on a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kthread {
    /// `napi/eth0-N`
    Napi(u16),
    /// `irq/N-name`: of a line, the action with this number.
    Irq(u16, u16),
}

/// What waits in a CPU's backlog.
#[derive(Debug, Default)]
struct Input {
    /// `softnet_data.input_pkt_queue`
    queue: VecDeque<PacketBuf>,
    /// `softnet_data.flow_limit`, where there is one.
    limit: Option<FlowLimit>,
}

/// The part of a CPU that others see. Aligned, so that it has no cache line in common with another CPU's.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct CpuShared {
    pub(crate) irq: Arc<IrqController>,
    pub(crate) counters: CpuCounters,
    pub(crate) raised: Raised,
    pub(crate) backlog: Napi,
    /// Queues that others have scheduled.
    put_up: Mutex<PollList>,
    input: Mutex<Input>,
    /// How many frames have been taken out of it (`input_queue_head`).
    input_head: AtomicU64,
    core: Arc<NetCore>,
    kthreads: Mutex<VecDeque<Kthread>>,
    /// How many are in `kthreads`.
    runnable: AtomicU32,
    paused: AtomicBool,
    /// The host is gone.
    orphaned: AtomicBool,
}

impl CpuShared {
    pub(crate) fn new(core: Arc<NetCore>) -> CpuShared {
        CpuShared {
            irq: Arc::default(),
            counters: CpuCounters::default(),
            raised: Raised::default(),
            backlog: Napi::without_busy_poll(),
            put_up: Mutex::default(),
            input: Mutex::default(),
            input_head: AtomicU64::new(0),
            core,
            kthreads: Mutex::default(),
            runnable: AtomicU32::new(0),
            paused: AtomicBool::new(false),
            orphaned: AtomicBool::new(false),
        }
    }

    /// Raises a softirq from outside of the CPU: wakes `ksoftirqd`, that is, the CPU when it has halted.
    pub(crate) fn raise_softirq(&self, vector: Softirq) {
        self.counters.ksoftirqd_wakeups.add_shared(1);
        self.raise(1 << vector as u32);
    }

    fn raise(&self, bits: u32) {
        self.raised.raise(bits);
        self.irq.kick();
    }

    /// Puts up a queue, whose owner the softirq now is, to be polled; from outside of the CPU.
    pub(crate) fn put_up(&self, queue: u16) {
        self.put_up.lock().push(Instance::Queue(queue));
        self.counters.ksoftirqd_wakeups.add_shared(1);
        self.raise(1 << Softirq::NetRx as u32 | QUEUES_LISTED);
    }

    /// What others have put up, if that is what `raised` says, joins the CPU's poll list.
    #[inline]
    pub(crate) fn join_listed(&self, raised: u32, poll_list: &mut PollList) {
        if raised & BACKLOG_LISTED != 0 {
            poll_list.push(Instance::Backlog);
        }
        if raised & QUEUES_LISTED != 0 {
            poll_list.append(&mut self.put_up.lock());
        }
    }

    /// A timer was set from outside of the CPU, earlier than any.
    pub(crate) fn look_at_timers(&self) {
        self.raise(LOOK_AGAIN);
    }

    /// Makes a thread of the kernel's run on this CPU, in its next turn.
    pub(crate) fn wake_thread(&self, thread: Kthread) {
        let mut kthreads = self.kthreads.lock();
        if !kthreads.contains(&thread) {
            kthreads.push_back(thread);
            self.runnable.store(kthreads.len() as u32, Ordering::Release);
        }
        drop(kthreads);
        self.raise(LOOK_AGAIN);
    }

    /// The thread that runs next.
    pub(crate) fn next_thread(&self) -> Option<Kthread> {
        let mut kthreads = self.kthreads.lock();
        let next = kthreads.pop_front();
        self.runnable.store(kthreads.len() as u32, Ordering::Release);
        next
    }

    /// Takes a thread off the CPU; says whether it was there.
    pub(crate) fn stop_thread(&self, thread: Kthread) -> bool {
        let mut kthreads = self.kthreads.lock();
        let before = kthreads.len();
        kthreads.retain(|other| *other != thread);
        self.runnable.store(kthreads.len() as u32, Ordering::Release);
        kthreads.len() < before
    }

    /// How many threads want to run.
    #[inline]
    pub(crate) fn runnable_threads(&self) -> u32 {
        self.runnable.load(Ordering::Acquire)
    }

    /// Puts frames that the host sends to itself, or that another CPU hands over, into the backlog, as `netif_rx` does; those that
    /// are dropped, and counted, stay in `frames`. Says whether the CPU has to be woken for them, which it has been.
    pub(crate) fn enqueue_to_backlog(&self, frames: &mut Vec<PacketBuf>) -> bool {
        let max = self.core.netdev_max_backlog.get() as usize;
        {
            let Input { queue, limit } = &mut *self.input.lock();
            let room = (max + 1).saturating_sub(queue.len()).min(frames.len());
            match limit {
                Some(limit) if queue.len() + frames.len() > max / 2 => {
                    self.enqueue_fairly(queue, limit, max, frames);
                }
                _ => queue.extend(frames.drain(..room)),
            }
        }
        if !frames.is_empty() {
            self.counters.backlog_drops.add_shared(frames.len() as u64);
        }
        let newly = self.backlog.schedule_prep() != Scheduled::No;
        if newly {
            self.counters.ksoftirqd_wakeups.add_shared(1);
            self.raise(1 << Softirq::NetRx as u32 | BACKLOG_LISTED);
        }
        newly
    }

    /// The same where one flow may not fill the backlog.
    #[cold]
    fn enqueue_fairly(
        &self,
        queue: &mut VecDeque<PacketBuf>,
        limit: &mut FlowLimit,
        max: usize,
        frames: &mut Vec<PacketBuf>,
    ) {
        let mut dropped = Vec::new();
        for frame in frames.drain(..) {
            if queue.len() > max {
                dropped.push(frame);
            } else if queue.len() >= max / 2 && limit.exceeds(frame.rx.hash) {
                self.counters.flow_limit.add_shared(1);
                dropped.push(frame);
            } else {
                queue.push_back(frame);
            }
        }
        *frames = dropped;
    }

    /// Whether a flow may not fill the backlog.
    pub(crate) fn has_flow_limit(&self) -> bool {
        self.input.lock().limit.is_some()
    }

    /// Lets no flow fill it, by a table of so many buckets, or lets any. One that is there already stays.
    pub(crate) fn set_flow_limit(&self, buckets: Option<u32>) {
        let mut input = self.input.lock();
        match buckets {
            Some(buckets) if input.limit.is_none() => input.limit = Some(FlowLimit::new(buckets)),
            Some(_) => {}
            None => input.limit = None,
        }
    }

    /// `process_backlog`: takes up to `limit` frames out of the backlog.
    pub(crate) fn take_backlog(&self, limit: usize, out: &mut Vec<PacketBuf>) -> usize {
        let mut input = self.input_queue();
        let batch = input.len().min(limit);
        out.extend(input.drain(..batch));
        // Under the lock, so that head and length agree.
        self.input_head.fetch_add(batch as u64, Ordering::Release);
        batch
    }

    /// How many frames have been taken out of the backlog.
    pub(crate) fn backlog_head(&self) -> u64 {
        self.input_head.load(Ordering::Acquire)
    }

    /// How many frames the backlog has been given.
    pub(crate) fn backlog_tail(&self) -> u64 {
        let input = self.input_queue();
        self.input_head.load(Ordering::Relaxed) + input.len() as u64
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

    /// The backlog will not be polled any more, and what waits is thrown away.
    pub(crate) fn shut_down(&self) {
        self.backlog.disable_begin();
        self.input_queue().clear();
    }

    pub(crate) fn input_queue(&self) -> MappedMutexGuard<'_, VecDeque<PacketBuf>> {
        MutexGuard::map(self.input.lock(), |input| &mut input.queue)
    }
}

/// The reason under which a full backlog loses frames.
pub(crate) const BACKLOG_DROP: DropReason = DropReason::CpuBacklog;
