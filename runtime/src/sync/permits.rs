//! Permits that are handed out in the order in which they were asked for: what every lock here stands on.
//!
//! A word of permits for those who need not wait, a [`WaitList`] for those who must. Who finds enough permits in the word
//! takes them with one read-modify-write, and who brings some back while nobody waits needs one as well.
//!
//! # State
//! ```text
//!   word:  permits << 2 | QUEUED | CLOSED
//!
//!                      poll: 1 lock, CAS, join
//!   nobody waits  ------------------------------>  QUEUED, word has no permits, `saved` has what the head lacks of its own
//!        ^                                                |        |
//!        |                    give, cancel: 2 hand_out    |        | close: 3
//!        +------------------------------------------------+        v
//!                                                      CLOSED, nobody waits, and nobody will again
//! ```
//! - 1 takes all permits that are left out of the word and saves them for the head of the list. From there on, a look at
//!   the word finds nothing, so nobody overtakes, and whoever brings permits sees `QUEUED` and takes the lock.
//! - While `QUEUED` is set the word is written under the lock only.
//! - 2 tells waiters in order for as long as there is what the first one asks for. When nobody is left, what is left goes
//!   back into the word.
//!
//! # A waiter that was told
//! It owns its permits from the moment it is told, and learns that without the lock: `served` counts the waiters told, and
//! a waiter knows how many will have been told when its turn has come. A neighbour that gives up makes it come sooner;
//! then the waiter finds out under the lock. Who was told and drops hands its permits on.

use crate::atomic::{AtomicU64, AtomicUsize, Mutex, Ordering};
use crate::coop;
use crate::sync::semaphore::error::{AcquireError, TryAcquireError};
use crate::trace::{Op, Resource};
use crate::wait_queue::{Removed, WaitList, WaitSlot, WakeBatch};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A number of permits, and those who wait for some.
#[derive(Debug)]
pub(crate) struct Permits {
    word: AtomicUsize,
    /// How many waiters were told that they have their permits, ever. Written under the lock.
    served: AtomicU64,
    queue: Mutex<Queue>,
    /// What observers are told of them.
    resource: Resource,
}

#[derive(Debug)]
struct Queue {
    waiters: WaitList,
    /// Permits that the head of the list waits to complete.
    saved: usize,
}

const CLOSED: usize = 1;
const QUEUED: usize = 2;
const SHIFT: u32 = 2;

/// The note for waiters that are told because there will be no more permits.
const NOTE_CLOSED: u8 = 1;

impl Permits {
    /// The most permits there can be: three bits are left for flags, as in tokio.
    pub(crate) const MAX: usize = usize::MAX >> 3;

    #[cfg(not(loom))]
    pub(crate) const fn new(permits: usize) -> Permits {
        Permits::from_word(permits << SHIFT)
    }

    #[cfg(loom)]
    pub(crate) fn new(permits: usize) -> Permits {
        Permits::from_word(permits << SHIFT)
    }

    /// None, and closed.
    #[cfg(not(loom))]
    pub(crate) const fn new_closed() -> Permits {
        Permits::from_word(CLOSED)
    }

    #[cfg(loom)]
    pub(crate) fn new_closed() -> Permits {
        Permits::from_word(CLOSED)
    }

    #[cfg(not(loom))]
    const fn from_word(word: usize) -> Permits {
        let queue = Queue { waiters: WaitList::new(), saved: 0 };
        Permits {
            word: AtomicUsize::new(word),
            served: AtomicU64::new(0),
            queue: Mutex::new(queue),
            resource: Resource::NONE,
        }
    }

    #[cfg(loom)]
    fn from_word(word: usize) -> Permits {
        let queue = Queue { waiters: WaitList::new(), saved: 0 };
        Permits {
            word: AtomicUsize::new(word),
            served: AtomicU64::new(0),
            queue: Mutex::new(queue),
            resource: Resource::NONE,
        }
    }

    /// The same, of which observers are told.
    #[inline]
    pub(crate) fn told_of(mut self, resource: Resource) -> Permits {
        self.resource = resource;
        self
    }

    #[inline]
    pub(crate) fn resource(&self) -> &Resource {
        &self.resource
    }

    /// How many permits somebody who comes now could have. None while somebody waits.
    pub(crate) fn available(&self) -> usize {
        self.word.load(Ordering::Acquire) >> SHIFT
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.word.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Takes `n` permits if they are there and nobody waits; no permits at all are always there.
    #[inline]
    pub(crate) fn try_take(&self, n: usize) -> Result<(), TryAcquireError> {
        // Acquire, here and below: pairs with the Release with which the permits came back.
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if word & CLOSED != 0 {
                return Err(TryAcquireError::Closed);
            }
            if word >> SHIFT < n {
                return Err(TryAcquireError::NoPermits);
            }
            if n == 0 {
                return Ok(());
            }
            match self.take(word, n) {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    #[inline]
    fn take(&self, word: usize, n: usize) -> Result<usize, usize> {
        self.word.compare_exchange_weak(word, word - (n << SHIFT), Ordering::Acquire, Ordering::Acquire)
    }

    /// Takes `all` permits, being all that there are, if nobody has one; of permits that nobody closes.
    #[inline]
    pub(crate) fn try_take_all(&self, all: usize) -> bool {
        self.word.compare_exchange(all << SHIFT, 0, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Brings back `all` permits, being all that there are.
    #[inline]
    pub(crate) fn give_all(&self, all: usize) {
        // Release: pairs with whoever takes them. It fails when somebody waits. A look first would cost a second transfer of
        // the cache line when the waiter is on another core.
        if self.word.compare_exchange(0, all << SHIFT, Ordering::Release, Ordering::Relaxed).is_err() {
            self.give_slow(all);
        }
    }

    /// Brings `n` permits, back or new.
    ///
    /// # Panics
    /// When there would be more than [`MAX`](Permits::MAX).
    #[inline]
    #[track_caller]
    pub(crate) fn give(&self, n: usize) {
        if n == 0 {
            return;
        }
        let mut word = self.word.load(Ordering::Relaxed);
        while word & QUEUED == 0 {
            assert_room(word >> SHIFT, n);
            let sum = word + (n << SHIFT);
            match self.word.compare_exchange_weak(word, sum, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
        self.give_slow(n);
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn give_slow(&self, n: usize) {
        let mut wakes = WakeBatch::new();
        self.hand_out(&mut self.queue.lock(), n, &mut wakes);
        wakes.wake_all();
    }

    /// Hands `n` permits more to those who wait, in order, under the lock.
    #[track_caller]
    fn hand_out(&self, queue: &mut Queue, n: usize, wakes: &mut WakeBatch) {
        let word = self.word.load(Ordering::Relaxed);
        if word & QUEUED == 0 {
            // Nobody waits any more, and nobody can begin to: that takes the lock.
            assert_room(word >> SHIFT, n);
            self.word.fetch_add(n << SHIFT, Ordering::Release);
            return;
        }
        assert_room(queue.saved, n);
        queue.saved += n;
        let told = queue.waiters.wake_weighted(&mut queue.saved, wakes);
        if told > 0 {
            // Release: pairs with the load of whoever was told, and hands over what was done under its permits before;
            // the lock has brought what was done under those of earlier ones.
            let served = self.served.load(Ordering::Relaxed) + told as u64;
            self.served.store(served, Ordering::Release);
        }
        if queue.waiters.is_empty() {
            self.word.store(std::mem::take(&mut queue.saved) << SHIFT, Ordering::Release);
        }
    }

    /// Takes away up to `n` of the permits that are there, for good; returns how many.
    pub(crate) fn forget(&self, n: usize) -> usize {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let fewer = n.min(word >> SHIFT);
            if fewer == 0 {
                return 0; // not least because the word is not ours to write while somebody waits
            }
            match self.take(word, fewer) {
                Ok(_) => return fewer,
                Err(now) => word = now,
            }
        }
    }

    /// From now on nobody gets permits, and those who wait are told so. Permits may still come back.
    pub(crate) fn close(&self) {
        let mut wakes = WakeBatch::new();
        {
            let mut queue = self.queue.lock();
            if self.word.load(Ordering::Relaxed) & QUEUED == 0 {
                // Release, here and below: who finds it closed sees what was done before, as the value of a `OnceCell`.
                self.word.fetch_or(CLOSED, Ordering::Release);
                return;
            }
            while !queue.waiters.is_empty() {
                // Once, unless their weights add up to more than a word holds.
                queue.waiters.wake_with(NOTE_CLOSED, usize::MAX, &mut wakes);
            }
            self.word.store(std::mem::take(&mut queue.saved) << SHIFT | CLOSED, Ordering::Release);
        }
        wakes.wake_all();
    }
}

#[inline]
#[track_caller]
fn assert_room(permits: usize, n: usize) {
    assert!(
        n <= Permits::MAX - permits,
        "{n} permits more would be more than Semaphore::MAX_PERMITS ({}): there are {permits}",
        Permits::MAX
    );
}

/// What permits are taken from: a reference to it, or an `Arc` that goes with them.
pub(crate) trait Source {
    /// The same each time.
    fn permits(&self) -> &Permits;
}

/// A future that takes permits and makes of them, and of where they came from, what its caller wants.
///
/// With `ALL`, it takes all that there are, of permits that nobody closes. Dropped while it waits it leaves the queue;
/// dropped after it was told it hands its permits on.
pub(crate) struct Acquire<S: Source, F, const ALL: bool> {
    source: Option<S>,
    n: u32,
    make: F,
    wait: Wait,
    op: Op,
}

impl<S: Source, R, F: Fn(Result<S, AcquireError>) -> R> Acquire<S, F, false> {
    /// Takes `n` permits; `name` is what observers are told.
    #[inline]
    pub(crate) fn some(source: S, n: u32, name: &'static str, make: F) -> Self {
        Acquire::new(source, n, name, make)
    }
}

impl<S: Source, R, F: Fn(Result<S, AcquireError>) -> R> Acquire<S, F, true> {
    /// Takes `all` the permits that there are; `name` is what observers are told.
    #[inline]
    pub(crate) fn all(source: S, all: u32, name: &'static str, make: F) -> Self {
        Acquire::new(source, all, name, make)
    }
}

impl<S: Source, R, F: Fn(Result<S, AcquireError>) -> R, const ALL: bool> Acquire<S, F, ALL> {
    #[inline]
    fn new(source: S, n: u32, name: &'static str, make: F) -> Self {
        let op = source.permits().resource.op(name);
        Acquire { source: Some(source), n, make, wait: Wait(Stage::New), op }
    }

    #[inline]
    fn poll_acquire(&mut self, cx: &mut Context<'_>) -> Poll<R> {
        let permits = self.source.as_ref().expect("a future must not be polled again after it was ready").permits();
        let progress = ready!(coop::poll_proceed(cx));
        let result = if self.wait.is_new() && try_now::<ALL>(permits, self.n) {
            Ok(())
        } else {
            ready!(self.wait.poll(permits, self.n, cx))
        };
        progress.made();
        self.wait.0 = Stage::New;
        let source = self.source.take().expect("it was there a moment ago");
        Poll::Ready((self.make)(result.map(|()| source)))
    }
}

// Nothing in here is pinned: the list holds copies, not pointers.
impl<S: Source, F, const ALL: bool> Unpin for Acquire<S, F, ALL> {}

impl<S: Source, R, F: Fn(Result<S, AcquireError>) -> R, const ALL: bool> Future for Acquire<S, F, ALL> {
    type Output = R;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        let this = self.get_mut();
        let op = std::mem::take(&mut this.op);
        let polled = op.poll("poll_acquire", || this.poll_acquire(cx));
        this.op = op;
        polled
    }
}

#[inline]
fn try_now<const ALL: bool>(permits: &Permits, n: u32) -> bool {
    if ALL { permits.try_take_all(n as usize) } else { permits.try_take(n as usize).is_ok() }
}

impl<S: Source, F, const ALL: bool> Drop for Acquire<S, F, ALL> {
    #[inline]
    fn drop(&mut self) {
        if let Some(source) = &self.source
            && !self.wait.is_new()
        {
            self.wait.leave(source.permits(), self.n);
        }
    }
}

/// How far one who takes permits has come. All methods want the same permits and number.
#[derive(Debug)]
struct Wait(Stage);

#[derive(Debug)]
enum Stage {
    /// Not in the list, and owns nothing.
    New,
    /// In the list. It has been told at the latest when `served` exceeds `ahead`: then more have been told than stood before
    /// it, in order.
    Queued { slot: WaitSlot, ahead: u64 },
}

impl Wait {
    #[inline]
    fn is_new(&self) -> bool {
        matches!(self.0, Stage::New)
    }

    #[inline(never)]
    fn poll(&mut self, permits: &Permits, n: u32, cx: &Context<'_>) -> Poll<Result<(), AcquireError>> {
        match &self.0 {
            Stage::New => self.enqueue(permits, n, cx),
            // Closed comes first, even for one that was told before: leaving hands its permits on.
            Stage::Queued { .. } if permits.is_closed() => {
                self.leave(permits, n);
                Poll::Ready(Err(AcquireError::closed()))
            }
            // Acquire: pairs with the Release of `hand_out`.
            Stage::Queued { ahead, .. } if permits.served.load(Ordering::Acquire) > *ahead => Poll::Ready(Ok(())),
            Stage::Queued { .. } => self.look_again(permits, n, cx),
        }
    }

    /// Joins the list, unless the permits came, or the end of them, before the lock was had.
    fn enqueue(&mut self, permits: &Permits, n: u32, cx: &Context<'_>) -> Poll<Result<(), AcquireError>> {
        let mut queue = permits.queue.lock();
        let mut word = permits.word.load(Ordering::Acquire);
        loop {
            if word & CLOSED != 0 {
                return Poll::Ready(Err(AcquireError::closed()));
            }
            let enough = word >> SHIFT >= n as usize;
            if word & QUEUED != 0 && !enough {
                break;
            }
            let rest = if enough { word - ((n as usize) << SHIFT) } else { QUEUED };
            match permits.word.compare_exchange(word, rest, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) if enough => return Poll::Ready(Ok(())),
                Ok(_) => {
                    queue.saved = word >> SHIFT;
                    break;
                }
                Err(now) => word = now,
            }
        }
        let ahead = permits.served.load(Ordering::Relaxed) + queue.waiters.len() as u64;
        let mut slot = WaitSlot::new();
        let replaced = queue.waiters.join_weighted(&mut slot, cx.waker(), n);
        debug_assert!(replaced.is_none(), "a new slot has no waker before");
        self.0 = Stage::Queued { slot, ahead };
        Poll::Pending
    }

    /// The counter did not say that this waiter was told. It waits on with the waker of this poll, unless it was told all the
    /// same: because someone before it gave up, or just now.
    #[cold]
    fn look_again(&mut self, permits: &Permits, n: u32, cx: &Context<'_>) -> Poll<Result<(), AcquireError>> {
        let Stage::Queued { slot, .. } = &mut self.0 else { unreachable!("asked while queued") };
        let mut queue = permits.queue.lock();
        if queue.waiters.is_waiting(slot) {
            let replaced = queue.waiters.join_weighted(slot, cx.waker(), n);
            drop(queue);
            drop(replaced);
            return Poll::Pending;
        }
        Poll::Ready(match queue.waiters.remove(slot) {
            Removed::ToldWith(_) => Err(AcquireError::closed()),
            _ => Ok(()),
        })
    }

    /// Leaves the list, and hands on what this waiter has, or what was saved for it.
    #[cold]
    fn leave(&mut self, permits: &Permits, n: u32) {
        let Stage::Queued { mut slot, .. } = std::mem::replace(&mut self.0, Stage::New) else { return };
        let mut wakes = WakeBatch::new();
        let removed = {
            let mut queue = permits.queue.lock();
            let removed = queue.waiters.remove(&mut slot);
            match removed {
                Removed::Told => permits.hand_out(&mut queue, n as usize, &mut wakes),
                Removed::Waiting(_) => permits.hand_out(&mut queue, 0, &mut wakes),
                Removed::ToldWith(_) | Removed::Absent => {}
            }
            removed
        };
        wakes.wake_all();
        drop(removed);
    }
}

#[cfg(test)]
mod alone {
    //! Permits by themselves, for tests.

    use super::*;

    type Got<'a> = Result<&'a Permits, AcquireError>;
    type Bare<'a, const ALL: bool> = Acquire<&'a Permits, fn(Got<'a>) -> Result<(), AcquireError>, ALL>;

    impl Source for &Permits {
        fn permits(&self) -> &Permits {
            self
        }
    }

    impl Permits {
        pub(super) fn acquire(&self, n: u32) -> Bare<'_, false> {
            Acquire::some(self, n, "acquire", |got| got.map(|_| ()))
        }

        #[cfg(loom)]
        pub(super) fn acquire_all(&self, all: u32) -> Bare<'_, true> {
            Acquire::all(self, all, "acquire", |got| got.map(|_| ()))
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
pub(crate) mod loom_tests;
