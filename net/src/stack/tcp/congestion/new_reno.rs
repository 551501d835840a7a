//! NewReno (RFC 5681, RFC 6582): a segment more for each round trip, half of the window at a loss.

use crate::stack::tcp::congestion::choice::CongestionChoice;
use crate::stack::tcp::congestion::control::CongestionControl;
use crate::stack::tcp::congestion::sample::AckSample;
use crate::stack::tcp::congestion::window::Window;
use wakeline_runtime::clock::Instant;

/// See the [module](self). The window is all its state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewReno;

impl CongestionControl for NewReno {
    fn choice(&self) -> CongestionChoice {
        CongestionChoice::Reno
    }

    #[inline]
    fn on_ack(&mut self, window: &mut Window, ack: &AckSample) {
        let mut acked = ack.acked;
        if window.is_slow_start() {
            acked = window.slow_start(acked);
        }
        if acked > 0 {
            // RFC 5681 (3). What is below a byte is lost: under a window of a megabyte that is nothing.
            let growth = u64::from(window.mss()) * u64::from(acked.min(window.cwnd)) / u64::from(window.cwnd.max(1));
            window.grow(growth.max(1) as u32);
        }
    }

    /// RFC 5681 (4), of the window as in `tcp_reno_ssthresh`: what was not used has not grown.
    fn on_congestion_event(&mut self, window: &mut Window, _now: Instant) -> u32 {
        (window.cwnd / 2).max(2 * window.mss())
    }
}
