//! What the two ends of a watch channel share: the value, the state word, and who waits.

use crate::atomic::{Mutex, RwLock};
use crate::sync::watch::state::{CROWDS, Snapshot, State, Version};
use crate::wait_queue::{Events, Mode, WaitList, WaitQueue, WaitSlot, WakeBatch};
use std::fmt;
use std::task::Waker;

pub(crate) struct Shared<T> {
    /// The version changes only while this is locked for writing: who reads the value knows which one it reads.
    pub(crate) value: RwLock<T>,
    pub(crate) state: State,
    /// Receivers that wait for a newer version, dealt out to several locks so that thousands do not meet in one.
    crowds: [Mutex<WaitList>; CROWDS],
    /// Senders that wait for the last receiver to go.
    pub(crate) closing: WaitQueue,
}

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Shared<T> {
        Shared {
            value: RwLock::new(value),
            state: State::new(),
            crowds: std::array::from_fn(|_| Mutex::new(WaitList::new())),
            closing: WaitQueue::new(),
        }
    }

    /// Tells everybody in the crowds that `published` names.
    #[inline]
    pub(crate) fn tell(&self, published: Snapshot) {
        for crowd in published.crowds() {
            let mut batch = WakeBatch::new();
            let mut waiters = self.crowds[crowd].lock();
            if waiters.wake_all(&mut batch) == 0 {
                self.state.withdraw(crowd);
            }
            drop(waiters);
            batch.wake_all();
        }
    }

    /// Waits in `crowd` for a version other than `seen`, unless there is one, or there will be none: then returns the word.
    pub(crate) fn wait(&self, crowd: usize, slot: &mut WaitSlot, waker: &Waker, seen: Version) -> Option<Snapshot> {
        let mut waiters = self.crowds[crowd].lock();
        // Exclusive for the order alone, the longest waiting first: every wake tells all.
        let replaced = waiters.join(slot, waker, Events::ANY, Mode::Exclusive);
        let now = self.state.announce(crowd);
        let is_news = now.version() != seen || now.is_closed();
        let removed = is_news.then(|| waiters.remove(slot));
        drop(waiters);
        drop((replaced, removed));
        is_news.then_some(now)
    }

    /// Leaves `crowd`, told or not.
    pub(crate) fn leave(&self, crowd: usize, slot: &mut WaitSlot) {
        if slot.is_set() {
            let removed = self.crowds[crowd].lock().remove(slot);
            drop(removed);
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.state.load();
        f.debug_struct("Shared")
            .field("value", &self.value)
            .field("version", &now.version())
            .field("is_closed", &now.is_closed())
            .field("receivers", &self.state.receivers())
            .finish()
    }
}
