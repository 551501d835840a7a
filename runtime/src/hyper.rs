//! What hyper asks of a runtime, by the feature `hyper`: an executor, and a timer that goes by the runtime's clock.
//!
//! The streams of wakeline are hyper's `Read` and `Write` themselves.

use crate::spawn::spawn;
use crate::time::ahead::sleep_until_ahead;
use crate::time::{self, Instant};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Runs hyper's futures as tasks of the current runtime.
///
/// # Panics
/// When it is used outside a runtime.
///
/// # Examples
/// ```
/// use hyper::rt::Executor;
/// use wakeline_runtime::hyper::HyperExecutor;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = wakeline_runtime::Runtime::new()?;
/// let (done, wait) = wakeline_runtime::sync::oneshot::channel();
/// runtime.block_on(async {
///     HyperExecutor::new().execute(async move { done.send(7) });
///     wait.await
/// })?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct HyperExecutor {}

impl HyperExecutor {
    /// An executor.
    #[must_use]
    pub fn new() -> HyperExecutor {
        HyperExecutor {}
    }
}

impl<F> hyper::rt::Executor<F> for HyperExecutor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        drop(spawn(future));
    }
}

/// hyper's timer, by the clock of the current runtime: under a paused or virtual clock hyper's timeouts go by that.
///
/// # Panics
/// When it is used outside a runtime, or in one that was built without `enable_time`.
///
/// # Examples
/// ```no_run
/// # fn example() {
/// let mut builder = hyper::rt::Timer::sleep(&wakeline_runtime::hyper::HyperTimer::new(), std::time::Duration::from_secs(1));
/// # drop(builder);
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct HyperTimer {}

impl HyperTimer {
    /// A timer.
    #[must_use]
    pub fn new() -> HyperTimer {
        HyperTimer {}
    }
}

impl hyper::rt::Timer for HyperTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(HyperSleep(time::sleep(duration)))
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        // hyper has just looked at this clock for it.
        Box::pin(HyperSleep(sleep_until_ahead(deadline.into())))
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, new_deadline: std::time::Instant) {
        match sleep.as_mut().downcast_mut_pin::<HyperSleep>() {
            Some(own) => own.get_mut().0.reset(new_deadline.into()),
            None => *sleep = self.sleep_until(new_deadline),
        }
    }
}

/// A [`time::Sleep`] in hyper's terms.
struct HyperSleep(time::Sleep);

impl Future for HyperSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl hyper::rt::Sleep for HyperSleep {}

#[cfg(test)]
mod tests;
