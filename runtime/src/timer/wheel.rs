//! A hierarchical timing wheel: deadlines go in, the wakers of those that have passed come out.
//!
//! Pure: it has no clock, no lock and no thread. `now` is a parameter and wakers are handed out in a [`WakeBatch`].
//!
//! # Shape
//! Time is counted in ticks of 1024 ns, which a shift yields where a microsecond would need a division. Level 0 has one
//! slot for each of the 64 ticks of the current *page*, level 1 one slot for each of 64 pages, and so on: nine levels of
//! six bits are the 54 bits that a nanosecond clock of 64 bits leaves, so there is no overflow list and no deadline that
//! is too far.
//! ```text
//!   level 0   64 slots x    1 us    an entry stands on the lowest level on which its tick and `elapsed` share
//!   level 1   64 slots x   66 us    all higher digits (base 64): so every entry of a level is later than every
//!   level 2   64 slots x  4.2 ms    entry of the levels below, and the first occupied slot of the lowest occupied
//!   ...                             level holds the next deadline.
//!   level 8   64 slots x   9 y
//! ```
//! Entries keep their deadline in nanoseconds and the slot of the current tick is searched by it, so nothing fires
//! early and nothing waits for a tick to end.
//!
//! # Order
//! Ticks fire in order; within a tick, entries fire in the order in which they were inserted. [`Wheel::poll`] called at
//! each deadline, as a virtual clock does, fires in exact order.
//!
//! # Cost
//! `insert` and `remove` are constant. An entry is moved at most once per level on its way down. A removed entry may
//! leave its slot's bound too early ([`Wheel::next_bound`]): whoever sleeps by it wakes once for nothing.

use crate::clock::Instant;
use crate::wait_queue::WakeBatch;
use slab::Slab;
use std::task::Waker;

/// A set of deadlines, each with the waker to call when it has passed.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// The tick up to which the wheel has been turned: every slot that begins at or before it has been emptied, but
    /// for the one of this very tick, where entries wait whose nanosecond has not come.
    elapsed: u64,
    entries: Slab<Entry>,
    levels: Box<[Level; LEVELS]>,
    /// Bit n: level n has an occupied slot.
    occupied: u16,
    next_generation: u32,
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
    level: u8,
    slot: u8,
}

#[derive(Debug)]
struct Level {
    /// Bit n: slot n is not empty.
    occupied: u64,
    /// Bit n: an entry left slot n that may have been its earliest.
    stale: u64,
    slots: [Slot; SLOTS],
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    head: u32,
    tail: u32,
    /// No entry of this slot is earlier; meaningless while the slot is empty.
    earliest: Instant,
}

const LEVELS: usize = 9;
const SLOTS: usize = 64;
const SLOT_BITS: usize = 6;
/// A tick is 2^10 ns.
const TICK_BITS: u32 = 10;
const NIL: u32 = u32::MAX;

const _: () = assert!(LEVELS * SLOT_BITS + TICK_BITS as usize == u64::BITS as usize, "the levels span the clock");

impl Wheel {
    /// An empty wheel that starts at `now`.
    pub(crate) fn new(now: Instant) -> Wheel {
        let slot = Slot { head: NIL, tail: NIL, earliest: Instant::FAR_FUTURE };
        let levels = Box::new(std::array::from_fn(|_| Level { occupied: 0, stale: 0, slots: [slot; SLOTS] }));
        Wheel { elapsed: tick_of(now), entries: Slab::new(), levels, occupied: 0, next_generation: 0 }
    }

    /// The moment up to which the wheel has been turned, about: what was due by then has fired or is about to.
    pub(crate) fn turned_to(&self) -> Instant {
        Instant::from_nanos(self.elapsed << TICK_BITS)
    }

    /// How many deadlines are pending.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a deadline. One that has passed already fires with the next [`poll`](Wheel::poll).
    pub(crate) fn insert(&mut self, deadline: Instant, waker: Waker) -> WheelKey {
        let generation = self.next_generation;
        self.next_generation = self.next_generation.wrapping_add(1);
        let entry = Entry { deadline, waker, generation, prev: NIL, next: NIL, level: 0, slot: 0 };
        let index = u32::try_from(self.entries.insert(entry)).expect("fewer than 2^32 timers fit into memory");
        self.link(index);
        WheelKey { index, generation }
    }

    /// The waker of a pending entry; `None` when the entry has fired or was removed.
    pub(crate) fn waker_mut(&mut self, key: WheelKey) -> Option<&mut Waker> {
        let entry = self.entries.get_mut(key.index as usize)?;
        (entry.generation == key.generation).then_some(&mut entry.waker)
    }

    /// Takes a deadline out again and returns its waker, which the caller drops after its lock.
    pub(crate) fn remove(&mut self, key: WheelKey) -> Option<Waker> {
        self.waker_mut(key)?;
        Some(self.take(key.index))
    }

    /// Moves the wakers of all deadlines at or before `now` into `out`, at most `limit` of them.
    pub(crate) fn poll(&mut self, now: Instant, out: &mut WakeBatch, limit: usize) -> Polled {
        let now_tick = tick_of(now);
        let mut left = limit;
        while let Some((level, slot)) = self.first_slot() {
            let begin = self.begin_of(level, slot);
            if begin > now_tick {
                break;
            }
            self.elapsed = begin;
            if level > 0 {
                self.cascade(level, slot);
                continue;
            }
            if let Polled::MoreDue = self.fire(slot, now, out, &mut left) {
                return Polled::MoreDue;
            }
            if self.levels[0].occupied & (1 << slot) != 0 {
                // What is left is due later within the present tick.
                break;
            }
        }
        self.elapsed = self.elapsed.max(now_tick);
        Polled::Done
    }

    /// A moment before which nothing fires; `None` when nothing is pending.
    ///
    /// It is the next deadline, unless an earlier one was removed.
    pub(crate) fn next_bound(&self) -> Option<Instant> {
        let (level, slot) = self.first_slot()?;
        Some(self.levels[level].slots[slot].earliest)
    }

    /// The next deadline, exactly; `None` when nothing is pending.
    ///
    /// Searches one slot when an entry was removed from it that may have been its earliest.
    pub(crate) fn next_deadline(&mut self) -> Option<Instant> {
        let (level, slot) = self.first_slot()?;
        if self.levels[level].stale & (1 << slot) != 0 {
            let mut earliest = Instant::FAR_FUTURE;
            let mut at = self.levels[level].slots[slot].head;
            while at != NIL {
                let entry = &self.entries[at as usize];
                earliest = earliest.min(entry.deadline);
                at = entry.next;
            }
            self.levels[level].slots[slot].earliest = earliest;
            self.levels[level].stale &= !(1 << slot);
        }
        Some(self.levels[level].slots[slot].earliest)
    }

    /// Takes every waker out, whatever its deadline.
    pub(crate) fn drain(&mut self, out: &mut WakeBatch) {
        while let Some((level, slot)) = self.first_slot() {
            let waker = self.take(self.levels[level].slots[slot].head);
            out.push(waker);
        }
    }

    /// The first occupied slot of the lowest occupied level: every other entry is later than its entries.
    fn first_slot(&self) -> Option<(usize, usize)> {
        if self.occupied == 0 {
            return None;
        }
        let level = self.occupied.trailing_zeros() as usize;
        Some((level, self.levels[level].occupied.trailing_zeros() as usize))
    }

    /// The first tick of a slot, given that it is not in the past.
    fn begin_of(&self, level: usize, slot: usize) -> u64 {
        let shift = level * SLOT_BITS;
        let above = shift + SLOT_BITS;
        (self.elapsed >> above << above) | ((slot as u64) << shift)
    }

    /// Fires what is due in a slot of level 0, in order of insertion.
    fn fire(&mut self, slot: usize, now: Instant, out: &mut WakeBatch, left: &mut usize) -> Polled {
        let mut at = self.levels[0].slots[slot].head;
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
        self.next_deadline();
        Polled::Done
    }

    /// Spreads the entries of a slot that has begun over the levels below.
    fn cascade(&mut self, level: usize, slot: usize) {
        let mut at = self.levels[level].slots[slot].head;
        self.empty(level, slot);
        while at != NIL {
            let next = self.entries[at as usize].next;
            self.link(at);
            at = next;
        }
    }

    /// Appends an entry to the slot that its deadline and `elapsed` ask for.
    fn link(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        let tick = tick_of(entry.deadline).max(self.elapsed);
        let level = level_of(self.elapsed, tick);
        let slot = (tick >> (level * SLOT_BITS)) as usize % SLOTS;
        (entry.level, entry.slot) = (level as u8, slot as u8);
        let deadline = entry.deadline;

        let in_level = &mut self.levels[level];
        let in_slot = &mut in_level.slots[slot];
        let tail = std::mem::replace(&mut in_slot.tail, index);
        if tail == NIL {
            in_slot.head = index;
            in_slot.earliest = deadline;
        } else {
            in_slot.earliest = in_slot.earliest.min(deadline);
        }
        in_level.occupied |= 1 << slot;
        self.occupied |= 1 << level;

        let entry = &mut self.entries[index as usize];
        (entry.prev, entry.next) = (tail, NIL);
        if tail != NIL {
            self.entries[tail as usize].next = index;
        }
    }

    /// Unlinks an entry and gives up its memory.
    fn take(&mut self, index: u32) -> Waker {
        let entry = self.entries.remove(index as usize);
        let (level, slot) = (entry.level as usize, entry.slot as usize);
        match entry.prev {
            NIL => self.levels[level].slots[slot].head = entry.next,
            prev => self.entries[prev as usize].next = entry.next,
        }
        match entry.next {
            NIL => self.levels[level].slots[slot].tail = entry.prev,
            next => self.entries[next as usize].prev = entry.prev,
        }
        if self.levels[level].slots[slot].head == NIL {
            self.empty(level, slot);
        } else if entry.deadline <= self.levels[level].slots[slot].earliest {
            self.levels[level].stale |= 1 << slot;
        }
        entry.waker
    }

    fn empty(&mut self, level: usize, slot: usize) {
        let in_level = &mut self.levels[level];
        (in_level.slots[slot].head, in_level.slots[slot].tail) = (NIL, NIL);
        in_level.occupied &= !(1 << slot);
        in_level.stale &= !(1 << slot);
        if in_level.occupied == 0 {
            self.occupied &= !(1 << level);
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

fn tick_of(moment: Instant) -> u64 {
    moment.as_nanos() >> TICK_BITS
}

/// The highest digit, base 64, in which the two ticks differ.
fn level_of(elapsed: u64, tick: u64) -> usize {
    let differing = (elapsed ^ tick) | (SLOTS as u64 - 1);
    (u64::BITS - 1 - differing.leading_zeros()) as usize / SLOT_BITS
}

#[cfg(all(test, not(loom)))]
mod tests;
