//! A snapshot of a control block in the terms of `TCP_INFO`. There is no bound on pacing to tell of.

use crate::stack::tcp::control_block::{ControlBlock, DELAYED_ACK};
use crate::stack::tcp::flags::{Flags, Timer};
use crate::stack::tcp::loss::CaState;
use crate::stack::tcp::news::Amount;
use crate::stack::tcp::options::Features;
use crate::stack::tcp::rack::REORDERING;
use crate::stack::tcp::state::State;
use crate::tcp_info::{TcpCaState, TcpInfo, TcpInfoOptions, TcpState};
use std::time::Duration;
use wakeline_runtime::clock::Instant;

impl ControlBlock {
    /// `tcp_get_info`
    pub(crate) fn info(&self, now: Instant) -> TcpInfo {
        let mss = u32::from(self.snd_mss).max(1);
        let (stats, times) = (&self.stats, self.chrono.times(self.limit, now));
        let probing = self.timer == Timer::Persist;
        let [sacked, lost, retrans] = self
            .loss
            .as_ref()
            .map_or([Amount::default(); 3], |loss| [loss.board.sacked, loss.board.lost, loss.board.again]);
        let fin = u64::from(self.flags.contains(Flags::FIN_RECEIVED));
        TcpInfo {
            state: self.state.as_linux(),
            ca_state: self.ca_state.as_linux(),
            retransmits: if probing { 0 } else { self.retries },
            probes: if probing { self.retries } else { self.keep.as_ref().map_or(0, |keep| keep.probes) },
            backoff: self.rtt.backoff(),
            options: self.info_options(),
            snd_wscale: self.snd_wscale,
            rcv_wscale: self.rcv_wscale,
            rto: self.rtt.rto(),
            ato: DELAYED_ACK,
            snd_mss: self.snd_mss.into(),
            rcv_mss: self.rcv_mss.into(),
            unacked: self.sent.len() as u32,
            sacked: sacked.segments,
            lost: lost.segments,
            retrans: retrans.segments,
            last_data_sent: now.saturating_duration_since(self.last_sent_at),
            last_data_recv: now.saturating_duration_since(self.last_received_at),
            last_ack_recv: now.saturating_duration_since(self.last_ack_at),
            pmtu: self.pmtu.into(),
            rcv_ssthresh: self.rcvbuf / 2,
            rtt: self.rtt.srtt().unwrap_or_default(),
            rttvar: self.rtt.rttvar(),
            snd_ssthresh: match self.congestion.ssthresh() {
                // `TCP_INFINITE_SSTHRESH`
                u32::MAX => i32::MAX as u32,
                bytes => bytes / mss,
            },
            snd_cwnd: self.congestion.cwnd() / mss,
            advmss: self.adv_mss.into(),
            reordering: self.loss.as_ref().map_or(REORDERING, |loss| loss.rack.reordering),
            rcv_rtt: Duration::from_micros(self.tuning.as_ref().map_or(0, |tuning| tuning.rtt_us()).into()),
            rcv_space: self.tuning.as_ref().map_or(0, |tuning| tuning.space),
            total_retrans: self.loss.as_ref().map_or(0, |loss| loss.total_retrans),
            pacing_rate: self.congestion.pacing_rate(self.rtt.srtt()).unwrap_or(u64::MAX),
            max_pacing_rate: u64::MAX,
            bytes_acked: self.bytes_acked,
            bytes_received: self.received - fin,
            segs_out: stats.segs_out,
            segs_in: stats.segs_in,
            notsent_bytes: self.unsent(),
            min_rtt: self.min_rtt.get().unwrap_or_default(),
            data_segs_in: stats.data_segs_in,
            data_segs_out: stats.data_segs_out,
            delivery_rate: self.delivery.rate(),
            delivered: stats.delivered,
            delivered_ce: stats.delivered_ce,
            bytes_sent: stats.bytes_sent,
            bytes_retrans: self.loss.as_ref().map_or(0, |loss| loss.bytes_retrans),
            dsack_dups: self.loss.as_ref().map_or(0, |loss| loss.duplicates),
            reord_seen: self.loss.as_ref().map_or(0, |loss| loss.rack.reordering_seen),
            rcv_ooopack: stats.rcv_ooopack,
            snd_wnd: self.snd_wnd,
            rcv_wnd: self.receive_window(),
            busy_time: times.busy,
            rwnd_limited: times.rwnd_limited,
            sndbuf_limited: times.sndbuf_limited,
        }
    }

    fn info_options(&self) -> TcpInfoOptions {
        let mut options = TcpInfoOptions::empty();
        options.set(TcpInfoOptions::WSCALE, self.rcv_wscale > 0);
        options.set(TcpInfoOptions::TIMESTAMPS, self.features.contains(Features::TIMESTAMPS));
        options.set(TcpInfoOptions::SACK, self.features.contains(Features::SACK));
        options.set(TcpInfoOptions::ECN, self.features.contains(Features::ECN));
        options.set(TcpInfoOptions::ECN_SEEN, self.flags.contains(Flags::ECN_SEEN));
        options
    }
}

impl CaState {
    /// The state in `tcp_info`'s words.
    const fn as_linux(self) -> TcpCaState {
        match self {
            CaState::Open => TcpCaState::Open,
            CaState::Disorder => TcpCaState::Disorder,
            CaState::Cwr => TcpCaState::Cwr,
            CaState::Recovery => TcpCaState::Recovery,
            CaState::Loss => TcpCaState::Loss,
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
