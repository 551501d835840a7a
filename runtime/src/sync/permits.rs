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
use crate::coop::{self, Progress};
use crate::sync::semaphore::error::{AcquireError, TryAcquireError};
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
        Permits { word: AtomicUsize::new(word), served: AtomicU64::new(0), queue: Mutex::new(queue) }
    }

    #[cfg(loom)]
    fn from_word(word: usize) -> Permits {
        let queue = Queue { waiters: WaitList::new(), saved: 0 };
        Permits { word: AtomicUsize::new(word), served: AtomicU64::new(0), queue: Mutex::new(queue) }
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

    /// Takes `all` permits, being all that there are, if nobody has one; never closed. Spares the look at the word first.
    #[inline]
    pub(crate) fn try_take_all(&self, all: usize) -> bool {
        self.word.compare_exchange(all << SHIFT, 0, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Brings back `all` permits, being all that there are.
    #[inline]
    pub(crate) fn give_all(&self, all: usize) {
        // Release: pairs with whoever takes them. It fails when somebody waits.
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

    /// A future that takes `n` permits; they are the caller's when it is ready.
    pub(crate) fn acquire(&self, n: u32) -> Acquire<'_> {
        Acquire { permits: self, n, all: false, stage: Stage::New }
    }

    /// As [`acquire`](Permits::acquire), for `all` permits that there are.
    pub(crate) fn acquire_all(&self, all: u32) -> Acquire<'_> {
        Acquire { permits: self, n: all, all: true, stage: Stage::New }
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

/// The future of [`Permits::acquire`].
///
/// Dropped while it waits it leaves the queue; dropped after it was told it hands its permits on.
#[derive(Debug)]
pub(crate) struct Acquire<'a> {
    permits: &'a Permits,
    n: u32,
    all: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    New,
    /// In the list. It has been told at the latest when `served` exceeds `ahead`: then more have been told than stood before
    /// it, in order.
    Queued {
        slot: WaitSlot,
        ahead: u64,
    },
    Done,
}

impl Future for Acquire<'_> {
    type Output = Result<(), AcquireError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let progress = ready!(coop::poll_proceed(cx));
        let this = &mut *self;
        if let Stage::New = this.stage
            && this.try_now()
        {
            this.stage = Stage::Done;
            progress.made();
            return Poll::Ready(Ok(()));
        }
        this.poll_slow(cx, &progress)
    }
}

impl Acquire<'_> {
    #[inline]
    fn try_now(&self) -> bool {
        let n = self.n as usize;
        if self.all { self.permits.try_take_all(n) } else { self.permits.try_take(n).is_ok() }
    }

    #[inline(never)]
    fn poll_slow(&mut self, cx: &mut Context<'_>, progress: &Progress) -> Poll<Result<(), AcquireError>> {
        let result = match &self.stage {
            Stage::New => ready!(self.enqueue(cx)),
            // Closed comes first, even for one that was told before: leaving hands its permits on.
            Stage::Queued { .. } if self.permits.is_closed() => {
                self.leave();
                Err(AcquireError::closed())
            }
            // Acquire: pairs with the Release of `hand_out`.
            Stage::Queued { ahead, .. } if self.permits.served.load(Ordering::Acquire) > *ahead => Ok(()),
            Stage::Queued { .. } => ready!(self.look_again(cx)),
            Stage::Done => panic!("this wait is over: a future must not be polled after it was ready"),
        };
        self.stage = Stage::Done;
        progress.made();
        Poll::Ready(result)
    }

    /// Joins the list, unless the permits came, or the end of them, before the lock was had.
    fn enqueue(&mut self, cx: &Context<'_>) -> Poll<Result<(), AcquireError>> {
        let permits = self.permits;
        let mut queue = permits.queue.lock();
        let mut word = permits.word.load(Ordering::Acquire);
        loop {
            if word & CLOSED != 0 {
                return Poll::Ready(Err(AcquireError::closed()));
            }
            let enough = word >> SHIFT >= self.n as usize;
            if word & QUEUED != 0 && !enough {
                break;
            }
            let rest = if enough { word - ((self.n as usize) << SHIFT) } else { QUEUED };
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
        let replaced = queue.waiters.join_weighted(&mut slot, cx.waker(), self.n);
        debug_assert!(replaced.is_none(), "a new slot has no waker before");
        self.stage = Stage::Queued { slot, ahead };
        Poll::Pending
    }

    /// The counter did not say that this waiter was told. It waits on with the waker of this poll, unless it was told all the
    /// same: because someone before it gave up, or just now.
    fn look_again(&mut self, cx: &Context<'_>) -> Poll<Result<(), AcquireError>> {
        let Stage::Queued { slot, .. } = &mut self.stage else { unreachable!("asked while queued") };
        let mut queue = self.permits.queue.lock();
        if queue.waiters.is_waiting(slot) {
            let replaced = queue.waiters.join_weighted(slot, cx.waker(), self.n);
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
    fn leave(&mut self) {
        let Stage::Queued { mut slot, .. } = std::mem::replace(&mut self.stage, Stage::Done) else { return };
        let mut wakes = WakeBatch::new();
        let removed = {
            let mut queue = self.permits.queue.lock();
            let removed = queue.waiters.remove(&mut slot);
            match removed {
                Removed::Told => self.permits.hand_out(&mut queue, self.n as usize, &mut wakes),
                Removed::Waiting(_) => self.permits.hand_out(&mut queue, 0, &mut wakes),
                Removed::ToldWith(_) | Removed::Absent => {}
            }
            removed
        };
        wakes.wake_all();
        drop(removed);
    }
}

impl Drop for Acquire<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Stage::Queued { .. } = self.stage {
            self.leave();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
pub(crate) mod loom_tests;
