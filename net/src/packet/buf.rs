//! A packet: a block of bytes, the text that it refers to, and what continues it.

use super::account::Account;
use super::text::{Frag, copy};
use smallvec::SmallVec;
use std::fmt;
use std::iter;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// The data area of a small buffer; a header-only segment or a short message fits.
pub(crate) const SMALL: usize = 256;
/// The data area of a large buffer; a full Ethernet frame with headroom fits.
pub(crate) const LARGE: usize = 2048;
/// What Linux adds to the data area when it accounts for a buffer: `sk_buff` (256) and `skb_shared_info` (320).
const OVERHEAD: usize = 576;
/// How many references to text a packet has room for. More are possible, and cost an allocation.
const FRAGS: usize = 2;

/// How far the device has checked the transport checksum (`skb->ip_summed`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum IpSummed {
    /// `CHECKSUM_NONE`: nobody has looked.
    #[default]
    None,
    /// `CHECKSUM_UNNECESSARY`: the device has verified it.
    Unnecessary,
    /// `CHECKSUM_COMPLETE`: the device has summed all from the IP header on, whatever it is, and has compared nothing.
    Complete,
    /// `CHECKSUM_PARTIAL`: the sender has left it to the device. Where no device has completed it on the way, sender and
    /// receiver share a memory, and there is nothing to verify.
    Partial,
}

impl IpSummed {
    /// Whether the stack has still to compare.
    #[inline]
    pub(crate) fn is_open(self) -> bool {
        matches!(self, IpSummed::None | IpSummed::Complete)
    }
}

/// What is known about a frame beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RxMeta {
    pub(crate) hash: u32,
    /// The queue in which it came, plus one; 0: from no device.
    pub(crate) rx_queue: u16,
    pub(crate) ip_summed: IpSummed,
    /// One CPU has handed it to another.
    pub(crate) is_steered: bool,
    /// With [`IpSummed::Partial`]: where the sum begins, from the start of the block, and how far behind that it is stored. With
    /// [`IpSummed::Complete`] the former is the sum itself, in the machine's byte order (`skb->csum` is in the same place, too).
    csum_start: u16,
    csum_offset: u16,
    /// A super-segment is to be cut, or was put together from, segments with this much text; 0 for a plain frame.
    pub(crate) gso_size: u16,
    /// How many segments that are (`gso_segs`).
    pub(crate) gso_segs: u16,
}

/// A packet: `headroom | data | tailroom` in one pooled block, and behind the data the text that it refers to.
///
/// Headers always stand in the data. Only text that TCP sends is referred to, and only from one stack to another: what leaves
/// them, or is to be changed, is made one piece first ([`linearize`](Self::linearize)).
///
/// It is one pointer, so that queues and rings move it as cheaply as they can.
pub(crate) struct PacketBuf(pub(super) Box<Block>);

impl PacketBuf {
    #[inline]
    pub(super) fn empty(mut buffer: Box<Block>, headroom: usize) -> PacketBuf {
        (buffer.head, buffer.len, buffer.rx) = (headroom as u32, 0, RxMeta::default());
        debug_assert!(buffer.rest.is_empty() && buffer.frags.is_empty(), "a free block has nothing behind it");
        PacketBuf(buffer)
    }

    /// The bytes between headroom and tailroom.
    #[inline]
    pub(crate) fn data(&self) -> &[u8] {
        &self.0.bytes[self.0.head as usize..(self.0.head + self.0.len) as usize]
    }

    /// The same, to be written.
    #[inline]
    pub(crate) fn data_mut(&mut self) -> &mut [u8] {
        let Block { bytes, head, len, .. } = &mut *self.0;
        &mut bytes[*head as usize..(*head + *len) as usize]
    }

    /// How many bytes it holds, text that it refers to included (`skb->len`).
    #[inline]
    pub(crate) fn len(&self) -> usize {
        (self.0.len + self.0.frags_len) as usize
    }

    /// Whether it holds no bytes.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes can be pushed in front.
    pub(crate) fn headroom(&self) -> usize {
        self.0.head as usize
    }

    /// How many bytes can be put behind.
    pub(crate) fn tailroom(&self) -> usize {
        if self.0.frags.is_empty() { self.0.bytes.len() - self.0.head as usize - self.0.len as usize } else { 0 }
    }

    /// Opens `n` bytes in front of the data and returns them (`skb_push`).
    ///
    /// # Panics
    /// When there is less headroom; the caller has allocated it.
    #[inline]
    pub(crate) fn push(&mut self, n: usize) -> &mut [u8] {
        assert!(n <= self.headroom(), "push of {n} bytes into {} of headroom", self.headroom());
        self.0.head -= n as u32;
        self.0.len += n as u32;
        &mut self.data_mut()[..n]
    }

    /// Takes `n` bytes away from the front (`skb_pull`); those of the data become headroom.
    ///
    /// # Panics
    /// When there are fewer; the caller has parsed them.
    #[inline]
    pub(crate) fn pull(&mut self, n: usize) {
        assert!(n <= self.len(), "pull of {n} bytes out of {}", self.len());
        let linear = n.min(self.0.len as usize);
        self.0.head += linear as u32;
        self.0.len -= linear as u32;
        if n > linear {
            self.pull_frags(n - linear);
        }
    }

    fn pull_frags(&mut self, mut n: usize) {
        self.0.frags_len -= n as u32;
        for frag in &mut self.0.frags {
            let part = n.min(frag.len());
            frag.pull(part);
            n -= part;
            if n == 0 {
                break;
            }
        }
    }

    /// The `n` bytes in front of the data, which were pulled off and are there still (`skb_network_header`).
    ///
    /// # Panics
    /// When there is less headroom.
    pub(crate) fn pulled(&self, n: usize) -> &[u8] {
        let head = self.0.head as usize;
        &self.0.bytes[head - n..head]
    }

    /// Opens `n` bytes behind the data and returns them (`skb_put`). Their content is whatever was there before.
    ///
    /// # Panics
    /// When there is less tailroom; the caller has allocated it.
    #[inline]
    pub(crate) fn put(&mut self, n: usize) -> &mut [u8] {
        assert!(n <= self.tailroom(), "put of {n} bytes into {} of tailroom", self.tailroom());
        let at = self.len();
        self.0.len += n as u32;
        &mut self.data_mut()[at..]
    }

    /// Keeps the first `n` bytes (`skb_trim`); does nothing when there are fewer.
    #[inline]
    pub(crate) fn truncate(&mut self, n: usize) {
        if n < self.len() {
            self.0.len = self.0.len.min(n as u32);
            self.truncate_frags(n - self.0.len as usize);
        }
    }

    fn truncate_frags(&mut self, mut n: usize) {
        self.0.frags_len = n as u32;
        for frag in &mut self.0.frags {
            frag.truncate(n);
            n -= frag.len();
        }
    }

    /// Lets the packet refer to text behind its bytes (`skb_add_rx_frag`).
    #[inline]
    pub(crate) fn add_frag(&mut self, frag: Frag) {
        self.0.frags_len += frag.len() as u32;
        self.0.frags_truesize += frag.len() as u32;
        self.0.frags.push(frag);
    }

    /// Refers to the text that `next` refers to, too, as far as that takes no more references than a packet has room for
    /// (`skb_try_coalesce`): mostly it goes on where its own ends. Says whether it does; `next` is empty then.
    #[inline]
    pub(crate) fn absorb(&mut self, next: &mut PacketBuf) -> bool {
        let (mine, theirs) = (&mut *self.0, &mut *next.0);
        let (Some(last), Some(first)) = (mine.frags.last_mut(), theirs.frags.first()) else { return false };
        let joins = last.is_continued_by(first);
        if joins && theirs.len == 0 && theirs.frags.len() == 1 {
            // So nearly all go.
            mine.frags_len += theirs.frags_len;
            mine.frags_truesize += theirs.frags_truesize;
            (theirs.frags_len, theirs.frags_truesize) = (0, 0);
            if let Some(first) = theirs.frags.pop() {
                last.join(first);
            }
            return true;
        }
        if theirs.len > 0 || mine.frags.len() + theirs.frags.len() > FRAGS + usize::from(joins) {
            return false;
        }
        (mine.frags_len, mine.frags_truesize) =
            (mine.frags_len + theirs.frags_len, mine.frags_truesize + theirs.frags_truesize);
        (theirs.frags_len, theirs.frags_truesize) = (0, 0);
        let mut frags = theirs.frags.drain(..);
        if joins && let (Some(last), Some(first)) = (mine.frags.last_mut(), frags.next()) {
            last.join(first);
        }
        mine.frags.extend(frags);
        true
    }

    /// What it refers to, in order.
    #[inline]
    pub(crate) fn frags(&self) -> &[Frag] {
        &self.0.frags
    }

    /// All its bytes, piece by piece: the data, and then the text that it refers to.
    #[inline]
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        iter::once(self.data()).chain(self.0.frags.iter().map(Frag::bytes))
    }

    /// Copies its first bytes, as many as `out` has room for, and says how many (`skb_copy_bits`).
    #[inline]
    pub(crate) fn copy_to(&self, out: &mut [u8]) -> usize {
        let mut done = 0;
        for piece in self.pieces() {
            let n = piece.len().min(out.len() - done);
            copy(&mut out[done..done + n], &piece[..n]);
            done += n;
        }
        done
    }

    /// A copy of all its bytes.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        self.pieces().for_each(|piece| bytes.extend_from_slice(piece));
        bytes
    }

    /// Leaves the checksum of what the packet now begins with to the device; the field at `offset` holds the pseudo-header's
    /// sum (`CHECKSUM_PARTIAL`).
    #[inline]
    pub(crate) fn leave_checksum(&mut self, offset: u16) {
        let start = self.0.head as u16;
        let rx = &mut self.0.rx;
        (rx.ip_summed, rx.csum_start, rx.csum_offset) = (IpSummed::Partial, start, offset);
    }

    /// The same for what begins at `start` of the data.
    pub(crate) fn leave_checksum_at(&mut self, start: usize, offset: usize) {
        let start = (self.0.head as usize + start) as u16;
        let rx = &mut self.0.rx;
        (rx.ip_summed, rx.csum_start, rx.csum_offset) = (IpSummed::Partial, start, offset as u16);
    }

    /// Where in the data a sum that was left to the device begins, and where it is to be stored.
    #[inline]
    pub(crate) fn left_checksum(&self) -> Option<(usize, usize)> {
        let RxMeta { ip_summed, csum_start, csum_offset, .. } = self.0.rx;
        let start = usize::from(csum_start).checked_sub(self.0.head as usize)?;
        let at = start + usize::from(csum_offset);
        (ip_summed == IpSummed::Partial && csum_offset > 0 && at + 2 <= self.len()).then_some((start, at))
    }

    /// The device gives the sum, folded, of all from the IP header on (`CHECKSUM_COMPLETE`).
    pub(crate) fn set_device_sum(&mut self, sum: [u8; 2]) {
        let rx = &mut self.0.rx;
        (rx.ip_summed, rx.csum_start) = (IpSummed::Complete, u16::from_ne_bytes(sum));
    }

    /// That sum, where the device gives one.
    #[inline]
    pub(crate) fn device_sum(&self) -> Option<[u8; 2]> {
        (self.0.rx.ip_summed == IpSummed::Complete).then(|| self.0.rx.csum_start.to_ne_bytes())
    }

    /// What was put together with it and continues its data (`skb_shinfo(skb)->frag_list`), in order. Most packets have none.
    #[inline]
    pub(crate) fn rest(&self) -> &[PacketBuf] {
        &self.0.rest
    }

    /// Gives the packet what continues its data.
    pub(crate) fn set_rest(&mut self, rest: Vec<PacketBuf>) {
        debug_assert!(rest.iter().all(|piece| piece.rest().is_empty()), "a list has one level");
        self.0.rest = rest;
    }

    /// Takes away what continues its data.
    #[inline]
    pub(crate) fn take_rest(&mut self) -> Vec<PacketBuf> {
        mem::take(&mut self.0.rest)
    }

    /// How many bytes of data it holds with all that continues it.
    #[inline]
    pub(crate) fn whole_len(&self) -> usize {
        self.len() + if self.0.rest.is_empty() { 0 } else { self.0.rest.iter().map(PacketBuf::len).sum() }
    }

    /// Whether its block is of the small size.
    #[inline]
    pub(crate) fn is_small(&self) -> bool {
        self.0.bytes.len() == SMALL
    }

    /// What a socket's buffer is charged for it: the data area, used or not, all text that it has ever referred to, and
    /// Linux's overhead. 832 for a small one.
    #[inline]
    pub(crate) fn truesize(&self) -> usize {
        self.0.bytes.len() + OVERHEAD + self.0.frags_truesize as usize
    }
}

/// Gives way to [`Block::rx`], the one field that others may touch.
impl Deref for PacketBuf {
    type Target = Block;

    #[inline]
    fn deref(&self) -> &Block {
        &self.0
    }
}

impl DerefMut for PacketBuf {
    #[inline]
    fn deref_mut(&mut self) -> &mut Block {
        &mut self.0
    }
}

impl fmt::Debug for PacketBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketBuf").field("len", &self.len()).field("rx", &self.0.rx).finish_non_exhaustive()
    }
}

/// Takes every packet out of `packets`, in order, and leaves the vector its room. Mostly there is one.
#[inline]
pub(crate) fn take_each(packets: &mut Vec<PacketBuf>, mut take: impl FnMut(PacketBuf)) {
    match packets.len() {
        1 => {
            if let Some(packet) = packets.pop() {
                take(packet);
            }
        }
        _ => packets.drain(..).for_each(take),
    }
}

/// A block, what is in it, and the account that it is charged to. Dropping it gives its bytes back.
///
/// The account's reference travels with the block through free lists and packets, so that handing one out touches no
/// reference count.
pub(crate) struct Block {
    pub(super) bytes: Box<[u8]>,
    head: u32,
    len: u32,
    pub(crate) rx: RxMeta,
    /// How many bytes of text it refers to, and how many it ever has.
    pub(super) frags_len: u32,
    pub(super) frags_truesize: u32,
    pub(super) frags: SmallVec<[Frag; FRAGS]>,
    pub(super) rest: Vec<PacketBuf>,
    account: Arc<Account>,
}

impl Block {
    pub(super) fn new(size: usize, account: &Arc<Account>) -> Box<Block> {
        let bytes = vec![0; size].into_boxed_slice();
        Box::new(Block {
            bytes,
            head: 0,
            len: 0,
            rx: RxMeta::default(),
            frags_len: 0,
            frags_truesize: 0,
            frags: SmallVec::new(),
            rest: Vec::new(),
            account: account.clone(),
        })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.account.give_back(self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Pool, PoolCache};

    #[test]
    fn data_grows_and_shrinks_at_both_ends() {
        let mut packet = Pool::new(1 << 20).cache().alloc(40, 100).unwrap();
        packet.put(5).copy_from_slice(b"hello");
        packet.push(2).copy_from_slice(b"> ");
        assert_eq!(packet.data(), b"> hello");
        packet.pull(3);
        packet.truncate(3);
        packet.truncate(9);
        assert_eq!((packet.data(), packet.headroom(), packet.tailroom()), (&b"ell"[..], 41, SMALL - 44));
    }

    /// As Linux 6.18 was seen to charge it: a small packet is charged 832 bytes.
    #[test]
    fn a_packet_is_charged_for_its_whole_block() {
        let mut cache = Pool::new(1 << 20).cache();
        let truesize = |cache: &mut PoolCache, n| cache.alloc(64, n).unwrap().truesize();
        assert_eq!(truesize(&mut cache, 1), 832);
        assert_eq!(truesize(&mut cache, 1500), LARGE + 576);
        assert_eq!(truesize(&mut cache, 9000), (16 << 10) + 576);
        assert_eq!(truesize(&mut cache, 70_000), 70_064 + 576);
    }

    #[test]
    fn a_packet_goes_on_in_the_text_that_it_refers_to() {
        let mut cache = Pool::new(1 << 20).cache();
        let mut text = cache.alloc_text(20);
        text.append(b"the quick brown fox");
        let mut packet = cache.alloc(8, 0).unwrap();
        packet.add_frag(text.part(4, 6));
        packet.add_frag(text.part(10, 9));
        packet.push(2).copy_from_slice(b"> ");
        assert_eq!((packet.data(), packet.len(), packet.tailroom()), (&b"> "[..], 17, 0));
        assert_eq!(packet.truesize(), 832 + 15, "what it refers to is charged");
        packet.pull(5);
        packet.truncate(9);
        assert_eq!((packet.to_vec(), packet.truesize()), (b"ck brown ".to_vec(), 832 + 15));
        let mut out = [0; 4];
        assert_eq!((packet.copy_to(&mut out), &out), (4, b"ck b"));
        assert!(packet.linearize(&mut cache));
        assert_eq!((packet.data(), packet.frags().len(), packet.truesize()), (&b"ck brown "[..], 0, 832));
    }

    #[test]
    fn a_packet_absorbs_the_text_of_the_next_one() {
        let mut cache = Pool::new(1 << 20).cache();
        let (mut text, mut other) = (cache.alloc_text(20), cache.alloc_text(20));
        text.append(b"the quick brown fox");
        other.append(b"jumps over");
        let mut with = |parts: &[(&Frag, usize, usize)]| {
            let mut packet = cache.alloc(8, 8).unwrap();
            parts.iter().for_each(|&(text, from, len)| packet.add_frag(text.part(from, len)));
            packet
        };
        let mut first = with(&[(&text, 0, 4)]);
        for (mut next, absorbed, text) in [
            (with(&[(&text, 4, 6)]), true, &b"the quick "[..]),
            (with(&[(&text, 10, 9), (&other, 0, 6)]), true, b"the quick brown foxjumps "),
            (with(&[(&other, 6, 2), (&text, 0, 3)]), false, b"the quick brown foxjumps "),
            (with(&[(&other, 6, 4)]), true, b"the quick brown foxjumps over"),
            (with(&[(&text, 0, 3)]), false, b"the quick brown foxjumps over"),
            (with(&[]), false, b"the quick brown foxjumps over"),
        ] {
            assert_eq!((first.absorb(&mut next), next.is_empty() || !absorbed), (absorbed, true));
            assert_eq!((first.to_vec(), first.len(), first.frags().len() <= 2), (text.to_vec(), text.len(), true));
        }
        assert_eq!(first.truesize(), 832 + 29);
    }

    #[test]
    fn a_block_is_small_to_move() {
        assert_eq!(size_of::<PacketBuf>(), size_of::<usize>());
        assert_eq!(size_of::<Option<PacketBuf>>(), size_of::<PacketBuf>());
    }
}
