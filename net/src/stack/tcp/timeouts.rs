//! What happens when time passes and nothing arrives: RFC 9293 3.10.8, RFC 6298 section 5.

use crate::packet::PoolCache;
use crate::stack::counters::{Counters, Mib};
use crate::stack::error::SocketError;
use crate::stack::tcp::control_block::{ControlBlock, Disposition};
use crate::stack::tcp::flags::{AckDue, Flags, Timer};
use crate::stack::tcp::loss::CaState;
use crate::stack::tcp::news::News;
use crate::stack::tcp::state::State;
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// `tcp_syn_retries`, in addition to those of [`SYN_LINEAR_TIMEOUTS`].
const SYN_RETRIES: u8 = 6;
/// `tcp_syn_linear_timeouts`: so many SYNs are sent again without back-off.
const SYN_LINEAR_TIMEOUTS: u8 = 4;
/// `tcp_synack_retries`
pub(super) const SYN_ACK_RETRIES: u8 = 5;
/// `tcp_retries2`
const RETRIES: u8 = 15;
/// `tcp_orphan_retries`: for a connection that has no user any more.
const ORPHAN_RETRIES: u8 = 8;

impl ControlBlock {
    /// Does what is due; may be called early.
    pub(crate) fn on_timer(&mut self, now: Instant, pool: &mut PoolCache, counters: &mut Counters) -> Disposition {
        if self.congestion.held_until() <= now {
            self.congestion.release();
        }
        if self.ack_at <= now {
            self.on_delayed_ack(counters);
        }
        if self.slow_timer_at <= now {
            let done = self.on_slow_timer(now, pool, counters);
            if self.state == State::Closed {
                return done;
            }
        }
        if self.timer_at > now {
            return Disposition::default();
        }
        match self.timer {
            Timer::Reorder => {
                self.on_reorder_timeout(now, counters);
                return Disposition::default();
            }
            Timer::LossProbe => {
                self.on_probe_timeout(now, counters);
                return Disposition::default();
            }
            Timer::Off | Timer::Retransmit | Timer::Persist => {}
        }
        let left = self.patience_left(now);
        let over = self.retries > 0 && left.is_some_and(|left| left.is_zero());
        if self.retries >= self.retries_max() || over {
            counters.count(Mib::TcpExtTCPAbortOnTimeout);
            if !self.state.is_synchronized() {
                counters.count(Mib::TcpAttemptFails);
            }
            return self.fail(SocketError::TimedOut, pool);
        }
        self.retries += 1;
        match self.timer {
            Timer::Retransmit => self.on_retransmission_timeout(now, counters),
            Timer::Persist => self.on_persist(counters),
            Timer::Off | Timer::Reorder | Timer::LossProbe => {}
        }
        if self.state != State::SynSent || self.retries > SYN_LINEAR_TIMEOUTS {
            self.rtt.back_off();
        }
        // `tcp_clamp_rto_to_user_timeout`
        self.timer_at = now.saturating_add(self.rtt.rto().min(left.unwrap_or(Duration::MAX)));
        Disposition::default()
    }

    fn retries_max(&self) -> u8 {
        match self.state {
            State::SynSent => SYN_LINEAR_TIMEOUTS + SYN_RETRIES,
            State::SynReceived => SYN_ACK_RETRIES,
            _ if self.flags.contains(Flags::NO_USER) => ORPHAN_RETRIES,
            _ => RETRIES,
        }
    }

    /// The answer for which the acknowledgement waited did not come.
    fn on_delayed_ack(&mut self, counters: &mut Counters) {
        self.ack_at = Instant::FAR_FUTURE;
        if self.ack == AckDue::Delayed {
            counters.count(Mib::TcpExtDelayedACKs);
            self.flags.remove(Flags::PINGPONG);
            self.ack = AckDue::Now;
        }
    }

    /// RFC 6298 (5.4) to (5.6), RFC 5681 3.1.
    fn on_retransmission_timeout(&mut self, now: Instant, counters: &mut Counters) {
        if !self.state.is_synchronized() {
            self.flags |= Flags::SYN_DUE;
            return;
        }
        counters.count(Mib::TcpExtTCPTimeouts);
        self.suspect_black_hole(now);
        self.enter_loss(now, counters);
        self.flags.remove(Flags::PROBE_NEW | Flags::PROBE_AGAIN);
        self.flags |= Flags::RETRANSMIT_DUE;
    }

    /// RFC 8985 6.3 (`tcp_rack_reo_timeout`): what was waited for did not come.
    fn on_reorder_timeout(&mut self, now: Instant, counters: &mut Counters) {
        self.timer = Timer::Off;
        let before = self.flight();
        if let Some(loss) = &mut self.loss {
            loss.rack.is_advanced = true;
        }
        let mut news = News::new(now, self.high_seq, self.min_rtt.get().unwrap_or_default());
        self.detect_by_time(&mut news, counters);
        if self.flight() != before && self.ca_state != CaState::Recovery {
            self.enter_recovery(now, false, counters);
        }
        if self.timer != Timer::Reorder {
            // The time since the first segment was sent counts.
            self.timer = Timer::Reorder;
            self.rearm_retransmission(now);
        }
    }

    /// A closed window is asked about; one that is too small to be sensible is used after all (3.8.6.2.1 (4)).
    fn on_persist(&mut self, counters: &mut Counters) {
        counters.count(Mib::TcpExtTCPWinProbe);
        self.flags |= if self.snd_wnd > 0 { Flags::OVERRIDE } else { Flags::PROBE_DUE };
    }
}
