//! What we tell the peer of text that has arrived out of order: SACK blocks (RFC 2018), and what arrived twice (D-SACK,
//! RFC 2883).
//!
//! A list of places, the most recently filled first. How far the text around a place reaches is the out-of-order queue's to
//! say.

use std::collections::VecDeque;

/// See the [module](self). Places are counted from the stream's beginning.
#[derive(Debug, Default)]
pub(crate) struct SackList {
    recent: VecDeque<u64>,
    /// What arrived twice, until it is told once.
    duplicate: Option<(u64, u64)>,
}

/// As many blocks as fit into a segment without other options.
pub(crate) const BLOCKS_MAX: usize = 4;

impl SackList {
    /// Text at `at` has arrived out of order; it lies in the full range `filled`.
    pub(crate) fn on_filled(&mut self, at: u64, filled: (u64, u64)) {
        self.recent.retain(|&place| place < filled.0 || place >= filled.1);
        self.recent.push_front(at);
        self.recent.truncate(BLOCKS_MAX);
    }

    /// Everything before `next` has been read in.
    pub(crate) fn on_advance(&mut self, next: u64) {
        self.recent.retain(|&place| place >= next);
    }

    /// Text from `from` to `to` arrived twice.
    pub(crate) fn on_duplicate(&mut self, from: u64, to: u64) {
        self.duplicate = match self.duplicate {
            // `tcp_dsack_extend`: two that touch are told as one.
            Some((start, end)) if from <= end && to >= start => Some((start.min(from), end.max(to))),
            _ => Some((from, to)),
        };
    }

    /// Whether there is nothing to tell.
    pub(crate) fn is_empty(&self) -> bool {
        self.recent.is_empty() && self.duplicate.is_none()
    }

    /// How many blocks there are to tell, of at most `max`.
    pub(crate) fn len(&self, max: usize) -> usize {
        (self.recent.len() + usize::from(self.duplicate.is_some())).min(max)
    }

    /// The blocks for a segment with room for `max` of them. What arrived twice is told first (RFC 2883 section 4), and
    /// only once.
    pub(crate) fn take(
        &mut self,
        max: usize,
        filled_around: impl Fn(u64) -> Option<(u64, u64)>,
    ) -> impl Iterator<Item = (u64, u64)> {
        let duplicate = self.duplicate.take();
        let mut blocks: [Option<(u64, u64)>; BLOCKS_MAX + 1] = [duplicate, None, None, None, None];
        for (place, &at) in blocks[1..].iter_mut().zip(&self.recent) {
            *place = filled_around(at);
        }
        blocks.into_iter().flatten().take(max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_recent_comes_first_and_what_came_twice_before_it() {
        let mut list = SackList::default();
        let around = |at: u64| Some((at / 10 * 10, at / 10 * 10 + 5));
        let take = |list: &mut SackList, max| list.take(max, around).map(|(from, _)| from).collect::<Vec<_>>();
        for at in [20, 40, 60, 80, 100] {
            list.on_filled(at, (at, at + 5));
        }
        assert_eq!(take(&mut list, 4), [100, 80, 60, 40]);
        list.on_filled(62, (60, 65));
        assert_eq!(take(&mut list, 3), [60, 100, 80]);
        list.on_duplicate(7, 9);
        list.on_duplicate(9, 12);
        assert_eq!((list.len(3), take(&mut list, 3)), (3, vec![7, 60, 100]));
        assert_eq!(take(&mut list, 3), [60, 100, 80], "told once");
        list.on_advance(90);
        assert_eq!(take(&mut list, 4), [100]);
        list.on_advance(200);
        assert!(list.is_empty());
    }
}
