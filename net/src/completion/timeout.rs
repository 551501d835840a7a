//! Timeouts: operations that end with time (`IORING_OP_TIMEOUT`, `IORING_OP_LINK_TIMEOUT`).
//!
//! A task of the submitter's runtime sleeps until then; the kernel has a timer there (`io_timeout_fn`, `io_link_timeout_fn`). So a
//! timeout goes by that runtime's clock, and ends with it.

use crate::completion::op::{By, Op};
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;
use wakeline_runtime::Handle;
use wakeline_runtime::task::AbortHandle;
use wakeline_runtime::time::{Sleep, sleep};

/// What there is of a timeout while it is under way.
pub(super) struct Timeout {
    runtime: Handle,
    /// Until it begins.
    sleep: Option<Sleep>,
    duration: Duration,
    timer: Option<Timer>,
    /// Its time is over.
    pub(super) is_due: bool,
    pub(super) until: Until,
}

/// What ends a timeout before its time.
pub(super) enum Until {
    /// Nothing.
    Time,
    /// The ring has told of so many operations, all in all.
    Told(u64),
    /// This operation is over. It is cancelled when the time is.
    Over(Weak<Op>),
}

/// The task that sleeps, while somebody cares.
struct Timer(AbortHandle);

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Ends the operation with the task, in whatever way.
struct Alarm(Weak<Op>);

impl Drop for Alarm {
    fn drop(&mut self) {
        // The runtime has shut down; or the operation is over, and nothing happens.
        if let Some(op) = self.0.upgrade() {
            op.cancel();
        }
    }
}

impl Timeout {
    /// One whose time begins now, or, of another operation, with that.
    ///
    /// # Errors
    /// `Unsupported` outside of a runtime.
    #[track_caller]
    pub(super) fn new(duration: Duration, until: Until) -> io::Result<Timeout> {
        let Ok(runtime) = Handle::try_current() else {
            let why = "a timeout goes by the clock of the runtime in which it is submitted, and here is none";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        };
        Ok(Timeout { runtime, sleep: Some(sleep(duration)), duration, timer: None, is_due: false, until })
    }

    /// Sets the timer of `op`, which it belongs to, once.
    pub(super) fn start(&mut self, op: &Arc<Op>) {
        let Some(from_submission) = self.sleep.take() else { return };
        let (alarm, duration) = (Alarm(Arc::downgrade(op)), self.duration);
        let begins_here = matches!(self.until, Until::Over(_));
        let task = self.runtime.spawn(async move {
            if begins_here {
                sleep(duration).await
            } else {
                from_submission.await
            }
            if let Some(op) = alarm.0.upgrade() {
                op.expire();
            }
        });
        self.timer = Some(Timer(task.abort_handle()));
    }

    /// Whose time is over cancels what it was for.
    pub(super) fn strike(&self) {
        if let Until::Over(op) = &self.until
            && let Some(op) = op.upgrade()
        {
            op.cancel();
        }
    }
}

impl By {
    /// Who has brought a timeout forward is its timer, where it was not somebody else.
    pub(super) fn of_timeout(self, is_due: bool) -> By {
        if is_due && self == By::Wake { By::Timer } else { self }
    }
}
