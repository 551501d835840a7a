//! A socket as `poll(2)`, `select(2)` and `epoll(7)` see it: the wait queues that it names, and what holds of it.
//!
//! `tcp_poll` and its siblings are asked in two ways: only what holds, or with a waker to leave in every wait queue in
//! which news would be told. Joining and looking happen under one lock, so that no news falls between them.
//!
//! System calls on several members go through it too ([`SocketFile::attempt`]).

use crate::host::machine::{Machine, Time};
use crate::host::socket::attempt::{Place, Waiting, attempt};
use crate::stack::effects::Effects;
use crate::stack::error::SocketError;
use crate::stack::shard::Stack;
use crate::stack::socket::SocketId;
use crate::stack::socket_wq::{IN_POLL, IN_RING};
use smallvec::SmallVec;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Poll, Waker};
use wakeline_runtime::clock::Instant;
use wakeline_runtime::wait_queue::{Events, Mode, Removed, WaitSlot, WakeFn};

/// See the [module](self). It names a socket and does not keep it open: once it is closed, `ERR` and `HUP` hold.
#[derive(Clone)]
pub(crate) struct SocketFile {
    pub(super) host: Arc<Machine>,
    /// The socket's members, by CPU. A connection has one, a listener and a UDP socket one for each CPU.
    pub(super) heads: SmallVec<[(usize, SocketId); 1]>,
}

/// Tells one socket from all others, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId {
    host: usize,
    cpu: usize,
    socket: SocketId,
}

/// A waiter's places in the wait queues of one file.
#[derive(Debug, Default)]
pub(crate) struct Places {
    slots: SmallVec<[WaitSlot; 1]>,
    /// The member to try first: each in turn, so that none starves.
    first: usize,
    /// The place in the queue of the one member that matters, and which that is.
    only: (usize, WaitSlot),
}

impl Places {
    /// In no queue.
    pub(crate) fn new() -> Places {
        Places::default()
    }

    /// Whether the waiter has joined a queue and has not left it since, nor been told and looked.
    pub(crate) fn is_set(&self) -> bool {
        self.only.1.is_set() || self.slots.iter().any(WaitSlot::is_set)
    }
}

impl SocketFile {
    pub(crate) fn new(host: Arc<Machine>, heads: impl IntoIterator<Item = (usize, SocketId)>) -> SocketFile {
        SocketFile { host, heads: heads.into_iter().collect() }
    }

    pub(crate) fn host(&self) -> &Arc<Machine> {
        &self.host
    }

    pub(crate) fn id(&self) -> FileId {
        let &(cpu, socket) = self.heads.first().expect("a socket stands on at least one CPU");
        FileId { host: Arc::as_ptr(&self.host).addr(), cpu, socket }
    }

    /// Tries `call` on each member; when all would block, the caller waits in all their queues. Gives the CPU as well.
    pub(crate) fn attempt<R>(
        &self,
        (time, mode): (Time, Mode),
        waker: &Waker,
        places: &mut Places,
        interest: Events,
        mut call: impl FnMut(&mut Stack, SocketId, Instant, &mut Effects) -> Result<R, SocketError>,
    ) -> Poll<io::Result<(usize, R)>> {
        let members = self.heads.len();
        places.slots.resize_with(members, WaitSlot::new);
        for step in 0..members {
            let at = (places.first + step) % members;
            let (cpu, id) = self.heads[at];
            let place = Place { host: &self.host, cpu, id };
            let waiting = Waiting { waker, slot: &mut places.slots[at], interest, mode };
            if let Poll::Ready(result) = attempt(place, time, waiting, &mut call) {
                places.first = (at + 1) % members;
                self.release(places);
                self.pass_on((cpu, id), interest);
                return Poll::Ready(result.map(|value| (cpu, value)));
            }
        }
        Poll::Pending
    }

    /// The same where nothing comes to any other member than that of `cpu`.
    pub(crate) fn attempt_at<R>(
        &self,
        cpu: usize,
        (time, mode): (Time, Mode),
        waker: &Waker,
        places: &mut Places,
        interest: Events,
        call: impl FnOnce(&mut Stack, SocketId, Instant, &mut Effects) -> Result<R, SocketError>,
    ) -> Poll<io::Result<R>> {
        if places.only.0 != cpu {
            self.release(places);
            places.only.0 = cpu;
        }
        let place = Place { host: &self.host, cpu, id: self.heads[cpu].1 };
        let waiting = Waiting { waker, slot: &mut places.only.1, interest, mode };
        let polled = attempt(place, time, waiting, call);
        if polled.is_ready() {
            self.release(places);
        }
        polled
    }

    /// Leaves every queue. Where the waiter had been told and something is still there, the next one is told.
    pub(crate) fn release(&self, places: &mut Places) {
        let Places { slots, only: (at, only), .. } = places;
        let all = self.heads.iter().zip(slots).chain(self.heads.get(*at).zip(Some(only)));
        for (&(cpu, id), slot) in all.filter(|(_, slot)| slot.is_set()) {
            let removed = self.host.with_stack_recent(cpu, |stack, _, fx| {
                let removed = stack.wait_list(id).map(|list| list.remove(slot));
                *slot = WaitSlot::new();
                if removed.as_ref().is_some_and(Removed::is_told) {
                    wake_next(stack, id, Events::READABLE, fx);
                }
                removed
            });
            // Its waker goes without the lock.
            drop(removed);
        }
    }

    /// One arrival wakes one waiter, but a waiter that comes at the right moment takes it without being woken. Then the
    /// one that was woken finds nothing; and two arrivals may have met one waiter in two queues. So whoever takes
    /// something while more is there tells the next.
    fn pass_on(&self, (cpu, id): (usize, SocketId), interest: Events) {
        if self.heads.len() > 1 {
            let interest = interest - (IN_POLL | IN_RING);
            self.host.with_stack_recent(cpu, |stack, _, fx| wake_next(stack, id, interest, fx));
        }
    }

    /// Tells whoever is next of what holds and `wanted` says: an exclusive waiter was told, and did not look.
    pub(crate) fn tell_next(&self, wanted: Events) {
        for &(cpu, id) in &self.heads {
            self.host.with_stack_recent(cpu, |stack, _, fx| {
                for key in [Events::READABLE, Events::WRITABLE, Events::ERR] {
                    if wanted.intersects(key) {
                        wake_next(stack, id, key, fx);
                    }
                }
            });
        }
    }

    /// Whether nobody has closed the socket yet.
    pub(crate) fn is_open(&self) -> bool {
        let id = self.heads.first();
        id.is_some_and(|&(cpu, id)| self.host.with_stack_recent(cpu, |stack, _, _| stack.wait_list(id).is_some()))
    }

    /// The queue whose NAPI instance brings the socket's packets (`sk_napi_id`): that of a connection's flow; otherwise the one by
    /// which the last packet for the CPU came whose member has something. None for what the host sends to itself.
    pub(crate) fn napi(&self) -> Option<usize> {
        let host = &self.host;
        let has_some = |&&(cpu, id): &&(usize, SocketId)| {
            let holds = host.with_stack_recent(cpu, |stack, _, _| stack.readiness(id));
            holds.intersects(Events::IN)
        };
        let &(cpu, id) = match &self.heads[..] {
            [only] => only,
            several => several.iter().find(has_some).or(several.first())?,
        };
        let ends = host.with_stack_recent(cpu, |stack, _, _| (stack.local_addr(id), stack.peer_addr(id)));
        let (local, peer) = (ends.0.ok()?, ends.1.ok());
        let canonical = |addr: SocketAddr| (addr.ip().to_canonical(), addr.port());
        match (canonical(local), peer.map(canonical)) {
            (_, Some((peer, _))) if peer.is_loopback() || host.addrs.contains(&peer) => None,
            (local, Some(peer)) if !local.0.is_unspecified() => Some(host.nic.queue_of_flow(peer, local)),
            _ => host.steering.queue_seen(cpu, host.nic.queue_count()),
        }
    }

    /// What holds of the socket: of any member.
    pub(crate) fn poll(&self) -> Events {
        let of_member =
            |&(cpu, id): &(usize, SocketId)| self.host.with_stack_recent(cpu, |stack, _, _| stack.readiness(id));
        self.heads.iter().map(of_member).fold(Events::empty(), Events::union)
    }

    /// The same, having left `waker` in every wait queue of the socket (`poll_wait`), for events that meet `interest`.
    pub(crate) fn poll_wait(&self, places: &mut Places, waker: &Waker, interest: Events) -> Events {
        places.slots.resize_with(self.heads.len(), WaitSlot::new);
        let mut holds = Events::empty();
        for (&(cpu, id), slot) in self.heads.iter().zip(&mut places.slots) {
            let replaced = self.host.with_stack_recent(cpu, |stack, _, _| {
                holds |= stack.readiness(id);
                stack.wait_list(id).and_then(|list| list.join(slot, waker, interest | IN_POLL, Mode::Shared))
            });
            // Its waker goes without the lock.
            drop(replaced);
        }
        holds
    }

    /// The same with a function that stays in the wait queues until it leaves them.
    pub(crate) fn watch(&self, places: &mut Places, func: &Arc<dyn WakeFn>, interest: Events, mode: Mode) -> Events {
        places.slots.resize_with(self.heads.len(), WaitSlot::new);
        let mut holds = Events::empty();
        for (&(cpu, id), slot) in self.heads.iter().zip(&mut places.slots) {
            let replaced = self.host.with_stack_recent(cpu, |stack, _, _| {
                holds |= stack.readiness(id);
                stack.wait_list(id).and_then(|list| list.add(slot, func.clone(), interest, mode))
            });
            drop(replaced);
        }
        holds
    }

    /// Changes what such a function wants to hear; gives what holds now.
    pub(crate) fn watch_for(&self, places: &Places, interest: Events) -> Events {
        let mut holds = Events::empty();
        for (&(cpu, id), slot) in self.heads.iter().zip(&places.slots) {
            self.host.with_stack_recent(cpu, |stack, _, _| {
                holds |= stack.readiness(id);
                if let Some(list) = stack.wait_list(id) {
                    list.set_interest(slot, interest);
                }
            });
        }
        holds
    }

    /// Leaves the wait queues.
    pub(crate) fn leave(&self, places: &mut Places) {
        for (&(cpu, id), slot) in self.heads.iter().zip(&mut places.slots).filter(|(_, slot)| slot.is_set()) {
            let removed = self.host.with_stack_recent(cpu, |stack, _, _| {
                let removed = stack.wait_list(id).map(|list| list.remove(slot));
                *slot = WaitSlot::new();
                removed
            });
            drop(removed);
        }
    }
}

fn wake_next(stack: &mut Stack, id: SocketId, interest: Events, fx: &mut Effects) {
    if !stack.readiness(id).intersects(interest) {
        return;
    }
    if let Some(list) = stack.wait_list(id) {
        list.wake(interest, 1, &mut fx.wakes);
    }
}
