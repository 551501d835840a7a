//! The detector of blocked workers: which polls run longer than they should, and who spawned their tasks.
//!
//! A worker publishes what it polls and since when; when the poll ends it looks at the time. A thread of its own, the
//! watchdog, looks at all workers now and then, so that a poll which never ends is reported too. Either reports a site, the
//! place where the task was spawned, once. It reads the system's clock, also beside a virtual one: it is the thread that is blocked.

use crate::atomic::Mutex;
use crate::park::Parker;
use crate::task::{Id, Identity};
use crate::unwind::contain;
use std::collections::HashSet;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A poll that ran, or runs, longer than [`Builder::detect_blocking`](crate::Builder::detect_blocking) allows.
///
/// Its `Display` is the line that is written to stderr when the program has no function of its own for it:
/// `worker 0 is blocked: task 7 "reader", spawned at src/main.rs:3:5, has been in one poll for 12.3ms`.
#[derive(Clone, Debug)]
pub struct BlockedPoll {
    task: Identity,
    worker: usize,
    duration: Duration,
    over: bool,
}

impl BlockedPoll {
    /// The task's identity.
    #[must_use]
    pub fn id(&self) -> Id {
        self.task.meta().id()
    }

    /// The name it was given by `task::Builder`.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.task.meta().name()
    }

    /// Where it was spawned: the site, which is reported once.
    #[must_use]
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.task.meta().spawned_at()
    }

    /// Which worker polls it, from 0.
    #[must_use]
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// How long the poll took, or has taken until now.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// Whether the poll has ended, and [`duration`](BlockedPoll::duration) is all of it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }
}

impl fmt::Display for BlockedPoll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, tense) = if self.over { ("was", "was") } else { ("is", "has been") };
        write!(
            f,
            "worker {} {state} blocked: {}, {tense} in one poll for {:.1?}",
            self.worker,
            self.task.meta(),
            self.duration
        )
    }
}

/// What is called with a blocked poll.
pub(crate) type Report = Arc<dyn Fn(&BlockedPoll) + Send + Sync>;

/// What the workers of one runtime poll now.
pub(crate) struct Detector {
    limit: Duration,
    report: Report,
    polls: Box<[Mutex<Option<Poll>>]>,
    /// The sites that were reported; as many as the program has, at most.
    sites: Mutex<HashSet<&'static Location<'static>>>,
}

struct Poll {
    task: Identity,
    since: Instant,
    /// The watchdog has reported it.
    reported: bool,
}

impl Detector {
    pub(crate) fn new(workers: usize, limit: Duration, report: Report) -> Detector {
        let polls = (0..workers).map(|_| Mutex::new(None)).collect();
        Detector { limit, report, polls, sites: Mutex::default() }
    }

    /// A worker begins a poll.
    pub(super) fn begin(&self, worker: usize, task: &Identity, now: Instant) {
        *self.polls[worker].lock() = Some(Poll { task: task.clone(), since: now, reported: false });
    }

    /// The poll of a worker has ended, `now`; or the worker left it, because the task blocks in place (`None`).
    pub(super) fn end(&self, worker: usize, now: Option<Instant>) {
        let poll = self.polls[worker].lock().take();
        let (Some(poll), Some(now)) = (poll, now) else { return };
        let duration = now.saturating_duration_since(poll.since);
        if duration > self.limit && (poll.reported || self.is_new(&poll)) {
            self.report(BlockedPoll { task: poll.task, worker, duration, over: true });
        }
    }

    fn is_new(&self, poll: &Poll) -> bool {
        self.sites.lock().insert(poll.task.meta().spawned_at())
    }

    fn report(&self, blocked: BlockedPoll) {
        contain(|| (self.report)(&blocked));
    }

    /// The watchdog's life: looks at the workers until `parker` is notified.
    pub(crate) fn watch(&self, parker: &Parker) {
        let pause = (self.limit / 2).clamp(PAUSE_MIN, PAUSE_MAX);
        while !parker.park_timeout(pause) {
            self.look(Instant::now());
        }
    }

    fn look(&self, now: Instant) {
        for (worker, poll) in self.polls.iter().enumerate() {
            let blocked = {
                let mut poll = poll.lock();
                let Some(poll) = &mut *poll else { continue };
                let duration = now.saturating_duration_since(poll.since);
                if poll.reported || duration <= self.limit || !self.is_new(poll) {
                    continue;
                }
                poll.reported = true;
                BlockedPoll { task: poll.task.clone(), worker, duration, over: false }
            };
            self.report(blocked);
        }
    }
}

/// How often the watchdog looks: twice within the limit, in these bounds.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_secs(1);

impl fmt::Debug for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detector").field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::task::{Origin, identity_for_tests};

    fn world() -> (Detector, Arc<Mutex<Vec<String>>>) {
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let tell = told.clone();
        let report: Report = Arc::new(move |poll| {
            let state = if poll.is_over() { "over" } else { "stuck" };
            tell.lock().push(format!("{} {state} after {:?}", poll.name().unwrap_or("-"), poll.duration()));
        });
        (Detector::new(2, ms(10), report), told)
    }

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_site_is_reported_once_while_it_is_stuck_and_when_it_is_over() {
        let (detector, told) = world();
        let start = Instant::now();
        let take = || std::mem::take(&mut *told.lock());
        let here = || Origin::here(None);
        let one = identity_for_tests(here().named(Some("one")));
        let same_site = identity_for_tests(here().named(Some("same")));
        let two = identity_for_tests(Origin::here(None));

        detector.begin(0, &one, start);
        detector.look(start + ms(10));
        detector.end(0, Some(start + ms(10)));
        assert!(take().is_empty(), "the limit is allowed");

        detector.begin(0, &one, start);
        detector.look(start + ms(11));
        detector.look(start + ms(12));
        assert_eq!(take(), ["one stuck after 11ms"]);
        detector.end(0, Some(start + ms(40)));
        assert_eq!(take(), ["one over after 40ms"]);

        detector.begin(1, &same_site, start);
        detector.look(start + ms(30));
        detector.end(1, Some(start + ms(50)));
        assert!(take().is_empty(), "the site is known");

        detector.begin(1, &two, start);
        detector.end(1, Some(start + ms(11)));
        assert_eq!(take(), ["- over after 11ms"]);
    }

    #[test]
    fn a_poll_that_blocks_in_place_is_not_reported() {
        let (detector, told) = world();
        let start = Instant::now();
        detector.begin(0, &identity_for_tests(Origin::here(None)), start);
        detector.end(0, None);
        detector.look(start + ms(50));
        detector.end(0, Some(start + ms(50)));
        assert!(told.lock().is_empty());
    }

    #[test]
    fn it_reads_as_a_sentence() {
        let task = identity_for_tests(Origin::here(None).named(Some("reader")));
        let id = task.meta().id();
        let mut poll = BlockedPoll { task, worker: 1, duration: Duration::from_micros(12_340), over: false };
        let at = poll.spawned_at();
        let rest = format!("task {id} \"reader\", spawned at {at}, ");
        assert_eq!(poll.to_string(), format!("worker 1 is blocked: {rest}has been in one poll for 12.3ms"));
        poll.over = true;
        assert_eq!(poll.to_string(), format!("worker 1 was blocked: {rest}was in one poll for 12.3ms"));
    }
}
