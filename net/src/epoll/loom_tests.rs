//! An epoll's ready list and its sleepers under every interleaving that loom can make, in the steps of `EventPoll`: an event during
//! a scan, an event while somebody goes to sleep, and a second sleeper that takes what the first has left. A lost event is a
//! sleeper whom nobody has told, or who finds nothing.

use crate::epoll::flags::EpollFlags;
use crate::epoll::ready::{ItemId, ReadyList, Settle};
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;
use std::task::Waker;
use wakeline_runtime::wait_queue::{Events, Mode, WaitList, WaitSlot, WakeBatch};

/// `EventPoll`: a lock around harvests, and one around the ready list and the sleepers. The files are two sockets.
struct Epoll {
    table: Mutex<()>,
    state: Mutex<(ReadyList, WaitList)>,
    items: [ItemId; 2],
    /// How many bytes each socket has: relaxed, so that only the locks order it.
    bytes: [AtomicUsize; 2],
    /// Level-triggered: what was told stays in the list.
    is_level: bool,
    broken: Broken,
}

/// What a model leaves out, to see that it is found out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// An event that comes during a scan is not put aside.
    NoOverflow,
    /// Whoever harvests does not wake the next where something is left.
    NoPassingOn,
    /// Looking at the list and joining the sleepers are two steps.
    LooksBeforeItJoins,
}

impl Epoll {
    fn new(flags: EpollFlags, broken: Broken) -> Arc<Epoll> {
        let is_level = !flags.contains(EpollFlags::ET);
        let mut ready = ReadyList::default();
        let items = [0, 1].map(|_| ready.insert(flags));
        let state = Mutex::new((ready, WaitList::new()));
        Arc::new(Epoll {
            table: Mutex::new(()),
            state,
            items,
            bytes: [0, 1].map(|_| AtomicUsize::new(0)),
            is_level,
            broken,
        })
    }

    /// A byte arrives, and the softirq calls the item (`ep_poll_callback`).
    fn receive(&self, socket: usize) {
        self.bytes[socket].fetch_add(1, Ordering::Relaxed);
        let mut wakes = WakeBatch::new();
        {
            let (ready, sleeping) = &mut *self.state.lock().unwrap();
            let is_scanned = ready.is_available() && !ready.has_ready();
            let is_lost = self.broken == Broken::NoOverflow && is_scanned;
            if !is_lost && ready.on_event(self.items[socket], Events::IN) {
                sleeping.wake(Events::ANY, 1, &mut wakes);
            }
        }
        wakes.wake_all();
    }

    /// Tells of one socket that has bytes (`ep_send_events` with room for one event).
    fn harvest(&self) -> Option<usize> {
        let mut wakes = WakeBatch::new();
        let table = self.table.lock().unwrap();
        self.state.lock().unwrap().0.start_scan();
        let (mut told, mut settled) = (None, None);
        while let Some(id) = self.advance(settled.take(), told.is_none()) {
            let socket = if id == self.items[0] { 0 } else { 1 };
            let holds = self.bytes[socket].load(Ordering::Relaxed) > 0;
            told = holds.then_some(socket);
            settled = Some((id, if holds && self.is_level { Settle::Keep } else { Settle::Drop }));
        }
        {
            let (ready, sleeping) = &mut *self.state.lock().unwrap();
            if ready.finish_scan() && self.broken != Broken::NoPassingOn {
                sleeping.wake(Events::ANY, 1, &mut wakes);
            }
        }
        drop(table);
        wakes.wake_all();
        told
    }

    fn advance(&self, settled: Option<(ItemId, Settle)>, more: bool) -> Option<ItemId> {
        let (ready, _) = &mut *self.state.lock().unwrap();
        if let Some((id, settle)) = settled {
            ready.settle(id, settle);
        }
        if more { ready.next().map(|(id, _)| id) } else { None }
    }

    /// One pass of `ep_poll`: tells what there is, or leaves the caller with those who sleep.
    fn poll(&self, slot: &mut WaitSlot) -> Option<usize> {
        loop {
            if { self.state.lock().unwrap().0.is_available() }
                && let Some(told) = self.harvest()
            {
                drop(self.state.lock().unwrap().1.remove(slot));
                return Some(told);
            }
            let (ready, sleeping) = &mut *self.state.lock().unwrap();
            if !ready.is_available() || self.broken == Broken::LooksBeforeItJoins {
                drop(sleeping.join(slot, Waker::noop(), Events::ANY, Mode::ExclusiveFirst));
                return None;
            }
        }
    }

    fn sleeps(&self, slot: &WaitSlot) -> bool {
        self.state.lock().unwrap().1.is_waiting(slot)
    }
}

const BYTES: usize = 2;
const EDGE: EpollFlags = EpollFlags::IN.union(EpollFlags::ET);

/// Two bytes come to one socket, which is read until it is empty after each event: edge-triggered, so a lost event is lost. At first
/// the item is in the ready list although everything was read: then an event may come after the look at the socket.
fn read_while_bytes_come(broken: Broken) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let epoll = Epoll::new(EDGE, broken);
        epoll.receive(0);
        epoll.bytes[0].store(0, Ordering::Relaxed);
        let softirq = epoll.clone();
        let thread = thread::spawn(move || (0..BYTES).for_each(|_| softirq.receive(0)));
        let (mut read, mut slot) = (0, WaitSlot::new());
        while epoll.poll(&mut slot).is_some() {
            read += epoll.bytes[0].swap(0, Ordering::Relaxed);
        }
        // It sleeps. What has come since then, or comes now, wakes it.
        thread.join().unwrap();
        if read < BYTES {
            assert!(!epoll.sleeps(&slot), "a sleeper is forgotten");
            assert_eq!(epoll.poll(&mut slot), Some(0), "an event is lost");
            read += epoll.bytes[0].swap(0, Ordering::Relaxed);
        }
        assert_eq!(read, BYTES);
    });
}

/// docs/rxpath.md, row 49: an event at any step of going to sleep, of a scan and of its end is told.
#[test]
fn loom_an_event_at_any_step_is_told() {
    read_while_bytes_come(Broken::Nothing);
}

/// Row 49, the other way round.
#[test]
#[should_panic(expected = "a sleeper is forgotten")]
fn loom_an_event_during_a_scan_is_lost_without_the_overflow_list() {
    read_while_bytes_come(Broken::NoOverflow);
}

#[test]
#[should_panic(expected = "a sleeper is forgotten")]
fn loom_an_event_before_joining_is_lost_without_a_second_look() {
    read_while_bytes_come(Broken::LooksBeforeItJoins);
}

/// A byte comes that nobody reads: whoever waits, level-triggered, is told of it.
fn two_sleepers_are_told_of_one_level(broken: Broken) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let epoll = Epoll::new(EpollFlags::IN, broken);
        let (other, softirq) = (epoll.clone(), epoll.clone());
        let waiter = |epoll: &Epoll| {
            let mut slot = WaitSlot::new();
            (epoll.poll(&mut slot), slot)
        };
        let sleeper = thread::spawn(move || waiter(&other));
        let thread = thread::spawn(move || softirq.receive(0));
        let mut waiters = [waiter(&epoll), sleeper.join().unwrap()];
        thread.join().unwrap();
        // Who was woken looks, and wakes the next.
        for _ in 0..2 {
            for (told, slot) in &mut waiters {
                if told.is_none() && !epoll.sleeps(slot) {
                    *told = epoll.poll(slot);
                }
            }
        }
        assert!(waiters.iter().all(|(told, _)| *told == Some(0)), "a sleeper is forgotten");
    });
}

#[test]
fn loom_what_a_harvest_leaves_wakes_the_next_sleeper() {
    two_sleepers_are_told_of_one_level(Broken::Nothing);
}

#[test]
#[should_panic(expected = "a sleeper is forgotten")]
fn loom_without_passing_on_the_next_sleeper_sleeps_for_ever() {
    two_sleepers_are_told_of_one_level(Broken::NoPassingOn);
}
