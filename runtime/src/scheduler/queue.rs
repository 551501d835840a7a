//! The run queue of one worker: a ring that its owner fills and everyone empties, and beside it the LIFO slot.
//!
//! It knows nothing of tasks; it moves pointers ([`Item`]).
//!
//! # References
//! [`Local`], one: the owner's; it pushes and pops, and only it moves `tail`. [`Remote`], any number: the thieves'.
//!
//! # State
//! ```text
//!          head                    tail
//!            v                       v           push:      tail + 1            (1 store, owner)
//!   | free | full | full | ... | full | free |   pop:       head + 1            (2 CAS, owner)
//!                                                steal:     head + half         (3 CAS, a thief)
//!                                                overflow:  head + half         (4 CAS, owner)
//! ```
//! `head` and `tail` only grow; a position's slot is the position modulo [`CAPACITY`]. Between `head` and `tail` lie the
//! full slots, `tail - head <= CAPACITY`.
//!
//! # Why it is right
//! - Who takes items *reads the slots first and then* moves `head` from the value it began with. If that succeeds nobody
//!   else moved it meanwhile, so nobody else has these items, and the owner could not reuse their slots, since it writes
//!   a slot only when `head` has passed it. If it fails, what was read is forgotten. So one CAS is all a thief costs,
//!   and a thief that is descheduled in the middle holds nobody up.
//! - `head` would have to wrap around within one steal for the CAS to succeed wrongly: 2^64 steps (2^32 on 32-bit
//!   machines, within the time between two instructions).
//! - The slots are atomics because a thief may read one that is being overwritten; it will not use what it read.
//! - The LIFO slot is a single pointer that is only ever exchanged, so whoever gets a pointer out of it alone has it.
//!
//! A queue made for a single worker has no thieves and does without locked instructions.

use crate::atomic::{AtomicPtr, AtomicUsize, Ordering};
use crate::scheduler::inject::Injector;
use std::marker::PhantomData;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

/// Something that is one pointer wide.
pub(super) trait Item: Send + Sized {
    fn into_raw(self) -> NonNull<()>;

    /// # Safety
    /// `raw` comes from `into_raw`, and is used for this once.
    unsafe fn from_raw(raw: NonNull<()>) -> Self;
}

/// The owner's side.
#[derive(Debug)]
pub(super) struct Local<T: Item> {
    shared: Arc<Shared<T>>,
}

/// A thief's side.
#[derive(Debug)]
pub(super) struct Remote<T: Item> {
    shared: Arc<Shared<T>>,
}

/// Whether a push has moved older items to the injector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overflowed(pub(super) bool);

#[derive(Debug)]
struct Shared<T> {
    head: Line<AtomicUsize>,
    tail: Line<AtomicUsize>,
    lifo: AtomicPtr<()>,
    /// How many times the ring was full.
    overflows: AtomicUsize,
    /// Nobody steals from here.
    sole: bool,
    slots: [AtomicPtr<()>; CAPACITY],
    _items: PhantomData<fn(T) -> T>,
}

/// Owner and thieves write `head`, only the owner `tail`: they shall not share a cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Line<A>(A);

/// How many items the ring holds; a power of two.
#[cfg(not(loom))]
pub(super) const CAPACITY: usize = 256;
#[cfg(loom)]
pub(super) const CAPACITY: usize = 4;

const HALF: usize = CAPACITY / 2;

/// A queue, from both sides. `sole`: its owner is the only worker.
pub(super) fn new<T: Item>(sole: bool) -> (Local<T>, Remote<T>) {
    let shared = Arc::new(Shared {
        head: Line(AtomicUsize::new(0)),
        tail: Line(AtomicUsize::new(0)),
        lifo: AtomicPtr::new(null_mut()),
        overflows: AtomicUsize::new(0),
        sole,
        slots: std::array::from_fn(|_| AtomicPtr::new(null_mut())),
        _items: PhantomData,
    });
    (Local { shared: shared.clone() }, Remote { shared })
}

impl<T: Item> Local<T> {
    /// How many items the ring holds; thieves may take some meanwhile.
    pub(super) fn ring_len(&self) -> usize {
        self.shared.ring_len()
    }

    /// Whether neither the ring nor the LIFO slot holds anything.
    pub(super) fn is_empty(&self) -> bool {
        self.shared.is_empty()
    }

    /// Puts an item at the end; when the ring is full, the older half of it goes to `injector` first, and this says so.
    pub(super) fn push(&mut self, item: T, injector: &Injector<T>) -> Overflowed {
        let shared = &*self.shared;
        let mut overflowed = Overflowed(false);
        // Relaxed: the owner's own last write.
        let tail = shared.tail.0.load(Ordering::Relaxed);
        loop {
            // Acquire pairs with the Release of 3: the thief has read the slots that it took.
            let head = shared.head.0.load(Ordering::Acquire);
            if tail.wrapping_sub(head) < CAPACITY {
                break;
            }
            if let Some(older) = shared.overflow(head) {
                injector.push_batch(older);
                overflowed = Overflowed(true);
            }
        }
        shared.slot(tail).store(item.into_raw().as_ptr(), Ordering::Relaxed);
        // 1. Release pairs with a thief's Acquire of `tail`: the slot, and the item's content, are there.
        shared.tail.0.store(tail.wrapping_add(1), Ordering::Release);
        overflowed
    }

    /// Takes the oldest item of the ring.
    pub(super) fn pop(&mut self) -> Option<T> {
        let shared = &*self.shared;
        let tail = shared.tail.0.load(Ordering::Relaxed);
        let mut head = shared.head.0.load(Ordering::Acquire);
        loop {
            if head == tail {
                return None;
            }
            let raw = shared.slot(head).load(Ordering::Relaxed);
            let next = head.wrapping_add(1);
            if shared.sole {
                shared.head.0.store(next, Ordering::Relaxed);
                return shared.take(raw);
            }
            // 2. AcqRel: takes over from 3, and 3 from it.
            match shared.head.0.compare_exchange(head, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return shared.take(raw),
                Err(found) => head = found,
            }
        }
    }

    /// Puts an item into the LIFO slot and gives back the one that it displaces.
    pub(super) fn push_lifo(&mut self, item: T) -> Option<T> {
        let raw = item.into_raw().as_ptr();
        // AcqRel: whoever takes the item sees its content, and the owner that of the one displaced.
        let displaced = self.shared.lifo.swap(raw, Ordering::AcqRel);
        self.shared.take(displaced)
    }

    /// Takes what is in the LIFO slot.
    pub(super) fn pop_lifo(&mut self) -> Option<T> {
        self.shared.take_lifo()
    }
}

impl<T: Item> Remote<T> {
    /// How many items the ring holds; more or fewer a moment later.
    pub(super) fn ring_len(&self) -> usize {
        self.shared.ring_len()
    }

    /// How many times the ring was full.
    pub(super) fn overflows(&self) -> usize {
        self.shared.overflows.load(Ordering::Relaxed)
    }

    /// Whether neither the ring nor the LIFO slot holds anything now.
    pub(super) fn is_empty(&self) -> bool {
        self.shared.is_empty()
    }

    /// Moves the older half of the ring, rounded up, to `into`, which must be empty, and returns one item of it.
    pub(super) fn steal_into(&self, into: &mut Local<T>) -> Option<(T, usize)> {
        debug_assert!(!Arc::ptr_eq(&self.shared, &into.shared), "nobody steals from himself");
        let (from, to) = (&*self.shared, &*into.shared);
        // Relaxed: the thief owns the queue that it moves to.
        let to_tail = to.tail.0.load(Ordering::Relaxed);
        loop {
            let head = from.head.0.load(Ordering::Acquire);
            // Acquire pairs with 1. Loaded after `head`, so it may be ahead of it by more than there ever was.
            let tail = from.tail.0.load(Ordering::Acquire);
            let there = tail.wrapping_sub(head);
            let count = there - there / 2;
            if count == 0 {
                return None;
            }
            if count > HALF {
                continue;
            }
            // The last one is run at once, so it does not pass through the thief's ring.
            for i in 0..count - 1 {
                let raw = from.slot(head.wrapping_add(i)).load(Ordering::Relaxed);
                to.slot(to_tail.wrapping_add(i)).store(raw, Ordering::Relaxed);
            }
            let last = from.slot(head.wrapping_add(count - 1)).load(Ordering::Relaxed);
            // 3. Release: the slots have been read, the owner may reuse them. Acquire: see 2.
            let taken = head.wrapping_add(count);
            if from.head.0.compare_exchange(head, taken, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                // As 1.
                to.tail.0.store(to_tail.wrapping_add(count - 1), Ordering::Release);
                return from.take(last).map(|item| (item, count));
            }
        }
    }

    /// What is in the LIFO slot now, as a mark to compare with a later one; 0 when there is nothing.
    pub(super) fn lifo_mark(&self) -> usize {
        self.shared.lifo.load(Ordering::Relaxed).addr()
    }

    /// Takes what is in the LIFO slot. Worth it only when the owner will not come back to it soon.
    pub(super) fn steal_lifo(&self) -> Option<T> {
        self.shared.take_lifo()
    }
}

impl<T: Item> Shared<T> {
    fn slot(&self, position: usize) -> &AtomicPtr<()> {
        &self.slots[position % CAPACITY]
    }

    fn ring_len(&self) -> usize {
        let head = self.head.0.load(Ordering::Acquire);
        self.tail.0.load(Ordering::Acquire).wrapping_sub(head).min(CAPACITY)
    }

    fn is_empty(&self) -> bool {
        self.ring_len() == 0 && self.lifo.load(Ordering::Acquire).is_null()
    }

    fn take_lifo(&self) -> Option<T> {
        // Relaxed: a look that saves the exchange when there is nothing.
        if self.lifo.load(Ordering::Relaxed).is_null() {
            return None;
        }
        // Acquire pairs with the Release in `push_lifo`.
        let raw = self.lifo.swap(null_mut(), Ordering::AcqRel);
        self.take(raw)
    }

    /// Called by the owner alone, on a full ring that begins at `head`.
    fn overflow(&self, head: usize) -> Option<impl Iterator<Item = T>> {
        let raws: [*mut (); HALF] = std::array::from_fn(|i| self.slot(head.wrapping_add(i)).load(Ordering::Relaxed));
        // 4. As 2.
        let taken = head.wrapping_add(HALF);
        // Relaxed: a number for the metrics.
        self.overflows.fetch_add(1, Ordering::Relaxed);
        self.head.0.compare_exchange(head, taken, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        Some(raws.into_iter().filter_map(|raw| self.take(raw)))
    }

    /// Turns a pointer whose only holder the caller has become into its item.
    fn take(&self, raw: *mut ()) -> Option<T> {
        // SAFETY: pointers come into slots from `into_raw` only, and each leaves by one successful exchange (or, with
        // a sole owner, one store), whose maker calls this.
        NonNull::new(raw).map(|raw| unsafe { T::from_raw(raw) })
    }
}

impl<T: Item> Drop for Local<T> {
    fn drop(&mut self) {
        drop(self.pop_lifo());
        while self.pop().is_some() {}
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
