//! Sleeps of those who have just looked at the clock.

use crate::clock::Instant;
use crate::time::sleep::{Sleep, with_timers};
use crate::trace::Place;

/// As [`sleep_until`](crate::time::sleep_until), for a `deadline` that lies ahead as far as the caller knows, which saves a look at
/// the clock. One that has passed nevertheless is ready after the driver's next turn.
#[track_caller]
pub(crate) fn sleep_until_ahead(deadline: Instant) -> Sleep {
    let shard = with_timers(|timers| timers.here().clone());
    Sleep::new(deadline, LONG_AGO, shard).told_of(Place::here())
}

const LONG_AGO: Instant = Instant::from_nanos(0);
