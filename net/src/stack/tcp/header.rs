//! The header of a segment that is sent: acknowledgement, window, timestamps, SACK blocks, ECN.

use crate::stack::tcp::control_block::ControlBlock;
use crate::stack::tcp::flags::{AckDue, Flags};
use crate::stack::tcp::options::Features;
use crate::stack::tcp::sack_list::BLOCKS_MAX;
use crate::wire::tcp::{SeqNumber, TcpFlags, TcpHeader};
use crate::wire::tcp_options::{SackBlocks, TcpOptions};
use wakeline_runtime::clock::Instant;

/// Up to this window a segment may fill it (`TCP_MSS_DEFAULT`).
const SMALL_WINDOW: u32 = 536;
/// What fits into the smallest IPv4 packet that every host must take (RFC 791).
const LEAST_TEXT: u32 = 48;

impl ControlBlock {
    /// A header with everything that each segment carries: acknowledgement, window and timestamps.
    #[inline]
    pub(super) fn header(
        &mut self,
        now: Instant,
        seq: SeqNumber,
        flags: TcpFlags,
        (len, is_new_text): (u32, bool),
    ) -> (TcpHeader, u8) {
        self.stats.segs_out = self.stats.segs_out.wrapping_add(1);
        let window = self.select_window();
        let options = self.options(now, len);
        let (ecn_flags, ecn) = self.ecn_bits(is_new_text);
        let header = TcpHeader {
            src_port: self.src_port,
            dst_port: self.dst_port,
            seq,
            ack: self.rcv_nxt,
            flags: flags | TcpFlags::ACK | ecn_flags,
            window,
            urgent: 0,
            options,
        };
        (header, ecn)
    }

    /// What each segment after the handshake carries (`tcp_established_options`).
    /// When a segment that is sent again leaves no room for SACK blocks, its acknowledgement does not count as sent, and
    /// another one follows.
    #[inline]
    fn options(&mut self, now: Instant, len: u32) -> TcpOptions {
        let timestamps = self.features.contains(Features::TIMESTAMPS);
        let timestamps = timestamps.then(|| (self.ts.value(now), self.ts.recent()));
        let mut options = TcpOptions { timestamps, ..TcpOptions::default() };
        let blocks_len = self.blocks_len();
        if blocks_len == 0 || len + blocks_len <= self.snd_mss.into() {
            if blocks_len > 0 {
                options.sack = self.take_sacks();
            }
            self.ack_sent();
        }
        options
    }

    /// The largest text of a segment that is sent now: SACK blocks need room, too.
    #[inline]
    pub(super) fn text_max(&self) -> u32 {
        let max = u32::from(self.snd_mss).saturating_sub(self.blocks_len()).max(1);
        // `tcp_bound_to_half_wnd`: a peer with a small window gets two segments in it, and acknowledges the first.
        let half = if self.max_window > SMALL_WINDOW { self.max_window / 2 } else { self.max_window };
        if half > 0 && max > half { half.max(LEAST_TEXT) } else { max }
    }

    /// How long the SACK option of a segment is that is sent now, padding included.
    #[inline]
    fn blocks_len(&self) -> u32 {
        match &self.sacks {
            Some(sacks) if !sacks.is_empty() => 4 + 8 * sacks.len(self.blocks_max()) as u32,
            _ => 0,
        }
    }

    /// RFC 7323 3.2: timestamps take the place of a block.
    fn blocks_max(&self) -> usize {
        if self.features.contains(Features::TIMESTAMPS) { BLOCKS_MAX - 1 } else { BLOCKS_MAX }
    }

    #[cold]
    fn take_sacks(&mut self) -> SackBlocks {
        let mut blocks = SackBlocks::default();
        let max = self.blocks_max();
        let Some(mut sacks) = self.sacks.take() else { return blocks };
        for (from, to) in sacks.take(max, |at| self.out_of_order.filled_around(at)) {
            blocks.push(self.number_of(from), self.number_of(to));
        }
        if !sacks.is_empty() {
            self.sacks = Some(sacks);
        }
        blocks
    }

    /// `tcp_select_window`: what the buffer allows, but never less than what was told before (3.8.6: the right edge
    /// does not move to the left).
    #[inline]
    fn select_window(&mut self) -> u16 {
        let told = self.receive_window();
        let mut window = self.window_from_space();
        if window < told {
            window = told.next_multiple_of(1 << self.rcv_wscale);
        }
        let scaled = (window >> self.rcv_wscale).min(u16::MAX.into());
        self.rcv_wup = self.rcv_nxt;
        self.rcv_wnd = scaled << self.rcv_wscale;
        scaled as u16
    }

    pub(super) fn ack_sent(&mut self) {
        if self.ack != AckDue::No {
            self.ack = AckDue::No;
            self.ack_at = Instant::FAR_FUTURE;
            self.quick = self.quick.saturating_sub(1);
            self.flags.remove(Flags::PUSHED);
        }
    }
}
