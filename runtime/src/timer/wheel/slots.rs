//! The slots of a wheel: which are occupied, and where each level's stand.
//!
//! A level is a ring of slots, and every level has twice as many as one slot of the next level is wide: so a slot can be
//! spread over the level below while that level's nearer half is still in use.

use crate::clock::Instant;

/// The head and tail of a list of entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) head: u32,
    pub(super) tail: u32,
    /// No entry of this slot is earlier; meaningless while the slot is empty.
    pub(super) earliest: Instant,
}

/// All slots, level after level.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Box<[Slot; SLOTS]>,
    /// Bit n: slot n is not empty.
    occupied: [u64; WORDS],
    /// Bit n: an entry left slot n that may have been its earliest.
    stale: [u64; WORDS],
    /// For each level, bit n: its n-th word of `occupied` is not zero.
    summaries: [u16; LEVELS],
    /// Bit n: level n has an occupied slot.
    levels: u8,
}

/// Where a level stands, and how wide it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// A slot is 2^shift ticks wide.
    pub(super) shift: u32,
    /// One less than the number of slots, a power of two.
    pub(super) mask: u64,
    /// Its first slot.
    base: usize,
}

/// How many slots each level has, as powers of two.
const BITS: [u32; LEVELS] = [10, 10, 9, 8, 7, 7, 6, 6];
pub(super) const LEVELS: usize = 8;
pub(super) const SHAPES: [Shape; LEVELS] = shapes();
const SLOTS: usize = SHAPES[LEVELS - 1].base + (1 << BITS[LEVELS - 1]);
const WORDS: usize = SLOTS / 64;
pub(super) const NIL: u32 = u32::MAX;

const fn shapes() -> [Shape; LEVELS] {
    let mut shapes = [Shape { shift: 0, mask: (1 << BITS[0]) - 1, base: 0 }; LEVELS];
    let mut level = 1;
    while level < LEVELS {
        let below = shapes[level - 1];
        let shift = below.shift + BITS[level - 1] - 1;
        shapes[level] = Shape { shift, mask: (1 << BITS[level]) - 1, base: below.base + (1 << BITS[level - 1]) };
        level += 1;
    }
    shapes
}

impl Shape {
    /// The slot of a tick.
    #[inline]
    pub(super) fn slot_of(&self, tick: u64) -> usize {
        self.base + ((tick >> self.shift) & self.mask) as usize
    }

    /// The first tick that is not in the same slot as `tick`.
    pub(super) fn end_of(&self, tick: u64) -> u64 {
        ((tick >> self.shift) + 1) << self.shift
    }
}

impl Slots {
    pub(super) fn new() -> Slots {
        // By way of a vector: an array would be made on the stack first, and it is large.
        let slots = vec![Slot { head: NIL, tail: NIL, earliest: Instant::FAR_FUTURE }; SLOTS].into_boxed_slice();
        let slots = slots.try_into().expect("there are as many as were made");
        Slots { slots, occupied: [0; WORDS], stale: [0; WORDS], summaries: [0; LEVELS], levels: 0 }
    }

    #[inline]
    pub(super) fn get(&mut self, slot: usize) -> &mut Slot {
        &mut self.slots[slot]
    }

    /// The levels that have an occupied slot, from the lowest.
    pub(super) fn levels(&self) -> impl Iterator<Item = usize> + use<> {
        let mut left = self.levels;
        std::iter::from_fn(move || {
            let level = left.trailing_zeros() as usize;
            left &= left.wrapping_sub(1);
            (level < LEVELS).then_some(level)
        })
    }

    /// The first occupied slot of a level of which all entries lie at or behind the tick `from`, and the tick at which it
    /// begins.
    #[inline]
    pub(super) fn first_in(&self, level: usize, from: u64) -> Option<(usize, u64)> {
        let summary = self.summaries[level];
        if summary == 0 {
            return None;
        }
        let shape = &SHAPES[level];
        let start = ((from >> shape.shift) & shape.mask) as usize;
        let found = self.search(shape.base / 64, summary, start);
        let ahead = (found.wrapping_sub(start) as u64) & shape.mask;
        Some((shape.base + found, ((from >> shape.shift) + ahead) << shape.shift))
    }

    /// The first occupied slot at or behind `start`, once around, in the words from `base`.
    #[inline]
    fn search(&self, base: usize, summary: u16, start: usize) -> usize {
        let word = start / 64;
        let ahead = self.occupied[base + word] & (u64::MAX << (start % 64));
        if ahead != 0 {
            return word * 64 + ahead.trailing_zeros() as usize;
        }
        let behind_word = u32::from(summary) & (u32::MAX << (word + 1));
        let next = if behind_word != 0 { behind_word } else { u32::from(summary) };
        let word = next.trailing_zeros() as usize;
        word * 64 + self.occupied[base + word].trailing_zeros() as usize
    }

    /// An entry went into the slot.
    #[inline]
    pub(super) fn occupy(&mut self, level: usize, slot: usize) {
        let word = slot / 64;
        self.occupied[word] |= 1 << (slot % 64);
        self.summaries[level] |= 1 << (word - SHAPES[level].base / 64);
        self.levels |= 1 << level;
    }

    /// The last entry has left the slot.
    #[inline]
    pub(super) fn empty(&mut self, level: usize, slot: usize) {
        let (word, bit) = (slot / 64, 1 << (slot % 64));
        self.slots[slot].head = NIL;
        self.slots[slot].tail = NIL;
        self.stale[word] &= !bit;
        self.occupied[word] &= !bit;
        if self.occupied[word] == 0 {
            self.summaries[level] &= !(1 << (word - SHAPES[level].base / 64));
            if self.summaries[level] == 0 {
                self.levels &= !(1 << level);
            }
        }
    }

    /// Notes that `earliest` may be too early.
    #[inline]
    pub(super) fn set_stale(&mut self, slot: usize) {
        self.stale[slot / 64] |= 1 << (slot % 64);
    }

    /// Whether `earliest` may be too early; it is right from now on.
    pub(super) fn take_stale(&mut self, slot: usize) -> bool {
        let (word, bit) = (slot / 64, 1 << (slot % 64));
        let was = self.stale[word] & bit != 0;
        self.stale[word] &= !bit;
        was
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_levels_fit_onto_each_other_and_span_the_clock() {
        for (level, pair) in SHAPES.windows(2).enumerate() {
            assert_eq!(
                pair[0].mask + 1,
                2 << (pair[1].shift - pair[0].shift),
                "level {level} is two slots of the next"
            );
            assert_eq!(pair[1].base, pair[0].base + pair[0].mask as usize + 1);
            assert_eq!(pair[1].base % 64, 0);
        }
        let top = SHAPES[LEVELS - 1];
        assert!((u64::MAX >> 10) >> top.shift <= top.mask, "the last tick has a slot on the top level");
    }

    #[test]
    fn the_first_slot_is_found_once_around() {
        let mut slots = Slots::new();
        let shape = SHAPES[1];
        let width = 1 << shape.shift;
        assert_eq!(slots.first_in(1, 0), None);
        for at in [5_u64, 63, 64, 700, 1023] {
            slots.occupy(1, shape.base + at as usize);
        }
        for (from, found, begin) in [
            (0, 5, 5),
            (5, 5, 5),
            (6, 63, 63),
            (64, 64, 64),
            (65, 700, 700),
            (1023, 1023, 1023),
            (1024, 5, 1029),
            (1024 + 701, 1023, 2047),
            (1024 + 6, 63, 1024 + 63),
        ] {
            assert_eq!(slots.first_in(1, from * width), Some((shape.base + found, begin * width)), "from {from}");
        }
        slots.empty(1, shape.base + 5);
        assert_eq!(slots.first_in(1, 1023 * width).map(|first| first.1), Some(1023 * width));
        for at in [63, 64, 700, 1023] {
            slots.empty(1, shape.base + at);
        }
        assert_eq!((slots.first_in(1, 0), slots.levels().count()), (None, 0));
    }
}
