//! What is asked of an epoll and what it answers: `struct epoll_event` and its bits.

use crate::epoll::error::CtlError;
use wakeline_runtime::wait_queue::Events;

bitflags::bitflags! {
    /// What a program wants to hear of a file, and what it is told; the bits are those of `epoll_ctl(2)`.
    ///
    /// `ERR` and `HUP` are told whether or not they are asked for.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct EpollFlags: u32 {
        /// There is something to read.
        const IN = Events::IN.bits();
        /// There is urgent data.
        const PRI = Events::PRI.bits();
        /// There is room to write.
        const OUT = Events::OUT.bits();
        /// An error is pending.
        const ERR = Events::ERR.bits();
        /// Both directions are closed.
        const HUP = Events::HUP.bits();
        /// Normal data to read.
        const RDNORM = Events::RDNORM.bits();
        /// Priority-band data to read.
        const RDBAND = Events::RDBAND.bits();
        /// Room for normal data.
        const WRNORM = Events::WRNORM.bits();
        /// Room for priority-band data.
        const WRBAND = Events::WRBAND.bits();
        /// A message; no file ever tells of it.
        const MSG = Events::MSG.bits();
        /// The peer has closed its direction.
        const RDHUP = Events::RDHUP.bits();
        /// Of all epolls with this flag one event of the file wakes one that sleeps, where without it all would wake.
        const EXCLUSIVE = 1 << 28;
        /// Keeps a machine from going to sleep. Taken and ignored, as Linux does without `CAP_BLOCK_SUSPEND`.
        const WAKEUP = 1 << 29;
        /// After one event nothing more is told until the item is modified.
        const ONESHOT = 1 << 30;
        /// Edge-triggered: told once for each arrival, not again and again while it lasts.
        const ET = 1 << 31;
    }
}

impl EpollFlags {
    /// `EP_PRIVATE_BITS`: how to tell, as opposed to what.
    const PRIVATE: EpollFlags =
        EpollFlags::WAKEUP.union(EpollFlags::ONESHOT).union(EpollFlags::ET).union(EpollFlags::EXCLUSIVE);
    /// `EPOLLEXCLUSIVE_OK_BITS`
    const WITH_EXCLUSIVE: EpollFlags = EpollFlags::IN
        .union(EpollFlags::OUT)
        .union(EpollFlags::ERR)
        .union(EpollFlags::HUP)
        .union(EpollFlags::WAKEUP)
        .union(EpollFlags::ET)
        .union(EpollFlags::EXCLUSIVE);

    /// What of a file's state is wanted.
    pub(crate) fn events(self) -> Events {
        Events::from_bits_truncate(self.difference(EpollFlags::PRIVATE).bits())
    }

    /// Some of a file's state, as it is told.
    pub(crate) fn of(events: Events) -> EpollFlags {
        EpollFlags::from_bits_truncate(events.bits()).difference(EpollFlags::PRIVATE)
    }

    /// What a one-shot item has left once it was told: nothing is wanted.
    pub(crate) fn disarmed(self) -> EpollFlags {
        self & EpollFlags::PRIVATE
    }

    /// What `EPOLL_CTL_ADD` may ask for about a file, which `is_epoll` or not.
    ///
    /// # Errors
    /// `Invalid` for what `EXCLUSIVE` can not be combined with: `ONESHOT`, `RDHUP`, `PRI` and the others that are not
    /// `IN`, `OUT` or about errors, and an epoll within an epoll.
    pub(crate) fn check_add(self, is_epoll: bool) -> Result<EpollFlags, CtlError> {
        if self.contains(EpollFlags::EXCLUSIVE) && (is_epoll || !EpollFlags::WITH_EXCLUSIVE.contains(self)) {
            return Err(CtlError::Invalid);
        }
        Ok(self | EpollFlags::ERR | EpollFlags::HUP)
    }

    /// What `EPOLL_CTL_MOD` may ask for.
    ///
    /// # Errors
    /// `Invalid` for `EXCLUSIVE`: who waits how is decided when an item is added.
    pub(crate) fn check_mod(self) -> Result<EpollFlags, CtlError> {
        if self.contains(EpollFlags::EXCLUSIVE) {
            return Err(CtlError::Invalid);
        }
        Ok(self | EpollFlags::ERR | EpollFlags::HUP)
    }

    /// Whether an exclusive item's epoll takes an event for itself, so that no other is asked (`ewake` in
    /// `ep_poll_callback`): one about reading if it wants to read, one about writing if it wants to write, any other.
    pub(crate) fn claims(self, key: Events) -> bool {
        let about = key & (Events::IN | Events::OUT);
        if about == Events::IN {
            self.contains(EpollFlags::IN)
        } else if about == Events::OUT {
            self.contains(EpollFlags::OUT)
        } else {
            // A wake without a key, which here has every bit, is about both, and Linux's about neither.
            about.is_empty() || key == Events::ANY
        }
    }
}

/// `struct epoll_event`: what is wanted of a file, or was told of it, and the program's own word for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// What is wanted, or what holds.
    pub events: EpollFlags,
    /// Given back with each event, and not looked at.
    pub data: u64,
}

impl Event {
    /// These flags and this word.
    #[must_use]
    pub const fn new(events: EpollFlags, data: u64) -> Event {
        Event { events, data }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn exclusive_is_refused_as_linux_refuses_it() {
        let check = |flags: EpollFlags, is_epoll, allowed| {
            assert_eq!((flags | EpollFlags::EXCLUSIVE).check_add(is_epoll).is_ok(), allowed, "{flags:?}");
        };
        check(EpollFlags::IN, false, true);
        check(EpollFlags::IN | EpollFlags::OUT | EpollFlags::ERR | EpollFlags::HUP | EpollFlags::ET, false, true);
        check(EpollFlags::IN | EpollFlags::WAKEUP, false, true);
        check(EpollFlags::IN, true, false);
        for refused in [EpollFlags::ONESHOT, EpollFlags::RDHUP, EpollFlags::PRI, EpollFlags::RDNORM] {
            check(EpollFlags::IN | refused, false, false);
        }
        assert!((EpollFlags::IN | EpollFlags::EXCLUSIVE).check_mod().is_err());
    }

    #[test]
    fn what_is_told_and_how_are_apart() {
        let asked = EpollFlags::IN | EpollFlags::RDHUP | EpollFlags::ET | EpollFlags::ONESHOT;
        assert_eq!(asked.events(), Events::IN | Events::RDHUP);
        assert_eq!(asked.disarmed(), EpollFlags::ET | EpollFlags::ONESHOT);
        assert!(!EpollFlags::of(Events::ANY).intersects(EpollFlags::PRIVATE));
    }

    #[test]
    fn an_exclusive_item_claims_what_it_wants() {
        let check = |wanted: EpollFlags, key, claims| assert_eq!(wanted.claims(key), claims, "{wanted:?} {key:?}");
        check(EpollFlags::IN, Events::READABLE, true);
        check(EpollFlags::IN, Events::WRITABLE, false);
        check(EpollFlags::OUT, Events::WRITABLE, true);
        check(EpollFlags::OUT, Events::READABLE, false);
        check(EpollFlags::OUT, Events::ERR, true);
        check(EpollFlags::IN, Events::ANY, true);
        check(EpollFlags::IN | EpollFlags::OUT, Events::IN | Events::OUT, false);
    }
}
