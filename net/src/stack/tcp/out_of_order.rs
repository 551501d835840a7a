//! What has arrived ahead of its turn: disjoint pieces, sorted by where they begin.
//!
//! A pure data structure. The caller bounds what it holds, and asks for the piece that comes next.

use crate::packet::{PacketBuf, PoolCache};
use crate::wire::tcp::SeqNumber;
use std::collections::VecDeque;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct OutOfOrder {
    pieces: VecDeque<Piece>,
    truesize: u32,
}

#[derive(Debug)]
struct Piece {
    seq: SeqNumber,
    packet: PacketBuf,
}

impl Piece {
    fn end(&self) -> SeqNumber {
        self.seq + self.packet.len() as u32
    }
}

/// What became of a piece.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It is kept, or a part of it; perhaps only in place of what was there.
    Kept,
    /// There was nothing new in it.
    Duplicate,
}

impl OutOfOrder {
    /// Nothing is missing.
    pub(crate) const fn new() -> OutOfOrder {
        OutOfOrder { pieces: VecDeque::new(), truesize: 0 }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// How many pieces it holds.
    pub(crate) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// What the socket's buffer is charged for them.
    #[inline]
    pub(crate) const fn truesize(&self) -> u32 {
        self.truesize
    }

    /// Keeps `packet`, whose text begins at `seq`, without what is there already.
    pub(crate) fn insert(&mut self, mut seq: SeqNumber, mut packet: PacketBuf, pool: &mut PoolCache) -> Inserted {
        let at = self.pieces.partition_point(|piece| !piece.seq.is_after(seq));
        if let Some(before) = at.checked_sub(1).map(|before| self.pieces[before].end()) {
            let overlap = before.distance(seq).max(0) as usize;
            if overlap >= packet.len() {
                pool.free(packet);
                return Inserted::Duplicate;
            }
            packet.pull(overlap);
            seq = seq + overlap as u32;
        }
        while let Some(next) = self.pieces.get(at) {
            let end = seq + packet.len() as u32;
            if !next.seq.is_before(end) {
                break;
            }
            if !next.end().is_before(end) {
                packet.truncate((next.seq - seq) as usize);
                break;
            }
            // The new piece covers the old one, and more.
            if let Some(covered) = self.pieces.remove(at) {
                self.truesize -= covered.packet.truesize() as u32;
                pool.free(covered.packet);
            }
        }
        if packet.is_empty() {
            pool.free(packet);
            return Inserted::Duplicate;
        }
        self.truesize += packet.truesize() as u32;
        self.pieces.insert(at, Piece { seq, packet });
        Inserted::Kept
    }

    /// The text that follows at `rcv_nxt`, if it is there. Pieces that lie before are let go.
    pub(crate) fn pop(&mut self, rcv_nxt: SeqNumber, pool: &mut PoolCache) -> Option<PacketBuf> {
        while self.pieces.front().is_some_and(|piece| !piece.seq.is_after(rcv_nxt)) {
            let Piece { seq, mut packet } = self.pieces.pop_front()?;
            self.truesize -= packet.truesize() as u32;
            if self.pieces.is_empty() {
                self.pieces = VecDeque::new();
            }
            let old = (rcv_nxt - seq) as usize;
            if old < packet.len() {
                packet.pull(old);
                return Some(packet);
            }
            pool.free(packet);
        }
        None
    }

    /// The pieces' borders, from the first on.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (SeqNumber, SeqNumber)> + '_ {
        self.pieces.iter().map(|piece| (piece.seq, piece.end()))
    }

    /// Gives every packet back.
    pub(crate) fn clear(&mut self, pool: &mut PoolCache) {
        for piece in std::mem::take(&mut self.pieces) {
            pool.free(piece.packet);
        }
        self.truesize = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Pool;
    use proptest::prelude::*;

    proptest! {
        /// Random pieces of a known stream, across the wrap of the sequence space: what comes out is the stream.
        #[test]
        fn pieces_come_out_in_order_and_once(cuts in prop::collection::vec((0u32..500, 1u32..80), 1..60)) {
            const START: SeqNumber = SeqNumber(u32::MAX - 200);
            let pool = Pool::new(1 << 24);
            let (mut cache, mut queue) = (pool.cache(), OutOfOrder::new());
            let mut covered = [false; 600];
            for (from, len) in cuts {
                let bytes: Vec<u8> = (from..from + len).map(|at| (at * 13) as u8).collect();
                let fresh = covered[from as usize..(from + len) as usize].iter().any(|&there| !there);
                covered[from as usize..(from + len) as usize].fill(true);
                let packet = PacketBuf::from_bytes(&pool, &bytes).unwrap();
                let inserted = queue.insert(START + from, packet, &mut cache);
                prop_assert!(inserted == Inserted::Kept || !fresh);
                let ranges: Vec<_> = queue.ranges().collect();
                prop_assert!(ranges.windows(2).all(|pair| !pair[1].0.is_before(pair[0].1)), "{:?}", ranges);
            }
            let mut at = 0;
            while at < covered.len() {
                match queue.pop(START + at as u32, &mut cache) {
                    Some(packet) => {
                        for &byte in packet.data() {
                            prop_assert!(covered[at]);
                            prop_assert_eq!(byte, (at as u32 * 13) as u8);
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
