//! The network interface: descriptor rings, one interrupt line per queue pair, receive-side scaling.
//!
//! It has two faces. The link's face is [`Nic::receive`], which writes frames "by DMA" into descriptors and raises the
//! queue's line. The driver's face (`host/driver.rs`) cleans, refills and unmasks. A queue's transmit ring
//! ([`ring::TxQueue`]) stands beside its CPU's stack, behind the lock of the only one who posts to it. The device knows frames and descriptors; it has never heard of a socket or of the stack.
//!
//! # Simplifications
//! - DMA moves a frame by exchanging buffers instead of copying bytes: the frame takes the place of the empty buffer in
//!   its descriptor. The cost of the copy is therefore missing; ownership, order and loss are not.
//! - What two devices would do and undo again between them, they leave out ([`segmentation`]).
//! - A receive queue is one lock with the ring's two ends behind it. Real hardware needs none.

pub(crate) mod checksumming;
pub(crate) mod irq;
pub(crate) mod offloads;
pub(crate) mod ring;
pub(crate) mod rss;
pub(crate) mod segmentation;
pub(crate) mod stats;

use crate::packet::{IpSummed, PacketBuf};
use crate::wire::ethernet::EthernetHeader;
use checksumming::{Verdict, verify};
use irq::IrqLine;
use offloads::Offloads;
use parking_lot::Mutex;
use ring::RxQueue;
use rss::Rss;
use stats::NicStats;
use std::sync::Arc;

/// One device with as many queue pairs as its host has CPUs.
#[derive(Debug)]
pub(crate) struct Nic {
    name: Arc<str>,
    rss: Rss,
    offloads: Offloads,
    /// The longest frame that it takes.
    frame_max: usize,
    queues: Box<[QueuePair]>,
}

/// What a device is built with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NicConfig {
    pub(crate) rx_ring: usize,
    pub(crate) offloads: Offloads,
    /// The largest IP packet that it takes, in bytes.
    pub(crate) mtu: usize,
}

#[derive(Debug)]
struct QueuePair {
    line: IrqLine,
    rx: Mutex<RxQueue>,
}

impl Nic {
    /// A device with one queue pair for each line in `lines`.
    pub(crate) fn new(name: Arc<str>, rss: Rss, lines: Vec<IrqLine>, config: NicConfig) -> Nic {
        let NicConfig { rx_ring, offloads, mtu } = config;
        let fifo_bytes = FIFO_BYTES / lines.len().max(1);
        let pair = |line| QueuePair { line, rx: Mutex::new(RxQueue::new(rx_ring, fifo_bytes)) };
        Nic { name, rss, offloads, frame_max: mtu + EthernetHeader::LEN, queues: lines.into_iter().map(pair).collect() }
    }

    /// The interface's name, as `ip link` shows it.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How received flows are spread over the queues.
    pub(crate) fn rss(&self) -> &Rss {
        &self.rss
    }

    /// What it does for its driver.
    pub(crate) fn offloads(&self) -> Offloads {
        self.offloads
    }

    /// The interrupt line of queue pair `queue`.
    pub(crate) fn line(&self, queue: usize) -> &IrqLine {
        &self.queues[queue].line
    }

    /// A batch of frames arrives from the link: each into the ring of the queue that its flow hashes to.
    ///
    /// The cause of each touched queue is latched before its line is raised, once per batch. Where the driver has fallen
    /// behind, the interrupt preempts the caller. Called without a lock.
    pub(crate) fn receive(&self, frames: &mut Vec<PacketBuf>) {
        let (mut touched, mut pressing): (u64, u64) = (0, 0);
        for mut frame in frames.drain(..) {
            if frame.len() > self.frame_max && frame.rx.gso_size == 0 {
                self.count(|stats| stats.rx_length_errors += 1);
                continue;
            }
            if self.offloads.contains(Offloads::RX_CHECKSUMMING) && frame.rx.ip_summed == IpSummed::None {
                self.check(&mut frame);
            }
            let (queue, hash) = self.rss.steer(frame.data());
            frame.rx.hash = hash;
            frame.rx.rx_queue = queue;
            let queue = usize::from(queue);
            let mut rx = self.queues[queue].rx.lock();
            touched |= u64::from(rx.device_fill(frame)) << queue;
            pressing |= u64::from(rx.is_pressing()) << queue;
        }
        while touched != 0 {
            let queue = touched.trailing_zeros() as usize;
            touched &= touched - 1;
            self.queues[queue].line.raise();
        }
        while pressing != 0 {
            let queue = pressing.trailing_zeros() as usize;
            pressing &= pressing - 1;
            self.queues[queue].line.press();
        }
    }

    fn check(&self, frame: &mut PacketBuf) {
        match verify(frame) {
            Verdict::Good => frame.rx.ip_summed = IpSummed::Unnecessary,
            // The stack sees it, and drops it.
            Verdict::Bad => self.count(|stats| stats.rx_csum_offload_errors += 1),
            Verdict::Unknown => {}
        }
    }

    /// Counts what happens before a frame has a queue.
    #[cold]
    fn count(&self, count: impl FnOnce(&mut NicStats)) {
        count(self.queues[0].rx.lock().stats_mut());
    }

    /// The driver takes up to `limit` received frames from `queue`, in order, and gives descriptors back.
    pub(crate) fn clean_rx(&self, queue: usize, limit: usize, out: &mut Vec<PacketBuf>) {
        let mut rx = self.queues[queue].rx.lock();
        for _ in 0..limit {
            // Refilled as it goes: what the device holds in its FIFO follows into the freed descriptors and is found by
            // this same visit, because it raises no cause of its own.
            rx.driver_refill();
            let Some(frame) = rx.driver_clean() else { break };
            out.push(frame);
        }
    }

    /// What `ethtool -S` would print, summed over the queues; what was transmitted, their rings know.
    pub(crate) fn stats(&self) -> NicStats {
        let mut stats = NicStats::default();
        for pair in &self.queues {
            pair.rx.lock().add_stats(&mut stats);
        }
        stats
    }
}

/// The on-chip packet buffer that all receive queues share, in bytes; an 82599 has this much.
const FIFO_BYTES: usize = 512 * 1024;
