//! What an algorithm has to answer.

use crate::stack::tcp::congestion::choice::CongestionChoice;
use crate::stack::tcp::congestion::sample::AckSample;
use crate::stack::tcp::congestion::window::Window;
use std::fmt;
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// A rule for the congestion window. It is called by `Congestion` only, which has the order of the events.
///
/// Two kinds exist. Most work on the window: they let it grow with acknowledgements, and say at a loss how far it has to
/// shrink. *They do not see recovery*: `Congestion` brings the window down to ssthresh by proportional rate reduction
/// (RFC 6937) and calls [`on_ack`](Self::on_ack) again when it is over. Others have a model of the path
/// ([`is_model_based`](Self::is_model_based)): they see every acknowledgement, recovery's too, and set the window
/// themselves.
pub(crate) trait CongestionControl: fmt::Debug {
    /// Its name.
    fn choice(&self) -> CongestionChoice;

    /// Whether it sets the window itself in every phase.
    fn is_model_based(&self) -> bool {
        false
    }

    /// Acknowledged bytes let the window grow. Only called while the window is what limits the sender, and, for those
    /// that work on the window, outside of recovery.
    fn on_ack(&mut self, window: &mut Window, ack: &AckSample);

    /// Bytes were acknowledged while something else limited the sender; the window does not grow.
    fn on_unused_ack(&mut self, _now: Instant) {}

    /// Loss, or a mark: returns the new ssthresh. The window itself is `Congestion`'s to move.
    fn on_congestion_event(&mut self, window: &mut Window, now: Instant) -> u32;

    /// The retransmission timer fired; after `on_congestion_event` if it did so for the first time.
    fn on_timeout(&mut self, _window: &mut Window, _now: Instant) {}

    /// Recovery from loss is over, and the window is at ssthresh.
    fn on_recovery_exit(&mut self, _window: &mut Window, _now: Instant) {}

    /// The last reduction was a mistake; window and ssthresh are what they were before it.
    fn undo(&mut self, _window: &mut Window, _now: Instant) {}

    /// Text has been sent, the first for `idle`, when nothing was in flight (`CA_EVENT_TX_START`).
    fn on_transmit_start(&mut self, _window: &mut Window, _now: Instant, _idle: Duration) {}

    /// How fast text should leave, in bytes a second; `None` for as fast as the window allows. Unless the algorithm has a
    /// better idea, [`window_rate`] where pacing is on.
    fn pacing_rate(&self, window: &Window, srtt: Option<Duration>) -> Option<u64> {
        srtt.filter(|_| window.paced).map(|srtt| window_rate(window, srtt))
    }
}

/// `tcp_update_pacing_rate`: twice the window in a round trip while slow start may double it, 1.2 times later.
pub(crate) fn window_rate(window: &Window, srtt: Duration) -> u64 {
    let percent = if window.cwnd < window.ssthresh / 2 { 200 } else { 120 };
    let us = u64::try_from(srtt.as_micros()).unwrap_or(u64::MAX).max(1);
    u64::from(window.cwnd) * percent * 10_000 / us
}
