//! Initial sequence numbers (RFC 6528) and ephemeral ports (RFC 6056), from keyed hashes of the connection's ends.

use crate::stack::demux::FourTuple;
use crate::stack::endpoint::Endpoint;
use crate::stack::keyed_hash::keyed_hash;
use crate::wire::tcp::SeqNumber;
use std::net::IpAddr;
use wakeline_runtime::clock::Instant;

/// The keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Secrets {
    isn: [u64; 2],
    port: [u64; 2],
}

impl Secrets {
    /// Splits a host's secret.
    pub(crate) fn new([a, b, c, d]: [u64; 4]) -> Secrets {
        Secrets { isn: [a, b], port: [c, d] }
    }

    /// RFC 6528 section 3: `M + F(localip, localport, remoteip, remoteport, secretkey)`; the timer M ticks every 64 ns,
    /// as Linux's.
    pub(crate) fn isn(&self, flow: &FourTuple, now: Instant) -> SeqNumber {
        let f = keyed_hash(self.isn, &flow.words());
        SeqNumber((f as u32).wrapping_add((now.as_nanos() >> 6) as u32))
    }

    /// RFC 7323 7.1: where a connection's timestamps begin. The same for the same ends, so that a connection that takes the
    /// place of one in TIME-WAIT goes on from there.
    pub(crate) fn ts_offset(&self, flow: &FourTuple) -> u32 {
        let ([a, b], [c, d]) = (self.isn, self.port);
        keyed_hash([a ^ d, b ^ c], &flow.words()) as u32
    }

    /// RFC 6056 algorithm 3: where in the range of ephemeral ports to begin the search.
    pub(crate) fn port_offset(&self, local: IpAddr, remote: Endpoint) -> u32 {
        let local = Endpoint::new(local, 0);
        keyed_hash(self.port, &FourTuple { local, remote }.words()) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_with_time_and_differ_by_flow_and_key() {
        let flow = |port| FourTuple {
            local: Endpoint::new(IpAddr::from([10, 0, 0, 1]), port),
            remote: Endpoint::new(IpAddr::from([10, 0, 0, 2]), 80),
        };
        let secrets = Secrets::new([1, 2, 3, 4]);
        let at = |ms: u64| Instant::from_virtual_ns(ms * 1_000_000);
        assert_eq!(secrets.isn(&flow(1), at(64)) - secrets.isn(&flow(1), at(0)), 1_000_000);
        assert_ne!(secrets.isn(&flow(1), at(0)), secrets.isn(&flow(2), at(0)));
        assert_ne!(secrets.isn(&flow(1), at(0)), Secrets::new([9, 2, 3, 4]).isn(&flow(1), at(0)));
    }
}
