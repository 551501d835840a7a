//! One socket to its owner, one per shard inside: listeners and unconnected UDP sockets.
//!
//! Frames of any flow may arrive at any CPU, so such a socket stands on all of them and whoever waits on it waits in all
//! their wait queues. Waits are exclusive, as `accept(2)` and `recvfrom(2)` wait in Linux: one arrival wakes one waiter.
//! Because a waiter stands in several queues it may be told twice for two arrivals and take only one; what it leaves
//! behind it passes on ([`SocketFile::release`]).

use crate::fasync::{AsFile, File};
use crate::host::machine::{Machine, Time};
use crate::host::socket::file::{Places, SocketFile};
use crate::sockopt::{Opt, Value};
use crate::stack::effects::Effects;
use crate::stack::error::SocketError;
use crate::stack::shard::Stack;
use crate::stack::socket::SocketId;
use std::io;
use std::sync::Arc;
use std::task::{Poll, Waker};
use wakeline_runtime::clock::Instant;
use wakeline_runtime::wait_queue::{Events, Mode};

/// A socket's members, one for each CPU of its host. Dropping it closes them.
pub(crate) struct Spread {
    file: SocketFile,
}

impl Spread {
    /// Opens the socket on every shard, or on none.
    pub(crate) fn open(
        host: Arc<Machine>,
        mut open: impl FnMut(&mut Stack) -> Result<SocketId, SocketError>,
    ) -> io::Result<Spread> {
        // The ids collected so far are closed by Drop when a later shard refuses.
        let mut spread = Spread { file: SocketFile::new(host, []) };
        for cpu in 0..spread.file.host.cpu_count() {
            let id = spread.file.host.with_stack(cpu, |stack, _, _| open(stack))?;
            spread.file.heads.push((cpu, id));
        }
        Ok(spread)
    }

    pub(crate) fn host(&self) -> &Arc<Machine> {
        &self.file.host
    }

    /// The socket as `poll` sees it.
    pub(crate) fn file(&self) -> SocketFile {
        self.file.clone()
    }

    /// Tries `call` on each member; when all would block, the caller waits in all their queues. Gives the CPU as well.
    pub(crate) fn attempt<R>(
        &self,
        mode: Mode,
        waker: &Waker,
        places: &mut Places,
        interest: Events,
        call: impl FnMut(&mut Stack, SocketId, Instant, &mut Effects) -> Result<R, SocketError>,
    ) -> Poll<io::Result<(usize, R)>> {
        self.file.attempt((Time::Recent, mode), waker, places, interest, call)
    }

    /// The same on the member of `cpu` alone.
    pub(crate) fn attempt_at<R>(
        &self,
        cpu: usize,
        mode: Mode,
        waker: &Waker,
        places: &mut Places,
        interest: Events,
        call: impl FnOnce(&mut Stack, SocketId, Instant, &mut Effects) -> Result<R, SocketError>,
    ) -> Poll<io::Result<R>> {
        self.file.attempt_at(cpu, (Time::Recent, mode), waker, places, interest, call)
    }

    /// Calls `f` on the first member: for what all members agree on.
    pub(crate) fn query<R>(&self, f: impl FnOnce(&mut Stack, SocketId) -> Result<R, SocketError>) -> io::Result<R> {
        self.file.host.with_stack_recent(0, |stack, _, _| f(stack, self.member(0))).map_err(Into::into)
    }

    /// Calls `f` on every member; the first error wins.
    pub(crate) fn each(
        &self,
        mut f: impl FnMut(&mut Stack, SocketId, Instant) -> Result<(), SocketError>,
    ) -> io::Result<()> {
        for (cpu, id) in self.file.heads.iter().copied() {
            self.file.host.with_stack_recent(cpu, |stack, now, _| f(stack, id, now))?;
        }
        Ok(())
    }

    /// Does something to every member that may send; the first error wins.
    pub(crate) fn on_each(
        &self,
        mut f: impl FnMut(&mut Stack, SocketId, Instant, &mut Effects) -> Result<(), SocketError>,
    ) -> io::Result<()> {
        for (cpu, id) in self.file.heads.iter().copied() {
            self.file.host.with_stack(cpu, |stack, now, fx| f(stack, id, now, fx))?;
        }
        Ok(())
    }

    /// The first thing that a member has to say.
    pub(crate) fn find<R>(&self, mut f: impl FnMut(&mut Stack, SocketId) -> Option<R>) -> Option<R> {
        let mut members = self.file.heads.iter().copied();
        members.find_map(|(cpu, id)| self.file.host.with_stack_recent(cpu, |stack, _, _| f(stack, id)))
    }

    /// Sets an option on every member; the first error wins.
    pub(crate) fn set_option(&self, opt: Opt, value: Value) -> io::Result<()> {
        self.file.host.note_option(opt, value);
        for (cpu, id) in self.file.heads.iter().copied() {
            self.file.host.with_stack(cpu, |stack, now, fx| stack.set_option(now, id, (opt, value), fx))?;
        }
        Ok(())
    }

    /// The member on `cpu`.
    pub(crate) fn member(&self, cpu: usize) -> SocketId {
        self.file.heads[cpu].1
    }

    /// Leaves every queue. Where the waiter had been told and something is still there, the next one is told.
    pub(crate) fn release(&self, places: &mut Places) {
        self.file.release(places);
    }
}

/// All members have the same file.
impl AsFile for Spread {
    fn fasync_file(&self) -> io::Result<Arc<File>> {
        let mut file = None;
        for (cpu, id) in self.file.heads.iter().copied() {
            self.file.host.with_stack_recent(cpu, |stack, _, fx| {
                let wq = stack.wq(id).ok_or(SocketError::Stale)?;
                let known = file.take();
                file = Some(wq.file(|| known.unwrap_or_else(|| Arc::new(File::new(fx.tracer.clone())))).clone());
                Ok::<_, SocketError>(())
            })?;
        }
        file.ok_or_else(|| SocketError::Stale.into())
    }

    fn set_fasync(&self, on: bool) -> io::Result<()> {
        self.fasync_file()?;
        for (cpu, id) in self.file.heads.iter().copied() {
            self.file.host.with_stack_recent(cpu, |stack, _, _| {
                if let Some(wq) = stack.wq(id) {
                    wq.set_fasync(on);
                }
            });
        }
        Ok(())
    }
}

impl Drop for Spread {
    fn drop(&mut self) {
        for (cpu, id) in self.file.heads.iter().copied() {
            self.file.host.with_stack(cpu, |stack, now, fx| stack.close(now, id, fx));
        }
    }
}

impl std::fmt::Debug for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spread").field("host", &self.file.host.name).field("members", &self.file.heads.len()).finish()
    }
}
