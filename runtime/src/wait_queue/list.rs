//! The list without a lock: its order, and who of it is told.

use crate::wait_queue::batch::WakeBatch;
use crate::wait_queue::entries::Entries;
use crate::wait_queue::entry::{Events, Mode, Removed, WaitKey, WaitSlot};
use crate::wait_queue::func::{Func, IsAwake, WakeFn};
use std::sync::Arc;
use std::task::Waker;

/// An ordered list of waiters without a lock; see the [module](super) for its order.
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
    entries: Entries<Entry>,
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
    /// How to ask whether its waker would wake anybody; only of exclusive ones.
    is_awake: Option<IsAwake>,
}

impl Entry {
    /// What `func` would return: whether telling it counts against the quota. Called with a waker, it makes somebody
    /// runnable, or he runs already.
    fn claim(&self, key: Events) -> bool {
        match (&self.state, self.is_awake) {
            (State::Waiting(Func::Waker(waker)), Some(is_awake)) => !is_awake(waker),
            (State::Waiting(Func::Callback(func)), _) => func.claim(key),
            _ => true,
        }
    }

    /// Whether it stays in the list when it is told.
    fn is_permanent(&self) -> bool {
        matches!(self.state, State::Waiting(Func::Callback(_)))
    }
}

#[derive(Debug)]
enum State {
    /// Linked into the list.
    Waiting(Func),
    /// Not in the list any more, kept for its owner to read the note.
    Told(u8),
}

const NIL: u32 = u32::MAX;

impl WaitList {
    /// An empty list; it allocates when a second waiter joins.
    #[must_use]
    pub const fn new() -> WaitList {
        WaitList { entries: Entries::new(), head: NIL, tail: NIL, waiting: 0, next_generation: 0 }
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
    #[inline]
    pub fn join(&mut self, slot: &mut WaitSlot, waker: &Waker, interest: Events, mode: Mode) -> Option<Waker> {
        self.join_as(slot, waker, interest.widened(), mode, mode.weight(), None)
    }

    /// As [`join`](WaitList::join), with a way to ask whether the waker would wake anybody. An exclusive waiter that is awake
    /// already looks at the resource anyway; so a wake passes it by, and tells the next.
    #[must_use = "drop it when the lock around the list is released"]
    #[inline]
    pub fn join_sleeper(
        &mut self,
        slot: &mut WaitSlot,
        waker: &Waker,
        interest: Events,
        mode: Mode,
        is_awake: IsAwake,
    ) -> Option<Waker> {
        let is_awake = (mode != Mode::Shared).then_some(is_awake);
        self.join_as(slot, waker, interest.widened(), mode, mode.weight(), is_awake)
    }

    /// As [`join`](WaitList::join), as an exclusive waiter for anything that takes `weight` out of a wake's quota: who waits
    /// for so many permits at once. A weight of zero is told by the next wake that reaches it.
    #[must_use = "drop it when the lock around the list is released"]
    pub fn join_weighted(&mut self, slot: &mut WaitSlot, waker: &Waker, weight: u32) -> Option<Waker> {
        self.join_as(slot, waker, Events::ANY, Mode::Exclusive, weight, None)
    }

    #[inline(never)]
    fn join_as(
        &mut self,
        slot: &mut WaitSlot,
        waker: &Waker,
        interest: Events,
        mode: Mode,
        weight: u32,
        is_awake: Option<IsAwake>,
    ) -> Option<Waker> {
        if let Some(entry) = slot.0.and_then(|key| self.entry_mut(key))
            && let State::Waiting(Func::Waker(known)) = &mut entry.state
        {
            entry.interest = interest;
            return if known.will_wake(waker) { None } else { Some(std::mem::replace(known, waker.clone())) };
        }
        let state = State::Waiting(Func::Waker(waker.clone()));
        slot.0 = Some(self.insert(state, interest, mode, weight, is_awake));
        None
    }

    /// Adds an entry that stays until it is removed, however often it is told: its function hears of every wake whose key
    /// meets `interest`, which is widened by `ERR` and `HUP`. An empty interest hears nothing, until
    /// [`set_interest`](WaitList::set_interest) gives it another.
    ///
    /// Returns the function that stood in `slot` before. Drop it after the lock around the list is released.
    #[must_use = "drop it when the lock around the list is released"]
    pub fn add(&mut self, slot: &mut WaitSlot, func: Arc<dyn WakeFn>, interest: Events, mode: Mode) -> Option<Func> {
        let replaced = match self.remove(slot) {
            Removed::Waiting(func) => Some(func),
            _ => None,
        };
        let state = State::Waiting(Func::Callback(func));
        slot.0 = Some(self.insert(state, interest.widened(), mode, mode.weight(), None));
        replaced
    }

    /// What an entry that is still in the list wants to hear of from now on; it keeps its place.
    pub fn set_interest(&mut self, slot: &WaitSlot, interest: Events) {
        if let Some(entry) = slot.0.and_then(|key| self.entry_mut(key)) {
            entry.interest = interest.widened();
        }
    }

    #[inline]
    fn insert(
        &mut self,
        state: State,
        interest: Events,
        mode: Mode,
        weight: u32,
        is_awake: Option<IsAwake>,
    ) -> WaitKey {
        let generation = self.next_generation;
        self.next_generation = self.next_generation.wrapping_add(1);
        let entry = Entry { state, interest, generation, prev: NIL, next: NIL, weight, mode, is_awake };
        let index = self.entries.insert(entry);
        match mode {
            Mode::Shared | Mode::ExclusiveFirst => self.link_head(index),
            Mode::Exclusive => self.link_tail(index),
        }
        self.waiting += 1;
        WaitKey { index, generation }
    }

    /// Leaves the list and empties `slot`; says whether the waiter had been told in the meantime.
    pub fn remove(&mut self, slot: &mut WaitSlot) -> Removed {
        let Some(key) = slot.0.take() else { return Removed::Absent };
        match self.entry_mut(key).map(|entry| &entry.state) {
            None => Removed::Told,
            Some(&State::Told(note)) => {
                self.entries.remove(key.index);
                Removed::ToldWith(note)
            }
            Some(State::Waiting(_)) => {
                let entry = self.entries.remove(key.index);
                self.unlink((entry.prev, entry.next));
                match entry.state {
                    State::Waiting(func) => Removed::Waiting(func),
                    State::Told(_) => unreachable!("it was waiting a moment ago"),
                }
            }
        }
    }

    /// What those in the list want to hear of, in the order in which they are told.
    pub fn interests(&self) -> impl Iterator<Item = Events> + '_ {
        let first = self.entries.get(self.head);
        let next = |entry: &&Entry| self.entries.get(entry.next);
        std::iter::successors(first, next).map(|entry| entry.interest)
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
        self.tell(self.tail, (Events::ANY, Some(note)), out);
        true
    }

    fn walk(&mut self, key: Events, quota: &mut usize, note: Option<u8>, out: &mut WakeBatch) -> usize {
        let mut told = 0;
        let mut at = self.head;
        while at != NIL {
            let entry = &self.entries[at];
            let next = entry.next;
            if entry.interest.intersects(key) {
                let mut tells = true;
                if entry.mode != Mode::Shared {
                    let weight = entry.weight as usize;
                    if weight > *quota {
                        break;
                    }
                    if entry.claim(key) {
                        *quota -= weight;
                    } else {
                        // Who is awake already is not told. A callback is, though nobody may have taken what it is told.
                        tells = entry.is_permanent();
                    }
                }
                if tells {
                    self.tell(at, (key, note), out);
                    told += 1;
                }
            }
            at = next;
        }
        told
    }

    fn tell(&mut self, index: u32, (key, note): (Events, Option<u8>), out: &mut WakeBatch) {
        let entry = &mut self.entries[index];
        let (links, interest) = ((entry.prev, entry.next), entry.interest);
        let state = match (&entry.state, note) {
            (State::Waiting(Func::Callback(func)), _) => return out.push_call(func.clone(), key),
            (_, None) => self.entries.remove(index).state,
            (_, Some(note)) => std::mem::replace(&mut entry.state, State::Told(note)),
        };
        self.unlink(links);
        if let State::Waiting(Func::Waker(waker)) = state {
            out.push_told(waker, interest);
        }
    }

    /// Tells every waiter, whatever its interest: the resource is gone or changed its state.
    pub fn wake_all(&mut self, out: &mut WakeBatch) -> usize {
        self.wake(Events::ANY, usize::MAX, out)
    }

    /// Tells every waiter that the resource is gone, and lets go of all: permanent entries too hear of it, without a key and
    /// for the last time.
    pub fn close(&mut self, out: &mut WakeBatch) {
        let mut at = std::mem::replace(&mut self.head, NIL);
        while at != NIL {
            let Entry { state, next, interest, .. } = self.entries.remove(at);
            match state {
                State::Waiting(Func::Waker(waker)) => out.push_told(waker, interest),
                // It leaves the lock with the call, and is dropped outside.
                State::Waiting(Func::Callback(func)) => out.push_call(func, Events::ANY),
                State::Told(_) => {}
            }
            at = next;
        }
        (self.tail, self.waiting) = (NIL, 0);
    }

    fn entry(&self, key: WaitKey) -> Option<&Entry> {
        self.entries.get(key.index).filter(|entry| entry.generation == key.generation)
    }

    fn entry_mut(&mut self, key: WaitKey) -> Option<&mut Entry> {
        self.entries.get_mut(key.index).filter(|entry| entry.generation == key.generation)
    }

    fn link_head(&mut self, index: u32) {
        let old = std::mem::replace(&mut self.head, index);
        self.entries[index].next = old;
        match old {
            NIL => self.tail = index,
            old => self.entries[old].prev = index,
        }
    }

    fn link_tail(&mut self, index: u32) {
        let old = std::mem::replace(&mut self.tail, index);
        self.entries[index].prev = old;
        match old {
            NIL => self.head = index,
            old => self.entries[old].next = index,
        }
    }

    /// Takes the entry with these neighbours out of the list.
    fn unlink(&mut self, (prev, next): (u32, u32)) {
        match prev {
            NIL => self.head = next,
            prev => self.entries[prev].next = next,
        }
        match next {
            NIL => self.tail = prev,
            next => self.entries[next].prev = prev,
        }
        self.waiting -= 1;
    }
}

impl Default for WaitList {
    fn default() -> Self {
        WaitList::new()
    }
}
