//! A hierarchical timing wheel: deadlines go in, the wakers of those that have passed come out.
//!
//! Pure: it has no clock, no lock and no thread. `now` is a parameter and wakers are handed out in a [`WakeBatch`].
//!
//! # Shape
//! Time is counted in ticks of 1024 ns, which a shift yields where a microsecond would need a division. Each level is a
//! ring of slots ([`slots`]), the slots of a level are 2^5 to 2^9 times as wide as those below, and eight levels reach
//! as far as a nanosecond clock of 64 bits: so there is no overflow list and no deadline that is too far.
//! ```text
//!             slots   of        the ring
//!   level 0    1024     1 us    1.0 ms      A level holds the ticks from where the level below ends (`open` of that
//!   level 1    1024   524 us    537 ms      level; for level 0, from `elapsed`) up to its own `open`. So every entry
//!   level 2     512   268 ms    137 s       of a level is later than every entry of the levels below, and the first
//!   level 3     256    69 s     4.9 h       occupied slot of the lowest occupied level holds the next deadline.
//!   ...
//!   level 7      16    37 y     584 y
//! ```
//! Entries keep their deadline in nanoseconds and the slot of the current tick is searched by it, so nothing fires
//! early and nothing waits for a tick to end.
//!
//! # How entries come down
//! A level opens the next slot of the level above by moving its entries down and its own `open` behind them. It *must*
//! when time gets there. It *may* half a ring before that, and this is what [`Wheel::poll`] does with a little of its time:
//! a slot with a hundred thousand entries comes down bit by bit, instead of holding up all that is due when it begins.
//! A slot that is half moved counts as not opened: new entries still join it at its end.
//!
//! # Order
//! Ticks fire in order; within a tick, entries fire in the order in which they were inserted. [`Wheel::poll`] called at
//! each deadline, as a virtual clock does, fires in exact order.
//!
//! # Cost
//! `insert` and `remove` are constant. An entry is moved at most once per level on its way down. A removed entry may
//! leave its slot's bound too early ([`Wheel::next_bound`]): whoever sleeps by it wakes once for nothing.

mod slots;

use crate::clock::Instant;
use crate::wait_queue::WakeBatch;
use slab::Slab;
use slots::{LEVELS, NIL, SHAPES, Slots};
use std::task::Waker;

/// A set of deadlines, each with the waker to call when it has passed.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// The tick up to which the wheel has been turned: no entry stands in a slot that ended before it, and of those in
    /// the slot of this very tick the nanosecond has not come.
    elapsed: u64,
    /// For each level, the tick at which it ends: behind `elapsed`, at or before that of the level above.
    open: [u64; LEVELS],
    entries: Slab<Entry>,
    slots: Slots,
    next_generation: u32,
    /// Something could come down that has not yet.
    opening: bool,
}

/// Names an entry of one wheel; stale once the entry has fired or was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WheelKey {
    index: u32,
    generation: u32,
}

#[derive(Debug)]
struct Entry {
    deadline: Instant,
    waker: Waker,
    generation: u32,
    prev: u32,
    next: u32,
    slot: u16,
    level: u8,
}

/// A tick is 2^10 ns.
const TICK_BITS: u32 = 10;
/// Behind the last tick.
const TICKS: u64 = 1 << (u64::BITS - TICK_BITS);
const TOP: usize = LEVELS - 1;
/// How many entries one poll brings down before they must: a microsecond's work. Fewer in tests, where slots are small.
const MOVED_MAX: usize = if cfg!(test) { 2 } else { 64 };

impl Wheel {
    /// An empty wheel that starts at `now`.
    pub(crate) fn new(now: Instant) -> Wheel {
        let mut wheel = Wheel {
            elapsed: tick_of(now),
            open: [0; LEVELS],
            entries: Slab::new(),
            slots: Slots::new(),
            next_generation: 0,
            opening: false,
        };
        wheel.open[TOP] = TICKS;
        wheel.bring_down(TICKS, 0);
        wheel
    }

    /// How many deadlines are pending.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The moment up to which the wheel has been turned, about: what was due by then has fired or is about to.
    #[inline]
    pub(crate) fn turned_to(&self) -> Instant {
        Instant::from_nanos(self.elapsed << TICK_BITS)
    }

    /// Adds a deadline. One that has passed already fires with the next [`poll`](Wheel::poll).
    #[inline]
    pub(crate) fn insert(&mut self, deadline: Instant, waker: Waker) -> WheelKey {
        let generation = self.next_generation;
        self.next_generation = self.next_generation.wrapping_add(1);
        let tick = tick_of(deadline).max(self.elapsed);
        let (mut level, at) = (0, self.entries.vacant_key());
        while tick >= self.open[level] {
            level += 1;
        }
        let index = u32::try_from(at).ok().filter(|index| *index != NIL);
        let index = index.expect("fewer than 2^32 timers fit into memory");
        let (slot, prev) = self.append(level, tick, index, deadline);
        let entry = Entry { deadline, waker, generation, prev, next: NIL, slot: slot as u16, level: level as u8 };
        self.entries.insert(entry);
        WheelKey { index, generation }
    }

    /// The waker of a pending entry; `None` when the entry has fired or was removed.
    #[inline]
    pub(crate) fn waker_mut(&mut self, key: WheelKey) -> Option<&mut Waker> {
        let entry = self.entries.get_mut(key.index as usize)?;
        (entry.generation == key.generation).then_some(&mut entry.waker)
    }

    /// Takes a deadline out again and returns its waker, which the caller drops after its lock.
    #[inline]
    pub(crate) fn remove(&mut self, key: WheelKey) -> Option<Waker> {
        self.waker_mut(key)?;
        Some(self.take(key.index))
    }

    /// Moves the wakers of all deadlines at or before `now` into `out`, at most `limit` of them.
    pub(crate) fn poll(&mut self, now: Instant, out: &mut WakeBatch, limit: usize) -> Polled {
        let now_tick = tick_of(now);
        let mut left = limit;
        let before = self.elapsed;
        loop {
            match self.first_in(0) {
                Some((slot, tick)) if tick < self.open[0] => {
                    if tick > now_tick {
                        break;
                    }
                    self.elapsed = tick;
                    if let Polled::MoreDue = self.fire(slot, now, out, &mut left) {
                        return Polled::MoreDue;
                    }
                    if self.slots.get(slot).head != NIL {
                        // What is left is due later within the present tick.
                        break;
                    }
                }
                _ => {
                    // All that is due stands above. Between here and the next slot there is nothing.
                    let Some(begin) = self.next_begin().filter(|begin| *begin <= now_tick) else { break };
                    self.elapsed = self.elapsed.max(begin);
                    self.bring_down(begin, usize::MAX);
                }
            }
        }
        self.elapsed = self.elapsed.max(now_tick);
        // A level can reach further when time has come into another slot of the level above.
        if self.opening || (before ^ self.elapsed) >> SHAPES[1].shift != 0 {
            self.bring_down(TICKS, MOVED_MAX);
        }
        Polled::Done
    }

    /// A moment before which nothing fires; `None` when nothing is pending.
    ///
    /// It is the next deadline, unless an earlier one was removed.
    pub(crate) fn next_bound(&mut self) -> Option<Instant> {
        match self.first_in(0) {
            Some((slot, tick)) if tick < self.open[0] => Some(self.slots.get(slot).earliest),
            // A slot that is half moved stands on two levels.
            _ => self.first_slots().into_iter().flatten().map(|slot| self.slots.get(slot).earliest).min(),
        }
    }

    /// The next deadline, exactly; `None` when nothing is pending.
    ///
    /// Searches one slot per level when an entry was removed from it that may have been its earliest.
    pub(crate) fn next_deadline(&mut self) -> Option<Instant> {
        for slot in self.first_slots().into_iter().flatten() {
            self.refresh(slot);
        }
        self.next_bound()
    }

    /// Takes every waker out, whatever its deadline.
    pub(crate) fn drain(&mut self, out: &mut WakeBatch) {
        for level in 0..LEVELS {
            while let Some((slot, _)) = self.first_in(level) {
                let head = self.slots.get(slot).head;
                out.push(self.take(head));
            }
        }
    }

    /// The first occupied slot of a level, and the tick at which it begins.
    #[inline]
    fn first_in(&self, level: usize) -> Option<(usize, u64)> {
        // Time may have passed the end of a level that was empty.
        let from = if level == 0 { self.elapsed } else { self.open[level - 1].max(self.elapsed) };
        self.slots.first_in(level, from)
    }

    /// The first occupied slot of each level.
    fn first_slots(&self) -> [Option<usize>; LEVELS] {
        std::array::from_fn(|level| Some(self.first_in(level)?.0))
    }

    /// The tick at which the first slot above level 0 begins.
    fn next_begin(&self) -> Option<u64> {
        self.slots.levels().filter(|level| *level > 0).filter_map(|level| Some(self.first_in(level)?.1)).min()
    }

    /// Opens the levels as far as they reach, but no slot that begins behind `until`, and moves at most `limit` entries.
    fn bring_down(&mut self, until: u64, limit: usize) {
        let mut left = limit;
        self.opening = false;
        // From above: a level opens no further than the one over it has.
        for level in (0..TOP).rev() {
            let above = &SHAPES[level + 1];
            let reach = self.reach_of(level).min(self.open[level + 1]).min(above.end_of(until));
            while self.open[level] < reach {
                match self.first_in(level + 1) {
                    Some((slot, begin)) if begin < reach => {
                        self.open[level] = begin;
                        if !self.move_down(level, slot, &mut left) {
                            self.opening = true;
                            break;
                        }
                        self.open[level] = above.end_of(begin);
                    }
                    _ => self.open[level] = reach,
                }
            }
        }
    }

    /// How far a level can be opened: to the end of the last whole slot of the level above that has room in its ring.
    fn reach_of(&self, level: usize) -> u64 {
        let (shape, above) = (&SHAPES[level], &SHAPES[level + 1]);
        let end = ((self.elapsed >> shape.shift) + shape.mask + 1) << shape.shift;
        (end >> above.shift) << above.shift
    }

    /// Moves the entries of a slot to the level below it, at most `left`; says whether that were all.
    fn move_down(&mut self, level: usize, from: usize, left: &mut usize) -> bool {
        loop {
            let index = self.slots.get(from).head;
            if index == NIL {
                return true;
            }
            if *left == 0 {
                return false;
            }
            *left -= 1;
            let entry = &self.entries[index as usize];
            let (deadline, next) = (entry.deadline, entry.next);
            self.unlink(level + 1, from, NIL, next, deadline);
            let (slot, prev) = self.append(level, tick_of(deadline), index, deadline);
            let entry = &mut self.entries[index as usize];
            (entry.slot, entry.level) = (slot as u16, level as u8);
            (entry.prev, entry.next) = (prev, NIL);
        }
    }

    /// Fires what is due in a slot of level 0, in order of insertion.
    fn fire(&mut self, slot: usize, now: Instant, out: &mut WakeBatch, left: &mut usize) -> Polled {
        let mut at = self.slots.get(slot).head;
        while at != NIL {
            let entry = &self.entries[at as usize];
            let next = entry.next;
            if entry.deadline <= now {
                if *left == 0 {
                    return Polled::MoreDue;
                }
                *left -= 1;
                let waker = self.take(at);
                out.push(waker);
            }
            at = next;
        }
        // The search above removed the earliest; what is left is few, being of one tick.
        self.refresh(slot);
        Polled::Done
    }

    /// Sets the bound of a slot right.
    fn refresh(&mut self, slot: usize) {
        if !self.slots.take_stale(slot) {
            return;
        }
        let mut earliest = Instant::FAR_FUTURE;
        let mut at = self.slots.get(slot).head;
        while at != NIL {
            let entry = &self.entries[at as usize];
            earliest = earliest.min(entry.deadline);
            at = entry.next;
        }
        self.slots.get(slot).earliest = earliest;
    }

    /// Makes an entry the last one of the slot that its tick has on this level; says which that is, and who was the last.
    #[inline]
    fn append(&mut self, level: usize, tick: u64, index: u32, deadline: Instant) -> (usize, u32) {
        let at = SHAPES[level].slot_of(tick);
        let slot = self.slots.get(at);
        let tail = std::mem::replace(&mut slot.tail, index);
        if tail == NIL {
            slot.head = index;
            slot.earliest = deadline;
            self.slots.occupy(level, at);
        } else {
            slot.earliest = slot.earliest.min(deadline);
            self.entries[tail as usize].next = index;
        }
        (at, tail)
    }

    /// Unlinks an entry and gives up its memory.
    #[inline]
    fn take(&mut self, index: u32) -> Waker {
        let entry = self.entries.remove(index as usize);
        self.unlink(entry.level as usize, entry.slot as usize, entry.prev, entry.next, entry.deadline);
        entry.waker
    }

    /// Joins the neighbours of an entry that leaves its slot.
    #[inline]
    fn unlink(&mut self, level: usize, at: usize, prev: u32, next: u32, deadline: Instant) {
        let slot = self.slots.get(at);
        if prev == NIL && next == NIL {
            self.slots.empty(level, at);
            return;
        }
        let may_be_earliest = deadline <= slot.earliest;
        match prev {
            NIL => slot.head = next,
            prev => self.entries[prev as usize].next = next,
        }
        match next {
            NIL => slot.tail = prev,
            next => self.entries[next as usize].prev = prev,
        }
        if may_be_earliest {
            self.slots.set_stale(at);
        }
    }
}

/// Whether a poll found everything that was due.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Polled {
    /// Nothing that is due is left.
    Done,
    /// The limit was reached; poll again.
    MoreDue,
}

#[inline]
fn tick_of(moment: Instant) -> u64 {
    moment.as_nanos() >> TICK_BITS
}

#[cfg(all(test, not(loom)))]
mod tests;
