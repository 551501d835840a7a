//! [`PausableClock`]: the operating system's clock, until a test stops it.
//!
//! # State
//! `state` is the truth, behind a lock. `shown` is what of it a look at the clock needs: as long as nobody has ever
//! stopped the clock, one relaxed load says so. Relaxed is enough: a thread that learns of a change by other means
//! (a channel, a join) reads what was written before it, and all else is a race of its own making.
//!
//! # When an idle runtime moves the clock
//! To the next deadline, but
//! - not while the blocking pool works ([`hold`](PausableClock::hold)), since its result may come before any deadline;
//! - however much it works, as far as the `goal` of a [`advance`](PausableClock::advance).

use crate::atomic::{AtomicU64, AtomicUsize, Mutex, Ordering};
use crate::clock::instant::Instant;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

/// A clock that runs with the operating system's and can be stopped, moved and let run again. Clones share one time.
///
/// [`time::pause`](crate::time::pause) and its siblings are how it is used.
#[derive(Clone)]
pub struct PausableClock(Arc<Inner>);

struct Inner {
    /// [`AS_THE_SYSTEM`], [`SHIFTED`], or the nanoseconds of the moment at which the clock stands.
    shown: AtomicU64,
    state: Mutex<State>,
    /// How many closures the blocking pool has, queued or running.
    held: AtomicUsize,
    /// Gets the driver out of a sleep that it planned by what the clock was.
    driver: OnceLock<Waker>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// As the operating system's clock, which showed `system` when this one showed `own`.
    Running { own: Instant, system: Instant },
    /// At `now`. `goal` is the latest moment to which somebody asked to move it.
    Standing { now: Instant, goal: Instant },
}

const AS_THE_SYSTEM: u64 = 0;
const SHIFTED: u64 = 1;

impl PausableClock {
    /// A clock that runs.
    pub(crate) fn running() -> PausableClock {
        let origin = Instant::from_nanos(0);
        PausableClock::with(AS_THE_SYSTEM, State::Running { own: origin, system: origin })
    }

    /// A clock that stands, at a moment that is the same in every run.
    pub(crate) fn paused() -> PausableClock {
        let start = Instant::from_virtual_ns(0);
        PausableClock::with(start.as_nanos(), State::Standing { now: start, goal: start })
    }

    fn with(shown: u64, state: State) -> PausableClock {
        PausableClock(Arc::new(Inner {
            shown: AtomicU64::new(shown),
            state: Mutex::new(state),
            held: AtomicUsize::new(0),
            driver: OnceLock::new(),
        }))
    }

    /// Whom to wake when the clock has changed.
    pub(crate) fn set_driver(&self, waker: Waker) {
        self.0.driver.set(waker).expect("a clock belongs to one driver");
    }

    /// The moment the clock shows.
    #[must_use]
    #[inline]
    pub fn now(&self) -> Instant {
        match self.0.shown.load(Ordering::Relaxed) {
            AS_THE_SYSTEM => Instant::now_real(),
            SHIFTED => self.shifted_now(),
            now => Instant::from_nanos(now),
        }
    }

    #[cold]
    fn shifted_now(&self) -> Instant {
        self.0.state.lock().now()
    }

    /// Whether the clock stands.
    #[must_use]
    #[inline]
    pub fn stands(&self) -> bool {
        self.0.shown.load(Ordering::Relaxed) > SHIFTED
    }

    /// Whether nobody has ever stopped it.
    #[inline]
    pub(crate) fn is_the_systems(&self) -> bool {
        self.0.shown.load(Ordering::Relaxed) == AS_THE_SYSTEM
    }

    /// Stops the clock; false when it stood.
    pub(crate) fn pause(&self) -> bool {
        let mut state = self.0.state.lock();
        if let State::Standing { .. } = *state {
            return false;
        }
        let now = state.now();
        self.set(&mut state, State::Standing { now, goal: now });
        drop(state);
        self.wake_driver();
        true
    }

    /// Lets the clock run on from where it stands; false when it ran.
    pub(crate) fn resume(&self) -> bool {
        let mut state = self.0.state.lock();
        let State::Standing { now, .. } = *state else { return false };
        self.set(&mut state, State::Running { own: now, system: Instant::now_real() });
        drop(state);
        self.wake_driver();
        true
    }

    /// Asks the runtime to move the clock by `duration`, after what it was asked before; says which moment that is, or
    /// `None` when the clock runs or can not name it.
    pub(crate) fn advance(&self, duration: Duration) -> Option<Instant> {
        let mut state = self.0.state.lock();
        let State::Standing { now, goal } = *state else { return None };
        let goal = goal.max(now).checked_add(duration).filter(|goal| *goal != Instant::FAR_FUTURE)?;
        *state = State::Standing { now, goal };
        drop(state);
        self.wake_driver();
        Some(goal)
    }

    /// Moves a clock that stands to `moment`, never back.
    pub(crate) fn advance_to(&self, moment: Instant) {
        let mut state = self.0.state.lock();
        if let State::Standing { now, goal } = *state {
            self.set(&mut state, State::Standing { now: now.max(moment), goal });
        }
    }

    /// How far an idle runtime may move the clock.
    pub(crate) fn idle_limit(&self) -> Instant {
        // Acquire pairs with the Release of `let_go`: whoever was woken before it is seen to be.
        if self.0.held.load(Ordering::Acquire) == 0 {
            return Instant::FAR_FUTURE;
        }
        match *self.0.state.lock() {
            State::Standing { now, goal } => goal.max(now),
            State::Running { .. } => Instant::from_nanos(0),
        }
    }

    /// The moment to which somebody asked to move the clock, if that is yet to come.
    pub(crate) fn goal(&self) -> Option<Instant> {
        match *self.0.state.lock() {
            State::Standing { now, goal } if goal > now => Some(goal),
            _ => None,
        }
    }

    /// The blocking pool has one closure more.
    pub(crate) fn hold(&self) {
        // Relaxed: whoever counts on it submits the closure afterwards, and looks at the clock on the same thread.
        self.0.held.fetch_add(1, Ordering::Relaxed);
    }

    /// The blocking pool has one closure less; whoever waited for it has been woken.
    pub(crate) fn let_go(&self) {
        // Release pairs with the Acquire of `idle_limit`.
        if self.0.held.fetch_sub(1, Ordering::Release) == 1 && self.stands() {
            self.wake_driver();
        }
    }

    fn set(&self, state: &mut State, new: State) {
        *state = new;
        let shown = match new {
            State::Running { .. } => SHIFTED,
            State::Standing { now, .. } => now.as_nanos(),
        };
        self.0.shown.store(shown, Ordering::Relaxed);
    }

    fn wake_driver(&self) {
        if let Some(driver) = self.0.driver.get() {
            driver.wake_by_ref();
        }
    }
}

impl State {
    fn now(self) -> Instant {
        match self {
            State::Running { own, system } => own.saturating_add(Instant::now_real().saturating_duration_since(system)),
            State::Standing { now, .. } => now,
        }
    }
}

impl fmt::Debug for PausableClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PausableClock").field(&*self.0.state.lock()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_runs_with_the_system_until_it_is_stopped() {
        let clock = PausableClock::running();
        let before = Instant::now_real();
        let now = clock.now();
        assert!(before <= now && now <= Instant::now_real());
        assert!(!clock.stands() && !clock.resume());
        assert!(clock.pause() && clock.stands() && !clock.pause());
        assert_eq!(clock.now(), clock.now());
    }

    #[test]
    fn it_goes_on_from_where_it_stood() {
        let clock = PausableClock::running();
        assert!(clock.pause());
        let stood = clock.now();
        clock.advance_to(stood + ms(3_600_000));
        assert_eq!(clock.now(), stood + ms(3_600_000));
        clock.advance_to(stood);
        assert_eq!(clock.now(), stood + ms(3_600_000), "never back");
        assert!(clock.resume());
        let now = clock.now();
        assert!(now >= stood + ms(3_600_000), "an hour ahead of the system, and running");
        assert!(clock.pause());
        assert!(clock.now() >= now);
    }

    #[test]
    fn a_clock_that_begins_paused_begins_at_the_same_moment_in_every_run() {
        assert_eq!(PausableClock::paused().now(), Instant::from_virtual_ns(0));
    }

    #[test]
    fn the_pool_holds_it_but_for_a_goal() {
        let clock = PausableClock::paused();
        let start = clock.now();
        assert_eq!(clock.idle_limit(), Instant::FAR_FUTURE);
        clock.hold();
        assert_eq!((clock.idle_limit(), clock.goal()), (start, None));
        assert_eq!(clock.advance(ms(5)), Some(start + ms(5)));
        assert_eq!(clock.advance(ms(5)), Some(start + ms(10)), "one after the other, not at once");
        assert_eq!((clock.idle_limit(), clock.goal()), (start + ms(10), Some(start + ms(10))));
        clock.advance_to(start + ms(10));
        assert_eq!(clock.goal(), None);
        clock.let_go();
        assert_eq!(clock.idle_limit(), Instant::FAR_FUTURE);
    }

    #[test]
    fn what_can_not_be_reached_is_refused() {
        let clock = PausableClock::paused();
        assert_eq!(clock.advance(Duration::MAX), None);
        assert!(clock.resume());
        assert_eq!(clock.advance(ms(1)), None, "it runs");
    }
}
