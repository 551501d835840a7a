//! How this host's TCP behaves where Linux lets its owner choose (`net.ipv4.tcp_*`), with Linux's defaults.

use crate::stack::tcp::options::Features;
use crate::stack::tcp::rto::RTO_MIN;
use std::time::Duration;

/// See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TcpSysctls {
    /// `tcp_timestamps`: with a random offset.
    pub(crate) timestamps: bool,
    /// `tcp_sack`
    pub(crate) sack: bool,
    /// `tcp_ecn`
    pub(crate) ecn: Ecn,
    /// `tcp_rto_min_us`: the least retransmission timeout beyond the round trip.
    pub(crate) rto_min: Duration,
}

/// When ECN is used (`net.ipv4.tcp_ecn`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ecn {
    /// Never (0).
    #[allow(dead_code, reason = "a host has no setting for it yet")]
    Off,
    /// Asked for by every connection that is opened, and agreed to (1).
    #[allow(dead_code, reason = "a host has no setting for it yet")]
    Ask,
    /// Agreed to when a peer asks (2).
    Accept,
}

impl Default for TcpSysctls {
    fn default() -> Self {
        TcpSysctls { timestamps: true, sack: true, ecn: Ecn::Accept, rto_min: RTO_MIN }
    }
}

impl TcpSysctls {
    /// What is offered to a peer.
    pub(crate) fn features(&self) -> Features {
        let mut features = Features::empty();
        features.set(Features::TIMESTAMPS, self.timestamps);
        features.set(Features::SACK, self.sack);
        features.set(Features::ECN, self.ecn == Ecn::Ask);
        features.set(Features::ECN_ACCEPT, self.ecn == Ecn::Accept);
        features
    }
}
