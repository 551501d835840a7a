//! Putting fragments together (RFC 791 3.2, RFC 8200 4.5), with bounds on everything that a sender could make grow.
//!
//! The rules are Linux's. A piece that is there already is dropped; one that overlaps another ends the whole packet
//! (RFC 5722, and for IPv4 alike), as does one that contradicts what is known of the packet's end. A packet that is not
//! whole in time is given up. Memory is bounded: above the high threshold the oldest packets go until the low one is
//! reached (the evictor of older kernels; newer ones take nothing more in until time has made room, so that a flood would
//! shut out everybody). One source may have so many packets unfinished; then its oldest goes.
//!
//! A pure structure over offsets: it knows no header but what its user tells it, and sends nothing.

use crate::packet::{PacketBuf, PoolCache};
use crate::wire::checksum::Sum;
use ahash::RandomState;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// Which packet a piece is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) ident: u32,
    /// Of IPv6 not part of the key, and 0.
    pub(crate) protocol: u8,
}

/// One piece, pulled to its data.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) packet: PacketBuf,
    /// Where its data belongs, in bytes.
    pub(crate) offset: usize,
    /// Whether others follow.
    pub(crate) more: bool,
    /// How many bytes of headers were pulled off it; they stand in front of its data still.
    pub(crate) header_len: usize,
    /// The two bits of ECN.
    pub(crate) ecn: u8,
}

/// What became of a piece.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It waits for the others.
    Waits,
    /// It was there already, and is returned.
    Duplicate(PacketBuf),
    /// It has ended its packet, all of whose pieces are returned, and why.
    Ended(Vec<PacketBuf>, Fault),
    /// The packet is whole.
    Whole(Whole),
}

/// Why a packet cannot be put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Overlap,
    /// Its pieces do not agree on its end, or one is empty.
    Contradiction,
    TooLong,
    /// RFC 3168 5.3: congestion was experienced by a packet that cannot say so.
    Ecn,
}

/// A packet's pieces, in order and without gaps.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) pieces: Vec<Piece>,
    /// The length of all data.
    pub(crate) len: usize,
    /// RFC 3168 5.3: whether any piece has experienced congestion.
    pub(crate) congested: bool,
}

/// A packet that was given up: its first piece, if that is there, and the others.
#[derive(Debug)]
pub(crate) struct Expired {
    pub(crate) key: Key,
    pub(crate) first: Option<Piece>,
    pub(crate) rest: Vec<PacketBuf>,
}

#[derive(Debug)]
struct Queue {
    /// Sorted by offset.
    pieces: Vec<Piece>,
    /// The end of the data, once the last piece is there; before, the furthest end so far.
    end: usize,
    has_last: bool,
    received: usize,
    truesize: usize,
    /// Bit `n` is set when a piece has had the ECN bits `n`.
    ecn_seen: u8,
    generation: u32,
    created_at: Instant,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Reassembly {
    queues: HashMap<Key, Queue, RandomState>,
    /// Each family's packets in the order in which they began, which is that in which they end.
    order: [VecDeque<(Key, u32, Instant)>; 2],
    by_source: HashMap<IpAddr, VecDeque<Key>, RandomState>,
    truesize: usize,
    next_generation: u32,
}

/// `ipfrag_high_thresh`
const HIGH_THRESH: usize = 4 << 20;
/// `ipfrag_low_thresh`
const LOW_THRESH: usize = 3 << 20;
/// How many packets of one source may be unfinished (`ipfrag_max_dist`, in spirit).
const PER_SOURCE_MAX: usize = 64;
/// `ipfrag_time`
const TIME_V4: Duration = Duration::from_secs(30);
/// `ip6frag_time`
const TIME_V6: Duration = Duration::from_secs(60);
/// The most data that the length field of a header can count, with the smallest header.
const DATA_MAX: usize = 65_535;
/// A packet of 64 KiB in the smallest pieces of eight bytes would have more.
const PIECES_MAX: usize = 2048;

impl Reassembly {
    /// Nothing to put together.
    pub(crate) fn new([a, b, c, d]: [u64; 4]) -> Reassembly {
        let hasher = RandomState::with_seeds(b, a, d, c);
        Reassembly {
            queues: HashMap::with_hasher(hasher.clone()),
            order: [VecDeque::new(), VecDeque::new()],
            by_source: HashMap::with_hasher(hasher),
            truesize: 0,
            next_generation: 0,
        }
    }

    /// Adds a piece. Packets that had to make room for it join `evicted`.
    pub(crate) fn add(&mut self, key: Key, piece: Piece, now: Instant, evicted: &mut Vec<Expired>) -> Outcome {
        if !self.queues.contains_key(&key) {
            self.begin(key, now, evicted);
        }
        let Some(queue) = self.queues.get_mut(&key) else { return Outcome::Duplicate(piece.packet) };
        let size = piece.packet.truesize();
        match queue.insert(piece) {
            Ok(()) => {
                queue.truesize += size;
                self.truesize += size;
            }
            Err(Refusal::Duplicate(packet)) => return Outcome::Duplicate(packet),
            Err(Refusal::Fatal(packet, fault)) => {
                let mut pieces = self.remove(&key).map(|queue| into_packets(queue.pieces)).unwrap_or_default();
                pieces.push(packet);
                return Outcome::Ended(pieces, fault);
            }
        }
        if queue.is_whole() {
            let Some(queue) = self.remove(&key) else { return Outcome::Waits };
            const CE: u8 = 3;
            let congested = queue.ecn_seen & 1 << CE != 0;
            return Outcome::Whole(Whole { len: queue.end, pieces: queue.pieces, congested });
        }
        self.make_room(&key, evicted);
        Outcome::Waits
    }

    /// When the next packet's time is over.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Instant {
        let [v4, v6] = &self.order;
        if v4.len() | v6.len() == 0 {
            return Instant::FAR_FUTURE;
        }
        self.order.iter().filter_map(|order| order.front().map(|&(_, _, at)| at)).min().unwrap_or(Instant::FAR_FUTURE)
    }

    /// A packet whose time is over.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<Expired> {
        for family in 0..self.order.len() {
            while let Some(&(key, generation, at)) = self.order[family].front() {
                let lives = self.queues.get(&key).is_some_and(|queue| queue.generation == generation);
                if lives && at > now {
                    break;
                }
                self.order[family].pop_front();
                if lives {
                    return self.give_up(&key);
                }
            }
        }
        None
    }

    /// What all pieces are charged.
    #[cfg(test)]
    pub(crate) fn truesize(&self) -> usize {
        self.truesize
    }

    fn begin(&mut self, key: Key, now: Instant, evicted: &mut Vec<Expired>) {
        let mine = self.by_source.entry(key.src).or_default();
        mine.push_back(key);
        if mine.len() > PER_SOURCE_MAX
            && let Some(oldest) = mine.front().copied()
        {
            evicted.extend(self.give_up(&oldest));
        }
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let (family, time) = if key.src.is_ipv4() { (0, TIME_V4) } else { (1, TIME_V6) };
        self.order[family].push_back((key, generation, now.saturating_add(time)));
        let queue = Queue {
            pieces: Vec::new(),
            end: 0,
            has_last: false,
            received: 0,
            truesize: 0,
            ecn_seen: 0,
            generation,
            created_at: now,
        };
        self.queues.insert(key, queue);
        // What has ended long since is not kept for its turn.
        let stale = self.order[family].len() > 4 * (self.queues.len() + PER_SOURCE_MAX);
        if stale {
            let queues = &self.queues;
            self.order[family]
                .retain(|(key, generation, _)| queues.get(key).is_some_and(|queue| queue.generation == *generation));
        }
    }

    fn make_room(&mut self, keep: &Key, evicted: &mut Vec<Expired>) {
        if self.truesize <= HIGH_THRESH {
            return;
        }
        while self.truesize > LOW_THRESH {
            let Some(oldest) = self.oldest_but(keep) else { break };
            evicted.extend(self.give_up(&oldest));
        }
    }

    /// The packet that began first, of either family.
    fn oldest_but(&self, keep: &Key) -> Option<Key> {
        let mut oldest: Option<(Instant, Key)> = None;
        for order in &self.order {
            let mut live = order.iter().filter(|(key, ..)| key != keep);
            let found = live.find_map(|(key, generation, _)| {
                let queue = self.queues.get(key).filter(|queue| queue.generation == *generation)?;
                Some((queue.created_at, *key))
            });
            if let Some((at, key)) = found
                && oldest.is_none_or(|(best, _)| at < best)
            {
                oldest = Some((at, key));
            }
        }
        oldest.map(|(_, key)| key)
    }

    fn give_up(&mut self, key: &Key) -> Option<Expired> {
        let mut pieces = self.remove(key)?.pieces;
        let has_first = pieces.first().is_some_and(|piece| piece.offset == 0);
        let first = has_first.then(|| pieces.remove(0));
        Some(Expired { key: *key, first, rest: into_packets(pieces) })
    }

    fn remove(&mut self, key: &Key) -> Option<Queue> {
        let queue = self.queues.remove(key)?;
        self.truesize -= queue.truesize;
        if let Some(mine) = self.by_source.get_mut(&key.src) {
            mine.retain(|other| other != key);
            if mine.is_empty() {
                self.by_source.remove(&key.src);
            }
        }
        // What has ended does not stand first, so that no deadline is left behind.
        let order = &mut self.order[usize::from(key.src.is_ipv6())];
        while let Some((key, generation, _)) = order.front() {
            if self.queues.get(key).is_some_and(|queue| queue.generation == *generation) {
                break;
            }
            order.pop_front();
        }
        Some(queue)
    }
}

enum Refusal {
    Duplicate(PacketBuf),
    Fatal(PacketBuf, Fault),
}

impl Queue {
    /// `ip_frag_queue` and `inet_frag_queue_insert`.
    fn insert(&mut self, piece: Piece) -> Result<(), Refusal> {
        let (offset, len) = (piece.offset, piece.packet.len());
        let end = offset + len;
        let fatal = |piece: Piece, fault| Err(Refusal::Fatal(piece.packet, fault));
        if end > DATA_MAX || self.pieces.len() >= PIECES_MAX {
            return fatal(piece, Fault::TooLong);
        }
        let contradicts = match piece.more {
            // The last piece ends the data: nothing lies behind it, and there is only one end.
            false => end < self.end || (self.has_last && end != self.end),
            true => self.has_last && end > self.end,
        };
        if contradicts || len == 0 {
            return fatal(piece, Fault::Contradiction);
        }
        let at = self.pieces.partition_point(|other| other.offset < offset);
        let before = at.checked_sub(1).and_then(|before| self.pieces.get(before));
        let touching = before.into_iter().chain(self.pieces.get(at));
        for other in touching {
            let other_end = other.offset + other.packet.len();
            if offset >= other.offset && end <= other_end {
                return Err(Refusal::Duplicate(piece.packet));
            }
            if offset < other_end && other.offset < end {
                return fatal(piece, Fault::Overlap);
            }
        }
        let ecn_seen = self.ecn_seen | 1 << (piece.ecn & 3);
        const NOT_ECT_AND_CE: u8 = 0b1001;
        if ecn_seen & NOT_ECT_AND_CE == NOT_ECT_AND_CE {
            return fatal(piece, Fault::Ecn);
        }
        self.ecn_seen = ecn_seen;
        self.has_last |= !piece.more;
        self.end = self.end.max(end);
        self.received += len;
        self.pieces.insert(at, piece);
        Ok(())
    }

    /// Without overlaps, all that has arrived is all that there is.
    fn is_whole(&self) -> bool {
        self.has_last && self.received == self.end
    }
}

fn into_packets(pieces: Vec<Piece>) -> Vec<PacketBuf> {
    pieces.into_iter().map(|piece| piece.packet).collect()
}

/// Copies a whole packet into one block: `headroom`, the headers of its first piece, its data. The pieces go back to the
/// pool. `None` when that is dry. Where the device gave the sum of each piece, the packet has that of its data.
pub(crate) fn join(whole: Whole, headroom: usize, pool: &mut PoolCache) -> Option<PacketBuf> {
    let header_len = whole.pieces.first()?.header_len;
    let sum = whole.pieces.iter().try_fold(Sum::default(), |mut sum, piece| {
        sum.add(&piece.packet.device_sum()?);
        sum.subtract(piece.header());
        Some(sum)
    });
    let joined = pool.alloc(headroom, header_len + whole.len).map(|mut joined| {
        for (n, piece) in whole.pieces.iter().enumerate() {
            if n == 0 {
                joined.put(header_len).copy_from_slice(piece.header());
            }
            joined.put(piece.packet.len()).copy_from_slice(piece.packet.data());
        }
        joined.rx.rx_queue = whole.pieces[0].packet.rx.rx_queue;
        if let Some(sum) = sum {
            joined.set_device_sum(sum.folded());
        }
        joined
    });
    whole.pieces.into_iter().for_each(|piece| pool.free(piece.packet));
    joined
}

impl Piece {
    /// The headers that were pulled off.
    pub(crate) fn header(&self) -> &[u8] {
        self.packet.pulled(self.header_len)
    }
}

#[cfg(test)]
mod tests;
