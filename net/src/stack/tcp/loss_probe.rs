//! The tail loss probe (RFC 8985 section 7): when acknowledgements stop, something is sent that must be answered, before
//! the retransmission timer has to.

use crate::stack::counters::{Counters, Mib};
use crate::stack::tcp::acknowledge::Before;
use crate::stack::tcp::control_block::ControlBlock;
use crate::stack::tcp::flags::{Flags, Timer};
use crate::stack::tcp::input::Arrival;
use crate::stack::tcp::loss::{CaState, Probe};
use crate::stack::tcp::news::News;
use crate::stack::tcp::rto::RTO_MIN;
use wakeline_runtime::clock::Instant;

/// What is added to two round trips, so that an acknowledgement that is just late needs no probe (`TCP_TIMEOUT_MIN`).
const SLACK_NS: u64 = 2_000_000;
/// The timeout before anything was measured (`TCP_TIMEOUT_INIT`).
const INITIAL_NS: u64 = 1_000_000_000;
/// Where a single segment's acknowledgement may be delayed.
const SINGLE_NS: u64 = RTO_MIN.as_nanos() as u64;

impl ControlBlock {
    /// 7.2, `tcp_schedule_loss_probe`. The timer never runs longer than that for retransmission would: from now on when an
    /// acknowledgement has advanced (`anew`), else since the first segment was sent.
    #[inline]
    pub(super) fn schedule_probe(&mut self, now: Instant, anew: bool) -> bool {
        let calm = matches!(self.ca_state, CaState::Open | CaState::Cwr);
        let Some((_, head)) = self.sent.front().filter(|_| calm && self.has_sack() && self.state.is_synchronized())
        else {
            return false;
        };
        let wait = match self.rtt.srtt_us() {
            Some(srtt) => 2000 * u64::from(srtt) + if self.sent.len() == 1 { SINGLE_NS } else { SLACK_NS },
            None => INITIAL_NS,
        };
        let from = if anew { now } else { head.sent_at };
        let wait = match from.saturating_add_nanos(self.rtt.rto_ns()).nanos_since(now) {
            0 => wait,
            left => wait.min(left),
        };
        (self.timer, self.timer_at) = (Timer::LossProbe, now.saturating_add_nanos(wait));
        true
    }

    /// 7.3, `tcp_send_loss_probe`: new text if there is some, or else the last segment again. One at a time.
    pub(super) fn on_probe_timeout(&mut self, now: Instant, counters: &mut Counters) {
        let out = self.loss.as_ref().is_some_and(|loss| loss.probe.is_some());
        if !out {
            counters.count(Mib::TcpExtTCPLossProbes);
            let room = (self.snd_una + self.snd_wnd).distance(self.snd_nxt).max(0).cast_unsigned();
            let next = self.unsent().min(self.snd_mss.into());
            self.flags |= if next > 0 && next <= room { Flags::PROBE_NEW } else { Flags::PROBE_AGAIN };
        }
        self.rearm_retransmission(now);
    }

    /// A probe has been sent.
    pub(super) fn note_probe(&mut self, is_again: bool) {
        let end = self.snd_nxt;
        self.loss_mut().probe = Some(Probe { end, is_again });
    }

    /// 7.4.2, `tcp_process_tlp_ack`: whether the probe has repaired a loss that nobody would know of otherwise.
    pub(super) fn settle_probe(&mut self, at: &mut Arrival<'_>, before: &Before, news: &News) {
        let ack = at.header.ack;
        let Some(loss) = &mut self.loss else { return };
        let Some(probe) = loss.probe.filter(|probe| !ack.is_before(probe.end)) else { return };
        if !probe.is_again {
            loss.probe = None;
        } else if ack.is_after(probe.end) {
            at.counters.count(Mib::TcpExtTCPLossProbeRecovery);
            self.begin_reduction();
            self.congestion.on_congestion_event(at.now);
            self.congestion.on_recovery_exit(at.now);
            self.ca_state = CaState::Cwr;
            self.keep_open();
        } else if before.is_duplicate && !news.is_sacked {
            // Original and probe have both arrived.
            loss.probe = None;
        }
    }
}
