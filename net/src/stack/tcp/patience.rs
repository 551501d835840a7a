//! TCP_USER_TIMEOUT (RFC 5482): how long what is out, or waits for the peer's window, may make no progress.

use crate::stack::tcp::control_block::ControlBlock;
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(super) timeout: Duration,
    /// When something was acknowledged, or sent while nothing was out, or the window was found closed.
    stuck_since: Instant,
}

impl ControlBlock {
    /// Takes over what a program has set; zero is no timeout. What is stuck already is measured from when something was
    /// last heard or sent.
    pub(super) fn set_user_timeout(&mut self, ms: u32) {
        let stuck_since = self.last_ack_at.max(self.last_sent_at);
        let timeout = Duration::from_millis(ms.into());
        self.patience = (ms > 0).then(|| Box::new(Patience { timeout, stuck_since }));
    }

    /// There is progress, or it is waited for from now on.
    #[inline]
    pub(super) fn renew_patience(&mut self, now: Instant) {
        if let Some(patience) = &mut self.patience {
            patience.stuck_since = now;
        }
    }

    /// How much of it is left; nothing where there is no timeout.
    pub(super) fn patience_left(&self, now: Instant) -> Option<Duration> {
        let patience = self.patience.as_ref()?;
        Some(patience.timeout.saturating_sub(now.saturating_duration_since(patience.stuck_since)))
    }
}
