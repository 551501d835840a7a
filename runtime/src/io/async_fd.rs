//! Any file descriptor that the operating system can tell the readiness of.

use crate::atomic::Mutex;
use crate::io::source::Source;
use crate::reactor::readiness::Ready;
use crate::wait_queue::{Events, WaitSlot};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll, ready};

/// A file descriptor in the reactor: tells when it is worth trying, and leaves the trying to its owner.
///
/// As tokio's type of that name. It takes whatever has a descriptor: an `OwnedFd`, a `RawFd`, a socket or device of another
/// library. The descriptor must be in non-blocking mode; dropping an `AsyncFd` takes it out of the reactor and drops `T`,
/// which closes it if `T` does.
///
/// # Readiness
/// It is edge-triggered: what the operating system tells is remembered, until an operation finds that it is so no more
/// and says so through the guard. An owner that gets `WouldBlock` without [`clear_ready`](AsyncFdReadyGuard::clear_ready), which
/// [`try_io`](AsyncFdReadyGuard::try_io) and [`async_io`](AsyncFd::async_io) call, spins; one that calls it before `WouldBlock`
/// may wait for an event that has been.
///
/// Any number of tasks may wait through the async methods. [`poll_read_ready`](AsyncFd::poll_read_ready) and
/// [`poll_write_ready`](AsyncFd::poll_write_ready) remember the last task only, each for its direction.
///
/// # Cancel safety
/// Waiting takes nothing from the descriptor. A guard that is dropped clears nothing.
///
/// # Examples
/// ```
/// # wakeline_runtime::Runtime::new()?.block_on(async {
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use wakeline_runtime::io::AsyncFd;
/// use wakeline_runtime::wait_queue::Events;
///
/// let (mut far, near) = UnixStream::pair()?;
/// near.set_nonblocking(true)?;
/// let near = AsyncFd::new(near)?;
/// far.write_all(b"x")?;
///
/// // With a guard ..
/// let mut buf = [0; 8];
/// let n = loop {
///     let mut guard = near.readable().await?;
///     match guard.try_io(|near| near.get_ref().read(&mut buf)) {
///         Ok(result) => break result?,
///         Err(_would_block) => continue,
///     }
/// };
/// assert_eq!(&buf[..n], b"x");
///
/// // .. or the same in one.
/// far.write_all(b"y")?;
/// assert_eq!(near.async_io(Events::READABLE, |mut near| near.read(&mut buf)).await?, 1);
/// # std::io::Result::Ok(())
/// # })?;
/// # std::io::Result::Ok(())
/// ```
pub struct AsyncFd<T: AsRawFd> {
    source: Source<Watched<T>>,
    /// Where the last task waits that polled for reading, and for writing.
    slots: [Mutex<WaitSlot>; 2],
}

/// A descriptor, by the number under which the reactor knows it.
struct Watched<T> {
    io: T,
    fd: RawFd,
}

const BOTH: Events = Events::READABLE.union(Events::WRITABLE);
const READ: usize = 0;
const WRITE: usize = 1;

impl<T: AsRawFd> AsyncFd<T> {
    /// Registers `io` for reading and writing.
    ///
    /// # Errors
    /// What `epoll_ctl(2)` or its like says: `EPERM` for a regular file or a directory, which are always ready; `EEXIST` for a
    /// descriptor that is registered already; `EBADF`. `io` is dropped then; [`try_new`](AsyncFd::try_new) gives it back.
    ///
    /// # Panics
    /// Outside a runtime, or in one that was built without `enable_io`.
    #[track_caller]
    pub fn new(io: T) -> io::Result<AsyncFd<T>> {
        AsyncFd::with_interest(io, BOTH)
    }

    /// Registers `io` for `READABLE`, `WRITABLE` or both. Nobody is told of what was not asked for.
    ///
    /// # Errors
    /// As [`new`](AsyncFd::new); `InvalidInput` when `interest` has neither direction.
    ///
    /// # Panics
    /// As [`new`](AsyncFd::new).
    #[track_caller]
    pub fn with_interest(io: T, interest: Events) -> io::Result<AsyncFd<T>> {
        AsyncFd::try_with_interest(io, interest).map_err(Into::into)
    }

    /// As [`new`](AsyncFd::new), but gives `io` back when it can not be registered.
    ///
    /// # Errors
    /// As [`new`](AsyncFd::new).
    ///
    /// # Panics
    /// As [`new`](AsyncFd::new).
    #[track_caller]
    pub fn try_new(io: T) -> Result<AsyncFd<T>, AsyncFdTryNewError<T>> {
        AsyncFd::try_with_interest(io, BOTH)
    }

    /// As [`with_interest`](AsyncFd::with_interest), but gives `io` back when it can not be registered.
    ///
    /// # Errors
    /// As [`with_interest`](AsyncFd::with_interest).
    ///
    /// # Panics
    /// As [`new`](AsyncFd::new).
    #[track_caller]
    pub fn try_with_interest(io: T, interest: Events) -> Result<AsyncFd<T>, AsyncFdTryNewError<T>> {
        let fd = io.as_raw_fd();
        match Source::try_new(Watched { io, fd }, interest) {
            Ok(source) => Ok(AsyncFd { source, slots: Default::default() }),
            Err((Watched { io, .. }, cause)) => Err(AsyncFdTryNewError { io, cause }),
        }
    }

    /// The owner of the descriptor.
    #[must_use]
    pub fn get_ref(&self) -> &T {
        &self.source.get_ref().io
    }

    /// The owner of the descriptor. The reactor goes on watching the descriptor that was registered.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.source.get_mut().io
    }

    /// Takes the descriptor out of the reactor and gives its owner back.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.source.into_parts().0.io
    }

    /// Waits until it is ready for some of `interest`: `READABLE`, `WRITABLE` or both.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn ready(&self, interest: Events) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        let ready = self.source.told(interest).await?;
        Ok(AsyncFdGuard { fd: self, ready })
    }

    /// As [`ready`](AsyncFd::ready), with exclusive access.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn ready_mut(&mut self, interest: Events) -> io::Result<AsyncFdReadyMutGuard<'_, T>> {
        let ready = self.source.told(interest).await?;
        Ok(AsyncFdGuard { fd: self, ready })
    }

    /// Waits until there is something to read, or the end, or an error.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn readable(&self) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        self.ready(Events::READABLE).await
    }

    /// As [`readable`](AsyncFd::readable), with exclusive access.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn readable_mut(&mut self) -> io::Result<AsyncFdReadyMutGuard<'_, T>> {
        self.ready_mut(Events::READABLE).await
    }

    /// Waits until there is room to write, or an error.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn writable(&self) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        self.ready(Events::WRITABLE).await
    }

    /// As [`writable`](AsyncFd::writable), with exclusive access.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn writable_mut(&mut self) -> io::Result<AsyncFdReadyMutGuard<'_, T>> {
        self.ready_mut(Events::WRITABLE).await
    }

    /// As [`readable`](AsyncFd::readable), for who polls; only the last task that did is woken.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<AsyncFdReadyGuard<'_, T>>> {
        let ready = ready!(self.poll_told(cx, READ, Events::READABLE))?;
        Poll::Ready(Ok(AsyncFdGuard { fd: self, ready }))
    }

    /// As [`poll_read_ready`](AsyncFd::poll_read_ready), with exclusive access.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub fn poll_read_ready_mut(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<AsyncFdReadyMutGuard<'_, T>>> {
        let ready = ready!(self.poll_told(cx, READ, Events::READABLE))?;
        Poll::Ready(Ok(AsyncFdGuard { fd: self, ready }))
    }

    /// As [`writable`](AsyncFd::writable), for who polls; only the last task that did is woken.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<AsyncFdReadyGuard<'_, T>>> {
        let ready = ready!(self.poll_told(cx, WRITE, Events::WRITABLE))?;
        Poll::Ready(Ok(AsyncFdGuard { fd: self, ready }))
    }

    /// As [`poll_write_ready`](AsyncFd::poll_write_ready), with exclusive access.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub fn poll_write_ready_mut(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<AsyncFdReadyMutGuard<'_, T>>> {
        let ready = ready!(self.poll_told(cx, WRITE, Events::WRITABLE))?;
        Poll::Ready(Ok(AsyncFdGuard { fd: self, ready }))
    }

    /// Waits and does `op`, until it does anything but fail with `WouldBlock`.
    ///
    /// # Errors
    /// Those of `op`, or that the runtime is shutting down.
    ///
    /// # Cancel safety
    /// When the future is dropped before it is ready, `op` has done nothing but fail with `WouldBlock`.
    pub async fn async_io<R>(&self, interest: Events, mut op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.source.io(interest, |watched| op(&watched.io)).await
    }

    /// As [`async_io`](AsyncFd::async_io), with exclusive access.
    ///
    /// # Errors
    /// As [`async_io`](AsyncFd::async_io).
    ///
    /// # Cancel safety
    /// As [`async_io`](AsyncFd::async_io).
    pub async fn async_io_mut<R>(
        &mut self,
        interest: Events,
        mut op: impl FnMut(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            let mut guard = self.ready_mut(interest).await?;
            if let Ok(result) = guard.try_io(|fd| op(fd.get_mut())) {
                return result;
            }
        }
    }

    /// Does `op` if it is known to be ready for `interest`, and does not wait.
    ///
    /// # Errors
    /// `WouldBlock` when it is not; those of `op`.
    pub fn try_io<R>(&self, interest: Events, op: impl FnOnce(&T) -> io::Result<R>) -> io::Result<R> {
        let ready = self.source.look(interest)?.ok_or(io::ErrorKind::WouldBlock)?;
        let mut guard = AsyncFdGuard { fd: self, ready };
        guard.try_io(|fd| op(fd.get_ref())).unwrap_or_else(|would_block| Err(would_block.into()))
    }

    /// As [`try_io`](AsyncFd::try_io), with exclusive access.
    ///
    /// # Errors
    /// As [`try_io`](AsyncFd::try_io).
    pub fn try_io_mut<R>(&mut self, interest: Events, op: impl FnOnce(&mut T) -> io::Result<R>) -> io::Result<R> {
        let ready = self.source.look(interest)?.ok_or(io::ErrorKind::WouldBlock)?;
        let mut guard = AsyncFdGuard { fd: self, ready };
        guard.try_io(|fd| op(fd.get_mut())).unwrap_or_else(|would_block| Err(would_block.into()))
    }

    fn poll_told(&self, cx: &mut Context<'_>, direction: usize, interest: Events) -> Poll<io::Result<Ready>> {
        // The slot is lent out: what it replaces is dropped outside the lock.
        let mut slot = std::mem::take(&mut *self.slots[direction].lock());
        let told = self.source.poll_told(cx, &mut slot, interest);
        let mut meanwhile = std::mem::replace(&mut *self.slots[direction].lock(), slot);
        self.source.release(&mut meanwhile);
        told
    }
}

impl<T: AsRawFd> mio::event::Source for Watched<T> {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.fd).register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.fd).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.fd).deregister(registry)
    }
}

impl<T: AsRawFd> AsRawFd for AsyncFd<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.get_ref().as_raw_fd()
    }
}

impl<T: AsRawFd + AsFd> AsFd for AsyncFd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<T: AsRawFd + fmt::Debug> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFd").field("inner", self.get_ref()).finish_non_exhaustive()
    }
}

/// What an [`AsyncFd`] was ready for when it was asked, `F` being a reference to it.
#[must_use = "readiness is cleared through the guard"]
pub struct AsyncFdGuard<F> {
    fd: F,
    ready: Ready,
}

/// A [`AsyncFdGuard`] with shared access.
pub type AsyncFdReadyGuard<'a, T> = AsyncFdGuard<&'a AsyncFd<T>>;
/// A [`AsyncFdGuard`] with exclusive access.
pub type AsyncFdReadyMutGuard<'a, T> = AsyncFdGuard<&'a mut AsyncFd<T>>;

impl<T: AsRawFd, F: Deref<Target = AsyncFd<T>>> AsyncFdGuard<F> {
    /// What it was ready for: of `IN`, `OUT`, `ERR`, `RDHUP` and `HUP`.
    #[must_use]
    pub fn ready(&self) -> Events {
        self.ready.events
    }

    /// An operation would have blocked: the descriptor is ready no more for what this guard was about, unless the operating
    /// system has told of another event since. That a direction is closed, or failed, stays.
    pub fn clear_ready(&mut self) {
        self.clear_ready_matching(BOTH);
    }

    /// As [`clear_ready`](AsyncFdGuard::clear_ready), for one direction of a guard that is about both.
    pub fn clear_ready_matching(&mut self, events: Events) {
        self.fd.source.clear_drained(self.ready, self.ready.events & events);
        self.ready.events.remove(events & BOTH);
    }

    /// Does nothing: the readiness stays as it was told. For whoever had no reason to clear it.
    pub fn retain_ready(&mut self) {}

    /// The descriptor's owner.
    #[must_use]
    pub fn get_inner(&self) -> &T {
        self.fd.get_ref()
    }

    /// The [`AsyncFd`].
    #[must_use]
    pub fn get_ref(&self) -> &AsyncFd<T> {
        &self.fd
    }

    fn settle<R>(&mut self, result: io::Result<R>) -> Result<io::Result<R>, TryIoError> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // What answers `WouldBlock` is neither closed nor failed.
                self.fd.source.clear(self.ready, self.ready.events);
                self.ready.events = Events::empty();
                Err(TryIoError(()))
            }
            result => Ok(result),
        }
    }
}

impl<'a, T: AsRawFd> AsyncFdGuard<&'a AsyncFd<T>> {
    /// Does `op`; when it fails with `WouldBlock`, the readiness is cleared.
    ///
    /// # Errors
    /// That it would have blocked. Other results of `op` are within the `Ok`.
    pub fn try_io<R>(&mut self, op: impl FnOnce(&'a AsyncFd<T>) -> io::Result<R>) -> Result<io::Result<R>, TryIoError> {
        let result = op(self.fd);
        self.settle(result)
    }
}

impl<T: AsRawFd> AsyncFdGuard<&mut AsyncFd<T>> {
    /// Does `op`; when it fails with `WouldBlock`, the readiness is cleared.
    ///
    /// # Errors
    /// That it would have blocked. Other results of `op` are within the `Ok`.
    pub fn try_io<R>(
        &mut self,
        op: impl FnOnce(&mut AsyncFd<T>) -> io::Result<R>,
    ) -> Result<io::Result<R>, TryIoError> {
        let result = op(self.fd);
        self.settle(result)
    }
}

impl<T: AsRawFd, F: DerefMut<Target = AsyncFd<T>>> AsyncFdGuard<F> {
    /// The descriptor's owner.
    pub fn get_inner_mut(&mut self) -> &mut T {
        self.fd.get_mut()
    }

    /// The [`AsyncFd`].
    pub fn get_mut(&mut self) -> &mut AsyncFd<T> {
        &mut self.fd
    }
}

impl<F> fmt::Debug for AsyncFdGuard<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFdReadyGuard").field("ready", &self.ready.events).finish_non_exhaustive()
    }
}

/// An operation would have blocked, and its guard has been cleared.
#[derive(Debug)]
pub struct TryIoError(());

impl fmt::Display for TryIoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operation would block")
    }
}

impl std::error::Error for TryIoError {}

impl From<TryIoError> for io::Error {
    fn from(_: TryIoError) -> io::Error {
        io::ErrorKind::WouldBlock.into()
    }
}

/// A descriptor that could not be registered, and its owner.
pub struct AsyncFdTryNewError<T> {
    io: T,
    cause: io::Error,
}

impl<T> AsyncFdTryNewError<T> {
    /// What was to be registered, and why it could not be.
    #[must_use]
    pub fn into_parts(self) -> (T, io::Error) {
        (self.io, self.cause)
    }
}

impl<T> fmt::Display for AsyncFdTryNewError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.cause, f)
    }
}

impl<T> fmt::Debug for AsyncFdTryNewError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.cause, f)
    }
}

impl<T> std::error::Error for AsyncFdTryNewError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

impl<T> From<AsyncFdTryNewError<T>> for io::Error {
    fn from(error: AsyncFdTryNewError<T>) -> io::Error {
        error.cause
    }
}

#[cfg(test)]
mod tests;
