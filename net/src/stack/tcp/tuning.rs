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
    /// The most that was read during a round trip for which the buffer has grown (`rcvq_space`).
    pub(super) space: u32,
    /// How fast that was, in bytes per millisecond, and the round trip of then.
    rate: u64,
    rtt_us: u32,
    /// How much had been read when this one began, and when that was.
    copied: u64,
    copied_at: Instant,
}

/// What makes a round trip one of a program and a wire that are close to each other (`tcp_rcvbuf_low_rtt`).
const LOW_RTT_US: u32 = 1000;
/// Below this much text in all, nothing is measured.
const BEGIN_AT: u64 = 32 << 10;
/// `tcp_rmem[2]`
const RCVBUF_MAX: u32 = 6 << 20;
/// `tcp_wmem[2]`
const SNDBUF_MAX: u32 = 4 << 20;
/// `TCP_INIT_CWND`
const FIRST_SPACE: u32 = 10;

impl ReceiveTuning {
    /// `tcp_rcv_rtt_update`: the least of what was seen. A longer one counts only if nothing of ours is in it: what a window
    /// took depends on how large the window is, and while text waits for its reader, the reader is in the sample.
    fn sample(&mut self, us: u32, is_free_of_us: bool) {
        let us = us.clamp(1, 1 << 28);
        self.rtt_8 = match self.rtt_8 {
            rtt if rtt == 0 || us << 3 < rtt => us << 3,
            rtt if is_free_of_us => rtt - (rtt >> 3) + us,
            rtt => rtt,
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
                rate: 0,
                rtt_us: 0,
                copied: self.copied(),
                copied_at: now,
            }));
        }
        let (rcv_nxt, rcv_wnd) = (self.rcv_nxt, self.rcv_wnd);
        let Some(tuning) = &mut self.tuning else { return };
        if !rcv_nxt.is_before(tuning.round_end) {
            let took = now.saturating_duration_since(tuning.round_at);
            tuning.sample(u32::try_from(took.as_micros()).unwrap_or(u32::MAX), false);
            (tuning.round_end, tuning.round_at) = (rcv_nxt + rcv_wnd, now);
        }
        // An echo of this very millisecond says nothing.
        if let Some(echo) = echo
            && echo != tuning.last_echo
            && echo != self.ts.value(now)
            && let Some(rtt) = self.ts.since(echo, now)
        {
            tuning.last_echo = echo;
            tuning.sample(rtt.as_micros() as u32, self.recv.len() == 0);
        }
    }

    /// Bytes that the program has read.
    fn copied(&self) -> u64 {
        self.received - u64::from(self.recv.len())
    }

    /// The program has read: once for each round trip the buffer is fitted to what it takes in one (`tcp_rcv_space_adjust`).
    ///
    /// A deviation from Linux: it grows only if that makes the flow faster, or the round trip has become longer. Where
    /// programs and wire share a machine, a round trip lasts as long as the window is large, and the buffer would grow to its
    /// bound without end; the text in flight would then no longer fit into the processor's cache.
    pub(super) fn adjust_rcvbuf(&mut self, now: Instant, pool: &PoolCache) {
        let copied = self.copied();
        let Some(tuning) = &mut self.tuning else { return };
        let us = now.saturating_duration_since(tuning.copied_at).as_micros() as u64;
        if tuning.rtt_8 == 0 || us < tuning.rtt_us().into() {
            return;
        }
        let now_copied = u32::try_from(copied.saturating_sub(tuning.copied)).unwrap_or(u32::MAX);
        (tuning.copied, tuning.copied_at) = (copied, now);
        let (before, rtt_us) = (tuning.space, tuning.rtt_us());
        let rate = u64::from(now_copied) * 1000 / us.max(1);
        let is_faster = rate > tuning.rate + tuning.rate / 2;
        let is_longer = rtt_us >= LOW_RTT_US && rtt_us > tuning.rtt_us + tuning.rtt_us / 8;
        if now_copied <= before || !(is_faster || is_longer) {
            return;
        }
        (tuning.space, tuning.rate, tuning.rtt_us) = (now_copied, rate, rtt_us);
        if self.flags.contains(Flags::RCVBUF_LOCK) || !pool.has_plenty() {
            return;
        }
        // Twice for losses, and as much more as the flow has grown: a sender in slow start doubles. "A bit of theory" in
        // `tcp_rcv_space_adjust` has the reasons. In a short round trip that costs little time to do in smaller steps.
        let window = 2 * u64::from(now_copied) + 16 * u64::from(self.adv_mss);
        let growth = if rtt_us < LOW_RTT_US {
            window * u64::from(rtt_us) / u64::from(LOW_RTT_US)
        } else {
            2 * window * u64::from(now_copied - before) / u64::from(before.max(1))
        };
        let wanted = (window + growth).saturating_mul(2).min(RCVBUF_MAX.into()) as u32;
        self.rcvbuf = self.rcvbuf.max(wanted);
    }

    /// Text was acknowledged: the send buffer holds two windows. Linux's are two of congestion, even where the peer's window
    /// is smaller and more text would only wait.
    #[inline]
    pub(super) fn adjust_sndbuf(&mut self, pool: &PoolCache) {
        let wanted = self.congestion.cwnd().min(self.max_window).saturating_mul(2).min(SNDBUF_MAX);
        if wanted > self.sndbuf && !self.flags.contains(Flags::SNDBUF_LOCK) && pool.has_plenty() {
            self.sndbuf = wanted;
        }
    }
}
