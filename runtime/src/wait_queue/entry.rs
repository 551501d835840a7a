//! What a waiter is to its list: what it wants to hear of, how it counts, where it stands, and how it left.

use crate::wait_queue::func::Func;

bitflags::bitflags! {
    /// What happened, or what a waiter wants to hear of; the bits are those of `poll(2)` and `epoll(7)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Events: u32 {
        /// There is something to read.
        const IN = 0x001;
        /// There is urgent data.
        const PRI = 0x002;
        /// There is room to write.
        const OUT = 0x004;
        /// An error is pending. Every waiter hears of it.
        const ERR = 0x008;
        /// Both directions are closed. Every waiter hears of it.
        const HUP = 0x010;
        /// Normal data to read.
        const RDNORM = 0x040;
        /// Priority-band data to read.
        const RDBAND = 0x080;
        /// Room for normal data.
        const WRNORM = 0x100;
        /// Room for priority-band data.
        const WRBAND = 0x200;
        /// A message, for signal-driven I/O.
        const MSG = 0x400;
        /// The peer has closed its direction.
        const RDHUP = 0x2000;
        /// The key with which `sock_def_readable` wakes.
        const READABLE = Self::IN.bits() | Self::PRI.bits() | Self::RDNORM.bits() | Self::RDBAND.bits();
        /// The key with which `sock_def_write_space` wakes.
        const WRITABLE = Self::OUT.bits() | Self::WRNORM.bits() | Self::WRBAND.bits();
        /// No key: passes every filter, as a wake without one does in Linux.
        const ANY = !0;
    }
}

impl Events {
    /// An interest as a list keeps it: who wants to hear anything hears of errors and of the end.
    pub(crate) fn widened(self) -> Events {
        if self.is_empty() { self } else { self | Events::ERR | Events::HUP }
    }
}

/// Whether an entry counts against a wake's quota, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Told by every matching wake.
    Shared,
    /// `WQ_FLAG_EXCLUSIVE`: a wake tells only as many of these as its quota allows, longest waiting first.
    Exclusive,
    /// The same at the head, so newest first (`__add_wait_queue_exclusive`): as who sleeps on an epoll set.
    ExclusiveFirst,
}

impl Mode {
    /// What such an entry takes out of a wake's quota.
    pub(crate) fn weight(self) -> u32 {
        u32::from(self != Mode::Shared)
    }
}

/// A place in a [`WaitList`]; stale once the entry has been told or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaitKey {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// Where one future, thread or stream half remembers its place in a list. Empty by default.
///
/// The owner must empty it with `remove` or `finish` before it goes away; a forgotten place costs one stale wake-up and
/// its entry's memory until then.
#[derive(Debug, Default)]
pub struct WaitSlot(pub(crate) Option<WaitKey>);

impl WaitSlot {
    /// A slot that is in no list.
    #[must_use]
    pub const fn new() -> WaitSlot {
        WaitSlot(None)
    }

    /// Whether the owner has joined a list since the slot was last emptied. It may have been told since.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        self.0.is_some()
    }
}

/// How a waiter stood when it was removed.
#[must_use]
#[derive(Debug)]
pub enum Removed {
    /// It was not in the list and had not been told: the slot was empty.
    Absent,
    /// It was still waiting, with this function. Drop it after the lock around the list is released: the drop of a foreign
    /// waker may run any code.
    Waiting(Func),
    /// It had been told. An exclusive waiter that did not use what it was told of must pass the wake on.
    Told,
    /// It had been told by [`WaitList::wake_with`](super::WaitList::wake_with) or
    /// [`WaitList::wake_last_with`](super::WaitList::wake_last_with), which left this note.
    ToldWith(u8),
}

impl Removed {
    /// Whether the waiter had been told, with or without a note.
    #[must_use]
    pub fn is_told(&self) -> bool {
        matches!(self, Removed::Told | Removed::ToldWith(_))
    }
}
