//! Where buffers come from: one bound for all that exist, and free blocks that are used again.
//!
//! The pool hands buffers out through a [`PoolCache`] per shard, which works without atomics and trades with the shared [`Pool`] in
//! batches. The pool keeps what is free in a *store* for each CPU, so that a buffer mostly stays in the cache of the processor
//! that has used it last: who sends to a host finds there what the CPU of the same number on that host has freed.

use super::account::Account;
use super::buf::{Block, LARGE, PacketBuf, SMALL};
use super::text::{Frag, Text};
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// A bound on the bytes of all buffers, and free lists of each class. Clones are the same pool.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Shared>);

struct Shared {
    account: Arc<Account>,
    /// There since a cache has asked for it.
    stores: [OnceLock<Store>; STORES],
}

/// Free blocks, near to one CPU. Aligned, so that two of them have no cache line in common.
#[derive(Default)]
#[repr(align(128))]
struct Store(Mutex<FreeLists>);

/// How many there are; CPUs beyond share them.
const STORES: usize = 16;

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

/// How many free blocks of a class a cache keeps, how many move between it and its pool at once, and how many a store keeps
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
        Pool(Arc::new(Shared { account, stores: Default::default() }))
    }

    /// A new, empty cache in front of this pool.
    pub(crate) fn cache(&self) -> PoolCache {
        self.cache_of(0)
    }

    /// The same for the shard of a CPU.
    pub(crate) fn cache_of(&self, cpu: usize) -> PoolCache {
        let store = cpu % STORES;
        self.0.stores[store].get_or_init(Store::default);
        PoolCache { pool: self.clone(), free: FreeLists::default(), store }
    }

    /// The bytes of all buffers that exist, those in free lists included.
    pub(crate) fn bytes_in_use(&self) -> usize {
        self.0.account.in_use()
    }

    /// The bound on [`bytes_in_use`](Pool::bytes_in_use).
    pub(crate) fn max_bytes(&self) -> usize {
        self.0.account.max_bytes()
    }

    fn store(&self, index: usize) -> MutexGuard<'_, FreeLists> {
        let Store(free) = self.0.stores[index].get_or_init(Store::default);
        free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that there are, the nearest one first.
    fn stores_from(&self, nearest: usize) -> impl Iterator<Item = MutexGuard<'_, FreeLists>> {
        let stores = (0..STORES).filter_map(move |step| self.0.stores[(nearest + step) % STORES].get());
        stores.map(|Store(free)| free.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Charges `size` bytes; when the bound is reached, free blocks of other sizes make room.
    fn charge(&self, size: usize) -> bool {
        let account = &self.0.account;
        account.charge(size) || {
            self.stores_from(0).for_each(|mut free| drop(mem::take(&mut *free)));
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
    /// Where it trades.
    store: usize,
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
            let left = spill(mine, &mut self.pool.store(self.store).blocks[class], &STOCKS[class]);
            drop(left);
        }
    }

    /// A block for text of `wanted` bytes, or of as many as one holds. The caller has a bound of its own: the pool's does not
    /// apply.
    pub(crate) fn alloc_text(&mut self, wanted: usize) -> Frag {
        let class = class_of(wanted).unwrap_or(TEXT_CLASSES).min(TEXT_CLASSES - 1);
        let mine = &mut self.free.texts[class];
        if mine.is_empty() {
            let mut stores = self.pool.stores_from(self.store);
            let _found = stores.any(|mut free| refill(mine, &mut free.texts[class], &STOCKS[class]));
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
            let left = spill(mine, &mut self.pool.store(self.store).texts[class], &STOCKS[class]);
            drop(left);
        }
    }

    /// Hands everything back to the pool, for a cache that was only needed for a moment.
    pub(crate) fn give_back(mut self) {
        {
            let mut shared = self.pool.store(self.store);
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
        let mut stores = self.pool.stores_from(self.store);
        let _found = stores.any(|mut free| refill(mine, &mut free.blocks[class], &STOCKS[class]));
        mine.pop().or_else(|| self.pool.allocate(CLASSES[class]))
    }
}

/// What a packet needs a pool for.
impl PacketBuf {
    /// A packet with these bytes and no headroom, or `None` when the pool's bound is reached.
    pub(crate) fn from_bytes(pool: &Pool, bytes: &[u8]) -> Option<PacketBuf> {
        let mut packet = pool.cache().alloc(0, bytes.len())?;
        packet.put(bytes.len()).copy_from_slice(bytes);
        Some(packet)
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
}

/// A copy of `packet` with the same headroom, or `None` when the pool's bound is reached.
#[cfg(any(test, fuzzing))]
pub(crate) fn copy(packet: &PacketBuf, pool: &Pool) -> Option<PacketBuf> {
    let mut copy = pool.cache().alloc(packet.headroom(), packet.len())?;
    packet.copy_to(copy.put(packet.len()));
    copy.rx = packet.rx;
    Some(copy)
}

/// Takes a batch out of a store; says whether there was anything.
#[cold]
fn refill<T>(mine: &mut Vec<T>, shared: &mut Vec<T>, stock: &Stock) -> bool {
    mine.extend(shared.drain(shared.len().saturating_sub(stock.batch)..));
    !mine.is_empty()
}

/// Gives a store a batch, as far as it has use for it; what is left beyond the cache's own bound is returned, to be dropped
/// when the store's lock is not held.
#[cold]
fn spill<T>(mine: &mut Vec<T>, shared: &mut Vec<T>, stock: &Stock) -> Vec<T> {
    let n = stock.shared_max.saturating_sub(shared.len()).min(stock.batch).min(mine.len());
    shared.extend(mine.drain(mine.len() - n..));
    mine.split_off(stock.cache_max.min(mine.len()))
}

/// Gives a store all, as far as it has use for it.
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
    fn the_last_reference_gives_the_block_of_text_back() {
        let mut cache = Pool::new(1 << 20).cache();
        let mut text = cache.alloc_text(20);
        text.append(b"the quick brown fox");
        let mut packet = cache.alloc(8, 0).unwrap();
        packet.add_frag(text.part(4, 6));
        let before = cache.free.texts[0].len();
        cache.free_text(text);
        assert_eq!(cache.free.texts[0].len(), before, "the packet still refers to it");
        cache.free(packet);
        assert_eq!(cache.free.texts[0].len(), before + 1);
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
    fn blocks_move_between_caches_through_the_pool() {
        let pool = Pool::new(1 << 24);
        let (mut sender, mut receiver) = (pool.cache(), pool.cache());
        for _ in 0..10_000 {
            let packet = sender.alloc(0, 1000).unwrap();
            receiver.free(packet);
        }
        assert!(pool.bytes_in_use() <= LARGE * (STOCKS[1].cache_max + 2 * STOCKS[1].batch + 1), "{pool:?}");
    }
}
