//! What the watch does: naps, and what it looks at between them.

use crate::scheduler::core::Core;
use crate::scheduler::idle::Idle;
use crate::scheduler::shared::Shared;
use crate::scheduler::steal;
use std::time::Duration;

/// What a worker remembers of its time as the watch. It keeps it while it works in between: who stands in for a worker that is
/// stuck is called away by each event, and would otherwise begin anew after each.
#[derive(Default)]
pub(super) struct Watch {
    /// Nobody was in the driver the last time.
    unattended: bool,
    /// Naps one after another at whose end nobody was awake.
    quiet: u32,
    /// How many polls each worker had made the last time.
    polls: Vec<u64>,
}

impl Watch {
    /// The worker falls asleep, and may become the watch.
    pub(super) fn begins(&mut self, idle: &Idle) {
        self.quiet = 0;
        if !idle.is_alarmed() {
            self.unattended = false;
        }
    }

    /// How long to sleep this time.
    pub(super) fn nap(&self, shared: &Shared) -> Duration {
        if shared.idle.naps_short() { NAP } else { CALM_NAP }
    }

    /// Nobody is in the driver; says whether to stay in it.
    ///
    /// The watch leaves it to those who sleep for good, as long as they come back to it: whoever takes an event out of it
    /// has work, and if that were the watch, it would have to wake another watch for each event.
    pub(super) fn found_unattended(&mut self, shared: &Shared) -> bool {
        std::mem::replace(&mut self.unattended, true) || shared.idle.all_asleep()
    }

    /// Somebody is in the driver.
    pub(super) fn found_attended(&mut self) {
        self.unattended = false;
    }

    /// Looks around after a nap, and takes what waits behind a worker that is stuck; says whether the watch goes on.
    ///
    /// It is alarmed only by a worker that holds something up: one that seems stuck and holds up nothing may as well be a
    /// busy one that the kernel lets wait for a processor, which short naps would take from it, too.
    pub(super) fn look_around(&mut self, shared: &Shared, core: &mut Core) -> bool {
        let stuck = self.sees_stuck(shared, core.index);
        let found = !core.queue.is_empty() || steal::watch(shared, core);
        if stuck && found {
            shared.idle.alarm();
        }
        if found {
            return true;
        }
        self.quiet = if shared.idle.all_asleep() { self.quiet + 1 } else { 0 };
        self.quiet <= QUIET_MAX || !shared.idle.resign(core.index)
    }

    /// Whether some worker is awake and has polled nothing since the last look, which was at least a nap ago. It may have slept
    /// in between; then the watch is alarmed for nothing, once.
    fn sees_stuck(&mut self, shared: &Shared, me: usize) -> bool {
        let first = self.polls.is_empty();
        self.polls.resize(shared.workers.len(), 0);
        let mut stuck = false;
        for (index, (worker, before)) in shared.workers.iter().zip(&mut self.polls).enumerate() {
            let polls = worker.counters.polls.get();
            let moved = std::mem::replace(before, polls) != polls;
            stuck |= !first && !moved && index != me && !shared.idle.is_asleep(index);
        }
        stuck
    }
}

/// How long the watch sleeps at a time when it is alarmed: the longest that a task, a timer or an event waits behind a worker
/// that is stuck.
const NAP: Duration = Duration::from_micros(100);
/// The same otherwise: how long the first of them waits.
const CALM_NAP: Duration = Duration::from_millis(1);
/// After so many quiet naps the watch sleeps for good; then waking the first worker costs waking the watch too.
const QUIET_MAX: u32 = 5;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_an_alarmed_watch_remembers_that_nobody_was_in_the_driver() {
        let idle = Idle::new(2, true);
        let mut watch = Watch { unattended: true, quiet: 3, polls: vec![4, 5] };
        idle.alarm();
        watch.begins(&idle);
        assert_eq!((watch.unattended, watch.quiet, &*watch.polls), (true, 0, &[4, 5][..]));
        while idle.naps_short() {}
        watch.begins(&idle);
        assert_eq!((watch.unattended, &*watch.polls), (false, &[4, 5][..]));
    }
}
