//! Impairments, after Linux's `netem`: what a link does to a frame, by a seeded verdict.

use crate::event::{DropReason, Drops};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wakeline_runtime::clock::Instant;
use wakeline_runtime::rng::Rng;

/// How one host's link treats frames, in each direction. The default is a perfect link.
///
/// The names are `tc-netem(8)`'s. Unlike there, the impairments apply to both directions: a delay of 5 ms adds 10 ms to
/// a round trip. Verdicts come from the LAN's seed, one sequence per direction.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use wakeline_net::emulated::Netem;
///
/// let link = Netem::new().delay(Duration::from_millis(5)).loss(0.01);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Netem {
    delay: Duration,
    loss: f64,
    limit: usize,
}

/// How many frames a delaying link holds in each direction, `tc-netem`'s default `limit`.
const LIMIT: usize = 1000;

impl Netem {
    /// A perfect link: no delay, no loss, room for 1000 delayed frames.
    #[must_use]
    pub const fn new() -> Netem {
        Netem { delay: Duration::ZERO, loss: 0.0, limit: LIMIT }
    }

    /// Delays each frame by this much, one way.
    #[must_use]
    pub const fn delay(mut self, delay: Duration) -> Netem {
        self.delay = delay;
        self
    }

    /// Loses each frame with this probability, from 0.0 to 1.0.
    ///
    /// # Panics
    /// When `probability` is not a number from 0 to 1.
    #[must_use]
    #[track_caller]
    pub fn loss(mut self, probability: f64) -> Netem {
        assert!((0.0..=1.0).contains(&probability), "a loss probability lies between 0 and 1, not {probability}");
        self.loss = probability;
        self
    }

    /// How many frames may be under way in each direction; more are lost and counted.
    #[must_use]
    pub const fn limit(mut self, frames: usize) -> Netem {
        self.limit = frames;
        self
    }

    /// Whether frames take time on this link.
    pub(crate) fn delays(&self) -> bool {
        !self.delay.is_zero()
    }

    pub(crate) fn frames_max(&self) -> usize {
        self.limit
    }
}

impl Default for Netem {
    fn default() -> Self {
        Netem::new()
    }
}

/// What happens to a frame.
pub(crate) enum Verdict {
    Pass,
    Delay(Instant),
    Lose,
}

/// One direction of one link.
#[derive(Debug)]
pub(crate) struct Wire {
    netem: Netem,
    state: Mutex<WireState>,
}

#[derive(Debug)]
struct WireState {
    rng: Rng,
    drops: Drops,
}

impl Wire {
    pub(crate) fn new(netem: Netem, rng: Rng) -> Wire {
        Wire { netem, state: Mutex::new(WireState { rng, drops: Drops::new() }) }
    }

    pub(crate) fn netem(&self) -> &Netem {
        &self.netem
    }

    /// Whether every frame passes at once, so that no verdict is needed.
    pub(crate) fn is_plain(&self) -> bool {
        self.netem.loss == 0.0 && !self.netem.delays()
    }

    /// Decides about one frame that enters the wire at `now`.
    pub(crate) fn verdict(&self, now: impl FnOnce() -> Instant) -> Verdict {
        if self.netem.loss > 0.0 {
            let mut state = self.state();
            if state.rng.chance(self.netem.loss) {
                state.drops.count(DropReason::NetemLoss);
                return Verdict::Lose;
            }
        }
        if self.netem.delays() { Verdict::Delay(now().saturating_add(self.netem.delay)) } else { Verdict::Pass }
    }

    /// Counts a frame that this wire lost for another reason than its verdict.
    pub(crate) fn count_drop(&self, reason: DropReason) {
        self.state().drops.count(reason);
    }

    pub(crate) fn drops(&self) -> Drops {
        self.state().drops.clone()
    }

    fn state(&self) -> MutexGuard<'_, WireState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
