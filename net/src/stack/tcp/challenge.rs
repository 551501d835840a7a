//! How many challenge ACKs (RFC 5961 section 7) a host sends in a second, over all connections.
//!
//! Off by default, as in Linux: each connection has a limit of its own. A limit that all share is a side channel unless
//! nobody can tell how far it is used; so every second has another one, between half and one and a half of what was set.

use crate::stack::keyed_hash::keyed_hash;
use wakeline_runtime::clock::Instant;

/// `tcp_challenge_ack_limit` and what is left of it in this second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChallengeLimit {
    /// `None` is no limit.
    per_second: Option<u32>,
    key: [u64; 2],
    second: u64,
    left: u32,
}

impl ChallengeLimit {
    /// A limit; chance comes from the host's secret.
    pub(crate) fn new(per_second: Option<u32>, [a, b, c, d]: [u64; 4]) -> ChallengeLimit {
        ChallengeLimit { per_second, key: [a ^ c, b ^ d], second: u64::MAX, left: 0 }
    }

    /// Whether another one may be sent (`tcp_send_challenge_ack`).
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        let Some(limit) = self.per_second else { return true };
        let second = now.as_nanos() / 1_000_000_000;
        if second != self.second {
            let half = limit.div_ceil(2);
            let chance = keyed_hash(self.key, &[second]) % u64::from(limit.max(1));
            (self.second, self.left) = (second, half.saturating_add(chance as u32));
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_has_another_limit() {
        let mut limit = ChallengeLimit::new(Some(100), [1, 2, 3, 4]);
        let mut sent_in = |second: u64| {
            (0..1000).filter(|ms| limit.allow(Instant::from_virtual_ns((second * 1000 + ms) * 1_000_000))).count()
        };
        let counts: Vec<_> = (0..50).map(&mut sent_in).collect();
        assert!(counts.iter().all(|count| (50..150).contains(count)), "{counts:?}");
        assert!(counts.iter().collect::<std::collections::BTreeSet<_>>().len() > 20, "{counts:?}");
        let mut none = ChallengeLimit::new(None, [1, 2, 3, 4]);
        assert!((0..100_000).all(|_| none.allow(Instant::from_virtual_ns(0))));
    }
}
