//! The ring of a broadcast channel, and who waits at its end.
//!
//! # Positions
//! Values are numbered from 0; value `p` stands in slot `p` modulo the ring's length until value `p + length` overwrites it,
//! or the last receiver that was there when it was sent has seen it. The tail is the number of the next value. A receiver
//! is a position: what it will receive next.
//!
//! # Locks
//! The tail's, then one slot's. A sender holds both while it writes; a receiver that finds its value holds its slot's only.
//! Values are cloned under their slot's lock, dropped under none.

use crate::atomic::{Mutex, MutexGuard};
use crate::sync::broadcast::handles::Handles;
use crate::wait_queue::{Events, Mode, WaitList, WaitSlot, WakeBatch};
use std::task::Waker;

#[derive(Debug)]
pub(crate) struct Shared<T> {
    slots: Box<[Mutex<Slot<T>>]>,
    tail: Mutex<Tail>,
    pub(crate) handles: Handles,
}

#[derive(Debug)]
struct Tail {
    position: u64,
    receivers: usize,
    /// The last sender is gone.
    is_closed: bool,
    /// Receivers that have received all there is.
    waiting: WaitList,
    /// Senders that wait for the last receiver to go.
    closing: WaitList,
}

#[derive(Debug)]
pub(crate) struct Slot<T> {
    position: u64,
    /// How many receivers have yet to see the value; it is here as long as there are any.
    unseen_by: usize,
    value: Option<T>,
}

/// What a receiver finds at its position.
#[must_use]
#[derive(Debug)]
pub(crate) enum Found<'a, T> {
    /// Its value, locked. One of those who have yet to see it is the caller.
    Value(MutexGuard<'a, Slot<T>>),
    /// Nothing yet. The caller is in the list of those who wait, if it has asked for that.
    Nothing,
    /// Nothing, and nothing more will come.
    Closed,
    /// Its value was overwritten; `oldest` is the position of the first that was not.
    Lagged { oldest: u64 },
}

impl<T> Shared<T> {
    /// # Panics
    /// When `capacity` is 0, over `usize::MAX / 2`, or more than can be allocated.
    #[track_caller]
    pub(crate) fn new(capacity: usize) -> Shared<T> {
        assert!(capacity > 0, "a broadcast channel keeps at least one value: give it a capacity of 1 or more");
        assert!(capacity <= usize::MAX / 2, "a broadcast channel's capacity is at most usize::MAX / 2: give it less");
        let capacity = capacity.next_power_of_two();
        let mut slots = Vec::new();
        if slots.try_reserve_exact(capacity).is_err() {
            panic!(
                "no memory for a broadcast channel of {capacity} values, allocated at once: give it a smaller capacity"
            );
        }
        slots.extend((0..capacity).map(|index| {
            // As if the value before the first had been seen long ago.
            let position = (index as u64).wrapping_sub(capacity as u64);
            Mutex::new(Slot { position, unseen_by: 0, value: None })
        }));
        let tail =
            Tail { position: 0, receivers: 0, is_closed: false, waiting: WaitList::new(), closing: WaitList::new() };
        Shared { slots: slots.into_boxed_slice(), tail: Mutex::new(tail), handles: Handles::new() }
    }

    fn slot(&self, position: u64) -> MutexGuard<'_, Slot<T>> {
        // The length is a power of two, and so the cast may cut: what counts are the lowest bits.
        self.slots[position as usize & (self.slots.len() - 1)].lock()
    }

    /// Writes `value` for all receivers and returns how many they are; gives it back when there are none.
    pub(crate) fn send(&self, value: T) -> Result<usize, T> {
        let mut batch = WakeBatch::new();
        let mut tail = self.tail.lock();
        let receivers = tail.receivers;
        if receivers == 0 {
            return Err(value);
        }
        let position = tail.position;
        tail.position += 1;
        // Before the value can be seen: whoever finds it knows without the tail's lock that it is in no list any more.
        tail.waiting.wake_all(&mut batch);
        let overwritten = {
            let mut slot = self.slot(position);
            slot.position = position;
            slot.unseen_by = receivers;
            slot.value.replace(value)
        };
        drop(tail);
        batch.wake_all();
        drop(overwritten);
        Ok(receivers)
    }

    /// Looks for the value at `position`. When there is nothing yet, `waiter` joins those who wait.
    pub(crate) fn find(&self, position: u64, waiter: Option<(&mut WaitSlot, &Waker)>) -> Found<'_, T> {
        let slot = self.slot(position);
        if slot.position == position {
            return Found::Value(slot);
        }
        drop(slot); // the tail's lock comes first
        let mut tail = self.tail.lock();
        let length = self.slots.len() as u64;
        if tail.position == position {
            if tail.is_closed {
                return Found::Closed;
            }
            // Exclusive for the order alone, the longest waiting first: every wake tells all.
            let replaced =
                waiter.and_then(|(place, waker)| tail.waiting.join(place, waker, Events::ANY, Mode::Exclusive));
            drop(tail);
            drop(replaced);
            return Found::Nothing;
        }
        // It was sent between the two looks, or it was overwritten.
        match tail.position - position <= length {
            true => Found::Value(self.slot(position)),
            false => Found::Lagged { oldest: tail.position - length },
        }
    }

    /// A receiver gives up waiting.
    pub(crate) fn leave(&self, place: &mut WaitSlot) {
        if place.is_set() {
            let removed = self.tail.lock().waiting.remove(place);
            drop(removed);
        }
    }

    /// Adds a receiver; returns where it begins.
    #[track_caller]
    pub(crate) fn subscribe(&self) -> u64 {
        let mut tail = self.tail.lock();
        tail.receivers = tail.receivers.checked_add(1).expect("fewer receivers than bytes of memory");
        tail.position
    }

    /// Takes a receiver away; returns where the values end that count it among those who have yet to see them.
    pub(crate) fn unsubscribe(&self) -> u64 {
        let mut tail = self.tail.lock();
        tail.receivers -= 1;
        tail.position
    }

    /// Tells those who wait for the last receiver to go, if it has.
    pub(crate) fn tell_if_deserted(&self) {
        let mut batch = WakeBatch::new();
        let mut tail = self.tail.lock();
        if tail.receivers == 0 {
            tail.closing.wake_all(&mut batch);
        }
        drop(tail);
        batch.wake_all();
    }

    /// The last sender is gone: tells those who wait for a value.
    pub(crate) fn close(&self) {
        let mut batch = WakeBatch::new();
        let mut tail = self.tail.lock();
        tail.is_closed = true;
        tail.waiting.wake_all(&mut batch);
        drop(tail);
        batch.wake_all();
    }

    /// Whether there is no receiver; when there is one, `waker` joins those who wait for that.
    pub(crate) fn is_deserted_or_wait(&self, place: &mut WaitSlot, waker: &Waker) -> bool {
        let mut tail = self.tail.lock();
        let is_deserted = tail.receivers == 0;
        let left = if is_deserted {
            let removed = tail.closing.remove(place);
            (Some(removed), None)
        } else {
            (None, tail.closing.join(place, waker, Events::HUP, Mode::Shared))
        };
        drop(tail);
        drop(left);
        is_deserted
    }

    /// A sender gives up waiting.
    pub(crate) fn leave_closing(&self, place: &mut WaitSlot) {
        if place.is_set() {
            let removed = self.tail.lock().closing.remove(place);
            drop(removed);
        }
    }

    pub(crate) fn receivers(&self) -> usize {
        self.tail.lock().receivers
    }

    #[cfg(all(test, loom))]
    pub(crate) fn waiting(&self) -> usize {
        self.tail.lock().waiting.len()
    }

    /// How many values were sent from `position` on.
    pub(crate) fn sent_since(&self, position: u64) -> u64 {
        self.tail.lock().position - position
    }

    /// How many values are in the ring.
    pub(crate) fn len(&self) -> usize {
        let tail = self.tail.lock();
        let end = tail.position;
        let begin = end.saturating_sub(self.slots.len() as u64);
        // Receivers go in order, so values go in order: first those seen by all, then those that are left.
        let (mut low, mut high) = (begin, end);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.slot(middle).unseen_by == 0 {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (end - low) as usize
    }

    /// Whether no value is in the ring.
    pub(crate) fn is_empty(&self) -> bool {
        let tail = self.tail.lock();
        tail.position == 0 || self.slot(tail.position - 1).unseen_by == 0
    }
}

impl<T> Slot<T> {
    /// The caller has seen the value: takes it out if nobody else has yet to.
    #[inline]
    pub(crate) fn pass(&mut self) -> Option<T> {
        self.unseen_by -= 1;
        if self.unseen_by == 0 { self.value.take() } else { None }
    }

    /// A clone of the value for the caller, or, for the last of those who have yet to see it, the value itself.
    #[inline]
    pub(crate) fn receive(&mut self) -> T
    where
        T: Clone,
    {
        // Counted first: should the clone panic, the caller has seen the value all the same.
        let last = self.pass();
        last.or_else(|| self.value.clone()).expect("a value stays until the last who is to see it has")
    }
}
