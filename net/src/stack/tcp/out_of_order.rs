//! What has arrived ahead of its turn: disjoint pieces, sorted by where they begin, and the ranges that they fill.
//!
//! A pure data structure. Places are counted from the stream's beginning and do not wrap. The caller bounds what it holds,
//! and asks for the piece that comes next.

use crate::packet::{PacketBuf, PoolCache};
use crate::stack::tcp::range_set::RangeSet;
use std::collections::BTreeMap;

/// See the [module](self). It costs a word while it is empty.
#[derive(Debug, Default)]
pub(crate) struct OutOfOrder(Option<Box<Pieces>>);

#[derive(Debug, Default)]
struct Pieces {
    packets: BTreeMap<u64, PacketBuf>,
    filled: RangeSet,
    truesize: u32,
}

/// What became of a piece.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It is kept, or a part of it; perhaps only in place of what was there. The range that it lies in is full now;
    /// `overlap` of it was there before.
    Kept { filled: (u64, u64), overlap: Option<(u64, u64)> },
    /// There was nothing new in it.
    Duplicate,
}

impl OutOfOrder {
    /// Nothing is missing.
    pub(crate) const fn new() -> OutOfOrder {
        OutOfOrder(None)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How many pieces it holds.
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |pieces| pieces.packets.len())
    }

    /// What the socket's buffer is charged for them.
    #[inline]
    pub(crate) fn truesize(&self) -> u32 {
        self.0.as_ref().map_or(0, |pieces| pieces.truesize)
    }

    /// The full range around a place.
    pub(crate) fn filled_around(&self, at: u64) -> Option<(u64, u64)> {
        self.0.as_ref()?.filled.containing(at)
    }

    /// The first full range.
    pub(crate) fn first(&self) -> Option<(u64, u64)> {
        self.0.as_ref()?.filled.first()
    }

    /// Keeps `packet`, whose text begins at `at`, without what is there already.
    pub(crate) fn insert(&mut self, at: u64, packet: PacketBuf, pool: &mut PoolCache) -> Inserted {
        if packet.is_empty() {
            pool.free(packet);
            return Inserted::Duplicate;
        }
        self.0.get_or_insert_default().insert(at, packet, pool)
    }

    /// The text that follows at `next`, if it is there. Pieces that lie before are let go.
    pub(crate) fn pop(&mut self, next: u64, pool: &mut PoolCache) -> Option<PacketBuf> {
        let pieces = self.0.as_mut()?;
        let packet = pieces.pop(next, pool);
        if pieces.packets.is_empty() {
            self.0 = None;
        }
        packet
    }

    /// The pieces' borders, from the first on.
    #[cfg(test)]
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let packets = self.0.iter().flat_map(|pieces| &pieces.packets);
        packets.map(|(&start, piece)| (start, start + piece.len() as u64))
    }

    /// Gives every packet back.
    pub(crate) fn clear(&mut self, pool: &mut PoolCache) {
        let Some(pieces) = self.0.take() else { return };
        for packet in pieces.packets.into_values() {
            pool.free(packet);
        }
    }
}

impl Pieces {
    fn insert(&mut self, mut at: u64, mut packet: PacketBuf, pool: &mut PoolCache) -> Inserted {
        let whole = (at, at + packet.len() as u64);
        let mut overlap = None;
        let before = self.packets.range(..=at).next_back().map(|(&start, piece)| start + piece.len() as u64);
        if let Some(end) = before.filter(|&end| end > at) {
            if end >= whole.1 {
                pool.free(packet);
                return Inserted::Duplicate;
            }
            overlap = Some((at, end));
            packet.pull((end - at) as usize);
            at = end;
        }
        while let Some((&start, next)) = self.packets.range(at..whole.1).next() {
            let end = start + next.len() as u64;
            overlap = Some((overlap.map_or(start, |(from, _)| from), end.min(whole.1)));
            if end > whole.1 {
                packet.truncate((start - at) as usize);
                break;
            }
            // The new piece covers the old one, and more.
            if let Some(covered) = self.packets.remove(&start) {
                self.truesize -= covered.truesize() as u32;
                pool.free(covered);
            }
        }
        let filled = self.filled.insert(whole.0, whole.1);
        if packet.is_empty() {
            pool.free(packet);
            return Inserted::Duplicate;
        }
        self.truesize += packet.truesize() as u32;
        self.packets.insert(at, packet);
        Inserted::Kept { filled, overlap }
    }

    fn pop(&mut self, next: u64, pool: &mut PoolCache) -> Option<PacketBuf> {
        while let Some(first) = self.packets.first_entry()
            && *first.key() <= next
        {
            let (start, mut packet) = first.remove_entry();
            self.truesize -= packet.truesize() as u32;
            self.filled.remove_below(next.max(start + packet.len() as u64));
            let old = (next - start) as usize;
            if old < packet.len() {
                packet.pull(old);
                return Some(packet);
            }
            pool.free(packet);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Pool;
    use proptest::prelude::*;

    proptest! {
        /// Random pieces of a known stream: what comes out is the stream, and what is told of the pieces is true.
        #[test]
        fn pieces_come_out_in_order_and_once(cuts in prop::collection::vec((0u64..500, 1u64..80), 1..60)) {
            let pool = Pool::new(1 << 24);
            let (mut cache, mut queue) = (pool.cache(), OutOfOrder::new());
            let mut covered = [false; 600];
            for (from, len) in cuts {
                let bytes: Vec<u8> = (from..from + len).map(|at| (at * 13) as u8).collect();
                let place = from as usize..(from + len) as usize;
                let known: Vec<u64> = (from..from + len).filter(|&at| covered[at as usize]).collect();
                covered[place].fill(true);
                let packet = PacketBuf::from_bytes(&pool, &bytes).unwrap();
                match queue.insert(from, packet, &mut cache) {
                    Inserted::Duplicate => prop_assert_eq!(known.len() as u64, len),
                    Inserted::Kept { filled, overlap } => {
                        prop_assert!(filled.0 <= from && filled.1 >= from + len);
                        prop_assert!((filled.0..filled.1).all(|at| covered[at as usize]));
                        prop_assert!(filled.0 == 0 || !covered[filled.0 as usize - 1]);
                        prop_assert!(!covered[filled.1 as usize]);
                        prop_assert_eq!(queue.filled_around(from), Some(filled));
                        prop_assert_eq!(overlap.map(|(start, _)| start), known.first().copied());
                        prop_assert_eq!(overlap.map(|(_, end)| end - 1), known.last().copied());
                    }
                }
                let ranges: Vec<_> = queue.ranges().collect();
                prop_assert!(ranges.windows(2).all(|pair| pair[1].0 >= pair[0].1), "{:?}", ranges);
            }
            let mut at = 0;
            while at < covered.len() {
                match queue.pop(at as u64, &mut cache) {
                    Some(packet) => {
                        for &byte in packet.data() {
                            prop_assert!(covered[at]);
                            prop_assert_eq!(byte, (at as u64 * 13) as u8);
                            at += 1;
                        }
                    }
                    None => {
                        prop_assert!(!covered[at]);
                        at += 1;
                    }
                }
            }
            prop_assert!(queue.is_empty());
            prop_assert_eq!(queue.truesize(), 0);
        }
    }
}
