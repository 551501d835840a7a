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
    /// `tcp_rto_min_us`: the least retransmission timeout beyond the round trip.
    pub(crate) rto_min: Duration,
}

impl Default for TcpSysctls {
    fn default() -> Self {
        TcpSysctls { timestamps: true, sack: true, rto_min: RTO_MIN }
    }
}

impl TcpSysctls {
    /// What is offered to a peer.
    pub(crate) fn features(&self) -> Features {
        let mut features = Features::empty();
        features.set(Features::TIMESTAMPS, self.timestamps);
        features.set(Features::SACK, self.sack);
        features
    }
}
