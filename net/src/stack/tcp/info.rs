//! A snapshot of a control block in the terms of `TCP_INFO`.

use crate::stack::tcp::control_block::{ControlBlock, Recovery};
use crate::stack::tcp::options::Features;
use crate::stack::tcp::state::State;
use crate::tcp_info::{TcpCaState, TcpInfo, TcpInfoOptions, TcpState};
use wakeline_runtime::clock::Instant;

impl ControlBlock {
    /// `tcp_get_info`
    pub(crate) fn info(&self, now: Instant) -> TcpInfo {
        let mss = u32::from(self.snd_mss).max(1);
        let mut options = TcpInfoOptions::empty();
        options.set(TcpInfoOptions::WSCALE, self.rcv_wscale > 0);
        options.set(TcpInfoOptions::TIMESTAMPS, self.features.contains(Features::TIMESTAMPS));
        options.set(TcpInfoOptions::SACK, self.features.contains(Features::SACK));
        TcpInfo {
            state: self.state.as_linux(),
            ca_state: match self.recovery {
                Recovery::Open => TcpCaState::Open,
                Recovery::Fast => TcpCaState::Recovery,
                Recovery::Loss { .. } => TcpCaState::Loss,
            },
            retransmits: self.retries,
            options,
            snd_wscale: self.snd_wscale,
            rcv_wscale: self.rcv_wscale,
            rto: self.rtt.rto(),
            snd_mss: self.snd_mss.into(),
            rcv_mss: self.rcv_mss.into(),
            unacked: (self.snd_nxt - self.snd_una).div_ceil(mss),
            last_data_sent: now.saturating_duration_since(self.last_sent_at),
            last_data_recv: now.saturating_duration_since(self.last_received_at),
            snd_ssthresh: match self.congestion.ssthresh() {
                // `TCP_INFINITE_SSTHRESH`
                u32::MAX => i32::MAX as u32,
                bytes => bytes / mss,
            },
            snd_cwnd: self.congestion.cwnd() / mss,
            advmss: self.adv_mss.into(),
            notsent_bytes: self.unsent(),
            snd_wnd: self.snd_wnd,
            rcv_wnd: self.receive_window(),
            ..TcpInfo::default()
        }
    }
}

impl State {
    /// The state by Linux's number.
    pub(crate) const fn as_linux(self) -> TcpState {
        match self {
            State::Closed => TcpState::Closed,
            State::SynSent => TcpState::SynSent,
            State::SynReceived => TcpState::SynReceived,
            State::Established => TcpState::Established,
            State::FinWait1 => TcpState::FinWait1,
            State::FinWait2 => TcpState::FinWait2,
            State::CloseWait => TcpState::CloseWait,
            State::Closing => TcpState::Closing,
            State::LastAck => TcpState::LastAck,
            State::TimeWait => TcpState::TimeWait,
        }
    }
}
