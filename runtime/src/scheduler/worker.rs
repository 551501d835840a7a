//! The worker: takes a task, polls it, looks around, sleeps. One loop for one worker and for many.
//!
//! With several workers each has a thread of its own and runs until the shutdown. A single one has none: whoever calls
//! `block_on` takes its core and runs the same loop, with a main future beside the tasks ([`crate::scheduler::block_on`]).

use crate::coop;
use crate::park::enter;
use crate::scheduler::core::Core;
use crate::scheduler::current::{self, Context};
use crate::scheduler::idle::Leave;
use crate::scheduler::metrics::Counters;
use crate::scheduler::shared::Shared;
use crate::scheduler::shutdown::{end_tasks, finish};
use crate::task::Notified;
use crate::timer::place;
use std::hint;
use std::sync::Arc;

/// What a worker's loop serves beside the tasks.
pub(super) trait Main {
    /// Whether it is to be polled.
    fn is_woken(&self) -> bool;

    /// Polls it; true when it is ready and the loop shall end.
    fn poll(&mut self) -> bool;
}

/// The main of a worker that has nothing but tasks.
pub(super) struct NoMain;

impl Main for NoMain {
    fn is_woken(&self) -> bool {
        false
    }

    fn poll(&mut self) -> bool {
        false
    }
}

/// Drives one of several workers on the calling thread until the runtime ends.
pub(crate) fn drive(shared: Arc<Shared>) {
    let Some(core) = shared.take_core() else { return };
    place::this_thread_is_worker(core.index);
    let _entered = enter();
    let context = Context::new(shared, core);
    current::set(&context, || {
        run(&context, &mut NoMain);
        end_tasks(&context.shared);
    });
    context.put_core_back();
    // The last one switches off the light.
    finish(&context.shared);
}

/// The loop. Begins and ends with the core in its place in `context`.
pub(super) fn run<M: Main>(context: &Context, main: &mut M) {
    let Some(core) = context.take() else { return };
    let mut worker = Worker { context, counters: &context.shared.workers[core.index].counters, unturned: 0 };
    let core = worker.run(core, main);
    context.put(core);
}

struct Worker<'a> {
    context: &'a Context,
    counters: &'a Counters,
    /// Polls since the last look at the driver.
    unturned: u32,
}

impl Worker<'_> {
    fn shared(&self) -> &Arc<Shared> {
        &self.context.shared
    }

    fn run<M: Main>(&mut self, mut core: Box<Core>, main: &mut M) -> Box<Core> {
        loop {
            if main.is_woken() {
                let ready;
                (core, ready) = self.away(core, || coop::with_budget(|| main.poll()));
                self.unturned += 1;
                if ready {
                    return core;
                }
            }
            core = self.run_tasks(core);
            if self.unturned >= self.shared().config.event_interval {
                core = self.turn(core);
            } else if !main.is_woken() {
                let stolen = self.steal(&mut core);
                core = match stolen {
                    Some(task) => self.poll(core, task),
                    None => self.park(core, main),
                };
            }
            if self.shared().injector.is_closed() {
                return core;
            }
        }
    }

    /// Polls tasks until there are none here, or it is the driver's turn.
    fn run_tasks(&mut self, mut core: Box<Core>) -> Box<Core> {
        while self.unturned < self.shared().config.event_interval {
            let shared = self.shared();
            let Some(task) = core.next_task(&shared.injector, shared.workers.len()) else { break };
            core = self.poll(core, task);
        }
        core
    }

    fn poll(&mut self, mut core: Box<Core>, task: Notified) -> Box<Core> {
        if core.searching {
            self.stop_searching(&mut core);
        }
        self.counters.polls.add(1);
        self.unturned += 1;
        self.away(core, || coop::with_budget(|| task.run())).0
    }

    /// Runs `f`, which may schedule tasks, with the core where the scheduler finds it.
    fn away<R>(&self, core: Box<Core>, f: impl FnOnce() -> R) -> (Box<Core>, R) {
        self.context.put(core);
        let result = f();
        (self.context.take().expect("nobody keeps a core that it borrowed"), result)
    }

    /// Looks at the driver without sleeping.
    fn turn(&mut self, core: Box<Core>) -> Box<Core> {
        self.unturned = 0;
        let shared = self.shared();
        match shared.driver.try_lock() {
            // Whoever has it sleeps in it, or has just looked.
            None => core,
            Some(mut driver) => self.away(core, || driver.turn(&shared.driver_handle)).0,
        }
    }

    /// Looks for work at the other workers and in the injector.
    fn steal(&self, core: &mut Core) -> Option<Notified> {
        let shared = self.shared();
        if shared.workers.len() == 1 {
            return None;
        }
        core.searching = core.searching || shared.idle.start_searching();
        if !core.searching {
            return None;
        }
        let found = self.steal_from_rings(core);
        found.or_else(|| core.next_from(&shared.injector, shared.workers.len())).or_else(|| self.steal_lifo(core))
    }

    fn steal_from_rings(&self, core: &mut Core) -> Option<Notified> {
        self.others(core).find_map(|victim| {
            let (task, count) = self.shared().workers[victim].queue.steal_into(&mut core.queue)?;
            self.counters.steals.add(count as u64);
            Some(task)
        })
    }

    /// Takes a task out of another's LIFO slot, if that worker seems to be stuck in the poll that put it there: the slot
    /// and the count of polls are as they were a moment ago. A worker that is not stuck takes it sooner than we could.
    fn steal_lifo(&self, core: &mut Core) -> Option<Notified> {
        let workers = &self.shared().workers;
        self.others(core).find_map(|victim| {
            let victim = &workers[victim];
            let mark = victim.queue.lifo_mark();
            if mark == 0 {
                return None;
            }
            let polls = victim.counters.polls.get();
            for _ in 0..LIFO_PATIENCE {
                hint::spin_loop();
                if victim.queue.lifo_mark() != mark || victim.counters.polls.get() != polls {
                    return None;
                }
            }
            let task = victim.queue.steal_lifo()?;
            self.counters.steals.add(1);
            Some(task)
        })
    }

    /// All workers but this one, beginning anywhere.
    fn others(&self, core: &mut Core) -> impl Iterator<Item = usize> + use<> {
        let (count, me) = (self.shared().workers.len(), core.index);
        let start = core.rng.below(u32::try_from(count).unwrap_or(u32::MAX)) as usize;
        (0..count).map(move |i| (start + i) % count).filter(move |&index| index != me)
    }

    fn stop_searching(&self, core: &mut Core) {
        core.searching = false;
        let shared = self.shared();
        if shared.idle.stop_searching() {
            shared.look_again();
        }
    }

    /// Sleeps until there is work, or the main future is woken, or the runtime ends.
    fn park<M: Main>(&mut self, mut core: Box<Core>, main: &M) -> Box<Core> {
        let shared = self.shared().clone();
        let (idle, index) = (&shared.idle, core.index);
        idle.sleep(index, std::mem::take(&mut core.searching));
        // May wake this worker: then the sleep below ends at once.
        shared.look_again();
        loop {
            if main.is_woken() || shared.injector.is_closed() || !core.queue.is_empty() {
                core.searching = idle.leave(index) == Leave::Searching;
                break;
            }
            core = self.sleep(core);
            if core.queue.is_empty() && !idle.is_asleep(index) {
                // Whoever took it out of the sleepers has counted it as searching.
                core.searching = true;
                break;
            }
        }
        if core.queue.ring_len() > 0 && shared.workers.len() > 1 {
            // The driver woke several tasks; one is enough for this worker.
            shared.wake(idle.for_own_work());
        }
        core
    }

    fn sleep(&mut self, mut core: Box<Core>) -> Box<Core> {
        self.counters.parks.add(1);
        self.unturned = 0;
        let shared = self.shared();
        let seat = &shared.workers[core.index].seat;
        let parker = core.parker.take().expect("a worker sleeps once at a time");
        let (mut core, ()) = self.away(core, || match shared.driver.try_lock() {
            Some(mut driver) => seat.sleep_in_driver(|| driver.park(&shared.driver_handle, None)),
            None => seat.sleep_on_parker(&parker),
        });
        core.parker = Some(parker);
        core
    }
}

/// How many looks at another's LIFO slot, some microseconds in all, make us believe that its owner is stuck.
const LIFO_PATIENCE: u32 = 64;
