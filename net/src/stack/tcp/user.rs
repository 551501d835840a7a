//! What the user does with a connection: SEND, RECEIVE, CLOSE and ABORT of RFC 9293 3.10.

use crate::iov_iter::{IterDest, IterSource};
use crate::packet::PoolCache;
use crate::sockopt::Opt;
use crate::stack::tcp::congestion::choice::CongestionChoice;
use crate::stack::tcp::control_block::{ControlBlock, FIN_WAIT_2_MAX, Reset};
use crate::stack::tcp::flags::{AckDue, Flags};
use crate::stack::tcp::options::Features;
use crate::stack::tcp::settings::{SettingFlags, Settings};
use crate::stack::tcp::state::{Cause, State};
use crate::stack::tcp::timewait::{Remains, Substate};
use wakeline_runtime::clock::Instant;

impl ControlBlock {
    /// Copies text into the send buffer as far as there is room. The caller has seen that the state allows it.
    pub(crate) fn write(&mut self, source: &(impl IterSource + ?Sized), pool: &mut PoolCache) -> usize {
        self.note_app_limited();
        let room = self.sndbuf.saturating_sub(self.send.len()) as usize;
        let n = source.count().min(room);
        self.send.append(source, n, pool);
        n
    }

    /// `tcp_rate_check_app_limited`: until now there was nothing to send, although there was room, and nothing lost that
    /// has not been sent again.
    fn note_app_limited(&mut self) {
        let flight = self.flight();
        let lost = self.loss.as_ref().is_some_and(|loss| loss.board.has_due());
        if self.unsent() < self.snd_mss.into() && flight < self.congestion.cwnd() && !lost {
            self.delivery.on_app_limited(flight);
        }
    }

    /// Copies text out and remembers to tell the peer when the window has opened enough (`tcp_cleanup_rbuf`).
    pub(crate) fn read(&mut self, dest: &mut (impl IterDest + ?Sized), now: Instant, pool: &mut PoolCache) -> usize {
        let n = self.recv.read(dest, pool);
        if n == 0 || !self.state.may_receive() {
            return n;
        }
        if self.tuning.is_some() {
            self.adjust_rcvbuf(now, pool);
        }
        if self.ack == AckDue::Delayed {
            let unacked = self.rcv_nxt - self.rcv_wup;
            let pushed = self.flags & (Flags::PUSHED | Flags::PINGPONG) == Flags::PUSHED;
            let drained = self.recv.len() == 0 && pushed;
            if unacked > u32::from(self.rcv_mss) || drained {
                self.ack = AckDue::Now;
            }
        }
        let told = self.receive_window();
        if self.ack != AckDue::Now && 2 * told <= self.rcvbuf / 2 {
            let window = self.window_from_space();
            if window > 0 && window >= 2 * told {
                self.ack = AckDue::Now;
            }
        }
        n
    }

    /// Copies text out and keeps it.
    pub(crate) fn peek(&self, buf: &mut [u8]) -> usize {
        self.recv.peek(buf)
    }

    /// How many bytes can be read.
    #[inline]
    pub(crate) fn readable(&self) -> u32 {
        self.recv.len()
    }

    /// Whether less than a segment may still come, so that waiting for more is in vain.
    pub(crate) fn is_window_closed(&self) -> bool {
        self.receive_window() <= u32::from(self.rcv_mss)
    }

    /// Whether the peer's stream has ended; what can still be read came before.
    #[inline]
    pub(crate) fn peer_closed(&self) -> bool {
        self.flags.contains(Flags::FIN_RECEIVED)
    }

    /// How many bytes were written and not acknowledged yet.
    pub(crate) fn queued(&self) -> u32 {
        self.send.len()
    }

    /// The send buffer's size.
    pub(crate) fn sndbuf(&self) -> u32 {
        self.sndbuf
    }

    /// The receive buffer's size.
    pub(crate) fn rcvbuf(&self) -> u32 {
        self.rcvbuf
    }

    /// Which congestion control decides.
    pub(crate) fn congestion_choice(&self) -> CongestionChoice {
        self.congestion.choice()
    }

    /// The largest text that is sent.
    pub(crate) fn mss(&self) -> u32 {
        self.snd_mss.into()
    }

    /// How many bytes were written and not sent yet.
    pub(crate) fn unsent(&self) -> u32 {
        self.send.len().saturating_sub(self.snd_nxt - self.send_base())
    }

    /// Takes over one of the settings, as far as it concerns the control block.
    ///
    /// The window that was told is never taken back; a smaller buffer only keeps it from moving. Text that waited for
    /// TCP_NODELAY goes with the next poll.
    pub(crate) fn configure(&mut self, settings: &Settings, opt: Opt) {
        match opt {
            Opt::RcvBuf => {
                self.rcvbuf = settings.rcvbuf;
                self.flags |= Flags::RCVBUF_LOCK;
            }
            Opt::SndBuf => {
                self.sndbuf = settings.sndbuf;
                self.flags |= Flags::SNDBUF_LOCK;
            }
            Opt::NoDelay => self.flags.set(Flags::NODELAY, settings.flags.contains(SettingFlags::NO_DELAY)),
            Opt::KeepAlive | Opt::KeepIdle | Opt::KeepInterval | Opt::KeepCount => self.set_keepalive(settings),
            Opt::UserTimeout => self.set_user_timeout(settings.user_timeout_ms),
            Opt::QuickAck => self.set_quick_ack(settings.flags.contains(SettingFlags::QUICK_ACK)),
            Opt::Congestion => self.congestion.choose(settings.congestion),
            _ => {}
        }
    }

    /// TCP_QUICKACK (`__tcp_sock_set_quickack`): what waits for company goes, and what comes does not wait, until text
    /// flows in both directions again.
    fn set_quick_ack(&mut self, on: bool) {
        self.flags.set(Flags::PINGPONG, !on);
        let open = matches!(self.state, State::Established | State::CloseWait);
        if on && open && self.ack == AckDue::Delayed && self.recv.len() == 0 {
            self.ack = AckDue::Now;
        }
    }

    /// Whether acknowledgements do not wait for company now; it changes by itself.
    pub(crate) fn is_quick_ack(&self) -> bool {
        !self.flags.contains(Flags::PINGPONG)
    }

    /// Takes over all settings, of a listener or of a socket before it connects.
    pub(crate) fn configure_all(&mut self, settings: &Settings) {
        let locks = [(Flags::RCVBUF_LOCK, SettingFlags::RCVBUF_LOCK), (Flags::SNDBUF_LOCK, SettingFlags::SNDBUF_LOCK)];
        for (flag, _) in locks.into_iter().filter(|&(_, setting)| settings.flags.contains(setting)) {
            self.flags |= flag;
        }
        for opt in [Opt::NoDelay, Opt::Congestion, Opt::KeepAlive, Opt::UserTimeout, Opt::QuickAck] {
            self.configure(settings, opt);
        }
    }

    /// RFC 9293 3.10.4, CLOSE, as far as it concerns the peer: the user has no more to send.
    pub(crate) fn shut_down_write(&mut self) {
        if self.state == State::SynReceived {
            // "Queue for processing after entering ESTABLISHED state."
            self.flags |= Flags::FIN_QUEUED;
            return;
        }
        let before = self.state;
        self.step(Cause::Close);
        if self.state != before && self.state != State::Closed {
            self.flags |= Flags::FIN_QUEUED;
        }
    }

    /// The user will not read any more. What comes is still acknowledged, unless he will not write either.
    pub(crate) fn shut_down_read(&mut self) {
        self.flags |= Flags::NO_READER;
    }

    /// The user is gone. With text unread, or arriving later, the connection is reset (RFC 2525 2.17); otherwise the
    /// FIN follows what is queued. Returns the reset that is to be sent.
    pub(crate) fn close(&mut self, now: Instant, pool: &mut PoolCache) -> Option<Reset> {
        let unread = self.recv.len() > 0;
        self.flags |= Flags::NO_USER;
        self.recv.clear(pool);
        if unread && self.state.is_synchronized() && self.state != State::TimeWait {
            let reset = self.abort_reset();
            self.abort(pool);
            return reset;
        }
        self.shut_down_write();
        if self.state == State::FinWait2 {
            self.slow_timer_at = now.saturating_add(FIN_WAIT_2_MAX);
        }
        if self.state == State::Closed {
            self.abort(pool);
        }
        None
    }

    /// What a compact entry needs that takes the connection's place.
    pub(crate) fn remains(&self, tos: u8) -> Remains {
        let (snd_nxt, rcv_nxt, window) = self.time_wait_variables();
        Remains {
            substate: if self.state == State::FinWait2 { Substate::FinWait2 } else { Substate::TimeWait },
            snd_nxt,
            rcv_nxt,
            rcv_wnd: self.receive_window(),
            window,
            tos,
            ts_recent: self.features.contains(Features::TIMESTAMPS).then(|| self.ts.recent()),
        }
    }

    /// RFC 9293 3.10.5, ABORT. Returns the reset that tells the peer, where there is one to tell.
    pub(crate) fn abort_reset(&self) -> Option<Reset> {
        let known = !matches!(self.state, State::Closed | State::SynSent | State::TimeWait);
        known.then_some(Reset::Abort { seq: self.snd_nxt, ack: self.rcv_nxt })
    }

    /// Enters CLOSED and lets go of everything but what can still be read.
    pub(crate) fn abort(&mut self, pool: &mut PoolCache) {
        self.step(Cause::Abort);
        self.state = State::Closed;
        self.flags &= Flags::NODELAY | Flags::NO_USER | Flags::FIN_RECEIVED;
        self.ack = AckDue::No;
        self.congestion.release();
        self.ack_at = Instant::FAR_FUTURE;
        self.send.clear(pool);
        self.sent.clear();
        self.out_of_order.clear(pool);
        (self.loss, self.sacks, self.tuning) = (None, None, None);
        if self.flags.contains(Flags::NO_USER) {
            self.recv.clear(pool);
        }
    }
}
