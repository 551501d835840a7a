//! The state word of a task: the one file that reads or writes it.
//!
//! Each transition is a verb and returns what the caller has to do now. The diagram is in the [module's](super) doc; the
//! numbers in the comments are its arrows. All successful transitions are `AcqRel`: a transition hands something over
//! (the right to poll, the output, the join waker, the last reference) from whoever wrote the word last to whoever
//! writes it next, so each one both publishes and takes.

use crate::atomic::{AtomicUsize, Ordering};

/// Somebody polls the task, or drops its future: that thread owns the stage.
const RUNNING: usize = 1;
/// The output is stored (or was dropped); never leaves the word again.
const COMPLETE: usize = 1 << 1;
/// The task is in a queue, or its poller must put it there.
const NOTIFIED: usize = 1 << 2;
/// Whoever polls next drops the future instead.
const CANCELLED: usize = 1 << 3;
/// A `JoinHandle` exists and will want the output.
const JOIN_INTEREST: usize = 1 << 4;
/// The join waker is set and belongs to the side that completes the task; clear, it belongs to the `JoinHandle`.
const JOIN_WAKER: usize = 1 << 5;
/// What is above the flags counts the references.
const REF_ONE: usize = 1 << 6;

/// The word.
#[derive(Debug)]
pub(super) struct State(AtomicUsize);

/// What to do with a task taken from a queue.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StartPoll {
    /// Poll it. The queue's reference is now the poller's.
    Poll,
    /// Drop its future. The queue's reference is now the poller's.
    Cancel,
    /// Nothing: it is complete or someone else has it. The queue's reference is gone.
    Stale,
    /// As `Stale`, and that was the last reference: free the task.
    StaleLast,
}

/// What to do after a poll that returned `Pending`.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FinishPoll {
    /// Nothing: the next wake schedules it. The poller's reference is gone.
    Idle,
    /// As `Idle`, and that was the last reference: free the task.
    IdleLast,
    /// It was woken meanwhile: put it at the end of the queue. The poller's reference is now the queue's.
    Again,
    /// It was aborted meanwhile: drop its future. Still running.
    Cancel,
}

/// What to do after a wake that consumed its waker.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WakeByValue {
    /// Schedule it; the waker's reference is now the queue's.
    Schedule,
    /// Nothing: it will be polled anyway, or never again. The waker's reference is gone.
    Done,
    /// As `Done`, and that was the last reference: free the task.
    DoneLast,
}

/// What to do after a wake by reference, or an abort.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WakeByRef {
    /// Schedule it, with a reference that has just been made for the queue.
    Schedule,
    /// Nothing.
    Done,
}

/// What to do with a task that is being shut down.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shutdown {
    /// Its future is the caller's now: drop it and complete.
    Cancel,
    /// It is complete, or its poller will see that it is cancelled.
    Elsewhere,
}

/// What to do after the task has become complete.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Complete {
    /// Nothing: the `JoinHandle` will find the output. The given references are gone.
    Done,
    /// Take the join waker and wake it, then drop the given references.
    WakeJoiner,
    /// Nobody wants the output: drop it, then drop the given references.
    DropOutput,
}

/// What the `JoinHandle` has to do when it looks at a task.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Join {
    /// The output is there and is the handle's.
    Complete,
    /// Not complete, and the waker field is the handle's.
    FieldIsMine,
    /// Not complete, and the waker field is the completing side's.
    FieldIsSet,
}

/// What a dropped `JoinHandle` has to do.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DropJoin {
    /// Nothing: the handle's reference is gone.
    Done,
    /// As `Done`, and that was the last reference: free the task.
    DoneLast,
    /// The task is complete: drop the output if it is still there, then drop the reference.
    OutputIsMine,
    /// Drop the join waker, then drop the reference.
    WakerIsMine,
}

/// Whether others still hold references.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DropRefs {
    Alive,
    /// Free the task.
    Last,
}

impl State {
    /// A task that is about to be queued, with a `JoinHandle` and `refs` references.
    pub(super) fn new(refs: usize) -> State {
        State(AtomicUsize::new((refs * REF_ONE) | NOTIFIED | JOIN_INTEREST))
    }

    /// Arrows 2 and 7: a queued task is about to be polled.
    pub(super) fn start_poll(&self) -> StartPoll {
        self.update(|now| {
            debug_assert!(now & (NOTIFIED | COMPLETE | RUNNING) != 0, "a queue held a task that nobody notified");
            if now & (RUNNING | COMPLETE) != 0 {
                let next = now - REF_ONE;
                return (next, if next < REF_ONE { StartPoll::StaleLast } else { StartPoll::Stale });
            }
            let what = if now & CANCELLED != 0 { StartPoll::Cancel } else { StartPoll::Poll };
            (now & !NOTIFIED | RUNNING, what)
        })
    }

    /// Arrows 3, 4 and 8: a poll returned `Pending`.
    pub(super) fn finish_poll(&self) -> FinishPoll {
        self.update(|now| {
            debug_assert!(now & RUNNING != 0 && now & COMPLETE == 0);
            if now & CANCELLED != 0 {
                return (now, FinishPoll::Cancel);
            }
            if now & NOTIFIED != 0 {
                return (now & !RUNNING, FinishPoll::Again);
            }
            let next = (now & !RUNNING) - REF_ONE;
            (next, if next < REF_ONE { FinishPoll::IdleLast } else { FinishPoll::Idle })
        })
    }

    /// Arrows 1 and 5. Writes the word even when it stays as it is: a task that is already queued must see, when it is
    /// polled, what the waker wrote before this call, and only a write publishes that.
    pub(super) fn wake_by_value(&self) -> WakeByValue {
        self.update(|now| {
            if now & (RUNNING | COMPLETE | NOTIFIED) == 0 {
                return (now | NOTIFIED, WakeByValue::Schedule);
            }
            let next = (now | NOTIFIED) - REF_ONE;
            (next, if next < REF_ONE { WakeByValue::DoneLast } else { WakeByValue::Done })
        })
    }

    /// Arrows 1 and 5, for a waker that stays.
    pub(super) fn wake_by_ref(&self) -> WakeByRef {
        self.update(|now| {
            if now & (RUNNING | COMPLETE | NOTIFIED) == 0 {
                return (checked_ref_inc(now) | NOTIFIED, WakeByRef::Schedule);
            }
            (now | NOTIFIED, WakeByRef::Done)
        })
    }

    /// Arrows 1 and 5 with `CANCELLED`: the task shall end, wherever it is.
    pub(super) fn abort(&self) -> WakeByRef {
        self.update(|now| {
            if now & (RUNNING | COMPLETE | NOTIFIED) == 0 {
                return (checked_ref_inc(now) | NOTIFIED | CANCELLED, WakeByRef::Schedule);
            }
            if now & COMPLETE != 0 {
                return (now, WakeByRef::Done);
            }
            (now | NOTIFIED | CANCELLED, WakeByRef::Done)
        })
    }

    /// Arrow 7, without a queue: the runtime ends.
    pub(super) fn shutdown(&self) -> Shutdown {
        self.update(|now| {
            if now & (RUNNING | COMPLETE) != 0 {
                return (now | CANCELLED, Shutdown::Elsewhere);
            }
            (now | CANCELLED | RUNNING, Shutdown::Cancel)
        })
    }

    /// Arrow 6: the stage holds the output. `refs` references go too, unless the answer says that the caller still
    /// needs them.
    pub(super) fn complete(&self, refs: usize) -> Complete {
        self.update(|now| {
            debug_assert!(now & RUNNING != 0 && now & COMPLETE == 0);
            let next = now & !(RUNNING | JOIN_WAKER) | COMPLETE;
            if now & JOIN_INTEREST == 0 {
                (next, Complete::DropOutput)
            } else if now & JOIN_WAKER != 0 {
                (next, Complete::WakeJoiner)
            } else {
                debug_assert!(now / REF_ONE > refs, "the JoinHandle has a reference of its own");
                (next - refs * REF_ONE, Complete::Done)
            }
        })
    }

    /// Whether it will be polled again for a wake that has come already: one more would do nothing.
    pub(super) fn is_notified(&self) -> bool {
        // Relaxed: whoever asks holds the lock under which the task will look. If this reads an old word, from before a poll
        // that began in the meantime, then that poll looks after the lock was released; if the word is new, the poll that
        // it promises has not begun.
        self.0.load(Ordering::Relaxed) & NOTIFIED != 0
    }

    /// Whether the output is there; when it says yes, all that the task wrote is visible.
    pub(super) fn is_complete(&self) -> bool {
        self.0.load(Ordering::Acquire) & COMPLETE != 0
    }

    /// How the `JoinHandle` finds the task.
    pub(super) fn look(&self) -> Join {
        // Acquire pairs with `complete`: the output is visible.
        let now = self.0.load(Ordering::Acquire);
        if now & COMPLETE != 0 {
            Join::Complete
        } else if now & JOIN_WAKER != 0 {
            Join::FieldIsSet
        } else {
            Join::FieldIsMine
        }
    }

    /// Hands the join waker to the completing side; answers `Complete` (and the field stays the handle's) or `FieldIsSet`.
    pub(super) fn offer_join_waker(&self) -> Join {
        self.update(|now| {
            debug_assert!(now & JOIN_INTEREST != 0 && now & JOIN_WAKER == 0);
            if now & COMPLETE != 0 { (now, Join::Complete) } else { (now | JOIN_WAKER, Join::FieldIsSet) }
        })
    }

    /// Takes the join waker back; answers `Complete` (too late) or `FieldIsMine`.
    pub(super) fn reclaim_join_waker(&self) -> Join {
        self.update(
            |now| {
                if now & COMPLETE != 0 { (now, Join::Complete) } else { (now & !JOIN_WAKER, Join::FieldIsMine) }
            },
        )
    }

    /// The `JoinHandle` goes: the task is detached.
    pub(super) fn drop_join(&self) -> DropJoin {
        if self.is_complete() {
            return DropJoin::OutputIsMine;
        }
        self.update(|now| {
            if now & COMPLETE != 0 {
                (now, DropJoin::OutputIsMine)
            } else if now & JOIN_WAKER != 0 {
                (now & !(JOIN_INTEREST | JOIN_WAKER), DropJoin::WakerIsMine)
            } else {
                let next = (now & !JOIN_INTEREST) - REF_ONE;
                (next, if next < REF_ONE { DropJoin::DoneLast } else { DropJoin::Done })
            }
        })
    }

    /// One more reference, made from one that the caller holds.
    pub(super) fn ref_inc(&self) {
        // Relaxed: a reference is only made from another one, and handing it to another thread is what publishes it.
        let before = self.0.fetch_add(REF_ONE, Ordering::Relaxed);
        checked_ref_inc(before);
    }

    /// Gives up `refs` references that the caller holds.
    pub(super) fn drop_refs(&self, refs: usize) -> DropRefs {
        // Only a holder makes new references, so a caller that holds all of them is alone, and needs no write to say so.
        // Acquire pairs with the Release of those who left before.
        if self.0.load(Ordering::Acquire) / REF_ONE == refs {
            return DropRefs::Last;
        }
        let before = self.0.fetch_sub(refs * REF_ONE, Ordering::AcqRel);
        debug_assert!(before / REF_ONE >= refs, "more references were given up than made");
        if before / REF_ONE == refs { DropRefs::Last } else { DropRefs::Alive }
    }

    #[inline]
    fn update<R>(&self, mut step: impl FnMut(usize) -> (usize, R)) -> R {
        let mut now = self.0.load(Ordering::Acquire);
        loop {
            let (next, what) = step(now);
            match self.0.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return what,
                Err(found) => now = found,
            }
        }
    }
}

/// Two threads that leak wakers for a century could wrap the count, and then free a task in use: better no process.
fn checked_ref_inc(now: usize) -> usize {
    if now > isize::MAX as usize {
        std::process::abort();
    }
    now + REF_ONE
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// docs/rxpath.md, row 54: however often a running task is woken, it is queued once more, not more.
    #[test]
    fn n_wakes_while_running_queue_the_task_once() {
        let state = State::new(3);
        assert_eq!(state.start_poll(), StartPoll::Poll);
        for _ in 0..10 {
            assert_eq!(state.wake_by_ref(), WakeByRef::Done);
        }
        assert_eq!(state.finish_poll(), FinishPoll::Again);
        for _ in 0..10 {
            assert_eq!(state.wake_by_ref(), WakeByRef::Done);
        }
        assert_eq!(state.start_poll(), StartPoll::Poll);
        assert_eq!(state.finish_poll(), FinishPoll::Idle);
        assert_eq!(state.wake_by_ref(), WakeByRef::Schedule);
    }

    #[test]
    fn an_abort_reaches_the_task_in_every_state() {
        let queued = State::new(3);
        assert_eq!(queued.abort(), WakeByRef::Done);
        assert_eq!(queued.start_poll(), StartPoll::Cancel);

        let running = State::new(3);
        assert_eq!(running.start_poll(), StartPoll::Poll);
        assert_eq!(running.abort(), WakeByRef::Done);
        assert_eq!(running.finish_poll(), FinishPoll::Cancel);

        let idle = State::new(3);
        assert_eq!(idle.start_poll(), StartPoll::Poll);
        assert_eq!(idle.finish_poll(), FinishPoll::Idle);
        assert_eq!(idle.abort(), WakeByRef::Schedule);
        assert_eq!(idle.abort(), WakeByRef::Done, "a second abort changes nothing");
        assert_eq!(idle.start_poll(), StartPoll::Cancel);
        assert_eq!(idle.complete(1), Complete::Done);
        assert_eq!(idle.abort(), WakeByRef::Done, "an abort after completion changes nothing");
    }

    #[test]
    fn a_shut_down_task_makes_its_queue_entry_stale() {
        let state = State::new(3);
        assert_eq!(state.shutdown(), Shutdown::Cancel);
        assert_eq!(state.shutdown(), Shutdown::Elsewhere);
        assert_eq!(state.complete(1), Complete::Done);
        assert_eq!(state.start_poll(), StartPoll::Stale);
        assert_eq!(state.drop_join(), DropJoin::OutputIsMine);
        assert_eq!(state.drop_refs(1), DropRefs::Last);
    }

    #[test]
    fn the_join_waker_changes_hands() {
        let state = State::new(2);
        assert_eq!(state.look(), Join::FieldIsMine);
        assert_eq!(state.offer_join_waker(), Join::FieldIsSet);
        assert_eq!(state.reclaim_join_waker(), Join::FieldIsMine);
        assert_eq!(state.offer_join_waker(), Join::FieldIsSet);
        assert_eq!(state.start_poll(), StartPoll::Poll);
        assert_eq!(state.complete(1), Complete::WakeJoiner);
        assert_eq!(state.look(), Join::Complete);
        assert_eq!(state.drop_refs(1), DropRefs::Alive);
    }

    #[test]
    fn a_detached_task_is_freed_by_its_poller() {
        let state = State::new(2);
        assert_eq!(state.drop_join(), DropJoin::Done);
        assert_eq!(state.start_poll(), StartPoll::Poll);
        assert_eq!(state.complete(1), Complete::DropOutput);
        assert_eq!(state.drop_refs(1), DropRefs::Last);
    }
}
