//! One socket to its owner, one per shard inside: listeners and unconnected UDP sockets.
//!
//! Frames of any flow may arrive at any CPU, so such a socket stands on all of them and whoever waits on it waits in all
//! their wait queues. Waits are exclusive, as `accept(2)` and `recvfrom(2)` wait in Linux: one arrival wakes one waiter.
//! Because a waiter stands in several queues it may be told twice for two arrivals and take only one; what it leaves
//! behind it passes on ([`Spread::release`]).

use crate::host::machine::Machine;
use crate::host::socket::attempt::{Place, Time, Waiting, attempt};
use crate::host::socket::file::SocketFile;
use crate::sockopt::{Opt, Value};
use crate::stack::effects::Effects;
use crate::stack::error::SocketError;
use crate::stack::shard::Stack;
use crate::stack::socket::SocketId;
use smallvec::SmallVec;
use std::io;
use std::sync::Arc;
use std::task::{Poll, Waker};
use wakeline_runtime::clock::Instant;
use wakeline_runtime::wait_queue::{Events, Mode, Removed, WaitSlot};

/// A socket's members, one for each CPU of its host. Dropping it closes them.
pub(crate) struct Spread {
    host: Arc<Machine>,
    ids: SmallVec<[SocketId; 1]>,
}

/// A waiter's places in the members' wait queues.
#[derive(Debug, Default)]
pub(crate) struct SpreadSlots {
    slots: SmallVec<[WaitSlot; 1]>,
    /// The member to try first: each in turn, so that none starves.
    first: usize,
}

impl SpreadSlots {
    pub(crate) fn new() -> SpreadSlots {
        SpreadSlots::default()
    }
}

impl Spread {
    /// Opens the socket on every shard, or on none.
    pub(crate) fn open(
        host: Arc<Machine>,
        mut open: impl FnMut(&mut Stack) -> Result<SocketId, SocketError>,
    ) -> io::Result<Spread> {
        // The ids collected so far are closed by Drop when a later shard refuses.
        let mut spread = Spread { host, ids: SmallVec::new() };
        for cpu in 0..spread.host.cpu_count() {
            let id = spread.host.with_stack(cpu, |stack, _, _| open(stack))?;
            spread.ids.push(id);
        }
        Ok(spread)
    }

    pub(crate) fn host(&self) -> &Arc<Machine> {
        &self.host
    }

    /// The socket as `poll` sees it.
    pub(crate) fn file(&self) -> SocketFile {
        SocketFile::new(self.host.clone(), self.ids.iter().copied().enumerate())
    }

    /// Tries `call` on each member; when all would block, the caller waits in all their queues. Gives the CPU as well.
    pub(crate) fn attempt<R>(
        &self,
        waker: &Waker,
        slots: &mut SpreadSlots,
        interest: Events,
        mut call: impl FnMut(&mut Stack, SocketId, Instant, &mut Effects) -> Result<R, SocketError>,
    ) -> Poll<io::Result<(usize, R)>> {
        let members = self.ids.len();
        slots.slots.resize_with(members, WaitSlot::new);
        for step in 0..members {
            let cpu = (slots.first + step) % members;
            let place = Place { host: &self.host, cpu, id: self.ids[cpu] };
            let waiting = Waiting { waker, slot: &mut slots.slots[cpu], interest, mode: Mode::Exclusive };
            if let Poll::Ready(result) = attempt(place, Time::Recent, waiting, &mut call) {
                slots.first = (cpu + 1) % members;
                self.release(slots);
                self.pass_on(cpu, interest);
                return Poll::Ready(result.map(|value| (cpu, value)));
            }
        }
        Poll::Pending
    }

    /// Ready when a member is, for some of `interest`. Who only asks takes nothing, so it waits beside the others.
    pub(crate) fn poll_ready(
        &self,
        waker: &Waker,
        slots: &mut SpreadSlots,
        interest: Events,
    ) -> Poll<io::Result<Events>> {
        let interest = interest | Events::ERR | Events::HUP;
        slots.slots.resize_with(self.ids.len(), WaitSlot::new);
        for (cpu, &id) in self.ids.iter().enumerate() {
            let place = Place { host: &self.host, cpu, id };
            let waiting = Waiting { waker, slot: &mut slots.slots[cpu], interest, mode: Mode::Shared };
            let ready = attempt(place, Time::Recent, waiting, |stack, id, _, _| {
                let ready = stack.readiness(id) & interest;
                if ready.is_empty() { Err(SocketError::WouldBlock) } else { Ok(ready) }
            });
            if ready.is_ready() {
                self.release(slots);
                return ready;
            }
        }
        Poll::Pending
    }

    /// Calls `f` on the first member: for what all members agree on.
    pub(crate) fn query<R>(&self, f: impl FnOnce(&mut Stack, SocketId) -> Result<R, SocketError>) -> io::Result<R> {
        self.host.with_stack_recent(0, |stack, _, _| f(stack, self.ids[0])).map_err(Into::into)
    }

    /// Calls `f` on every member; the first error wins.
    pub(crate) fn each(
        &self,
        mut f: impl FnMut(&mut Stack, SocketId, Instant) -> Result<(), SocketError>,
    ) -> io::Result<()> {
        for (cpu, &id) in self.ids.iter().enumerate() {
            self.host.with_stack_recent(cpu, |stack, now, _| f(stack, id, now))?;
        }
        Ok(())
    }

    /// Does something to every member that may send; the first error wins.
    pub(crate) fn on_each(
        &self,
        mut f: impl FnMut(&mut Stack, SocketId, Instant, &mut Effects) -> Result<(), SocketError>,
    ) -> io::Result<()> {
        for (cpu, &id) in self.ids.iter().enumerate() {
            self.host.with_stack(cpu, |stack, now, fx| f(stack, id, now, fx))?;
        }
        Ok(())
    }

    /// The first thing that a member has to say.
    pub(crate) fn find<R>(&self, mut f: impl FnMut(&mut Stack, SocketId) -> Option<R>) -> Option<R> {
        let mut members = self.ids.iter().enumerate();
        members.find_map(|(cpu, &id)| self.host.with_stack_recent(cpu, |stack, _, _| f(stack, id)))
    }

    /// Sets an option on every member; the first error wins.
    pub(crate) fn set_option(&self, opt: Opt, value: Value) -> io::Result<()> {
        for (cpu, &id) in self.ids.iter().enumerate() {
            self.host.with_stack(cpu, |stack, now, fx| stack.set_option(now, id, (opt, value), fx))?;
        }
        Ok(())
    }

    /// The member on `cpu`.
    pub(crate) fn member(&self, cpu: usize) -> SocketId {
        self.ids[cpu]
    }

    /// Leaves every queue. Where the waiter had been told and something is still there, the next one is told.
    pub(crate) fn release(&self, slots: &mut SpreadSlots) {
        for (cpu, slot) in slots.slots.iter_mut().enumerate().filter(|(_, slot)| slot.is_set()) {
            let removed = self.host.with_stack_recent(cpu, |stack, _, fx| {
                let removed = stack.wait_list(self.ids[cpu]).map(|list| list.remove(slot));
                *slot = WaitSlot::new();
                if removed.as_ref().is_some_and(Removed::is_told) {
                    wake_next(stack, self.ids[cpu], Events::READABLE, fx);
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
    fn pass_on(&self, cpu: usize, interest: Events) {
        if self.ids.len() > 1 {
            self.host.with_stack_recent(cpu, |stack, _, fx| wake_next(stack, self.ids[cpu], interest, fx));
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

impl Drop for Spread {
    fn drop(&mut self) {
        for (cpu, &id) in self.ids.iter().enumerate() {
            self.host.with_stack(cpu, |stack, now, fx| stack.close(now, id, fx));
        }
    }
}

impl std::fmt::Debug for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spread").field("host", &self.host.name).field("members", &self.ids.len()).finish()
    }
}
