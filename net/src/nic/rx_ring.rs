//! The receive ring of a queue: who owns which slot, and what happens when there is none.
//!
//! ```text
//!              next_to_clean          head              tail = next_to_use
//!                   |                  |                   |
//!   ... driver's .. [done][done][done] [posted][posted] .. | driver's ...
//!                   `-- written back --'`--- device's -----'
//! ```
//! The device owns the slots in `[head, tail)`; `head == tail` means that it owns none, so one slot of the ring always
//! stays unused. It writes the frame first, then the done bit; a frame that is longer than a buffer goes on in the next
//! slot, and only its last one has EOP. The driver reads a slot only when its done bit is set, takes the frame, and later
//! posts an empty buffer and moves `tail`, in batches.
//!
//! A device with `rx-gro-hw` puts the segments of a flow together before they take descriptors, by the rules of GRO
//! ([`crate::gro`]), and keeps what could be continued until it interrupts.

use crate::gro::Gro;
use crate::nic::stats::NicStats;
use crate::packet::PacketBuf;
use std::collections::VecDeque;

/// The receive side of a queue: ring, and the FIFO that holds what arrives while the ring has no descriptor.
#[derive(Debug)]
pub(crate) struct RxQueue {
    slots: Box<[RxSlot]>,
    /// The device's next descriptor.
    head: usize,
    /// The end of what the device owns; only the driver writes it.
    tail: usize,
    /// The driver's next descriptor to look at.
    next_to_clean: usize,
    /// Descriptors the driver has cleaned and not yet posted again.
    unposted: usize,
    /// Descriptors that are done and not yet cleaned.
    done: usize,
    /// Frames written since the last interrupt or look of the driver.
    unreported: u32,
    /// With `rx-gro-hw`: what could be continued, and what is ready for descriptors.
    aggregation: Option<Box<(Gro, Vec<PacketBuf>)>>,
    fifo: VecDeque<PacketBuf>,
    fifo_bytes: usize,
    fifo_bytes_max: usize,
    /// How many allocations of a buffer fail from here on.
    failing: u64,
    /// The last look for memory found none.
    starves: bool,
    stats: NicStats,
}

/// One receive descriptor. The write-back form is `frame`; the read form (the buffer's address) needs no room, because
/// the arriving frame brings its buffer along.
#[derive(Debug, Default)]
struct RxSlot {
    done: bool,
    /// In the slot with EOP.
    frame: Option<PacketBuf>,
}

/// Descriptors are posted again when this many are free (`IXGBE_RX_BUFFER_WRITE`, and that of its relatives).
const REFILL_BATCH: usize = 16;

/// How much of a frame a descriptor's buffer holds (`IXGBE_RXBUFFER_2K`).
pub(crate) const RX_BUFFER_BYTES: usize = 2048;

/// What the driver found when it posted buffers.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refill {
    /// The device has descriptors, or too few are free to bother it.
    Fine,
    /// There was no memory, and the device has no descriptor left: no interrupt will ever come. `again`: nor was there at
    /// the last look.
    Starved { again: bool },
}

impl RxQueue {
    /// A ring of `count` descriptors, all posted but one.
    pub(crate) fn new(count: usize, fifo_bytes_max: usize) -> RxQueue {
        RxQueue {
            slots: (0..count).map(|_| RxSlot::default()).collect(),
            head: 0,
            tail: count - 1,
            next_to_clean: 0,
            unposted: 0,
            done: 0,
            unreported: 0,
            aggregation: None,
            fifo: VecDeque::new(),
            fifo_bytes: 0,
            fifo_bytes_max,
            failing: 0,
            starves: false,
            stats: NicStats { rx_tail_writes: 1, ..NicStats::default() },
        }
    }

    /// The device puts segments together from here on (`rx-gro-hw`).
    #[must_use]
    pub(crate) fn aggregating(mut self) -> RxQueue {
        self.aggregation = Some(Box::default());
        self
    }

    /// Takes the ring down and up again with `count` descriptors (`ixgbe_set_ringparam`). What is in it is lost, and counted.
    pub(crate) fn resize(&mut self, count: usize) {
        let aggregates = self.aggregation.is_some();
        let mut held = Vec::new();
        if let Some((gro, _)) = self.aggregation.as_deref_mut() {
            gro.flush(&mut held, None);
        }
        let waits = self.slots.iter().filter_map(|slot| slot.frame.as_ref()).chain(&self.fifo).chain(&held);
        let lost = waits.map(segments_of).sum::<u64>();
        let mut stats = self.stats;
        stats.rx_tail_writes += 1;
        stats.rx_dropped += lost;
        *self = RxQueue { failing: self.failing, stats, ..RxQueue::new(count, self.fifo_bytes_max) };
        if aggregates {
            self.aggregation = Some(Box::default());
        }
    }

    /// How much may wait in the FIFO from here on; what waits there stays.
    pub(crate) fn set_fifo(&mut self, bytes: usize) {
        self.fifo_bytes_max = bytes;
    }

    /// How many descriptors it has.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The device receives one frame; says whether there is a new cause to interrupt, before which it
    /// [closes](Self::device_close) what it holds.
    ///
    /// The frame goes into the next descriptors. Without a descriptor it waits in the FIFO; without room there it is lost and
    /// counted.
    #[inline]
    pub(crate) fn device_receive(&mut self, frame: PacketBuf) -> bool {
        self.unreported += 1;
        if self.aggregation.is_some() { self.aggregate(frame) } else { self.device_fill(frame) }
    }

    #[inline(never)]
    fn aggregate(&mut self, frame: PacketBuf) -> bool {
        self.aggregated(|gro, ready| gro.receive(frame, ready)) || self.holds_any()
    }

    /// Nothing continues what the device holds: it goes into descriptors. Says whether that is a cause to interrupt.
    pub(crate) fn device_close(&mut self) -> bool {
        self.aggregated(|gro, ready| gro.flush(ready, None))
    }

    fn aggregated(&mut self, work: impl FnOnce(&mut Gro, &mut Vec<PacketBuf>)) -> bool {
        let Some(mut aggregation) = self.aggregation.take() else { return false };
        let (gro, ready) = &mut *aggregation;
        work(gro, ready);
        let mut is_cause = false;
        for frame in ready.drain(..) {
            is_cause |= self.device_fill(frame);
        }
        self.aggregation = Some(aggregation);
        is_cause
    }

    /// Whether the device holds what could be continued.
    pub(crate) fn holds_any(&self) -> bool {
        self.aggregation.as_ref().is_some_and(|aggregation| aggregation.0.holds_any())
    }

    #[inline]
    fn device_fill(&mut self, frame: PacketBuf) -> bool {
        let needed = descriptors_of(&frame);
        if !self.fifo.is_empty() || !self.has_room_for(needed) {
            return self.overflow(frame);
        }
        self.write_back(frame, needed);
        true
    }

    #[cold]
    fn overflow(&mut self, frame: PacketBuf) -> bool {
        self.stats.rx_no_buffer_count += 1;
        if self.fifo_bytes + frame.whole_len() > self.fifo_bytes_max {
            self.stats.rx_missed_errors += segments_of(&frame);
            return false;
        }
        self.fifo_bytes += frame.whole_len();
        self.fifo.push_back(frame);
        true
    }

    #[inline]
    fn has_room_for(&self, needed: usize) -> bool {
        if needed == 1 { self.head != self.tail } else { needed <= self.available() }
    }

    /// How many descriptors the device owns.
    fn available(&self) -> usize {
        (self.tail + self.slots.len() - self.head) % self.slots.len()
    }

    #[inline]
    fn write_back(&mut self, frame: PacketBuf, needed: usize) {
        for _ in 1..needed {
            self.write_slot(None);
            self.stats.rx_non_eop_descs += 1;
        }
        self.write_slot(Some(frame));
    }

    #[inline]
    fn write_slot(&mut self, frame: Option<PacketBuf>) {
        let slot = &mut self.slots[self.head];
        debug_assert!(!slot.done && slot.frame.is_none(), "the device owns only empty descriptors");
        *slot = RxSlot { done: true, frame };
        self.done += 1;
        self.head = self.next(self.head);
    }

    /// The driver takes the next received frame, if its descriptors are done. What has no EOP goes on in the next one.
    #[inline]
    pub(crate) fn driver_clean(&mut self) -> Option<PacketBuf> {
        loop {
            let slot = &mut self.slots[self.next_to_clean];
            if !slot.done {
                return None;
            }
            slot.done = false;
            let frame = slot.frame.take();
            self.done -= 1;
            self.next_to_clean = self.next(self.next_to_clean);
            self.unposted += 1;
            if let Some(frame) = frame {
                self.stats.rx_packets += 1;
                self.stats.rx_bytes += frame.whole_len() as u64;
                if self.aggregation.is_some() && !frame.rest().is_empty() {
                    self.stats.rx_gro_packets += segments_of(&frame);
                    self.stats.rx_gro_bytes += frame.whole_len() as u64;
                    self.stats.rx_gro_skbs += 1;
                }
                return Some(frame);
            }
        }
    }

    /// The driver posts empty buffers in the descriptors it has cleaned, once a batch has gathered, and moves the tail.
    #[inline]
    pub(crate) fn driver_refill(&mut self) -> Refill {
        if self.unposted < REFILL_BATCH.min(self.slots.len() / 2) {
            return Refill::Fine;
        }
        self.refill()
    }

    fn refill(&mut self) -> Refill {
        if self.failing > 0 {
            // The slots stay as they are, until the next look.
            self.failing -= 1;
            self.stats.alloc_rx_buff_failed += 1;
            let again = std::mem::replace(&mut self.starves, true);
            return if self.head == self.tail && self.done == 0 { Refill::Starved { again } } else { Refill::Fine };
        }
        self.starves = false;
        self.tail = (self.tail + self.unposted) % self.slots.len();
        self.unposted = 0;
        self.stats.rx_tail_writes += 1;
        // The device sees the new descriptors and empties its FIFO into them.
        while let Some(needed) = self.fifo.front().map(descriptors_of).filter(|&needed| self.has_room_for(needed)) {
            let Some(frame) = self.fifo.pop_front() else { break };
            self.fifo_bytes -= frame.whole_len();
            self.write_back(frame, needed);
        }
        Refill::Fine
    }

    /// The next `times` allocations of a buffer fail.
    pub(crate) fn fail_allocations(&mut self, times: u64) {
        self.failing = times;
    }

    /// Whether the driver has fallen behind by half of the ring.
    pub(crate) fn is_pressing(&self) -> bool {
        self.done >= self.slots.len() / 2
    }

    /// Frames that no interrupt has told of yet, and that the driver has not found by itself.
    pub(crate) fn unreported(&self) -> u32 {
        self.unreported
    }

    /// An interrupt tells of them, or the driver has found them all.
    pub(crate) fn report(&mut self) {
        self.unreported = 0;
    }

    /// Whether a frame waits for the driver.
    pub(crate) fn has_done(&self) -> bool {
        self.done > 0
    }

    /// Where the device counts what its rings do not.
    pub(crate) fn stats_mut(&mut self) -> &mut NicStats {
        &mut self.stats
    }

    pub(crate) fn add_stats(&self, stats: &mut NicStats) {
        stats.add(&self.stats);
    }

    fn next(&self, index: usize) -> usize {
        if index + 1 == self.slots.len() { 0 } else { index + 1 }
    }
}

/// How many descriptors a frame takes. A super-segment that two devices leave whole takes one.
#[inline]
fn descriptors_of(frame: &PacketBuf) -> usize {
    let len = frame.whole_len();
    if len <= RX_BUFFER_BYTES || frame.rx.gso_size > 0 { 1 } else { len.div_ceil(RX_BUFFER_BYTES) }
}

/// How many frames on the wire it was.
fn segments_of(frame: &PacketBuf) -> u64 {
    1 + frame.rest().len() as u64
}

#[cfg(test)]
mod tests;
