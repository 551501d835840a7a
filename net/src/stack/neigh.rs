//! The neighbour table: link addresses of the hosts next door, and packets that wait for one (RFC 826, RFC 4861, and
//! the states of Linux's `neighbour`).
//!
//! ```text
//!            start            learn: Solicited
//!   (none) --------> INCOMPLETE ----------------> REACHABLE <-----------+
//!     |                 |  on_timer: nobody           | 30 s pass       | learn: Solicited
//!     |                 v  answers, 3 times           v                 |
//!     |              (none)                        STALE --------+      |
//!     |                 ^                             ^          | resolve
//!     |                 | on_timer: 3 times           |          v      |
//!     |               PROBE <------------------------ | ------ DELAY ---+ or confirm
//!     |                      on_timer: 5 s pass       |
//!     +-----------------------------------------------+
//!          learn: Unsolicited, with `create`
//! ```
//!
//! An address that was confirmed less than 30 s ago is used as it is. An older one is used, too, but asked about once it
//! is: first by waiting 5 s, then with unicast requests; a transport whose packets are acknowledged in the meantime ends
//! the doubt ([`confirm`](Neighbours::confirm)). NUD_FAILED has no entry: the next packet asks again at once, as in Linux.
//!
//! What others say is held against what is known: [`learn`](Neighbours::learn) has the rules. Entries that only others
//! have made never push out one that is in use.

use crate::packet::PacketBuf;
use crate::stack::neighbour::{Neighbour, State, Word, WordKind};
use crate::stack::timers::TimerHeap;
use crate::wire::ethernet::MacAddr;
use ahash::RandomState;
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Neighbours {
    entries: Slab<Neighbour>,
    by_addr: HashMap<IpAddr, u32, RandomState>,
    timers: TimerHeap,
    thresholds: GcThresholds,
    /// When the table was last cleared down to its second threshold.
    last_flush: Option<Instant>,
    queue_max_bytes: usize,
    /// Where the search for an entry to evict goes on.
    hand: usize,
    /// Packets that waited in an entry that had to make room.
    evicted: Vec<PacketBuf>,
    /// The last address that was looked up and stands fast, and until when.
    last: Option<(IpAddr, MacAddr, Instant)>,
    /// Another number whenever what was found before may have another answer.
    version: u64,
}

/// How many neighbours of both families there are before some are thrown away (`net.ipv4.neigh.default`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GcThresholds {
    /// `gc_thresh1`: below so many entries none goes for being old.
    pub(crate) keep: usize,
    /// `gc_thresh2`: with more, those go every five seconds of whom nothing was heard for as long.
    pub(crate) soft: usize,
    /// `gc_thresh3`: there are never more.
    pub(crate) max: usize,
}

impl Default for GcThresholds {
    fn default() -> GcThresholds {
        GcThresholds { keep: 128, soft: 512, max: 1024 }
    }
}

/// What to do with a packet.
#[must_use]
#[derive(Debug)]
pub(crate) enum Resolution {
    /// Send it there.
    Known(MacAddr, PacketBuf),
    /// It waits; ask, if `ask` is set. Packets that had to make room for it are lost.
    Queued { ask: bool, displaced: Vec<PacketBuf> },
    /// The table is full of neighbours that are being asked.
    Full(PacketBuf),
}

/// What is due when time has passed.
#[must_use]
#[derive(Debug)]
pub(crate) enum Due {
    /// Ask everybody for this address.
    Ask(IpAddr),
    /// Ask this host whether it still has the address.
    Probe(IpAddr, MacAddr),
    /// Nobody answered; these packets are lost.
    Failed(VecDeque<PacketBuf>),
}

/// `base_reachable_time`; Linux spreads it, which matters where many hosts would ask at once.
const REACHABLE: Duration = Duration::from_secs(30);
/// `delay_first_probe_time`
const DELAY: Duration = Duration::from_secs(5);
/// `retrans_time`
const RETRANS: Duration = Duration::from_secs(1);
/// `mcast_solicit`, `ucast_solicit`
const SOLICITS: u8 = 3;
/// How long a neighbour is waited for before its entry may go to another: many times what an answer takes on a LAN.
const ANSWER_TIME: Duration = Duration::from_millis(10);
/// `locktime`: for so long a link address stands against another one that ARP tells.
pub(crate) const LOCKTIME: Duration = Duration::from_secs(1);
/// How long an entry was not told anew that is thrown away beyond `gc_thresh2`, and the time between two such clearances.
const FLUSH_TIME: Duration = Duration::from_secs(5);
/// `gc_stale_time`
const GC_STALE: Duration = Duration::from_secs(60);

impl Neighbours {
    /// An empty table, each of whose entries holds waiting packets of at most `queue_max_bytes` of `truesize`.
    pub(crate) fn new(thresholds: GcThresholds, queue_max_bytes: usize, [a, b, c, d]: [u64; 4]) -> Neighbours {
        Neighbours {
            entries: Slab::new(),
            by_addr: HashMap::with_hasher(RandomState::with_seeds(a, b, c, d)),
            timers: TimerHeap::new(),
            thresholds,
            last_flush: None,
            queue_max_bytes,
            hand: 0,
            evicted: Vec::new(),
            last: None,
            version: 0,
        }
    }

    /// Another number after every change that is not the passing of time.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Where packets to `addr` are sent without a second thought, and until when.
    pub(crate) fn known(&self, addr: IpAddr, now: Instant) -> Option<(MacAddr, Instant)> {
        let &index = self.by_addr.get(&addr)?;
        match self.entries[index as usize].state {
            // A doubt is ended by a timer, and by what is heard.
            State::Permanent { mac } | State::Delay { mac } | State::Probe { mac, .. } => {
                Some((mac, Instant::FAR_FUTURE))
            }
            State::Reachable { mac, until } if now < until => Some((mac, until)),
            State::Reachable { .. } | State::Stale { .. } | State::Incomplete { .. } => None,
        }
    }

    /// What was found before may have another answer now.
    fn is_changed(&mut self) {
        self.last = None;
        self.version += 1;
    }

    /// Finds the link address for `packet`, or keeps it until there is one.
    #[inline]
    pub(crate) fn resolve(&mut self, addr: IpAddr, packet: PacketBuf, now: Instant) -> Resolution {
        match self.last {
            Some((last, mac, until)) if last == addr && now < until => Resolution::Known(mac, packet),
            _ => self.resolve_slowly(addr, packet, now),
        }
    }

    fn resolve_slowly(&mut self, addr: IpAddr, packet: PacketBuf, now: Instant) -> Resolution {
        let Some(&index) = self.by_addr.get(&addr) else { return self.start(addr, packet, now) };
        let entry = &mut self.entries[index as usize];
        match entry.state {
            State::Permanent { mac } => {
                self.last = Some((addr, mac, Instant::FAR_FUTURE));
                Resolution::Known(mac, packet)
            }
            State::Reachable { mac, until } if now < until => {
                self.last = Some((addr, mac, until));
                Resolution::Known(mac, packet)
            }
            State::Reachable { mac, .. } | State::Stale { mac } => {
                entry.state = State::Delay { mac };
                entry.timer_at = now.saturating_add(DELAY);
                self.timers.arm(index, entry.timer_at);
                Resolution::Known(mac, packet)
            }
            State::Delay { mac } | State::Probe { mac, .. } => {
                self.last = Some((addr, mac, Instant::FAR_FUTURE));
                Resolution::Known(mac, packet)
            }
            State::Incomplete { .. } => {
                Resolution::Queued { ask: false, displaced: entry.hold(packet, self.queue_max_bytes) }
            }
        }
    }

    fn start(&mut self, addr: IpAddr, packet: PacketBuf, now: Instant) -> Resolution {
        let timer_at = now.saturating_add(RETRANS);
        let state = State::Incomplete { asked: 1 };
        let entry = Neighbour::new(addr, state, timer_at, now);
        let Some(index) = self.insert(entry, true, now) else { return Resolution::Full(packet) };
        let mut displaced = self.entries[index as usize].hold(packet, self.queue_max_bytes);
        displaced.append(&mut self.evicted);
        self.timers.arm(index, timer_at);
        Resolution::Queued { ask: true, displaced }
    }

    /// `neigh_update`: what the protocol says of `addr`. Returns the packets that waited for it.
    ///
    /// An answer to our question confirms. A word that nobody asked for confirms nothing: it is remembered as STALE, and
    /// leaves alone an entry that says the same. Another link address than the known one needs the right to override;
    /// without it the entry keeps its own and is only doubted (RFC 4861 7.2.5).
    pub(crate) fn learn(&mut self, addr: IpAddr, word: Word, now: Instant) -> VecDeque<PacketBuf> {
        let Word { mac, kind, may_override, create } = word;
        let Some(&index) = self.by_addr.get(&addr) else {
            if create {
                let (state, timer_at) = (State::Stale { mac }, Instant::FAR_FUTURE);
                self.insert(Neighbour::new(addr, state, timer_at, now), false, now);
            }
            return VecDeque::new();
        };
        let entry = &mut self.entries[index as usize];
        let next = match (entry.state, kind) {
            (State::Permanent { .. }, _) => return VecDeque::new(),
            (state, _) if state.mac().is_some_and(|known| known != mac) && !may_override => {
                // NEIGH_UPDATE_F_WEAK_OVERRIDE
                let State::Reachable { mac, .. } = state else { return VecDeque::new() };
                State::Stale { mac }
            }
            (_, WordKind::Solicited) => State::Reachable { mac, until: now.saturating_add(REACHABLE) },
            (state, WordKind::Unsolicited) if state.mac() == Some(mac) => return VecDeque::new(),
            (_, WordKind::Unsolicited) => State::Stale { mac },
        };
        if entry.state.mac() != next.mac() {
            entry.updated_at = now;
        }
        (entry.state, entry.timer_at) = (next, Instant::FAR_FUTURE);
        self.timers.disarm(index);
        self.is_changed();
        let waiting = self.entries[index as usize].take_held();
        if matches!(next, State::Stale { .. }) && !waiting.is_empty() {
            // It is used at once.
            self.entries[index as usize].state = State::Delay { mac };
            self.entries[index as usize].timer_at = now.saturating_add(DELAY);
            self.timers.arm(index, now.saturating_add(DELAY));
        }
        waiting
    }

    /// Packets that are lost because the entry in which they waited had to make room.
    #[inline]
    pub(crate) fn take_evicted(&mut self) -> Vec<PacketBuf> {
        std::mem::take(&mut self.evicted)
    }

    /// Whether any neighbour is being asked, or will be.
    #[inline]
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.timers.next_deadline() != Instant::FAR_FUTURE
    }

    /// `neigh_confirm`: packets reach `addr` where it is believed to be. That ends a doubt; it is no answer to a question.
    pub(crate) fn confirm(&mut self, addr: IpAddr, now: Instant) {
        let Some(&index) = self.by_addr.get(&addr) else { return };
        let entry = &mut self.entries[index as usize];
        if let State::Delay { mac } | State::Probe { mac, .. } = entry.state {
            entry.state = State::Reachable { mac, until: now.saturating_add(REACHABLE) };
            entry.timer_at = Instant::FAR_FUTURE;
            self.timers.disarm(index);
            self.is_changed();
        }
    }

    /// When the link address of `addr` was last told, if it is known.
    pub(crate) fn updated_at(&self, addr: IpAddr) -> Option<Instant> {
        self.by_addr.get(&addr).map(|&index| self.entries[index as usize].updated_at)
    }

    /// `addr` is at `mac` for good. Returns the packets that waited for it.
    pub(crate) fn add_permanent(&mut self, addr: IpAddr, mac: MacAddr, now: Instant) -> VecDeque<PacketBuf> {
        let word = Word { mac, kind: WordKind::Solicited, may_override: true, create: true };
        let waiting = self.learn(addr, word, now);
        if let Some(&index) = self.by_addr.get(&addr) {
            self.entries[index as usize].state = State::Permanent { mac };
            self.timers.disarm(index);
            self.is_changed();
        }
        waiting
    }

    /// When [`on_timer`](Self::on_timer) wants to be called.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Instant {
        self.timers.next_deadline()
    }

    /// One thing that is due.
    pub(crate) fn on_timer(&mut self, now: Instant) -> Option<Due> {
        while let Some(index) = self.timers.pop_due(now) {
            let Some(entry) = self.entries.get_mut(index as usize) else { continue };
            if entry.timer_at > now {
                self.timers.arm(index, entry.timer_at);
                continue;
            }
            let (next, due) = match entry.state {
                State::Incomplete { asked } if asked < SOLICITS => {
                    (State::Incomplete { asked: asked + 1 }, Due::Ask(entry.addr))
                }
                State::Delay { mac } => (State::Probe { mac, asked: 1 }, Due::Probe(entry.addr, mac)),
                State::Probe { mac, asked } if asked < SOLICITS => {
                    (State::Probe { mac, asked: asked + 1 }, Due::Probe(entry.addr, mac))
                }
                State::Incomplete { .. } | State::Probe { .. } => {
                    return Some(Due::Failed(self.remove(index)));
                }
                State::Reachable { .. } | State::Stale { .. } | State::Permanent { .. } => continue,
            };
            entry.state = next;
            entry.timer_at = now.saturating_add(RETRANS);
            self.timers.arm(index, entry.timer_at);
            return Some(due);
        }
        None
    }

    /// How many neighbours are known or asked for.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What is known of `addr`, by the kernel's name.
    #[cfg(test)]
    pub(crate) fn state_of(&self, addr: IpAddr) -> Option<&'static str> {
        let &index = self.by_addr.get(&addr)?;
        Some(match self.entries[index as usize].state {
            State::Incomplete { .. } => "INCOMPLETE",
            State::Reachable { .. } => "REACHABLE",
            State::Stale { .. } => "STALE",
            State::Delay { .. } => "DELAY",
            State::Probe { .. } => "PROBE",
            State::Permanent { .. } => "PERMANENT",
        })
    }

    /// Adds an entry. `wanted` says that this host wants to send there, rather than that somebody says to be there.
    fn insert(&mut self, entry: Neighbour, wanted: bool, now: Instant) -> Option<u32> {
        if self.entries.len() >= self.thresholds.keep {
            self.collect(now);
        }
        let may_flush = self.last_flush.is_none_or(|last| now > last.saturating_add(FLUSH_TIME));
        if self.entries.len() >= self.thresholds.soft && may_flush {
            self.flush(now);
        }
        if self.entries.len() >= self.thresholds.max && !self.evict(wanted, now) {
            return None;
        }
        let addr = entry.addr;
        let index = self.entries.insert(entry) as u32;
        self.by_addr.insert(addr, index);
        Some(index)
    }

    /// `neigh_periodic_work`, a little of it whenever the table grows: entries that nobody has used for a minute go. As
    /// the table is asked about a packet before anything else, whoever is in use is not STALE for long.
    fn collect(&mut self, now: Instant) {
        for _ in 0..8 {
            let old = self.next_place().filter(|&place| {
                let entry = &self.entries[place];
                entry.state.is_stale(now) && now >= entry.updated_at.saturating_add(GC_STALE)
            });
            if let Some(place) = old {
                drop(self.remove(place as u32));
            }
        }
    }

    /// `neigh_forced_gc`: clears the table down to its second threshold, as far as there are neighbours that nobody uses and
    /// that nothing was heard of for a while. Linux spares whoever a route or a socket holds on to; here it is whoever was
    /// confirmed, or is being asked. Once in a while, so it may look at every place.
    fn flush(&mut self, now: Instant) {
        self.last_flush = Some(now);
        for place in 0..self.entries.capacity() {
            if self.entries.len() <= self.thresholds.soft {
                return;
            }
            let is_old =
                |entry: &Neighbour| entry.state.is_stale(now) && now > entry.updated_at.saturating_add(FLUSH_TIME);
            if self.entries.get(place).is_some_and(is_old) {
                drop(self.remove(place as u32));
            }
        }
    }

    /// Makes room: the next entry round the table that nobody has confirmed, or else one that is asked for and has not
    /// answered. Somebody who says to be there is worth more than that; what is only wanted waits until the other had time to
    /// answer, so that questions do not push each other out. Those that are known only go where nobody is asked for: a flood
    /// from addresses that nobody has costs none of them its place (Linux: `neigh_forced_gc`, which spares the asked as
    /// well, so that its table is full then). A bounded search.
    fn evict(&mut self, wanted: bool, now: Instant) -> bool {
        let (mut known, mut asked, mut anybody_asked) = (None, None, false);
        for _ in 0..64 {
            let Some(place) = self.next_place() else { continue };
            let entry = &self.entries[place];
            match entry.state {
                state if state.is_stale(now) => {
                    drop(self.remove(place as u32));
                    return true;
                }
                State::Incomplete { .. } => {
                    anybody_asked = true;
                    if !wanted || now >= entry.updated_at.saturating_add(ANSWER_TIME) {
                        asked = Some(place);
                    }
                }
                State::Permanent { .. } => {}
                _ => known = Some(place),
            }
        }
        let Some(place) = asked.or(known.filter(|_| wanted && !anybody_asked)) else { return false };
        let waiting = self.remove(place as u32);
        self.evicted.extend(waiting);
        true
    }

    /// Moves the hand to the next place of the table; `None` where that is empty.
    fn next_place(&mut self) -> Option<usize> {
        self.hand = (self.hand + 1) % self.entries.capacity().max(1);
        self.entries.contains(self.hand).then_some(self.hand)
    }

    fn remove(&mut self, index: u32) -> VecDeque<PacketBuf> {
        let entry = self.entries.remove(index as usize);
        self.by_addr.remove(&entry.addr);
        self.timers.disarm(index);
        self.is_changed();
        entry.queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Pool;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
    const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x66]);

    const ANSWER: Word = Word { mac: MAC, kind: WordKind::Solicited, may_override: true, create: false };
    const QUESTION: Word = Word { mac: MAC, kind: WordKind::Unsolicited, may_override: true, create: true };

    fn at(ms: u64) -> Instant {
        Instant::from_virtual_ns(ms * 1_000_000)
    }

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    struct World {
        pool: Pool,
        table: Neighbours,
    }

    impl World {
        /// With room for so many small packets.
        fn new(max: usize, small: usize) -> World {
            World::with(GcThresholds { max, ..GcThresholds::default() }, small)
        }

        fn with(thresholds: GcThresholds, small: usize) -> World {
            World { pool: Pool::new(1 << 20), table: Neighbours::new(thresholds, small * 832, [1, 2, 3, 4]) }
        }

        fn send(&mut self, to: u8, payload: u8, ms: u64) -> Resolution {
            let packet = PacketBuf::from_bytes(&self.pool, &[payload]).unwrap();
            self.table.resolve(ip(to), packet, at(ms))
        }

        /// A neighbour that has answered at time 0.
        fn reachable() -> World {
            let mut world = World::new(10, 2);
            assert!(matches!(world.send(9, 1, 0), Resolution::Queued { ask: true, .. }));
            assert_eq!(world.table.learn(ip(9), ANSWER, at(0)).len(), 1);
            assert_eq!(world.table.state_of(ip(9)), Some("REACHABLE"));
            world
        }
    }

    #[test]
    fn packets_wait_for_the_answer_and_the_oldest_makes_room() {
        let mut world = World::new(10, 2);
        assert!(matches!(world.send(9, 1, 0), Resolution::Queued { ask: true, displaced } if displaced.is_empty()));
        assert!(matches!(world.send(9, 2, 0), Resolution::Queued { ask: false, displaced } if displaced.is_empty()));
        match world.send(9, 3, 0) {
            Resolution::Queued { ask: false, displaced } => {
                assert_eq!((displaced.len(), displaced[0].data()), (1, &[1][..]))
            }
            other => panic!("{other:?}"),
        }
        let waiting = world.table.learn(ip(9), ANSWER, at(5));
        assert_eq!(waiting.iter().map(|packet| packet.data()[0]).collect::<Vec<_>>(), [2, 3]);
        assert!(matches!(world.send(9, 4, 6), Resolution::Known(MAC, _)));
        assert_eq!(world.table.next_deadline(), Instant::FAR_FUTURE);
    }

    #[test]
    fn a_large_packet_takes_the_room_of_several() {
        let mut world = World::new(10, 3);
        (1..4).for_each(|n| drop(world.send(9, n, 0)));
        let large = PacketBuf::from_bytes(&world.pool, &[9; 1000]).unwrap();
        match world.table.resolve(ip(9), large, at(0)) {
            Resolution::Queued { ask: false, displaced } => assert_eq!(displaced.len(), 3, "2624 bytes of 2496"),
            other => panic!("{other:?}"),
        }
        assert_eq!(world.table.learn(ip(9), ANSWER, at(5)).len(), 1, "one is always kept");
    }

    #[test]
    fn three_questions_without_an_answer_fail() {
        let mut world = World::new(10, 2);
        assert!(matches!(world.send(9, 1, 0), Resolution::Queued { ask: true, .. }));
        assert!(world.table.on_timer(at(999)).is_none());
        assert!(matches!(world.table.on_timer(at(1000)), Some(Due::Ask(addr)) if addr == ip(9)));
        assert!(matches!(world.table.on_timer(at(2000)), Some(Due::Ask(_))));
        assert!(matches!(world.table.on_timer(at(3000)), Some(Due::Failed(packets)) if packets.len() == 1));
        assert_eq!((world.table.len(), world.table.next_deadline()), (0, Instant::FAR_FUTURE));
    }

    #[test]
    fn an_old_address_is_used_asked_about_and_given_up() {
        let mut world = World::reachable();
        assert!(matches!(world.send(9, 1, 31_000), Resolution::Known(MAC, _)));
        assert_eq!(world.table.state_of(ip(9)), Some("DELAY"));
        for second in [36, 37, 38] {
            assert!(matches!(world.table.on_timer(at(second * 1000)), Some(Due::Probe(_, MAC))), "{second}");
        }
        assert_eq!(world.table.state_of(ip(9)), Some("PROBE"));
        assert!(matches!(world.table.on_timer(at(39_000)), Some(Due::Failed(packets)) if packets.is_empty()));
        assert!(matches!(world.send(9, 1, 39_000), Resolution::Queued { ask: true, .. }));
    }

    #[test]
    fn a_transport_that_is_heard_ends_a_doubt_but_answers_no_question() {
        let mut world = World::reachable();
        assert!(matches!(world.send(9, 1, 31_000), Resolution::Known(MAC, _)));
        assert!(world.table.is_in_doubt());
        world.table.confirm(ip(9), at(31_001));
        assert_eq!((world.table.state_of(ip(9)), world.table.is_in_doubt()), (Some("REACHABLE"), false));
        assert!(matches!(world.send(8, 1, 31_000), Resolution::Queued { .. }));
        world.table.confirm(ip(8), at(31_001));
        assert_eq!(world.table.state_of(ip(8)), Some("INCOMPLETE"));
    }

    #[test]
    fn what_nobody_asked_for_confirms_nothing() {
        let mut world = World::new(10, 2);
        assert!(world.table.learn(ip(9), ANSWER, at(0)).is_empty());
        assert_eq!(world.table.len(), 0, "an answer that nobody asked for");
        assert!(world.table.learn(ip(9), QUESTION, at(0)).is_empty());
        assert_eq!(world.table.state_of(ip(9)), Some("STALE"));
        assert!(matches!(world.send(9, 1, 10), Resolution::Known(MAC, _)));
        assert_eq!(world.table.state_of(ip(9)), Some("DELAY"), "used, and asked about");
        assert!(world.table.learn(ip(9), QUESTION, at(11)).is_empty());
        assert_eq!(world.table.state_of(ip(9)), Some("DELAY"), "the same again changes nothing");
        assert!(world.table.learn(ip(9), ANSWER, at(12)).is_empty());
        assert_eq!(world.table.state_of(ip(9)), Some("REACHABLE"));
    }

    /// RFC 4861 7.2.5, the cases of another link address.
    #[test]
    fn another_link_address_needs_the_right_to_override() {
        let check = |kind: WordKind, may_override: bool, state: &str, mac: MacAddr| {
            let mut world = World::reachable();
            let word = Word { mac: OTHER, kind, may_override, create: false };
            assert!(world.table.learn(ip(9), word, at(5)).is_empty());
            assert_eq!(world.table.state_of(ip(9)), Some(state), "{kind:?} {may_override}");
            assert!(matches!(world.send(9, 1, 6), Resolution::Known(to, _) if to == mac));
        };
        check(WordKind::Unsolicited, false, "STALE", MAC);
        check(WordKind::Solicited, false, "STALE", MAC);
        check(WordKind::Unsolicited, true, "STALE", OTHER);
        check(WordKind::Solicited, true, "REACHABLE", OTHER);
        let mut world = World::new(10, 2);
        assert!(world.table.add_permanent(ip(9), MAC, at(0)).is_empty());
        assert!(world.table.learn(ip(9), Word { mac: OTHER, ..ANSWER }, at(5)).is_empty());
        assert!(matches!(world.send(9, 1, 6), Resolution::Known(MAC, _)));
    }

    #[test]
    fn packets_that_waited_are_sent_on_an_unsolicited_word_and_it_is_asked_about() {
        let mut world = World::new(10, 2);
        assert!(matches!(world.send(9, 1, 0), Resolution::Queued { ask: true, .. }));
        assert_eq!(world.table.learn(ip(9), QUESTION, at(1)).len(), 1);
        assert_eq!(world.table.state_of(ip(9)), Some("DELAY"));
        assert!(matches!(world.table.on_timer(at(5001)), Some(Due::Probe(_, MAC))));
    }

    #[test]
    fn the_table_is_bounded_and_questions_do_not_push_each_other_out() {
        let mut world = World::new(4, 2);
        assert!(world.table.add_permanent(ip(100), MAC, at(0)).is_empty());
        (0..3).for_each(|n| assert!(world.table.learn(ip(n), QUESTION, at(0)).is_empty()));
        for n in 10..13 {
            assert!(matches!(world.send(n, 0, 0), Resolution::Queued { ask: true, .. }));
            assert_eq!(world.table.len(), 4);
        }
        assert!(matches!(world.send(13, 0, 0), Resolution::Full(_)));
        // Who has not answered in time makes room, and what waited there is lost.
        assert!(matches!(world.send(13, 0, 10), Resolution::Queued { displaced, .. } if displaced.len() == 1));
        assert_eq!(world.table.len(), 4);
        // So it does at once for somebody who is there.
        assert!(world.table.learn(ip(14), QUESTION, at(10)).is_empty());
        assert_eq!((world.table.state_of(ip(14)), world.table.take_evicted().len()), (Some("STALE"), 1));
        assert!(matches!(world.send(100, 0, 99_000_000), Resolution::Known(MAC, _)));
    }

    /// A flood of SYNs from addresses that nobody has: whoever is known stays so.
    #[test]
    fn a_flood_of_addresses_that_nobody_has_costs_no_neighbour_its_place() {
        let mut world = World::new(16, 2);
        for n in 0..8 {
            let _ = world.send(n, 0, 0);
            assert_eq!(world.table.learn(ip(n), ANSWER, at(0)).len(), 1);
        }
        for n in 0..10_000u32 {
            let packet = PacketBuf::from_bytes(&world.pool, &[1]).unwrap();
            let _ = world.table.resolve(IpAddr::from((0x0a01_0000 + n).to_be_bytes()), packet, at(u64::from(n) / 100));
            assert!(world.table.len() <= 16);
        }
        for n in 0..8 {
            assert_eq!(world.table.state_of(ip(n)), Some("REACHABLE"), "{n}");
        }
    }

    /// Anybody can say to be anybody; that does not cost us those whom we talk to.
    #[test]
    fn a_flood_of_questions_does_not_push_out_who_is_in_use() {
        let mut world = World::new(8, 2);
        for n in 0..6 {
            let _ = world.send(n, 0, 0);
            assert_eq!(world.table.learn(ip(n), ANSWER, at(0)).len(), 1);
        }
        for n in 100..200 {
            assert!(world.table.learn(ip(n), QUESTION, at(1)).is_empty());
            assert!(world.table.len() <= 8);
        }
        for n in 0..6 {
            assert_eq!(world.table.state_of(ip(n)), Some("REACHABLE"));
        }
        assert!(matches!(world.send(50, 0, 2), Resolution::Queued { .. }), "and room is made for whom we want");
    }

    #[test]
    fn who_was_not_used_for_a_minute_is_forgotten_once_there_are_many() {
        let mut world = World::new(1024, 2);
        for n in 0..200 {
            assert!(world.table.learn(IpAddr::from([10, 0, 1, n]), QUESTION, at(0)).is_empty());
        }
        assert_eq!(world.table.len(), 200);
        for n in 0..200 {
            assert!(world.table.learn(IpAddr::from([10, 0, 2, n]), QUESTION, at(61_000)).is_empty());
        }
        assert!(world.table.len() < 250, "{}", world.table.len());
    }

    /// Beyond `gc_thresh2` whoever was not heard of for five seconds goes, at most every five seconds, and not below it.
    #[test]
    fn a_table_that_grows_beyond_its_second_threshold_is_cleared_of_who_is_silent() {
        let mut world = World::with(GcThresholds { keep: 4, soft: 8, max: 16 }, 2);
        let tell = |world: &mut World, n: u8, ms: u64| {
            assert!(world.table.learn(IpAddr::from([10, 0, 3, n]), QUESTION, at(ms)).is_empty());
            world.table.len()
        };
        (0..8).for_each(|n| assert_eq!(tell(&mut world, n, 0), usize::from(n) + 1));
        // All of them are too new to go, and then it is too soon to look again.
        assert_eq!(tell(&mut world, 8, 1000), 9);
        assert_eq!(tell(&mut world, 9, 5500), 10);
        // The eight of the beginning have been silent for long enough: as many go as are too many.
        assert_eq!(tell(&mut world, 10, 6001), 9);
        assert!(world.table.state_of(IpAddr::from([10, 0, 3, 9])).is_some());
    }
}
