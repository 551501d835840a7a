//! What a ring and its operations share: the queue, who waits for completions, and the groups of buffers.
//!
//! One lock, under which nothing else is locked and nobody is called.

use crate::completion::entry::{Completion, Rejected};
use crate::completion::op::{By, Op, Work};
use crate::completion::queue::{Queue, Refused};
use crate::completion::timeout::Until;
use crate::waking;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::task::{Poll, Waker};
use wakeline_runtime::wait_queue::{WaitList, WaitSlot, WakeBatch};

/// See the [module](self).
pub(super) struct Shared(Mutex<State>);

struct State {
    queue: Queue<Arc<Op>, Completion>,
    /// Who waits for so many completions as its weight is.
    waiting: WaitList,
    groups: BTreeMap<u16, Vec<Vec<u8>>>,
    /// How many completions there were so far, those of timeouts not among them.
    told: u64,
    /// The timeouts that end with so many, by that and their number.
    counting: BTreeMap<(u64, usize), Arc<Op>>,
    counters: CompletionCounters,
    is_closed: bool,
}

/// What a ring has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompletionCounters {
    /// How many operations were taken.
    pub submitted: u64,
    /// How many completions were made while their operation was submitted: the socket had what was asked for.
    pub at_once: u64,
    /// How many were made by whoever brought the news to the socket, which is the softirq side.
    pub by_softirq: u64,
    /// How many timeouts there were whose time was over.
    pub by_timer: u64,
    /// How many operations were cancelled.
    pub cancelled: u64,
    /// How many multishot operations ended because the queue had no room for another completion.
    pub ended_for_room: u64,
    /// How often somebody went to sleep in `wait`.
    pub sleeps: u64,
    /// How many sleepers were woken.
    pub wakeups: u64,
}

impl Shared {
    pub(super) fn new(entries: usize) -> Arc<Shared> {
        Arc::new(Shared(Mutex::new(State {
            queue: Queue::new(entries),
            waiting: WaitList::new(),
            groups: BTreeMap::new(),
            told: 0,
            counting: BTreeMap::new(),
            counters: CompletionCounters::default(),
            is_closed: false,
        })))
    }

    pub(super) fn counters(&self) -> CompletionCounters {
        self.0.lock().counters
    }

    /// Takes an operation that `make` makes of this and its number.
    pub(super) fn begin(
        self: &Arc<Self>,
        make: impl FnOnce(Arc<Shared>, usize) -> Arc<Op>,
    ) -> Result<Arc<Op>, Rejected> {
        let mut state = self.0.lock();
        let begun = state.queue.begin(|number| make(self.clone(), number)).cloned();
        let op = begun.map_err(|refused| Rejected::new(error_of(refused)))?;
        state.counters.submitted += 1;
        Ok(op)
    }

    /// Takes operations of which each begins when the one before it has succeeded: all or none, which then come back.
    pub(super) fn submit_chain(self: &Arc<Self>, steps: Vec<(u64, Work)>) -> Result<(), (io::Error, Vec<Work>)> {
        let mut state = self.0.lock();
        let refused = match &state.queue {
            queue if queue.room() < steps.len() && !state.is_closed => Some(Refused::Busy),
            _ if state.is_closed => Some(Refused::Closed),
            _ => None,
        };
        if let Some(refused) = refused {
            drop(state);
            return Err((error_of(refused), steps.into_iter().map(|(_, work)| work).collect()));
        }
        let (mut first, mut last) = (None, None::<Arc<Op>>);
        for (user_data, mut work) in steps {
            let guarded = match (&mut work, &last) {
                (Work::Timeout(timeout), Some(last)) => {
                    timeout.until = Until::Over(Arc::downgrade(last));
                    true
                }
                _ => false,
            };
            let begun = state.queue.begin(|number| Op::new(self.clone(), number, user_data, Some(work)));
            let op = begun.expect("there was room for all of them, and the lock is held").clone();
            state.counters.submitted += 1;
            if guarded {
                last.iter().for_each(|last| last.guard(op.clone()));
                continue;
            }
            if let Some(last) = last.replace(op.clone()) {
                last.link(op.clone());
            }
            first.get_or_insert(op);
        }
        drop(state);
        if let Some(first) = first {
            first.run(By::Submit);
        }
        Ok(())
    }

    /// Takes an operation and tries it.
    pub(super) fn submit(self: &Arc<Self>, user_data: u64, work: Work) -> Result<(), Rejected> {
        // The buffer comes back if it is not taken.
        let mut work = Some(work);
        let make = |ring, number| Op::new(ring, number, user_data, work.take());
        match self.begin(make) {
            Ok(op) => {
                op.run(By::Submit);
                Ok(())
            }
            Err(rejected) => {
                let buffer = work.and_then(Work::into_buffer).unwrap_or_default();
                Err(Rejected { buffer, ..rejected })
            }
        }
    }

    /// An operation is over.
    pub(super) fn finish(&self, number: usize, completion: Completion, by: By) {
        let mut wakes = WakeBatch::new();
        let mut state = self.0.lock();
        state.count(by);
        let op = state.queue.end(number, Some(completion));
        let counted = state.counted();
        state.tell(&mut wakes);
        drop(state);
        drop(op);
        wake(wakes, by);
        run(&counted, by);
    }

    /// A timeout is over.
    pub(super) fn finish_timeout(&self, number: usize, completion: Completion, by: By, until: &Until) {
        let mut wakes = WakeBatch::new();
        let mut state = self.0.lock();
        state.count(by);
        let op = state.queue.end(number, Some(completion));
        let counting = if let Until::Told(count) = until { state.counting.remove(&(*count, number)) } else { None };
        state.tell(&mut wakes);
        drop(state);
        drop((op, counting));
        wake(wakes, by);
    }

    /// Lets `op`, which has this number, hear of it when `more` operations will have been told of. Gives how many that are in all.
    pub(super) fn count_from_here(&self, op: &Arc<Op>, number: usize, more: u32) -> u64 {
        let mut state = self.0.lock();
        let count = state.told + u64::from(more);
        state.counting.insert((count, number), op.clone());
        count
    }

    /// Whether so many operations have been told of.
    pub(super) fn has_told(&self, count: u64) -> bool {
        self.0.lock().told >= count
    }

    /// An operation has given something and goes on. Without room for that the completion comes back, to be its last.
    pub(super) fn give(&self, completion: Completion, by: By) -> Option<Completion> {
        let mut wakes = WakeBatch::new();
        let mut state = self.0.lock();
        match state.queue.add(Completion { more: true, ..completion }) {
            Ok(()) => {
                state.count(by);
                let counted = state.counted();
                state.tell(&mut wakes);
                drop(state);
                wake(wakes, by);
                run(&counted, by);
                None
            }
            Err(completion) => {
                state.counters.ended_for_room += 1;
                Some(Completion { more: false, ..completion })
            }
        }
    }

    pub(super) fn pop(&self) -> Option<Completion> {
        self.0.lock().queue.pop()
    }

    /// How many completions can be taken.
    pub(super) fn len(&self) -> usize {
        self.0.lock().queue.len()
    }

    pub(super) fn under_way(&self) -> usize {
        self.0.lock().queue.under_way()
    }

    /// Cancels the first operation with this word; says whether there was one.
    pub(super) fn cancel(&self, user_data: u64) -> bool {
        let op = self.0.lock().queue.find(|op| op.user_data == user_data).cloned();
        if let Some(op) = &op {
            op.cancel();
        }
        op.is_some()
    }

    /// Takes nothing any more, and cancels all.
    pub(super) fn close(&self) {
        let mut wakes = WakeBatch::new();
        let ops = {
            let mut state = self.0.lock();
            state.is_closed = true;
            let ops = state.queue.close();
            if ops.is_empty() {
                state.waiting.wake_all(&mut wakes);
            }
            ops
        };
        wakes.wake_all();
        ops.iter().for_each(|op| op.cancel());
    }

    /// Whether there are `n` completions, or as many as there will ever be; otherwise the caller waits.
    pub(super) fn poll_done(&self, waker: &Waker, slot: &mut WaitSlot, n: usize) -> Poll<usize> {
        let mut state = self.0.lock();
        let done = state.queue.len();
        if done >= n || (state.is_closed && state.queue.under_way() == 0) {
            let removed = state.waiting.remove(slot);
            drop(state);
            drop(removed);
            return Poll::Ready(done);
        }
        if !state.waiting.is_waiting(slot) {
            state.counters.sleeps += 1;
        }
        let weight = u32::try_from(n).unwrap_or(u32::MAX);
        let replaced = state.waiting.join_weighted(slot, waker, weight);
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    /// A waiter gives up. If it was told, another one is in its place.
    pub(super) fn give_up(&self, slot: &mut WaitSlot) {
        if !slot.is_set() {
            return;
        }
        let mut wakes = WakeBatch::new();
        let mut state = self.0.lock();
        let removed = state.waiting.remove(slot);
        if removed.is_told() {
            state.tell(&mut wakes);
        }
        drop(state);
        drop(removed);
        wakes.wake_all();
    }

    /// Adds buffers to a group; what does not fit comes back.
    pub(super) fn provide(&self, group: u16, mut buffers: Vec<Vec<u8>>, max: usize) -> Vec<Vec<u8>> {
        let mut state = self.0.lock();
        let known = state.groups.entry(group).or_default();
        let fits = max.saturating_sub(known.len()).min(buffers.len());
        let rest = buffers.split_off(fits);
        known.append(&mut buffers);
        rest
    }

    pub(super) fn take_buffer(&self, group: u16) -> Option<Vec<u8>> {
        self.0.lock().groups.get_mut(&group).and_then(Vec::pop)
    }

    pub(super) fn give_buffer(&self, group: u16, buffer: Vec<u8>) {
        self.0.lock().groups.entry(group).or_default().push(buffer);
    }
}

fn error_of(refused: Refused) -> io::Error {
    io::Error::from_raw_os_error(match refused {
        Refused::Busy => libc::EBUSY,
        Refused::Closed => libc::EBADF,
    })
}

/// Timeouts that end with what has just been told: whoever told ends them, too.
fn run(counted: &[Arc<Op>], by: By) {
    let by = if by == By::Cancel { By::Submit } else { by };
    counted.iter().for_each(|op| op.run(by));
}

/// Whoever waits for completions is called. In Linux `__io_req_task_work_add` wakes the ring's task, to which the work is left.
fn wake(mut wakes: WakeBatch, by: By) {
    match by {
        By::Wake => waking::wake_all(wakes, Some("io_wake_function"), &["__wake_up_common", "__io_cqring_wake"]),
        By::Submit | By::Timer | By::Cancel => wakes.wake_all(),
    }
}

impl State {
    fn count(&mut self, by: By) {
        match by {
            By::Submit => self.counters.at_once += 1,
            By::Wake => self.counters.by_softirq += 1,
            By::Timer => self.counters.by_timer += 1,
            By::Cancel => self.counters.cancelled += 1,
        }
    }

    /// One more was told of. Gives the timeouts that have waited for just that.
    fn counted(&mut self) -> Vec<Arc<Op>> {
        self.told += 1;
        let mut reached = Vec::new();
        while let Some(first) = self.counting.first_entry().filter(|first| first.key().0 <= self.told) {
            reached.push(first.remove());
        }
        reached
    }

    /// Whoever waits for no more than there is looks (`cq_wait_nr`): nobody is woken for less than it asked for.
    fn tell(&mut self, wakes: &mut WakeBatch) {
        if self.waiting.is_empty() {
            return;
        }
        let told = if self.is_closed && self.queue.under_way() == 0 {
            self.waiting.wake_all(wakes)
        } else {
            self.waiting.wake_weighted(&mut self.queue.len(), wakes)
        };
        self.counters.wakeups += told as u64;
    }
}
