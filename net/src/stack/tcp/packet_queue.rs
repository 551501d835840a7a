//! A first-in-first-out queue of packets that costs nothing while it is empty.
//!
//! Most queues hold at most one packet at a time, so the first one has a place of its own; only a second one allocates,
//! and an empty queue gives that memory back.

use crate::packet::PacketBuf;
use std::collections::VecDeque;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct PacketQueue {
    first: Option<PacketBuf>,
    rest: VecDeque<PacketBuf>,
}

impl PacketQueue {
    /// An empty queue.
    pub(crate) const fn new() -> PacketQueue {
        PacketQueue { first: None, rest: VecDeque::new() }
    }

    /// Whether it is empty.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// How many packets it holds.
    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    #[inline]
    pub(crate) fn push_back(&mut self, packet: PacketBuf) {
        if self.first.is_none() {
            self.first = Some(packet);
        } else {
            self.rest.push_back(packet);
        }
    }

    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<PacketBuf> {
        let packet = self.first.take()?;
        self.first = self.rest.pop_front();
        if self.first.is_none() && self.rest.capacity() > 0 {
            self.rest = VecDeque::new();
        }
        Some(packet)
    }

    #[inline]
    pub(crate) fn front_mut(&mut self) -> Option<&mut PacketBuf> {
        self.first.as_mut()
    }

    #[inline]
    pub(crate) fn back_mut(&mut self) -> Option<&mut PacketBuf> {
        if self.rest.is_empty() { self.first.as_mut() } else { self.rest.back_mut() }
    }

    /// The packet at `index`, counted from the front.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&PacketBuf> {
        if index == 0 { self.first.as_ref() } else { self.rest.get(index - 1) }
    }

    /// The packets from the front on.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &PacketBuf> {
        self.first.iter().chain(&self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Pool;

    #[test]
    fn order_is_kept_and_memory_given_back() {
        let pool = Pool::new(1 << 20);
        let mut queue = PacketQueue::new();
        assert!(queue.pop_front().is_none() && queue.back_mut().is_none());
        for n in 0..5u8 {
            queue.push_back(PacketBuf::from_bytes(&pool, &[n]).unwrap());
            assert_eq!(queue.back_mut().unwrap().data(), [n]);
        }
        assert_eq!((queue.len(), queue.get(3).unwrap().data()), (5, &[3][..]));
        let held: Vec<u8> = queue.iter().map(|packet| packet.data()[0]).collect();
        assert_eq!(held, [0, 1, 2, 3, 4]);
        for n in 0..5u8 {
            assert_eq!(queue.front_mut().unwrap().data(), [n]);
            queue.pop_front();
        }
        assert!(queue.is_empty());
        assert_eq!(queue.rest.capacity(), 0);
    }
}
