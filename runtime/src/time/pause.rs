//! [`pause`], [`resume`], [`advance`]: time as a test wants it.

use crate::clock::{Clock, Instant, PausableClock};
use crate::context;
use crate::spawn::yield_now;
use crate::time::sleep::{no_timers, sleep_until};
use std::time::Duration;

/// Stops the clock of the current runtime, so that a test decides how time passes.
///
/// From then on [`Instant::now`](crate::time::Instant::now) gives the same moment until the clock is moved: by
/// [`advance`], or by the runtime itself. When it has nothing to do but wait for a timer, it moves the clock to the
/// next deadline instead of sleeping, so that every `sleep` takes no time and ends to the nanosecond. It leaves the clock
/// alone while closures of [`spawn_blocking`](crate::spawn_blocking) are queued or run.
///
/// Only the time of this module stops. `std::time::Instant`, threads and the operating system go on.
///
/// [`Builder::start_paused`](crate::Builder::start_paused) begins with a clock that stands.
///
/// # Panics
/// When the clock stands already, in a multi-thread runtime, and outside a runtime.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use wakeline_runtime::time::{self, Instant};
///
/// # fn main() -> std::io::Result<()> {
/// let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().build()?;
/// runtime.block_on(async {
///     time::pause();
///     let start = Instant::now();
///     time::sleep(Duration::from_secs(3600)).await; // at once
///     assert_eq!(start.elapsed(), Duration::from_secs(3600));
/// });
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn pause() {
    if !pausable("pause").is_some_and(|clock| clock.pause()) {
        panic!("the clock of this runtime stands already: `pause` it once, and not at all after `start_paused(true)`");
    }
}

/// Lets a clock that stands run again, from the moment it shows.
///
/// # Panics
/// When the clock runs, in a multi-thread runtime, and outside a runtime.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use wakeline_runtime::time::{self, Instant};
///
/// # fn main() -> std::io::Result<()> {
/// let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
/// runtime.block_on(async {
///     let start = Instant::now();
///     time::sleep(Duration::from_secs(3600)).await; // at once
///     time::resume();
///     time::sleep(Duration::from_millis(1)).await; // as long as it says
///     assert!(start.elapsed() > Duration::from_secs(3600));
/// });
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn resume() {
    match pausable("resume") {
        Some(clock) if clock.resume() => {}
        Some(_) => panic!("the clock of this runtime runs: `resume` goes with a `pause` before it"),
        None => panic!("this runtime's clock is a simulation's, which never runs by itself"),
    }
}

/// Moves a clock that stands by `duration`, and lets happen what happens in that time.
///
/// The clock goes from deadline to deadline: at each of them its timers fire, and what they wake runs until it waits
/// again, before the clock goes on. When this is done, every timer that was due has fired in the order of the deadlines,
/// and the tasks have run. (tokio moves the clock in one go, fires what is due then, and yields once.) A runtime that
/// never comes to rest, for a task that yields for ever, is left a thousand polls, about, for each deadline. Closures
/// of the blocking pool do not hold this up.
///
/// Of two that run at the same time, the second adds to the first.
///
/// # Panics
/// When the clock runs, or can not be moved so far; in a multi-thread runtime, in one without `enable_time`, and outside
/// a runtime.
///
/// # Cancel safety
/// Dropped while it waits, it may have moved the clock by a part of `duration`.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use wakeline_runtime::time::{self, Instant};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = wakeline_runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
/// runtime.block_on(async {
///     let start = Instant::now();
///     let alarm = wakeline_runtime::spawn(async move {
///         time::sleep(Duration::from_secs(5)).await;
///         start.elapsed()
///     });
///     time::advance(Duration::from_secs(60)).await;
///     assert!(alarm.is_finished());
///     assert_eq!(alarm.await?, Duration::from_secs(5));
///     assert_eq!(start.elapsed(), Duration::from_secs(60));
///     Ok(())
/// })
/// # }
/// ```
pub async fn advance(duration: Duration) {
    let goal = goal(duration);
    // Behind all timers that are set for the same moment.
    sleep_until(goal).await;
    // Those that it woke run first.
    yield_now().await;
}

fn goal(duration: Duration) -> Instant {
    if context::current().driver().timers().is_none() {
        no_timers();
    }
    let goal = match pausable("advance") {
        Some(clock) => {
            assert!(clock.stands(), "the clock of this runtime runs: `pause` it before you `advance` it");
            clock.advance(duration)
        }
        None => context::current().clock().now().checked_add(duration),
    };
    goal.expect("the clock can not be moved so far: 500 years is the end of time")
}

/// The clock of the current runtime; `None` when it is a simulation's, which always stands.
#[track_caller]
fn pausable(what: &str) -> Option<PausableClock> {
    match context::current().clock() {
        Clock::Pausable(clock) => Some(clock.clone()),
        Clock::Virtual(_) => None,
        Clock::Real => panic!(
            "`time::{what}` works in a current-thread runtime only, where one thread does everything: build the test's \
             runtime by `Builder::new_current_thread`, or leave out `flavor = \"multi_thread\"`"
        ),
    }
}
