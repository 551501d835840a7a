//! A bucket of tokens: how often something may be done.

use ahash::RandomState;
use std::collections::HashMap;
use std::net::IpAddr;
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

/// How many errors a host sends to one peer (`icmp_ratelimit`, RFC 1812 4.3.2.8, RFC 4443 2.4 (f)): one a second, after
/// six at once. The table is bounded; when it is full it is emptied, which leaves the limit for all.
#[derive(Debug)]
pub(crate) struct PeerLimits {
    peers: HashMap<IpAddr, (u32, Instant), RandomState>,
}

/// `XRLIM_BURST_FACTOR`
const PEER_BURST: u32 = 6;
const PEER_REFILL: Duration = Duration::from_secs(1);
const PEERS_MAX: usize = 1024;

impl PeerLimits {
    /// Nobody was told anything yet.
    pub(crate) fn new([a, b, c, d]: [u64; 4]) -> PeerLimits {
        PeerLimits { peers: HashMap::with_hasher(RandomState::with_seeds(b, c, d, a)) }
    }

    /// Takes one of a peer's tokens, if there is one.
    pub(crate) fn allow(&mut self, peer: IpAddr, now: Instant) -> bool {
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&peer) {
            self.peers.clear();
        }
        let (tokens, filled_at) = self.peers.entry(peer).or_insert((PEER_BURST, now));
        let fresh = now.saturating_duration_since(*filled_at).as_secs();
        if fresh > 0 {
            *tokens = tokens.saturating_add(u32::try_from(fresh).unwrap_or(PEER_BURST)).min(PEER_BURST);
            *filled_at = filled_at.saturating_add(PEER_REFILL * u32::try_from(fresh).unwrap_or(u32::MAX));
        }
        let allowed = *tokens > 0;
        *tokens = tokens.saturating_sub(1);
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

    #[test]
    fn one_peer_gets_six_errors_and_one_a_second() {
        let mut limits = PeerLimits::new([1, 2, 3, 4]);
        let at = |ms: u64| Instant::from_virtual_ns(ms * 1_000_000);
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        assert_eq!((0..100).filter(|_| limits.allow(one, at(0))).count(), 6);
        assert_eq!((0..100).filter(|_| limits.allow(one, at(2500))).count(), 2);
        assert_eq!((0..100).filter(|_| limits.allow(one, at(3000))).count(), 1);
        assert!(limits.allow(other, at(3000)));
        for n in 0..5000u32 {
            limits.allow(std::net::Ipv4Addr::from_bits(n).into(), at(4000));
        }
        assert!(limits.peers.len() <= 1024);
    }
}
