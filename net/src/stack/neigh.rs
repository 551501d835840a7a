//! The neighbour table: link addresses of the hosts next door, and packets that wait for one (RFC 826, RFC 4861, and
//! the states of Linux's `neighbour`).
//!
//! An address that was confirmed less than 30 s ago is used as it is. An older one is used, too, but asked about once it
//! is: first by waiting 5 s, then with unicast requests. Nobody's word but ARP's counts as a confirmation, not even an
//! acknowledgement from that host (Linux's `dst_confirm`): the cost is one request in 30 s to each neighbour in use.

use crate::packet::PacketBuf;
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
    max: usize,
    queue_max: usize,
    /// Where the search for an entry to evict goes on.
    hand: usize,
    /// The last address that was looked up and stands fast, and until when.
    last: Option<(IpAddr, MacAddr, Instant)>,
}

#[derive(Debug)]
struct Neighbour {
    addr: IpAddr,
    state: State,
    timer_at: Instant,
    /// Packets that wait for the link address.
    queue: VecDeque<PacketBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Asked, `asked` times, no answer yet.
    Incomplete {
        asked: u8,
    },
    Reachable {
        mac: MacAddr,
        until: Instant,
    },
    /// In use, and to be asked about when the timer fires.
    Delay {
        mac: MacAddr,
    },
    /// Asked about, `asked` times.
    Probe {
        mac: MacAddr,
        asked: u8,
    },
    /// Told by the host itself; never doubted.
    Permanent {
        mac: MacAddr,
    },
}

/// What to do with a packet.
#[must_use]
#[derive(Debug)]
pub(crate) enum Resolution {
    /// Send it there.
    Known(MacAddr, PacketBuf),
    /// It waits; ask, if `ask` is set. A packet that had to make room for it is lost.
    Queued { ask: bool, displaced: Option<PacketBuf> },
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

impl Neighbours {
    /// An empty table with at most `max` entries, each with at most `queue_max` waiting packets.
    pub(crate) fn new(max: usize, queue_max: usize, [a, b, c, d]: [u64; 4]) -> Neighbours {
        Neighbours {
            entries: Slab::new(),
            by_addr: HashMap::with_hasher(RandomState::with_seeds(a, b, c, d)),
            timers: TimerHeap::new(),
            max,
            queue_max,
            hand: 0,
            last: None,
        }
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
            State::Reachable { mac, .. } => {
                entry.state = State::Delay { mac };
                entry.timer_at = now.saturating_add(DELAY);
                self.timers.arm(index, entry.timer_at);
                Resolution::Known(mac, packet)
            }
            State::Delay { mac } | State::Probe { mac, .. } => Resolution::Known(mac, packet),
            State::Incomplete { .. } => {
                // As Linux: the oldest makes room.
                let full = entry.queue.len() >= self.queue_max;
                let displaced = if full { entry.queue.pop_front() } else { None };
                entry.queue.push_back(packet);
                Resolution::Queued { ask: false, displaced }
            }
        }
    }

    fn start(&mut self, addr: IpAddr, packet: PacketBuf, now: Instant) -> Resolution {
        let timer_at = now.saturating_add(RETRANS);
        let state = State::Incomplete { asked: 1 };
        let entry = Neighbour { addr, state, timer_at, queue: VecDeque::new() };
        let Some(index) = self.insert(entry) else { return Resolution::Full(packet) };
        self.entries[index as usize].queue.push_back(packet);
        self.timers.arm(index, timer_at);
        Resolution::Queued { ask: true, displaced: None }
    }

    /// `addr` is at `mac`, says ARP: an answer, or with `create` also a question from a host not known yet. Returns the
    /// packets that waited for it.
    pub(crate) fn learn(&mut self, addr: IpAddr, mac: MacAddr, now: Instant, create: bool) -> VecDeque<PacketBuf> {
        let reachable = State::Reachable { mac, until: now.saturating_add(REACHABLE) };
        match self.by_addr.get(&addr) {
            Some(&index) => {
                let entry = &mut self.entries[index as usize];
                if !matches!(entry.state, State::Permanent { .. }) {
                    (entry.state, entry.timer_at) = (reachable, Instant::FAR_FUTURE);
                    self.timers.disarm(index);
                    self.last = None;
                }
                std::mem::take(&mut self.entries[index as usize].queue)
            }
            None => {
                if create {
                    let timer_at = Instant::FAR_FUTURE;
                    self.insert(Neighbour { addr, state: reachable, timer_at, queue: VecDeque::new() });
                }
                VecDeque::new()
            }
        }
    }

    /// `addr` is at `mac` for good. Returns the packets that waited for it.
    pub(crate) fn add_permanent(&mut self, addr: IpAddr, mac: MacAddr, now: Instant) -> VecDeque<PacketBuf> {
        let waiting = self.learn(addr, mac, now, true);
        if let Some(&index) = self.by_addr.get(&addr) {
            self.entries[index as usize].state = State::Permanent { mac };
            self.last = None;
        }
        waiting
    }

    /// When [`on_timer`](Self::on_timer) wants to be called.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
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
                State::Reachable { .. } | State::Permanent { .. } => continue,
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

    fn insert(&mut self, entry: Neighbour) -> Option<u32> {
        if self.entries.len() >= self.max && !self.evict() {
            return None;
        }
        let addr = entry.addr;
        let index = self.entries.insert(entry) as u32;
        self.by_addr.insert(addr, index);
        Some(index)
    }

    /// Makes room: the next entry round the table that nobody waits for. A bounded search.
    fn evict(&mut self) -> bool {
        let places = self.entries.capacity().max(1);
        for _ in 0..64 {
            self.hand = (self.hand + 1) % places;
            let state = self.entries.get(self.hand).map(|entry| entry.state);
            if matches!(state, Some(State::Reachable { .. } | State::Delay { .. } | State::Probe { .. })) {
                self.remove(self.hand as u32);
                return true;
            }
        }
        false
    }

    fn remove(&mut self, index: u32) -> VecDeque<PacketBuf> {
        let entry = self.entries.remove(index as usize);
        self.by_addr.remove(&entry.addr);
        self.timers.disarm(index);
        self.last = None;
        entry.queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Pool;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

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
        fn new(max: usize, queue_max: usize) -> World {
            World { pool: Pool::new(1 << 20), table: Neighbours::new(max, queue_max, [1, 2, 3, 4]) }
        }

        fn send(&mut self, to: u8, payload: u8, ms: u64) -> Resolution {
            let packet = PacketBuf::from_bytes(&self.pool, &[payload]).unwrap();
            self.table.resolve(ip(to), packet, at(ms))
        }
    }

    #[test]
    fn packets_wait_for_the_answer_and_the_oldest_makes_room() {
        let mut world = World::new(10, 2);
        assert!(matches!(world.send(9, 1, 0), Resolution::Queued { ask: true, displaced: None }));
        assert!(matches!(world.send(9, 2, 0), Resolution::Queued { ask: false, displaced: None }));
        match world.send(9, 3, 0) {
            Resolution::Queued { ask: false, displaced: Some(packet) } => assert_eq!(packet.data(), [1]),
            other => panic!("{other:?}"),
        }
        let waiting = world.table.learn(ip(9), MAC, at(5), false);
        assert_eq!(waiting.iter().map(|packet| packet.data()[0]).collect::<Vec<_>>(), [2, 3]);
        assert!(matches!(world.send(9, 4, 6), Resolution::Known(MAC, _)));
        assert_eq!(world.table.next_deadline(), None);
    }

    #[test]
    fn three_questions_without_an_answer_fail() {
        let mut world = World::new(10, 2);
        assert!(matches!(world.send(9, 1, 0), Resolution::Queued { ask: true, .. }));
        assert!(world.table.on_timer(at(999)).is_none());
        assert!(matches!(world.table.on_timer(at(1000)), Some(Due::Ask(addr)) if addr == ip(9)));
        assert!(matches!(world.table.on_timer(at(2000)), Some(Due::Ask(_))));
        assert!(matches!(world.table.on_timer(at(3000)), Some(Due::Failed(packets)) if packets.len() == 1));
        assert_eq!((world.table.len(), world.table.next_deadline()), (0, None));
    }

    #[test]
    fn an_old_address_is_used_asked_about_and_given_up() {
        let mut world = World::new(10, 2);
        assert!(world.table.learn(ip(9), MAC, at(0), false).is_empty());
        assert_eq!(world.table.len(), 0, "an answer that nobody asked for");
        assert!(world.table.learn(ip(9), MAC, at(0), true).is_empty());
        assert!(matches!(world.send(9, 1, 31_000), Resolution::Known(MAC, _)));
        for second in [36, 37, 38] {
            assert!(matches!(world.table.on_timer(at(second * 1000)), Some(Due::Probe(_, MAC))), "{second}");
        }
        assert!(matches!(world.table.on_timer(at(39_000)), Some(Due::Failed(packets)) if packets.is_empty()));
        assert!(matches!(world.send(9, 1, 39_000), Resolution::Queued { ask: true, .. }));
    }

    #[test]
    fn the_table_is_bounded_and_questions_do_not_push_each_other_out() {
        let mut world = World::new(4, 2);
        assert!(world.table.add_permanent(ip(100), MAC, at(0)).is_empty());
        (0..3).for_each(|n| assert!(world.table.learn(ip(n), MAC, at(0), true).is_empty()));
        for n in 10..13 {
            assert!(matches!(world.send(n, 0, 0), Resolution::Queued { ask: true, .. }));
            assert_eq!(world.table.len(), 4);
        }
        assert!(matches!(world.send(13, 0, 0), Resolution::Full(_)));
        assert!(matches!(world.send(100, 0, 99_000_000), Resolution::Known(MAC, _)));
    }
}
