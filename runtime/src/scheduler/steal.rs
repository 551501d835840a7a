//! What a worker takes from others: when it has nothing to do, and when they are stuck.

use crate::scheduler::core::Core;
use crate::scheduler::shared::{Shared, Worker};
use crate::task::Notified;
use std::hint;

/// Looks for work in the injector and at the other workers, for a worker that is searching.
///
/// The injector first: what stands there is nobody's, while a ring's owner comes to its tasks by itself.
pub(super) fn search(shared: &Shared, core: &mut Core) -> Option<Notified> {
    let found = core.next_from(&shared.injector, shared.workers.len());
    let found = found.or_else(|| others(shared, core).find_map(|victim| from_ring(shared, core, victim)));
    found.or_else(|| others(shared, core).find_map(|victim| from_stuck_lifo(shared, core, victim)))
}

/// Takes what waits behind a worker that is stuck, and what nobody was woken for, into the ring of the worker that
/// watches; says whether there was anything.
pub(super) fn watch(shared: &Shared, core: &mut Core) -> bool {
    let found = others(shared, core).find_map(|victim| {
        let found = match shared.workers[victim].queue.ring_len() {
            0 => None,
            // A task that yields all the time stands in the ring half of it, and is best left where it is.
            1 if !is_stuck(&shared.workers[victim]) => None,
            _ => from_ring(shared, core, victim),
        };
        found.or_else(|| from_stuck_lifo(shared, core, victim))
    });
    found.map(|task| core.push_back(task, &shared.injector)).is_some()
}

fn from_ring(shared: &Shared, core: &mut Core, victim: usize) -> Option<Notified> {
    let (task, count) = shared.workers[victim].queue.steal_into(&mut core.queue)?;
    shared.workers[core.index].counters.stole(count as u64);
    Some(task)
}

/// Takes a task out of the LIFO slot of a worker that is stuck in the poll that put it there.
fn from_stuck_lifo(shared: &Shared, core: &mut Core, victim: usize) -> Option<Notified> {
    let victim = &shared.workers[victim];
    if victim.queue.lifo_mark() == 0 || !is_stuck(victim) {
        return None;
    }
    let task = victim.queue.steal_lifo()?;
    shared.workers[core.index].counters.stole(1);
    Some(task)
}

/// Whether a worker seems to be stuck in a poll: its LIFO slot and its count of polls stay as they are. One that is not
/// comes to its tasks sooner than we could.
fn is_stuck(worker: &Worker) -> bool {
    let mark = worker.queue.lifo_mark();
    let polls = worker.counters.polls.get();
    (0..PATIENCE).all(|_| {
        hint::spin_loop();
        worker.queue.lifo_mark() == mark && worker.counters.polls.get() == polls
    })
}

/// All workers but this one, beginning anywhere.
fn others(shared: &Shared, core: &mut Core) -> impl Iterator<Item = usize> + use<> {
    let (count, me) = (shared.workers.len(), core.index);
    let start = core.rng.below(u32::try_from(count).unwrap_or(u32::MAX)) as usize;
    (0..count).map(move |i| (start + i) % count).filter(move |&index| index != me)
}

/// How many looks at another worker, some microseconds in all, make us believe that it is stuck.
const PATIENCE: u32 = 64;
