//! Proportional rate reduction (RFC 6937): the window goes down over a round trip, with a segment out for about each two
//! that arrive, instead of half a round trip of silence.

use crate::stack::tcp::congestion::sample::AckSample;
use crate::stack::tcp::congestion::window::Window;

/// One recovery's account, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Prr {
    /// The window when recovery began (`RecoverFS`; as Linux, the window and not what was in flight).
    prior_cwnd: u32,
    /// Arrived since (`prr_delivered`).
    delivered: u32,
    /// Sent since (`prr_out`).
    out: u32,
}

impl Prr {
    /// A recovery begins.
    pub(crate) fn new(prior_cwnd: u32) -> Prr {
        Prr { prior_cwnd, delivered: 0, out: 0 }
    }

    #[inline]
    pub(crate) fn on_transmit(&mut self, len: u32) {
        self.out = self.out.saturating_add(len);
    }

    /// `tcp_cwnd_reduction`: section 3.1's algorithm with the slow-start reduction bound, which, as in Linux, is taken
    /// only while an acknowledgement advances SND.UNA and brings no new loss (section 5's CRB otherwise).
    pub(crate) fn on_ack(&mut self, window: &mut Window, ack: &AckSample) {
        if ack.delivered == 0 || self.prior_cwnd == 0 {
            return;
        }
        let mss = window.mss();
        self.delivered = self.delivered.saturating_add(ack.delivered);
        let to_send = if ack.in_flight > window.ssthresh {
            let share = u64::from(window.ssthresh) * u64::from(self.delivered);
            u32::try_from(share.div_ceil(self.prior_cwnd.into())).unwrap_or(u32::MAX).saturating_sub(self.out)
        } else {
            let progress = ack.acked > 0 && ack.lost == 0;
            let bound = self.delivered.saturating_sub(self.out).max(ack.delivered) + if progress { mss } else { 0 };
            bound.min(window.ssthresh - ack.in_flight)
        };
        // A fast retransmission is sent in any case.
        let least = if self.out == 0 { mss } else { 0 };
        window.cwnd = ack.in_flight + to_send.max(least);
    }
}
