//! The packet buffer (`sk_buff`): one block of bytes with headroom, written once by the sender and read in place by the
//! receiver, and the bounded pool that it comes from.
//!
//! A buffer travels by value: stack, ring, link, ring, stack. Nobody shares it, so nobody needs a lock for it. The pool
//! hands buffers out through a [`PoolCache`] per shard, which works without atomics and trades with the shared
//! [`Pool`] in batches. This file knows no header and no queue.

use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// A packet: `headroom | data | tailroom` in one pooled block.
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
        debug_assert!(buffer.rest.is_empty(), "a free block has nothing behind it");
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

    /// How many bytes of data it holds.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.0.len as usize
    }

    /// Whether it holds no data.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// How many bytes can be pushed in front.
    pub(crate) fn headroom(&self) -> usize {
        self.0.head as usize
    }

    /// How many bytes can be put behind.
    pub(crate) fn tailroom(&self) -> usize {
        self.0.bytes.len() - self.0.head as usize - self.0.len as usize
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

    /// Takes `n` bytes away from the front (`skb_pull`); they become headroom.
    ///
    /// # Panics
    /// When there is less data; the caller has parsed it.
    #[inline]
    pub(crate) fn pull(&mut self, n: usize) {
        assert!(n <= self.len(), "pull of {n} bytes out of {}", self.len());
        self.0.head += n as u32;
        self.0.len -= n as u32;
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
        self.0.len = self.0.len.min(u32::try_from(n).unwrap_or(u32::MAX));
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

    /// What a socket's buffer is charged for it: the data area, used or not, and Linux's overhead. 832 for a small one.
    #[inline]
    pub(crate) fn truesize(&self) -> usize {
        self.0.bytes.len() + OVERHEAD
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
        f.debug_struct("PacketBuf").field("len", &self.0.len).field("rx", &self.0.rx).finish_non_exhaustive()
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
    copy.put(packet.len()).copy_from_slice(packet.data());
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
    rest: Vec<PacketBuf>,
    account: Arc<Account>,
}

impl Block {
    fn new(size: usize, account: &Arc<Account>) -> Box<Block> {
        let bytes = vec![0; size].into_boxed_slice();
        Box::new(Block { bytes, head: 0, len: 0, rx: RxMeta::default(), rest: Vec::new(), account: account.clone() })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.account.give_back(self.bytes.len());
    }
}

/// How many bytes exist in buffers, and how many may.
struct Account {
    bytes: AtomicUsize,
    max_bytes: usize,
}

impl Account {
    /// Charges `n` bytes, unless the bound forbids it.
    fn charge(&self, n: usize) -> bool {
        // Relaxed, here and below: the count guards no other memory; only its own sum must be right.
        let charge = |bytes: usize| bytes.checked_add(n).filter(|&sum| sum <= self.max_bytes);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charge).is_ok()
    }

    /// Charges `n` bytes, beyond the bound if need be.
    fn charge_forced(&self, n: usize) {
        self.bytes.fetch_add(n, Ordering::Relaxed);
    }

    fn give_back(&self, n: usize) {
        self.bytes.fetch_sub(n, Ordering::Relaxed);
    }

    fn in_use(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Where buffers come from: a bound on the bytes of all of them, and free lists of two sizes. Clones are the same pool.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Shared>);

struct Shared {
    account: Arc<Account>,
    free: Mutex<FreeLists>,
}

/// Free blocks of each class, boxed, because a packet is a box: taking one out of a list and putting it back moves a pointer.
type FreeLists = [Vec<Box<Block>>; CLASSES.len()];

/// The sizes of pooled blocks. Beyond the two that ordinary frames come in, each is about twice the one before, so that no
/// super-segment is charged for much more than twice its bytes; the last one holds the largest IP packet.
const CLASSES: [usize; 7] = [SMALL, LARGE, 4 << 10, 8 << 10, 16 << 10, 32 << 10, (64 << 10) + 512];

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
        let account = Arc::new(Account { bytes: AtomicUsize::new(0), max_bytes });
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
        self.0.account.max_bytes
    }

    fn free(&self) -> MutexGuard<'_, FreeLists> {
        self.0.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block of `size` bytes; when the bound is reached, free blocks of the other size make room.
    fn allocate(&self, size: usize) -> Option<Box<Block>> {
        let account = &self.0.account;
        if !account.charge(size) {
            drop(mem::take(&mut *self.free()));
            if !account.charge(size) {
                return None;
            }
        }
        Some(Block::new(size, account))
    }

    fn allocate_forced(&self, size: usize) -> Box<Block> {
        self.0.account.charge_forced(size);
        Block::new(size, &self.0.account)
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
            Some(class) => match self.free[class].pop() {
                Some(buffer) => buffer,
                None => self.refill(class)?,
            },
            None => self.pool.allocate(size)?,
        };
        Some(PacketBuf::empty(buffer, headroom))
    }

    /// The same beyond the pool's bound, for a caller that has a bound of its own.
    pub(crate) fn alloc_forced(&mut self, headroom: usize, capacity: usize) -> PacketBuf {
        if let Some(packet) = self.alloc(headroom, capacity) {
            return packet;
        }
        let size = headroom + capacity;
        let buffer = self.pool.allocate_forced(class_of(size).map_or(size, |class| CLASSES[class]));
        PacketBuf::empty(buffer, headroom)
    }

    /// Takes a packet's block back.
    #[inline]
    pub(crate) fn free(&mut self, packet: PacketBuf) {
        let PacketBuf(mut buffer) = packet;
        if !buffer.rest.is_empty() {
            mem::take(&mut buffer.rest).into_iter().for_each(|piece| self.free(piece));
        }
        let size = buffer.bytes.len();
        let Some(class) = class_of(size).filter(|&class| CLASSES[class] == size) else { return };
        self.free[class].push(buffer);
        if self.free[class].len() > STOCKS[class].cache_max {
            self.spill(class);
        }
    }

    /// Hands everything back to the pool, for a cache that was only needed for a moment.
    pub(crate) fn give_back(mut self) {
        let mut left = FreeLists::default();
        {
            let mut shared = self.pool.free();
            for (class, mine) in self.free.iter_mut().enumerate() {
                let room = STOCKS[class].shared_max.saturating_sub(shared[class].len());
                left[class] = mine.split_off(room.min(mine.len()));
                shared[class].append(mine);
            }
        }
        // What the pool has no use for goes back to the allocator, with the lock released.
        drop(left);
    }

    #[cold]
    fn refill(&mut self, class: usize) -> Option<Box<Block>> {
        let mine = &mut self.free[class];
        {
            let shared = &mut self.pool.free()[class];
            mine.extend(shared.drain(shared.len().saturating_sub(STOCKS[class].batch)..));
        }
        mine.pop().or_else(|| self.pool.allocate(CLASSES[class]))
    }

    #[cold]
    fn spill(&mut self, class: usize) {
        let (mine, stock) = (&mut self.free[class], &STOCKS[class]);
        {
            let shared = &mut self.pool.free()[class];
            let n = stock.shared_max.saturating_sub(shared.len()).min(stock.batch).min(mine.len());
            shared.extend(mine.drain(mine.len() - n..));
        }
        // What the pool has no use for goes back to the allocator, here, with the lock released.
        mine.truncate(stock.cache_max);
    }
}

impl fmt::Debug for PoolCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolCache").field("free", &self.free.each_ref().map(Vec::len)).finish()
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
        let packets = [cache.alloc_forced(0, 10), cache.alloc_forced(0, 10), cache.alloc_forced(0, 5000)];
        assert_eq!(pool.bytes_in_use(), 2 * SMALL + (8 << 10));
        drop(packets);
        assert_eq!(pool.bytes_in_use(), 0);
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
