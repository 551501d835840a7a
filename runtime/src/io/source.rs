//! A source of the operating system in the reactor, and the waiting for it.

use crate::context;
use crate::coop;
use crate::handle::Handle;
use crate::reactor::readiness::Ready;
use crate::reactor::ring::{Await, Descriptor, Quiet, Ring, Socket, Take, Taken};
use crate::reactor::{ReactorHandle, Registered, Registration};
use crate::wait_queue::{Events, WaitSlot};
use mio::Interest;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

/// An OS source that is registered with a runtime's reactor.
///
/// The source must be non-blocking. Every operation is tried by its owner; the reactor only tells when. Readiness is
/// edge-triggered underneath, so it is remembered here and cleared when an operation would block: do every operation
/// through [`poll_io`](Source::poll_io), [`io`](Source::io) or [`try_io`](Source::try_io), or a waiter may not be told.
///
/// `READABLE` and `WRITABLE` are the interests that exist; either ends with an error of the source or with its closing.
///
/// # Waiters
/// Any number of tasks may wait, in either direction. Who polls brings a [`WaitSlot`] of its own for each direction and
/// empties it with [`release`](Source::release) when it goes away before the source does.
///
/// # Examples
/// ```no_run
/// use std::io::Read;
/// use wakeline_runtime::io::Source;
/// use wakeline_runtime::wait_queue::Events;
///
/// async fn read_some(stream: mio::net::TcpStream, buf: &mut [u8]) -> std::io::Result<usize> {
///     let source = Source::new(stream, Events::READABLE)?;
///     source.io(Events::READABLE, |mut stream| stream.read(buf)).await
/// }
/// ```
#[derive(Debug)]
pub struct Source<S: mio::event::Source> {
    /// `None` only while the source is being taken apart.
    io: Option<S>,
    registration: Registration,
    handle: Handle,
}

/// Where a reader finds the bytes of a socket.
#[derive(Debug)]
pub enum Inlet<'a, S> {
    /// Here they are: they have been received already. There are more than none.
    Received(&'a [u8]),
    /// In the socket.
    Socket(&'a S),
}

/// What an operation tells of its source beside its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer<R> {
    /// There may be more.
    Partial(R),
    /// It took all there was (a short read) or filled all there was (a short write), so that the next try would block.
    ///
    /// Only to be said of sources whose next change is told as an event of its own, as `epoll` does for sockets.
    Drained(R),
}

impl<S: mio::event::Source> Source<S> {
    /// Registers `io` for the directions in `interest`, `READABLE` or `WRITABLE` or both.
    ///
    /// # Errors
    /// `InvalidInput` when `interest` has neither direction; what the operating system says, such as `ENOSPC` when the
    /// user may watch no more descriptors; or that the runtime is shutting down.
    ///
    /// # Panics
    /// Outside a runtime, or in one that was built without `enable_io`.
    #[track_caller]
    pub fn new(io: S, interest: Events) -> io::Result<Self> {
        Source::try_new(io, interest).map_err(|(_, error)| error)
    }

    /// As [`new`](Source::new), but gives `io` back when it can not be registered.
    #[track_caller]
    pub(crate) fn try_new(io: S, interest: Events) -> Result<Self, (S, io::Error)> {
        Source::registered(io, interest, |reactor, io, interest| reactor.register(io, interest))
    }

    /// As [`new`](Source::new), for a stream or a listener: an io_uring, where the runtime has one, watches it and receives
    /// for it. Read from a stream with [`poll_receive`](Source::poll_receive) and its neighbours then.
    ///
    /// # Errors
    /// As [`new`](Source::new).
    ///
    /// # Panics
    /// As [`new`](Source::new).
    #[track_caller]
    pub fn new_socket(io: S, interest: Events) -> io::Result<Self>
    where
        S: Descriptor,
    {
        Source::registered(io, interest, |reactor, io, interest| reactor.register_socket(io, interest))
            .map_err(|(_, error)| error)
    }

    #[track_caller]
    fn registered(
        mut io: S,
        interest: Events,
        register: impl FnOnce(&ReactorHandle, &mut S, Interest) -> io::Result<Registered>,
    ) -> Result<Self, (S, io::Error)> {
        let handle = context::current();
        let Some(reactor) = handle.driver().reactor() else {
            panic!("this runtime has no I/O driver: call `enable_io()` or `enable_all()` on its Builder");
        };
        match mio_interest(interest).and_then(|interest| register(reactor, &mut io, interest)) {
            Ok(registered) => {
                let registration = handle.driver().after_register(registered);
                Ok(Source { io: Some(io), registration, handle })
            }
            Err(error) => Err((io, error)),
        }
    }

    /// The source itself.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        self.io.as_ref().expect("only `into_parts` and `drop` take the source, and they own it")
    }

    /// The source itself. What is registered must stay the same.
    pub(crate) fn get_mut(&mut self) -> &mut S {
        self.io.as_mut().expect("only `into_parts` and `drop` take the source, and they own it")
    }

    /// Takes the source out of the reactor and gives it back.
    ///
    /// # Errors
    /// When the operating system does not know the source, which has been closed behind its owner's back then.
    /// `InvalidInput` when an io_uring has received bytes for it that nobody has read: they would be lost, and the source is
    /// closed instead.
    pub fn into_inner(self) -> io::Result<S> {
        let (io, deregistered) = self.into_parts();
        deregistered.map(|()| io)
    }

    /// As [`into_inner`](Source::into_inner), and gives the source back in any case.
    pub(crate) fn into_parts(mut self) -> (S, io::Result<()>) {
        let mut io = self.io.take().expect("only `into_parts` and `drop` take the source, and they own it");
        let released = self.reactor().release(&self.registration, &mut io);
        (io, released)
    }

    /// Presumes that the source is ready for `events`, so that the next operation is tried without waiting to be told.
    ///
    /// For sources that are likely to be: a wrong guess costs that operation.
    pub fn presume_ready(&self, events: Events) {
        self.registration.state().presume(events);
    }

    /// Ready when the source is, for some of `interest`; otherwise `slot` waits.
    ///
    /// It says what the source was last known for. Only an operation that would block takes it back.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub fn poll_ready(&self, cx: &mut Context<'_>, slot: &mut WaitSlot, interest: Events) -> Poll<io::Result<Events>> {
        self.poll_told(cx, slot, interest).map_ok(|ready| ready.events)
    }

    /// As [`poll_ready`](Source::poll_ready), with what [`clear`](Source::clear) needs.
    pub(crate) fn poll_told(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        interest: Events,
    ) -> Poll<io::Result<Ready>> {
        let progress = ready!(coop::poll_proceed(cx));
        let ready = ready!(self.poll_look(cx, slot, interest, Await::Readiness))?;
        progress.made();
        Poll::Ready(Ok(ready))
    }

    /// As [`poll_told`](Source::poll_told), for who awaits.
    pub(crate) async fn told(&self, interest: Events) -> io::Result<Ready> {
        let mut place = Place { source: self, slot: WaitSlot::new() };
        poll_fn(|cx| self.poll_told(cx, &mut place.slot, interest)).await
    }

    /// What of `interest` is known, without waiting.
    pub(crate) fn look(&self, interest: Events) -> io::Result<Option<Ready>> {
        let looked = self.registration.state().look(interest)?;
        if looked.is_none() {
            // Who does not wait looks again, and is to find what has changed.
            self.before_wait(interest, Await::Readiness)?;
        }
        Ok(looked)
    }

    /// An operation for `interest` would have blocked.
    pub(crate) fn clear(&self, ready: Ready, interest: Events) {
        self.registration.state().clear(ready, interest);
    }

    /// An operation for `interest` took all there was, or its owner says so.
    pub(crate) fn clear_drained(&self, ready: Ready, interest: Events) {
        self.registration.state().clear_drained(ready, interest);
    }

    /// Waits until the source is ready for some of `interest`, and says for what.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Nothing is taken from the source.
    pub async fn ready(&self, interest: Events) -> io::Result<Events> {
        self.told(interest).await.map(|ready| ready.events)
    }

    /// Tries `op` whenever the source is ready for `interest`, until it does anything but fail with `WouldBlock`.
    ///
    /// # Errors
    /// Those of `op`, or that the runtime is shutting down.
    pub fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        interest: Events,
        mut op: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_transfer(cx, slot, interest, |io| op(io).map(Transfer::Partial))
    }

    /// As [`poll_io`](Source::poll_io), for an operation that knows when it has drained the source: that saves the try
    /// that would only find out.
    ///
    /// # Errors
    /// Those of `op`, or that the runtime is shutting down.
    pub fn poll_transfer<R>(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        interest: Events,
        mut op: impl FnMut(&S) -> io::Result<Transfer<R>>,
    ) -> Poll<io::Result<R>> {
        let progress = ready!(coop::poll_proceed(cx));
        loop {
            let ready = ready!(self.poll_look(cx, slot, interest, Await::Readiness))?;
            if let Some(result) = self.attempt(ready, interest, &mut op) {
                progress.made();
                return Poll::Ready(result);
            }
        }
    }

    /// Waits for the source and does `op`, as [`poll_io`](Source::poll_io).
    ///
    /// # Errors
    /// Those of `op`, or that the runtime is shutting down.
    ///
    /// # Cancel safety
    /// When the future is dropped before it is ready, `op` has done nothing but fail with `WouldBlock`.
    pub async fn io<R>(&self, interest: Events, mut op: impl FnMut(&S) -> io::Result<R>) -> io::Result<R> {
        self.transfer(interest, |io| op(io).map(Transfer::Partial)).await
    }

    /// Waits for the source and does `op`, as [`poll_transfer`](Source::poll_transfer).
    ///
    /// # Errors
    /// Those of `op`, or that the runtime is shutting down.
    ///
    /// # Cancel safety
    /// When the future is dropped before it is ready, `op` has done nothing but fail with `WouldBlock`.
    pub async fn transfer<R>(
        &self,
        interest: Events,
        mut op: impl FnMut(&S) -> io::Result<Transfer<R>>,
    ) -> io::Result<R> {
        let mut place = Place { source: self, slot: WaitSlot::new() };
        poll_fn(|cx| self.poll_transfer(cx, &mut place.slot, interest, &mut op)).await
    }

    /// Does `op` when the source is known to be ready for `interest`, and does not wait.
    ///
    /// # Errors
    /// `WouldBlock` when the source is not ready, else those of `op`.
    pub fn try_io<R>(&self, interest: Events, mut op: impl FnMut(&S) -> io::Result<R>) -> io::Result<R> {
        let result = match self.look(interest)? {
            Some(ready) => self.attempt(ready, interest, &mut |io| op(io).map(Transfer::Partial)),
            None => None,
        };
        result.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
    }

    /// Reads from a [socket](Source::new_socket) when there is something: `read` is given bytes that have been received, or
    /// the socket to read from.
    ///
    /// # Errors
    /// Those of `read`, those of `recv(2)`, or that the runtime is shutting down.
    pub fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        read: impl FnMut(Inlet<'_, S>) -> io::Result<Transfer<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.poll_taking(cx, slot, Take::Out, Await::Bytes, read)
    }

    /// As [`poll_receive`](Source::poll_receive), for a `read` that leaves the bytes where they are.
    ///
    /// # Errors
    /// As there.
    pub fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        read: impl FnMut(Inlet<'_, S>) -> io::Result<Transfer<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.poll_taking(cx, slot, Take::Peek, Await::Readiness, read)
    }

    /// As [`poll_peek`](Source::poll_peek), for who awaits.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Nothing is taken from the source.
    pub async fn peek(&self, mut read: impl FnMut(Inlet<'_, S>) -> io::Result<Transfer<usize>>) -> io::Result<usize> {
        let mut place = Place { source: self, slot: WaitSlot::new() };
        poll_fn(|cx| self.poll_peek(cx, &mut place.slot, &mut read)).await
    }

    /// As [`poll_receive`](Source::poll_receive), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is known to be there; otherwise as there.
    pub fn try_receive(&self, mut read: impl FnMut(Inlet<'_, S>) -> io::Result<Transfer<usize>>) -> io::Result<usize> {
        let result = match self.look(Events::READABLE)? {
            Some(ready) => self.take(ready, Take::Out, &mut read),
            None => None,
        };
        result.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
    }

    fn poll_taking(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        how: Take,
        what: Await,
        mut read: impl FnMut(Inlet<'_, S>) -> io::Result<Transfer<usize>>,
    ) -> Poll<io::Result<usize>> {
        let progress = ready!(coop::poll_proceed(cx));
        loop {
            let ready = ready!(self.poll_look(cx, slot, Events::READABLE, what))?;
            if let Some(result) = self.take(ready, how, &mut read) {
                progress.made();
                return Poll::Ready(result);
            }
        }
    }

    /// One try, from what has been received if there is or will be something, else from the socket; `None` when it would have
    /// blocked.
    fn take(
        &self,
        ready: Ready,
        how: Take,
        read: &mut impl FnMut(Inlet<'_, S>) -> io::Result<Transfer<usize>>,
    ) -> Option<io::Result<usize>> {
        let taken = match self.in_ring() {
            None => Taken::Ask,
            Some((_, socket)) => socket
                .take(how, |bytes| read(Inlet::Received(bytes)).map(|(Transfer::Partial(n) | Transfer::Drained(n))| n)),
        };
        match taken {
            Taken::Got(result, emptied) => {
                if emptied {
                    self.clear_drained(ready, Events::READABLE);
                }
                Some(result)
            }
            Taken::Nothing => {
                self.clear(ready, Events::READABLE);
                None
            }
            Taken::Ask => self.attempt_unguarded(ready, Events::READABLE, &mut |io| read(Inlet::Socket(io))),
        }
    }

    /// Empties a slot whose owner goes away, or waits no more.
    pub fn release(&self, slot: &mut WaitSlot) {
        self.registration.state().release(slot);
    }

    #[inline]
    fn poll_look(
        &self,
        cx: &mut Context<'_>,
        slot: &mut WaitSlot,
        interest: Events,
        what: Await,
    ) -> Poll<io::Result<Ready>> {
        match self.registration.state().look_or_wait(cx.waker(), slot, interest) {
            Ok(Some(ready)) => Poll::Ready(Ok(ready)),
            Ok(None) if !self.registration.is_in_ring() => Poll::Pending,
            Ok(None) => self.poll_wait_in_ring(slot, interest, what),
            Err(gone) => Poll::Ready(Err(gone)),
        }
    }

    #[inline(never)]
    fn poll_wait_in_ring(&self, slot: &mut WaitSlot, interest: Events, what: Await) -> Poll<io::Result<Ready>> {
        match self.before_wait(interest, what) {
            Ok(()) => Poll::Pending,
            Err(refused) => {
                self.release(slot);
                Poll::Ready(Err(refused))
            }
        }
    }

    /// One try; `None` when it would have blocked, or when what has been received has to be seen to first.
    fn attempt<R>(
        &self,
        ready: Ready,
        interest: Events,
        op: &mut impl FnMut(&S) -> io::Result<Transfer<R>>,
    ) -> Option<io::Result<R>> {
        if interest.intersects(Events::READABLE)
            && let Some((ring, socket)) = self.in_ring()
        {
            match socket.quiet(ring) {
                Ok(Quiet::Yes) => {}
                Ok(Quiet::Soon) => {
                    self.clear(ready, interest);
                    return None;
                }
                Err(error) => return Some(Err(error)),
            }
        }
        self.attempt_unguarded(ready, interest, op)
    }

    fn attempt_unguarded<R>(
        &self,
        ready: Ready,
        interest: Events,
        op: &mut impl FnMut(&S) -> io::Result<Transfer<R>>,
    ) -> Option<io::Result<R>> {
        match op(self.get_ref()) {
            Ok(Transfer::Partial(result)) => Some(Ok(result)),
            Ok(Transfer::Drained(result)) => {
                self.registration.state().clear_drained(ready, interest);
                Some(Ok(result))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.registration.state().clear(ready, interest);
                None
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// Somebody is about to wait for `interest`: a source in the ring has to be watched for it.
    fn before_wait(&self, interest: Events, what: Await) -> io::Result<()> {
        self.in_ring().map_or(Ok(()), |(ring, socket)| socket.wait(ring, interest, what))
    }

    /// What of the source is in the ring. Most are in none, and say so without a look at the reactor.
    #[inline]
    fn in_ring(&self) -> Option<(&Ring, &Socket)> {
        if self.registration.is_in_ring() { self.reactor().in_ring(&self.registration) } else { None }
    }

    fn reactor(&self) -> &ReactorHandle {
        self.handle.driver().reactor().expect("the source was registered with it")
    }
}

impl<S: mio::event::Source> Drop for Source<S> {
    fn drop(&mut self) {
        if let Some(mut io) = self.io.take() {
            // It fails when somebody closed the descriptor, and then there is nothing left to take out.
            let _ = self.reactor().deregister(&self.registration, &mut io);
        }
    }
}

/// A place in a source's queue that is given up when the future that holds it drops.
struct Place<'a, S: mio::event::Source> {
    source: &'a Source<S>,
    slot: WaitSlot,
}

impl<S: mio::event::Source> Drop for Place<'_, S> {
    fn drop(&mut self) {
        self.source.release(&mut self.slot);
    }
}

fn mio_interest(interest: Events) -> io::Result<Interest> {
    let readable = interest.intersects(Events::READABLE);
    let writable = interest.intersects(Events::WRITABLE);
    match (readable, writable) {
        (true, true) => Ok(Interest::READABLE | Interest::WRITABLE),
        (true, false) => Ok(Interest::READABLE),
        (false, true) => Ok(Interest::WRITABLE),
        (false, false) => Err(io::Error::new(io::ErrorKind::InvalidInput, "an interest is READABLE or WRITABLE")),
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
