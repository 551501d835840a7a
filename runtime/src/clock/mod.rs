//! Time as the machinery sees it: a number of nanoseconds that a [`Clock`] hands in.
//!
//! Below the API nobody asks the operating system for the time. A clock may also stand still until it is moved: for good
//! ([`Clock::Virtual`]), or for as long as a test wants ([`Clock::Pausable`]). Then the driver of an idle runtime moves
//! it to the next deadline instead of sleeping, and the same code runs in no time.

mod instant;
mod pausable;
mod system;
mod tick;
mod virtual_clock;

pub use instant::Instant;
pub use pausable::PausableClock;
pub(crate) use tick::Tick;
pub use virtual_clock::VirtualClock;

use std::task::Waker;

/// Who says what time it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Clock {
    /// The operating system's monotone clock.
    Real,
    /// The operating system's, unless a test has stopped it: the clock of a current-thread runtime.
    Pausable(PausableClock),
    /// Stands still until advanced: the clock of a simulation.
    Virtual(VirtualClock),
}

impl Clock {
    /// The present moment.
    #[must_use]
    #[inline]
    pub fn now(&self) -> Instant {
        match self {
            Clock::Real => Instant::now_real(),
            Clock::Pausable(clock) => clock.now(),
            Clock::Virtual(clock) => clock.now(),
        }
    }

    /// The clock as one that moves only when told to, if it is one now.
    #[inline]
    pub(crate) fn standing(&self) -> Option<Standing<'_>> {
        match self {
            Clock::Pausable(clock) if clock.stands() => Some(Standing::Paused(clock)),
            Clock::Virtual(clock) => Some(Standing::Virtual(clock)),
            Clock::Real | Clock::Pausable(_) => None,
        }
    }

    /// The present moment, if it costs no look at the operating system's clock.
    #[inline]
    pub(crate) fn now_if_standing(&self) -> Option<Instant> {
        self.standing().map(|clock| clock.now())
    }

    /// Whether this is the operating system's clock, and nobody has ever stopped it.
    #[inline]
    pub(crate) fn is_the_systems(&self) -> bool {
        match self {
            Clock::Real => true,
            Clock::Pausable(clock) => clock.is_the_systems(),
            Clock::Virtual(_) => false,
        }
    }

    /// Whom to wake when a clock that stands is moved, or let run.
    pub(crate) fn set_driver(&self, driver: &Waker) {
        if let Clock::Pausable(clock) = self {
            clock.set_driver(driver.clone());
        }
    }

    /// A closure goes to the blocking pool: until [`let_go`](Clock::let_go) an idle runtime leaves a paused clock alone.
    pub(crate) fn hold(&self) {
        if let Clock::Pausable(clock) = self {
            clock.hold();
        }
    }

    /// A closure has ended, and whoever waits for it has been woken.
    pub(crate) fn let_go(&self) {
        if let Clock::Pausable(clock) = self {
            clock.let_go();
        }
    }
}

/// A clock that stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Standing<'a> {
    Paused(&'a PausableClock),
    Virtual(&'a VirtualClock),
}

impl Standing<'_> {
    pub(crate) fn now(self) -> Instant {
        match self {
            Standing::Paused(clock) => clock.now(),
            Standing::Virtual(clock) => clock.now(),
        }
    }

    /// How far an idle runtime may move the clock.
    pub(crate) fn idle_limit(self) -> Instant {
        match self {
            Standing::Paused(clock) => clock.idle_limit(),
            Standing::Virtual(_) => Instant::FAR_FUTURE,
        }
    }

    /// How far a busy runtime shall move the clock in the end; `None` when nobody asks for it.
    pub(crate) fn goal(self) -> Option<Instant> {
        match self {
            Standing::Paused(clock) => clock.goal(),
            Standing::Virtual(_) => None,
        }
    }

    pub(crate) fn advance_to(self, moment: Instant) {
        match self {
            Standing::Paused(clock) => clock.advance_to(moment),
            Standing::Virtual(clock) => clock.advance_to(moment),
        }
    }
}
