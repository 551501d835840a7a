//! Parking: how one thread sleeps until another says otherwise.
//!
//! A [`Parker`] belongs to the thread that sleeps, an [`Unparker`] to whoever may wake it. The unparker is a
//! [`Wake`], so a parked thread can stand in any wait queue as a `Waker`, beside tasks: that is the whole
//! difference between the blocking model and the asynchronous one.
//!
//! # State
//! One word, three values. Only this file touches it.
//! ```text
//!            park: 1 CAS                  unpark: 3 swap
//!   EMPTY ----------------> PARKED ---------------------------> NOTIFIED
//!     ^ \                     |  park_timeout ran out: 2 swap       ^  |
//!     |  \--------------------+------------- unpark: 3 swap -------/   |
//!     +------------------------ park: 4 CAS consumes ------------------+
//! ```
//! - 1 happens under the lock, 3 takes the lock after it saw `PARKED`: so a notification can not fall between the
//!   sleeper's announcement and its `Bell::wait`.
//! - 4 is an `Acquire` that pairs with the `Release` of 3: what the waker wrote before `unpark` is visible after `park`.

use crate::atomic::{AtomicU32, Bell, Ordering};
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

/// The sleeping side: at most one thread parks on it at a time.
///
/// A notification is remembered once: an [`Unparker::unpark`] before [`Parker::park`] makes that `park` return at once.
///
/// # Examples
/// ```
/// use wakeline_runtime::park::Parker;
///
/// let parker = Parker::new();
/// let unparker = parker.unparker();
/// let waker = std::thread::spawn(move || unparker.unpark());
/// parker.park(); // returns when the other thread has called `unpark`, before or after
/// waker.join().expect("the waking thread does not panic");
/// ```
#[derive(Debug)]
pub struct Parker {
    unparker: Unparker,
    // A Parker may be sent but not shared: two threads parked on one word would steal each other's notification.
    _not_sync: std::marker::PhantomData<std::cell::Cell<()>>,
}

/// The waking side of a [`Parker`]; cheap to clone.
#[derive(Clone, Debug)]
pub struct Unparker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: AtomicU32,
    bell: Bell,
}

const EMPTY: u32 = 0;
const PARKED: u32 = 1;
const NOTIFIED: u32 = 2;

impl Parker {
    /// A parker that nobody has notified yet.
    #[must_use]
    pub fn new() -> Parker {
        let inner = Inner { state: AtomicU32::new(EMPTY), bell: Bell::new() };
        Parker { unparker: Unparker { inner: Arc::new(inner) }, _not_sync: std::marker::PhantomData }
    }

    /// A handle that wakes this parker.
    #[must_use]
    pub fn unparker(&self) -> Unparker {
        self.unparker.clone()
    }

    /// The unparker in the shape that wait queues and futures take.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker::from(self.unparker.inner.clone())
    }

    /// Sleeps until notified. Consumes one notification, however often it was given.
    ///
    /// # Panics
    /// In debug builds, where the thread [must not sleep](non_block).
    #[track_caller]
    pub fn park(&self) {
        self.unparker.inner.park(None);
    }

    /// Sleeps until notified or until `timeout` has passed; says whether it was notified.
    ///
    /// A `timeout` of zero only consumes a notification that is already there.
    ///
    /// # Panics
    /// In debug builds, where the thread [must not sleep](non_block); not with a `timeout` of zero.
    #[track_caller]
    pub fn park_timeout(&self, timeout: Duration) -> bool {
        self.unparker.inner.park(Some(timeout))
    }
}

impl Default for Parker {
    fn default() -> Self {
        Parker::new()
    }
}

impl Unparker {
    /// Notifies the parker; wakes its thread when it sleeps.
    ///
    /// Returns whether a thread was asleep, which is what a context switch costs.
    pub fn unpark(&self) -> bool {
        self.inner.unpark()
    }
}

impl Inner {
    #[track_caller]
    fn park(&self, timeout: Option<Duration>) -> bool {
        if timeout == Some(Duration::ZERO) {
            return self.try_consume();
        }
        might_sleep();
        if self.try_consume() {
            return true;
        }
        // A timeout too long for the clock is no timeout: nobody waits 500 years.
        let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
        let mut guard = self.bell.lock();
        // Acquire on failure pairs with the Release in `unpark`; success publishes nothing, the lock does.
        if self.state.compare_exchange(EMPTY, PARKED, Ordering::Relaxed, Ordering::Acquire).is_err() {
            // A waker came between the first look and the lock. Another may have come since that look, and has found the word
            // NOTIFIED: a swap, and not a store, so that what it wrote before is visible as well.
            self.state.swap(EMPTY, Ordering::Acquire);
            return true;
        }
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                // Leaving: whoever notified since then is honoured, whoever comes later finds EMPTY.
                return self.state.swap(EMPTY, Ordering::Acquire) == NOTIFIED;
            }
            guard = self.bell.wait(guard, left);
            if self.try_consume() {
                return true;
            }
        }
    }

    fn try_consume(&self) -> bool {
        self.state.compare_exchange(NOTIFIED, EMPTY, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    fn unpark(&self) -> bool {
        if self.state.swap(NOTIFIED, Ordering::Release) != PARKED {
            return false;
        }
        // The sleeper holds the lock from its announcement until it waits; taking it here orders the notification
        // after the wait began.
        drop(self.bell.lock());
        self.bell.ring();
        true
    }
}

impl Wake for Inner {
    fn wake(self: Arc<Self>) {
        self.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.unpark();
    }
}

/// Runs `f` with a parker that belongs to the calling thread, made once per thread.
///
/// A nested call gets a parker of its own, so that the inner wait can not eat the outer one's notification.
pub fn with_thread_parker<R>(f: impl FnOnce(&Parker) -> R) -> R {
    thread_local! {
        static PARKER: std::cell::Cell<Option<Parker>> = const { std::cell::Cell::new(None) };
    }
    let parker = PARKER.try_with(std::cell::Cell::take).ok().flatten().unwrap_or_default();
    let result = f(&parker);
    // Late in thread exit the slot is gone; then the parker simply drops.
    let _ = PARKER.try_with(|slot| slot.set(Some(parker)));
    result
}

thread_local! {
    static ENTERED: Cell<bool> = const { Cell::new(false) };
}

/// This thread drives futures: it must not block, and must not begin to drive others.
#[derive(Debug)]
pub(crate) struct Entered(PhantomData<*const ()>);

/// Marks this thread as one that drives futures; `None` when it does so already.
pub(crate) fn enter() -> Option<Entered> {
    if ENTERED.replace(true) { None } else { Some(Entered(PhantomData)) }
}

/// Whether this thread drives futures now.
pub(crate) fn is_entered() -> bool {
    ENTERED.get()
}

impl Drop for Entered {
    fn drop(&mut self) {
        ENTERED.set(false);
    }
}

/// Takes the mark of [`enter`] from this thread until it drops.
#[derive(Debug)]
pub(crate) struct Unentered {
    was_entered: bool,
    _not_send: PhantomData<*const ()>,
}

impl Unentered {
    pub(crate) fn new() -> Unentered {
        Unentered { was_entered: ENTERED.replace(false), _not_send: PhantomData }
    }
}

impl Drop for Unentered {
    fn drop(&mut self) {
        ENTERED.set(self.was_entered);
    }
}

#[cfg(debug_assertions)]
thread_local! {
    static NON_BLOCK: Cell<u32> = const { Cell::new(0) };
}

/// This thread must not sleep until the value drops. Nests. It costs nothing in release builds, which do not look.
#[derive(Debug)]
#[must_use = "the thread may sleep again when this drops"]
pub struct NonBlock(PhantomData<*const ()>);

/// Begins a section in which this thread must not sleep, because it does not run for itself: it works off an interrupt, say,
/// and whoever it has interrupted would sleep with it (`non_block_start`, and what `preempt_count` says to `might_sleep`).
///
/// # Examples
/// ```
/// use wakeline_runtime::park::{might_sleep, non_block};
///
/// let section = non_block();
/// // Here a `Parker::park`, a blocking lock or a `block_on` panics in debug builds.
/// drop(section);
/// might_sleep();
/// ```
#[inline(always)]
pub fn non_block() -> NonBlock {
    #[cfg(debug_assertions)]
    NON_BLOCK.set(NON_BLOCK.get() + 1);
    NonBlock(PhantomData)
}

impl Drop for NonBlock {
    #[inline(always)]
    fn drop(&mut self) {
        #[cfg(debug_assertions)]
        NON_BLOCK.set(NON_BLOCK.get() - 1);
    }
}

/// Says that the caller may sleep further on, so that it is found out also when it does not.
///
/// # Panics
/// In debug builds, where the thread [must not sleep](non_block).
#[inline(always)]
#[track_caller]
pub fn might_sleep() {
    #[cfg(debug_assertions)]
    assert!(
        NON_BLOCK.get() == 0 || std::thread::panicking(),
        "a thread may sleep here, while it works off an interrupt: whoever was interrupted would sleep with it"
    );
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_notification_given_first_is_remembered_once() {
        let parker = Parker::new();
        let unparker = parker.unparker();
        assert!(!unparker.unpark());
        assert!(!unparker.unpark());
        parker.park();
        assert!(!parker.park_timeout(Duration::from_millis(1)), "two notifications before park count as one");
    }

    #[test]
    fn the_waker_is_the_unparker() {
        let parker = Parker::new();
        parker.waker().wake();
        assert!(parker.park_timeout(Duration::ZERO));
        assert!(!parker.park_timeout(Duration::ZERO));
    }

    /// Whatever waits with the whole thread is found out, also when it need not wait, and also what can not wait is let through.
    #[cfg(debug_assertions)]
    #[test]
    fn who_must_not_sleep_is_told_where_it_may() {
        use std::panic::{AssertUnwindSafe, catch_unwind};
        let parker = Parker::new();
        let (outer, inner) = (non_block(), non_block());
        drop(inner);
        let sleeps = |f: &dyn Fn()| catch_unwind(AssertUnwindSafe(f)).is_err();
        assert!(sleeps(&|| {
            parker.unparker().unpark();
            parker.park();
        }));
        assert!(parker.park_timeout(Duration::ZERO), "the notification is there still, and nobody sleeps for it");
        assert!(sleeps(&|| _ = parker.park_timeout(Duration::from_secs(100))));
        let mutex = crate::sync::Mutex::new(());
        assert!(sleeps(&|| drop(mutex.blocking_lock())) && mutex.try_lock().is_ok());
        let queue = crate::wait_queue::WaitQueue::new();
        let wait = |limit| {
            let (any, shared) = (crate::wait_queue::Events::ANY, crate::wait_queue::Mode::Shared);
            queue.wait_until_blocking(any, shared, limit, || None::<()>)
        };
        assert!(sleeps(&|| _ = wait(None)) && !sleeps(&|| _ = wait(Some(Duration::ZERO))));
        let runtime = crate::Runtime::new().unwrap();
        assert!(sleeps(&|| runtime.block_on(async {})));
        drop(outer);
        runtime.block_on(async {});
        parker.unparker().unpark();
        parker.park();
    }

    #[test]
    fn nested_thread_parkers_are_distinct() {
        with_thread_parker(|outer| {
            outer.unparker().unpark();
            with_thread_parker(|inner| assert!(!inner.park_timeout(Duration::ZERO)));
            assert!(outer.park_timeout(Duration::ZERO));
        });
    }

    #[test]
    fn many_rounds_across_threads_lose_nothing() {
        let (here, there) = (Parker::new(), Parker::new());
        let (wake_here, wake_there) = (here.unparker(), there.unparker());
        let peer = std::thread::spawn(move || {
            for _ in 0..10_000 {
                there.park();
                wake_here.unpark();
            }
        });
        for _ in 0..10_000 {
            wake_there.unpark();
            here.park();
        }
        peer.join().unwrap();
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::thread;

    #[test]
    fn loom_unpark_is_never_lost() {
        loom::model(|| {
            let parker = Parker::new();
            let (first, second) = (parker.unparker(), parker.unparker());
            let data = loom::sync::Arc::new(AtomicU32::new(0));
            let written = data.clone();
            let a = thread::spawn(move || {
                written.store(1, Ordering::Relaxed);
                first.unpark();
            });
            let b = thread::spawn(move || {
                second.unpark();
            });
            parker.park();
            a.join().unwrap();
            b.join().unwrap();
            // Both have notified; at most one notification may be left over.
            let _ = parker.try_again();
            assert!(!parker.try_again());
            assert_eq!(data.load(Ordering::Relaxed), 1);
        });
    }

    /// Two notifications may be taken as one; then what was written before either is visible.
    #[test]
    fn loom_a_notification_does_not_hide_what_the_next_one_brings() {
        loom::model(|| {
            let parker = Parker::new();
            let unparker = parker.unparker();
            let count = loom::sync::Arc::new(AtomicU32::new(0));
            let written = count.clone();
            let waker = thread::spawn(move || {
                for _ in 0..2 {
                    written.fetch_add(1, Ordering::Relaxed);
                    unparker.unpark();
                }
            });
            while count.load(Ordering::Relaxed) < 2 {
                parker.park();
            }
            waker.join().unwrap();
        });
    }

    #[test]
    fn loom_park_sees_what_was_written_before_unpark() {
        loom::model(|| {
            let parker = Parker::new();
            let unparker = parker.unparker();
            let data = loom::sync::Arc::new(AtomicU32::new(0));
            let written = data.clone();
            let a = thread::spawn(move || {
                written.store(1, Ordering::Relaxed);
                unparker.unpark();
            });
            parker.park();
            assert_eq!(data.load(Ordering::Relaxed), 1);
            a.join().unwrap();
        });
    }

    impl Parker {
        fn try_again(&self) -> bool {
            self.unparker.inner.try_consume()
        }
    }
}
