//! `struct eventpoll`: the items, the ready list, and who sleeps.
//!
//! # References
//! The program's [`Epoll`](crate::epoll::Epoll) holds an [`EventPoll`]; when it drops, the epoll is closed, which removes
//! every item. An item holds its epoll and names its file; it stands in the wait queue of each head that the file names, and
//! in the epoll's table. So epoll, item and file refer to each other in a circle, which is broken when either the epoll is
//! closed or the file: whoever closes a file tells the entries of its wait queues so, without a key.
//!
//! # Fields and locks
//! - `table` (`ep->mtx`): the items by file and descriptor. Held while items are added, changed, removed, and for the whole of a
//!   harvest, so that there is one at a time. Under it the files are polled, so a socket's lock comes after it; and the
//!   table of an epoll within this one.
//! - `state` (`ep->lock`): the ready list and the two wait queues. Held for a few instructions; nothing is locked under it.
//! - `parents`: which epolls watch this one. Nothing is locked under it.
//! - `NESTING` (`epnested_mutex`): before any table, by whoever adds an epoll to another.
//!
//! # Odd situations
//! - *An event arrives during a harvest*: it goes to the overflow list, and to the ready list when the harvest ends.
//! - *A wake-up is on its way while its item is removed*: the item's name is stale, and the callback finds nothing.
//! - *A file is closed while it is in the ready list*: its item is gone from there when `close` returns.

use crate::epoll::busy_poll::{EpollParams, Instance};
use crate::epoll::error::CtlError;
use crate::epoll::flags::{EpollFlags, Event};
use crate::epoll::nesting::{NESTING, check_loop, check_ways};
use crate::epoll::ready::{ItemId, ReadyList, Settle};
use crate::epoll::sleepers::{Claims, Sleepers};
use crate::event::{Event as Told, Tracer};
use crate::host::counters::Flag;
use crate::poll::file::{File, FileId, FilePlaces};
use crate::poll::source::Descriptor;
use crate::waking;
use parking_lot::Mutex;
use slab::Slab;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Poll, Waker};
use wakeline_runtime::task::try_id;
use wakeline_runtime::wait_queue::{Events, Mode, Removed, WaitList, WaitSlot, WakeBatch, WakeFn};

/// See the [module](self).
pub(crate) struct EventPoll {
    table: Mutex<Table>,
    state: Mutex<State>,
    sleepers: Sleepers,
    parents: Mutex<Vec<Weak<EventPoll>>>,
    max_watches: usize,
    /// Where its calls are told: the first socket's trace.
    tracer: OnceLock<Tracer>,
    /// Its parameters say that who waits polls busily.
    polls_busily: Flag,
}

#[derive(Default)]
struct Table {
    /// Where each descriptor's item stands in `items`.
    by_name: BTreeMap<Name, usize>,
    items: Slab<Entry>,
    is_closed: bool,
}

/// A file and which of its descriptors (`struct epoll_filefd`).
type Name = (FileId, u32);

/// An item as the table has it.
struct Entry {
    item: Arc<Item>,
    data: u64,
    places: FilePlaces,
}

/// `struct epitem`: its `call` is `ep_poll_callback`.
struct Item {
    epoll: Arc<EventPoll>,
    id: ItemId,
    name: Name,
    file: File,
    /// What was wanted when it was added. Of an exclusive item, which can not be modified, that does not change.
    added_with: EpollFlags,
    claims: Claims,
}

#[derive(Default)]
struct State {
    ready: ReadyList,
    /// `ep->wq`: who sleeps in `wait`, newest first.
    sleeping: WaitList,
    /// `ep->poll_wait`: who polls this epoll as a file.
    watching: WaitList,
    params: EpollParams,
    /// `ep->napi_id`, where who waits polls busily.
    napi: Option<Instance>,
    counters: EpollCounters,
}

/// What an epoll has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EpollCounters {
    /// How often somebody went to sleep in `wait`. The sleep is on the epoll, in a wait queue of its own, never on a socket.
    pub sleeps: u64,
    /// How many sleepers were woken.
    pub wakeups: u64,
    /// How often a socket, or an epoll within this one, called an item (`ep_poll_callback`).
    pub callbacks: u64,
    /// How many of those calls came while events were being told, and waited for that to end.
    pub overflowed: u64,
    /// How many events were told.
    pub told: u64,
}

/// An operation of `epoll_ctl(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ctl {
    /// Begins to watch a descriptor.
    Add(Event),
    /// Changes what is wanted of it, and arms it anew: what holds already is told.
    Mod(Event),
    /// Ends it.
    Del,
}

impl EventPoll {
    pub(crate) fn new(max_watches: usize) -> Arc<EventPoll> {
        Arc::new(EventPoll {
            table: Mutex::default(),
            state: Mutex::default(),
            sleepers: Sleepers::default(),
            parents: Mutex::default(),
            max_watches,
            tracer: OnceLock::new(),
            polls_busily: Flag::default(),
        })
    }

    pub(crate) fn counters(&self) -> EpollCounters {
        self.state.lock().counters
    }

    /// How many items there are.
    pub(crate) fn len(&self) -> usize {
        self.table.lock().items.len()
    }

    /// `do_epoll_ctl`, with its checks in its order.
    pub(crate) fn ctl(self: &Arc<Self>, descriptor: Descriptor, op: Ctl) -> Result<(), CtlError> {
        if let File::Epoll(other) = &descriptor.file
            && Arc::ptr_eq(self, other)
        {
            return Err(CtlError::Invalid);
        }
        match op {
            Ctl::Add(event) => self.add(descriptor, event),
            Ctl::Mod(event) => self.modify(&descriptor, event),
            Ctl::Del => self.delete(&descriptor),
        }
    }

    /// `ep_insert`
    fn add(self: &Arc<Self>, descriptor: Descriptor, event: Event) -> Result<(), CtlError> {
        let inner = match &descriptor.file {
            File::Epoll(inner) => Some(inner.clone()),
            _ => None,
        };
        let flags = event.events.check_add(inner.is_some())?;
        if matches!(descriptor.file, File::Unconnected) {
            return Err(CtlError::Unconnected);
        }
        // Two epolls must not come to watch each other at once.
        let nesting = inner.is_some().then(|| NESTING.lock());
        if let Some(inner) = &inner {
            check_loop(self, inner)?;
        }
        if let File::Socket(socket) = &descriptor.file {
            self.tracer.get_or_init(|| socket.host().tracer.clone());
        }
        let mut wakes = WakeBatch::new();
        let mut table = self.table.lock();
        let name = descriptor.name();
        if table.by_name.contains_key(&name) {
            return Err(CtlError::Exists);
        }
        if table.items.len() >= self.max_watches {
            return Err(CtlError::NoSpace);
        }
        if let Some(inner) = &inner {
            inner.parents.lock().push(Arc::downgrade(self));
            check_ways(inner).inspect_err(|_| inner.forget_parent(self))?;
        }
        let id = self.state.lock().ready.insert(flags);
        let item = Arc::new(Item {
            epoll: self.clone(),
            id,
            name,
            file: descriptor.file,
            added_with: flags,
            claims: Claims::default(),
        });
        let mut places = FilePlaces::default();
        let mode = if flags.contains(EpollFlags::EXCLUSIVE) { Mode::Exclusive } else { Mode::Shared };
        let func: Arc<dyn WakeFn> = item.clone();
        let holds = item.file.watch(&mut places, &func, (flags.events(), mode), &mut wakes);
        let at = table.items.insert(Entry { item, data: event.data, places });
        debug_assert_eq!(at, id.index(), "items are added and removed here and in the ready list alike");
        table.by_name.insert(name, at);
        self.queue_if(id, holds & flags.events(), &mut wakes);
        drop((table, nesting));
        wakes.wake_all();
        Ok(())
    }

    /// `ep_modify`
    fn modify(&self, descriptor: &Descriptor, event: Event) -> Result<(), CtlError> {
        let flags = event.events.check_mod()?;
        let mut wakes = WakeBatch::new();
        let mut table = self.table.lock();
        let at = *table.by_name.get(&descriptor.name()).ok_or(CtlError::NotFound)?;
        let Entry { item, data, places } = &mut table.items[at];
        if item.added_with.contains(EpollFlags::EXCLUSIVE) {
            return Err(CtlError::Invalid);
        }
        *data = event.data;
        self.state.lock().ready.set_wanted(item.id, flags);
        // What arrives from here on meets the new mask; what was there before is found now.
        let holds = item.file.watch_for(places, flags.events(), &mut wakes);
        self.queue_if(item.id, holds & flags.events(), &mut wakes);
        drop(table);
        wakes.wake_all();
        Ok(())
    }

    fn delete(&self, descriptor: &Descriptor) -> Result<(), CtlError> {
        let mut table = self.table.lock();
        let at = *table.by_name.get(&descriptor.name()).ok_or(CtlError::NotFound)?;
        let removed = self.remove(&mut table, at);
        drop(table);
        // The item goes without the lock, and with it perhaps the last reference to a host.
        drop(removed);
        Ok(())
    }

    /// `ep_remove`
    fn remove(&self, table: &mut Table, at: usize) -> Entry {
        let mut entry = table.items.remove(at);
        table.by_name.remove(&entry.item.name);
        entry.item.file.leave(&mut entry.places);
        if let File::Epoll(inner) = &entry.item.file {
            inner.forget_parent(self);
        }
        self.state.lock().ready.remove(entry.item.id);
        entry
    }

    /// `eventpoll_release_file`: an item's file is closed.
    fn forget(&self, item: &Item) {
        let mut table = self.table.lock();
        let at = table.by_name.get(&item.name).copied();
        let removed = at.filter(|&at| table.items[at].item.id == item.id).map(|at| self.remove(&mut table, at));
        drop(table);
        drop(removed);
    }

    /// `ep_free`: the program has no more descriptor of it.
    pub(crate) fn close(&self) {
        let mut wakes = WakeBatch::new();
        let mut table = self.table.lock();
        table.is_closed = true;
        let all: Vec<usize> = table.items.iter().map(|(at, _)| at).collect();
        let removed: Vec<Entry> = all.into_iter().map(|at| self.remove(&mut table, at)).collect();
        drop(table);
        drop(removed);
        // An epoll that watches this one takes its item out.
        let napi = {
            let mut state = self.state.lock();
            state.watching.close(&mut wakes);
            state.napi.take()
        };
        wakes.wake_all();
        if let Some(napi) = napi
            && self.params().prefer_busy_poll
        {
            napi.resume_irqs();
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.table.lock().is_closed
    }

    /// An item whose file is ready already.
    fn queue_if(&self, id: ItemId, holds: Events, wakes: &mut WakeBatch) {
        if holds.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        if state.ready.queue(id) {
            state.tell(wakes);
            self.sleepers.set(state.sleeping.len());
        }
    }

    /// Tells what is ready, as far as `events` has room, and gives how many events that is (`ep_send_events`).
    pub(crate) fn harvest(&self, events: &mut [Event]) -> usize {
        let mut wakes = WakeBatch::new();
        let table = self.table.lock();
        self.state.lock().ready.start_scan();
        let (mut told, mut settled, mut last) = (0, None, None);
        while let Some((id, wanted)) = self.advance(settled.take(), told < events.len()) {
            let Entry { item, data, .. } = &table.items[id.index()];
            // Since it was queued, somebody may have read.
            let holds = item.file.poll(&mut wakes) & wanted.events();
            let settle = if holds.is_empty() {
                Settle::Drop
            } else {
                events[told] = Event::new(EpollFlags::of(holds), *data);
                (told, last) = (told + 1, Some(id));
                after_telling(wanted)
            };
            settled = Some((id, settle));
        }
        self.finish(told, &mut wakes);
        if let Some(last) = last {
            self.note_napi(&table.items[last.index()].item.file);
        }
        drop(table);
        wakes.wake_all();
        if told > 0 && self.polls_busily.get() {
            self.suspend_irqs();
        }
        told
    }

    /// `ep_set_busy_poll_napi_id`: by which instance the packets of `file` come, where anybody wants to know.
    fn note_napi(&self, file: &File) {
        if let Some(napi) = Instance::of(file, self.polls_busily.get()) {
            let replaced = self.state.lock().napi.replace(napi);
            // With it perhaps the last hold on a host.
            drop(replaced);
        }
    }

    /// `ep_suspend_napi_irqs`: events were told, and who took them will be back.
    #[cold]
    fn suspend_irqs(&self) {
        let napi = {
            let state = self.state.lock();
            if state.params.prefer_busy_poll { state.napi.clone() } else { None }
        };
        if let Some(napi) = napi {
            napi.suspend_irqs();
        }
    }

    /// Who is about to sleep looks at a device first; says whether there is something to tell. If not, it is forgotten until an
    /// event comes by it again.
    #[cold]
    fn busy_loop(&self, napi: &Instance, params: EpollParams, once: bool) -> bool {
        let found = napi.busy_loop(params, once, || self.is_available());
        if !found {
            let forgotten = self.state.lock().napi.take();
            drop(forgotten);
        }
        found
    }

    /// `EPIOCGPARAMS`
    pub(crate) fn params(&self) -> EpollParams {
        self.state.lock().params
    }

    /// `EPIOCSPARAMS`
    pub(crate) fn set_params(&self, params: EpollParams) -> Result<(), CtlError> {
        self.state.lock().params = params.check()?;
        self.polls_busily.set(params.are_on());
        Ok(())
    }

    /// Puts the item in hand where it belongs, and takes the next one if `more` are wanted.
    fn advance(&self, settled: Option<(ItemId, Settle)>, more: bool) -> Option<(ItemId, EpollFlags)> {
        let mut state = self.state.lock();
        if let Some((id, settle)) = settled {
            state.ready.settle(id, settle);
        }
        if more { state.ready.next() } else { None }
    }

    /// `ep_done_scan`
    fn finish(&self, told: usize, wakes: &mut WakeBatch) {
        let mut state = self.state.lock();
        state.counters.told += told as u64;
        if state.ready.finish_scan() {
            state.wake_sleeper(wakes);
            self.sleepers.set(state.sleeping.len());
        }
    }

    /// One pass of `ep_poll`: tells what is ready, or else leaves the caller in the queue of sleepers. Where callers poll busily, they
    /// look before they sleep: for a while, or `once`.
    pub(crate) fn poll_events(
        &self,
        waker: &Waker,
        slot: &mut WaitSlot,
        events: &mut [Event],
        once: bool,
    ) -> Poll<usize> {
        if slot.is_set() {
            self.tell(|| Told::SchedSwitch { to: "epoll", task: try_id() });
        }
        loop {
            if self.state.lock().ready.is_available() {
                let told = self.harvest(events);
                if told > 0 {
                    // What is left after this harvest was passed on by it.
                    drop(self.leave_sleepers(slot));
                    return Poll::Ready(told);
                }
            }
            let mut state = self.state.lock();
            if state.ready.is_available() {
                continue;
            }
            if let Some(napi) = state.napi.clone() {
                let params = state.params;
                drop(state);
                let _found = self.busy_loop(&napi, params, once);
                continue;
            }
            if !state.sleeping.is_waiting(slot) {
                state.counters.sleeps += 1;
            }
            let replaced = state.sleeping.join(slot, waker, Events::ANY, Mode::ExclusiveFirst);
            self.sleepers.set(state.sleeping.len());
            drop(state);
            drop(replaced);
            self.tell(|| Told::SchedSleep { what: "epoll", task: try_id() });
            return Poll::Pending;
        }
    }

    fn tell(&self, event: impl FnOnce() -> Told) {
        if let Some(tracer) = self.tracer() {
            tracer.emit(event);
        }
    }

    /// Where its calls are told; nowhere before it has watched a socket.
    pub(crate) fn tracer(&self) -> Option<&Tracer> {
        self.tracer.get()
    }

    /// Whether there may be something to tell.
    pub(crate) fn is_available(&self) -> bool {
        self.state.lock().ready.is_available()
    }

    /// Leaves the queue of sleepers.
    pub(crate) fn leave_sleepers(&self, slot: &mut WaitSlot) -> Removed {
        if !slot.is_set() {
            return Removed::Absent;
        }
        let mut state = self.state.lock();
        let removed = state.sleeping.remove(slot);
        self.sleepers.set(state.sleeping.len());
        removed
    }

    /// A sleeper gives up. If it was woken, another one is in its place; where this epoll has none, the next that watches the
    /// same file exclusively.
    pub(crate) fn give_up(&self, slot: &mut WaitSlot) {
        if !self.leave_sleepers(slot).is_told() {
            return;
        }
        let mut wakes = WakeBatch::new();
        let mut state = self.state.lock();
        let is_over = !state.ready.is_available();
        let passed = is_over || state.wake_sleeper(&mut wakes);
        self.sleepers.set(state.sleeping.len());
        drop(state);
        wakes.wake_all();
        if !passed {
            self.tell_next();
        }
    }

    /// Nobody sleeps here any more who could take what an exclusive item was told of.
    #[cold]
    fn tell_next(&self) {
        let exclusive: Vec<Arc<Item>> = {
            let table = self.table.lock();
            let items = table.items.iter().map(|(_, entry)| &entry.item);
            items.filter(|item| item.added_with.contains(EpollFlags::EXCLUSIVE)).cloned().collect()
        };
        exclusive.iter().for_each(|item| item.tell_next());
    }

    // As a file.

    /// `ep_eventpoll_poll`: readable when an item is ready. What is found not to be ready leaves the ready list.
    pub(crate) fn poll(&self, wakes: &mut WakeBatch) -> Events {
        let table = self.table.lock();
        self.state.lock().ready.start_scan();
        let (mut found, mut settled) = (None, None);
        while let Some((id, wanted)) = self.advance(settled.take(), found.is_none()) {
            let holds = table.items[id.index()].item.file.poll(wakes) & wanted.events();
            if holds.is_empty() {
                settled = Some((id, Settle::Drop));
            } else {
                found = Some(id);
            }
        }
        let mut state = self.state.lock();
        if let Some(id) = found {
            state.ready.put_back(id);
        }
        if state.ready.finish_scan() {
            state.wake_sleeper(wakes);
            self.sleepers.set(state.sleeping.len());
        }
        if found.is_some() { Events::IN | Events::RDNORM } else { Events::empty() }
    }

    /// Leaves `waker` with those who poll this epoll.
    pub(crate) fn join_watchers(&self, slot: &mut WaitSlot, waker: &Waker, interest: Events) {
        let replaced = self.state.lock().watching.join(slot, waker, interest, Mode::Shared);
        drop(replaced);
    }

    /// Adds an item of another epoll there.
    pub(crate) fn add_watcher(&self, slot: &mut WaitSlot, func: &Arc<dyn WakeFn>, interest: Events, mode: Mode) {
        let replaced = self.state.lock().watching.add(slot, func.clone(), interest, mode);
        drop(replaced);
    }

    /// Changes what such an item wants to hear.
    pub(crate) fn set_watched_for(&self, slot: &WaitSlot, interest: Events) {
        self.state.lock().watching.set_interest(slot, interest);
    }

    pub(crate) fn leave_watchers(&self, slot: &mut WaitSlot) {
        if slot.is_set() {
            let removed = self.state.lock().watching.remove(slot);
            drop(removed);
        }
    }

    // As a node of the graph of epolls.

    /// The epolls that this one watches.
    pub(super) fn children(&self) -> Vec<Arc<EventPoll>> {
        let table = self.table.lock();
        let files = table.items.iter().map(|(_, entry)| &entry.item.file);
        files.filter_map(|file| if let File::Epoll(inner) = file { Some(inner.clone()) } else { None }).collect()
    }

    /// The epolls that watch this one.
    pub(super) fn parents(&self) -> Vec<Arc<EventPoll>> {
        self.parents.lock().iter().filter_map(Weak::upgrade).collect()
    }

    fn forget_parent(&self, parent: &EventPoll) {
        let mut parents = self.parents.lock();
        if let Some(at) = parents.iter().position(|known| std::ptr::eq(known.as_ptr(), parent)) {
            parents.swap_remove(at);
        }
    }
}

/// Where an item goes once it was told.
fn after_telling(wanted: EpollFlags) -> Settle {
    if wanted.contains(EpollFlags::ONESHOT) {
        Settle::Disarm
    } else if wanted.contains(EpollFlags::ET) {
        Settle::Drop
    } else {
        Settle::Keep
    }
}

impl State {
    /// Something is ready: a sleeper is woken, and who watches this epoll is told. Says whether anybody slept.
    fn tell(&mut self, wakes: &mut WakeBatch) -> bool {
        let woken = self.wake_sleeper(wakes);
        // `ep_poll_safewake`. A call into another epoll is made when this one's lock is released.
        self.watching.wake(Events::IN, 1, wakes);
        woken
    }

    /// Says whether there was one.
    fn wake_sleeper(&mut self, wakes: &mut WakeBatch) -> bool {
        let woken = self.sleeping.wake(Events::ANY, 1, wakes);
        self.counters.wakeups += woken as u64;
        woken > 0
    }
}

impl WakeFn for Item {
    /// `ep_poll_callback`
    fn call(&self, key: Events) {
        if key == Events::ANY && !self.file.is_open() {
            return self.epoll.forget(self);
        }
        let claimed = self.claims.take();
        let mut wakes = WakeBatch::new();
        let mut state = self.epoll.state.lock();
        state.counters.callbacks += 1;
        let asides = state.ready.overflowed();
        let mut woken = false;
        if state.ready.on_event(self.id, key) {
            state.counters.overflowed += (state.ready.overflowed() - asides) as u64;
            woken = state.tell(&mut wakes);
            self.epoll.sleepers.set(state.sleeping.len());
        }
        drop(state);
        // Without a key, as for an end, the call is not the synchronous one.
        let wake_up = if key == Events::ANY { "__wake_up" } else { "__wake_up_sync" };
        let through = ["__wake_up_common", wake_up, "ep_poll_callback"];
        waking::wake_all(wakes, Some("ep_autoremove_wake_function"), &through);
        if claimed && !woken {
            // Who slept here when the event was claimed has gone.
            self.tell_next();
        }
    }

    /// Only an epoll that sleeps, and wants this kind of event, takes one that is meant for one epoll.
    fn claim(&self, key: Events) -> bool {
        let claimed = self.added_with.claims(key) && self.epoll.sleepers.claim();
        if claimed {
            self.claims.add();
        }
        claimed
    }
}

impl Item {
    /// Tells the next epoll that watches the file exclusively, if the event is still there.
    #[cold]
    fn tell_next(&self) {
        if let File::Socket(socket) = &self.file {
            socket.tell_next(self.added_with.events());
        }
    }
}
