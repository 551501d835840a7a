//! The worker: takes a task, polls it, looks around, sleeps. One loop for one worker and for many.
//!
//! With several workers each has a thread of its own and runs until the shutdown. A single one has none: whoever calls
//! `block_on` takes its core and runs the same loop, with a main future beside the tasks ([`crate::scheduler::block_on`]).

use crate::coop;
use crate::driver;
use crate::park::{Parker, enter};
use crate::scheduler::core::Core;
use crate::scheduler::counters::Counters;
use crate::scheduler::current::{self, Context};
use crate::scheduler::idle::{Leave, Role};
use crate::scheduler::observe::{self, Awake};
use crate::scheduler::shared::Shared;
use crate::scheduler::shutdown::{end_tasks, finish};
use crate::scheduler::steal;
use crate::scheduler::watch::Watch;
use crate::scheduler::worker_park::Seat;
use crate::task::Notified;
use crate::timer::place;
use crate::unwind::contain;
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

/// Drives a worker of a multi-thread runtime on the calling thread, until the runtime ends or another thread takes the
/// worker over.
pub(crate) fn drive(shared: Arc<Shared>) {
    let Some(core) = shared.take_core() else { return };
    place::this_thread_is_worker(core.index);
    let _entered = enter();
    let context = Context::new(shared, core);
    current::set(&context, || {
        run(&context, &mut NoMain);
        if context.shared.injector.is_closed() {
            end_tasks(&context.shared);
        }
    });
    if !context.shared.injector.is_closed() {
        // The core went to another thread, which does the rest.
        return;
    }
    context.put_core_back();
    // The last one switches off the light.
    finish(&context.shared);
}

/// The loop. Begins with the core in its place in `context`, and ends with it there, unless it was handed to another
/// thread.
pub(super) fn run<M: Main>(context: &Context, main: &mut M) {
    let Some(core) = context.take() else { return };
    let shared = &context.shared;
    let counters = &shared.workers[core.index].counters;
    let mut worker = Worker {
        context,
        counters,
        unturned: 0,
        awake: Awake::now(shared.driver_handle.clock()),
        watch: Watch::default(),
    };
    if let Some(core) = worker.run(core, main) {
        context.put(core);
    }
}

/// Every step that may run user code gives the core back, or `None` when that code has handed it to another thread: then
/// this thread is no worker any more.
struct Worker<'a> {
    context: &'a Context,
    counters: &'a Counters,
    /// Polls since the last look at the driver.
    unturned: u32,
    awake: Awake,
    watch: Watch,
}

impl Worker<'_> {
    fn shared(&self) -> &Arc<Shared> {
        &self.context.shared
    }

    fn run<M: Main>(&mut self, mut core: Box<Core>, main: &mut M) -> Option<Box<Core>> {
        loop {
            if main.is_woken() {
                let ready;
                (core, ready) = self.away(core, || coop::with_budget(|| main.poll()))?;
                self.unturned += 1;
                if ready {
                    return Some(core);
                }
            }
            core = self.run_tasks(core)?;
            if self.unturned >= self.shared().config.event_interval {
                core = self.turn(core)?;
            } else if !main.is_woken() {
                let stolen = self.steal(&mut core);
                core = match stolen {
                    Some(task) => self.poll(core, task)?,
                    None => self.park(core, main)?,
                };
            }
            if self.shared().injector.is_closed() {
                return Some(core);
            }
        }
    }

    /// Polls tasks until there are none here, or it is the driver's turn.
    fn run_tasks(&mut self, mut core: Box<Core>) -> Option<Box<Core>> {
        while self.unturned < self.shared().config.event_interval {
            let shared = self.shared();
            let Some(task) = core.next_task(&shared.injector, shared.workers.len()) else { break };
            core = self.poll(core, task)?;
        }
        Some(core)
    }

    fn poll(&mut self, mut core: Box<Core>, task: Notified) -> Option<Box<Core>> {
        if core.searching {
            self.stop_searching(&mut core);
        }
        self.counters.polls.add(1);
        self.unturned += 1;
        let (core, refused) = if self.shared().observed {
            let index = core.index;
            self.away(core, || observe::poll(self.context, index, task))?
        } else {
            self.away(core, || coop::with_budget_told(|| task.run()).1)?
        };
        if refused {
            self.counters.budget_yields.add(1);
        }
        Some(core)
    }

    /// Runs `f`, which may schedule tasks, with the core where the scheduler finds it.
    fn away<R>(&self, core: Box<Core>, f: impl FnOnce() -> R) -> Option<(Box<Core>, R)> {
        self.context.put(core);
        let result = f();
        self.context.take().map(|core| (core, result))
    }

    /// Looks at the driver without sleeping.
    fn turn(&mut self, core: Box<Core>) -> Option<Box<Core>> {
        self.unturned = 0;
        let shared = self.shared();
        match shared.driver.try_lock() {
            // Whoever has it sleeps in it, or has just looked.
            None => Some(core),
            Some(mut driver) => {
                let turn = || contain(|| driver.turn(&shared.driver_handle));
                self.away(core, turn).map(|(core, ())| core)
            }
        }
    }

    /// Looks for work elsewhere, if there are not too many that do.
    fn steal(&self, core: &mut Core) -> Option<Notified> {
        let shared = self.shared();
        if shared.workers.len() == 1 {
            return None;
        }
        core.searching = core.searching || shared.idle.start_searching();
        if !core.searching {
            return None;
        }
        steal::search(shared, core)
    }

    fn stop_searching(&self, core: &mut Core) {
        core.searching = false;
        let shared = self.shared();
        if shared.idle.stop_searching() {
            shared.look_again();
        }
    }

    /// Sleeps until there is work, or the main future is woken, or the runtime ends.
    fn park<M: Main>(&mut self, mut core: Box<Core>, main: &M) -> Option<Box<Core>> {
        let shared = self.shared().clone();
        let (idle, index) = (&shared.idle, core.index);
        if shared.config.hooks.thread_park.is_set() {
            (core, ()) = self.away(core, || shared.config.hooks.thread_park.call())?;
            if !core.queue.is_empty() {
                return Some(core);
            }
        }
        self.counters.parks.add(1);
        self.awake.ends(self.counters);
        self.unturned = 0;
        let mut role = idle.sleep(index, std::mem::take(&mut core.searching));
        let mut watch = std::mem::take(&mut self.watch);
        watch.begins(idle);
        // May wake this worker: then the sleep below ends at once.
        shared.look_again();
        loop {
            if main.is_woken() || shared.injector.is_closed() || !core.queue.is_empty() {
                core.searching = idle.leave(index) == Leave::Searching;
                break;
            }
            core = if role == Role::Watch { self.nap(core, &mut watch)? } else { self.sleep(core)? };
            if !core.queue.is_empty() {
                if role == Role::Watch {
                    watch.look_around(&shared, &mut core);
                }
                continue;
            }
            role = idle.role(index);
            if role == Role::Woken {
                // Whoever took it out of the sleepers has counted it as searching.
                core.searching = true;
                break;
            }
            if role == Role::Watch && !watch.look_around(&shared, &mut core) {
                role = Role::Sleeper;
            }
        }
        self.watch = watch;
        if shared.workers.len() > 1 {
            if core.queue.ring_len() > 0 {
                // The driver woke several tasks; one is enough for this worker.
                shared.wake(idle.for_own_work());
            }
            shared.rouse(idle.appoint());
        }
        self.awake.begins();
        if shared.config.hooks.thread_unpark.is_set() {
            (core, ()) = self.away(core, || shared.config.hooks.thread_unpark.call())?;
        }
        Some(core)
    }

    /// Sleeps until somebody says otherwise: in the driver, if nobody else does.
    fn sleep(&mut self, core: Box<Core>) -> Option<Box<Core>> {
        self.unseated(core, |shared, seat, parker| match shared.driver.try_lock() {
            Some(mut driver) => seat.sleep_in_driver(|| driver.park(&shared.driver_handle, None)),
            None => seat.sleep_on_parker(parker, None),
        })
    }

    /// Sleeps for a moment, as the watch.
    fn nap(&mut self, core: Box<Core>, watch: &mut Watch) -> Option<Box<Core>> {
        let own_queue = &self.shared().workers[core.index].queue;
        self.unseated(core, |shared, seat, parker| {
            let limit = Some(watch.nap(shared));
            if let Some(mut driver) = shared.driver.try_lock() {
                if watch.found_unattended(shared) {
                    return seat.sleep_in_driver(|| driver.park(&shared.driver_handle, limit));
                }
                driver.turn(&shared.driver_handle);
                if !own_queue.is_empty() {
                    return;
                }
            } else {
                watch.found_attended();
            }
            driver::let_this_thread_wake_in_time();
            seat.sleep_on_parker(parker, limit);
        })
    }

    fn unseated(&self, mut core: Box<Core>, sleep: impl FnOnce(&Shared, &Seat, &Parker)) -> Option<Box<Core>> {
        let shared = self.shared();
        let seat = &shared.workers[core.index].seat;
        let parker = core.parker.take().expect("a worker sleeps once at a time");
        // What the driver wakes may be anybody's, and panic: the worker lives on.
        let (mut core, ()) = self.away(core, || contain(|| sleep(shared, seat, &parker)))?;
        core.parker = Some(parker);
        Some(core)
    }
}
