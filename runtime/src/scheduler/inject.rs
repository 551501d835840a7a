//! The injector: the queue that is everyone's. What comes from outside the workers goes in here, and what overflows.

use crate::atomic::{AtomicUsize, Mutex, Ordering};
use std::collections::VecDeque;

/// A FIFO behind a lock, with a length that can be read without it; on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Injector<T> {
    /// The length of `items` and the [`CLOSED`] flag, written under the lock.
    len: AtomicUsize,
    items: Mutex<VecDeque<T>>,
}

/// The runtime ends: nothing more goes in.
const CLOSED: usize = 1 << (usize::BITS - 1);

impl<T> Injector<T> {
    pub(super) fn new() -> Injector<T> {
        Injector { len: AtomicUsize::new(0), items: Mutex::new(VecDeque::new()) }
    }

    /// How many items there are; a worker that has announced its sleep before it asks can rely on a zero, see
    /// [`crate::scheduler::idle`].
    pub(super) fn len(&self) -> usize {
        // Acquire pairs with the Release of whoever wrote it: `is_closed` tells what happened before.
        self.len.load(Ordering::Acquire) & !CLOSED
    }

    pub(super) fn is_closed(&self) -> bool {
        self.len.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Adds an item. After [`close`](Injector::close) it is dropped.
    pub(super) fn push(&self, item: T) {
        self.push_batch(std::iter::once(item));
    }

    /// Adds several items under one lock.
    pub(super) fn push_batch(&self, mut items: impl Iterator<Item = T>) {
        {
            let mut queue = self.items.lock();
            if !self.is_closed() {
                queue.extend(items.by_ref());
                self.len.store(queue.len(), Ordering::Release);
            }
        }
        // What was not taken drops here, outside the lock: an item's drop may free a task.
        items.for_each(drop);
    }

    /// Takes the oldest item.
    pub(super) fn pop(&self) -> Option<T> {
        if self.len() == 0 {
            return None;
        }
        let mut queue = self.items.lock();
        let item = queue.pop_front();
        self.write_len(queue.len());
        item
    }

    /// Takes one worker's fair share of `workers`, at most `max` and at least one item, and gives each to `take`.
    ///
    /// `take` runs under the lock and must not come back here.
    pub(super) fn pop_share(&self, workers: usize, max: usize, mut take: impl FnMut(T)) {
        if self.len() == 0 {
            return;
        }
        let mut queue = self.items.lock();
        let share = (queue.len() / workers + 1).min(max).min(queue.len());
        queue.drain(..share).for_each(&mut take);
        self.write_len(queue.len());
    }

    /// From now on pushed items are dropped; those that are there stay.
    pub(super) fn close(&self) {
        let queue = self.items.lock();
        self.len.store(queue.len() | CLOSED, Ordering::Release);
    }

    fn write_len(&self, len: usize) {
        // Only changed under the lock, which the caller holds.
        let closed = self.len.load(Ordering::Relaxed) & CLOSED;
        self.len.store(len | closed, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_share_leaves_something_for_the_others() {
        let injector = Injector::new();
        injector.push_batch(0..10);
        let mut taken = Vec::new();
        injector.pop_share(4, 128, |item| taken.push(item));
        assert_eq!(taken, [0, 1, 2]);
        injector.pop_share(1, 4, |item| taken.push(item));
        assert_eq!(taken, [0, 1, 2, 3, 4, 5, 6]);
        injector.pop_share(1, 128, |item| taken.push(item));
        assert_eq!((taken.len(), injector.len(), injector.pop()), (10, 0, None));
    }

    #[test]
    fn a_closed_injector_gives_what_it_has_and_takes_nothing() {
        let injector = Injector::new();
        injector.push(1);
        injector.close();
        injector.push(2);
        assert!(injector.is_closed());
        assert_eq!((injector.len(), injector.pop(), injector.pop()), (1, Some(1), None));
        assert!(injector.is_closed());
    }
}
