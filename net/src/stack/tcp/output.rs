//! What is to be sent, one segment at a time: RFC 9293 3.8, with Nagle's algorithm and silly-window avoidance.

use crate::stack::tcp::congestion::sample::Transmitted;
use crate::stack::tcp::control_block::{AckDue, ControlBlock, DELAYED_ACK, Flags, Recovery, Timer};
use crate::stack::tcp::options::{Features, syn_options, syn_window};
use crate::stack::tcp::state::State;
use crate::wire::checksum::Sum;
use crate::wire::tcp::{SeqNumber, TcpFlags, TcpHeader};
use crate::wire::tcp_options::TcpOptions;
use wakeline_runtime::clock::Instant;

/// A segment to be sent: its header, and where in the send queue its text lies.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) header: TcpHeader,
    pub(crate) offset: u32,
    pub(crate) len: u32,
    /// How much text each segment has that the device cuts it into; 0 when it is one.
    pub(crate) gso_size: u16,
    /// Whether it was sent before.
    pub(crate) again: bool,
}

impl ControlBlock {
    /// Whether [`poll_transmit`](Self::poll_transmit) may have something; a quick no saves the search.
    #[inline]
    pub(crate) fn has_something_due(&self) -> bool {
        let due = Flags::SYN_DUE.union(Flags::RETRANSMIT_DUE).union(Flags::PROBE_DUE);
        let unsent = self.send.len() != self.snd_nxt - self.snd_una || self.flags.contains(Flags::FIN_QUEUED);
        self.ack == AckDue::Now || self.flags.intersects(due) || unsent || self.recovery != Recovery::Open
    }

    /// The next segment to send, or `None` when nothing is due or allowed. What it returns counts as sent: if the
    /// device loses it, the timers bring it back.
    pub(crate) fn poll_transmit(&mut self, now: Instant) -> Option<Outgoing> {
        match self.state {
            State::Closed => None,
            State::SynSent | State::SynReceived => self.next_syn(now).or_else(|| self.next_ack(now)),
            state => {
                let transmit = state.may_transmit();
                let text = if transmit { self.next_again(now).or_else(|| self.next_new(now)) } else { None };
                text.or_else(|| self.next_ack(now))
            }
        }
    }

    /// Copies the text of a polled segment into its frame and returns its sum.
    #[inline]
    pub(crate) fn copy_text(&mut self, outgoing: &Outgoing, out: &mut [u8]) -> Sum {
        self.send.copy_out(outgoing.offset, out)
    }

    fn next_syn(&mut self, now: Instant) -> Option<Outgoing> {
        if !self.flags.contains(Flags::SYN_DUE) {
            return None;
        }
        self.flags.remove(Flags::SYN_DUE);
        let first = self.snd_nxt == self.iss;
        let again = self.retries > 0;
        let timestamps = (self.ts.value(now), self.ts.recent());
        if first {
            self.retrans_stamp = timestamps.0;
        }
        self.snd_nxt = self.iss + 1;
        // Karn: measured only when it is sent once.
        self.timed = first.then_some((self.snd_nxt, now));
        self.flags.set(Flags::SYN_REPEATED, again);
        self.start_timer(Timer::Retransmit, now);
        let mut flags = TcpFlags::SYN;
        let window = syn_window(self.rcvbuf);
        self.rcv_wnd = window.into();
        if self.state == State::SynReceived {
            flags |= TcpFlags::ACK;
            self.rcv_wup = self.rcv_nxt;
            self.ack_sent();
        }
        let header = TcpHeader {
            src_port: self.src_port,
            dst_port: self.dst_port,
            seq: self.iss,
            ack: self.rcv_nxt,
            flags,
            window,
            urgent: 0,
            options: syn_options(self.adv_mss, self.rcv_wscale > 0, self.features, timestamps),
        };
        Some(Outgoing { header, offset: 0, len: 0, gso_size: 0, again })
    }

    /// Retransmission: one segment in fast recovery, as many as the window allows after a timeout.
    fn next_again(&mut self, now: Instant) -> Option<Outgoing> {
        let from = if self.flags.contains(Flags::RETRANSMIT_DUE) {
            self.flags.remove(Flags::RETRANSMIT_DUE);
            self.snd_una
        } else {
            match self.recovery {
                Recovery::Loss { next } if next.is_before(self.recover) && self.flight() < self.congestion.cwnd() => {
                    next
                }
                _ => return None,
            }
        };
        let offset = from - self.send_base();
        let limit = if let Recovery::Loss { .. } = self.recovery { self.recover } else { self.snd_nxt };
        let len = self.send.len().saturating_sub(offset).min(self.snd_mss.into()).min(limit - from);
        let fin = self.flags.contains(Flags::FIN_SENT) && offset + len == self.send.len() && from + len != limit;
        let end = from + len + u32::from(fin);
        if end == from {
            return None;
        }
        if let Recovery::Loss { .. } = self.recovery {
            self.recovery = Recovery::Loss { next: end };
        }
        // Karn: what is sent twice cannot be measured, nor what was sent before it and is not acknowledged yet.
        self.timed = None;
        if self.timer != Timer::Retransmit {
            self.start_timer(Timer::Retransmit, now);
        }
        let flags = if fin { TcpFlags::FIN | TcpFlags::PSH } else { TcpFlags::PSH };
        Some(self.text_segment(now, from, (offset, len), flags, true))
    }

    /// New text, and the FIN behind the last of it.
    fn next_new(&mut self, now: Instant) -> Option<Outgoing> {
        if self.flags.contains(Flags::FIN_SENT) {
            return None;
        }
        let offset = self.snd_nxt - self.send_base();
        let unsent = self.send.len() - offset;
        let fin_next = self.flags.contains(Flags::FIN_QUEUED);
        if unsent == 0 && !fin_next {
            return None;
        }
        self.restart_after_idle(now);
        let Some(len) = self.allowed(unsent, fin_next) else {
            self.persist(now);
            return None;
        };
        let last = len == unsent;
        let fin = last && fin_next;
        self.flags.remove(Flags::OVERRIDE);
        let seq = self.snd_nxt;
        self.snd_nxt = seq + len + u32::from(fin);
        if fin {
            self.flags |= Flags::FIN_SENT;
        }
        let mss = u32::from(self.snd_mss);
        if len < mss || (len > mss && !len.is_multiple_of(mss)) {
            self.snd_sml = self.snd_nxt;
        }
        if self.timed.is_none() {
            self.timed = Some((self.snd_nxt, now));
        }
        if self.timer != Timer::Retransmit {
            // RFC 6298 (5.1).
            self.start_timer(Timer::Retransmit, now);
        }
        let mut flags = TcpFlags::empty();
        flags.set(TcpFlags::FIN, fin);
        flags.set(TcpFlags::PSH, last && len > 0);
        Some(self.text_segment(now, seq, (offset, len), flags, false))
    }

    /// How many of `unsent` bytes may go in the next segment (3.8.6.2.1 and Nagle's algorithm, 3.7.4); `None` to wait.
    fn allowed(&mut self, unsent: u32, fin_next: bool) -> Option<u32> {
        if unsent == 0 {
            // A bare FIN needs no window.
            return Some(0);
        }
        let mss = u32::from(self.snd_mss);
        let window = (self.snd_una + self.snd_wnd).distance(self.snd_nxt).max(0).cast_unsigned();
        // RFC 3042, limited transmit: the first two duplicates allow a segment each.
        let extra = if self.recovery == Recovery::Open { u32::from(self.dup_acks.min(2)) * mss } else { 0 };
        let cwnd = (self.congestion.cwnd() + extra).saturating_sub(self.flight());
        let len = unsent.min(self.gso_max.max(mss)).min(window).min(cwnd);
        if len == mss {
            return Some(len);
        }
        // Nagle in Minshall's form, as in Linux: only a small segment that is not acknowledged holds back another.
        let small_in_flight = self.snd_sml.is_after(self.snd_una) && !self.snd_sml.is_after(self.snd_nxt);
        let may_be_small = fin_next || self.flags.contains(Flags::NODELAY) || !small_in_flight;
        if len > mss {
            // `tcp_mss_split_point`: whole segments, and the last of the text behind them if it could go alone.
            return Some(if len == unsent && may_be_small { len } else { len - len % mss });
        }
        if len == unsent {
            return may_be_small.then_some(len);
        }
        let fraction = window < cwnd && len >= self.max_window / 2;
        (len > 0 && (fraction || self.flags.contains(Flags::OVERRIDE))).then_some(len)
    }

    /// RFC 5681 4.1: after an idle time the path may have changed.
    fn restart_after_idle(&mut self, now: Instant) {
        let idle = now.saturating_duration_since(self.last_sent_at);
        if self.snd_una == self.snd_nxt && idle > self.rtt.rto() {
            self.congestion.on_idle_restart(idle, self.rtt.rto());
        }
    }

    /// Text waits and nothing is in the network: only the peer's window can hold it, so it has to be probed (3.8.6.1).
    fn persist(&mut self, now: Instant) {
        if self.snd_una == self.snd_nxt && self.timer == Timer::Off {
            self.start_timer(Timer::Persist, now);
        }
    }

    /// A probe or an acknowledgement, if one is due at once.
    fn next_ack(&mut self, now: Instant) -> Option<Outgoing> {
        let probe = self.flags.contains(Flags::PROBE_DUE);
        if !probe && self.ack != AckDue::Now {
            return None;
        }
        self.flags.remove(Flags::PROBE_DUE);
        // As Linux, a probe has a number that was acknowledged before, so that the peer must answer it.
        let seq = self.snd_nxt - u32::from(probe);
        let header = self.header(now, seq, TcpFlags::empty());
        Some(Outgoing { header, offset: 0, len: 0, gso_size: 0, again: false })
    }

    fn text_segment(
        &mut self,
        now: Instant,
        seq: SeqNumber,
        (offset, len): (u32, u32),
        flags: TcpFlags,
        again: bool,
    ) -> Outgoing {
        // `tcp_event_data_sent`: an answer soon after the question. The next acknowledgement can wait for its answer.
        // Neither a FIN nor what comes before any question is one.
        let answers = len > 0 && self.flags.contains(Flags::TEXT_SEEN);
        if answers && now.saturating_duration_since(self.last_received_at) < DELAYED_ACK {
            self.flags |= Flags::PINGPONG;
        }
        let idle = now.saturating_duration_since(self.last_sent_at);
        let (in_flight, una, nxt) = (self.flight(), self.snd_una, self.snd_nxt);
        self.congestion.on_transmit(&Transmitted { now, len, in_flight, idle, una, nxt });
        self.last_sent_at = now;
        let gso_size = if len > self.snd_mss.into() { self.snd_mss } else { 0 };
        Outgoing { header: self.header(now, seq, flags), offset, len, gso_size, again }
    }

    /// A header with everything that each segment carries: acknowledgement, window and timestamps.
    fn header(&mut self, now: Instant, seq: SeqNumber, flags: TcpFlags) -> TcpHeader {
        let window = self.select_window();
        self.ack_sent();
        TcpHeader {
            src_port: self.src_port,
            dst_port: self.dst_port,
            seq,
            ack: self.rcv_nxt,
            flags: flags | TcpFlags::ACK,
            window,
            urgent: 0,
            options: self.options(now),
        }
    }

    /// What each segment after the handshake carries (`tcp_established_options`).
    #[inline]
    fn options(&self, now: Instant) -> TcpOptions {
        let timestamps = self.features.contains(Features::TIMESTAMPS);
        TcpOptions { timestamps: timestamps.then(|| (self.ts.value(now), self.ts.recent())), ..TcpOptions::default() }
    }

    /// `tcp_select_window`: what the buffer allows, but never less than what was told before (3.8.6: the right edge
    /// does not move to the left).
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

    fn ack_sent(&mut self) {
        if self.ack != AckDue::No {
            self.ack = AckDue::No;
            self.ack_at = Instant::FAR_FUTURE;
            self.quick = self.quick.saturating_sub(1);
            self.flags.remove(Flags::PUSHED);
        }
    }

    fn start_timer(&mut self, timer: Timer, now: Instant) {
        self.timer = timer;
        self.timer_at = now.saturating_add(self.rtt.rto());
    }
}
