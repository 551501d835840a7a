//! Segments that become smaller while they are out: the path takes less than was thought (RFC 1191, RFC 8201), or swallows
//! large packets without a word (RFC 4821).

use crate::stack::tcp::control_block::ControlBlock;
use crate::stack::tcp::flags::Flags;
use crate::stack::tcp::loss::{CaState, Loss};
use crate::stack::tcp::news::News;
use crate::stack::tcp::options::{Features, MIN_MSS, TIMESTAMPS_LEN};
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// `tcp_base_mss`: what is tried first when large packets seem to vanish.
const BASE_MSS: u16 = 1024;
/// `tcp_retries1`: after so many timeouts in a row they do.
const SUSPICIOUS: u8 = 3;

impl ControlBlock {
    /// The path takes packets of `mtu` bytes, of which `headers` are those of IP and TCP without options. The caller has
    /// checked the message (RFC 5927); a larger MTU than before is ignored: nobody but the path's own answer would tell
    /// that it holds. What is out and too large is cut and sent again, without blame for congestion
    /// (`tcp_simple_retransmit`).
    pub(crate) fn on_path_mtu(&mut self, mtu: usize, headers: usize, now: Instant) {
        let text = u16::try_from(mtu.saturating_sub(headers)).unwrap_or(u16::MAX);
        self.pmtu = self.pmtu.min(u16::try_from(mtu).unwrap_or(u16::MAX));
        self.path_mss = self.path_mss.min(text);
        self.shrink_segments(text, now);
    }

    /// `tcp_mtu_probing`: called with each timeout of the first segment.
    pub(super) fn suspect_black_hole(&mut self, now: Instant) {
        let plain = self.snd_mss + self.options_len();
        if self.flags.contains(Flags::MTU_PROBING) && self.retries > SUSPICIOUS {
            self.shrink_segments(if plain > BASE_MSS { BASE_MSS } else { plain / 2 }, now);
        }
    }

    /// What timestamps take from each segment's text.
    pub(super) fn options_len(&self) -> u16 {
        if self.features.contains(Features::TIMESTAMPS) { TIMESTAMPS_LEN } else { 0 }
    }

    fn shrink_segments(&mut self, text: u16, now: Instant) {
        let mss = text.max(MIN_MSS) - self.options_len();
        if mss >= self.snd_mss {
            return;
        }
        self.snd_mss = mss;
        self.congestion.set_mss(mss);
        if self.sent.is_empty() || !self.state.is_synchronized() {
            return;
        }
        let cut = self.sent.cut(mss.into());
        let mut news = News::new(now, self.high_seq, Duration::ZERO);
        let high_seq = self.snd_nxt;
        let loss = self.loss.get_or_insert_with(|| Box::new(Loss::new()));
        loss.board.rebuild(&self.sent);
        loss.probe = None;
        loss.undo.marker = None;
        for number in cut {
            loss.board.mark_lost(&mut self.sent, number, &mut news);
        }
        if loss.board.has_due() && self.ca_state != CaState::Loss {
            (self.ca_state, self.high_seq) = (CaState::Loss, high_seq);
        }
    }
}
