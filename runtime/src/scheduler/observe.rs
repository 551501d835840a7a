//! A poll that somebody watches: hooks around it, the detector of blocked workers, the histogram of poll times.
//!
//! Kept apart from the plain poll, which pays one branch for all of it.

use crate::clock::Clock;
use crate::coop;
use crate::scheduler::counters::Counters;
use crate::scheduler::current::Context;
use crate::scheduler::shared::Config;
use crate::task::Notified;
use std::time::Instant;

/// Whether polls must go through [`poll`].
pub(super) fn is_wanted(config: &Config) -> bool {
    config.hooks.before_poll.is_set() || config.hooks.after_poll.is_set() || is_timed(config)
}

fn is_timed(config: &Config) -> bool {
    config.detector.is_some() || config.poll_time_histogram
}

/// Polls `task` on the worker `index`, whose core stands in `context`; says whether the task used its budget up.
pub(super) fn poll(context: &Context, index: usize, task: Notified) -> bool {
    let config = &context.shared.config;
    let identity = task.identity();
    config.hooks.before_poll.call(&identity.meta());
    let since = is_timed(config).then(Instant::now);
    if let (Some(detector), Some(now)) = (&config.detector, since) {
        detector.begin(index, &identity, now);
    }
    let ((), refused) = coop::with_budget_told(|| task.run());
    // Without the core, another thread polls as this worker by now.
    if let Some(since) = since
        && context.has_core()
    {
        let now = Instant::now();
        if config.poll_time_histogram {
            context.shared.workers[index].counters.polled(now.saturating_duration_since(since));
        }
        if let Some(detector) = &config.detector {
            detector.end(index, Some(now));
        }
    }
    config.hooks.after_poll.call(&identity.meta());
    refused
}

/// Since when a worker is awake; `None` beside a virtual clock, where parks are too many to look at the time for each.
pub(super) struct Awake(Option<Instant>);

impl Awake {
    pub(super) fn now(clock: &Clock) -> Awake {
        Awake((!matches!(clock, Clock::Virtual(_))).then(Instant::now))
    }

    /// It goes to sleep.
    pub(super) fn ends(&self, counters: &Counters) {
        if let Some(since) = self.0 {
            counters.was_busy(since.elapsed());
        }
    }

    /// It has slept.
    pub(super) fn begins(&mut self) {
        self.0 = self.0.map(|_| Instant::now());
    }
}
