//! A socket as `poll(2)`, `select(2)` and `epoll(7)` see it: the wait queues that it names, and what holds of it.
//!
//! `tcp_poll` and its siblings are asked in two ways: only what holds, or with a waker to leave in every wait queue in
//! which news would be told. Joining and looking happen under one lock, so that no news falls between them.

use crate::host::machine::Machine;
use crate::stack::socket::SocketId;
use smallvec::SmallVec;
use std::sync::Arc;
use std::task::Waker;
use wakeline_runtime::wait_queue::{Events, Mode, WaitSlot, WakeFn};

/// See the [module](self). It names a socket and does not keep it open: once it is closed, `ERR` and `HUP` hold.
#[derive(Clone)]
pub(crate) struct SocketFile {
    host: Arc<Machine>,
    /// The socket's members, by CPU. A connection has one, a listener and a UDP socket one for each CPU.
    heads: SmallVec<[(usize, SocketId); 1]>,
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
pub(crate) struct Places(SmallVec<[WaitSlot; 1]>);

impl SocketFile {
    pub(crate) fn new(host: Arc<Machine>, heads: impl IntoIterator<Item = (usize, SocketId)>) -> SocketFile {
        SocketFile { host, heads: heads.into_iter().collect() }
    }

    pub(crate) fn id(&self) -> FileId {
        let &(cpu, socket) = self.heads.first().expect("a socket stands on at least one CPU");
        FileId { host: Arc::as_ptr(&self.host).addr(), cpu, socket }
    }

    /// Whether nobody has closed the socket yet.
    pub(crate) fn is_open(&self) -> bool {
        let id = self.heads.first();
        id.is_some_and(|&(cpu, id)| self.host.with_stack_recent(cpu, |stack, _, _| stack.wait_list(id).is_some()))
    }

    /// What holds of the socket: of any member.
    pub(crate) fn poll(&self) -> Events {
        let of_member =
            |&(cpu, id): &(usize, SocketId)| self.host.with_stack_recent(cpu, |stack, _, _| stack.readiness(id));
        self.heads.iter().map(of_member).fold(Events::empty(), Events::union)
    }

    /// The same, having left `waker` in every wait queue of the socket (`poll_wait`), for events that meet `interest`.
    pub(crate) fn poll_wait(&self, places: &mut Places, waker: &Waker, interest: Events) -> Events {
        places.0.resize_with(self.heads.len(), WaitSlot::new);
        let mut holds = Events::empty();
        for (&(cpu, id), slot) in self.heads.iter().zip(&mut places.0) {
            let replaced = self.host.with_stack_recent(cpu, |stack, _, _| {
                holds |= stack.readiness(id);
                stack.wait_list(id).and_then(|list| list.join(slot, waker, interest, Mode::Shared))
            });
            // Its waker goes without the lock.
            drop(replaced);
        }
        holds
    }

    /// The same with a function that stays in the wait queues until it leaves them.
    pub(crate) fn watch(&self, places: &mut Places, func: &Arc<dyn WakeFn>, interest: Events, mode: Mode) -> Events {
        places.0.resize_with(self.heads.len(), WaitSlot::new);
        let mut holds = Events::empty();
        for (&(cpu, id), slot) in self.heads.iter().zip(&mut places.0) {
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
        for (&(cpu, id), slot) in self.heads.iter().zip(&places.0) {
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
        for (&(cpu, id), slot) in self.heads.iter().zip(&mut places.0).filter(|(_, slot)| slot.is_set()) {
            let removed = self.host.with_stack_recent(cpu, |stack, _, _| {
                let removed = stack.wait_list(id).map(|list| list.remove(slot));
                *slot = WaitSlot::new();
                removed
            });
            drop(removed);
        }
    }
}
