//! The NAPI word: who owns a poll instance, and whether something came while it was owned.
//!
//! # State
//! ```text
//!            schedule_prep (true)                    complete_done (Idle)
//!   idle ------------------------> SCHED --------------------------------> idle
//!                                    | schedule_prep (false)                ^
//!                                    v                                      |
//!                              SCHED|MISSED --- complete_done (Again): SCHED, polled once more
//! ```
//! This is the cure for a packet that lands between the last look at the ring and the unmasking of its line: whoever
//! tries to schedule an instance that is being polled leaves `MISSED`, and the owner can not complete past it. The same
//! pattern, an owner bit and an "again" bit, is in the task's state word and in an edge-triggered interrupt.

use std::sync::atomic::{AtomicU32, Ordering};

/// One poll instance's word.
#[derive(Debug, Default)]
pub(crate) struct Napi(AtomicU32);

const SCHED: u32 = 1 << 0;
const MISSED: u32 = 1 << 1;
const DISABLE: u32 = 1 << 2;

/// What the owner of an instance must do after it said that its ring is empty.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completed {
    /// Ownership is given up: unmask the line.
    Idle,
    /// Something came meanwhile; still owned: poll again.
    Again,
}

impl Napi {
    /// Tries to become the owner; `true` for exactly one caller, who must put the instance on a poll list.
    pub(crate) fn schedule_prep(&self) -> bool {
        let before = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
            if state & DISABLE != 0 {
                return None;
            }
            Some(state | SCHED | if state & SCHED != 0 { MISSED } else { 0 })
        });
        before.is_ok_and(|before| before & SCHED == 0)
    }

    /// The owner has found less than its weight.
    pub(crate) fn complete_done(&self) -> Completed {
        let before = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
            let keep = if state & MISSED != 0 { SCHED } else { 0 };
            Some((state & !(SCHED | MISSED)) | keep)
        });
        match before {
            Ok(before) | Err(before) if before & MISSED != 0 => Completed::Again,
            _ => Completed::Idle,
        }
    }

    /// Whether it is never polled again.
    pub(crate) fn is_disabled(&self) -> bool {
        self.0.load(Ordering::Acquire) & DISABLE != 0
    }

    /// Nobody can become the owner from here on.
    pub(crate) fn disable(&self) {
        self.0.fetch_or(DISABLE, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RXPATH row 17: one owner however many try, and the others leave MISSED.
    #[test]
    fn one_of_many_becomes_the_owner() {
        let napi = Napi::default();
        let owners: usize = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..16).map(|_| scope.spawn(|| usize::from(napi.schedule_prep()))).collect();
            tries.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(owners, 1);
        assert_eq!(napi.complete_done(), Completed::Again);
        assert_eq!(napi.complete_done(), Completed::Idle);
        assert!(napi.schedule_prep());
    }

    #[test]
    fn a_disabled_instance_has_no_new_owner() {
        let napi = Napi::default();
        napi.disable();
        assert!(!napi.schedule_prep());
    }
}
