//! What two ends agree on in their SYNs: segment size, window scale, timestamps, SACK, ECN.

use crate::stack::tcp::congestion::choice::CongestionChoice;
use crate::wire::tcp::{TcpFlags, TcpHeader};
use crate::wire::tcp_options::TcpOptions;
use std::time::Duration;

bitflags::bitflags! {
    /// The parts of TCP that both ends must want (`net.ipv4.tcp_*`); in a connection, those that they have agreed on.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Features: u8 {
        /// RFC 7323.
        const TIMESTAMPS = 1 << 0;
        /// RFC 2018.
        const SACK = 1 << 1;
        /// RFC 3168: we ask for it, or have agreed on it.
        const ECN = 1 << 2;
        /// We agree to it when we are asked.
        const ECN_ACCEPT = 1 << 3;
        /// Over IPv6, where who says no MSS takes more than over IPv4.
        const IPV6 = 1 << 4;
    }
}

/// What this end offers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    /// The largest text that we take (RFC 9293 3.7.1), before options are taken off.
    pub(crate) mss: u16,
    pub(crate) rcvbuf: u32,
    pub(crate) sndbuf: u32,
    pub(crate) buffers_grow: bool,
    pub(crate) out_of_order_max: u32,
    pub(crate) features: Features,
    /// The largest packet of our link.
    pub(crate) mtu: u16,
    pub(crate) mtu_probing: bool,
    /// The least retransmission timeout.
    pub(crate) rto_min: Duration,
    /// Where our timestamps begin.
    pub(crate) ts_offset: u32,
    pub(crate) congestion: CongestionChoice,
    /// Text leaves at a pace whatever the congestion control.
    pub(crate) paced: bool,
    /// The most text that the device cuts for us; 0 when it does not.
    pub(crate) gso_max: u32,
}

/// The shift that we offer (RFC 7323 2.3), enough for a window of 8 MiB. Linux's with its default buffers.
pub(crate) const WINDOW_SCALE: u8 = 7;
/// What timestamps take away from the text of each segment.
pub(crate) const TIMESTAMPS_LEN: u16 = 12;

impl Offer {
    /// The window in our SYN, which is never scaled (RFC 7323 2.2).
    pub(crate) fn syn_window(&self) -> u16 {
        syn_window(self.rcvbuf)
    }
}

/// The window in the SYN of a connection with this receive buffer.
pub(crate) fn syn_window(rcvbuf: u32) -> u16 {
    u16::try_from(rcvbuf / 2).unwrap_or(u16::MAX)
}

/// The options of our SYN, or of a SYN-ACK with what the peer's SYN wants, too. `timestamps` are TSval and TSecr.
pub(crate) fn syn_options(mss: u16, window_scale: bool, features: Features, timestamps: (u32, u32)) -> TcpOptions {
    TcpOptions {
        mss: Some(mss),
        window_scale: window_scale.then_some(WINDOW_SCALE),
        sack_permitted: features.contains(Features::SACK),
        timestamps: features.contains(Features::TIMESTAMPS).then_some(timestamps),
        ..TcpOptions::default()
    }
}

/// What the peer's SYN says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// The largest text that we send.
    pub(crate) snd_mss: u16,
    /// How the peer scales its window; `None` when it does not scale, and then we must not either.
    pub(crate) snd_wscale: Option<u8>,
    /// What both want.
    pub(crate) features: Features,
    /// The peer's timestamp, to be echoed.
    pub(crate) ts_recent: u32,
}

/// `tcp_min_snd_mss`: a peer that asks for less wants us to waste our time.
pub(crate) const MIN_MSS: u16 = 48;

impl Agreed {
    /// RFC 9293 3.7.1: what a peer can take that does not say.
    pub(crate) const fn default_mss(v4: bool) -> u16 {
        if v4 { 536 } else { 1220 }
    }

    /// Reads the peer's SYN or SYN-ACK.
    pub(crate) fn new(our_mss: u16, ours: Features, syn: &TcpHeader) -> Agreed {
        let options = &syn.options;
        let mut theirs = Features::empty();
        theirs.set(Features::TIMESTAMPS, options.timestamps.is_some());
        theirs.set(Features::SACK, options.sack_permitted);
        let mut features = ours & theirs;
        features.set(Features::ECN, agrees_on_ecn(ours, syn.flags));
        // As in Linux, an MSS of zero says nothing.
        let default = Agreed::default_mss(!ours.contains(Features::IPV6));
        let mss = options.mss.filter(|&mss| mss > 0).unwrap_or(default).min(our_mss).max(MIN_MSS);
        // RFC 6691: the option says what fits without options.
        let taken = if features.contains(Features::TIMESTAMPS) { TIMESTAMPS_LEN } else { 0 };
        let ts_recent = options.timestamps.map_or(0, |(value, _)| value);
        Agreed { snd_mss: mss - taken, snd_wscale: options.window_scale, features, ts_recent }
    }
}

/// RFC 3168 6.1.1: a SYN that asks has both flags, a SYN-ACK that agrees has one.
fn agrees_on_ecn(ours: Features, syn: TcpFlags) -> bool {
    const BOTH: TcpFlags = TcpFlags::ECE.union(TcpFlags::CWR);
    if syn.contains(TcpFlags::ACK) {
        ours.contains(Features::ECN) && syn & BOTH == TcpFlags::ECE
    } else {
        ours.intersects(Features::ECN | Features::ECN_ACCEPT) && syn & BOTH == BOTH
    }
}

/// What stands in our SYN, or in our SYN-ACK once it is agreed.
pub(crate) fn syn_ecn(features: Features, is_answer: bool) -> TcpFlags {
    match (features.contains(Features::ECN), is_answer) {
        (false, _) => TcpFlags::empty(),
        (true, false) => TcpFlags::ECE | TcpFlags::CWR,
        (true, true) => TcpFlags::ECE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tcp::SeqNumber;

    fn check(options: TcpOptions, ours: Features, expected: &str) {
        let (seq, ack) = (SeqNumber(0), SeqNumber(0));
        let syn = TcpHeader { src_port: 1, dst_port: 2, seq, ack, flags: TcpFlags::SYN, window: 0, urgent: 0, options };
        let agreed = Agreed::new(1460, ours, &syn);
        let answer = syn_options(1460, agreed.snd_wscale.is_some(), agreed.features, (9, agreed.ts_recent));
        assert_eq!(format!("{} [{answer}]", agreed.snd_mss), expected);
    }

    #[test]
    fn only_what_both_want_is_answered() {
        let all = Features::all() - Features::IPV6;
        let full = TcpOptions {
            mss: Some(9000),
            window_scale: Some(3),
            sack_permitted: true,
            timestamps: Some((5, 0)),
            ..TcpOptions::default()
        };
        check(full.clone(), all, "1448 [mss 1460,sackOK,TS val 9 ecr 5,nop,wscale 7]");
        check(full.clone(), Features::SACK, "1460 [mss 1460,nop,nop,sackOK,nop,wscale 7]");
        check(full.clone(), Features::empty(), "1460 [mss 1460,nop,wscale 7]");
        check(TcpOptions { sack_permitted: false, ..full }, all, "1448 [mss 1460,nop,nop,TS val 9 ecr 5,nop,wscale 7]");
        check(TcpOptions::default(), all, "536 [mss 1460]");
        check(TcpOptions { mss: Some(1), ..TcpOptions::default() }, all, "48 [mss 1460]");
    }
}
