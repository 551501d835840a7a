//! The ring as the reactor sees it, and what of a socket is in it.

use super::inbox::{End, Inbox};
use super::kernel::{self, Issuers, Kernel, Request};
use super::terms::{Await, Quiet, Take, Taken};
use crate::atomic::Mutex;
use crate::wait_queue::Events;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

/// What has a descriptor that the ring can take.
pub trait Descriptor: AsRawFd {}

impl<T: AsRawFd> Descriptor for T {}

/// An io_uring, and the poller's descriptor in it.
#[derive(Debug)]
pub(crate) struct Ring {
    /// The one in use.
    kernel: Mutex<Arc<Kernel>>,
    /// One that any thread may enter: the same, or what takes its place when another thread comes to drive the runtime.
    for_any_thread: Arc<Kernel>,
    /// The descriptor of the poller, which lives as long as the driver.
    poller: RawFd,
    watch: Mutex<Watch>,
}

#[derive(Debug, Default)]
struct Watch {
    /// The poller is being polled.
    armed: bool,
    /// It had something.
    told: bool,
}

/// What is in the ring of one source.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: RawFd,
    /// Its place and generation, as they stand in the numbers of requests.
    place: u64,
    side: Mutex<Side>,
}

#[derive(Debug)]
struct Side {
    inbox: Inbox,
    receive: Receive,
    poll_in: bool,
    poll_out: bool,
    /// Somebody reads from the descriptor himself: nothing is received any more.
    raw: bool,
    /// It has left, or is about to.
    left: bool,
}

/// Whether a receive is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receive {
    No,
    Yes,
    /// It was told to end.
    Cancelled,
}

/// A completion.
#[derive(Debug)]
pub(crate) struct Done<'a>(kernel::Done<'a>);

// A request's number: its kind in two bits, half a word for the source's place, and its generation in what is left.
const KIND: u32 = 62;
const RECEIVE: u64 = 0 << KIND;
const POLL_IN: u64 = 1 << KIND;
const POLL_OUT: u64 = 2 << KIND;
const OF_THE_RING: u64 = 3 << KIND;
const KINDS: u64 = 3 << KIND;
const GENERATION: u32 = 32;
const GENERATION_MASK: u64 = (1 << (KIND - GENERATION)) - 1;
const INDEX_MASK: u64 = (1 << GENERATION) - 1;

const POLLER: u64 = OF_THE_RING;
const CANCEL: u64 = OF_THE_RING | 1;

const READ_EVENTS: u32 = (libc::POLLIN | libc::POLLRDHUP) as u32;
const WRITE_EVENTS: u32 = libc::POLLOUT as u32;

impl Ring {
    /// A ring that watches `poller`, which `wake` makes ready. With `lone`, one thread at a time drives the runtime: the first gets
    /// a ring of its own, if the kernel has such.
    ///
    /// # Errors
    /// A text that says what the kernel refuses, and why.
    pub(crate) fn new(
        poller: &impl AsRawFd,
        lone: bool,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Ring, String> {
        let for_any_thread = Arc::new(Kernel::new(if lone { Issuers::OneAtATime } else { Issuers::Many })?);
        let own = if lone { Kernel::of_one_thread(wake).ok() } else { None };
        Ok(Ring {
            kernel: Mutex::new(own.map_or_else(|| for_any_thread.clone(), Arc::new)),
            for_any_thread,
            poller: poller.as_raw_fd(),
            watch: Mutex::new(Watch::default()),
        })
    }

    /// To be asked under the lock of what is pushed for: who has that next sees whether the ring was [left](Ring::leave) meanwhile.
    fn kernel(&self) -> Arc<Kernel> {
        self.kernel.lock().clone()
    }

    /// Waits at most `wait` (`None`: without limit) for something to [fetch](Ring::fetch). `false` when it is another thread's
    /// ring, which is to be [left](Ring::leave) then.
    #[must_use]
    pub(crate) fn enter(&self, wait: Option<Duration>) -> bool {
        let kernel = {
            let mut watch = self.watch.lock();
            let kernel = self.kernel();
            if !watch.armed {
                // It fails when the kernel takes nothing, and will be tried again in a moment.
                watch.armed = kernel.push(POLLER, Request::Poll(self.poller, READ_EVENTS)).is_ok();
            }
            kernel
        };
        kernel.enter(wait)
    }

    /// Goes on with the ring that any thread may enter. The caller has the driver, and has each socket [rearm](Socket::rearm)
    /// itself next, whatever it is handed here.
    pub(crate) fn leave(&self, each: impl FnMut(Done<'_>)) {
        let old = {
            let mut watch = self.watch.lock();
            *watch = Watch::default();
            std::mem::replace(&mut *self.kernel.lock(), self.for_any_thread.clone())
        };
        old.retire();
        self.fetch_from(&old, each);
    }

    /// Whether the kernel is still to be told of something.
    pub(crate) fn is_owed(&self) -> bool {
        self.kernel().is_owed()
    }

    /// Waits a moment for something to fetch, beside whoever has the driver.
    pub(crate) fn enter_beside(&self) {
        self.kernel().enter_beside();
    }

    /// Whether there is something to [fetch](Ring::fetch).
    pub(crate) fn has_completions(&self) -> bool {
        self.kernel().has_completions()
    }

    /// Hands out what has been completed by now, but for what concerns the ring alone.
    pub(crate) fn fetch(&self, each: impl FnMut(Done<'_>)) {
        self.fetch_from(&self.kernel(), each);
    }

    fn fetch_from(&self, kernel: &Kernel, mut each: impl FnMut(Done<'_>)) {
        kernel.drain(|done| match done.about {
            POLLER => *self.watch.lock() = Watch { armed: false, told: true },
            about if about & KINDS == OF_THE_RING => {}
            _ => each(Done(done)),
        });
    }

    /// Whether the poller has had something since this was asked last.
    pub(crate) fn take_polled(&self) -> bool {
        std::mem::take(&mut self.watch.lock().told)
    }

    /// A source at this place of the reactor's table.
    pub(crate) fn socket(&self, source: &impl Descriptor, index: usize, generation: usize) -> Socket {
        Socket {
            fd: source.as_raw_fd(),
            place: (generation as u64 & GENERATION_MASK) << GENERATION | index as u64 & INDEX_MASK,
            side: Mutex::new(Side {
                inbox: Inbox::default(),
                receive: Receive::No,
                poll_in: false,
                poll_out: false,
                raw: false,
                left: false,
            }),
        }
    }
}

impl Done<'_> {
    /// The place of the source that it concerns.
    pub(crate) fn index(&self) -> usize {
        (self.0.about & INDEX_MASK) as usize
    }
}

impl Socket {
    /// Whether the completion is this source's, and not one of who had its place before.
    pub(crate) fn owns(&self, done: &Done<'_>) -> bool {
        done.0.about & !KINDS == self.place
    }

    /// A request of this source has been completed; says what it is ready for now.
    pub(crate) fn on_done(&self, ring: &Ring, done: &Done<'_>) -> Events {
        let mut side = self.side.lock();
        match done.0.about & KINDS {
            RECEIVE => self.on_received(&mut side, ring, &done.0),
            POLL_IN => {
                let (again, events) = self.on_polled(&side, ring, &done.0, READ_EVENTS);
                side.poll_in = again;
                events
            }
            _ => {
                let (again, events) = self.on_polled(&side, ring, &done.0, WRITE_EVENTS);
                side.poll_out = again;
                events
            }
        }
    }

    /// Somebody is about to wait for `interest`.
    ///
    /// # Errors
    /// When the kernel takes no requests.
    pub(crate) fn wait(&self, ring: &Ring, interest: Events, what: Await) -> io::Result<()> {
        let mut side = self.side.lock();
        if interest.intersects(Events::READABLE) && side.receive == Receive::No {
            if what == Await::Bytes && !side.raw {
                ring.kernel().push(RECEIVE | self.place, Request::Receive(self.fd))?;
                side.receive = Receive::Yes;
            } else if !side.poll_in {
                ring.kernel().push(POLL_IN | self.place, Request::Poll(self.fd, READ_EVENTS))?;
                side.poll_in = true;
            }
        }
        if interest.intersects(Events::WRITABLE) && !side.poll_out {
            ring.kernel().push(POLL_OUT | self.place, Request::Poll(self.fd, WRITE_EVENTS))?;
            side.poll_out = true;
        }
        Ok(())
    }

    /// Reads what has been received: `read` is given the bytes, and says how many it has taken.
    pub(crate) fn take(&self, how: Take, read: impl FnOnce(&[u8]) -> io::Result<usize>) -> Taken {
        let mut side = self.side.lock();
        let inbox = &mut side.inbox;
        if !inbox.unread().is_empty() {
            let result = read(inbox.unread());
            if let (Ok(n), Take::Out) = (&result, how) {
                inbox.consume(*n);
            }
            return Taken::Got(result, inbox.is_empty());
        }
        let end = match how {
            Take::Out => inbox.take_end(),
            Take::Peek => inbox.peek_end(),
        };
        match end {
            // Nothing is in flight any more, and no completion will tell of what is ready: the socket stays worth a try.
            Some(end) => Taken::Got(end.map(|()| 0), false),
            None if side.receive == Receive::No => Taken::Ask,
            None => Taken::Nothing,
        }
    }

    /// Somebody wants to read from the descriptor himself: receiving stops, for good.
    ///
    /// # Errors
    /// `InvalidInput` when bytes have been received that nobody has read yet: they come first.
    pub(crate) fn quiet(&self, ring: &Ring) -> io::Result<Quiet> {
        let mut side = self.side.lock();
        side.raw = true;
        if side.receive == Receive::Yes {
            self.cancel_receive(&mut side, ring)?;
            // Now, so that what comes from here on stays in the socket.
            ring.kernel().flush()?;
        }
        self.unread_is_error(&mut side)?;
        Ok(if side.receive == Receive::No { Quiet::Yes } else { Quiet::Soon })
    }

    /// Takes everything out of the ring. What is in flight ends a little later; says whether a receive is.
    pub(crate) fn leave(&self, ring: &Ring) -> bool {
        let mut side = self.side.lock();
        side.left = true;
        let mut cancelled = side.receive == Receive::Cancelled;
        for (kind, armed) in
            [(RECEIVE, side.receive == Receive::Yes), (POLL_IN, side.poll_in), (POLL_OUT, side.poll_out)]
        {
            if !armed {
                continue;
            }
            let kernel = ring.kernel();
            let retracted = kernel.retract(kind | self.place);
            if !retracted {
                // If it fails the kernel has no memory: then the connection ends when the ring does.
                let _ = kernel.push(CANCEL, Request::Cancel(kind | self.place));
                cancelled = true;
            }
            if kind == RECEIVE {
                side.receive = if retracted { Receive::No } else { Receive::Cancelled };
            }
        }
        if cancelled {
            // Now, for the descriptor may be closed next and its number be another's.
            let _ = ring.kernel().flush();
        }
        side.receive == Receive::Cancelled
    }

    /// As the kernel answers when a socket is closed with bytes in it that nobody has read: the peer gets a reset.
    pub(crate) fn reset_if_unread(&self) {
        if !self.side.lock().inbox.unread().is_empty() {
            kernel::reset_on_close(self.fd);
        }
    }

    /// Whether nothing is in flight for a reader.
    pub(crate) fn is_quiet(&self) -> bool {
        self.side.lock().receive == Receive::No
    }

    /// What would be lost if the source were given away now.
    ///
    /// # Errors
    /// That there is something.
    pub(crate) fn nothing_unread(&self) -> io::Result<()> {
        self.unread_is_error(&mut self.side.lock())
    }

    fn unread_is_error(&self, side: &mut Side) -> io::Result<()> {
        match side.inbox.unread().len() {
            0 => match side.inbox.take_end() {
                Some(Err(error)) => Err(error),
                // The socket will say so itself.
                Some(Ok(())) | None => Ok(()),
            },
            n => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{n} bytes have been received for the stream and wait to be read, which comes first"),
            )),
        }
    }

    fn cancel_receive(&self, side: &mut Side, ring: &Ring) -> io::Result<()> {
        if side.receive != Receive::Yes {
            return Ok(());
        }
        let kernel = ring.kernel();
        if kernel.retract(RECEIVE | self.place) {
            side.receive = Receive::No;
        } else {
            kernel.push(CANCEL, Request::Cancel(RECEIVE | self.place))?;
            side.receive = Receive::Cancelled;
        }
        Ok(())
    }

    /// The ring was [left](Ring::leave): what was in flight there is asked for here. Says what has ended instead.
    pub(crate) fn rearm(&self, ring: &Ring) -> Events {
        let mut side = self.side.lock();
        let kernel = ring.kernel();
        let asks = |about: u64, request| kernel.push(about | self.place, request).is_ok();
        let mut ended = Events::empty();
        if side.receive != Receive::No {
            let again = side.receive == Receive::Yes && !side.left && asks(RECEIVE, Request::Receive(self.fd));
            side.receive = if again { Receive::Yes } else { Receive::No };
            ended.set(Events::IN, !again);
        }
        if side.poll_in {
            side.poll_in = !side.left && asks(POLL_IN, Request::Poll(self.fd, READ_EVENTS));
            ended |= if side.poll_in { Events::empty() } else { Events::IN };
        }
        if side.poll_out {
            side.poll_out = !side.left && asks(POLL_OUT, Request::Poll(self.fd, WRITE_EVENTS));
            ended |= if side.poll_out { Events::empty() } else { Events::OUT };
        }
        ended
    }

    fn on_received(&self, side: &mut Side, ring: &Ring, done: &kernel::Done<'_>) -> Events {
        let mut events = Events::IN;
        match (done.result, done.bytes) {
            (1.., bytes) => side.inbox.push(bytes),
            (0, _) => {
                side.inbox.end(End::Closed);
                events |= Events::RDHUP;
            }
            (error, _) => match -error {
                // The thread that had it submitted is gone.
                libc::ECANCELED if side.receive == Receive::Yes && !side.left => {
                    if ring.kernel().push(done.about, Request::Receive(self.fd)).is_ok() {
                        return Events::empty();
                    }
                }
                // Whoever reads finds out what there is.
                libc::ECANCELED | libc::ENOBUFS | libc::EINTR | libc::EAGAIN | libc::ENOMEM => {}
                error => {
                    side.inbox.end(End::Failed(error));
                    events |= Events::ERR;
                }
            },
        }
        if !done.more {
            side.receive = Receive::No;
        } else if side.inbox.is_full() {
            // If it fails there is another chance with the next bytes.
            let _ = self.cancel_receive(side, ring);
        }
        events
    }

    /// Says whether the poll is in flight again, and what it told.
    fn on_polled(&self, side: &Side, ring: &Ring, done: &kernel::Done<'_>, asked: u32) -> (bool, Events) {
        match u32::try_from(done.result) {
            Ok(events) => (false, events_of(events)),
            // The thread that had it submitted is gone; or the source is, and then nobody waits.
            Err(_) => {
                let again = !side.left && ring.kernel().push(done.about, Request::Poll(self.fd, asked)).is_ok();
                (again, Events::empty())
            }
        }
    }
}

/// As `mio` reads what `epoll` says.
fn events_of(revents: u32) -> Events {
    let has = |bits: libc::c_short| revents & bits as u32 != 0;
    let mut events = Events::empty();
    events.set(Events::IN, has(libc::POLLIN) || has(libc::POLLPRI));
    events.set(Events::OUT, has(libc::POLLOUT));
    events.set(Events::ERR, has(libc::POLLERR));
    events.set(Events::RDHUP, has(libc::POLLHUP) || has(libc::POLLIN) && has(libc::POLLRDHUP));
    events.set(
        Events::HUP,
        has(libc::POLLHUP) || has(libc::POLLOUT) && has(libc::POLLERR) || revents == libc::POLLERR as u32,
    );
    events
}
