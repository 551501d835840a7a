//! The wait queue: who wants to know when something becomes ready, and in which order they are told.
//!
//! Linux's wait-queue entry is `{flags, private, func}`; whoever makes a resource ready calls each entry's `func`. A
//! Rust [`Waker`] is exactly the pair `private` and `func`: for a task `func` schedules it, for a parked thread it
//! unparks it (see [`crate::park`]). So one list serves every way to wait.
//!
//! - [`WaitList`] is the list alone. It has no lock: it lives under the lock of what it guards, and checking a condition
//!   and joining the list under that one lock is what keeps a wake-up from being lost. Sockets hold one.
//! - [`WaitQueue`] is a list with a lock of its own, for conditions that are atomics, with the store-load barrier pair
//!   that Linux calls `skwq_has_sleeper`.
//! - [`WakeBatch`] carries wakers out of a lock. No waker is ever called while a lock is held.
//!
//! # Order
//! As `__wake_up_common`: shared (non-exclusive) entries stand at the head, newest first; exclusive ones at the tail,
//! oldest first. A wake tells every matching shared entry and at most a given number of exclusive ones. An entry leaves
//! the list when it is told (`autoremove_wake_function`), so telling it twice is impossible and its slot is stale.
//!
//! # A waiter that gives up
//! An exclusive waiter that was told and then drops without looking at the resource must pass the wake on, or the
//! resource is ready and nobody knows. [`WaitList::remove`] says whether that happened; [`WaitQueue::wait_until`] does it.

use crate::atomic::{AtomicUsize, Mutex, Ordering, fence};
use crate::park::{Parker, with_thread_parker};
use crate::unwind::contain;
use slab::Slab;
use smallvec::SmallVec;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

bitflags::bitflags! {
    /// What happened, or what a waiter wants to hear of; the bits are those of `poll(2)` and `epoll(7)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Events: u32 {
        /// There is something to read.
        const IN = 0x001;
        /// There is urgent data.
        const PRI = 0x002;
        /// There is room to write.
        const OUT = 0x004;
        /// An error is pending. Every waiter hears of it.
        const ERR = 0x008;
        /// Both directions are closed. Every waiter hears of it.
        const HUP = 0x010;
        /// Normal data to read.
        const RDNORM = 0x040;
        /// Priority-band data to read.
        const RDBAND = 0x080;
        /// Room for normal data.
        const WRNORM = 0x100;
        /// Room for priority-band data.
        const WRBAND = 0x200;
        /// A message, for signal-driven I/O.
        const MSG = 0x400;
        /// The peer has closed its direction.
        const RDHUP = 0x2000;
        /// The key with which `sock_def_readable` wakes.
        const READABLE = Self::IN.bits() | Self::PRI.bits() | Self::RDNORM.bits() | Self::RDBAND.bits();
        /// The key with which `sock_def_write_space` wakes.
        const WRITABLE = Self::OUT.bits() | Self::WRNORM.bits() | Self::WRBAND.bits();
        /// No key: passes every filter, as a wake without one does in Linux.
        const ANY = !0;
    }
}

/// Whether an entry counts against a wake's quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Told by every matching wake.
    Shared,
    /// `WQ_FLAG_EXCLUSIVE`: a wake tells only as many of these as its quota allows, longest waiting first.
    Exclusive,
}

/// A place in a [`WaitList`]; stale once the entry has been told or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitKey {
    index: u32,
    generation: u32,
}

/// Where one future, thread or stream half remembers its place in a list. Empty by default.
///
/// The owner must empty it with `remove` or `finish` before it goes away; a forgotten place costs one stale wake-up and
/// its entry's memory until then.
#[derive(Debug, Default)]
pub struct WaitSlot(Option<WaitKey>);

impl WaitSlot {
    /// A slot that is in no list.
    #[must_use]
    pub const fn new() -> WaitSlot {
        WaitSlot(None)
    }

    /// Whether the owner has joined a list since the slot was last emptied. It may have been told since.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        self.0.is_some()
    }
}

/// How a waiter stood when it was removed.
#[must_use]
#[derive(Debug)]
pub enum Removed {
    /// It was not in the list and had not been told: the slot was empty.
    Absent,
    /// It was still waiting, with this waker. Drop it after the lock around the list is released: the drop of a foreign
    /// waker may run any code.
    Waiting(Waker),
    /// It had been told. An exclusive waiter that did not use what it was told of must pass the wake on.
    Told,
    /// It had been told by [`WaitList::wake_with`] or [`WaitList::wake_last_with`], which left this note.
    ToldWith(u8),
}

impl Removed {
    /// Whether the waiter had been told, with or without a note.
    #[must_use]
    pub fn is_told(&self) -> bool {
        matches!(self, Removed::Told | Removed::ToldWith(_))
    }
}

/// An ordered list of waiters without a lock; see the [module](self) for its order.
///
/// # Examples
/// The correct-use protocol, with the lock that guards the condition:
/// ```
/// use std::sync::Mutex;
/// use std::task::{Context, Poll, Waker};
/// use wakeline_runtime::wait_queue::{Events, Mode, WaitList, WaitSlot, WakeBatch};
///
/// struct Inbox { letters: Vec<String>, waiters: WaitList }
///
/// fn poll_letter(inbox: &Mutex<Inbox>, slot: &mut WaitSlot, cx: &mut Context<'_>) -> Poll<String> {
///     let mut inbox = inbox.lock().expect("no holder panics");
///     match inbox.letters.pop() {                                  // check ..
///         Some(letter) => {
///             let removed = inbox.waiters.remove(slot);
///             drop(inbox);
///             drop(removed);                                       // it may hold a waker, and a waker's drop is foreign code
///             Poll::Ready(letter)
///         }
///         None => {                                                // .. and join, under one lock
///             let replaced = inbox.waiters.join(slot, cx.waker(), Events::READABLE, Mode::Shared);
///             drop(inbox);
///             drop(replaced);                                      // so may this
///             Poll::Pending
///         }
///     }
/// }
///
/// fn deliver(inbox: &Mutex<Inbox>, letter: String) {
///     let mut wakes = WakeBatch::new();
///     {
///         let mut inbox = inbox.lock().expect("no holder panics");
///         inbox.letters.push(letter);
///         inbox.waiters.wake(Events::READABLE, 1, &mut wakes);     // collect under the lock ..
///     }
///     wakes.wake_all();                                            // .. and call after it
/// }
///
/// let inbox = Mutex::new(Inbox { letters: Vec::new(), waiters: WaitList::new() });
/// let mut slot = WaitSlot::new();
/// let mut cx = Context::from_waker(Waker::noop());
/// assert!(poll_letter(&inbox, &mut slot, &mut cx).is_pending());
/// deliver(&inbox, "hello".into());
/// assert_eq!(poll_letter(&inbox, &mut slot, &mut cx), Poll::Ready("hello".into()));
/// ```
#[derive(Debug)]
pub struct WaitList {
    entries: Slab<Entry>,
    head: u32,
    tail: u32,
    waiting: u32,
    next_generation: u32,
}

#[derive(Debug)]
struct Entry {
    state: State,
    interest: Events,
    generation: u32,
    prev: u32,
    next: u32,
    /// What it takes out of a wake's quota; nothing when it is shared.
    weight: u32,
    mode: Mode,
}

#[derive(Debug)]
enum State {
    /// Linked into the list.
    Waiting(Waker),
    /// Not in the list any more, kept for its owner to read the note.
    Told(u8),
}

const NIL: u32 = u32::MAX;

impl WaitList {
    /// An empty list; it allocates when the first waiter joins.
    #[must_use]
    pub const fn new() -> WaitList {
        WaitList { entries: Slab::new(), head: NIL, tail: NIL, waiting: 0, next_generation: 0 }
    }

    /// Whether nobody waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.head == NIL
    }

    /// How many wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.waiting as usize
    }

    /// Joins the list, or, when `slot` still waits in it, keeps its place and takes the new waker and interest.
    ///
    /// `interest` is widened by `ERR` and `HUP`, of which every waiter hears. A slot belongs to one list: joining a
    /// second one with a slot that still waits in the first leaves a stale entry there.
    ///
    /// Returns the waker that the new one took the place of. Drop it after the lock around the list is released: the drop of
    /// a foreign waker may run any code.
    #[must_use = "drop it when the lock around the list is released"]
    pub fn join(&mut self, slot: &mut WaitSlot, waker: &Waker, interest: Events, mode: Mode) -> Option<Waker> {
        let weight = u32::from(mode == Mode::Exclusive);
        self.join_as(slot, waker, interest | Events::ERR | Events::HUP, mode, weight)
    }

    /// As [`join`](WaitList::join), as an exclusive waiter for anything that takes `weight` out of a wake's quota: who waits
    /// for so many permits at once. A weight of zero is told by the next wake that reaches it.
    #[must_use = "drop it when the lock around the list is released"]
    pub fn join_weighted(&mut self, slot: &mut WaitSlot, waker: &Waker, weight: u32) -> Option<Waker> {
        self.join_as(slot, waker, Events::ANY, Mode::Exclusive, weight)
    }

    fn join_as(
        &mut self,
        slot: &mut WaitSlot,
        waker: &Waker,
        interest: Events,
        mode: Mode,
        weight: u32,
    ) -> Option<Waker> {
        if let Some(entry) = slot.0.and_then(|key| self.entry_mut(key))
            && let State::Waiting(known) = &mut entry.state
        {
            entry.interest = interest;
            return if known.will_wake(waker) { None } else { Some(std::mem::replace(known, waker.clone())) };
        }
        if self.entries.capacity() == 0 {
            // Most lists only ever see one waiter; the slab's own first step would make room for four.
            self.entries.reserve_exact(1);
        }
        let generation = self.next_generation;
        self.next_generation = self.next_generation.wrapping_add(1);
        let state = State::Waiting(waker.clone());
        let entry = Entry { state, interest, generation, prev: NIL, next: NIL, weight, mode };
        let index = u32::try_from(self.entries.insert(entry)).expect("fewer than 2^32 waiters fit into memory");
        match mode {
            Mode::Shared => self.link_head(index),
            Mode::Exclusive => self.link_tail(index),
        }
        self.waiting += 1;
        slot.0 = Some(WaitKey { index, generation });
        None
    }

    /// Leaves the list and empties `slot`; says whether the waiter had been told in the meantime.
    pub fn remove(&mut self, slot: &mut WaitSlot) -> Removed {
        let Some(key) = slot.0.take() else { return Removed::Absent };
        match self.entry_mut(key).map(|entry| &entry.state) {
            None => Removed::Told,
            Some(&State::Told(note)) => {
                self.entries.remove(key.index as usize);
                Removed::ToldWith(note)
            }
            Some(State::Waiting(_)) => {
                self.unlink(key.index);
                match self.entries.remove(key.index as usize).state {
                    State::Waiting(waker) => Removed::Waiting(waker),
                    State::Told(_) => unreachable!("it was waiting a moment ago"),
                }
            }
        }
    }

    /// Whether the waiter with this slot is still in the list, that is, has not been told.
    #[must_use]
    pub fn is_waiting(&self, slot: &WaitSlot) -> bool {
        slot.0.and_then(|key| self.entry(key)).is_some_and(|entry| matches!(entry.state, State::Waiting(_)))
    }

    /// Tells every shared waiter, and at most `exclusive` exclusive ones, whose interest meets `key`; returns how many.
    ///
    /// Their wakers go into `out`, to be called when the lock around this list is released. The walk visits each entry
    /// at most once.
    pub fn wake(&mut self, key: Events, exclusive: usize, out: &mut WakeBatch) -> usize {
        let mut quota = exclusive;
        self.walk(key, &mut quota, None, out)
    }

    /// As [`wake`](WaitList::wake), with a quota that each exclusive waiter diminishes by its weight; what it asks for is its
    /// own from then on. The walk ends at the first that asks for more than is left: nobody overtakes it.
    pub fn wake_weighted(&mut self, quota: &mut usize, out: &mut WakeBatch) -> usize {
        self.walk(Events::ANY, quota, None, out)
    }

    /// As [`wake`](WaitList::wake), and leaves a note for each waiter that is told, which it reads when it leaves: by
    /// [`Removed::ToldWith`]. Its entry stays until then, so a slot that is forgotten costs its memory for good.
    pub fn wake_with(&mut self, note: u8, exclusive: usize, out: &mut WakeBatch) -> usize {
        let mut quota = exclusive;
        self.walk(Events::ANY, &mut quota, Some(note), out)
    }

    /// Tells the waiter at the tail, the exclusive one that joined last, with a note; returns whether there was one.
    pub fn wake_last_with(&mut self, note: u8, out: &mut WakeBatch) -> bool {
        if self.tail == NIL {
            return false;
        }
        self.tell(self.tail, Some(note), out);
        true
    }

    fn walk(&mut self, key: Events, quota: &mut usize, note: Option<u8>, out: &mut WakeBatch) -> usize {
        let mut told = 0;
        let mut at = self.head;
        while at != NIL {
            let entry = &self.entries[at as usize];
            let (next, mode, weight) = (entry.next, entry.mode, entry.weight as usize);
            if entry.interest.intersects(key) {
                if mode == Mode::Exclusive && weight > *quota {
                    break;
                }
                *quota -= weight;
                self.tell(at, note, out);
                told += 1;
            }
            at = next;
        }
        told
    }

    fn tell(&mut self, index: u32, note: Option<u8>, out: &mut WakeBatch) {
        self.unlink(index);
        let state = match note {
            None => self.entries.remove(index as usize).state,
            Some(note) => std::mem::replace(&mut self.entries[index as usize].state, State::Told(note)),
        };
        if let State::Waiting(waker) = state {
            out.push(waker);
        }
    }

    /// Tells every waiter, whatever its interest: the resource is gone or changed its state.
    pub fn wake_all(&mut self, out: &mut WakeBatch) -> usize {
        self.wake(Events::ANY, usize::MAX, out)
    }

    fn entry(&self, key: WaitKey) -> Option<&Entry> {
        self.entries.get(key.index as usize).filter(|entry| entry.generation == key.generation)
    }

    fn entry_mut(&mut self, key: WaitKey) -> Option<&mut Entry> {
        self.entries.get_mut(key.index as usize).filter(|entry| entry.generation == key.generation)
    }

    fn link_head(&mut self, index: u32) {
        let old = std::mem::replace(&mut self.head, index);
        self.entries[index as usize].next = old;
        match old {
            NIL => self.tail = index,
            old => self.entries[old as usize].prev = index,
        }
    }

    fn link_tail(&mut self, index: u32) {
        let old = std::mem::replace(&mut self.tail, index);
        self.entries[index as usize].prev = old;
        match old {
            NIL => self.head = index,
            old => self.entries[old as usize].next = index,
        }
    }

    /// Takes an entry out of the list; it stays in the slab.
    fn unlink(&mut self, index: u32) {
        let Entry { prev, next, .. } = self.entries[index as usize];
        match prev {
            NIL => self.head = next,
            prev => self.entries[prev as usize].next = next,
        }
        match next {
            NIL => self.tail = prev,
            next => self.entries[next as usize].prev = prev,
        }
        self.waiting -= 1;
    }
}

impl Default for WaitList {
    fn default() -> Self {
        WaitList::new()
    }
}

/// Wakers on their way out of a lock. Dropping it calls them too: a collected wake-up is never lost.
#[derive(Debug, Default)]
pub struct WakeBatch {
    wakers: SmallVec<[Waker; 4]>,
}

impl WakeBatch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> WakeBatch {
        WakeBatch { wakers: SmallVec::new() }
    }

    /// Adds one waker.
    pub fn push(&mut self, waker: Waker) {
        self.wakers.push(waker);
    }

    /// How many wakers wait to be called.
    #[must_use]
    pub fn len(&self) -> usize {
        self.wakers.len()
    }

    /// Whether there is nothing to call.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wakers.is_empty()
    }

    /// Calls every waker, in the order in which they were told, and leaves the batch empty for the next use.
    ///
    /// Must not be called while a lock is held that a woken task might want.
    #[inline]
    pub fn wake_all(&mut self) {
        if self.wakers.len() > 1 {
            self.wake_many();
        } else if let Some(waker) = self.wakers.pop() {
            waker.wake(); // most hand-overs have one to tell
        }
    }

    #[inline(never)]
    fn wake_many(&mut self) {
        let mut calls = Calls(self.wakers.drain(..));
        for waker in calls.0.by_ref() {
            waker.wake();
        }
    }
}

/// The calls of one batch. When a waker panics, the others are called all the same, and the panic goes on.
struct Calls<'a>(smallvec::Drain<'a, [Waker; 4]>);

impl Drop for Calls<'_> {
    fn drop(&mut self) {
        for waker in self.0.by_ref() {
            // A second panic has nowhere to go.
            contain(|| waker.wake());
        }
    }
}

impl Drop for WakeBatch {
    #[inline]
    fn drop(&mut self) {
        self.wake_all();
    }
}

/// A [`WaitList`] with its own lock, for conditions that live in atomics or under another lock.
///
/// # Protocol
/// Waiter: [`prepare`](WaitQueue::prepare), then test the condition, then sleep or return `Pending`; when done,
/// [`finish`](WaitQueue::finish). Waker: make the condition true, then [`wake`](WaitQueue::wake). Both sides have a full
/// barrier between their store and their load, so at least one of them sees the other.
/// [`wait_until`](WaitQueue::wait_until) and [`wait_until_blocking`](WaitQueue::wait_until_blocking) are the protocol
/// ready made.
///
/// # Examples
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use wakeline_runtime::wait_queue::{Events, Mode, WaitQueue};
///
/// static READY: AtomicBool = AtomicBool::new(false);
/// static QUEUE: WaitQueue = WaitQueue::new();
///
/// let waker = std::thread::spawn(|| {
///     READY.store(true, Ordering::Release);
///     QUEUE.wake(Events::IN, 1);
/// });
/// QUEUE.wait_until_blocking(Events::IN, Mode::Shared, None, || READY.load(Ordering::Acquire).then_some(()));
/// waker.join().expect("the waking thread does not panic");
/// ```
#[derive(Debug)]
pub struct WaitQueue {
    /// The length of `list`, written under its lock; read without it by a waker that hopes to find nobody.
    waiting: AtomicUsize,
    list: Mutex<WaitList>,
}

impl WaitQueue {
    /// A queue in which nobody waits.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> WaitQueue {
        WaitQueue { waiting: AtomicUsize::new(0), list: Mutex::new(WaitList::new()) }
    }

    #[cfg(loom)]
    #[allow(missing_docs)]
    pub fn new() -> WaitQueue {
        WaitQueue { waiting: AtomicUsize::new(0), list: Mutex::new(WaitList::new()) }
    }

    /// Whether somebody waits; the waker's half of the barrier pair.
    ///
    /// When this says no, everyone who prepares from now on will see what the caller wrote before the call.
    #[must_use]
    pub fn has_sleeper(&self) -> bool {
        // Store-load: pairs with the fence in `prepare`. Release and Acquire would let this load move above the
        // caller's store of the condition.
        fence(Ordering::SeqCst);
        self.waiting.load(Ordering::Relaxed) != 0
    }

    /// Joins the queue, or refreshes the place that `slot` has in it. Afterwards the caller must test its condition.
    pub fn prepare(&self, slot: &mut WaitSlot, waker: &Waker, interest: Events, mode: Mode) {
        let replaced = {
            let mut list = self.list.lock();
            let replaced = list.join(slot, waker, interest, mode);
            self.waiting.store(list.len(), Ordering::Relaxed);
            replaced
        };
        drop(replaced);
        // Store-load: pairs with the fence in `has_sleeper`.
        fence(Ordering::SeqCst);
    }

    /// Leaves the queue and empties `slot`.
    pub fn finish(&self, slot: &mut WaitSlot) -> Removed {
        if !slot.is_set() {
            return Removed::Absent;
        }
        let mut list = self.list.lock();
        let removed = list.remove(slot);
        self.waiting.store(list.len(), Ordering::Relaxed);
        removed
    }

    /// Tells every shared waiter and at most `exclusive` exclusive ones whose interest meets `key`; returns how many.
    ///
    /// Costs a barrier and a load when nobody waits.
    pub fn wake(&self, key: Events, exclusive: usize) -> usize {
        if !self.has_sleeper() {
            return 0;
        }
        let mut batch = WakeBatch::new();
        let told = self.collect(key, exclusive, &mut batch);
        batch.wake_all();
        told
    }

    /// Tells every waiter.
    pub fn wake_all(&self) -> usize {
        self.wake(Events::ANY, usize::MAX)
    }

    /// As [`wake`](WaitQueue::wake), but leaves the calls to the caller, who still holds some lock.
    pub fn collect(&self, key: Events, exclusive: usize, out: &mut WakeBatch) -> usize {
        let mut list = self.list.lock();
        let told = list.wake(key, exclusive, out);
        self.waiting.store(list.len(), Ordering::Relaxed);
        told
    }

    /// Waits until `condition` gives a value; the asynchronous `wait_event`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue; an exclusive waiter that had been told passes the wake on.
    pub fn wait_until<T, F>(&self, interest: Events, mode: Mode, condition: F) -> WaitUntil<'_, F>
    where
        F: FnMut() -> Option<T>,
    {
        WaitUntil { queue: self, interest, mode, slot: WaitSlot::new(), condition }
    }

    /// Parks the calling thread until `condition` gives a value or `timeout` has passed (`None`: no limit); the blocking
    /// `wait_event`, in the same queue and order as tasks.
    ///
    /// Must not be called from a task: it would put the worker to sleep.
    pub fn wait_until_blocking<T>(
        &self,
        interest: Events,
        mode: Mode,
        timeout: Option<Duration>,
        mut condition: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        if let Some(value) = condition() {
            return Some(value);
        }
        let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
        with_thread_parker(|parker| {
            let mut place = Place { queue: self, interest, mode, slot: WaitSlot::new() };
            let waker = parker.waker();
            loop {
                self.prepare(&mut place.slot, &waker, interest, mode);
                if let Some(value) = condition() {
                    place.leave();
                    return Some(value);
                }
                if !park_until(parker, deadline) {
                    // Out of time, yet the condition may have come true while this thread was getting here.
                    let value = condition();
                    if value.is_some() {
                        place.leave();
                    }
                    return value;
                }
            }
        })
    }
}

fn park_until(parker: &Parker, deadline: Option<Instant>) -> bool {
    match deadline {
        None => {
            parker.park();
            true
        }
        Some(deadline) => parker.park_timeout(deadline.saturating_duration_since(Instant::now())),
    }
}

impl Default for WaitQueue {
    fn default() -> Self {
        WaitQueue::new()
    }
}

/// A waiter's place, given up properly however its owner ends.
struct Place<'a> {
    queue: &'a WaitQueue,
    interest: Events,
    mode: Mode,
    slot: WaitSlot,
}

impl Place<'_> {
    /// The waiter got what it waited for: nothing to pass on.
    fn leave(&mut self) {
        let _ = self.queue.finish(&mut self.slot);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.queue.finish(&mut self.slot).is_told() && self.mode == Mode::Exclusive {
            self.queue.wake(self.interest, 1);
        }
    }
}

/// The future of [`WaitQueue::wait_until`].
#[must_use = "futures do nothing unless polled"]
#[derive(Debug)]
pub struct WaitUntil<'a, F> {
    queue: &'a WaitQueue,
    interest: Events,
    mode: Mode,
    slot: WaitSlot,
    condition: F,
}

// Nothing in here is pinned: the list holds copies, not pointers.
impl<F> Unpin for WaitUntil<'_, F> {}

impl<T, F: FnMut() -> Option<T>> Future for WaitUntil<'_, F> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        let mut value = (this.condition)();
        if value.is_none() {
            this.queue.prepare(&mut this.slot, cx.waker(), this.interest, this.mode);
            value = (this.condition)();
        }
        match value {
            Some(value) => {
                let _ = this.queue.finish(&mut this.slot);
                Poll::Ready(value)
            }
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for WaitUntil<'_, F> {
    fn drop(&mut self) {
        if self.queue.finish(&mut self.slot).is_told() && self.mode == Mode::Exclusive {
            self.queue.wake(self.interest, 1);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
