//! The packet buffer (`sk_buff`): one block of bytes with headroom, written once by the sender and read in place by the
//! receiver, and the bounded pool that it comes from.
//!
//! A buffer travels by value: stack, ring, link, ring, stack. Nobody shares it, so nobody needs a lock for it. Behind its
//! bytes it may refer to text that it shares with its sender ([`Frag`]), as an `sk_buff` to its page fragments. The pool
//! hands buffers out through a [`PoolCache`] per shard, which works without atomics and trades with the shared
//! [`Pool`] in batches. This file knows no header and no queue.

mod account;
mod text;

pub(crate) use text::Frag;

use account::Account;
use smallvec::SmallVec;
use std::fmt;
use std::iter;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use text::Text;

/// The data area of a small buffer; a header-only segment or a short message fits.
pub(crate) const SMALL: usize = 256;
/// The data area of a large buffer; a full Ethernet frame with headroom fits.
pub(crate) const LARGE: usize = 2048;
/// What Linux adds to the data area when it accounts for a buffer: `sk_buff` (256) and `skb_shared_info` (320).
const OVERHEAD: usize = 576;

/// How far the device has checked the transport checksum (`skb->ip_summed`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum IpSummed {
    /// `CHECKSUM_NONE`: nobody has looked.
    #[default]
    None,
    /// `CHECKSUM_UNNECESSARY`: the device has verified it.
    Unnecessary,
    /// `CHECKSUM_PARTIAL`: the sender has left it to the device. Where no device has completed it on the way, sender and
    /// receiver share a memory, and there is nothing to verify.
    Partial,
}

/// What is known about a frame beside its bytes.
///
/// # Simplification
/// There is no `CHECKSUM_COMPLETE`: a device that sums at all also compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RxMeta {
    pub(crate) hash: u32,
    /// The queue in which it came, plus one; 0: from no device.
    pub(crate) rx_queue: u16,
    pub(crate) ip_summed: IpSummed,
    /// One CPU has handed it to another.
    pub(crate) is_steered: bool,
    /// With [`IpSummed::Partial`]: where the sum begins, from the start of the block, and how far behind that it is stored.
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
pub(crate) struct PacketBuf(Box<Block>);

impl PacketBuf {
    /// A packet with these bytes and no headroom, or `None` when the pool's bound is reached.
    pub(crate) fn from_bytes(pool: &Pool, bytes: &[u8]) -> Option<PacketBuf> {
        let mut packet = pool.cache().alloc(0, bytes.len())?;
        packet.put(bytes.len()).copy_from_slice(bytes);
        Some(packet)
    }

    #[inline]
    fn empty(mut buffer: Box<Block>, headroom: usize) -> PacketBuf {
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
            out[done..done + n].copy_from_slice(&piece[..n]);
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

    /// Brings all its bytes into its data (`skb_linearize`). Says whether there was memory for that.
    #[inline]
    pub(crate) fn linearize(&mut self, pool: &mut PoolCache) -> bool {
        self.0.frags.is_empty() || self.linearize_frags(pool)
    }

    fn linearize_frags(&mut self, pool: &mut PoolCache) -> bool {
        let Some(mut whole) = pool.alloc(self.headroom(), self.len()) else { return false };
        let len = self.len();
        self.copy_to(whole.put(len));
        whole.0.rx = self.0.rx;
        whole.0.rest = mem::take(&mut self.0.rest);
        pool.free(mem::replace(self, whole));
        true
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

/// A copy of `packet` with the same headroom, or `None` when the pool's bound is reached.
#[cfg(any(test, fuzzing))]
pub(crate) fn copy(packet: &PacketBuf, pool: &Pool) -> Option<PacketBuf> {
    let mut copy = pool.cache().alloc(packet.headroom(), packet.len())?;
    packet.copy_to(copy.put(packet.len()));
    copy.rx = packet.rx;
    Some(copy)
}

/// A block, what is in it, and the account that it is charged to. Dropping it gives its bytes back.
///
/// The account's reference travels with the block through free lists and packets, so that handing one out touches no
/// reference count.
pub(crate) struct Block {
    bytes: Box<[u8]>,
    head: u32,
    len: u32,
    pub(crate) rx: RxMeta,
    /// How many bytes of text it refers to, and how many it ever has.
    frags_len: u32,
    frags_truesize: u32,
    frags: SmallVec<[Frag; 2]>,
    rest: Vec<PacketBuf>,
    account: Arc<Account>,
}

impl Block {
    fn new(size: usize, account: &Arc<Account>) -> Box<Block> {
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

/// Where buffers come from: a bound on the bytes of all of them, and free lists of two sizes. Clones are the same pool.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Shared>);

struct Shared {
    account: Arc<Account>,
    free: Mutex<FreeLists>,
}

/// Boxed, because a packet is a box: taking one out of a list and putting it back moves a pointer.
type FreeBlocks = [Vec<Box<Block>>; CLASSES.len()];

/// What is free, of each class.
#[derive(Default)]
struct FreeLists {
    blocks: FreeBlocks,
    /// Blocks of text, of the same classes, that nobody refers to.
    texts: [Vec<Arc<Text>>; TEXT_CLASSES],
}

/// The sizes of pooled blocks. Beyond the two that ordinary frames come in, each is about twice the one before, so that no
/// super-segment is charged for much more than twice its bytes; the last one holds the largest IP packet.
const CLASSES: [usize; 7] = [SMALL, LARGE, 4 << 10, 8 << 10, 16 << 10, 32 << 10, (64 << 10) + 512];

/// As many classes has text: longer text takes several blocks, so that what is acknowledged is soon used again.
const TEXT_CLASSES: usize = 5;

/// How many free blocks of a class a cache keeps, how many move between it and its pool at once, and how many the pool keeps
/// for other caches; what exceeds that goes back to the allocator.
struct Stock {
    cache_max: usize,
    batch: usize,
    shared_max: usize,
}

const STOCKS: [Stock; CLASSES.len()] = [
    Stock { cache_max: 128, batch: 64, shared_max: 4096 },
    Stock { cache_max: 128, batch: 64, shared_max: 4096 },
    Stock { cache_max: 64, batch: 16, shared_max: 1024 },
    Stock { cache_max: 64, batch: 16, shared_max: 512 },
    Stock { cache_max: 32, batch: 8, shared_max: 256 },
    Stock { cache_max: 16, batch: 4, shared_max: 128 },
    Stock { cache_max: 16, batch: 4, shared_max: 128 },
];

/// The class of blocks that hold `size` bytes; `None` when it is larger than all.
#[inline]
fn class_of(size: usize) -> Option<usize> {
    match size {
        n if n <= SMALL => Some(0),
        n if n <= LARGE => Some(1),
        _ => CLASSES.iter().position(|&class| size <= class),
    }
}

impl Pool {
    /// A pool whose buffers never hold more than `max_bytes` together, free ones included. The only exception is what a
    /// TCP send queue holds: its bound is the socket's own.
    pub(crate) fn new(max_bytes: usize) -> Pool {
        let account = Arc::new(Account::new(max_bytes));
        Pool(Arc::new(Shared { account, free: Mutex::default() }))
    }

    /// A new, empty cache in front of this pool, for one shard.
    pub(crate) fn cache(&self) -> PoolCache {
        PoolCache { pool: self.clone(), free: FreeLists::default() }
    }

    /// The bytes of all buffers that exist, those in free lists included.
    pub(crate) fn bytes_in_use(&self) -> usize {
        self.0.account.in_use()
    }

    /// The bound on [`bytes_in_use`](Pool::bytes_in_use).
    pub(crate) fn max_bytes(&self) -> usize {
        self.0.account.max_bytes()
    }

    fn free(&self) -> MutexGuard<'_, FreeLists> {
        self.0.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Charges `size` bytes; when the bound is reached, free blocks of other sizes make room.
    fn charge(&self, size: usize) -> bool {
        let account = &self.0.account;
        account.charge(size) || {
            drop(mem::take(&mut *self.free()));
            account.charge(size)
        }
    }

    /// A block of `size` bytes.
    fn allocate(&self, size: usize) -> Option<Box<Block>> {
        self.charge(size).then(|| Block::new(size, &self.0.account))
    }

    /// A block of `size` bytes for text, beyond the bound if need be.
    fn allocate_text(&self, size: usize) -> Arc<Text> {
        if !self.charge(size) {
            self.0.account.charge_forced(size);
        }
        Text::new(size, &self.0.account)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("bytes_in_use", &self.bytes_in_use())
            .field("max_bytes", &self.max_bytes())
            .finish()
    }
}

/// One shard's stock of free buffers. It lives under the shard's lock and is plain memory until it runs dry or over.
pub(crate) struct PoolCache {
    pool: Pool,
    free: FreeLists,
}

impl PoolCache {
    /// Whether less than half of what the pool may hold is in use, so that buffers may grow.
    pub(crate) fn has_plenty(&self) -> bool {
        self.pool.bytes_in_use() < self.pool.max_bytes() / 2
    }

    /// An empty packet with `headroom` in front and room for `capacity` bytes, or `None` when the pool's bound is
    /// reached.
    #[inline]
    pub(crate) fn alloc(&mut self, headroom: usize, capacity: usize) -> Option<PacketBuf> {
        let size = headroom.checked_add(capacity)?;
        let buffer = match class_of(size) {
            Some(class) => match self.free.blocks[class].pop() {
                Some(buffer) => buffer,
                None => self.refill(class)?,
            },
            None => self.pool.allocate(size)?,
        };
        Some(PacketBuf::empty(buffer, headroom))
    }

    /// Takes a packet's block back.
    #[inline]
    pub(crate) fn free(&mut self, packet: PacketBuf) {
        let PacketBuf(mut buffer) = packet;
        if !buffer.rest.is_empty() {
            mem::take(&mut buffer.rest).into_iter().for_each(|piece| self.free(piece));
        }
        if !buffer.frags.is_empty() {
            buffer.frags.drain(..).for_each(|frag| self.free_text(frag));
            (buffer.frags_len, buffer.frags_truesize) = (0, 0);
        }
        let size = buffer.bytes.len();
        let Some(class) = class_of(size).filter(|&class| CLASSES[class] == size) else { return };
        let mine = &mut self.free.blocks[class];
        mine.push(buffer);
        if mine.len() > STOCKS[class].cache_max {
            let left = spill(mine, &mut self.pool.free().blocks[class], &STOCKS[class]);
            drop(left);
        }
    }

    /// A block for text of `wanted` bytes, or of as many as one holds. The caller has a bound of its own: the pool's does not
    /// apply.
    pub(crate) fn alloc_text(&mut self, wanted: usize) -> Frag {
        let class = class_of(wanted).unwrap_or(TEXT_CLASSES).min(TEXT_CLASSES - 1);
        let mine = &mut self.free.texts[class];
        if mine.is_empty() {
            refill(mine, &mut self.pool.free().texts[class], &STOCKS[class]);
        }
        Frag::empty(mine.pop().unwrap_or_else(|| self.pool.allocate_text(CLASSES[class])))
    }

    /// Lets go of a reference to text; the last one gives the block back.
    #[inline]
    pub(crate) fn free_text(&mut self, frag: Frag) {
        let Some(text) = frag.into_unshared() else { return };
        let Some(class) = class_of(text.size()) else { return };
        let mine = &mut self.free.texts[class];
        mine.push(text);
        if mine.len() > STOCKS[class].cache_max {
            let left = spill(mine, &mut self.pool.free().texts[class], &STOCKS[class]);
            drop(left);
        }
    }

    /// Hands everything back to the pool, for a cache that was only needed for a moment.
    pub(crate) fn give_back(mut self) {
        {
            let mut shared = self.pool.free();
            for (class, stock) in STOCKS.iter().enumerate() {
                hand_back(&mut self.free.blocks[class], &mut shared.blocks[class], stock);
            }
            for (class, stock) in STOCKS[..TEXT_CLASSES].iter().enumerate() {
                hand_back(&mut self.free.texts[class], &mut shared.texts[class], stock);
            }
        }
        // What the pool has no use for goes back to the allocator with `self`, the lock released.
    }

    #[cold]
    fn refill(&mut self, class: usize) -> Option<Box<Block>> {
        let mine = &mut self.free.blocks[class];
        refill(mine, &mut self.pool.free().blocks[class], &STOCKS[class]);
        mine.pop().or_else(|| self.pool.allocate(CLASSES[class]))
    }
}

/// Takes a batch out of the pool.
#[cold]
fn refill<T>(mine: &mut Vec<T>, shared: &mut Vec<T>, stock: &Stock) {
    mine.extend(shared.drain(shared.len().saturating_sub(stock.batch)..));
}

/// Gives the pool a batch, as far as it has use for it; what is left beyond the cache's own bound is returned, to be dropped
/// when the pool's lock is not held.
#[cold]
fn spill<T>(mine: &mut Vec<T>, shared: &mut Vec<T>, stock: &Stock) -> Vec<T> {
    let n = stock.shared_max.saturating_sub(shared.len()).min(stock.batch).min(mine.len());
    shared.extend(mine.drain(mine.len() - n..));
    mine.split_off(stock.cache_max.min(mine.len()))
}

/// Gives the pool all, as far as it has use for it.
fn hand_back<T>(mine: &mut Vec<T>, shared: &mut Vec<T>, stock: &Stock) {
    let room = stock.shared_max.saturating_sub(shared.len()).min(mine.len());
    shared.extend(mine.drain(..room));
}

impl fmt::Debug for PoolCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolCache").field("free", &self.free.blocks.each_ref().map(Vec::len)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_bound_holds_and_freed_bytes_count_again() {
        let pool = Pool::new(2 * LARGE + SMALL);
        let mut cache = pool.cache();
        let first = cache.alloc(0, LARGE).unwrap();
        let second = cache.alloc(0, LARGE).unwrap();
        assert!(cache.alloc(0, LARGE).is_none());
        assert!(cache.alloc(0, 10_000).is_none());
        let small = cache.alloc(0, 1).unwrap();
        assert_eq!(pool.bytes_in_use(), pool.max_bytes());
        drop(first);
        assert_eq!(pool.bytes_in_use(), LARGE + SMALL);
        cache.free(second);
        cache.free(small);
        assert_eq!(pool.bytes_in_use(), LARGE + SMALL, "a free list still holds its blocks");
        drop(cache);
        assert_eq!(pool.bytes_in_use(), 0);
    }

    #[test]
    fn a_send_queue_may_exceed_the_bound_and_is_counted() {
        let pool = Pool::new(SMALL);
        let mut cache = pool.cache();
        let texts = [cache.alloc_text(10), cache.alloc_text(10), cache.alloc_text(5000), cache.alloc_text(70_000)];
        assert_eq!(pool.bytes_in_use(), 2 * SMALL + (8 << 10) + (16 << 10));
        drop(texts);
        assert_eq!(pool.bytes_in_use(), 0);
    }

    #[test]
    fn what_others_refer_to_is_not_written_any_more() {
        let mut cache = Pool::new(1 << 20).cache();
        let mut text = cache.alloc_text(10);
        assert_eq!((text.append(b"hello"), text.append(b", ")), (5, 2));
        let part = text.part(1, 4);
        assert_eq!(text.append(b"world"), 0, "somebody reads it");
        assert_eq!(part.bytes(), b"ello");
        drop(part);
        assert_eq!(text.append(b"world"), 5);
        assert_eq!(text.bytes(), b"hello, world");
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
        cache.free(packet);
        let before = cache.free.texts[0].len();
        cache.free_text(text);
        assert_eq!(cache.free.texts[0].len(), before + 1, "the last reference gives the block back");
    }

    #[test]
    fn blocks_move_between_caches_through_the_pool() {
        let pool = Pool::new(1 << 24);
        let (mut sender, mut receiver) = (pool.cache(), pool.cache());
        for _ in 0..10_000 {
            let packet = sender.alloc(0, 1000).unwrap();
            receiver.free(packet);
        }
        assert!(pool.bytes_in_use() <= LARGE * (STOCKS[1].cache_max + 2 * STOCKS[1].batch + 1), "{pool:?}");
    }

    #[test]
    fn a_block_is_small_to_move() {
        assert_eq!(size_of::<PacketBuf>(), size_of::<usize>());
        assert_eq!(size_of::<Option<PacketBuf>>(), size_of::<PacketBuf>());
    }
}
