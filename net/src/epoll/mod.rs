//! `epoll(7)` over emulated sockets: one wait for many, whose items stay in the sockets' wait queues.
//!
//! # How it works
//! [`Epoll::ctl`] puts an item into the wait queue of each socket that is watched. It is a permanent entry there; its
//! function, `ep_poll_callback`, puts the item onto the epoll's ready list and wakes one who sleeps in
//! [`wait`](Epoll::wait). So multiplexing still blocks, but on the *epoll's* wait queue, never on a socket's:
//! [`EpollCounters::sleeps`] counts it. What a wait tells is looked up anew when it is told, so it holds at that moment.
//!
//! Level-triggered items go back to the tail of the ready list when they are told, and leave it when they are found not to be
//! ready; so many busy sockets have their turns even where `wait` tells one event at a time. [`ET`](EpollFlags::ET) items
//! are told once for each arrival, [`ONESHOT`](EpollFlags::ONESHOT) ones once until they are modified; of epolls that watch a
//! socket with [`EXCLUSIVE`](EpollFlags::EXCLUSIVE) one that sleeps is woken: the first that added it.
//!
//! # Files and descriptors
//! An item is known by its file and descriptor, and lives as long as the *file*: a
//! [`blocking::TcpStream`](crate::blocking::TcpStream) that is dropped while a clone of it lives is still reported, and can not
//! be taken out any more, as in Linux. With the last clone the item goes by itself.
//!
//! # Differences from Linux
//! - `max_user_watches` bounds each epoll, not all of a user's together.
//! - A [`TcpSocket`](crate::TcpSocket) becomes a file when it connects or listens; before, it can not be watched.
//! - There is no `EBADF`: a handle is open.
//! - Sockets of the operating system's network are refused; that has an epoll of its own.
//!
//! # Examples
//! A server on one thread:
//! ```no_run
//! # fn example(mut accepted: Vec<wakeline_net::blocking::TcpStream>) -> std::io::Result<()> {
//! use std::io::{Read, Write};
//! use wakeline_net::epoll::{Ctl, Epoll, EpollFlags, Event};
//!
//! let epoll = Epoll::new()?;
//! for (at, stream) in accepted.iter().enumerate() {
//!     epoll.ctl(stream, Ctl::Add(Event::new(EpollFlags::IN, at as u64)))?;
//! }
//! let mut events = [Event::default(); 64];
//! loop {
//!     let told = epoll.wait_blocking(&mut events, None)?;
//!     for event in &events[..told] {
//!         let (stream, mut buf) = (&mut accepted[event.data as usize], [0; 1500]);
//!         let n = stream.read(&mut buf)?;
//!         stream.write_all(&buf[..n])?;
//!     }
//! }
//! # }
//! ```

mod busy_poll;
mod error;
pub(crate) mod eventpoll;
mod flags;
mod nesting;
mod ready;
mod sleepers;

pub use busy_poll::EpollParams;
pub use eventpoll::{Ctl, EpollCounters};
pub use flags::{EpollFlags, Event};

use crate::api::budget::budgeted;
use crate::epoll::eventpoll::EventPoll;
use crate::host::socket::attempt::block;
use crate::poll::source::Source;
use crate::syscall::Syscall;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use wakeline_runtime::wait_queue::WaitSlot;

/// How many descriptors an epoll watches at most, unless it was made with another limit
/// (`/proc/sys/fs/epoll/max_user_watches`, which Linux takes from the size of memory).
pub const MAX_USER_WATCHES: usize = 1 << 20;

/// A set of descriptors, and what is wanted of each; see the [module](self). Dropping it takes every item out.
///
/// Threads and tasks may share one, by reference or in an [`Arc`]. It can be watched by another epoll, up to five deep, and
/// polled.
pub struct Epoll(Arc<EventPoll>);

impl Epoll {
    /// An empty set (`epoll_create1(2)`).
    ///
    /// # Errors
    /// None here. Linux has a limit on descriptors.
    pub fn new() -> io::Result<Epoll> {
        Epoll::with_max_watches(MAX_USER_WATCHES)
    }

    /// The same, for at most so many descriptors.
    ///
    /// # Errors
    /// As [`new`](Epoll::new).
    pub fn with_max_watches(max: usize) -> io::Result<Epoll> {
        Ok(Epoll(EventPoll::new(max)))
    }

    /// Adds a descriptor, changes what is wanted of it, or takes it out (`epoll_ctl(2)`).
    ///
    /// # Errors
    /// - `EEXIST`: [`Ctl::Add`] of one that is watched;
    /// - `ENOENT`: [`Ctl::Mod`] or [`Ctl::Del`] of one that is not;
    /// - `EINVAL`: the epoll itself; [`EXCLUSIVE`](EpollFlags::EXCLUSIVE) with what it does not go with, in [`Ctl::Mod`],
    ///   or about an epoll; an event would have too many ways through epolls;
    /// - `ELOOP`: epolls would watch each other in a circle, or be stacked more than five deep;
    /// - `ENOSPC`: as many are watched as may be;
    /// - `Unsupported`: a socket of the operating system's network, or one that has not been connected.
    pub fn ctl(&self, source: &dyn Source, op: Ctl) -> io::Result<()> {
        Ok(self.0.ctl(source.descriptor()?, op)?)
    }

    /// Waits until something that is wanted holds, and tells as much of it as `events` has room for; gives how many of
    /// `events` that is.
    ///
    /// Of several who wait, the one that came last is woken first, and each wakes the next where something is left. A
    /// timeout is put around it: `timeout(limit, epoll.wait(&mut events))`.
    ///
    /// # Errors
    /// `EINVAL` when `events` has no room.
    ///
    /// # Cancel safety
    /// Yes: what is ready stays ready, and who was woken in vain wakes the next.
    pub async fn wait(&self, events: &mut [Event]) -> io::Result<usize> {
        check_room(events)?;
        self.enter_call(events);
        let mut sleeper = Sleeper { epoll: &self.0, slot: WaitSlot::new() };
        let told =
            poll_fn(|cx| budgeted(cx, |cx| self.0.poll_events(cx.waker(), &mut sleeper.slot, events, true).map(Ok)));
        self.exit_call(told.await)
    }

    /// The same for threads: sleeps until something holds or `timeout` has passed (`None`: no limit), when it gives 0. A
    /// timeout of zero never sleeps.
    ///
    /// # Errors
    /// As [`wait`](Epoll::wait).
    pub fn wait_blocking(&self, events: &mut [Event], timeout: Option<Duration>) -> io::Result<usize> {
        check_room(events)?;
        self.enter_call(events);
        if timeout == Some(Duration::ZERO) {
            return self.exit_call(Ok(if self.0.is_available() { self.0.harvest(events) } else { 0 }));
        }
        let mut sleeper = Sleeper { epoll: &self.0, slot: WaitSlot::new() };
        let told = block(timeout, |waker| self.0.poll_events(waker, &mut sleeper.slot, events, false).map(Ok));
        // Out of time; but who was woken meanwhile takes what he was woken for.
        let told = told.or_else(|_timed_out| {
            let is_told = self.0.leave_sleepers(&mut sleeper.slot).is_told();
            Ok(if is_told { self.0.harvest(events) } else { 0 })
        });
        self.exit_call(told)
    }

    /// How who waits polls devices busily (`EPIOCGPARAMS`).
    #[must_use]
    pub fn params(&self) -> EpollParams {
        self.0.params()
    }

    /// Sets that (`EPIOCSPARAMS`). Before it sleeps, a [`wait`](Epoll::wait) looks at the queue by which the packets of the socket
    /// came that was told last, and takes what is there without an interrupt; not after a wait in which that was in vain, until an
    /// event is told again.
    ///
    /// # Examples
    /// ```no_run
    /// # fn example(host: wakeline_net::emulated::Host) -> std::io::Result<()> {
    /// use std::time::Duration;
    /// use wakeline_net::emulated::NapiSettings;
    /// use wakeline_net::epoll::{Epoll, EpollParams};
    ///
    /// // While there are events, no interrupts; when there are none, they come back.
    /// host.set_napi(NapiSettings {
    ///     defer_hard_irqs: 100,
    ///     gro_flush_timeout: Duration::from_micros(20),
    ///     irq_suspend_timeout: Duration::from_millis(20),
    ///     ..NapiSettings::default()
    /// })?;
    /// let epoll = Epoll::new()?;
    /// epoll.set_params(EpollParams { busy_poll_usecs: 50, busy_poll_budget: 64, prefer_busy_poll: true })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `EINVAL` for more than `i32::MAX` microseconds. Linux lets only who may administrate the network set a budget beyond 64.
    pub fn set_params(&self, params: EpollParams) -> io::Result<()> {
        Ok(self.0.set_params(params)?)
    }

    fn enter_call(&self, events: &[Event]) {
        if let Some(tracer) = self.0.tracer() {
            tracer.enter_call(Syscall::EpollWait, events.len());
        }
    }

    fn exit_call(&self, told: io::Result<usize>) -> io::Result<usize> {
        match self.0.tracer() {
            Some(tracer) => tracer.exit_call(Syscall::EpollWait, told, |&told| told),
            None => told,
        }
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> EpollCounters {
        self.0.counters()
    }

    /// How many descriptors are watched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn inner(&self) -> &Arc<EventPoll> {
        &self.0
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl std::fmt::Debug for Epoll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Epoll").field("len", &self.len()).finish_non_exhaustive()
    }
}

fn check_room(events: &[Event]) -> io::Result<()> {
    if events.is_empty() { Err(io::Error::from_raw_os_error(libc::EINVAL)) } else { Ok(()) }
}

/// The place of one `wait` in the epoll's queue, given up when the call ends or is dropped.
struct Sleeper<'a> {
    epoll: &'a EventPoll,
    slot: WaitSlot,
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.epoll.give_up(&mut self.slot);
    }
}
