//! Disjoint ranges of a line that does not wrap: what has arrived, what is known to have arrived.
//!
//! Ranges that touch are one. Every question costs the logarithm of how many there are, and nothing is held while there
//! are none.

use std::collections::BTreeMap;

/// See the [module](self). A range is from its first place to the one after its last.
#[derive(Clone, Debug, Default)]
pub(crate) struct RangeSet {
    ranges: BTreeMap<u64, u64>,
}

impl RangeSet {
    /// Adds a range, and returns the one that it is part of now. An empty one adds nothing.
    pub(crate) fn insert(&mut self, mut from: u64, mut to: u64) -> (u64, u64) {
        if from >= to {
            return (from, to);
        }
        while let Some((&start, &end)) = self.ranges.range(..=to).next_back()
            && end >= from
        {
            self.ranges.remove(&start);
            (from, to) = (from.min(start), to.max(end));
        }
        self.ranges.insert(from, to);
        (from, to)
    }

    /// The range that holds a place.
    pub(crate) fn containing(&self, at: u64) -> Option<(u64, u64)> {
        self.ranges.range(..=at).next_back().map(|(&start, &end)| (start, end)).filter(|&(_, end)| end > at)
    }

    /// The first part of a range that is not in the set.
    pub(crate) fn first_gap(&self, from: u64, to: u64) -> Option<(u64, u64)> {
        let from = self.containing(from).map_or(from, |(_, end)| end);
        if from >= to {
            return None;
        }
        let next = self.ranges.range(from..to).next().map_or(to, |(&start, _)| start);
        Some((from, next))
    }

    /// Takes away everything before `at`.
    pub(crate) fn remove_below(&mut self, at: u64) {
        while let Some(first) = self.ranges.first_entry()
            && *first.key() < at
        {
            let end = first.remove();
            if end > at {
                self.ranges.insert(at, end);
            }
        }
    }

    /// The first range.
    pub(crate) fn first(&self) -> Option<(u64, u64)> {
        self.ranges.first_key_value().map(|(&start, &end)| (start, end))
    }

    /// The end of the last range.
    pub(crate) fn end(&self) -> Option<u64> {
        self.ranges.last_key_value().map(|(_, &end)| end)
    }

    /// Takes everything away.
    pub(crate) fn clear(&mut self) {
        self.ranges.clear();
    }

    /// The ranges in order.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().map(|(&start, &end)| (start, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a table of places.
        #[test]
        fn holds_what_was_put_in(steps in prop::collection::vec((0u64..200, 0u64..40, 0u8..6), 1..60)) {
            let (mut set, mut model) = (RangeSet::default(), [false; 240]);
            for (from, len, what) in steps {
                let to = from + len;
                match what {
                    0..=3 => {
                        let merged = set.insert(from, to);
                        model[from as usize..to as usize].fill(true);
                        prop_assert!(merged.0 <= from && merged.1 >= to);
                        prop_assert!(from == to || set.containing(from) == Some(merged));
                    }
                    4 => {
                        set.remove_below(from);
                        model[..from as usize].fill(false);
                    }
                    _ => {
                        let gap = set.first_gap(from, to);
                        let first = (from..to).find(|&at| !model[at as usize]);
                        prop_assert_eq!(gap.map(|(start, _)| start), first);
                        if let Some((start, end)) = gap {
                            prop_assert!(model[start as usize..end as usize].iter().all(|&there| !there));
                            prop_assert!(end == to || model[end as usize]);
                        }
                    }
                }
                let held: Vec<u64> = set.iter().flat_map(|(start, end)| start..end).collect();
                let expected: Vec<u64> = (0..240).filter(|&at| model[at as usize]).collect();
                prop_assert_eq!(held, expected);
                let ranges: Vec<_> = set.iter().collect();
                prop_assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "{:?}", ranges);
            }
        }
    }
}
