//! A first-in-first-out queue that costs nothing while it is empty.
//!
//! Most queues of a connection hold at most one thing at a time, so the first one has a place of its own; only a second one
//! allocates, and a queue that is down to one gives that memory back.

use std::collections::VecDeque;
use std::mem::take;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct ShortQueue<T> {
    first: Option<T>,
    /// What stands behind the first one; never an empty queue.
    #[expect(clippy::box_collection, reason = "a connection has three of these, and an idle one needs none")]
    rest: Option<Box<VecDeque<T>>>,
}

impl<T> ShortQueue<T> {
    /// An empty queue.
    pub(crate) const fn new() -> ShortQueue<T> {
        ShortQueue { first: None, rest: None }
    }

    /// Whether it is empty.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// How many it holds.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.as_ref().map_or(0, |rest| rest.len())
    }

    #[inline]
    pub(crate) fn push_back(&mut self, item: T) {
        if self.first.is_none() {
            self.first = Some(item);
        } else {
            self.rest.get_or_insert_default().push_back(item);
        }
    }

    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let item = self.first.take()?;
        if let Some(rest) = &mut self.rest {
            self.first = rest.pop_front();
            if rest.is_empty() {
                self.rest = None;
            }
        }
        Some(item)
    }

    /// Drops the first `n`, or all.
    #[inline]
    pub(crate) fn discard_front(&mut self, n: usize) {
        let Some(others) = n.checked_sub(1) else { return };
        self.first = None;
        if let Some(rest) = &mut self.rest {
            drop(rest.drain(..others.min(rest.len())));
            self.first = rest.pop_front();
            if rest.is_empty() {
                self.rest = None;
            }
        }
    }

    #[inline]
    pub(crate) fn front(&self) -> Option<&T> {
        self.first.as_ref()
    }

    #[inline]
    pub(crate) fn front_mut(&mut self) -> Option<&mut T> {
        self.first.as_mut()
    }

    #[inline]
    pub(crate) fn back_mut(&mut self) -> Option<&mut T> {
        match &mut self.rest {
            None => self.first.as_mut(),
            Some(rest) => rest.back_mut(),
        }
    }

    /// The one at `index`, counted from the front.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        match index.checked_sub(1) {
            None => self.first.as_ref(),
            Some(index) => self.rest.as_ref()?.get(index),
        }
    }

    /// The same, to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        match index.checked_sub(1) {
            None => self.first.as_mut(),
            Some(index) => self.rest.as_mut()?.get_mut(index),
        }
    }

    /// All from the front on.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(self.rest.iter().flat_map(|rest| rest.iter()))
    }

    /// Takes all of them out, from the front on.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        let ShortQueue { first, rest } = take(self);
        first.into_iter().chain(rest.into_iter().flat_map(|rest| *rest))
    }
}

impl<T> Default for ShortQueue<T> {
    fn default() -> Self {
        ShortQueue::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_is_small_and_gives_its_memory_back() {
        assert_eq!(size_of::<ShortQueue<Box<u8>>>(), 16);
        let mut queue = ShortQueue::new();
        (0..5).for_each(|n| queue.push_back(n));
        (0..4).for_each(|n| assert_eq!(queue.pop_front(), Some(n)));
        assert!(queue.rest.is_none() && queue.len() == 1);
    }

    proptest! {
        #[test]
        fn it_is_a_queue(steps in prop::collection::vec((0u8..4, 0u32..100), 0..100)) {
            let (mut queue, mut model) = (ShortQueue::new(), VecDeque::new());
            for (step, n) in steps {
                match step {
                    0 | 1 => {
                        queue.push_back(n);
                        model.push_back(n);
                    }
                    2 => prop_assert_eq!(queue.pop_front(), model.pop_front()),
                    _ if n < 5 => prop_assert!(queue.drain().eq(model.drain(..))),
                    _ if n < 25 => {
                        let n = n as usize % 5;
                        queue.discard_front(n);
                        model.drain(..n.min(model.len()));
                    }
                    _ => {
                        let at = n as usize % 5;
                        prop_assert_eq!(queue.get_mut(at), model.get_mut(at));
                    }
                }
                prop_assert!(queue.iter().eq(&model));
                prop_assert_eq!((queue.len(), queue.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(queue.front(), model.front());
                prop_assert_eq!(queue.back_mut(), model.back_mut());
                prop_assert!((0..8).all(|at| queue.get(at) == model.get(at)));
            }
        }
    }
}
