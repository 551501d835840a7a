//! [`Notify`]: tells one waiting task, or all of them, that something has happened.
//!
//! # State
//! The word ([`word`]) holds the permit and says whether anybody waits; the list, under its lock, says who. The word says
//! `WAITING` exactly while the list is not empty, so a notification that finds nobody takes no lock.
//!
//! # A waiter that gives up
//! Whoever is told finds a note in its place: told alone, as the first or as the last, or together with all others. Dropped
//! without having looked, it passes on what it was told alone, by the same rule; what all were told is nobody's loss.

mod word;

use crate::atomic::{Mutex, MutexGuard};
use crate::coop;
use crate::wait_queue::{Events, Mode, Removed, WaitList, WaitSlot, WakeBatch};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use word::{Calls, Look, Notifier, Word};

/// Tells one task, or all that wait, that something has happened.
///
/// It is a semaphore that begins with no permit and holds at most one: [`notified`](Notify::notified) waits for the permit,
/// [`notify_one`](Notify::notify_one) gives it, to the one who has waited longest, or to be kept for who comes next.
/// It carries no data; what happened is written elsewhere, before the notification.
///
/// # Examples
/// A channel without a bound, for many senders and receivers. Enabling the future before looking is what makes it sound:
/// of two letters that come while two receivers are between looking and waiting, both are told of.
/// ```
/// use std::collections::VecDeque;
/// use std::sync::Mutex;
/// use wakeline_runtime::sync::Notify;
///
/// struct Letters { box_: Mutex<VecDeque<String>>, came: Notify }
///
/// impl Letters {
///     fn send(&self, letter: String) {
///         self.box_.lock().expect("no holder panics").push_back(letter);
///         self.came.notify_one();
///     }
///
///     async fn receive(&self) -> String {
///         let mut came = std::pin::pin!(self.came.notified());
///         loop {
///             came.as_mut().enable();                                    // wait first ..
///             if let Some(letter) = self.box_.lock().expect("no holder panics").pop_front() {
///                 return letter;                                         // .. then look
///             }
///             came.as_mut().await;
///             came.set(self.came.notified());
///         }
///     }
/// }
/// # let letters = Letters { box_: Mutex::default(), came: Notify::new() };
/// # letters.send("hello".into());
/// # assert_eq!(futures_lite::future::block_on(letters.receive()), "hello");
/// ```
pub struct Notify {
    word: Word,
    waiters: Mutex<WaitList>,
}

/// Who is told first.
#[derive(Clone, Copy, Debug)]
enum Strategy {
    Fifo,
    Lifo,
}

impl Strategy {
    const fn note(self) -> u8 {
        match self {
            Strategy::Fifo => TOLD_AS_FIRST,
            Strategy::Lifo => TOLD_AS_LAST,
        }
    }
}

const TOLD_AS_FIRST: u8 = 0;
const TOLD_AS_LAST: u8 = 1;
const TOLD_WITH_ALL: u8 = 2;

impl Notify {
    /// Creates one without a permit.
    ///
    /// # Examples
    /// ```
    /// let notify = wakeline_runtime::sync::Notify::new();
    /// notify.notify_one();
    /// ```
    #[must_use]
    pub fn new() -> Notify {
        Notify { word: Word::new(), waiters: Mutex::new(WaitList::new()) }
    }

    /// Creates one without a permit, for a `static`.
    ///
    /// # Examples
    /// ```
    /// use wakeline_runtime::sync::Notify;
    ///
    /// static NOTIFY: Notify = Notify::const_new();
    /// ```
    #[cfg(not(loom))]
    #[must_use]
    pub const fn const_new() -> Notify {
        Notify { word: Word::new(), waiters: Mutex::new(WaitList::new()) }
    }

    /// Waits for a notification: for a permit, which it takes, or for a [`notify_waiters`](Notify::notify_waiters).
    ///
    /// The future hears of every `notify_waiters` after its creation, polled or not. It stands in the queue for a
    /// [`notify_one`](Notify::notify_one) from its first poll, or from [`enable`](Notified::enable). Once it has completed it is
    /// ready for good.
    ///
    /// Unlike tokio's, the future is `Unpin` and takes a step of its task's [budget](crate::coop).
    ///
    /// # Cancel safety
    /// Yes, but a dropped future loses its place in the queue. One that a `notify_one` had told passes that on.
    ///
    /// # Examples
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let notify = wakeline_runtime::sync::Notify::new();
    /// notify.notify_one();
    /// notify.notified().await; // at once: the permit was there
    /// # });
    /// ```
    #[inline]
    pub fn notified(&self) -> Notified<'_> {
        Notified { place: Place::new(self), notify: self }
    }

    /// As [`notified`](Notify::notified), with a future that owns its `Notify`.
    ///
    /// # Cancel safety
    /// As [`notified`](Notify::notified).
    ///
    /// # Examples
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use std::sync::Arc;
    /// use wakeline_runtime::sync::Notify;
    ///
    /// let notify = Arc::new(Notify::new());
    /// let notified = notify.clone().notified_owned();
    /// let waiter = std::thread::spawn(|| futures_lite::future::block_on(notified));
    /// notify.notify_waiters();
    /// waiter.join().expect("it does not panic");
    /// # });
    /// ```
    pub fn notified_owned(self: Arc<Self>) -> OwnedNotified {
        OwnedNotified { place: Place::new(&self), notify: self }
    }

    /// Notifies the one who has waited longest; when nobody waits, keeps a permit for the next.
    ///
    /// At most one permit is kept: many calls that find nobody count as one.
    ///
    /// # Examples
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let notify = wakeline_runtime::sync::Notify::new();
    /// notify.notify_one();
    /// notify.notify_one();
    /// notify.notified().await;
    /// assert!(futures_lite::future::poll_once(notify.notified()).await.is_none());
    /// # });
    /// ```
    #[inline]
    pub fn notify_one(&self) {
        if self.word.permit() == Notifier::SomebodyWaits {
            self.notify_waiting(Strategy::Fifo);
        }
    }

    /// As [`notify_one`](Notify::notify_one), but notifies the one who began to wait last.
    ///
    /// # Examples
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use futures_lite::future::poll_once;
    ///
    /// let notify = wakeline_runtime::sync::Notify::new();
    /// let (mut first, mut second) = (notify.notified(), notify.notified());
    /// assert!(poll_once(&mut first).await.is_none() && poll_once(&mut second).await.is_none());
    /// notify.notify_last();
    /// assert!(poll_once(&mut first).await.is_none() && poll_once(&mut second).await.is_some());
    /// # });
    /// ```
    #[inline]
    pub fn notify_last(&self) {
        if self.word.permit() == Notifier::SomebodyWaits {
            self.notify_waiting(Strategy::Lifo);
        }
    }

    /// Notifies all who wait, and every [`notified`](Notify::notified) that exists; keeps no permit for the next.
    ///
    /// # Examples
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let notify = wakeline_runtime::sync::Notify::new();
    /// let (first, second) = (notify.notified(), notify.notified());
    /// notify.notify_waiters();
    /// first.await;
    /// second.await;
    /// assert!(futures_lite::future::poll_once(notify.notified()).await.is_none(), "it came later");
    /// # });
    /// ```
    #[inline]
    pub fn notify_waiters(&self) {
        if self.word.call() == Notifier::SomebodyWaits {
            self.notify_all_waiting();
        }
    }

    #[cold]
    fn notify_waiting(&self, strategy: Strategy) {
        let mut batch = WakeBatch::new();
        self.notify_locked(self.waiters.lock(), strategy, &mut batch);
        batch.wake_all();
    }

    /// Tells one, or leaves a permit; gives the lock back.
    fn notify_locked(&self, mut waiters: MutexGuard<'_, WaitList>, strategy: Strategy, batch: &mut WakeBatch) {
        // Again, under the lock: those who waited may have left since the caller looked.
        if self.word.permit() == Notifier::Done {
            return;
        }
        match strategy {
            Strategy::Fifo => drop(waiters.wake_with(strategy.note(), 1, batch)),
            Strategy::Lifo => drop(waiters.wake_last_with(strategy.note(), batch)),
        }
        if waiters.is_empty() {
            self.word.nobody_waits();
        }
    }

    #[cold]
    fn notify_all_waiting(&self) {
        let mut batch = WakeBatch::new();
        let mut waiters = self.waiters.lock();
        if self.word.call() == Notifier::SomebodyWaits {
            waiters.wake_with(TOLD_WITH_ALL, usize::MAX, &mut batch);
            self.word.all_told();
        }
        drop(waiters);
        batch.wake_all();
    }
}

impl Default for Notify {
    fn default() -> Notify {
        Notify::new()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify").field("word", &self.word).finish_non_exhaustive()
    }
}

/// Where one future stands.
#[derive(Debug)]
struct Place {
    stage: Stage,
    /// How often all had been notified when the future was created.
    since: Calls,
    slot: WaitSlot,
}

#[derive(Debug)]
enum Stage {
    /// Not in the queue yet.
    New,
    /// In the list, or told and not looked yet: the slot is set.
    Waiting,
    /// Notified.
    Done,
}

impl Place {
    #[inline]
    fn new(notify: &Notify) -> Place {
        Place { stage: Stage::New, since: notify.word.calls(), slot: WaitSlot::new() }
    }

    /// Whether it is notified. If not it stands in the queue from now on, with `waker` if there is one.
    #[inline]
    fn poll(&mut self, notify: &Notify, waker: Option<&Waker>) -> bool {
        let is_notified = match self.stage {
            Stage::Done => true,
            Stage::New => notify.word.take(self.since) == Look::Notified || self.join(notify, waker),
            Stage::Waiting => self.look(notify, waker),
        };
        if is_notified {
            self.stage = Stage::Done;
        }
        is_notified
    }

    fn join(&mut self, notify: &Notify, waker: Option<&Waker>) -> bool {
        let mut waiters = notify.waiters.lock();
        // The list before the word: should the clone of the waker panic, the word does not speak of somebody who is not there.
        // The slot is new, so no waker is replaced.
        let _ = waiters.join(&mut self.slot, waker.unwrap_or(Waker::noop()), Events::ANY, Mode::Exclusive);
        if notify.word.join(self.since) == Look::Wait {
            self.stage = Stage::Waiting;
            return false;
        }
        let removed = waiters.remove(&mut self.slot);
        drop(waiters);
        drop(removed);
        true
    }

    fn look(&mut self, notify: &Notify, waker: Option<&Waker>) -> bool {
        let mut waiters = notify.waiters.lock();
        if waiters.is_waiting(&self.slot) {
            let replaced = waker.and_then(|waker| waiters.join(&mut self.slot, waker, Events::ANY, Mode::Exclusive));
            drop(waiters);
            drop(replaced);
            return false;
        }
        let _ = waiters.remove(&mut self.slot);
        true
    }

    /// The future goes away.
    fn leave(&mut self, notify: &Notify) {
        if !matches!(self.stage, Stage::Waiting) {
            return;
        }
        let mut batch = WakeBatch::new();
        let mut waiters = notify.waiters.lock();
        let removed = waiters.remove(&mut self.slot);
        match removed {
            Removed::ToldWith(TOLD_AS_FIRST) => notify.notify_locked(waiters, Strategy::Fifo, &mut batch),
            Removed::ToldWith(TOLD_AS_LAST) => notify.notify_locked(waiters, Strategy::Lifo, &mut batch),
            Removed::Waiting(_) if waiters.is_empty() => {
                notify.word.nobody_waits();
                drop(waiters);
            }
            _ => drop(waiters),
        }
        batch.wake_all();
        drop(removed);
    }
}

/// The future of [`Notify::notified`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Notified<'a> {
    notify: &'a Notify,
    place: Place,
}

impl Notified<'_> {
    /// Enters the queue now, before the first poll; says whether the future is ready.
    ///
    /// It is a poll without a waker. It is ready when it was enabled or polled before and has been notified since; when
    /// this is its first look and a permit was there, which it takes; or when [`Notify::notify_waiters`] was called since its
    /// creation. Once ready, it stays ready.
    ///
    /// # Examples
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let notify = wakeline_runtime::sync::Notify::new();
    /// let mut notified = std::pin::pin!(notify.notified());
    /// assert!(!notified.as_mut().enable());
    /// notify.notify_one(); // told, though it was never polled
    /// notified.await;
    /// # });
    /// ```
    pub fn enable(self: Pin<&mut Self>) -> bool {
        let this = self.get_mut();
        this.place.poll(this.notify, None)
    }
}

impl Future for Notified<'_> {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        poll_within_budget(&mut this.place, this.notify, cx)
    }
}

impl Drop for Notified<'_> {
    #[inline]
    fn drop(&mut self) {
        self.place.leave(self.notify);
    }
}

/// The future of [`Notify::notified_owned`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct OwnedNotified {
    notify: Arc<Notify>,
    place: Place,
}

impl OwnedNotified {
    /// As [`Notified::enable`].
    ///
    /// # Examples
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use std::sync::Arc;
    /// use wakeline_runtime::sync::Notify;
    ///
    /// let notify = Arc::new(Notify::new());
    /// let mut notified = std::pin::pin!(notify.clone().notified_owned());
    /// assert!(!notified.as_mut().enable());
    /// notify.notify_one();
    /// notified.await;
    /// # });
    /// ```
    pub fn enable(self: Pin<&mut Self>) -> bool {
        let this = self.get_mut();
        this.place.poll(&this.notify, None)
    }
}

impl Future for OwnedNotified {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        poll_within_budget(&mut this.place, &this.notify, cx)
    }
}

impl Drop for OwnedNotified {
    fn drop(&mut self) {
        self.place.leave(&self.notify);
    }
}

#[inline]
fn poll_within_budget(place: &mut Place, notify: &Notify, cx: &mut Context<'_>) -> Poll<()> {
    let progress = ready!(coop::poll_proceed(cx));
    if place.poll(notify, Some(cx.waker())) {
        progress.made();
        return Poll::Ready(());
    }
    Poll::Pending
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
