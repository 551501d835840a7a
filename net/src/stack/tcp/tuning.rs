//! Buffers that grow with what flows through them: the receive buffer by Linux's dynamic right-sizing
//! (`tcp_rcv_space_adjust`), the send buffer with the congestion window (`tcp_sndbuf_expand`).
//!
//! Neither shrinks, and neither grows once a program has set it, or while more than half of the packet memory is in use.

use crate::packet::PoolCache;
use crate::stack::tcp::control_block::ControlBlock;
use crate::stack::tcp::flags::Flags;
use crate::wire::tcp::SeqNumber;
use wakeline_runtime::clock::Instant;

/// How fast a program reads, measured in round trips as the receiver sees them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceiveTuning {
    /// The round trip in eighths of a microsecond (`rcv_rtt_est`); zero before the first sample.
    rtt_8: u32,
    /// The last echo that was measured; without timestamps, where the window ends that is being measured, and since when.
    last_echo: u32,
    round_end: SeqNumber,
    round_at: Instant,
    /// What was read during the last round trip (`rcvq_space`).
    pub(super) space: u32,
    /// How much had been read when this one began, and when that was.
    copied: u64,
    copied_at: Instant,
}

/// Below this much text in all, nothing is measured.
const BEGIN_AT: u64 = 32 << 10;
/// `tcp_rmem[2]`
const RCVBUF_MAX: u32 = 6 << 20;
/// `tcp_wmem[2]`
const SNDBUF_MAX: u32 = 4 << 20;
/// `TCP_INIT_CWND`
const FIRST_SPACE: u32 = 10;

impl ReceiveTuning {
    /// `tcp_rcv_rtt_update`: smoothed, or the least of what a window took, which is never less than the round trip.
    fn sample(&mut self, us: u32, is_upper_bound: bool) {
        let us = us.clamp(1, 1 << 28);
        self.rtt_8 = match self.rtt_8 {
            0 => us << 3,
            rtt if is_upper_bound => rtt.min(us << 3),
            rtt => rtt - (rtt >> 3) + us,
        };
    }

    /// The receiver's estimate, in microseconds.
    pub(super) fn rtt_us(&self) -> u32 {
        self.rtt_8 >> 3
    }
}

impl ControlBlock {
    /// A segment's text has arrived (`tcp_rcv_rtt_measure_ts`, `tcp_rcv_rtt_measure`).
    #[inline]
    pub(super) fn measure_receiver(&mut self, now: Instant, echo: Option<u32>, len: usize) {
        if len < self.rcv_mss.into() || self.received < BEGIN_AT {
            return;
        }
        self.measure_round(now, echo);
    }

    fn measure_round(&mut self, now: Instant, echo: Option<u32>) {
        if self.tuning.is_none() {
            self.tuning = Some(Box::new(ReceiveTuning {
                rtt_8: 0,
                last_echo: 0,
                round_end: self.rcv_nxt + self.rcv_wnd,
                round_at: now,
                space: (FIRST_SPACE * u32::from(self.adv_mss)).min(self.rcv_wnd).max(1),
                copied: self.copied(),
                copied_at: now,
            }));
        }
        let (rcv_nxt, rcv_wnd) = (self.rcv_nxt, self.rcv_wnd);
        let Some(tuning) = &mut self.tuning else { return };
        if let Some(echo) = echo {
            if echo != tuning.last_echo
                && let Some(rtt) = self.ts.since(echo, now)
            {
                tuning.last_echo = echo;
                tuning.sample(rtt.as_micros() as u32, false);
            }
        } else if !rcv_nxt.is_before(tuning.round_end) {
            let took = now.saturating_duration_since(tuning.round_at);
            tuning.sample(u32::try_from(took.as_micros()).unwrap_or(u32::MAX), true);
            (tuning.round_end, tuning.round_at) = (rcv_nxt + rcv_wnd, now);
        }
    }

    /// Bytes that the program has read.
    fn copied(&self) -> u64 {
        self.received - u64::from(self.recv.len())
    }

    /// The program has read: once for each round trip the buffer is fitted to what it takes in one (`tcp_rcv_space_adjust`).
    pub(super) fn adjust_rcvbuf(&mut self, now: Instant, pool: &PoolCache) {
        let copied = self.copied();
        let Some(tuning) = &mut self.tuning else { return };
        let us = now.saturating_duration_since(tuning.copied_at).as_micros();
        if tuning.rtt_8 == 0 || us < u128::from(tuning.rtt_us()) {
            return;
        }
        let now_copied = u32::try_from(copied.saturating_sub(tuning.copied)).unwrap_or(u32::MAX);
        let before = tuning.space;
        (tuning.copied, tuning.copied_at) = (copied, now);
        if now_copied <= before {
            return;
        }
        tuning.space = now_copied;
        if self.flags.contains(Flags::RCVBUF_LOCK) || !pool.has_plenty() {
            return;
        }
        // Twice for losses, and as much more as the flow has grown: a sender in slow start doubles. "A bit of theory" in
        // `tcp_rcv_space_adjust` has the reasons.
        let window = 2 * u64::from(now_copied) + 16 * u64::from(self.adv_mss);
        let growth = window * u64::from(now_copied - before) / u64::from(before.max(1));
        let wanted = (window + 2 * growth).saturating_mul(2).min(RCVBUF_MAX.into()) as u32;
        self.rcvbuf = self.rcvbuf.max(wanted);
    }

    /// Text was acknowledged: the send buffer holds two windows.
    #[inline]
    pub(super) fn adjust_sndbuf(&mut self, pool: &PoolCache) {
        let wanted = self.congestion.cwnd().saturating_mul(2).min(SNDBUF_MAX);
        if wanted > self.sndbuf && !self.flags.contains(Flags::SNDBUF_LOCK) && pool.has_plenty() {
            self.sndbuf = wanted;
        }
    }
}
