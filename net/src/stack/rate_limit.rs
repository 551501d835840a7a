//! A bucket of tokens: how often something may be done.

use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// How many errors a host sends (`icmp_msgs_per_sec` and `icmp_msgs_burst`): a bucket of tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateLimit {
    tokens: u32,
    filled_at: Option<Instant>,
}

const BURST: u32 = 50;
/// One token per millisecond.
const REFILL: Duration = Duration::from_millis(1);

impl RateLimit {
    /// A full bucket.
    pub(crate) const fn new() -> RateLimit {
        RateLimit { tokens: BURST, filled_at: None }
    }

    /// Takes a token, if there is one.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        let since = self.filled_at.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        let fresh = u32::try_from(since.as_nanos() / REFILL.as_nanos()).unwrap_or(u32::MAX);
        if fresh > 0 {
            self.tokens = self.tokens.saturating_add(fresh).min(BURST);
            self.filled_at = Some(now);
        }
        let allowed = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sent_in_bursts_of_fifty_and_one_per_millisecond() {
        let mut limit = RateLimit::new();
        let at = |us: u64| Instant::from_virtual_ns(us * 1000);
        assert_eq!((0..100).filter(|_| limit.allow(at(0))).count(), 50);
        assert_eq!((0..100).filter(|_| limit.allow(at(2500))).count(), 2);
        assert!(!limit.allow(at(2900)));
    }
}
