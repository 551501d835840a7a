//! `poll(2)` and `select(2)` over emulated sockets.
//!
//! # What it costs
//! Every call looks at all its descriptors, leaving a waker in each one's wait queue until one is ready; sleeps once for
//! all of them; looks at all again; and leaves all the queues. The wait is not on a socket but on the caller's own
//! parker or task: so it is one sleep however many sockets there are, and each event wakes every caller that polls the
//! socket, for none of them is exclusive. An [`Epoll`](crate::epoll::Epoll) stays in the queues between calls instead.
//!
//! # Examples
//! ```no_run
//! # fn example(a: &wakeline_net::blocking::TcpStream, b: &wakeline_net::blocking::TcpStream) -> std::io::Result<()> {
//! use wakeline_net::poll::{Events, PollFd, poll_blocking};
//!
//! let mut fds = [PollFd::new(a, Events::IN), PollFd::new(b, Events::IN | Events::OUT)];
//! poll_blocking(&mut fds, None)?;
//! if fds[0].revents.contains(Events::IN) {
//!     // `a` will not block
//! }
//! # Ok(())
//! # }
//! ```

pub(crate) mod file;
mod select;
pub(crate) mod source;
mod table;

pub use select::{FD_SETSIZE, FdSet, select, select_blocking};
pub use source::Source;
pub use wakeline_runtime::wait_queue::Events;

use crate::api::budget::budgeted;
use crate::poll::table::{PollTable, Watched};
use crate::stack::error::SocketError;
use crate::syscall::Syscall;
use std::future::poll_fn;
use std::io;
use std::time::Duration;

/// How many descriptors one call may have. Linux's bound is the process's `RLIMIT_NOFILE`; emulated sockets know none, so
/// this is its usual hard limit.
pub const POLL_FDS_MAX: usize = 1 << 20;

/// `struct pollfd`: a descriptor, what is wanted of it, and what holds.
#[derive(Clone, Copy)]
pub struct PollFd<'a> {
    source: Option<&'a dyn Source>,
    /// What is wanted. `ERR` and `HUP` always are.
    pub events: Events,
    /// What of it holds, after a call.
    pub revents: Events,
}

impl<'a> PollFd<'a> {
    /// Asks for `events` of `source`.
    #[must_use]
    pub fn new(source: &'a dyn Source, events: Events) -> PollFd<'a> {
        PollFd { source: Some(source), events, revents: Events::empty() }
    }

    /// An entry that is passed over, as one with the descriptor -1.
    #[must_use]
    pub fn ignored() -> PollFd<'static> {
        PollFd { source: None, events: Events::empty(), revents: Events::empty() }
    }
}

impl std::fmt::Debug for PollFd<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (events, revents) = (self.events, self.revents);
        f.debug_struct("PollFd").field("events", &events).field("revents", &revents).finish_non_exhaustive()
    }
}

/// Waits until something holds that one of `fds` asks for; gives of how many it does. Each one's `revents` are set, to
/// nothing where nothing holds.
///
/// A timeout is put around it: `timeout(limit, poll(&mut fds))`.
///
/// # Errors
/// `Unsupported` when one is a socket of the operating system's network, `InvalidInput` for more than [`POLL_FDS_MAX`].
///
/// # Cancel safety
/// Dropping the future leaves all wait queues; nothing is taken from any socket.
pub async fn poll(fds: &mut [PollFd<'_>]) -> io::Result<usize> {
    let mut table = table_of(fds)?;
    table.enter_call(Syscall::Poll, fds.len());
    let ready = poll_fn(|cx| budgeted(cx, |cx| table.poll(cx.waker()))).await;
    answer(fds, &table, ready)
}

/// The same for threads: sleeps until something holds or `timeout` has passed (`None`: no limit). A timeout of zero never
/// sleeps.
///
/// # Errors
/// As [`poll`]. A timeout is none: the answer is then 0.
pub fn poll_blocking(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<usize> {
    let mut table = table_of(fds)?;
    table.enter_call(Syscall::Poll, fds.len());
    let ready = table.poll_blocking(timeout);
    answer(fds, &table, ready)
}

fn table_of(fds: &[PollFd<'_>]) -> io::Result<PollTable> {
    if fds.len() > POLL_FDS_MAX {
        return Err(SocketError::InvalidInput.into());
    }
    let watched = fds.iter().map(|fd| {
        let file = fd.source.map(|source| source.descriptor()).transpose()?.map(|descriptor| descriptor.file);
        Ok(Watched::new(file, fd.events | Events::ERR | Events::HUP))
    });
    Ok(PollTable::new(watched.collect::<io::Result<_>>()?))
}

fn answer(fds: &mut [PollFd<'_>], table: &PollTable, ready: usize) -> io::Result<usize> {
    for (fd, watched) in fds.iter_mut().zip(table.watched()) {
        fd.revents = watched.holds;
    }
    table.exit_call(Syscall::Poll, ready);
    Ok(ready)
}
