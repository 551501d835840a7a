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
pub(crate) mod coalesce;
pub(crate) mod dim;
pub(crate) mod model;
pub(crate) mod offloads;
pub(crate) mod ring;
pub(crate) mod rss;
pub(crate) mod rx_ring;
pub(crate) mod segmentation;
pub(crate) mod stats;

use crate::growing::Growing;
use crate::irq::hrtimer::TimerFor;
use crate::irq::line::IrqLine;
use crate::packet::{IpSummed, PacketBuf, take_each};
use crate::wire::ethernet::EthernetHeader;
use checksumming::{Verdict, sum_up, verify};
use coalesce::{Coalesce, Moderated, Moderation};
use dim::Sample;
use model::NicModel;
use offloads::Offloads;
use parking_lot::{Mutex, MutexGuard, RwLock};
use rss::{DEFAULT_KEY, LastFlow, Rss, Rxfh};
use rx_ring::{Refill, RxQueue};
use stats::NicStats;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wakeline_runtime::clock::{Clock, Instant};

/// One device with its queue pairs.
#[derive(Debug)]
pub(crate) struct Nic {
    name: Arc<str>,
    model: NicModel,
    clock: Clock,
    /// Not looked at while there is one queue in use, with which nobody needs the hash of a frame.
    rss: Spreading,
    /// How many queues are in use. Changed after `rss`, so that who sees the old number does what was right before.
    active: AtomicUsize,
    offloads: Offloads,
    /// The longest frame that it takes.
    frame_max: usize,
    /// Those that are in use, and others that were.
    queues: Growing<QueuePair>,
}

/// How flows are spread. Aligned: every batch writes to the lock, and what it reads of the device lies elsewhere.
#[derive(Debug)]
#[repr(align(128))]
struct Spreading(RwLock<Rss>);

/// What a device is built with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NicConfig {
    pub(crate) model: NicModel,
    pub(crate) rx_ring: usize,
    pub(crate) offloads: Offloads,
    /// The largest IP packet that it takes, in bytes.
    pub(crate) mtu: usize,
}

/// Aligned, so that two CPUs that work on their own queues have no cache line in common.
#[derive(Debug)]
#[repr(align(128))]
struct QueuePair {
    line: IrqLine,
    rx: Mutex<RxQueue>,
    moderation: Mutex<Moderation>,
}

impl Nic {
    /// A device with one queue pair for each line in `lines`.
    pub(crate) fn new(name: Arc<str>, clock: Clock, lines: Vec<IrqLine>, config: NicConfig) -> Nic {
        let NicConfig { model, rx_ring, offloads, mtu } = config;
        let count = lines.len();
        let queues = u16::try_from(count).expect("a device has at most 64 queue pairs");
        let pair = |line| QueuePair::new(line, new_rx(offloads, rx_ring, fifo_share(count)));
        Nic {
            name,
            model,
            clock,
            rss: Spreading(RwLock::new(Rss::new(&DEFAULT_KEY, queues, model.limits().indirection))),
            active: AtomicUsize::new(count),
            offloads,
            frame_max: mtu + EthernetHeader::LEN,
            queues: Growing::new(lines.into_iter().map(pair), model.limits().queues_max),
        }
    }

    /// The interface's name, as `ip link` shows it.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whose numbers it has.
    pub(crate) fn model(&self) -> NicModel {
        self.model
    }

    /// How many queue pairs are in use.
    #[inline]
    pub(crate) fn queue_count(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// Uses `count` queue pairs from here on (`netif_set_real_num_rx_queues`); no frame comes to others once this returns. Those
    /// that there were not yet are as the first one is set; their rings are empty.
    ///
    /// # Errors
    /// `EINVAL` where the user's table of RSS names one that would go.
    pub(crate) fn set_queue_count(&self, count: usize) -> io::Result<()> {
        let (first, fifo) = (&self.queues[0], fifo_share(count));
        self.queues.grow(count, |queue| {
            let line = first.line.sibling(queue as u32, format!("{}-TxRx-{queue}", self.name).into());
            line.mask();
            line.set_moderated(first.line.is_moderated());
            let pair = QueuePair::new(line, new_rx(self.offloads, first.rx.lock().len(), fifo));
            pair.moderation.lock().set(first.moderation.lock().get());
            pair
        });
        // Whoever distributes frames holds it until they are in their rings.
        let mut rss = self.rss.0.write();
        if !rss.fits(count as u16) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        rss.set_queues(count as u16);
        self.active.store(count, Ordering::Relaxed);
        drop(rss);
        self.queues.iter().for_each(|pair| pair.rx.lock().set_fifo(fifo));
        Ok(())
    }

    /// How received flows are spread over the queues (`ethtool -x`).
    ///
    /// # Errors
    /// `EOPNOTSUPP` where they are not.
    pub(crate) fn rxfh(&self) -> io::Result<Rxfh> {
        self.rss_supported()?;
        Ok(self.rss.0.read().get())
    }

    /// The queue in which frames of this flow arrive. Both addresses are of one family.
    pub(crate) fn queue_of_flow(&self, remote: (IpAddr, u16), local: (IpAddr, u16)) -> usize {
        self.rss.0.read().queue_of_flow(remote, local).into()
    }

    /// Spreads them otherwise (`ethtool -X`).
    ///
    /// # Errors
    /// `EOPNOTSUPP` where they are not spread; `EINVAL` for what does not fit the device.
    pub(crate) fn set_rxfh(&self, rxfh: &Rxfh) -> io::Result<()> {
        self.rss_supported()?;
        self.rss.0.write().set(rxfh)
    }

    /// Spreads them evenly again (`ethtool -X .. default`).
    ///
    /// # Errors
    /// `EOPNOTSUPP` where they are not spread.
    pub(crate) fn reset_rxfh(&self) -> io::Result<()> {
        self.rss_supported()?;
        self.rss.0.write().reset();
        Ok(())
    }

    fn rss_supported(&self) -> io::Result<()> {
        if self.model.limits().indirection > 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)) }
    }

    /// What it does for its driver.
    #[inline]
    pub(crate) fn offloads(&self) -> Offloads {
        self.offloads
    }

    /// The interrupt line of queue pair `queue`.
    pub(crate) fn line(&self, queue: usize) -> &IrqLine {
        &self.queues[queue].line
    }

    /// A batch of frames arrives from the link at `now`: each into the ring of the queue that its flow hashes to.
    ///
    /// The cause of each touched queue is latched before its line is raised, once per batch. Where the driver has fallen
    /// behind, the interrupt preempts the caller. Called without a lock.
    pub(crate) fn receive(&self, now: Instant, frames: &mut Vec<PacketBuf>) {
        let (mut touched, mut pressing): (u64, u64) = (0, 0);
        let (rss, mut flow) = ((self.queue_count() > 1).then(|| self.rss.0.read()), LastFlow::default());
        // A run of frames for one queue takes its lock once.
        let mut held: Option<(usize, MutexGuard<'_, RxQueue>)> = None;
        take_each(frames, |mut frame| {
            if frame.len() > self.frame_max && frame.rx.gso_size == 0 {
                held = None;
                return self.count(|stats| stats.rx_length_errors += 1);
            }
            if self.offloads.contains(Offloads::RX_CHECKSUMMING) && frame.rx.ip_summed == IpSummed::None {
                held = None;
                self.check(&mut frame);
            }
            let (queue, hash) = rss.as_ref().map_or((0, 0), |rss| rss.steer_behind(&mut flow, frame.data()));
            frame.rx.hash = hash;
            (frame.rx.rx_queue, frame.rx.is_steered) = (queue + 1, false);
            let queue = usize::from(queue);
            let rx = match &mut held {
                Some((of, rx)) if *of == queue => rx,
                _ => {
                    held = None;
                    &mut held.insert((queue, self.queues[queue].rx.lock())).1
                }
            };
            touched |= u64::from(rx.device_receive(frame)) << queue;
            pressing |= u64::from(rx.is_pressing()) << queue;
        });
        drop(held);
        drop(rss);
        while touched != 0 {
            let queue = touched.trailing_zeros() as usize;
            touched &= touched - 1;
            let QueuePair { line, rx, .. } = &self.queues[queue];
            if line.is_moderated() {
                self.moderate(queue);
                continue;
            }
            if self.offloads.contains(Offloads::RX_GRO_HW) {
                rx.lock().device_close();
            }
            line.raise_at(now);
        }
        while pressing != 0 {
            let queue = pressing.trailing_zeros() as usize;
            pressing &= pressing - 1;
            self.queues[queue].line.press(now);
        }
    }

    /// Frames have come to a queue whose device waits before it interrupts.
    #[cold]
    fn moderate(&self, queue: usize) {
        let QueuePair { line, rx, moderation, .. } = &self.queues[queue];
        let moderated = {
            let mut moderation = moderation.lock();
            let mut rx = rx.lock();
            let moderated = moderation.on_frames(rx.unreported(), self.clock.now());
            if moderated == Moderated::Fire {
                rx.device_close();
                rx.report();
            }
            moderated
        };
        match moderated {
            Moderated::Fire => line.raise(),
            Moderated::Arm(at) => self.arm(queue, at),
            Moderated::Wait => {}
        }
    }

    fn arm(&self, queue: usize, at: Instant) {
        let controller = self.queues[queue].line.controller();
        if controller.timers.arm(TimerFor::Coalesce(queue as u16), at) {
            controller.kick();
        }
    }

    /// A queue's moderation timer has run out.
    pub(crate) fn on_coalesce_timer(&self, queue: usize, now: Instant) {
        let QueuePair { line, rx, moderation, .. } = &self.queues[queue];
        let fires = {
            let mut moderation = moderation.lock();
            let mut rx = rx.lock();
            let fires = moderation.on_timer(rx.unreported(), now);
            if fires {
                rx.device_close();
                rx.report();
            }
            fires
        };
        if fires {
            line.raise();
        }
    }

    /// How the device moderates interrupts (`ethtool -c`): queue `queue`, with what an adaptive driver has found.
    pub(crate) fn coalesce(&self, queue: usize) -> Coalesce {
        self.queues[queue].moderation.lock().get()
    }

    /// Moderates them otherwise, on every queue (`ethtool -C`). What waits is told of at once.
    ///
    /// # Errors
    /// `EINVAL` for what would never interrupt, or is beyond the device.
    pub(crate) fn set_coalesce(&self, coalesce: Coalesce) -> io::Result<()> {
        coalesce.check(self.model.limits())?;
        for pair in self.queues.iter() {
            pair.moderation.lock().set(coalesce);
            pair.line.set_moderated(!coalesce.is_off());
            let waits = {
                let mut rx = pair.rx.lock();
                rx.device_close();
                let waits = rx.has_done() && rx.unreported() > 0;
                rx.report();
                waits
            };
            if waits {
                pair.line.raise();
            }
        }
        Ok(())
    }

    /// The driver has finished a round of polls of a moderated queue, which has been interrupted `events` times so far.
    #[cold]
    pub(crate) fn on_poll_done(&self, queue: usize, events: u64) {
        let QueuePair { rx, moderation, .. } = &self.queues[queue];
        let mut moderation = moderation.lock();
        let mut rx = rx.lock();
        if !rx.has_done() && !rx.holds_any() && rx.unreported() > 0 {
            rx.report();
            moderation.on_found();
        }
        moderation.sample(|| {
            let NicStats { rx_packets, rx_bytes, .. } = *rx.stats_mut();
            Sample { at: self.clock.now(), events, packets: rx_packets, bytes: rx_bytes }
        });
    }

    fn check(&self, frame: &mut PacketBuf) {
        if self.model.limits().sums_all && sum_up(frame) {
            return;
        }
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
    pub(crate) fn clean_rx(&self, queue: usize, limit: usize, out: &mut Vec<PacketBuf>) -> Refill {
        let mut rx = self.queues[queue].rx.lock();
        for _ in 0..limit {
            // Refilled as it goes: what the device holds in its FIFO follows into the freed descriptors and is found by
            // this same visit, because it raises no cause of its own.
            let refill = rx.driver_refill();
            let Some(frame) = rx.driver_clean() else { return refill };
            out.push(frame);
        }
        Refill::Fine
    }

    /// How many descriptors each receive ring has.
    pub(crate) fn rx_ring(&self) -> usize {
        self.queues[0].rx.lock().len()
    }

    /// Takes the receive ring of `queue` down and up with another size. Nobody polls it meanwhile.
    pub(crate) fn resize_rx(&self, queue: usize, count: usize) {
        self.queues[queue].rx.lock().resize(count);
    }

    /// The next `times` allocations of a receive buffer fail, on each queue.
    pub(crate) fn fail_rx_allocations(&self, times: u64) {
        self.queues.iter().for_each(|pair| pair.rx.lock().fail_allocations(times));
    }

    /// What each queue has received, those that were in use once among them; what was transmitted, their rings know.
    pub(crate) fn rx_stats(&self) -> Vec<NicStats> {
        let count = |pair: &QueuePair| {
            let mut stats = NicStats::default();
            pair.rx.lock().add_stats(&mut stats);
            stats
        };
        self.queues.iter().map(count).collect()
    }

    /// What `ethtool -S` would print, summed over the queues; what was transmitted, their rings know.
    pub(crate) fn stats(&self) -> NicStats {
        let mut stats = NicStats::default();
        for pair in self.queues.iter() {
            pair.rx.lock().add_stats(&mut stats);
        }
        stats
    }
}

impl QueuePair {
    fn new(line: IrqLine, rx: RxQueue) -> QueuePair {
        QueuePair { line, rx: Mutex::new(rx), moderation: Mutex::default() }
    }
}

/// A receive queue of a device that does so much.
fn new_rx(offloads: Offloads, ring: usize, fifo: usize) -> RxQueue {
    let rx = RxQueue::new(ring, fifo);
    if offloads.contains(Offloads::RX_GRO_HW) { rx.aggregating() } else { rx }
}

/// The part of the FIFO that one of `queues` may fill.
fn fifo_share(queues: usize) -> usize {
    FIFO_BYTES / queues.max(1)
}

/// The on-chip packet buffer that all receive queues share, in bytes; an 82599 has this much.
const FIFO_BYTES: usize = 512 * 1024;
