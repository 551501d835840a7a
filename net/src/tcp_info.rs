//! What one connection tells about itself: `TCP_INFO`, with Linux's names.
//!
//! Both networks fill it in. A figure that a network does not have is zero.

use std::fmt;
use std::time::Duration;

/// A connection's state, by the names of RFC 9293; it prints as `ss` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "RFC 9293 3.3.2 is the documentation")]
pub enum TcpState {
    Established = 1,
    SynSent = 2,
    SynReceived = 3,
    FinWait1 = 4,
    FinWait2 = 5,
    TimeWait = 6,
    #[default]
    Closed = 7,
    CloseWait = 8,
    LastAck = 9,
    Listen = 10,
    Closing = 11,
}

impl TcpState {
    /// The state with a number of Linux's; an unknown one is [`TcpState::Closed`].
    pub(crate) fn from_number(number: u8) -> TcpState {
        match number {
            1 => TcpState::Established,
            2 => TcpState::SynSent,
            // 12 is `TCP_NEW_SYN_RECV`, which programs never see.
            3 | 12 => TcpState::SynReceived,
            4 => TcpState::FinWait1,
            5 => TcpState::FinWait2,
            6 => TcpState::TimeWait,
            8 => TcpState::CloseWait,
            9 => TcpState::LastAck,
            10 => TcpState::Listen,
            11 => TcpState::Closing,
            _ => TcpState::Closed,
        }
    }

    /// The name that `ss` prints.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            TcpState::Established => "ESTAB",
            TcpState::SynSent => "SYN-SENT",
            TcpState::SynReceived => "SYN-RECV",
            TcpState::FinWait1 => "FIN-WAIT-1",
            TcpState::FinWait2 => "FIN-WAIT-2",
            TcpState::TimeWait => "TIME-WAIT",
            TcpState::Closed => "UNCONN",
            TcpState::CloseWait => "CLOSE-WAIT",
            TcpState::LastAck => "LAST-ACK",
            TcpState::Listen => "LISTEN",
            TcpState::Closing => "CLOSING",
        }
    }
}

impl fmt::Display for TcpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is being done about loss, by Linux's names (`tcpi_ca_state`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TcpCaState {
    /// Nothing unusual.
    #[default]
    Open,
    /// Duplicate acknowledgements or SACKs have come.
    Disorder,
    /// The window was reduced because of ECN.
    Cwr,
    /// Fast recovery.
    Recovery,
    /// After a retransmission timeout.
    Loss,
}

impl TcpCaState {
    /// The state with a number of Linux's.
    pub(crate) fn from_number(number: u8) -> TcpCaState {
        match number {
            1 => TcpCaState::Disorder,
            2 => TcpCaState::Cwr,
            3 => TcpCaState::Recovery,
            4 => TcpCaState::Loss,
            _ => TcpCaState::Open,
        }
    }
}

bitflags::bitflags! {
    /// What the two ends have agreed on (`tcpi_options`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct TcpInfoOptions: u8 {
        /// Timestamps (RFC 7323).
        const TIMESTAMPS = 1;
        /// Selective acknowledgements (RFC 2018).
        const SACK = 2;
        /// Window scaling (RFC 7323).
        const WSCALE = 4;
        /// ECN (RFC 3168).
        const ECN = 8;
        /// ECN was seen on a segment of this connection.
        const ECN_SEEN = 16;
        /// The SYN carried text that was acknowledged (RFC 7413).
        const SYN_DATA = 32;
    }
}

/// A connection's figures at one moment (`struct tcp_info` without its prefix). Sizes are bytes, windows of congestion
/// segments, as in Linux.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpInfo {
    /// The state.
    pub state: TcpState,
    /// What is being done about loss.
    pub ca_state: TcpCaState,
    /// Retransmissions of the oldest segment by the timer, so far unanswered.
    pub retransmits: u8,
    /// Unanswered probes of a closed window, or of a quiet peer.
    pub probes: u8,
    /// By how many bits the timer's time is shifted.
    pub backoff: u8,
    /// What the two ends have agreed on.
    pub options: TcpInfoOptions,
    /// The shift of the peer's window.
    pub snd_wscale: u8,
    /// The shift of ours.
    pub rcv_wscale: u8,
    /// The retransmission timeout.
    pub rto: Duration,
    /// How long an acknowledgement waits for company.
    pub ato: Duration,
    /// The largest text that is sent.
    pub snd_mss: u32,
    /// The largest text that has come, as far as is known.
    pub rcv_mss: u32,
    /// Segments in the network that are not acknowledged; on a listener, the length of its accept queue.
    pub unacked: u32,
    /// Segments that were acknowledged selectively; on a listener, its backlog.
    pub sacked: u32,
    /// Segments that are taken for lost.
    pub lost: u32,
    /// Segments that were sent again and are not acknowledged.
    pub retrans: u32,
    /// How long ago text was sent.
    pub last_data_sent: Duration,
    /// How long ago text came.
    pub last_data_recv: Duration,
    /// How long ago an acknowledgement came.
    pub last_ack_recv: Duration,
    /// The path's MTU.
    pub pmtu: u32,
    /// The largest window that is offered for now.
    pub rcv_ssthresh: u32,
    /// The smoothed round-trip time.
    pub rtt: Duration,
    /// Its mean deviation.
    pub rttvar: Duration,
    /// Where slow start ends, in segments; `i32::MAX` before the first loss.
    pub snd_ssthresh: u32,
    /// The congestion window, in segments.
    pub snd_cwnd: u32,
    /// The largest text that the peer was told to send.
    pub advmss: u32,
    /// How far segments overtake each other on this path.
    pub reordering: u32,
    /// The receiver's estimate of the round-trip time.
    pub rcv_rtt: Duration,
    /// What the reader takes in one round-trip time.
    pub rcv_space: u32,
    /// Retransmissions in all.
    pub total_retrans: u32,
    /// Bytes per second that pacing allows.
    pub pacing_rate: u64,
    /// The bound of that.
    pub max_pacing_rate: u64,
    /// Bytes that the peer has acknowledged.
    pub bytes_acked: u64,
    /// Bytes that have come.
    pub bytes_received: u64,
    /// Segments sent.
    pub segs_out: u32,
    /// Segments that have come.
    pub segs_in: u32,
    /// Bytes that were written and not sent yet.
    pub notsent_bytes: u32,
    /// The shortest round-trip time.
    pub min_rtt: Duration,
    /// Segments with text that have come.
    pub data_segs_in: u32,
    /// Segments with text that were sent.
    pub data_segs_out: u32,
    /// Bytes per second that the path has lately delivered.
    pub delivery_rate: u64,
    /// How long there was something to send.
    pub busy_time: Duration,
    /// How long of that the peer's window held it back.
    pub rwnd_limited: Duration,
    /// How long of that the send buffer held it back.
    pub sndbuf_limited: Duration,
    /// Segments delivered, retransmissions included.
    pub delivered: u32,
    /// Of these, marked by ECN.
    pub delivered_ce: u32,
    /// Bytes sent, retransmissions included.
    pub bytes_sent: u64,
    /// Bytes sent again.
    pub bytes_retrans: u64,
    /// DSACKs that have come.
    pub dsack_dups: u32,
    /// How often reordering was seen.
    pub reord_seen: u32,
    /// Segments that came out of order.
    pub rcv_ooopack: u32,
    /// The window that the peer offers, in bytes.
    pub snd_wnd: u32,
    /// The window that we offer, in bytes. Zero where the system is older than Linux 6.2.
    pub rcv_wnd: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_linuxs_numbers_and_the_names_of_ss() {
        let names: Vec<_> = (1..=11).map(|n| TcpState::from_number(n).to_string()).collect();
        let expected =
            "ESTAB SYN-SENT SYN-RECV FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT UNCONN CLOSE-WAIT LAST-ACK LISTEN CLOSING";
        assert_eq!(names.join(" "), expected);
        assert!((1..=11).all(|n| TcpState::from_number(n) as u8 == n));
        assert_eq!(format!("{:10}|", TcpState::Listen), "LISTEN    |");
    }
}
