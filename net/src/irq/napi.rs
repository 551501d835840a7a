//! The NAPI word: who owns a poll instance, and whether something came while it was owned.
//!
//! # State
//! The kernel's bits, by their names and numbers.
//! ```text
//!   added: SCHED|NPSVC|LISTED <--------------------------------------------+
//!      | enable                                                            | try_disable, after disable_begin
//!      v     schedule_prep (true), watchdog (true)     complete_done (Idle)|
//!    idle ------------------------------------> SCHED ------------------> idle
//!      |                                          | schedule_prep (false)
//!      | busy_poll_begin                          v
//!      v                                SCHED|MISSED --- complete_done (Again): SCHED, polled once more
//!    SCHED|IN_BUSY_POLL -- busy_poll_end: SCHED, completed as after any poll
//! ```
//! This is the cure for a packet that lands between the last look at the ring and the unmasking of its line: whoever
//! tries to schedule an instance that is being polled leaves `MISSED`, and the owner can not complete past it. The same
//! pattern, an owner bit and an "again" bit, is in the task's state word and in an edge-triggered interrupt.

use crate::atomic::{AtomicU32, Ordering};

/// One poll instance's word.
#[derive(Debug)]
pub(crate) struct Napi(AtomicU32);

/// Somebody owns the instance.
const SCHED: u32 = 1 << 0;
/// Somebody else has tried to.
const MISSED: u32 = 1 << 1;
/// It is being disabled: nobody may become the owner.
const DISABLE: u32 = 1 << 2;
/// It is disabled.
const NPSVC: u32 = 1 << 3;
/// It belongs to a device.
const LISTED: u32 = 1 << 4;
/// Nobody may poll it busily.
const NO_BUSY_POLL: u32 = 1 << 5;
/// A thread that waits for packets owns it.
const IN_BUSY_POLL: u32 = 1 << 6;
/// One would rather: the softirq gives it up.
const PREFER_BUSY_POLL: u32 = 1 << 7;
/// A thread of its own polls it instead of the softirq.
const THREADED: u32 = 1 << 8;
/// And is to do so now.
const SCHED_THREADED: u32 = 1 << 9;
/// Not of the kernel's: a completion has to look at the instance's settings. What nobody has set costs nothing so.
const TUNED: u32 = 1 << 16;

/// What the owner of an instance must do after it said that its ring is empty.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completed {
    /// Ownership is given up: unmask the line.
    Idle,
    /// Something came meanwhile; still owned: poll again.
    Again,
    /// A busy poller owns it: it will complete by itself.
    Kept,
    /// Its settings decide: [`Napi::complete_anyway`] gives it up.
    Tuned,
}

/// Who is to poll an instance that was scheduled.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheduled {
    /// Somebody has it already, or nobody may.
    No,
    /// The softirq: put it on a poll list.
    Softirq,
    /// Its thread: wake it.
    Thread,
}

/// What came of the wish to poll busily.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BusyPoll {
    /// The caller is the owner.
    Owned,
    /// Somebody else is.
    Busy,
}

impl Default for Napi {
    /// `netif_napi_add`, and `napi_enable`.
    fn default() -> Napi {
        let napi = Napi::added();
        napi.enable();
        napi
    }
}

impl Napi {
    /// `netif_napi_add`: an instance that is disabled.
    pub(crate) fn added() -> Napi {
        Napi(AtomicU32::new(SCHED | NPSVC | LISTED))
    }

    /// An instance that nobody may poll busily: a backlog has no device.
    pub(crate) fn without_busy_poll() -> Napi {
        Napi(AtomicU32::new(NO_BUSY_POLL))
    }

    /// `napi_enable`.
    pub(crate) fn enable(&self) {
        let before = self.0.fetch_and(!(SCHED | NPSVC), Ordering::AcqRel);
        debug_assert!(before & SCHED != 0, "an instance is enabled once");
    }

    /// `napi_schedule_prep` and the choice of `__napi_schedule`: exactly one caller becomes the owner.
    #[inline]
    pub(crate) fn schedule_prep(&self) -> Scheduled {
        let before = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
            if state & DISABLE != 0 {
                return None;
            }
            let again = if state & SCHED != 0 { MISSED } else { 0 };
            let thread = if state & (THREADED | SCHED) == THREADED { SCHED_THREADED } else { 0 };
            Some(state | SCHED | again | thread)
        });
        match before {
            Ok(state) if state & SCHED == 0 => Napi::by_whom(state),
            _ => Scheduled::No,
        }
    }

    /// `napi_watchdog`: as [`schedule_prep`](Napi::schedule_prep), but an owner is left alone, and no preference counts any more.
    pub(crate) fn watchdog(&self) -> Scheduled {
        let before = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
            let thread = if state & THREADED != 0 { SCHED_THREADED } else { 0 };
            (state & (DISABLE | SCHED) == 0).then_some((state | SCHED | thread) & !PREFER_BUSY_POLL)
        });
        before.map_or(Scheduled::No, Napi::by_whom)
    }

    fn by_whom(before: u32) -> Scheduled {
        if before & THREADED != 0 { Scheduled::Thread } else { Scheduled::Softirq }
    }

    /// `napi_complete_done`: the owner has found less than its weight.
    #[inline]
    pub(crate) fn complete_done(&self) -> Completed {
        self.complete(NPSVC | IN_BUSY_POLL | TUNED)
    }

    /// The same for an instance with settings, which have been looked at.
    pub(crate) fn complete_anyway(&self) -> Completed {
        self.complete(NPSVC | IN_BUSY_POLL)
    }

    #[inline]
    fn complete(&self, unless: u32) -> Completed {
        let before = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
            if state & unless != 0 {
                return None;
            }
            let keep = if state & MISSED != 0 { SCHED | (state & SCHED_THREADED) } else { 0 };
            Some((state & !(SCHED | MISSED | SCHED_THREADED | PREFER_BUSY_POLL)) | keep)
        });
        match before {
            Ok(before) => {
                debug_assert!(before & SCHED != 0, "only an owner completes");
                if before & MISSED != 0 { Completed::Again } else { Completed::Idle }
            }
            Err(state) if state & (NPSVC | IN_BUSY_POLL) != 0 => Completed::Kept,
            Err(_) => Completed::Tuned,
        }
    }

    /// Takes ownership for a thread that waits, unless there is an owner; `prefer` asks that one to hurry.
    pub(crate) fn busy_poll_begin(&self, prefer: bool) -> BusyPoll {
        let mut owned = false;
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
            owned = state & (DISABLE | SCHED | IN_BUSY_POLL | NO_BUSY_POLL) == 0;
            if owned {
                return Some(state | SCHED | IN_BUSY_POLL);
            }
            (prefer && state & NO_BUSY_POLL == 0).then_some(state | PREFER_BUSY_POLL)
        });
        if owned { BusyPoll::Owned } else { BusyPoll::Busy }
    }

    /// `busy_poll_stop`: the thread owns it as a softirq would, and has to complete.
    pub(crate) fn busy_poll_end(&self) {
        // What was missed meanwhile is seen by the poll that follows.
        let before = self.0.fetch_and(!(MISSED | IN_BUSY_POLL), Ordering::AcqRel);
        debug_assert!(before & (SCHED | IN_BUSY_POLL) == SCHED | IN_BUSY_POLL, "only a busy poller ends busy polling");
    }

    /// Whether a thread that polls busily would rather own it.
    pub(crate) fn prefers_busy_poll(&self) -> bool {
        self.0.load(Ordering::Acquire) & PREFER_BUSY_POLL != 0
    }

    /// Says that it does, until the next completion or watchdog.
    pub(crate) fn prefer_busy_poll(&self) {
        self.0.fetch_or(PREFER_BUSY_POLL, Ordering::AcqRel);
    }

    /// Whether somebody owns it, or nobody may.
    pub(crate) fn is_owned(&self) -> bool {
        self.0.load(Ordering::Acquire) & SCHED != 0
    }

    /// Whether its thread is to poll it now.
    #[cfg(test)]
    pub(crate) fn is_scheduled_threaded(&self) -> bool {
        self.0.load(Ordering::Acquire) & SCHED_THREADED != 0
    }

    /// `dev_set_threaded`. Who polls it now goes on until it completes.
    pub(crate) fn set_threaded(&self, threaded: bool) {
        if threaded {
            self.0.fetch_or(THREADED, Ordering::AcqRel);
        } else {
            self.0.fetch_and(!THREADED, Ordering::AcqRel);
        }
    }

    /// Whether a completion has to look at the instance's settings.
    pub(crate) fn set_tuned(&self, tuned: bool) {
        if tuned {
            self.0.fetch_or(TUNED, Ordering::AcqRel);
        } else {
            self.0.fetch_and(!TUNED, Ordering::AcqRel);
        }
    }

    /// See [`set_tuned`](Napi::set_tuned).
    pub(crate) fn is_tuned(&self) -> bool {
        self.0.load(Ordering::Relaxed) & TUNED != 0
    }

    /// `napi_disable`, first half: nobody can become the owner from here on.
    pub(crate) fn disable_begin(&self) {
        self.0.fetch_or(DISABLE, Ordering::AcqRel);
    }

    /// Whether somebody waits for the owner to finish.
    #[inline]
    pub(crate) fn is_disable_pending(&self) -> bool {
        self.0.load(Ordering::Acquire) & DISABLE != 0
    }

    /// `napi_disable`, second half: takes ownership for good once there is no owner. To be tried until it succeeds.
    #[must_use]
    pub(crate) fn try_disable(&self) -> bool {
        let taken = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
            let gone = (state | SCHED | NPSVC) & !(DISABLE | THREADED | PREFER_BUSY_POLL);
            (state & (SCHED | NPSVC) == 0).then_some(gone)
        });
        taken.is_ok()
    }

    /// The owner gives up an instance that is being disabled, whatever it has missed.
    pub(crate) fn release(&self) {
        self.0.fetch_and(!(SCHED | MISSED | SCHED_THREADED | PREFER_BUSY_POLL), Ordering::AcqRel);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Row 17: one owner however many try, and the others leave MISSED.
    #[test]
    fn one_of_many_becomes_the_owner() {
        let napi = Napi::default();
        let owners: usize = std::thread::scope(|scope| {
            let owns = || napi.schedule_prep() != Scheduled::No;
            let tries: Vec<_> = (0..20).map(|_| scope.spawn(move || (0..50).filter(|_| owns()).count())).collect();
            tries.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(owners, 1);
        assert_eq!(napi.complete_done(), Completed::Again);
        assert_eq!(napi.complete_done(), Completed::Idle);
        assert_eq!(napi.schedule_prep(), Scheduled::Softirq);
    }

    /// `netif_napi_add` leaves it disabled; `napi_disable` takes it only from nobody, and gives it to nobody.
    #[test]
    fn a_disabled_instance_has_no_new_owner() {
        let napi = Napi::added();
        assert_eq!(napi.schedule_prep(), Scheduled::No);
        napi.enable();
        assert_eq!(napi.complete_or_no_owner(), None);
        assert_eq!(napi.schedule_prep(), Scheduled::Softirq);
        assert_eq!(napi.complete_done(), Completed::Again, "what was tried before it was enabled is remembered");
        napi.disable_begin();
        assert!(napi.is_disable_pending() && !napi.try_disable(), "it has an owner");
        assert_eq!((napi.schedule_prep(), napi.watchdog()), (Scheduled::No, Scheduled::No));
        assert_eq!(napi.complete_done(), Completed::Idle);
        assert!(napi.try_disable() && !napi.is_disable_pending());
        assert_eq!((napi.schedule_prep(), napi.watchdog()), (Scheduled::No, Scheduled::No));
        assert_eq!(napi.busy_poll_begin(false), BusyPoll::Busy);
        napi.enable();
        // What was tried meanwhile is forgotten with it.
        assert_eq!(napi.watchdog(), Scheduled::Softirq);
    }

    #[test]
    fn a_busy_poller_owns_it_until_it_completes() {
        let napi = Napi::default();
        assert_eq!(napi.busy_poll_begin(false), BusyPoll::Owned);
        assert_eq!(napi.busy_poll_begin(true), BusyPoll::Busy);
        assert_eq!((napi.schedule_prep(), napi.complete_done()), (Scheduled::No, Completed::Kept));
        napi.busy_poll_end();
        assert!(napi.prefers_busy_poll());
        assert_eq!(napi.complete_done(), Completed::Idle, "the poll after the end has seen what was missed");
        assert!(!napi.prefers_busy_poll());
        assert_eq!(Napi::without_busy_poll().busy_poll_begin(true), BusyPoll::Busy);
    }

    #[test]
    fn the_watchdog_leaves_an_owner_alone() {
        let napi = Napi::default();
        assert_eq!((napi.schedule_prep(), napi.watchdog()), (Scheduled::Softirq, Scheduled::No));
        assert_eq!(napi.complete_done(), Completed::Idle, "nothing is missed by it");
        napi.prefer_busy_poll();
        assert_eq!((napi.watchdog(), napi.prefers_busy_poll()), (Scheduled::Softirq, false));
    }

    #[test]
    fn a_threaded_instance_is_polled_by_its_thread_until_it_is_not() {
        let napi = Napi::default();
        napi.set_threaded(true);
        assert_eq!((napi.schedule_prep(), napi.is_scheduled_threaded()), (Scheduled::Thread, true));
        napi.set_threaded(false);
        assert!(napi.is_scheduled_threaded(), "who has it goes on");
        assert_eq!((napi.complete_done(), napi.is_scheduled_threaded()), (Completed::Idle, false));
        assert_eq!(napi.schedule_prep(), Scheduled::Softirq);
    }

    impl Napi {
        fn complete_or_no_owner(&self) -> Option<Completed> {
            (self.0.load(Ordering::Acquire) & SCHED != 0).then(|| self.complete_done())
        }
    }
}
