//! What the watch does: naps, and what it looks at between them.

use crate::clock::Instant;
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
    /// What each worker was busy with the last time; `None` if it was asleep, or is this one.
    busy: Vec<Option<Busy>>,
    /// When it last found something that waited behind a worker.
    found: Option<Instant>,
}

/// A worker that is awake, as it was when the watch first saw it so.
struct Busy {
    /// Its polls and sleeps until then: if there are no more, it is still in the same poll.
    steps: u64,
    since: Instant,
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
    /// It is alarmed only by a worker that stays in one poll for longer than the kernel usually lets one wait for a processor,
    /// and has held something up meanwhile: short naps would take the processor from those who wait for it.
    pub(super) fn look_around(&mut self, shared: &Shared, core: &mut Core) -> bool {
        let now = shared.driver_handle.clock().now();
        let found = !core.queue.is_empty() || steal::watch(shared, core);
        if found {
            self.found = Some(now);
        }
        let stuck_since = self.sees_stuck(shared, core.index, now);
        if stuck_since.is_some_and(|since| self.found >= Some(since)) {
            shared.idle.alarm();
        }
        if found {
            return true;
        }
        self.quiet = if shared.idle.all_asleep() { self.quiet + 1 } else { 0 };
        self.quiet <= QUIET_MAX || !shared.idle.resign(core.index)
    }

    /// Since when some other worker has been seen in one and the same poll, if that is long enough to call it stuck.
    fn sees_stuck(&mut self, shared: &Shared, me: usize, now: Instant) -> Option<Instant> {
        self.busy.resize_with(shared.workers.len(), || None);
        let mut stuck = None;
        for (index, (worker, busy)) in shared.workers.iter().zip(&mut self.busy).enumerate() {
            let awake = index != me && !shared.idle.is_asleep(index);
            let steps = awake.then(|| worker.counters.polls.get() + worker.counters.parks.get());
            stuck = stuck.or(Busy::see(busy, steps, now));
        }
        stuck
    }
}

impl Busy {
    /// A worker has made so many steps, or is not awake; says since when it has made none, if that is long.
    fn see(busy: &mut Option<Busy>, steps: Option<u64>, now: Instant) -> Option<Instant> {
        let Some(steps) = steps else {
            *busy = None;
            return None;
        };
        match busy {
            Some(before) if before.steps == steps => {
                (now.saturating_duration_since(before.since) >= STUCK_MIN).then_some(before.since)
            }
            _ => {
                *busy = Some(Busy { steps, since: now });
                None
            }
        }
    }
}

/// How long the watch sleeps at a time when it is alarmed: the longest that a task, a timer or an event waits behind a worker
/// that is stuck.
const NAP: Duration = Duration::from_micros(100);
/// The same otherwise: how long the first of them waits.
const CALM_NAP: Duration = Duration::from_millis(1);
/// Whoever stays in one poll for so long is stuck. Who waits for a processor looks the same, and seldom waits longer.
const STUCK_MIN: Duration = Duration::from_millis(5);
/// After so many quiet naps the watch sleeps for good; then waking the first worker costs waking the watch too.
const QUIET_MAX: u32 = 5;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_an_alarmed_watch_remembers_that_nobody_was_in_the_driver() {
        let idle = Idle::new(2, true);
        let mut watch = Watch { unattended: true, quiet: 3, ..Watch::default() };
        idle.alarm();
        watch.begins(&idle);
        assert_eq!((watch.unattended, watch.quiet), (true, 0));
        while idle.naps_short() {}
        watch.begins(&idle);
        assert!(!watch.unattended);
    }

    #[test]
    fn a_worker_is_stuck_that_is_seen_awake_for_long_and_makes_no_step() {
        let (began, mut busy) = (Instant::now_real(), None);
        let mut see = |ms, steps| {
            let stuck = Busy::see(&mut busy, steps, began + Duration::from_millis(ms));
            stuck.map(|since| since - began)
        };
        assert_eq!((see(0, Some(7)), see(4, Some(7))), (None, None));
        assert_eq!(see(6, Some(7)), Some(Duration::ZERO));
        assert_eq!((see(7, Some(8)), see(11, Some(8))), (None, None), "it went on");
        assert_eq!((see(12, None), see(13, Some(8))), (None, None), "it slept");
        assert_eq!(see(18, Some(8)), Some(Duration::from_millis(13)));
    }
}
