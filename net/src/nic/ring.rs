//! Descriptor rings: who owns which slot, and what happens when there is none.
//!
//! ```text
//!              next_to_clean          head              tail = next_to_use
//!                   |                  |                   |
//!   ... driver's .. [done][done][done] [posted][posted] .. | driver's ...
//!                   `-- written back --'`--- device's -----'
//! ```
//! The device owns the slots in `[head, tail)`; `head == tail` means that it owns none, so one slot of the ring always
//! stays unused. It writes the frame first, then the done bit. The driver reads a slot only when its done bit is set,
//! takes the frame, and later posts an empty buffer and moves `tail`, in batches.

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
    fifo: VecDeque<PacketBuf>,
    fifo_bytes: usize,
    fifo_bytes_max: usize,
    stats: NicStats,
}

/// One receive descriptor. The write-back form is `frame`; the read form (the buffer's address) needs no room, because
/// the arriving frame brings its buffer along.
#[derive(Debug, Default)]
struct RxSlot {
    done: bool,
    frame: Option<PacketBuf>,
}

/// Descriptors are posted again when this many are free (ixgbe's `IXGBE_RX_BUFFER_WRITE`).
const REFILL_BATCH: usize = 16;

impl RxQueue {
    /// A ring of `count` descriptors, all posted but one.
    pub(crate) fn new(count: usize, fifo_bytes_max: usize) -> RxQueue {
        let slots = (0..count).map(|_| RxSlot::default()).collect();
        let stats = NicStats { rx_tail_writes: 1, ..NicStats::default() };
        RxQueue {
            slots,
            head: 0,
            tail: count - 1,
            next_to_clean: 0,
            unposted: 0,
            done: 0,
            fifo: VecDeque::new(),
            fifo_bytes: 0,
            fifo_bytes_max,
            stats,
        }
    }

    /// The device writes one frame into its next descriptor; says whether there is a new cause to interrupt.
    ///
    /// Without a descriptor the frame waits in the FIFO; without room there it is lost and counted.
    pub(crate) fn device_fill(&mut self, frame: PacketBuf) -> bool {
        if !self.fifo.is_empty() || self.head == self.tail {
            self.stats.rx_no_buffer_count += 1;
            if self.fifo_bytes + frame.len() > self.fifo_bytes_max {
                self.stats.rx_missed_errors += 1;
                return false;
            }
            self.fifo_bytes += frame.len();
            self.fifo.push_back(frame);
            return true;
        }
        self.write_back(frame);
        true
    }

    fn write_back(&mut self, frame: PacketBuf) {
        let slot = &mut self.slots[self.head];
        debug_assert!(!slot.done && slot.frame.is_none(), "the device owns only empty descriptors");
        slot.frame = Some(frame);
        slot.done = true;
        self.done += 1;
        self.head = self.next(self.head);
    }

    /// The driver takes the next received frame, if its descriptor is done.
    pub(crate) fn driver_clean(&mut self) -> Option<PacketBuf> {
        let slot = &mut self.slots[self.next_to_clean];
        if !slot.done {
            return None;
        }
        slot.done = false;
        self.done -= 1;
        let frame = slot.frame.take();
        debug_assert!(frame.is_some(), "a done descriptor holds a frame");
        self.next_to_clean = self.next(self.next_to_clean);
        self.unposted += 1;
        let frame = frame?;
        self.stats.rx_packets += 1;
        self.stats.rx_bytes += frame.len() as u64;
        Some(frame)
    }

    /// The driver posts empty buffers in the descriptors it has cleaned, once a batch has gathered, and moves the tail.
    pub(crate) fn driver_refill(&mut self) {
        if self.unposted < REFILL_BATCH.min(self.slots.len() / 2) {
            return;
        }
        self.tail = (self.tail + self.unposted) % self.slots.len();
        self.unposted = 0;
        self.stats.rx_tail_writes += 1;
        // The device sees the new descriptors and empties its FIFO into them.
        while self.head != self.tail {
            let Some(frame) = self.fifo.pop_front() else { break };
            self.fifo_bytes -= frame.len();
            self.write_back(frame);
        }
    }

    /// Whether the driver has fallen behind by half of the ring.
    pub(crate) fn is_pressing(&self) -> bool {
        self.done >= self.slots.len() / 2
    }

    /// Where the device counts what its rings do not.
    pub(crate) fn stats_mut(&mut self) -> &mut NicStats {
        &mut self.stats
    }

    pub(crate) fn add_stats(&self, stats: &mut NicStats) {
        stats.rx_packets += self.stats.rx_packets;
        stats.rx_bytes += self.stats.rx_bytes;
        stats.rx_no_buffer_count += self.stats.rx_no_buffer_count;
        stats.rx_missed_errors += self.stats.rx_missed_errors;
        stats.rx_tail_writes += self.stats.rx_tail_writes;
        stats.rx_length_errors += self.stats.rx_length_errors;
        stats.rx_csum_offload_errors += self.stats.rx_csum_offload_errors;
    }

    fn next(&self, index: usize) -> usize {
        if index + 1 == self.slots.len() { 0 } else { index + 1 }
    }
}

/// The transmit side of a queue: the ring, and the first-in-first-out queue (qdisc) before it.
///
/// One drains it at a time: between [`device_begin`](Self::device_begin) and the [`device_continue`](Self::device_continue)
/// that finds nothing more, others only post.
#[derive(Debug)]
pub(crate) struct TxQueue {
    slots: Box<[Option<PacketBuf>]>,
    /// The device's next descriptor; the driver may reuse everything before it.
    head: usize,
    /// The driver's next free descriptor.
    tail: usize,
    qdisc: VecDeque<PacketBuf>,
    /// Somebody is moving frames to the wire.
    draining: bool,
    /// The batch vector of the last drain, kept for its capacity.
    spare: Vec<PacketBuf>,
    stats: NicStats,
}

/// How many frames wait before a full ring: Linux's `txqueuelen`.
const TX_QUEUE_LEN: usize = 1000;

impl TxQueue {
    pub(crate) fn new(count: usize) -> TxQueue {
        TxQueue {
            slots: (0..count).map(|_| None).collect(),
            head: 0,
            tail: 0,
            qdisc: VecDeque::new(),
            draining: false,
            spare: Vec::new(),
            stats: NicStats::default(),
        }
    }

    /// The driver writes a descriptor; behind a full ring the frame queues, and behind a full queue it is lost.
    pub(crate) fn driver_post(&mut self, frame: PacketBuf) {
        if self.qdisc.is_empty() && self.has_room() {
            self.write_descriptor(frame);
        } else if self.qdisc.len() < TX_QUEUE_LEN {
            self.qdisc.push_back(frame);
        } else {
            self.stats.tx_dropped += 1;
        }
    }

    /// The device starts to fetch, unless somebody already does or there is nothing.
    pub(crate) fn device_begin(&mut self) -> Option<Vec<PacketBuf>> {
        if self.draining || self.head == self.tail {
            return None;
        }
        self.draining = true;
        let mut batch = std::mem::take(&mut self.spare);
        self.fetch(&mut batch);
        Some(batch)
    }

    /// Fetches what has been posted since; `true` when there was nothing and the drain has ended.
    pub(crate) fn device_continue(&mut self, batch: &mut Vec<PacketBuf>) -> bool {
        self.fetch(batch);
        if batch.is_empty() {
            self.draining = false;
            self.spare = std::mem::take(batch);
            return true;
        }
        false
    }

    fn fetch(&mut self, batch: &mut Vec<PacketBuf>) {
        while self.head != self.tail {
            let frame = self.slots[self.head].take();
            debug_assert!(frame.is_some(), "a posted descriptor holds a frame");
            self.head = self.next(self.head);
            if let Some(frame) = frame {
                self.stats.tx_packets += 1;
                self.stats.tx_bytes += frame.len() as u64;
                batch.push(frame);
            }
        }
        // The fetched descriptors are free again: what had queued behind a full ring moves up.
        while self.has_room() {
            let Some(frame) = self.qdisc.pop_front() else { break };
            self.write_descriptor(frame);
        }
    }

    fn write_descriptor(&mut self, frame: PacketBuf) {
        self.slots[self.tail] = Some(frame);
        self.tail = self.next(self.tail);
    }

    fn has_room(&self) -> bool {
        self.next(self.tail) != self.head
    }

    pub(crate) fn add_stats(&self, stats: &mut NicStats) {
        stats.tx_packets += self.stats.tx_packets;
        stats.tx_bytes += self.stats.tx_bytes;
        stats.tx_dropped += self.stats.tx_dropped;
    }

    fn next(&self, index: usize) -> usize {
        if index + 1 == self.slots.len() { 0 } else { index + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Pool;

    fn frame(pool: &Pool, n: u8) -> PacketBuf {
        PacketBuf::from_bytes(pool, &[n; 60]).expect("the pool is large enough")
    }

    fn stats(queue: &RxQueue) -> NicStats {
        let mut stats = NicStats::default();
        queue.add_stats(&mut stats);
        stats
    }

    /// RXPATH row 2: with polling stopped, the usable slots and the FIFO take frames and the rest is counted as lost.
    #[test]
    fn a_full_ring_loses_and_counts_what_exceeds_it_and_the_fifo() {
        let pool = Pool::new(1 << 20);
        let mut queue = RxQueue::new(64, 10 * 60);
        for n in 0..100 {
            queue.device_fill(frame(&pool, n));
        }
        let got: Vec<u8> = std::iter::from_fn(|| queue.driver_clean()).map(|f| f.data()[0]).collect();
        assert_eq!(got, (0..63).collect::<Vec<_>>(), "all slots but one are usable, and order is kept");
        assert_eq!((stats(&queue).rx_no_buffer_count, stats(&queue).rx_missed_errors), (37, 27));
        queue.driver_refill();
        let got: Vec<u8> = std::iter::from_fn(|| queue.driver_clean()).map(|f| f.data()[0]).collect();
        assert_eq!(got, (63..73).collect::<Vec<_>>(), "the FIFO follows when descriptors come back");
    }

    /// RXPATH row 3: one tail write per batch of cleaned descriptors.
    #[test]
    fn descriptors_are_refilled_in_batches() {
        let pool = Pool::new(1 << 20);
        let mut queue = RxQueue::new(256, 0);
        for round in 0..20_u8 {
            for n in 0..8 {
                assert!(queue.device_fill(frame(&pool, n)));
            }
            while queue.driver_clean().is_some() {}
            queue.driver_refill();
            assert!(queue.driver_clean().is_none(), "round {round} left a frame");
        }
        assert_eq!(stats(&queue).rx_tail_writes, 1 + 160 / 16);
    }

    #[test]
    fn the_ring_wraps_without_mixing_up_frames() {
        let pool = Pool::new(1 << 20);
        let mut queue = RxQueue::new(8, 0);
        for n in 0..200_u8 {
            assert!(queue.device_fill(frame(&pool, n)));
            assert_eq!(queue.driver_clean().map(|f| f.data()[0]), Some(n));
            queue.driver_refill();
        }
    }

    #[test]
    fn transmission_keeps_order_through_a_full_ring_and_counts_what_exceeds_the_queue() {
        let pool = Pool::new(16 << 20);
        let mut queue = TxQueue::new(64);
        for n in 0..63 + TX_QUEUE_LEN + 5 {
            let mut f = frame(&pool, 0);
            f.data_mut()[..8].copy_from_slice(&(n as u64).to_be_bytes());
            queue.driver_post(f);
        }
        let mut batch = queue.device_begin().expect("there is work");
        assert!(queue.device_begin().is_none(), "one drains at a time");
        let mut seen = Vec::new();
        loop {
            seen.extend(batch.drain(..).map(|f| u64::from_be_bytes(f.data()[..8].try_into().unwrap())));
            if queue.device_continue(&mut batch) {
                break;
            }
        }
        assert_eq!(seen, (0..63 + TX_QUEUE_LEN as u64).collect::<Vec<_>>());
        let mut stats = NicStats::default();
        queue.add_stats(&mut stats);
        assert_eq!((stats.tx_packets, stats.tx_dropped), (1063, 5));
    }
}
