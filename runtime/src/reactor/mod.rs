//! The reactor: which OS sources are ready, and who waits for them.
//!
//! It rests on `mio` and is edge-triggered: the operating system tells of a change once, and each source remembers what
//! it was told ([`readiness`]) until an operation finds that it is so no more. It knows no socket: a source is whatever
//! `mio` can register.
//!
//! # References
//! A source's state is shared by its owner ([`Registration`]) and the table of the reactor. The operating system holds
//! only a token: the place in the table and a generation. An event that was on its way when its source was deregistered
//! finds another generation there, or nobody, and is dropped.
//!
//! With a [`ring`] the driver sleeps there, and the poller is one of the things that the ring watches.
//!
//! # Locks
//! The table's lock is held while one batch of events is handed out, and is taken before the lock of a source's wait
//! queue. Wakers are collected, and called by the driver when both are free.

mod alarm;
pub(crate) mod readiness;
pub(crate) mod ring;

use crate::atomic::{AtomicUsize, Mutex, Ordering};
use crate::wait_queue::{Events, WakeBatch};
use alarm::Alarm;
use mio::event::Source;
use mio::{Interest, Token};
use readiness::SourceState;
use ring::{Descriptor, Ring, Socket};
use slab::Slab;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The half that waits for the operating system; the driver's.
#[derive(Debug)]
pub(crate) struct Poller {
    poll: mio::Poll,
    events: mio::Events,
    alarm: Alarm,
}

/// The half that all threads share: registers, deregisters, wakes the poller.
#[derive(Debug)]
pub(crate) struct ReactorHandle {
    registry: mio::Registry,
    waker: PollWaker,
    /// The length of `sources.table`, written under its lock; read by a driver that chooses how to sleep.
    count: AtomicUsize,
    sources: Mutex<Sources>,
    /// Where streams and listeners are watched, if not by the poller.
    ring: Option<Ring>,
}

/// Makes a poll return; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct PollWaker(Arc<mio::Waker>);

#[derive(Debug)]
struct Sources {
    table: Slab<Slot>,
    next_generation: usize,
    closed: bool,
}

#[derive(Debug)]
struct Slot {
    generation: usize,
    state: Arc<SourceState>,
    socket: Option<Arc<Socket>>,
}

/// A source's place in the reactor. Its owner gives it back with [`ReactorHandle::deregister`].
#[derive(Debug)]
pub(crate) struct Registration {
    index: usize,
    state: Arc<SourceState>,
    /// What of it is in the ring; then the poller does not know it.
    socket: Option<Arc<Socket>>,
}

/// What whoever registered a source has to do.
#[must_use]
#[derive(Debug)]
pub(crate) enum Registered {
    /// The reactor had no source: the driver may sleep on its futex, get it off there.
    First(Registration),
    /// Nothing.
    Another(Registration),
}

/// The poller's own event.
const WAKE: Token = Token(usize::MAX);
/// The alarm's event.
const ALARM: Token = Token(usize::MAX - 1);
/// How many events one turn takes from the operating system.
const EVENTS_MAX: usize = 1024;
/// How many looks a source that leaves the ring waits for its receive to end.
const LEAVING_MAX: u32 = 1000;
/// A token is a generation above an index, of half a word each.
const INDEX_BITS: u32 = usize::BITS / 2;
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;
/// The last generation is left to [`WAKE`] and [`ALARM`].
const GENERATIONS: usize = INDEX_MASK;

impl Poller {
    /// A poller; `ring` makes one that watches it, if there is to be one.
    ///
    /// # Errors
    /// When the operating system has no file descriptors left.
    pub(crate) fn new(
        ring: impl FnOnce(&mio::Poll, &PollWaker) -> Option<Ring>,
    ) -> io::Result<(Poller, ReactorHandle)> {
        let poll = mio::Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let waker = PollWaker(Arc::new(mio::Waker::new(&registry, WAKE)?));
        let alarm = Alarm::new(&registry, ALARM)?;
        let sources = Sources { table: Slab::new(), next_generation: 0, closed: false };
        let ring = ring(&poll, &waker);
        let handle = ReactorHandle { registry, waker, count: AtomicUsize::new(0), sources: Mutex::new(sources), ring };
        Ok((Poller { poll, events: mio::Events::with_capacity(EVENTS_MAX), alarm }, handle))
    }

    /// Waits at most `wait` (`None`: without limit) for events, and collects who waits for them.
    pub(crate) fn poll(&mut self, reactor: &ReactorHandle, wait: Option<Duration>, out: &mut WakeBatch) {
        if let Some(ring) = &reactor.ring {
            if !ring.enter(wait) {
                reactor.leave_ring(ring, out);
                // Only a look: there may be somebody to wake.
                let _ = ring.enter(Some(Duration::ZERO));
            }
            reactor.hand_out_completed(ring, out);
            // What is more than one look takes makes the ring tell of the poller again.
            if ring.take_polled() {
                self.poll_for(reactor, Some(Duration::ZERO), out);
            }
        } else {
            let wait = self.alarm.set(wait);
            self.poll_for(reactor, wait, out);
        }
    }

    fn poll_for(&mut self, reactor: &ReactorHandle, wait: Option<Duration>, out: &mut WakeBatch) {
        match self.poll.poll(&mut self.events, wait) {
            Ok(()) => reactor.hand_out(&self.events, out),
            // A signal; the driver comes back.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // EBADF, EFAULT and EINVAL are all there is, and each means that this process is broken.
            Err(error) => panic!("the operating system refuses to poll: {error}"),
        }
    }
}

impl ReactorHandle {
    /// Whether there is anything to poll.
    pub(crate) fn has_sources(&self) -> bool {
        // Acquire: see `DriverHandle::after_register`, whose `unpark` makes the store visible.
        self.count.load(Ordering::Acquire) != 0 || self.ring.as_ref().is_some_and(Ring::is_owed)
    }

    /// How many sources are registered.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Makes a poll return.
    pub(crate) fn waker(&self) -> &PollWaker {
        &self.waker
    }

    /// Registers a source with the poller.
    ///
    /// # Errors
    /// Those of the operating system, or that the runtime is shutting down.
    pub(crate) fn register(&self, source: &mut impl Source, interest: Interest) -> io::Result<Registered> {
        let (registered, token) = self.insert(|_, _| None)?;
        // From here events may come, and they find the source in the table.
        if let Err(error) = self.registry.register(source, token, interest) {
            self.forget(registered.index());
            return Err(error);
        }
        Ok(registered)
    }

    /// Registers a stream or a listener: with the ring, if there is one. Until it is waited for, the kernel is not told of it.
    ///
    /// # Errors
    /// As [`register`](ReactorHandle::register).
    pub(crate) fn register_socket<S: Source + Descriptor>(
        &self,
        source: &mut S,
        interest: Interest,
    ) -> io::Result<Registered> {
        match &self.ring {
            None => self.register(source, interest),
            Some(ring) => {
                self.insert(|index, generation| Some(Arc::new(ring.socket(source, index, generation)))).map(|(r, _)| r)
            }
        }
    }

    fn insert(&self, socket: impl FnOnce(usize, usize) -> Option<Arc<Socket>>) -> io::Result<(Registered, Token)> {
        let state = Arc::new(SourceState::new());
        let mut sources = self.sources.lock();
        if sources.closed {
            return Err(readiness::gone());
        }
        let generation = sources.next_generation;
        sources.next_generation = (generation + 1) % GENERATIONS;
        let place = sources.table.vacant_entry();
        let index = place.key();
        let socket = socket(index, generation);
        place.insert(Slot { generation, state: state.clone(), socket: socket.clone() });
        self.count.store(sources.table.len(), Ordering::Release);
        let registration = Registration { index, state, socket };
        let registered = match sources.table.len() {
            1 => Registered::First(registration),
            _ => Registered::Another(registration),
        };
        Ok((registered, Token(generation << INDEX_BITS | index)))
    }

    /// Takes a source out. Its waiters are not told: only its owner could have made them.
    ///
    /// # Errors
    /// Those of the operating system; the reactor has forgotten the source in any case.
    pub(crate) fn deregister(&self, registration: &Registration, source: &mut impl Source) -> io::Result<()> {
        let result = match self.in_ring(registration) {
            None => self.registry.deregister(source),
            Some((ring, socket)) => {
                if socket.leave(ring) {
                    // What has come by now counts as received.
                    let mut wakes = WakeBatch::new();
                    self.hand_out_completed(ring, &mut wakes);
                    wakes.wake_all();
                }
                socket.reset_if_unread();
                Ok(())
            }
        };
        self.forget(registration.index);
        result
    }

    /// As [`deregister`](ReactorHandle::deregister), for a source that lives on: when this returns nothing is received for it.
    ///
    /// # Errors
    /// As there; and when bytes have been received that nobody has read.
    pub(crate) fn release(&self, registration: &Registration, source: &mut impl Source) -> io::Result<()> {
        let settled = match self.in_ring(registration) {
            None => Ok(()),
            Some((ring, socket)) => self.settle(ring, socket),
        };
        self.deregister(registration, source).and(settled)
    }

    /// Waits until nothing is received for a source any more. What is fetched meanwhile goes to whom it belongs.
    fn settle(&self, ring: &Ring, socket: &Socket) -> io::Result<()> {
        socket.leave(ring);
        let mut wakes = WakeBatch::new();
        for _ in 0..LEAVING_MAX {
            self.hand_out_completed(ring, &mut wakes);
            wakes.wake_all();
            if socket.is_quiet() {
                return socket.nothing_unread();
            }
            ring.enter_beside();
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "the kernel does not end the receive"))
    }

    /// The ring and what of the source is in it.
    pub(crate) fn in_ring<'a>(&'a self, registration: &'a Registration) -> Option<(&'a Ring, &'a Socket)> {
        self.ring.as_ref().zip(registration.socket.as_deref())
    }

    /// Tells every waiter of every source that the runtime is shutting down, and refuses new ones.
    pub(crate) fn shutdown(&self, out: &mut WakeBatch) {
        let mut sources = self.sources.lock();
        sources.closed = true;
        for (_, slot) in &sources.table {
            slot.state.shutdown(out);
        }
    }

    fn forget(&self, index: usize) {
        let slot = {
            let mut sources = self.sources.lock();
            let slot = sources.table.remove(index);
            self.count.store(sources.table.len(), Ordering::Release);
            slot
        };
        // Waiters that were left behind drop here, outside the lock.
        drop(slot);
    }

    fn hand_out_completed(&self, ring: &Ring, out: &mut WakeBatch) {
        if !ring.has_completions() {
            return;
        }
        let sources = self.sources.lock();
        ring.fetch(|done| sources.on_done(ring, &done, out));
    }

    /// The driver's thread is not the one that the ring is bound to: it goes on with another, in which every socket is again.
    fn leave_ring(&self, ring: &Ring, out: &mut WakeBatch) {
        let sources = self.sources.lock();
        ring.leave(|done| sources.on_done(ring, &done, out));
        for (_, slot) in &sources.table {
            if let Some(socket) = &slot.socket {
                let events = socket.rearm(ring);
                if !events.is_empty() {
                    slot.state.set(events, out);
                }
            }
        }
    }

    fn hand_out(&self, events: &mio::Events, out: &mut WakeBatch) {
        let sources = self.sources.lock();
        for event in events {
            let token = event.token();
            if token == WAKE || token == ALARM {
                continue;
            }
            let (generation, index) = (token.0 >> INDEX_BITS, token.0 & INDEX_MASK);
            match sources.table.get(index) {
                Some(slot) if slot.generation == generation => slot.state.set(events_of(event), out),
                // It was deregistered after the operating system had put this event into the batch.
                _ => {}
            }
        }
    }
}

impl Sources {
    fn on_done(&self, ring: &Ring, done: &ring::Done<'_>, out: &mut WakeBatch) {
        if let Some(Slot { state, socket: Some(socket), .. }) = self.table.get(done.index())
            && socket.owns(done)
        {
            let events = socket.on_done(ring, done);
            if !events.is_empty() {
                state.set(events, out);
            }
        }
    }
}

impl PollWaker {
    /// Makes the present or the next poll return.
    pub(crate) fn wake(&self) {
        self.0
            .wake()
            .expect("writing to an eventfd that is open fails only when its counter is full, which mio resets");
    }
}

impl Registered {
    fn index(&self) -> usize {
        match self {
            Registered::First(registration) | Registered::Another(registration) => registration.index,
        }
    }
}

impl Registration {
    /// What the source remembers, and who waits.
    pub(crate) fn state(&self) -> &SourceState {
        &self.state
    }

    /// Whether the ring watches it, and not the poller.
    #[inline]
    pub(crate) fn is_in_ring(&self) -> bool {
        self.socket.is_some()
    }
}

/// One event in the terms of `poll(2)`: `RDHUP` is "nothing will come any more", `HUP` "nothing can be sent any more".
fn events_of(event: &mio::event::Event) -> Events {
    let mut events = Events::empty();
    events.set(Events::IN, event.is_readable());
    events.set(Events::OUT, event.is_writable());
    events.set(Events::ERR, event.is_error());
    events.set(Events::RDHUP, event.is_read_closed());
    events.set(Events::HUP, event.is_write_closed());
    events
}

#[cfg(all(test, not(loom)))]
mod tests;
