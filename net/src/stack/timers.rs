//! Deadlines: at most one per owner, kept in a heap that knows where each owner stands.
//!
//! Owners move their deadline with every segment, nearly always to later. So the heap is lazy: an entry that would fire
//! too early stays where it is, and when it fires, the owner says when it really wants to be called. Re-arming then costs
//! one comparison. Nothing here knows what a deadline is for.

use wakeline_runtime::clock::Instant;

/// A binary heap of `(deadline, owner)`; owners are small indices, as a slab gives them.
#[derive(Debug, Default)]
pub(crate) struct TimerHeap {
    heap: Vec<(Instant, u32)>,
    /// Where each owner stands in `heap`; [`ABSENT`] when nowhere.
    places: Vec<u32>,
}

const ABSENT: u32 = u32::MAX;

/// The earlier of two moments, where there may be none.
#[inline]
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if a < b { a } else { b }),
        (a, None) => a,
        (None, b) => b,
    }
}

impl TimerHeap {
    /// No deadlines.
    pub(crate) fn new() -> TimerHeap {
        TimerHeap::default()
    }

    /// The moment at which somebody may be due; it is never later than the earliest deadline. [`Instant::FAR_FUTURE`] when
    /// nobody has one: asked for at every entry into a stack, which finds the least of several.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Instant {
        self.heap.first().map_or(Instant::FAR_FUTURE, |&(at, _)| at)
    }

    /// `owner` wants to be called at `at`, or soon before. [`Instant::FAR_FUTURE`] is no wish at all.
    #[inline]
    pub(crate) fn arm(&mut self, owner: u32, at: Instant) {
        let place = self.places.get(owner as usize).copied().unwrap_or(ABSENT);
        match self.heap.get_mut(place as usize) {
            Some(entry) if entry.0 <= at => {}
            Some(entry) => {
                entry.0 = at;
                self.sift_up(place as usize);
            }
            None if at == Instant::FAR_FUTURE => {}
            None => self.insert(owner, at),
        }
    }

    /// An owner whose deadline may have come, taken out of the heap; the caller asks it and arms it again.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let &(at, owner) = self.heap.first()?;
        if at > now {
            return None;
        }
        self.disarm(owner);
        Some(owner)
    }

    /// `owner` wants nothing any more, or goes away.
    pub(crate) fn disarm(&mut self, owner: u32) {
        let Some(place) = self.places.get_mut(owner as usize) else { return };
        let place = std::mem::replace(place, ABSENT) as usize;
        if place >= self.heap.len() {
            return;
        }
        self.heap.swap_remove(place);
        if let Some(&(_, moved)) = self.heap.get(place) {
            self.places[moved as usize] = place as u32;
            self.sift_up(place);
            self.sift_down(self.places[moved as usize] as usize);
        }
    }

    #[cold]
    fn insert(&mut self, owner: u32, at: Instant) {
        if self.places.len() <= owner as usize {
            self.places.resize(owner as usize + 1, ABSENT);
        }
        self.places[owner as usize] = self.heap.len() as u32;
        self.heap.push((at, owner));
        self.sift_up(self.heap.len() - 1);
    }

    fn sift_up(&mut self, mut place: usize) {
        while place > 0 {
            let above = (place - 1) / 2;
            if self.heap[above].0 <= self.heap[place].0 {
                break;
            }
            self.swap(above, place);
            place = above;
        }
    }

    fn sift_down(&mut self, mut place: usize) {
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            let mut least = place;
            for below in [left, right] {
                if self.heap.get(below).is_some_and(|entry| entry.0 < self.heap[least].0) {
                    least = below;
                }
            }
            if least == place {
                break;
            }
            self.swap(least, place);
            place = least;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.places[self.heap[a].1 as usize] = a as u32;
        self.places[self.heap[b].1 as usize] = b as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn at(ns: u64) -> Instant {
        Instant::from_virtual_ns(ns)
    }

    #[test]
    fn rearming_to_later_leaves_the_entry_and_fires_early_once() {
        let mut timers = TimerHeap::new();
        timers.arm(3, at(10));
        timers.arm(3, at(50));
        assert_eq!(timers.next_deadline(), at(10));
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.pop_due(at(10)), Some(3));
        timers.arm(3, at(50));
        timers.arm(3, at(20));
        assert_eq!(timers.next_deadline(), at(20));
        timers.arm(4, Instant::FAR_FUTURE);
        timers.disarm(3);
        timers.disarm(77);
        assert_eq!(timers.next_deadline(), Instant::FAR_FUTURE);
    }

    proptest! {
        /// Against a map that holds every owner's true deadline: whoever is due is called, and nobody twice.
        #[test]
        fn nobody_is_forgotten(steps in prop::collection::vec((0u32..12, 0u64..100, 0u8..4), 1..200)) {
            let mut timers = TimerHeap::new();
            let mut wanted = BTreeMap::new();
            let mut now = 0;
            for (owner, delta, what) in steps {
                match what {
                    0 | 1 => {
                        timers.arm(owner, at(now + delta));
                        wanted.insert(owner, now + delta);
                    }
                    2 => {
                        timers.disarm(owner);
                        wanted.remove(&owner);
                    }
                    _ => now += delta,
                }
                while let Some(owner) = timers.pop_due(at(now)) {
                    match wanted.get(&owner) {
                        Some(&due) if due > now => timers.arm(owner, at(due)),
                        _ => prop_assert!(wanted.remove(&owner).is_some()),
                    }
                }
                prop_assert!(wanted.values().all(|&due| due > now));
                prop_assert_eq!(timers.heap.len(), wanted.len());
            }
        }
    }
}
