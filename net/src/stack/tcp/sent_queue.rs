//! The segments that were sent and are not acknowledged: one record for each, in the order of the stream.
//!
//! A record has a number that stays the same, so that other tables can name it; numbers do not wrap. Where two segments have
//! become one, that has the second's number, and at the first's is an empty record, which is no segment. Most connections have
//! at most one segment out.

use crate::stack::tcp::short_queue::ShortQueue;
use crate::wire::tcp::SeqNumber;
use wakeline_runtime::clock::Instant;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct SentQueue {
    /// Where the first segment begins.
    start: SeqNumber,
    /// How many records are empty. The first and the last are not.
    empty: u32,
    /// The first segment's number.
    base: u64,
    records: ShortQueue<Sent>,
}

/// One segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) end: SeqNumber,
    pub(crate) marks: Marks,
    /// When it was last sent.
    pub(crate) sent_at: Instant,
    pub(crate) progress: Progress,
}

/// How far the connection was when a segment was last sent (draft-cheng-iccrg-delivery-rate-estimation 3.2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// Bytes delivered, and when the last of them were.
    pub(crate) delivered: u64,
    pub(crate) delivered_at: Instant,
    /// When the flight that this segment belongs to began.
    pub(crate) first_sent_at: Instant,
}

/// Segments that were taken out together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Popped {
    pub(crate) count: u32,
    /// What any of them was marked with.
    pub(crate) marks: Marks,
    pub(crate) first: Sent,
    pub(crate) last: Sent,
}

bitflags::bitflags! {
    /// What is known about a segment.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Marks: u8 {
        /// The peer has it, out of order.
        const SACKED = 1 << 0;
        /// It is taken for lost.
        const LOST = 1 << 1;
        /// It was sent again, and that copy is taken to be under way.
        const AGAIN = 1 << 2;
        /// It was sent more than once.
        const REPEATED = 1 << 3;
        /// The program, not the path, set the pace when it was sent.
        const APP_LIMITED = 1 << 4;
        /// It ends in our FIN.
        const FIN = 1 << 5;
        /// It ends what the program had written, and carries PSH.
        const PUSH = 1 << 6;
    }
}

impl Marks {
    /// What the scoreboard counts.
    pub(crate) const COUNTED: Marks = Marks::SACKED.union(Marks::LOST).union(Marks::AGAIN);
    /// What keeps a segment from being a plain one.
    pub(crate) const TROUBLED: Marks = Marks::COUNTED.union(Marks::REPEATED);
}

impl SentQueue {
    /// Nothing sent; the first segment will begin at `start`.
    pub(crate) const fn new(start: SeqNumber) -> SentQueue {
        SentQueue { start, empty: 0, base: 0, records: ShortQueue::new() }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many segments are out.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.records.len() - self.empty as usize
    }

    /// The number of the first segment, and the number after the last one's.
    #[inline]
    pub(crate) fn numbers(&self) -> (u64, u64) {
        (self.base, self.base + self.records.len() as u64)
    }

    #[inline]
    pub(crate) fn push(&mut self, sent: Sent) {
        self.records.push_back(sent);
    }

    /// The first segment, and where it begins.
    #[inline]
    pub(crate) fn front(&self) -> Option<(SeqNumber, &Sent)> {
        self.records.front().map(|sent| (self.start, sent))
    }

    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<Sent> {
        let sent = self.records.pop_front()?;
        self.start = sent.end;
        self.base += 1;
        if self.empty > 0 {
            self.skip_empty();
        }
        Some(sent)
    }

    /// The first record is a segment.
    #[cold]
    fn skip_empty(&mut self) {
        while self.records.front().is_some_and(|first| first.end == self.start) {
            self.records.pop_front();
            self.base += 1;
            self.empty -= 1;
        }
    }

    /// How many of the first `count` records are empty.
    #[cold]
    fn count_empty(&self, count: usize) -> usize {
        let ends = || self.records.iter().take(count).map(|sent| sent.end);
        ends().zip(ends().skip(1)).filter(|(end, next)| end == next).count()
    }

    /// Takes out all segments that end at `ack` or before it. Says how many they were, what marks any of them had, and which
    /// were the first and the last.
    pub(crate) fn pop_through(&mut self, ack: SeqNumber) -> Option<Popped> {
        let first = *self.records.front().filter(|first| !first.end.is_after(ack))?;
        let (mut count, mut marks, mut last) = (1, first.marks, &first);
        while let Some(next) = self.records.get(count).filter(|next| !next.end.is_after(ack)) {
            (count, marks, last) = (count + 1, marks | next.marks, next);
        }
        let last = *last;
        let empty = if self.empty > 0 { self.count_empty(count) } else { 0 };
        self.records.discard_front(count);
        self.start = last.end;
        self.base += count as u64;
        if self.empty > 0 {
            self.empty -= empty as u32;
            self.skip_empty();
        }
        Some(Popped { count: (count - empty) as u32, marks, first, last })
    }

    /// The segment behind the one with a number, if it is as it was sent first.
    pub(crate) fn next_alone(&self, number: u64) -> Option<&Sent> {
        let end = self.get(number)?.end;
        self.get(number + 1).filter(|next| next.end != end)
    }

    /// Makes one segment of the one with a number and the next, which [was not made](Self::next_alone) that way. It has the next
    /// one's number; the first's marks, for it is the first that is sent again; and how the next one ended.
    pub(crate) fn join_next(&mut self, number: u64) {
        const KEPT: Marks = Marks::REPEATED.union(Marks::FIN).union(Marks::PUSH);
        let start = self.start_of(number);
        let Some(first) = self.get_mut(number) else { return };
        let joint = *first;
        // Whoever looks for what was sent once passes over what is empty.
        *first = Sent { end: start, marks: Marks::REPEATED, ..joint };
        let Some(next) = self.get_mut(number + 1) else { return };
        *next = Sent { end: next.end, marks: joint.marks | (next.marks & KEPT), ..joint };
        self.empty += 1;
        self.skip_empty();
    }

    /// The first segment begins later now: a part of it was acknowledged.
    pub(crate) fn trim_front(&mut self, start: SeqNumber) {
        self.start = start;
    }

    /// The segment with a number.
    #[inline]
    pub(crate) fn get(&self, number: u64) -> Option<&Sent> {
        self.records.get(number.checked_sub(self.base)? as usize)
    }

    /// The same, to be marked.
    #[inline]
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Sent> {
        self.records.get_mut(number.checked_sub(self.base)? as usize)
    }

    /// Where the segment with a number begins.
    #[inline]
    pub(crate) fn start_of(&self, number: u64) -> SeqNumber {
        match number.checked_sub(1).and_then(|before| self.get(before)) {
            Some(before) => before.end,
            None => self.start,
        }
    }

    /// How much of the sequence space a segment takes.
    #[inline]
    pub(crate) fn len_of(&self, number: u64) -> u32 {
        self.get(number).map_or(0, |sent| sent.end - self.start_of(number))
    }

    /// The number of the first segment that ends after `seq`.
    pub(crate) fn ending_after(&self, seq: SeqNumber) -> u64 {
        let (mut low, mut high) = self.numbers();
        while low < high {
            let middle = low + (high - low) / 2;
            let ends_after = self.get(middle).is_some_and(|sent| sent.end.is_after(seq));
            if ends_after {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    /// The number after that of the last segment that ends at `seq` or before it.
    pub(crate) fn ending_by(&self, seq: SeqNumber) -> u64 {
        let after = self.ending_after(seq);
        // What is empty in front of the segment that ends later belongs to that.
        if self.empty == 0 || after == self.base { after } else { self.ending_after(self.start_of(after) - 1) + 1 }
    }

    /// Cuts every segment of more than `most` bytes into such as have no more. All get new numbers; returns those of the
    /// pieces. A mark that a segment had, each of its pieces has. Costs a step for each segment; segments only ever become
    /// smaller, so that happens a few times in a connection's life.
    pub(crate) fn cut(&mut self, most: u32) -> Vec<u64> {
        let (_, mut number) = self.numbers();
        let (mut start, mut pieces) = (self.start, Vec::new());
        (self.base, self.empty) = (number, 0);
        for sent in self.records.drain() {
            if sent.end == start {
                continue;
            }
            let fin = u32::from(sent.marks.contains(Marks::FIN));
            let mut cut = false;
            while sent.end - start > most + fin {
                start = start + most;
                self.push(Sent { end: start, marks: sent.marks - Marks::FIN - Marks::PUSH, ..sent });
                pieces.push(number);
                (number, cut) = (number + 1, true);
            }
            self.push(sent);
            pieces.extend(cut.then_some(number));
            (number, start) = (number + 1, sent.end);
        }
        pieces
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.base += self.records.len() as u64;
        self.empty = 0;
        self.records = ShortQueue::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(end: u32) -> Sent {
        let at = Instant::from_virtual_ns(0);
        let progress = Progress { delivered: 0, delivered_at: at, first_sent_at: at };
        Sent { end: SeqNumber(end), marks: Marks::empty(), sent_at: at, progress }
    }

    #[test]
    fn a_record_is_small() {
        assert!(size_of::<Sent>() <= 40, "{}", size_of::<Sent>());
    }

    #[test]
    fn numbers_stay_and_places_are_found_across_the_wrap() {
        let start = u32::MAX - 25;
        let mut queue = SentQueue::new(SeqNumber(start));
        for n in 1..=5u32 {
            queue.push(sent(start.wrapping_add(10 * n)));
        }
        let at = |offset: u32| SeqNumber(start.wrapping_add(offset));
        let found = [0, 9, 10, 49, 50].map(|offset| queue.ending_after(at(offset)));
        assert_eq!(found, [0, 0, 1, 4, 5]);
        assert_eq!((queue.start_of(0), queue.start_of(3), queue.len_of(4)), (at(0), at(30), 10));
        queue.pop_front();
        queue.trim_front(at(13));
        assert_eq!((queue.numbers(), queue.start_of(1), queue.len_of(1), queue.len_of(2)), ((1, 5), at(13), 7, 10));
        assert!(queue.get(0).is_none() && queue.get(5).is_none());
        assert!(queue.pop_through(at(19)).is_none());
        let popped = queue.pop_through(at(35)).unwrap();
        assert_eq!((popped.count, popped.first.end, popped.last.end), (2, at(20), at(30)));
        assert_eq!((queue.numbers(), queue.start), ((3, 5), at(30)));
        assert_eq!(queue.pop_through(at(60)).map(|popped| popped.count), Some(2));
        assert_eq!((queue.numbers(), queue.start), ((5, 5), at(50)));
    }

    #[test]
    fn joint_segments_count_as_one_and_other_numbers_stay() {
        let check = |queue: &SentQueue, len, numbers, ends: &[(u64, u32, u32)]| {
            assert_eq!((queue.len(), queue.numbers()), (len, numbers));
            for &(number, start, end) in ends {
                assert_eq!(
                    (queue.start_of(number), queue.get(number).unwrap().end),
                    (SeqNumber(start), SeqNumber(end))
                );
            }
        };
        let filled = || {
            let mut queue = SentQueue::new(SeqNumber(0));
            (1..=6).for_each(|n| queue.push(sent(10 * n)));
            queue.get_mut(2).unwrap().marks = Marks::LOST;
            queue.get_mut(4).unwrap().marks = Marks::LOST | Marks::PUSH;
            queue
        };
        // In the middle.
        let mut queue = filled();
        queue.join_next(2);
        queue.join_next(3);
        assert!(queue.next_alone(1).is_none() && queue.next_alone(4).is_some() && queue.next_alone(5).is_none());
        check(&queue, 4, (0, 6), &[(1, 10, 20), (4, 20, 50), (5, 50, 60)]);
        assert_eq!(queue.get(4).unwrap().marks, Marks::LOST | Marks::PUSH);
        assert_eq!(queue.ending_after(SeqNumber(20)), 4);
        // Either way past it.
        let popped = queue.pop_through(SeqNumber(50)).unwrap();
        assert_eq!((popped.count, popped.last.end), (3, SeqNumber(50)));
        check(&queue, 1, (5, 6), &[(5, 50, 60)]);
        let mut queue = filled();
        queue.join_next(1);
        assert_eq!(queue.pop_front().map(|sent| sent.end), Some(SeqNumber(10)));
        check(&queue, 4, (2, 6), &[(2, 10, 30)]);
        // The first, and all of them.
        let mut queue = filled();
        (0..5).for_each(|number| queue.join_next(number));
        check(&queue, 1, (5, 6), &[(5, 0, 60)]);
        let mut queue = filled();
        queue.join_next(2);
        assert_eq!(queue.cut(15).len(), 2);
        check(&queue, 6, (6, 12), &[(8, 20, 35), (9, 35, 40)]);
    }
}
