//! The word of a watch channel, and who holds its two ends.
//!
//! # State
//! ```text
//!   63 .. 9: version     how often the value was sent; wraps
//!    8 .. 1: crowds      bit n: somebody may wait in crowd n
//!         0: closed      the last sender is gone
//! ```
//! They are one word so that a sender learns in the step in which it publishes a version which crowds it has to tell, and a
//! receiver in the step in which it announces itself whether there is a newer version. Of the two steps one comes first;
//! whoever comes second sees the other.
//!
//! A crowd's bit changes only under that crowd's lock. It is set before anybody waits there, and cleared by a sender that
//! came for nothing: so a receiver that always comes back announces itself once.

use crate::atomic::{AtomicU64, AtomicUsize, Ordering};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct State {
    word: AtomicU64,
    senders: AtomicUsize,
    receivers: AtomicUsize,
}

/// Which value somebody has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version(u64);

/// The word at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot(u64);

/// In how many crowds receivers wait.
pub(crate) const CROWDS: usize = 8;

const CLOSED: u64 = 1;
const FIRST_CROWD: u32 = 1;
const VERSION_STEP: u64 = 1 << (FIRST_CROWD + CROWDS as u32);

impl State {
    /// Of a channel with one sender and no receiver yet.
    pub(crate) fn new() -> State {
        State { word: AtomicU64::new(0), senders: AtomicUsize::new(1), receivers: AtomicUsize::new(0) }
    }

    #[inline]
    pub(crate) fn load(&self) -> Snapshot {
        // Acquire pairs with the Release of `publish` and `close`.
        Snapshot(self.word.load(Ordering::Acquire))
    }

    /// Under the value's lock: there is a new value. The crowds of the answer are to be told.
    #[inline]
    pub(crate) fn publish(&self) -> Snapshot {
        Snapshot(self.word.fetch_add(VERSION_STEP, Ordering::AcqRel))
    }

    /// The last sender is gone. The crowds of the answer are to be told.
    pub(crate) fn close(&self) -> Snapshot {
        Snapshot(self.word.fetch_or(CLOSED, Ordering::AcqRel))
    }

    /// Under a crowd's lock, having joined it: whoever publishes from now on will tell this crowd, and the answer has all
    /// that was published before.
    #[inline]
    pub(crate) fn announce(&self, crowd: usize) -> Snapshot {
        let now = self.load();
        if now.0 & bit(crowd) != 0 {
            // Whoever published after the bit was set comes to this crowd. One that has been here already is seen, because of
            // the lock; one that has not will find the caller.
            return now;
        }
        Snapshot(self.word.fetch_or(bit(crowd), Ordering::AcqRel))
    }

    /// Under a crowd's lock: nobody is there.
    pub(crate) fn withdraw(&self, crowd: usize) {
        // Relaxed: the bit only matters to those who hold the lock, and to publishers, whose step is in one order with this.
        self.word.fetch_and(!bit(crowd), Ordering::Relaxed);
    }

    /// Returns how many receivers there were before.
    pub(crate) fn add_receiver(&self) -> usize {
        // Relaxed: a count. Whoever adds one holds the channel by another.
        self.receivers.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns whether it was the last.
    pub(crate) fn remove_receiver(&self) -> bool {
        // AcqRel: who hears that all receivers are gone sees what they did.
        self.receivers.fetch_sub(1, Ordering::AcqRel) == 1
    }

    #[inline]
    pub(crate) fn receivers(&self) -> usize {
        self.receivers.load(Ordering::Acquire)
    }

    pub(crate) fn add_sender(&self) {
        self.senders.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns whether it was the last.
    pub(crate) fn remove_sender(&self) -> bool {
        self.senders.fetch_sub(1, Ordering::AcqRel) == 1
    }

    pub(crate) fn senders(&self) -> usize {
        self.senders.load(Ordering::Relaxed)
    }
}

const fn bit(crowd: usize) -> u64 {
    1 << (FIRST_CROWD as usize + crowd)
}

impl Snapshot {
    #[inline]
    pub(crate) fn version(self) -> Version {
        Version(self.0 & !(VERSION_STEP - 1))
    }

    #[inline]
    pub(crate) fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    /// The crowds in which somebody may wait, lowest first.
    pub(crate) fn crowds(self) -> impl Iterator<Item = usize> {
        let mut left = (self.0 & (VERSION_STEP - 1)) >> FIRST_CROWD;
        std::iter::from_fn(move || {
            let crowd = (left != 0).then_some(left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(crowd)
        })
    }
}

impl Version {
    /// One that differs from the present one, and from all that come in any foreseeable time.
    pub(crate) fn before(self) -> Version {
        Version(self.0.wrapping_sub(VERSION_STEP))
    }
}
