//! The values that were sent and not yet taken, in chunks.
//!
//! One long ring would move all that it holds when it grows, under the channel's lock. Here a chunk that is full goes to the
//! line behind which the next one begins, so a step costs at most one chunk; and the receiver takes a whole chunk in exchange
//! for its empty one.

use std::collections::VecDeque;
use std::mem;

#[derive(Debug)]
pub(super) struct Queue<T> {
    /// Chunks of exactly [`CHUNK`](Queue::CHUNK) values, the oldest first.
    full: VecDeque<VecDeque<T>>,
    /// Where values come in.
    tail: VecDeque<T>,
    /// An empty buffer for the next tail, if it has a capacity.
    spare: VecDeque<T>,
}

impl<T> Queue<T> {
    /// How many values a chunk holds: 8 KiB of them, but enough to share the cost of the lock, and not more than that needs.
    const CHUNK: usize = {
        let size = if size_of::<T>() == 0 { 1 } else { size_of::<T>() };
        match 8192 / size {
            ..16 => 16,
            256.. => 256,
            values => values,
        }
    };

    pub(super) const fn new() -> Queue<T> {
        Queue { full: VecDeque::new(), tail: VecDeque::new(), spare: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.full.len() * Self::CHUNK + self.tail.len()
    }

    #[inline]
    pub(super) fn push(&mut self, value: T) {
        if self.tail.len() == Self::CHUNK {
            self.begin_chunk();
        }
        self.tail.push_back(value);
    }

    #[cold]
    fn begin_chunk(&mut self) {
        let mut next = mem::take(&mut self.spare);
        next.reserve_exact(Self::CHUNK);
        self.full.push_back(mem::replace(&mut self.tail, next));
    }

    /// Exchanges `empty` for the oldest values; false when there are none.
    #[inline]
    pub(super) fn take(&mut self, empty: &mut VecDeque<T>) -> bool {
        debug_assert!(empty.is_empty(), "values that were taken earlier come first");
        if !self.full.is_empty() {
            self.take_chunk(empty);
            return true;
        }
        if self.tail.is_empty() {
            return false;
        }
        mem::swap(&mut self.tail, empty);
        true
    }

    /// Everything; leaves nothing behind, memory neither.
    pub(super) fn take_all(&mut self) -> Queue<T> {
        mem::replace(self, Queue::new())
    }

    #[cold]
    fn take_chunk(&mut self, empty: &mut VecDeque<T>) {
        let chunk = self.full.pop_front().expect("the caller saw one");
        let empty = mem::replace(empty, chunk);
        if self.spare.capacity() == 0 {
            self.spare = empty;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn values_come_out_in_order_over_any_number_of_chunks() {
        let mut queue = Queue::new();
        let (mut taken, mut expected) = (VecDeque::new(), 0);
        let mut next = 0;
        for round in 0..40 {
            for _ in 0..round * 37 {
                queue.push(next);
                next += 1;
            }
            assert_eq!(queue.len(), next - expected);
            // Takes less than came in for the first half, and everything at last.
            for _ in 0..if round < 20 { 1 } else { usize::MAX } {
                if !queue.take(&mut taken) {
                    break;
                }
                while let Some(value) = taken.pop_front() {
                    assert_eq!(value, expected);
                    expected += 1;
                }
            }
        }
        assert_eq!((queue.len(), expected), (0, next));
    }

    #[test]
    fn a_chunk_is_bounded_in_bytes_and_has_room_for_some() {
        assert_eq!(Queue::<()>::CHUNK, 256);
        assert_eq!(Queue::<u64>::CHUNK, 256);
        assert_eq!(Queue::<[u8; 100]>::CHUNK, 81);
        assert_eq!(Queue::<[u8; 4096]>::CHUNK, 16);
    }

    #[test]
    fn a_buffer_goes_round() {
        let mut queue = Queue::new();
        let mut taken = VecDeque::with_capacity(Queue::<u64>::CHUNK);
        (0..600).for_each(|value: u64| queue.push(value));
        assert!(queue.take(&mut taken));
        assert!(queue.spare.capacity() >= Queue::<u64>::CHUNK);
        (0..300).for_each(|value| queue.push(value));
        assert_eq!(queue.spare.capacity(), 0, "the next chunk began in it");
    }
}
