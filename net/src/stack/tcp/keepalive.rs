//! Keep-alive (RFC 9293 3.8.4): whether a peer that says nothing is still there.

use crate::packet::PoolCache;
use crate::stack::counters::{Counters, Mib};
use crate::stack::error::SocketError;
use crate::stack::tcp::control_block::{ControlBlock, Disposition};
use crate::stack::tcp::flags::Flags;
use crate::stack::tcp::settings::{SettingFlags, Settings};
use crate::stack::tcp::state::State;
use std::time::Duration;
use wakeline_runtime::clock::Instant;

/// What a program has set, and how many probes are unanswered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepAlive {
    idle: Duration,
    interval: Duration,
    count: u8,
    /// `icsk_probes_out`
    pub(crate) probes: u8,
}

impl ControlBlock {
    /// Takes over what a program has set (`tcp_set_keepalive`).
    pub(super) fn set_keepalive(&mut self, settings: &Settings) {
        if !settings.flags.contains(SettingFlags::KEEP_ALIVE) {
            if self.keep.take().is_some() && !self.lingers() {
                self.slow_timer_at = Instant::FAR_FUTURE;
            }
            return;
        }
        let seconds = |s: u16| Duration::from_secs(s.into());
        let (idle, interval) = (seconds(settings.keep_idle_s), seconds(settings.keep_interval_s));
        let probes = self.keep.as_ref().map_or(0, |keep| keep.probes);
        self.keep = Some(Box::new(KeepAlive { idle, interval, count: settings.keep_count, probes }));
        if self.state != State::Closed && !self.lingers() {
            self.slow_timer_at = self.heard_at().saturating_add(idle);
        }
    }

    /// Whether the slow timer is that of FIN-WAIT-2.
    fn lingers(&self) -> bool {
        self.state == State::FinWait2 && self.flags.contains(Flags::NO_USER)
    }

    fn heard_at(&self) -> Instant {
        self.last_received_at.max(self.last_ack_at)
    }

    /// The slow timer (`sk_timer`, `tcp_keepalive_timer`).
    pub(super) fn on_slow_timer(&mut self, now: Instant, pool: &mut PoolCache, counters: &mut Counters) -> Disposition {
        self.slow_timer_at = Instant::FAR_FUTURE;
        if self.lingers() {
            // FIN-WAIT-2 without a user: the peer has had its time.
            self.abort(pool);
            return Disposition::default();
        }
        let (heard_at, user_timeout) = (self.heard_at(), self.patience.as_ref().map(|patience| patience.timeout));
        let busy = !self.sent.is_empty() || self.unsent() > 0 || !self.state.is_synchronized();
        let Some(keep) = &mut self.keep else { return Disposition::default() };
        let silent = now.saturating_duration_since(heard_at);
        if busy || silent < keep.idle {
            // The timers of what is out watch over the peer.
            self.slow_timer_at = if busy { now } else { heard_at }.saturating_add(keep.idle);
            return Disposition::default();
        }
        let given_up = match user_timeout {
            Some(timeout) => keep.probes > 0 && silent >= timeout,
            None => keep.probes >= keep.count,
        };
        if given_up {
            counters.count(Mib::TcpExtTCPAbortOnTimeout);
            let reset = self.abort_reset();
            return Disposition { reset, ..self.fail(SocketError::TimedOut, pool) };
        }
        counters.count(Mib::TcpExtTCPKeepAlive);
        keep.probes += 1;
        self.slow_timer_at = now.saturating_add(keep.interval);
        self.flags |= Flags::PROBE_DUE;
        Disposition::default()
    }
}
