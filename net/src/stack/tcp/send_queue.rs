//! What the user has written and the peer has not acknowledged: bytes, addressed by their offset from the oldest.
//!
//! They lie in pool blocks that are taken as they are needed and given back as they are acknowledged, so an idle
//! connection holds none. A segment refers to them; only short text is copied. This file knows no sequence number.

use crate::iov_iter::IterSource;
use crate::packet::{Frag, PacketBuf, PoolCache};
use crate::stack::tcp::short_queue::ShortQueue;
use crate::wire::checksum::Sum;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct SendQueue {
    blocks: ShortQueue<Frag>,
    len: u32,
    /// Where the last read ended, so that the next one, which mostly goes on from there, need not search.
    cursor: Cursor,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    block: u32,
    /// The offset of that block's first byte.
    start: u32,
}

/// Text from this length on is referred to; shorter text is copied, which costs less than the reference
/// (`rx_copybreak` in many drivers).
pub(crate) const COPY_BREAK: usize = 512;

impl SendQueue {
    /// Nothing written.
    pub(crate) const fn new() -> SendQueue {
        SendQueue { blocks: ShortQueue::new(), len: 0, cursor: Cursor { block: 0, start: 0 } }
    }

    /// How many bytes it holds.
    #[inline]
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// Copies the first `count` bytes of `source` behind the others, which it has. The caller bounds them by the send
    /// buffer, so the pool's bound does not apply: a stream must not fail because datagrams have eaten the memory.
    ///
    /// A block is taken for all that is left, so that buffers of one call come to lie in one.
    #[inline]
    pub(crate) fn append(&mut self, source: &(impl IterSource + ?Sized), count: usize, pool: &mut PoolCache) {
        self.len += count as u32;
        let mut left = count;
        for buf in source.bufs() {
            let mut bytes = &buf[..buf.len().min(left)];
            if let Some(last) = self.blocks.back_mut() {
                let n = last.append(bytes);
                (bytes, left) = (&bytes[n..], left - n);
            }
            while !bytes.is_empty() {
                let mut block = pool.alloc_text(left);
                let n = block.append(bytes);
                (bytes, left) = (&bytes[n..], left - n);
                self.blocks.push_back(block);
            }
            if left == 0 {
                break;
            }
        }
    }

    /// Lets go of the oldest `n` bytes.
    pub(crate) fn release(&mut self, n: u32, pool: &mut PoolCache) {
        let n = n.min(self.len);
        self.len -= n;
        let mut left = n;
        let mut popped = 0;
        while let Some(front) = self.blocks.front_mut() {
            if left < front.len() as u32 {
                front.pull(left as usize);
                break;
            }
            left -= front.len() as u32;
            popped += 1;
            if let Some(block) = self.blocks.pop_front() {
                pool.free_text(block);
            }
        }
        let Cursor { block, start } = self.cursor;
        let moved = Cursor { block: block.saturating_sub(popped), start: start.saturating_sub(n) };
        self.cursor = if block < popped || moved.block == 0 { Cursor::default() } else { moved };
    }

    /// Puts `len` bytes from `offset` on into `packet`, which is empty: as references, or as copies if they are few. With
    /// `sums`, returns their sum.
    ///
    /// # Panics
    /// When there are fewer; the caller knows [`len`](Self::len).
    #[inline]
    pub(crate) fn put_into(&mut self, packet: &mut PacketBuf, (offset, len): (u32, usize), sums: bool) -> Sum {
        let (mut sum, mut done) = (Sum::default(), 0);
        if len < COPY_BREAK {
            let out = packet.put(len);
            self.visit(offset, len, |block, from, n| {
                out[done..done + n].copy_from_slice(&block.bytes()[from..from + n]);
                done += n;
            });
            if sums {
                sum.add(out);
            }
            return sum;
        }
        if let Some((block, from)) = self.block_of(offset, len) {
            // So nearly all goes.
            if sums {
                sum.add(&block.bytes()[from..from + len]);
            }
            packet.add_frag(block.part(from, len));
            return sum;
        }
        self.visit(offset, len, |block, from, n| {
            if sums {
                let mut piece = Sum::default();
                piece.add(&block.bytes()[from..from + n]);
                sum.add_at(done, piece);
                done += n;
            }
            packet.add_frag(block.part(from, n));
        });
        sum
    }

    /// The block in which all of these bytes lie, and where they begin there, if it is the one in which the last read ended.
    #[inline]
    fn block_of(&self, offset: u32, len: usize) -> Option<(&Frag, usize)> {
        let from = offset.checked_sub(self.cursor.start)? as usize;
        let block = self.blocks.get(self.cursor.block as usize)?;
        (from + len <= block.len()).then_some((block, from))
    }

    /// Calls `f` with each block in which bytes from `offset` on lie, with where they begin there, and how many they are.
    #[inline]
    fn visit(&mut self, offset: u32, len: usize, mut f: impl FnMut(&Frag, usize, usize)) {
        if offset < self.cursor.start {
            self.cursor = Cursor::default();
        }
        let mut done = 0;
        while done < len {
            let at = offset + done as u32;
            let Cursor { block: index, start } = self.cursor;
            let block = self.blocks.get(index as usize).expect("the caller stays within `len`");
            let from = (at - start) as usize;
            if from >= block.len() {
                self.cursor = Cursor { block: index + 1, start: start + block.len() as u32 };
                continue;
            }
            let n = (block.len() - from).min(len - done);
            f(block, from, n);
            done += n;
        }
    }

    /// Gives every block back.
    pub(crate) fn clear(&mut self, pool: &mut PoolCache) {
        self.release(self.len, pool);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Pool;
    use proptest::prelude::*;
    use std::io::IoSlice;

    proptest! {
        /// Against a plain vector.
        #[test]
        fn reads_what_was_written(steps in prop::collection::vec((0u8..4, 0usize..5000, 0usize..5000), 1..60)) {
            let pool = Pool::new(1 << 24);
            let mut cache = pool.cache();
            let mut queue = SendQueue::new();
            let mut model: Vec<u8> = Vec::new();
            let (mut next, mut sent) = (0u8, Vec::new());
            for (what, a, b) in steps {
                match what {
                    0 | 1 => {
                        let n = if what == 0 { a % 100 } else { a };
                        let bytes: Vec<u8> = (0..n).map(|_| { next = next.wrapping_mul(31).wrapping_add(7); next }).collect();
                        let (one, other) = bytes.split_at(b.min(n));
                        queue.append(&[IoSlice::new(one), IoSlice::new(other)][..], n, &mut cache);
                        model.extend(bytes);
                    }
                    2 => {
                        let n = a.min(model.len());
                        queue.release(n as u32, &mut cache);
                        model.drain(..n);
                    }
                    _ => {
                        let from = a.min(model.len());
                        let to = (from + b).min(model.len());
                        let mut packet = cache.alloc(0, COPY_BREAK).unwrap();
                        let sum = queue.put_into(&mut packet, (from as u32, to - from), true);
                        prop_assert_eq!(packet.to_vec(), &model[from..to]);
                        let mut expected = Sum::default();
                        expected.add(&model[from..to]);
                        prop_assert_eq!(sum.checksum(), expected.checksum());
                        sent.push((packet, model[from..to].to_vec()));
                    }
                }
                prop_assert_eq!(queue.len() as usize, model.len());
            }
            queue.clear(&mut cache);
            prop_assert!(queue.blocks.is_empty());
            // What was sent stays as it was, whatever was written and acknowledged since.
            for (packet, text) in sent {
                prop_assert_eq!(packet.to_vec(), text);
                cache.free(packet);
            }
        }
    }
}
