//! The transmit ring of a queue: who owns which slot, and what waits before a full one.
//!
//! The device owns the slots in `[head, tail)`; `head == tail` means that it owns none, so one slot of the ring always
//! stays unused. The receive side is in `rx_ring.rs`.

use crate::nic::stats::NicStats;
use crate::packet::PacketBuf;
use std::collections::VecDeque;

/// The transmit side of a queue: the ring, and the first-in-first-out queue (qdisc) before it.
///
/// One drains it at a time, which whoever rings its doorbell sees to: others only post meanwhile.
#[derive(Debug)]
pub(crate) struct TxQueue {
    slots: Box<[Option<PacketBuf>]>,
    /// The device's next descriptor; the driver may reuse everything before it.
    head: usize,
    /// The driver's next free descriptor.
    tail: usize,
    qdisc: VecDeque<PacketBuf>,
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
            stats: NicStats::default(),
        }
    }

    /// The driver writes a descriptor; behind a full ring the frame queues, and behind a full queue it is lost.
    #[inline]
    pub(crate) fn driver_post(&mut self, frame: PacketBuf) {
        if self.qdisc.is_empty() && self.has_room() {
            self.write_descriptor(frame);
        } else if self.qdisc.len() < TX_QUEUE_LEN {
            self.qdisc.push_back(frame);
        } else {
            self.stats.tx_dropped += 1;
        }
    }

    /// The driver posts all of `frames`, and the device, which waits for them, fetches all at once: what
    /// [`driver_post`](Self::driver_post) for each and [`device_fetch`](Self::device_fetch) come to when the ring is empty.
    /// Says whether they went so; otherwise nothing has happened.
    #[inline]
    pub(crate) fn pass(&mut self, frames: &mut Vec<PacketBuf>, batch: &mut Vec<PacketBuf>) -> bool {
        if self.head != self.tail || frames.len() >= self.slots.len() || !batch.is_empty() {
            return false;
        }
        for frame in &*frames {
            self.stats.tx_bytes += frame.len() as u64;
        }
        self.stats.tx_packets += frames.len() as u64;
        std::mem::swap(frames, batch);
        true
    }

    /// The device fetches what has been posted.
    #[inline]
    pub(crate) fn device_fetch(&mut self, batch: &mut Vec<PacketBuf>) {
        if self.head != self.tail {
            self.fetch(batch);
        }
    }

    fn fetch(&mut self, batch: &mut Vec<PacketBuf>) {
        let wraps = self.tail < self.head;
        let (until, from_start) = if wraps { (self.slots.len(), self.tail) } else { (self.tail, 0) };
        for range in [self.head..until, 0..from_start] {
            let posted = self.slots[range].iter_mut().filter_map(Option::take);
            batch.extend(posted.inspect(|frame| {
                self.stats.tx_packets += 1;
                self.stats.tx_bytes += frame.len() as u64;
            }));
        }
        self.head = self.tail;
        // The fetched descriptors are free again: what had queued behind a full ring moves up.
        while !self.qdisc.is_empty() && self.has_room() {
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

    /// How many descriptors it has.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn add_stats(&self, stats: &mut NicStats) {
        stats.add(&self.stats);
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

    #[test]
    fn transmission_keeps_order_through_a_full_ring_and_counts_what_exceeds_the_queue() {
        let pool = Pool::new(16 << 20);
        let mut queue = TxQueue::new(64);
        for n in 0..63 + TX_QUEUE_LEN + 5 {
            let mut f = frame(&pool, 0);
            f.data_mut()[..8].copy_from_slice(&(n as u64).to_be_bytes());
            queue.driver_post(f);
        }
        let (mut batch, mut seen) = (Vec::new(), Vec::new());
        loop {
            queue.device_fetch(&mut batch);
            if batch.is_empty() {
                break;
            }
            seen.extend(batch.drain(..).map(|f| u64::from_be_bytes(f.data()[..8].try_into().unwrap())));
        }
        assert_eq!(seen, (0..63 + TX_QUEUE_LEN as u64).collect::<Vec<_>>());
        let mut stats = NicStats::default();
        queue.add_stats(&mut stats);
        assert_eq!((stats.tx_packets, stats.tx_dropped), (1063, 5));
    }
}
