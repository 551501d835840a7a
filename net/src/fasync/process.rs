//! A process as signals see it: what is pending, who waits for it, and the rules of sending.

use crate::event::{Event, Tracer};
use crate::fasync::signal::{SigCode, SigInfo, SigSet, Signal};
use crate::waking;
use futures_core::Stream;
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use wakeline_runtime::wait_queue::{Events, Mode, WaitQueue, WaitSlot, WakeBatch};

/// Whom signals are sent to: a queue of pending signals, and tasks and threads that take them.
///
/// All signals are blocked in it, as in a program that uses `sigwaitinfo(2)`: none interrupts anything, and each stays pending
/// until somebody takes it. Of each standard signal (below 32) one at most is pending, with what the first one said; each
/// real-time signal is queued, up to [`sigpending_max`](Process::with_sigpending_max) in all. The lowest number is taken first,
/// and of one number the oldest.
///
/// Clones are the same process. When the last one is dropped it is gone, and sockets that it owned send to nobody.
///
/// # Examples
/// See the [module](crate::fasync).
#[derive(Clone, Debug)]
pub struct Process(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    comm: Arc<str>,
    pending: Mutex<Pending>,
    waiters: WaitQueue,
}

#[derive(Debug)]
struct Pending {
    queues: BTreeMap<Signal, VecDeque<Queued>>,
    /// How many real-time signals are queued.
    queued: usize,
    /// `RLIMIT_SIGPENDING`
    max: usize,
}

#[derive(Debug)]
struct Queued {
    info: SigInfo,
    /// Where it is told that it is delivered, if anybody listened when it was sent.
    tracer: Option<Tracer>,
}

/// What became of a signal (`TRACE_SIGNAL_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Delivered = 0,
    AlreadyPending = 2,
    OverflowFail = 3,
}

/// How many real-time signals may be pending, unless it was said otherwise.
const SIGPENDING_MAX: usize = 1024;

impl Process {
    /// A process to which no signal has been sent. `comm` is what traces call it.
    #[must_use]
    pub fn new(comm: &str) -> Process {
        Process::with_sigpending_max(comm, SIGPENDING_MAX)
    }

    /// The same with its own `RLIMIT_SIGPENDING`: how many real-time signals may be queued. One more becomes a plain `SIGIO`,
    /// which means that what was queued does not tell the whole story. [`new`](Process::new) takes 1024.
    #[must_use]
    pub fn with_sigpending_max(comm: &str, max: usize) -> Process {
        let pending = Pending { queues: BTreeMap::new(), queued: 0, max };
        Process(Arc::new(Shared { comm: comm.into(), pending: Mutex::new(pending), waiters: WaitQueue::new() }))
    }

    /// Takes a pending signal of `set`; the thread sleeps until there is one (`sigwaitinfo(2)`).
    ///
    /// Must not be called from a task: it would put the worker to sleep.
    #[must_use]
    pub fn sigwaitinfo(&self, set: SigSet) -> SigInfo {
        // Without a limit it ends with a signal.
        loop {
            if let Some(info) = self.wait(set, None) {
                return info;
            }
        }
    }

    /// The same for at most `timeout`; `None` when there was none (`sigtimedwait(2)`). Zero only looks.
    #[must_use]
    pub fn sigtimedwait(&self, set: SigSet, timeout: Duration) -> Option<SigInfo> {
        self.wait(set, Some(timeout))
    }

    /// Takes a pending signal of `set`, for tasks.
    ///
    /// # Cancel safety
    /// Dropping the future takes no signal.
    pub async fn wait_signal(&self, set: SigSet) -> SigInfo {
        self.0.waiters.wait_until(Events::IN, Mode::Shared, || self.0.deliver(set)).await
    }

    /// The signals of `set`, one after the other, for tasks. The stream does not end.
    pub fn signals(&self, set: SigSet) -> Signals {
        Signals { process: self.clone(), set, slot: WaitSlot::new() }
    }

    /// Which signals are pending (`sigpending(2)`).
    #[must_use]
    pub fn sigpending(&self) -> SigSet {
        self.0.pending().queues.keys().fold(SigSet::empty(), |set, &signal| set.with(signal))
    }

    pub(crate) fn downgrade(&self) -> Weak<Shared> {
        Arc::downgrade(&self.0)
    }

    /// Several may wait with different sets; so each signal wakes them all, where Linux picks one that wants it.
    fn wait(&self, set: SigSet, timeout: Option<Duration>) -> Option<SigInfo> {
        self.0.waiters.wait_until_blocking(Events::IN, Mode::Shared, timeout, || self.0.take(set))
    }
}

impl Shared {
    /// `send_sigio_to_task`: the signal that was chosen, or `SIGIO` where none was, or where its queue is full.
    pub(crate) fn send_sigio(&self, chosen: Option<Signal>, info: SigInfo, tracer: &Tracer) {
        let plain = SigInfo { signal: Signal::IO, code: SigCode::Kernel, fd: None, band: Events::empty() };
        let first = chosen.map(|signal| SigInfo { signal, ..info });
        if first.is_none_or(|info| self.send(info, tracer) == Sent::OverflowFail) {
            self.send(plain, tracer);
        }
    }

    /// `__send_signal_locked`, and then, without the lock, `complete_signal`.
    fn send(&self, info: SigInfo, tracer: &Tracer) -> Sent {
        let sent = self.pending().enqueue(Queued { info, tracer: tracer.is_listening().then(|| tracer.clone()) });
        if sent == Sent::Delivered {
            self.complete_signal();
        }
        let (sig, code) = (info.signal.number(), info.code.number());
        tracer.emit(|| Event::SignalGenerate {
            sig,
            errno: 0,
            code,
            comm: self.comm.clone(),
            grp: true,
            res: sent as u8,
        });
        sent
    }

    fn complete_signal(&self) {
        let mut wakes = WakeBatch::new();
        if self.waiters.has_sleeper() {
            self.waiters.collect(Events::IN, 1, &mut wakes);
        }
        // `sigtimedwait` sleeps in no wait queue: the thread is woken as it is.
        let through =
            ["complete_signal", "__send_signal_locked", "do_send_sig_info", "send_sigio_to_task", "send_sigio"];
        waking::wake_all(wakes, None, &through);
    }

    fn take(&self, set: SigSet) -> Option<SigInfo> {
        self.pending().dequeue(set).map(|queued| queued.info)
    }

    /// The same for a task, which stands where Linux would run a handler.
    fn deliver(&self, set: SigSet) -> Option<SigInfo> {
        let Queued { info, tracer } = self.pending().dequeue(set)?;
        if let Some(tracer) = tracer {
            let (sig, code) = (info.signal.number(), info.code.number());
            tracer.emit(|| Event::SignalDeliver { sig, errno: 0, code, sa_handler: 0, sa_flags: 0 });
        }
        Some(info)
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn enqueue(&mut self, queued: Queued) -> Sent {
        let info = queued.info;
        let realtime = info.signal.is_realtime();
        if realtime && self.queued >= self.max {
            return Sent::OverflowFail;
        }
        let queue = self.queues.entry(info.signal).or_default();
        if !realtime && !queue.is_empty() {
            return Sent::AlreadyPending; // `legacy_queue`
        }
        queue.push_back(queued);
        self.queued += usize::from(realtime);
        Sent::Delivered
    }

    /// `next_signal`: the lowest number.
    fn dequeue(&mut self, set: SigSet) -> Option<Queued> {
        let signal = *self.queues.keys().find(|&&signal| set.contains(signal))?;
        let queue = self.queues.get_mut(&signal)?;
        let queued = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&signal);
        }
        self.queued -= usize::from(signal.is_realtime());
        queued
    }
}

/// The stream of [`Process::signals`].
///
/// # Cancel safety
/// A poll that is pending has taken no signal.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Signals {
    process: Process,
    set: SigSet,
    slot: WaitSlot,
}

impl Stream for Signals {
    type Item = SigInfo;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SigInfo>> {
        let Signals { process, set, slot } = self.get_mut();
        let shared = &*process.0;
        let mut info = shared.deliver(*set);
        if info.is_none() {
            shared.waiters.prepare(slot, cx.waker(), Events::IN, Mode::Shared);
            info = shared.deliver(*set);
        }
        match info {
            Some(info) => {
                drop(shared.waiters.finish(slot));
                Poll::Ready(Some(info))
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        drop(self.process.0.waiters.finish(&mut self.slot));
    }
}
