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
    #[expect(dead_code, reason = "no device verifies checksums yet")]
    Unnecessary,
    /// `CHECKSUM_COMPLETE`: the device has summed the whole packet.
    #[expect(dead_code, reason = "no device verifies checksums yet")]
    Complete,
    /// `CHECKSUM_PARTIAL`: the sender left it to the device, so there is nothing to verify on this host.
    Partial,
}

/// What the device knows about a frame beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RxMeta {
    pub(crate) hash: u32,
    pub(crate) rx_queue: u16,
    pub(crate) ip_summed: IpSummed,
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

/// A copy of `packet` with the same headroom, or `None` when the pool's bound is reached.
#[cfg(test)]
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
    account: Arc<Account>,
}

impl Block {
    fn new(size: usize, account: &Arc<Account>) -> Box<Block> {
        let bytes = vec![0; size].into_boxed_slice();
        Box::new(Block { bytes, head: 0, len: 0, rx: RxMeta::default(), account: account.clone() })
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

#[derive(Default)]
struct FreeLists {
    small: FreeList,
    large: FreeList,
}

/// Boxed, because a packet is a box: taking one out of the list and putting it back moves a pointer.
type FreeList = Vec<Box<Block>>;

impl FreeLists {
    fn of(&mut self, class: usize) -> &mut FreeList {
        if class == SMALL { &mut self.small } else { &mut self.large }
    }

    /// Moves a batch into a cache that ran dry.
    fn hand_out(&mut self, class: usize, to: &mut FreeList) {
        let mine = self.of(class);
        to.extend(mine.drain(mine.len().saturating_sub(BATCH)..));
    }

    /// Moves a batch out of a cache that runs over, as far as there is room.
    fn take_back(&mut self, class: usize, from: &mut FreeList) {
        let mine = self.of(class);
        let n = SHARED_MAX.saturating_sub(mine.len()).min(BATCH).min(from.len());
        mine.extend(from.drain(from.len() - n..));
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
        PoolCache { pool: self.clone(), small: Vec::new(), large: Vec::new() }
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
    small: FreeList,
    large: FreeList,
}

impl PoolCache {
    /// An empty packet with `headroom` in front and room for `capacity` bytes, or `None` when the pool's bound is
    /// reached.
    #[inline]
    pub(crate) fn alloc(&mut self, headroom: usize, capacity: usize) -> Option<PacketBuf> {
        let size = headroom.checked_add(capacity)?;
        let free = match size_class(size) {
            SMALL => self.small.pop(),
            LARGE => self.large.pop(),
            _ => None,
        };
        let buffer = match free {
            Some(buffer) => buffer,
            None => self.refill(size)?,
        };
        Some(PacketBuf::empty(buffer, headroom))
    }

    /// The same beyond the pool's bound, for a caller that has a bound of its own.
    pub(crate) fn alloc_forced(&mut self, headroom: usize, capacity: usize) -> PacketBuf {
        if let Some(packet) = self.alloc(headroom, capacity) {
            return packet;
        }
        let buffer = self.pool.allocate_forced(size_class(headroom + capacity));
        PacketBuf::empty(buffer, headroom)
    }

    /// Takes a packet's block back.
    #[inline]
    pub(crate) fn free(&mut self, packet: PacketBuf) {
        let PacketBuf(buffer) = packet;
        let free = match buffer.bytes.len() {
            SMALL => &mut self.small,
            LARGE => &mut self.large,
            _ => return,
        };
        free.push(buffer);
        if free.len() > CACHE_MAX {
            self.spill();
        }
    }

    #[cold]
    fn refill(&mut self, size: usize) -> Option<Box<Block>> {
        let class = size_class(size);
        let mine = match class {
            SMALL => &mut self.small,
            LARGE => &mut self.large,
            _ => return self.pool.allocate(class),
        };
        self.pool.free().hand_out(class, mine);
        mine.pop().or_else(|| self.pool.allocate(class))
    }

    #[cold]
    fn spill(&mut self) {
        for (class, mine) in [(SMALL, &mut self.small), (LARGE, &mut self.large)] {
            if mine.len() > CACHE_MAX {
                self.pool.free().take_back(class, mine);
                // What the pool has no use for goes back to the allocator, here, with the lock released.
                mine.truncate(CACHE_MAX);
            }
        }
    }
}

impl fmt::Debug for PoolCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolCache").field("small", &self.small.len()).field("large", &self.large.len()).finish()
    }
}

/// The size of the block for `size` bytes: one of the two classes, or exact when larger than both.
const fn size_class(size: usize) -> usize {
    if size <= SMALL {
        SMALL
    } else if size <= LARGE {
        LARGE
    } else {
        size
    }
}

/// How many free blocks of one size a cache keeps.
const CACHE_MAX: usize = 128;
/// How many move between a cache and its pool at once.
const BATCH: usize = 64;
/// How many free blocks of one size the pool keeps for other caches; what exceeds it goes back to the allocator.
const SHARED_MAX: usize = 4096;

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

    /// RXPATH section 6: a small packet is charged 832 bytes.
    #[test]
    fn a_packet_is_charged_for_its_whole_block() {
        let mut cache = Pool::new(1 << 20).cache();
        let truesize = |cache: &mut PoolCache, n| cache.alloc(64, n).unwrap().truesize();
        assert_eq!(truesize(&mut cache, 1), 832);
        assert_eq!(truesize(&mut cache, 1500), LARGE + 576);
        assert_eq!(truesize(&mut cache, 9000), 9064 + 576);
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
        assert_eq!(pool.bytes_in_use(), 2 * SMALL + 5000);
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
        assert!(pool.bytes_in_use() <= LARGE * (CACHE_MAX + 2 * BATCH + 1), "{pool:?}");
    }

    #[test]
    fn a_block_is_small_to_move() {
        assert_eq!(size_of::<PacketBuf>(), size_of::<usize>());
        assert_eq!(size_of::<Option<PacketBuf>>(), size_of::<PacketBuf>());
    }
}
