//! The ready list of one epoll, as a pure structure: no lock, no socket, no waker.
//!
//! It knows items by [`ItemId`]s, what is wanted of each, and where each stands. The epoll keeps it under the lock that
//! Linux calls `ep->lock`, which is held for a few instructions at a time; while events are being told, the list is
//! *scanned*, without that lock, and what arrives meanwhile waits aside.
//!
//! # State
//! Where an item stands, and the function that takes each step:
//! ```text
//!              on_event, queue                 start_scan                next
//!   (nowhere) -----------------> ready list -----------------> batch ---------> in hand
//!       ^  \                        ^  ^                         |                |  |
//!       |   \ on_event,             |  |   finish_scan: the rest |                |  |
//!       |    \ while scanned        |  +---- goes to the front --+     settle(Keep): to the tail
//!       |     v                     |                                             |  |
//!       |   overflow list ----------+<--------------------------------------------+  |
//!       |        finish_scan: to the front, oldest first                             |
//!       +------------------------------- settle(Drop), settle(Disarm) ---------------+
//! ```
//! An item stands in the ready list or the batch at most once, and in the overflow list at most once; so all lists
//! together are at most twice as long as there are items.

use crate::epoll::flags::EpollFlags;
use slab::Slab;
use wakeline_runtime::wait_queue::Events;

/// Names an item; stale once the item is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ItemId {
    index: u32,
    generation: u32,
}

impl ItemId {
    /// The item's place, which another may have after it.
    pub(crate) const fn index(self) -> usize {
        self.index as usize
    }
}

/// What becomes of an item that is in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settle {
    /// It is not ready after all, or was told and is edge-triggered.
    Drop,
    /// It was told, and is one-shot.
    Disarm,
    /// It was told and may still be ready: to the tail of the ready list.
    Keep,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct ReadyList {
    items: Slab<Item>,
    next_generation: u32,
    ready: List,
    batch: List,
    /// What arrived during a scan, newest last; `None` while there is none (`EP_UNACTIVE_PTR`).
    overflow: Option<Vec<u32>>,
    /// The room of `overflow`, kept between scans.
    spare: Vec<u32>,
}

#[derive(Debug)]
struct Item {
    generation: u32,
    wanted: EpollFlags,
    place: Place,
    overflowed: bool,
    prev: u32,
    next: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    Ready,
    Batch,
}

/// The ends of a list that runs through the items.
#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
}

const NIL: u32 = u32::MAX;

impl Default for List {
    fn default() -> List {
        List { head: NIL, tail: NIL }
    }
}

impl ReadyList {
    /// How many items there are, ready or not.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Adds an item of which `wanted` is wanted; it is not ready yet.
    pub(crate) fn insert(&mut self, wanted: EpollFlags) -> ItemId {
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let item = Item { generation, wanted, place: Place::Nowhere, overflowed: false, prev: NIL, next: NIL };
        let index = u32::try_from(self.items.insert(item)).expect("fewer than 2^32 items fit into memory");
        ItemId { index, generation }
    }

    /// Forgets an item, wherever it stands.
    pub(crate) fn remove(&mut self, id: ItemId) {
        let Some(item) = self.item(id) else { return };
        let overflowed = item.overflowed;
        self.unlink(id.index);
        if let (true, Some(overflow)) = (overflowed, &mut self.overflow) {
            overflow.retain(|&index| index != id.index);
        }
        self.items.remove(id.index());
    }

    /// What is wanted of an item; nothing of one that is gone.
    #[cfg(test)]
    pub(crate) fn wanted(&self, id: ItemId) -> EpollFlags {
        self.item(id).map_or(EpollFlags::empty(), |item| item.wanted)
    }

    /// Changes what is wanted of an item.
    pub(crate) fn set_wanted(&mut self, id: ItemId, wanted: EpollFlags) {
        if let Some(item) = self.item_mut(id) {
            item.wanted = wanted;
        }
    }

    /// Whether there is something to harvest (`ep_events_available`): also while somebody else is at it, for what arrives
    /// meanwhile is seen at the end only.
    pub(crate) fn is_available(&self) -> bool {
        self.ready.head != NIL || self.overflow.is_some()
    }

    /// Whether an item stands in the ready list now.
    pub(crate) fn has_ready(&self) -> bool {
        self.ready.head != NIL
    }

    /// `ep_poll_callback`: the file of an item has an event. Says whether the item wants to hear of it; then it is in one
    /// of the lists, where it may have been before: any number of events is one entry.
    pub(crate) fn on_event(&mut self, id: ItemId, key: Events) -> bool {
        let Some(item) = self.item_mut(id) else { return false };
        if !item.wanted.events().intersects(key) {
            // A one-shot item that was told wants nothing.
            return false;
        }
        if let Some(overflow) = &mut self.overflow {
            let item = &mut self.items[id.index()];
            if !item.overflowed {
                item.overflowed = true;
                overflow.push(id.index);
            }
        } else {
            self.queue(id);
        }
        true
    }

    /// Puts an item whose file is ready at the tail, unless it stands there already; says whether it did not.
    ///
    /// Must not be called during a scan: an item is added and modified by whoever could begin one.
    pub(crate) fn queue(&mut self, id: ItemId) -> bool {
        debug_assert!(self.overflow.is_none(), "nobody adds or modifies an item during a scan");
        let is_new = self.item(id).is_some_and(|item| item.place == Place::Nowhere);
        if is_new {
            self.link_tail(Place::Ready, id.index);
        }
        is_new
    }

    /// `ep_start_scan`: what is ready becomes the batch that is worked off, and what arrives from now on waits aside.
    pub(crate) fn start_scan(&mut self) {
        debug_assert!(self.overflow.is_none() && self.batch.head == NIL, "one scan at a time");
        self.overflow = Some(std::mem::take(&mut self.spare));
        self.batch = std::mem::take(&mut self.ready);
        let mut at = self.batch.head;
        while at != NIL {
            let item = &mut self.items[at as usize];
            item.place = Place::Batch;
            at = item.next;
        }
    }

    /// Takes the next item of the batch into the caller's hand, with what is wanted of it.
    pub(crate) fn next(&mut self) -> Option<(ItemId, EpollFlags)> {
        let index = self.batch.head;
        if index == NIL {
            return None;
        }
        self.unlink(index);
        let item = &self.items[index as usize];
        Some((ItemId { index, generation: item.generation }, item.wanted))
    }

    /// Puts the item in hand back to where it was taken from.
    pub(crate) fn put_back(&mut self, id: ItemId) {
        if self.item(id).is_some() {
            self.link_head(Place::Batch, id.index);
        }
    }

    /// How many items wait aside for the end of a scan.
    pub(crate) fn overflowed(&self) -> usize {
        self.overflow.as_ref().map_or(0, Vec::len)
    }

    /// Says what becomes of the item that was taken last.
    pub(crate) fn settle(&mut self, id: ItemId, settle: Settle) {
        let Some(item) = self.item_mut(id) else { return };
        match settle {
            Settle::Drop => {}
            Settle::Disarm => item.wanted = item.wanted.disarmed(),
            Settle::Keep => self.link_tail(Place::Ready, id.index),
        }
    }

    /// `ep_done_scan`: the rest of the batch goes to the front, behind it what arrived meanwhile, behind that what was
    /// kept. Says whether anything is ready, so that another sleeper should look.
    pub(crate) fn finish_scan(&mut self) -> bool {
        let mut overflow = self.overflow.take().unwrap_or_default();
        // Each goes to the very front, the newest first: so the oldest ends up before the others.
        for index in overflow.drain(..).rev() {
            let item = &mut self.items[index as usize];
            item.overflowed = false;
            if item.place == Place::Nowhere {
                self.link_head(Place::Ready, index);
            }
        }
        self.spare = overflow;
        while self.batch.tail != NIL {
            let index = self.batch.tail;
            self.unlink(index);
            self.link_head(Place::Ready, index);
        }
        self.has_ready()
    }

    fn item(&self, id: ItemId) -> Option<&Item> {
        self.items.get(id.index()).filter(|item| item.generation == id.generation)
    }

    fn item_mut(&mut self, id: ItemId) -> Option<&mut Item> {
        self.items.get_mut(id.index()).filter(|item| item.generation == id.generation)
    }

    fn list_mut(&mut self, place: Place) -> Option<&mut List> {
        match place {
            Place::Nowhere => None,
            Place::Ready => Some(&mut self.ready),
            Place::Batch => Some(&mut self.batch),
        }
    }

    fn link_tail(&mut self, place: Place, index: u32) {
        let Some(list) = self.list_mut(place) else { return };
        let old = std::mem::replace(&mut list.tail, index);
        if old == NIL {
            list.head = index;
        } else {
            self.items[old as usize].next = index;
        }
        let item = &mut self.items[index as usize];
        (item.place, item.prev, item.next) = (place, old, NIL);
    }

    fn link_head(&mut self, place: Place, index: u32) {
        let Some(list) = self.list_mut(place) else { return };
        let old = std::mem::replace(&mut list.head, index);
        if old == NIL {
            list.tail = index;
        } else {
            self.items[old as usize].prev = index;
        }
        let item = &mut self.items[index as usize];
        (item.place, item.prev, item.next) = (place, NIL, old);
    }

    /// Takes an item out of the list that it stands in.
    fn unlink(&mut self, index: u32) {
        let Item { place, prev, next, .. } = self.items[index as usize];
        if place == Place::Nowhere {
            return;
        }
        if prev != NIL {
            self.items[prev as usize].next = next;
        }
        if next != NIL {
            self.items[next as usize].prev = prev;
        }
        if let Some(list) = self.list_mut(place) {
            if prev == NIL {
                list.head = next;
            }
            if next == NIL {
                list.tail = prev;
            }
        }
        let item = &mut self.items[index as usize];
        (item.place, item.prev, item.next) = (Place::Nowhere, NIL, NIL);
    }
}

#[cfg(test)]
mod tests;
