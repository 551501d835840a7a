//! What has arrived in order and was not read yet: the very packets, read in place.

use crate::iov_iter::IterDest;
use crate::packet::{LARGE, PacketBuf, PoolCache};
use crate::stack::tcp::short_queue::ShortQueue;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct RecvQueue {
    packets: ShortQueue<PacketBuf>,
    len: u32,
    truesize: u32,
}

/// Texts up to this length are copied behind the previous one if there is room (`TCPRcvCoalesce`), so that a peer that
/// sends single bytes cannot make us hold a block for each. Longer ones are merged if they refer to text that goes on.
const COALESCE_MAX: usize = 512;

impl RecvQueue {
    /// Nothing to read.
    pub(crate) const fn new() -> RecvQueue {
        RecvQueue { packets: ShortQueue::new(), len: 0, truesize: 0 }
    }

    /// How many bytes can be read.
    #[inline]
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// What the socket's buffer is charged for them.
    #[inline]
    pub(crate) const fn truesize(&self) -> u32 {
        self.truesize
    }

    /// Takes a packet that has been pulled to its text. Says whether it was merged into the previous one (`tcp_try_coalesce`).
    #[inline]
    pub(crate) fn push(&mut self, mut packet: PacketBuf, pool: &mut PoolCache) -> bool {
        self.len += packet.len() as u32;
        if let Some(last) = self.packets.back_mut() {
            let had = last.truesize();
            if last.absorb(&mut packet) {
                self.truesize += (last.truesize() - had) as u32;
                pool.free(packet);
                return true;
            }
            if packet.len() <= COALESCE_MAX {
                return self.coalesce(packet, pool);
            }
        }
        self.truesize += packet.truesize() as u32;
        self.packets.push_back(packet);
        false
    }

    fn coalesce(&mut self, packet: PacketBuf, pool: &mut PoolCache) -> bool {
        let last = self.packets.back_mut().expect("the caller has seen a packet");
        let (had, n) = (last.len(), packet.len());
        if n > last.tailroom() && last.is_small() && last.frags().is_empty() {
            // A small block is full: go on in a large one.
            if let Some(mut large) = pool.alloc(0, LARGE) {
                last.copy_to(large.put(had));
                self.truesize += (large.truesize() - last.truesize()) as u32;
                pool.free(std::mem::replace(last, large));
            }
        }
        if n > last.tailroom() {
            self.truesize += packet.truesize() as u32;
            self.packets.push_back(packet);
            return false;
        }
        packet.copy_to(last.put(n));
        pool.free(packet);
        true
    }

    /// Copies out what fits into `dest` and gives emptied packets back; returns how many bytes.
    #[inline]
    pub(crate) fn read(&mut self, dest: &mut (impl IterDest + ?Sized), pool: &mut PoolCache) -> usize {
        let mut done = 0;
        for buf in dest.bufs() {
            done += self.read_into(buf, pool);
            if self.packets.is_empty() {
                break;
            }
        }
        self.len -= done as u32;
        done
    }

    #[inline]
    fn read_into(&mut self, buf: &mut [u8], pool: &mut PoolCache) -> usize {
        let mut done = 0;
        while let Some(front) = self.packets.front_mut() {
            let n = front.copy_to(&mut buf[done..]);
            done += n;
            if n < front.len() {
                front.pull(n);
                break;
            }
            self.truesize -= front.truesize() as u32;
            if let Some(packet) = self.packets.pop_front() {
                pool.free(packet);
            }
        }
        done
    }

    /// Copies out what fits into `buf` and keeps it.
    pub(crate) fn peek(&self, buf: &mut [u8]) -> usize {
        let mut done = 0;
        for packet in self.packets.iter() {
            done += packet.copy_to(&mut buf[done..]);
        }
        done
    }

    /// Gives every packet back.
    pub(crate) fn clear(&mut self, pool: &mut PoolCache) {
        while let Some(packet) = self.packets.pop_front() {
            pool.free(packet);
        }
        (self.len, self.truesize) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Frag, Pool};
    use proptest::prelude::*;
    use std::io::IoSliceMut;

    fn text(cache: &mut PoolCache, bytes: &[u8]) -> PacketBuf {
        let mut packet = cache.alloc(54, bytes.len()).unwrap();
        packet.put(bytes.len()).copy_from_slice(bytes);
        packet
    }

    #[test]
    fn single_bytes_do_not_cost_a_block_each() {
        let pool = Pool::new(1 << 20);
        let (mut cache, mut queue) = (pool.cache(), RecvQueue::new());
        for _ in 0..1000 {
            let packet = text(&mut cache, b"x");
            queue.push(packet, &mut cache);
        }
        assert_eq!(queue.len(), 1000);
        assert!(queue.truesize() < 3000, "{}", queue.truesize());
    }

    /// A packet that refers to the next bytes of a sender's text, which it writes first.
    fn reference(cache: &mut PoolCache, sent: &mut Frag, bytes: &[u8]) -> PacketBuf {
        let mut packet = cache.alloc(54, 0).unwrap();
        let mut left = bytes;
        while !left.is_empty() {
            let n = sent.append(left);
            if n == 0 {
                *sent = cache.alloc_text(4000);
                continue;
            }
            packet.add_frag(sent.part(sent.len() - n, n));
            left = &left[n..];
        }
        packet
    }

    #[test]
    fn what_refers_to_text_that_goes_on_is_one_packet() {
        let pool = Pool::new(1 << 20);
        let (mut cache, mut queue) = (pool.cache(), RecvQueue::new());
        let mut sent = cache.alloc_text(16_000);
        sent.append(&[7; 16_000]);
        for segment in 0..11 {
            let mut packet = cache.alloc(54, 0).unwrap();
            packet.add_frag(sent.part(segment * 1448, 1448.min(16_000 - segment * 1448)));
            assert_eq!(queue.push(packet, &mut cache), segment > 0);
        }
        assert_eq!((queue.len(), queue.truesize()), (11 * 1448, 832 + 11 * 1448));
    }

    proptest! {
        #[test]
        fn reads_what_arrived(steps in prop::collection::vec((0u8..3, 1usize..1500), 1..80)) {
            let pool = Pool::new(1 << 24);
            let (mut cache, mut queue, mut model) = (pool.cache(), RecvQueue::new(), Vec::new());
            let mut sent = cache.alloc_text(4000);
            for (index, (what, n)) in steps.into_iter().enumerate() {
                if what > 0 {
                    let bytes: Vec<u8> = (0..n).map(|at| (at * 7 + index) as u8).collect();
                    let packet = if what == 1 { text(&mut cache, &bytes) } else { reference(&mut cache, &mut sent, &bytes) };
                    queue.push(packet, &mut cache);
                    model.extend(bytes);
                } else {
                    let mut seen = vec![0; n];
                    let peeked = queue.peek(&mut seen);
                    let mut out = vec![0; n];
                    let (one, other) = out.split_at_mut(n / 3);
                    let read = queue.read(&mut [IoSliceMut::new(one), IoSliceMut::new(other)][..], &mut cache);
                    prop_assert_eq!((peeked, &seen), (read, &out));
                    prop_assert_eq!(&out[..read], &model[..n.min(model.len())]);
                    model.drain(..read);
                }
                prop_assert_eq!(queue.len() as usize, model.len());
                prop_assert_eq!(queue.truesize() as usize, queue.packets.iter().map(PacketBuf::truesize).sum::<usize>());
            }
            queue.clear(&mut cache);
            prop_assert_eq!(queue.truesize(), 0);
        }
    }
}
