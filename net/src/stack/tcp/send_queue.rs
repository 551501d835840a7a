//! What the user has written and the peer has not acknowledged: bytes, addressed by their offset from the oldest.
//!
//! They lie in pool blocks that are taken as they are needed and given back as they are acknowledged, so an idle
//! connection holds none. This file knows no sequence number.

use crate::packet::{LARGE, PacketBuf, PoolCache, SMALL};
use crate::stack::tcp::short_queue::ShortQueue;
use crate::wire::checksum::Sum;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct SendQueue {
    blocks: ShortQueue<PacketBuf>,
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

    /// Copies `bytes` behind the others. The caller bounds them by the send buffer, so the pool's bound does not apply:
    /// a stream must not fail because datagrams have eaten the memory.
    pub(crate) fn append(&mut self, mut bytes: &[u8], pool: &mut PoolCache) {
        self.len += bytes.len() as u32;
        if let Some(last) = self.blocks.back_mut() {
            let n = bytes.len().min(last.tailroom());
            last.put(n).copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
        }
        while !bytes.is_empty() {
            let n = bytes.len().min(LARGE);
            let mut block = pool.alloc_forced(0, if self.blocks.is_empty() && n <= SMALL { n } else { LARGE });
            block.put(n).copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            self.blocks.push_back(block);
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
                pool.free(block);
            }
        }
        let Cursor { block, start } = self.cursor;
        let moved = Cursor { block: block.saturating_sub(popped), start: start.saturating_sub(n) };
        self.cursor = if block < popped || moved.block == 0 { Cursor::default() } else { moved };
    }

    /// Copies the bytes from `offset` on into `out` and, with `sums`, returns their sum.
    ///
    /// # Panics
    /// When there are fewer; the caller knows [`len`](Self::len).
    #[inline]
    pub(crate) fn copy_out(&mut self, offset: u32, out: &mut [u8], sums: bool) -> Sum {
        if offset < self.cursor.start {
            self.cursor = Cursor::default();
        }
        let (mut sum, mut done) = (Sum::default(), 0);
        while done < out.len() {
            let at = offset + done as u32;
            let Cursor { block, start } = self.cursor;
            let data = self.blocks.get(block as usize).map(PacketBuf::data).expect("the caller stays within `len`");
            let from = (at - start) as usize;
            if from >= data.len() {
                self.cursor = Cursor { block: block + 1, start: start + data.len() as u32 };
                continue;
            }
            let n = (data.len() - from).min(out.len() - done);
            let (to, from) = (&mut out[done..done + n], &data[from..from + n]);
            if sums {
                let mut piece = Sum::default();
                piece.add_copying(to, from);
                sum.add_at(done, piece);
            } else {
                to.copy_from_slice(from);
            }
            done += n;
        }
        sum
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

    proptest! {
        /// Against a plain vector.
        #[test]
        fn reads_what_was_written(steps in prop::collection::vec((0u8..4, 0usize..5000, 0usize..5000), 1..60)) {
            let pool = Pool::new(1 << 24);
            let mut cache = pool.cache();
            let mut queue = SendQueue::new();
            let mut model: Vec<u8> = Vec::new();
            let mut next = 0u8;
            for (what, a, b) in steps {
                match what {
                    0 | 1 => {
                        let n = if what == 0 { a % 100 } else { a };
                        let bytes: Vec<u8> = (0..n).map(|_| { next = next.wrapping_mul(31).wrapping_add(7); next }).collect();
                        queue.append(&bytes, &mut cache);
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
                        let mut out = vec![0; to - from];
                        let sum = queue.copy_out(from as u32, &mut out, true);
                        prop_assert_eq!(&out, &model[from..to]);
                        let mut expected = Sum::default();
                        expected.add(&out);
                        prop_assert_eq!(sum.checksum(), expected.checksum());
                    }
                }
                prop_assert_eq!(queue.len() as usize, model.len());
            }
            queue.clear(&mut cache);
            prop_assert!(queue.blocks.is_empty());
        }
    }
}
