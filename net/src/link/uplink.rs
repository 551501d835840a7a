//! The queue of a port behind which no device of ours stands: frames wait here until somebody carries them on.

use crate::packet::PacketBuf;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use wakeline_runtime::wait_queue::{Events, WaitQueue};

/// Frames that leave a LAN, in order. Whoever carries them on waits in `waiters` for `IN`.
#[derive(Debug, Default)]
pub(crate) struct Uplink {
    state: Mutex<State>,
    pub(crate) waiters: WaitQueue,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<PacketBuf>,
    closed: bool,
}

/// How many frames wait; more are lost. Four times Linux's `txqueuelen`: a sender of ours is not told to pause, as its
/// kernel would tell it, so the queue has to take a whole congestion window.
pub(crate) const UPLINK_QUEUE_LEN: usize = 4000;

/// What became of frames that were pushed.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// All but this many have joined the queue; the rest found it full.
    Queued { lost: usize },
    /// Nobody carries frames on any more; all are lost.
    Closed { lost: usize },
}

impl Uplink {
    /// Adds frames at the end and empties `frames`.
    pub(crate) fn push(&self, frames: &mut Vec<PacketBuf>) -> Pushed {
        let (pushed, was_empty) = {
            let mut state = self.state();
            let was_empty = state.frames.is_empty();
            let room = if state.closed { 0 } else { UPLINK_QUEUE_LEN - state.frames.len() };
            let taken = room.min(frames.len());
            state.frames.extend(frames.drain(..taken));
            let lost = frames.len();
            let pushed = if state.closed { Pushed::Closed { lost } } else { Pushed::Queued { lost } };
            (pushed, was_empty && taken > 0)
        };
        frames.clear();
        if was_empty {
            self.waiters.wake(Events::IN, 1);
        }
        pushed
    }

    /// Moves up to `limit` frames from the front to `out`.
    pub(crate) fn pop(&self, limit: usize, out: &mut VecDeque<PacketBuf>) {
        let mut state = self.state();
        let n = limit.min(state.frames.len());
        out.extend(state.frames.drain(..n));
    }

    /// Whether frames wait, or the queue has been closed.
    pub(crate) fn has_news(&self) -> bool {
        let state = self.state();
        state.closed || !state.frames.is_empty()
    }

    /// Nobody carries frames on from here; those that wait are given back.
    pub(crate) fn close(&self) -> usize {
        let waiting = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.frames)
        };
        self.waiters.wake_all();
        waiting.len()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Pool;

    fn frames(pool: &Pool, n: usize) -> Vec<PacketBuf> {
        (0..n).map(|n| PacketBuf::from_bytes(pool, &n.to_be_bytes()).expect("the pool is large enough")).collect()
    }

    #[test]
    fn it_keeps_order_and_loses_what_exceeds_its_length() {
        let pool = Pool::new(4 << 20);
        let queue = Uplink::default();
        assert_eq!(queue.push(&mut frames(&pool, UPLINK_QUEUE_LEN + 3)), Pushed::Queued { lost: 3 });
        assert_eq!(queue.push(&mut frames(&pool, 2)), Pushed::Queued { lost: 2 });
        let mut out = VecDeque::new();
        queue.pop(10, &mut out);
        queue.pop(usize::MAX, &mut out);
        let seen: Vec<_> = out.iter().map(|frame| usize::from_be_bytes(frame.data().try_into().unwrap())).collect();
        assert_eq!(seen, (0..UPLINK_QUEUE_LEN).collect::<Vec<_>>());
        assert!(!queue.has_news());
    }

    #[test]
    fn a_closed_queue_takes_nothing() {
        let pool = Pool::new(4 << 20);
        let queue = Uplink::default();
        assert_eq!(queue.push(&mut frames(&pool, 5)), Pushed::Queued { lost: 0 });
        assert_eq!(queue.close(), 5);
        assert_eq!(queue.push(&mut frames(&pool, 2)), Pushed::Closed { lost: 2 });
        assert!(queue.has_news(), "whoever waits must see that it is closed");
    }
}
