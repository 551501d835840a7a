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
    /// `tcp_mtu_probing`, without its third way: segments become smaller when large ones seem to vanish (RFC 4821).
    pub(crate) mtu_probing: bool,
    /// `tcp_rto_min_us`: the least retransmission timeout beyond the round trip.
    pub(crate) rto_min: Duration,
    /// `tcp_syncookies`
    pub(crate) syncookies: SynCookies,
    /// `tcp_max_syn_backlog`: without cookies, the last quarter of so many half-open connections is for peers that are
    /// known, which here nobody is.
    pub(crate) max_syn_backlog: u32,
    /// `tcp_abort_on_overflow`: a handshake that finds the accept queue full is reset instead of left to repeat itself.
    pub(crate) abort_on_overflow: bool,
    /// `tcp_synack_retries`
    pub(crate) synack_retries: u8,
    /// `tcp_tw_reuse`: whether a connection may take the place of one in TIME-WAIT that we closed.
    pub(crate) tw_reuse: TwReuse,
    /// `tcp_rfc1337`: a reset does not end TIME-WAIT.
    pub(crate) rfc1337: bool,
    /// `tcp_max_orphans`: connections that nobody holds any more. One too many is reset.
    pub(crate) max_orphans: u32,
    /// `tcp_challenge_ack_limit`: per second, over all connections; `None` for no limit.
    pub(crate) challenge_ack_limit: Option<u32>,
    /// `tcp_mem`, its third number: how many bytes all connections together may hold.
    pub(crate) mem_max: u64,
}

/// `tcp_mem` counts pages.
const PAGE: u64 = 4096;

/// When a SYN is answered without being remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SynCookies {
    /// Never: what finds the queue full is dropped.
    Off,
    /// When the queue is full.
    WhenFull,
    /// Always.
    Always,
}

/// Where `tcp_tw_reuse` applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TwReuse {
    Off,
    /// To every peer.
    On,
    /// Only to this host itself.
    Loopback,
}

/// When ECN is used (`net.ipv4.tcp_ecn`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ecn {
    /// Never (0).
    Off,
    /// Asked for by every connection that is opened, and agreed to (1).
    Ask,
    /// Agreed to when a peer asks (2).
    Accept,
}

impl Default for TcpSysctls {
    fn default() -> Self {
        TcpSysctls {
            timestamps: true,
            sack: true,
            ecn: Ecn::Accept,
            mtu_probing: false,
            syncookies: SynCookies::WhenFull,
            max_syn_backlog: 4096,
            abort_on_overflow: false,
            synack_retries: 5,
            tw_reuse: TwReuse::Loopback,
            rfc1337: false,
            max_orphans: 262_144,
            challenge_ack_limit: None,
            mem_max: 1 << 30,
            rto_min: RTO_MIN,
        }
    }
}

impl TcpSysctls {
    /// Sets the one of this name, without `net.ipv4.`; `false` for a name or a value that there is not.
    #[must_use]
    pub(crate) fn set(&mut self, name: &str, value: u32) -> bool {
        match (name, value) {
            ("tcp_timestamps", 0..=1) => self.timestamps = value == 1,
            ("tcp_sack", 0..=1) => self.sack = value == 1,
            ("tcp_mtu_probing", 0..=1) => self.mtu_probing = value == 1,
            ("tcp_ecn", 0) => self.ecn = Ecn::Off,
            ("tcp_ecn", 1) => self.ecn = Ecn::Ask,
            ("tcp_ecn", 2) => self.ecn = Ecn::Accept,
            ("tcp_syncookies", 0) => self.syncookies = SynCookies::Off,
            ("tcp_syncookies", 1) => self.syncookies = SynCookies::WhenFull,
            ("tcp_syncookies", 2) => self.syncookies = SynCookies::Always,
            ("tcp_max_syn_backlog", _) => self.max_syn_backlog = value,
            ("tcp_abort_on_overflow", 0..=1) => self.abort_on_overflow = value == 1,
            ("tcp_synack_retries", 0..=255) => self.synack_retries = value as u8,
            ("tcp_tw_reuse", 0) => self.tw_reuse = TwReuse::Off,
            ("tcp_tw_reuse", 1) => self.tw_reuse = TwReuse::On,
            ("tcp_tw_reuse", 2) => self.tw_reuse = TwReuse::Loopback,
            ("tcp_rfc1337", 0..=1) => self.rfc1337 = value == 1,
            ("tcp_rto_min_us", 1..) => self.rto_min = Duration::from_micros(value.into()),
            ("tcp_max_orphans", _) => self.max_orphans = value,
            ("tcp_challenge_ack_limit", _) => {
                self.challenge_ack_limit = (value < i32::MAX as u32).then_some(value);
            }
            ("tcp_mem", _) => self.mem_max = u64::from(value) * PAGE,
            _ => return false,
        }
        true
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_checked() {
        let mut tcp = TcpSysctls::default();
        assert!(tcp.set("tcp_syncookies", 2) && tcp.syncookies == SynCookies::Always);
        assert!(tcp.set("tcp_tw_reuse", 1) && tcp.tw_reuse == TwReuse::On);
        assert!(!tcp.set("tcp_syncookies", 3) && !tcp.set("tcp_none_such", 0) && !tcp.set("tcp_rfc1337", 2));
    }
}
