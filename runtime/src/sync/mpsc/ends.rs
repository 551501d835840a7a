//! The two ends of a channel, bounded or not: who counts as a sender, and what the receiver has taken.

use crate::atomic::Mutex;
use crate::coop;
use crate::sync::mpsc::chan::{Chan, wake};
use crate::sync::mpsc::error::TryRecvError;
use crate::sync::mpsc::returned::GiveBack;
use crate::wait_queue::WakeBatch;
use std::collections::VecDeque;
use std::mem;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

/// One that counts as a sender.
#[derive(Debug)]
pub(super) struct Tx<T>(Arc<Chan<T>>);

/// One that can become a sender while there is another.
#[derive(Debug)]
pub(super) struct WeakTx<T>(Arc<Chan<T>>);

/// The receiver.
#[derive(Debug)]
pub(super) struct Rx<T> {
    chan: Arc<Chan<T>>,
    bounded: bool,
    /// What was taken out of the channel and not yet received. It still has its permits. The lock makes it `Sync` for values
    /// that are not, as it is for the rest of the channel; `&mut self` goes round it.
    taken: Mutex<VecDeque<T>>,
}

/// What the receiver found when it had nothing left.
enum Next<T> {
    Value(T),
    Empty,
    Over,
}

pub(super) fn channel<T>(max: usize) -> (Tx<T>, Rx<T>) {
    let chan = Arc::new(Chan::new(max));
    let rx = Rx { chan: chan.clone(), bounded: chan.is_bounded(), taken: Mutex::new(VecDeque::new()) };
    (Tx(chan), rx)
}

impl<T> Tx<T> {
    pub(super) fn same_channel(&self, other: &Tx<T>) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn downgrade(&self) -> WeakTx<T> {
        self.0.state.lock().weak += 1;
        WeakTx(self.0.clone())
    }
}

impl<T> Deref for Tx<T> {
    type Target = Chan<T>;

    #[inline]
    fn deref(&self) -> &Chan<T> {
        &self.0
    }
}

impl<T> Clone for Tx<T> {
    fn clone(&self) -> Tx<T> {
        self.0.state.lock().senders += 1;
        Tx(self.0.clone())
    }
}

impl<T> Drop for Tx<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.senders -= 1;
        let receiver = if state.senders == 0 { state.receiver.take() } else { None };
        drop(state);
        wake(receiver);
    }
}

impl<T> WeakTx<T> {
    pub(super) fn upgrade(&self) -> Option<Tx<T>> {
        let mut state = self.0.state.lock();
        if state.senders == 0 {
            return None;
        }
        state.senders += 1;
        Some(Tx(self.0.clone()))
    }
}

impl<T> Deref for WeakTx<T> {
    type Target = Chan<T>;

    fn deref(&self) -> &Chan<T> {
        &self.0
    }
}

impl<T> Clone for WeakTx<T> {
    fn clone(&self) -> WeakTx<T> {
        self.0.state.lock().weak += 1;
        WeakTx(self.0.clone())
    }
}

impl<T> Drop for WeakTx<T> {
    fn drop(&mut self) {
        self.0.state.lock().weak -= 1;
    }
}

impl<T> Rx<T> {
    pub(super) fn chan(&self) -> &Chan<T> {
        &self.chan
    }

    #[inline]
    pub(super) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let progress = ready!(coop::poll_proceed(cx));
        if let Some(value) = self.pop() {
            progress.made();
            return Poll::Ready(Some(value));
        }
        match self.refill(Some(cx.waker())) {
            Next::Value(value) => {
                progress.made();
                Poll::Ready(Some(value))
            }
            Next::Empty => Poll::Pending,
            Next::Over => {
                progress.made();
                Poll::Ready(None)
            }
        }
    }

    pub(super) fn poll_recv_many(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<T>, limit: usize) -> Poll<usize> {
        if limit == 0 {
            return Poll::Ready(0);
        }
        let progress = ready!(coop::poll_proceed(cx));
        let mut received = self.drain(buffer, limit);
        // Only who has nothing at all leaves its waker behind.
        while received < limit {
            match self.refill((received == 0).then(|| cx.waker())) {
                Next::Value(value) => {
                    buffer.push(value);
                    received += 1;
                    received += self.drain(buffer, limit - received);
                }
                Next::Empty if received == 0 => return Poll::Pending,
                Next::Empty | Next::Over => break,
            }
        }
        progress.made();
        Poll::Ready(received)
    }

    pub(super) fn try_recv(&mut self) -> Result<T, TryRecvError> {
        if let Some(value) = self.pop() {
            return Ok(value);
        }
        match self.refill(None) {
            Next::Value(value) => Ok(value),
            Next::Empty => Err(TryRecvError::Empty),
            Next::Over => Err(TryRecvError::Disconnected),
        }
    }

    pub(super) fn close(&mut self) {
        self.chan.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        let state = self.chan.state.lock();
        state.closed || state.senders == 0
    }

    pub(super) fn len(&self) -> usize {
        // `&self` keeps values from going from one to the other meanwhile.
        let taken = self.taken.lock().len();
        taken + self.chan.state.lock().queue.len()
    }

    /// Receives what was taken earlier.
    #[inline]
    fn pop(&mut self) -> Option<T> {
        let value = self.taken.get_mut().pop_front()?;
        self.give_back(1);
        Some(value)
    }

    /// As [`pop`](Rx::pop), for at most `limit` values.
    fn drain(&mut self, buffer: &mut Vec<T>, limit: usize) -> usize {
        let taken = self.taken.get_mut();
        let count = limit.min(taken.len());
        if count > 0 {
            buffer.extend(taken.drain(..count));
            self.give_back(count);
        }
        count
    }

    #[inline]
    fn give_back(&self, permits: usize) {
        if self.bounded && self.chan.returned.give_back(permits) == GiveBack::HandOut {
            self.chan.hand_out();
        }
    }

    /// Takes what the channel has, all of it or a chunk, and receives the first; or waits, if there is a waker for it.
    #[inline]
    fn refill(&mut self, waker: Option<&Waker>) -> Next<T> {
        let taken = self.taken.get_mut();
        let mut state = self.chan.state.lock();
        if !state.queue.take(taken) {
            if state.is_over(&self.chan) {
                return Next::Over;
            }
            let mut replaced = None;
            if let Some(waker) = waker
                && !state.receiver.as_ref().is_some_and(|known| known.will_wake(waker))
            {
                replaced = state.receiver.replace(waker.clone());
            }
            drop(state);
            drop(replaced);
            return Next::Empty;
        }
        let value = taken.pop_front().expect("the queue gives no empty chunk");
        if self.bounded {
            // As `give_back`, since the lock is held anyway.
            if state.waiting.is_empty() {
                state.free += 1;
            } else {
                let mut wakes = WakeBatch::new();
                state.release(1, &self.chan, &mut wakes);
                drop(state);
                wakes.wake_all();
            }
        }
        Next::Value(value)
    }
}

// The buffer is moved as a whole, and nothing points into it.
impl<T> Unpin for Rx<T> {}

// As for the channel: no code of a value's owner runs while the buffer is being changed.
impl<T> UnwindSafe for Rx<T> {}
impl<T> RefUnwindSafe for Rx<T> {}

impl<T> Drop for Rx<T> {
    fn drop(&mut self) {
        let mut wakes = WakeBatch::new();
        let taken = mem::take(self.taken.get_mut());
        let mut state = self.chan.state.lock();
        state.close(&mut wakes);
        state.abandoned = true;
        let receiver = state.receiver.take();
        let queue = state.queue.take_all();
        if self.bounded {
            state.free += taken.len() + queue.len();
        }
        drop(state);
        wakes.wake_all();
        // Foreign code from here on: it may use the channel, which is closed, and it may panic.
        drop(receiver);
        drop(taken);
        drop(queue);
    }
}
