//! What a ring has under way and what is done, as a pure structure with one bound: no lock, no socket, no waker.
//!
//! Every operation has a place in the completion queue from the moment it is submitted, so its completion always fits. A
//! multishot operation has one place too; each of its completions but the last takes another, and when there is none
//! left the next one is the last.

use slab::Slab;
use std::collections::VecDeque;

/// See the [module](self). `O` is an operation, `C` its completion.
#[derive(Debug)]
pub(crate) struct Queue<O, C> {
    under_way: Slab<O>,
    done: VecDeque<C>,
    max: usize,
    is_closed: bool,
}

/// Why an operation was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As much is under way and done as there is room for (`EBUSY`).
    Busy,
    /// The ring is closed.
    Closed,
}

impl<O, C> Queue<O, C> {
    /// A queue with room for `max` completions.
    pub(crate) fn new(max: usize) -> Queue<O, C> {
        Queue { under_way: Slab::new(), done: VecDeque::new(), max, is_closed: false }
    }

    /// Takes an operation, which `make` makes of its number.
    pub(crate) fn begin(&mut self, make: impl FnOnce(usize) -> O) -> Result<&O, Refused> {
        if self.is_closed {
            return Err(Refused::Closed);
        }
        if !self.has_room() {
            return Err(Refused::Busy);
        }
        let entry = self.under_way.vacant_entry();
        let op = make(entry.key());
        Ok(entry.insert(op))
    }

    /// An operation is over, or never began. Its completion, if it has one, takes the place that was kept for it.
    pub(crate) fn end(&mut self, number: usize, completion: Option<C>) -> Option<O> {
        let op = self.under_way.try_remove(number);
        debug_assert!(op.is_some(), "an operation ends once");
        self.done.extend(completion);
        op
    }

    /// A completion of an operation that goes on; given back when there is no room for it.
    pub(crate) fn add(&mut self, completion: C) -> Result<(), C> {
        if !self.has_room() {
            return Err(completion);
        }
        self.done.push_back(completion);
        Ok(())
    }

    /// Whether one completion more would fit.
    pub(crate) fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// How many completions more would fit.
    pub(crate) fn room(&self) -> usize {
        self.max - self.under_way.len() - self.done.len()
    }

    pub(crate) fn pop(&mut self) -> Option<C> {
        self.done.pop_front()
    }

    /// How many completions wait to be taken.
    pub(crate) fn len(&self) -> usize {
        self.done.len()
    }

    pub(crate) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// The operation that was begun first of those with a low number that `is` it.
    pub(crate) fn find(&self, is: impl Fn(&O) -> bool) -> Option<&O> {
        self.under_way.iter().map(|(_, op)| op).find(|op| is(op))
    }

    /// Takes nothing any more; gives what is under way.
    pub(crate) fn close(&mut self) -> Vec<O>
    where
        O: Clone,
    {
        self.is_closed = true;
        self.under_way.iter().map(|(_, op)| op.clone()).collect()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn who_was_taken_has_a_place_in_the_end() {
        let mut queue = Queue::new(2);
        assert_eq!(queue.begin(|number| number), Ok(&0));
        assert_eq!(queue.add('a'), Ok(()));
        assert_eq!(queue.begin(|number| number), Err(Refused::Busy));
        assert_eq!(queue.add('b'), Err('b'), "a multishot operation can not use its own last place");
        assert_eq!(queue.end(0, Some('b')), Some(0));
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some('a'), Some('b'), None));
        queue.close();
        assert_eq!(queue.begin(|number| number), Err(Refused::Closed));
    }

    proptest! {
        /// Whatever is done: never more than the bound, and each operation ends with its completion in the queue.
        #[test]
        fn it_never_holds_more_than_its_bound(steps in prop::collection::vec((0..4_u8, 0..8_usize), 1..200), max in 1..6_usize) {
            let mut queue = Queue::new(max);
            let (mut alive, mut done): (Vec<usize>, VecDeque<usize>) = (Vec::new(), VecDeque::new());
            for (step, at) in steps {
                match step {
                    0 => match queue.begin(|number| number) {
                        Ok(&number) => { prop_assert!(alive.len() + done.len() < max); alive.push(number) }
                        Err(refused) => {
                            prop_assert_eq!(refused, Refused::Busy);
                            prop_assert_eq!(alive.len() + done.len(), max);
                        }
                    },
                    1 if !alive.is_empty() => {
                        let number = alive.remove(at % alive.len());
                        prop_assert_eq!(queue.end(number, Some(number)), Some(number));
                        done.push_back(number);
                    }
                    2 => match queue.add(99) {
                        Ok(()) => done.push_back(99),
                        Err(_) => prop_assert_eq!(alive.len() + done.len(), max),
                    },
                    _ => prop_assert_eq!(queue.pop(), done.pop_front()),
                }
                prop_assert_eq!((queue.len(), queue.under_way()), (done.len(), alive.len()));
                prop_assert!(queue.len() + queue.under_way() <= max);
            }
        }
    }
}
