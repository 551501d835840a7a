//! What an entry calls: the pair that Linux names `private` and `func`.

use crate::park::Unparker;
use crate::wait_queue::entry::Events;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;

/// `func` of a permanent entry, which hears of every wake whose key meets its interest until it is removed: what
/// `ep_poll_callback` is to an epoll set.
///
/// # Examples
/// A set that remembers what happened, and wakes whoever waits for the set, in a list of its own:
/// ```
/// use std::sync::{Arc, Mutex};
/// use wakeline_runtime::wait_queue::{Events, Mode, WaitList, WaitQueue, WaitSlot, WakeBatch, WakeFn};
///
/// struct Item { happened: Mutex<Vec<Events>>, waiters: WaitQueue }
///
/// impl WakeFn for Item {
///     fn call(&self, key: Events) {
///         self.happened.lock().expect("no holder panics").push(key);
///         self.waiters.wake(Events::READABLE, 1);
///     }
/// }
///
/// let item = Arc::new(Item { happened: Mutex::default(), waiters: WaitQueue::new() });
/// let (mut socket, mut slot) = (WaitList::new(), WaitSlot::new());
/// assert!(socket.add(&mut slot, item.clone(), Events::READABLE, Mode::Shared).is_none());
/// for _ in 0..2 {
///     let mut wakes = WakeBatch::new();
///     socket.wake(Events::READABLE, 1, &mut wakes); // under the lock around the list
///     wakes.wake_all();                             // after it
/// }
/// assert_eq!(item.happened.lock().expect("no holder panics").len(), 2);
/// drop(socket.remove(&mut slot));
/// ```
pub trait WakeFn: Send + Sync {
    /// Something happened; `key` says what, and is [`Events::ANY`] when the wake had no key.
    ///
    /// Called when the lock around the list is released, in the order of the list, by whoever made it happen; so it must be
    /// short and must not block. A wake that was under way when the entry was removed may still call it.
    fn call(&self, key: Events);

    /// Whether somebody takes this wake, which is what `func` returns in Linux: a wake that nobody takes is not counted
    /// against the quota of exclusive entries, and the next one is told as well. Asked of exclusive entries only, each time
    /// just before [`call`](WakeFn::call) is promised.
    ///
    /// It is asked under the lock around the list: it may read and change atomics, and nothing else. Whoever counts sleepers
    /// should take one from the count here, so that two wakes do not both count on the same.
    fn claim(&self, key: Events) -> bool {
        let _ = key;
        true
    }
}

/// `woken_wake_function`: a thread that stays in the queue while it sleeps and wakes, as `tcp_recvmsg` does.
///
/// A wake is remembered by the thread's parker (`WQ_FLAG_WOKEN`), so that none is lost that falls between looking at the
/// condition and sleeping, though no lock is held meanwhile.
///
/// # Examples
/// `wait_woken`, for a condition that comes true bit by bit:
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use wakeline_runtime::park::Parker;
/// use wakeline_runtime::wait_queue::{Events, Mode, WaitQueue, WaitSlot};
///
/// static BYTES: AtomicUsize = AtomicUsize::new(0);
/// static QUEUE: WaitQueue = WaitQueue::new();
///
/// let producer = std::thread::spawn(|| {
///     for _ in 0..3 {
///         BYTES.fetch_add(1, Ordering::Release);
///         QUEUE.wake(Events::IN, 1);
///     }
/// });
/// let (parker, mut slot) = (Parker::new(), WaitSlot::new());
/// drop(QUEUE.add(&mut slot, Arc::new(parker.unparker()), Events::IN, Mode::Shared)); // add_wait_queue
/// while BYTES.load(Ordering::Acquire) < 3 {
///     parker.park();                                                                  // wait_woken
/// }
/// drop(QUEUE.finish(&mut slot));                                                      // remove_wait_queue
/// producer.join().expect("the producer does not panic");
/// ```
impl WakeFn for Unparker {
    fn call(&self, _: Events) {
        self.unpark();
    }
}

/// Whether whoever a waker wakes has been woken already and has not run since, so that one wake more would do nothing
/// (`try_to_wake_up` returning 0). When that cannot be known the answer is no.
///
/// It is asked under the lock around a list: it may read atomics, and nothing else.
pub type IsAwake = fn(&Waker) -> bool;

/// What an entry calls when it is told.
#[derive(Clone)]
pub enum Func {
    /// Schedules a task, or unparks a thread. The entry leaves the list when it is told (`autoremove_wake_function`).
    Waker(Waker),
    /// The entry stays.
    Callback(Arc<dyn WakeFn>),
}

impl fmt::Debug for Func {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Func::Waker(waker) => f.debug_tuple("Waker").field(waker).finish(),
            Func::Callback(func) => f.debug_tuple("Callback").field(&Arc::as_ptr(func)).finish(),
        }
    }
}
